"""What a filter says: the tree of an expression, and its text.

Every expression prints itself as a text that `lttngnet.filters.parse` makes the same tree of.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from math import isinf


class Root(Enum):
    """Where a field is looked for. The value is what its text begins with."""

    PAYLOAD = ""
    CONTEXT = "$ctx"
    APPLICATION = "$app"


class Prefix(Enum):
    """Operators with one operand, in front of it."""

    PLUS = "+"
    MINUS = "-"
    NOT = "!"
    INVERT = "~"


class Infix(Enum):
    """Operators between two operands. All are left-associative."""

    SHIFT_LEFT = "<<"
    SHIFT_RIGHT = ">>"
    BIT_AND = "&"
    BIT_XOR = "^"
    BIT_OR = "|"
    LESS = "<"
    LESS_EQUAL = "<="
    GREATER = ">"
    GREATER_EQUAL = ">="
    EQUAL = "=="
    UNEQUAL = "!="
    AND = "&&"
    OR = "||"

    @property
    def precedence(self) -> int:
        """How tightly it binds; more is tighter. Unlike in C, bitwise operators come before comparisons."""
        return _PRECEDENCE[self]


_TIGHTEST_FIRST = (
    (Infix.SHIFT_LEFT, Infix.SHIFT_RIGHT),
    (Infix.BIT_AND,),
    (Infix.BIT_XOR,),
    (Infix.BIT_OR,),
    (Infix.LESS, Infix.LESS_EQUAL, Infix.GREATER, Infix.GREATER_EQUAL),
    (Infix.EQUAL, Infix.UNEQUAL),
    (Infix.AND,),
    (Infix.OR,),
)
_PRECEDENCE = {
    operator: len(_TIGHTEST_FIRST) - rank for rank, level in enumerate(_TIGHTEST_FIRST) for operator in level
}

_ESCAPE = re.compile(r"\\.")

BITWISE = frozenset(
    {Infix.SHIFT_LEFT, Infix.SHIFT_RIGHT, Infix.BIT_AND, Infix.BIT_XOR, Infix.BIT_OR},
)
LOGICAL = frozenset({Infix.AND, Infix.OR})


class _Printed:
    """An expression whose ``str`` is its text."""

    __slots__ = ()

    def __str__(self) -> str:
        return _text(self)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Integer(_Printed):
    """A constant of 64 bits, 0 to 2**64 - 1; the tracer takes it as signed."""

    value: int


@dataclass(frozen=True, slots=True)
class Float(_Printed):
    """A constant with a fraction or an exponent, not negative; may be infinite."""

    value: float


@dataclass(frozen=True, slots=True)
class Text(_Printed):
    r"""A string as it stands between its quotes: ``*`` matches anything, ``\*`` and ``\\`` are escapes."""

    pattern: str

    @property
    def has_star(self) -> bool:
        """Whether something in it matches anything."""
        return "*" in _ESCAPE.sub("_", self.pattern)

    @property
    def is_glob(self) -> bool:
        """Whether a ``*`` that matches anything stands before the end, were it only before another one."""
        return "*" in _ESCAPE.sub("_", self.pattern)[:-1]


@dataclass(frozen=True, slots=True)
class Reference(_Printed):
    """A field: its names, and behind a name the index of an array's element."""

    root: Root
    path: tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Unary(_Printed):
    """An operator before its operand."""

    operator: Prefix
    operand: "Expression"


@dataclass(frozen=True, slots=True)
class Binary(_Printed):
    """An operator between its operands."""

    operator: Infix
    left: "Expression"
    right: "Expression"


Expression = Integer | Float | Text | Reference | Unary | Binary


def unwind(expression: Expression) -> tuple[Expression, list[Binary]]:
    """Return the leftmost operand of a chain such as ``a && b && c``, and its operators from left to right.

    A chain may have thousands of links, more than Python likes to recurse; to the right and into
    parentheses the parser bounds the depth.
    """
    links = []
    while isinstance(expression, Binary):
        links.append(expression)
        expression = expression.left
    return expression, links[::-1]


def references(expression: Expression) -> Iterator[Reference]:
    """Yield the fields of an expression from left to right, each as often as it occurs."""
    first, links = unwind(expression)
    if isinstance(first, Unary):
        yield from references(first.operand)
    elif isinstance(first, Reference):
        yield first
    for link in links:
        yield from references(link.right)


def _text(expression: Expression) -> str:
    match expression:
        case Integer(value):
            return str(value)
        case Float(value):
            return "1e999" if isinf(value) else repr(value)
        case Text(pattern):
            return f"'{pattern}'" if '"' in pattern else f'"{pattern}"'
        case Reference(root, path):
            parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in path]
            return (root.value + "".join(parts)).lstrip(".")
        case Unary(operator, operand):
            return operator.value + (f"({operand})" if isinstance(operand, Binary) else str(operand))
    return _chain(expression)


def _chain(expression: Expression) -> str:
    first, links = unwind(expression)
    pieces = [str(first)]
    opened = 0
    for inner, link in zip([first, *links], links, strict=False):
        if isinstance(inner, Binary) and inner.operator.precedence < link.operator.precedence:
            opened += 1
            pieces.append(")")
        right = str(link.right)
        if isinstance(link.right, Binary) and link.right.operator.precedence <= link.operator.precedence:
            right = f"({right})"
        pieces.append(f" {link.operator.value} {right}")
    return "(" * opened + "".join(pieces)
