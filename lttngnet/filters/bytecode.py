"""The tree of a filter → the bytecode that lttng-ust and lttng-modules run for each event.

A stack machine. An instruction is an opcode of one byte and its operand in the machine's byte order:

==========  =======================  ==========================================================
opcode      operand                  what it does
==========  =======================  ==========================================================
1                                    the filter's answer is on top of the stack
7 … 11                               ``>> << & | ^``
12 … 17                              ``== != > < >= <=``
49 50 98                             unary ``- ! ~``; ``+`` is no instruction
57, 58      u16, where to go on      ``&&``, ``||``: left operand is the answer, or is forgotten
59          u16, 0xffff              push a payload field
64          bytes, NUL               push a string; a ``*`` may be its end
65, 66      s64; double              push a constant
67, 68                               a field, a double becomes an integer
70          u16, 0xffff              push a context
76          bytes, NUL               push a string with a ``*`` elsewhere
79 80 81                             begin a path at ``$ctx``, ``$app``, the payload
82          u16, see below           follow a name
85          u64                      take an element
86                                   push what the path leads to
==========  =======================  ==========================================================

Behind the code stands the table of names: for each of 59, 70 and 82 a u16, where in the code the instruction
stands, and the NUL-ended name. The operand of 82 is where in the table its name stands.

Source: what lttng-tools 2.13.9's client was seen to send (``tests/captures/filters.json``).
"""

import re
from dataclasses import dataclass
from struct import pack, pack_into

from lttngnet.errors import Code, CommandError
from lttngnet.filters.expression import (
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
    unwind,
)
from lttngnet.filters.kinds import Kind, kind

MAX_SIZE = 65536 - 48
"""Of code and table together, in bytes: lttng-tools keeps both with a header of 48 bytes in 64 KiB."""

_RETURN = 1
_PREFIX = {Prefix.MINUS: 49, Prefix.NOT: 50, Prefix.INVERT: 98}
_INFIX = {
    Infix.SHIFT_RIGHT: 7,
    Infix.SHIFT_LEFT: 8,
    Infix.BIT_AND: 9,
    Infix.BIT_OR: 10,
    Infix.BIT_XOR: 11,
    Infix.EQUAL: 12,
    Infix.UNEQUAL: 13,
    Infix.GREATER: 14,
    Infix.LESS: 15,
    Infix.GREATER_EQUAL: 16,
    Infix.LESS_EQUAL: 17,
    Infix.AND: 57,
    Infix.OR: 58,
}
_FIELD, _CONTEXT, _UNRESOLVED = 59, 70, 0xFFFF
_STRING, _GLOB, _INTEGER, _FLOAT = 64, 76, 65, 66
_TO_INTEGER = {Kind.FIELD: 67, Kind.FLOAT: 68}
_PATH_FROM = {Root.CONTEXT: 79, Root.APPLICATION: 80, Root.PAYLOAD: 81}
_NAME, _INDEX, _LOAD = 82, 85, 86
_STARS = re.compile(r"(\\.)|\*+")


@dataclass(frozen=True, slots=True)
class Bytecode:
    """A filter as an application or the kernel gets it."""

    code: bytes
    """Instructions, and behind them the table of names."""
    reloc_offset: int
    """Where in ``code`` the table begins."""


def assemble(expression: Expression) -> Bytecode:
    """Make the bytecode of a tree that `lttngnet.filters.parse` made.

    Raises:
        CommandError: it would be larger than `MAX_SIZE`.
    """
    return _Assembler().finish(expression)


class _Assembler:
    def __init__(self) -> None:
        self._code = bytearray()
        self._names = bytearray()

    def finish(self, expression: Expression) -> Bytecode:
        self._expression(expression)
        self._put(pack("=B", _RETURN))
        return Bytecode(bytes(self._code + self._names), len(self._code))

    def _expression(self, expression: Expression) -> None:
        first, links = unwind(expression)
        self._operand(first)
        for link in links:
            if link.operator in LOGICAL:
                self._logical(link)
            else:
                self._expression(link.right)
                self._put(pack("=B", _INFIX[link.operator]))

    def _logical(self, link: Binary) -> None:
        """Put an operator that knows the answer from its left operand, or goes on with the right one."""
        self._cast(link.left)
        self._put(pack("=BH", _INFIX[link.operator], 0))
        target = len(self._code) - 2
        self._expression(link.right)
        self._cast(link.right)
        pack_into("=H", self._code, target, len(self._code))

    def _cast(self, operand: Expression) -> None:
        if (opcode := _TO_INTEGER.get(kind(operand))) is not None:
            self._put(pack("=B", opcode))

    def _operand(self, expression: Expression) -> None:
        match expression:
            case Unary(operator, operand):
                self._expression(operand)
                if operator in _PREFIX:
                    self._put(pack("=B", _PREFIX[operator]))
            case Integer(value):
                self._put(pack("=BQ", _INTEGER, value))
            case Float(value):
                self._put(pack("=Bd", _FLOAT, value))
            case Text(pattern):
                opcode = _GLOB if expression.is_glob else _STRING
                self._put(pack("=B", opcode) + _bytes(_STARS.sub(lambda stars: stars[1] or "*", pattern)))
            case Reference():
                self._reference(expression)

    def _reference(self, reference: Reference) -> None:
        path = reference.path
        names = [part for part in path if isinstance(part, str)]
        if len(names) < len(path):
            self._path(reference)
        elif reference.root is Root.PAYLOAD:
            self._named(_FIELD, ".".join(names), _UNRESOLVED)
        else:
            self._named(_CONTEXT, ".".join([reference.root.value, *names]), _UNRESOLVED)

    def _path(self, reference: Reference) -> None:
        self._put(pack("=B", _PATH_FROM[reference.root]))
        for part in reference.path:
            if isinstance(part, int):
                self._put(pack("=BQ", _INDEX, part))
            else:
                self._named(_NAME, part, len(self._names) + 2)
        self._put(pack("=B", _LOAD))

    def _named(self, opcode: int, name: str, operand: int) -> None:
        self._names += pack("=H", len(self._code)) + _bytes(name)
        self._put(pack("=BH", opcode, operand))

    def _put(self, instruction: bytes) -> None:
        self._code += instruction
        # While this holds, every position fits into the two bytes that it has.
        if len(self._code) + len(self._names) > MAX_SIZE:
            raise CommandError(
                Code.FILTER_INVAL, f"the filter is too long: its bytecode has more than {MAX_SIZE} bytes"
            )


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape") + b"\0"
