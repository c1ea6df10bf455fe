"""Whether values satisfy a filter, as the tracers' interpreter decides it.

For records that no tracer filters, such as those of Python programs. Integers are signed, of 64 bits. What
cannot be computed (a string with a number, a shift by 64) makes the whole filter false: lttng-ust 2.13 does
the same.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from operator import eq, ge, gt, le, lt, ne

from lttngnet.filters.expression import (
    BITWISE,
    LOGICAL,
    Binary,
    Expression,
    Float,
    Infix,
    Integer,
    Prefix,
    Reference,
    Root,
    Text,
    Unary,
    references,
    unwind,
)
from lttngnet.filters.parser import parse

Value = int | float | str | Sequence["Value"] | Mapping[str, "Value"]
"""What a field holds: a structure is a mapping of its fields."""

_Result = int | float | str | Text
_COMPARE: dict[Infix, Callable[[float, float], bool]] = {
    Infix.EQUAL: eq,
    Infix.UNEQUAL: ne,
    Infix.LESS: lt,
    Infix.LESS_EQUAL: le,
    Infix.GREATER: gt,
    Infix.GREATER_EQUAL: ge,
}
_PIECE = re.compile(r"\\(?P<escaped>.)|(?P<star>\*+)|(?P<plain>[^\\*]+)", re.DOTALL)


class _NoAnswerError(Exception):
    """The filter cannot be computed with these values."""


def matches(
    expression: str | Expression, fields: Mapping[str, Value], contexts: Mapping[str, Value] | None = None
) -> bool:
    """Tell whether fields and contexts satisfy a filter.

    Args:
        expression: a filter, as text or as a tree.
        fields: the payload, by name.
        contexts: by name: ``vpid`` for ``$ctx.vpid``, ``server:user`` for ``$app.server:user``.

    Raises:
        CommandError: the text is no filter.
    """
    tree = parse(expression) if isinstance(expression, str) else expression
    evaluation = _Evaluation(fields, contexts or {})
    try:
        for reference in references(tree):  # also those on which the answer does not depend
            evaluation.field(reference)
        result = evaluation.of(tree)
    except _NoAnswerError:
        return False
    return isinstance(result, int) and result != 0


class _OutOfRangeError(_NoAnswerError):
    """A number is shifted by something else than 0 to 63."""


class _Evaluation:
    def __init__(self, fields: Mapping[str, Value], contexts: Mapping[str, Value]) -> None:
        self._values = {Root.PAYLOAD: fields, Root.CONTEXT: contexts, Root.APPLICATION: contexts}

    def of(self, expression: Expression) -> _Result:
        first, links = unwind(expression)
        result = self._operand(first)
        for link in links:
            result = self._joined(link, result)
        return result

    def _operand(self, expression: Expression) -> _Result:
        match expression:
            case Integer(value):
                return _signed(value)
            case Float(value):
                return value
            case Unary(operator, operand):
                return _unary(operator, self.of(operand))
            case Reference():
                return self.field(expression)
            case Text():
                return expression
        raise AssertionError(expression)

    def _joined(self, link: Binary, left: _Result) -> _Result:
        operator = link.operator
        if operator in LOGICAL:
            decided = _truncated(left) != 0
            if decided is (operator is Infix.OR):
                with suppress(_OutOfRangeError):  # that would show later; wrong kinds do before a filter runs
                    _truncated(self.of(link.right))
                return int(decided)
            return _truncated(self.of(link.right))
        right = self.of(link.right)
        if operator in BITWISE:
            return _bitwise(operator, left, right)
        return int(_compared(operator, left, right))

    def field(self, reference: Reference) -> _Result:
        """Return what a field holds."""
        value: Value = self._values[reference.root]
        for part in reference.path:
            value = _part(value, part)
        if isinstance(value, int):
            return _signed(value)
        if isinstance(value, float | str):
            return value
        raise _NoAnswerError


def _part(value: Value, part: str | int) -> Value:
    if isinstance(part, str) and isinstance(value, Mapping) and part in value:
        return value[part]
    if (
        isinstance(part, int)
        and isinstance(value, Sequence)
        and not isinstance(value, str)
        and part < len(value)
    ):
        return value[part]
    raise _NoAnswerError


def _signed(value: int) -> int:
    """Return what 64 bits hold of a value, as a signed number."""
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)


def _truncated(value: _Result) -> int:
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return int(value) if -(2.0**63) <= value < 2.0**63 else -(1 << 63)  # as processors do
    raise _NoAnswerError


def _unary(operator: Prefix, value: _Result) -> _Result:
    if operator is Prefix.PLUS:
        return value
    if isinstance(value, int):
        results = {Prefix.MINUS: -value, Prefix.NOT: int(not value), Prefix.INVERT: ~value}
        return _signed(results[operator])
    if isinstance(value, float) and operator is not Prefix.INVERT:
        return -value if operator is Prefix.MINUS else int(not value)
    raise _NoAnswerError


def _bitwise(operator: Infix, left: _Result, right: _Result) -> int:
    if not (isinstance(left, int) and isinstance(right, int)):
        raise _NoAnswerError
    left, shift, right = left % (1 << 64), right, right % (1 << 64)
    match operator:
        case Infix.BIT_AND:
            return _signed(left & right)
        case Infix.BIT_OR:
            return _signed(left | right)
        case Infix.BIT_XOR:
            return _signed(left ^ right)
    if not 0 <= shift < 64:
        raise _OutOfRangeError
    return _signed(left << shift if operator is Infix.SHIFT_LEFT else left >> shift)


def _compared(operator: Infix, left: _Result, right: _Result) -> bool:
    if isinstance(left, int) and isinstance(right, int):
        return _COMPARE[operator](left, right)
    if isinstance(left, int | float) and isinstance(right, int | float):
        return _COMPARE[operator](float(left), float(right))
    if isinstance(left, str | Text) and isinstance(right, str | Text):
        return _COMPARE[operator](_order(left, right), 0)
    raise _NoAnswerError


def _order(left: str | Text, right: str | Text) -> int:
    """Return 0 if two strings match, else a number with the sign of their difference."""
    for pattern, text in ((left, right), (right, left)):
        if isinstance(pattern, Text) and pattern.is_glob:
            return 0 if _glob(_literals(pattern), _literals(text)[0]) else 1
    (mine, *open_end), (yours, *other_open_end) = _literals(left), _literals(right)
    ends = [len(text) for text, is_open in ((mine, open_end), (yours, other_open_end)) if is_open]
    if ends and mine[: min(ends)] == yours[: min(ends)]:
        return 0
    return (mine > yours) - (mine < yours)


def _literals(side: str | Text) -> list[bytes]:
    """Return what stands between the stars of a string, its escapes undone; of a field, all of it."""
    literals = [side if isinstance(side, str) else ""]
    if isinstance(side, Text):
        for piece in _PIECE.finditer(side.pattern):
            if piece["star"]:
                literals.append("")
            else:
                literals[-1] += piece["escaped"] or piece["plain"]
    return [literal.encode("utf-8", "surrogateescape") for literal in literals]


def _glob(literals: list[bytes], text: bytes) -> bool:
    """Tell whether a text is those literals with anything between them. Never goes back in the text."""
    first, *middle, last = literals
    position, end = len(first), len(text) - len(last)
    if position > end or not text.startswith(first) or not text.endswith(last):
        return False
    for literal in middle:
        position = text.find(literal, position, end)
        if position < 0:
            return False
        position += len(literal)
    return True
