"""The filters of LTTng: ``enable-event --filter EXPRESSION``, and the bytecode that tracers run for them.

An expression becomes a tree (`parse`), and the tree becomes bytecode (`assemble`); `compile` does both. The
language is the one that lttng-tools 2.13 was seen to take, and the bytes are those that it was seen to send.
`matches` decides without a tracer. Nothing here knows of sessions, sockets or applications.
"""

from lttngnet.filters.bytecode import MAX_SIZE, Bytecode, assemble
from lttngnet.filters.evaluation import Value, matches
from lttngnet.filters.expression import (
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
)
from lttngnet.filters.lexer import MAX_LENGTH
from lttngnet.filters.parser import MAX_DEPTH, parse

__all__ = [
    "MAX_DEPTH",
    "MAX_LENGTH",
    "MAX_SIZE",
    "Binary",
    "Bytecode",
    "Expression",
    "Float",
    "Infix",
    "Integer",
    "Prefix",
    "Reference",
    "Root",
    "Text",
    "Unary",
    "Value",
    "assemble",
    "compile",
    "matches",
    "parse",
    "references",
]


def compile(expression: str) -> Bytecode:
    """Make the bytecode of an expression.

    Raises:
        CommandError: it is no filter; the sentence says where and why.
    """
    return assemble(parse(expression))
