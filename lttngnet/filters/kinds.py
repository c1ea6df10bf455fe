"""What kinds of values operators take, and what is wrong with those that they are given.

Of a field nobody knows the kind before an application has described it: the tracer looks again then.
"""

from enum import Enum, auto

from lttngnet.filters.expression import (
    BITWISE,
    LOGICAL,
    Binary,
    Expression,
    Float,
    Infix,
    Integer,
    Prefix,
    Text,
    Unary,
)


class Kind(Enum):
    """What an expression yields, as far as it can be told."""

    INTEGER = auto()
    FLOAT = auto()
    TEXT = auto()
    FIELD = auto()
    """Whatever the field holds."""


def kind(expression: Expression) -> Kind:
    """Tell what an expression yields."""
    while isinstance(expression, Unary):
        expression = expression.operand
    match expression:
        case Integer() | Binary():
            return Kind.INTEGER
        case Float():
            return Kind.FLOAT
        case Text():
            return Kind.TEXT
    return Kind.FIELD


def complain_of_whole(expression: Expression) -> str | None:
    """Say why an expression cannot be a filter, or return None."""
    match kind(expression):
        case Kind.TEXT:
            return "a filter is true or false, and this is a string"
        case Kind.FLOAT:
            return "a filter is true or false, and this is a floating point number"
    return None


def complain_of_unary(operator: Prefix, operand: Expression) -> str | None:
    """Say why an operator cannot have that operand, or return None."""
    if kind(operand) is Kind.TEXT:
        return f"{operator.value} cannot have a string as operand"
    return None


def complain_of_binary(operator: Infix, left: Expression, right: Expression) -> str | None:
    """Say why an operator cannot have those operands, or return None."""
    kinds = {kind(left), kind(right)}
    if operator in BITWISE or operator in LOGICAL:
        if Kind.TEXT in kinds:
            return f"{operator.value} cannot have a string as operand"
        if operator in BITWISE and Kind.FLOAT in kinds:
            return f"{operator.value} cannot have a floating point number as operand"
        return None
    if Kind.TEXT in kinds and not kinds.isdisjoint({Kind.INTEGER, Kind.FLOAT}):
        return f"{operator.value} cannot compare a string with a number"
    texts = [operand for operand in (left, right) if isinstance(operand, Text)]
    if not any(text.is_glob for text in texts):
        return None
    if operator not in (Infix.EQUAL, Infix.UNEQUAL):
        return f"{operator.value} cannot have a string with a * before its end as operand, only == and != can"
    if len(texts) == 2 and all(text.has_star for text in texts):
        return f"{operator.value} cannot compare two strings that both have a *"
    return None
