r"""The text of a filter → its words.

::

    name      = ["$"] letter *(letter / digit)                                   ; not ":" alone
    letter    = "A" … "Z" / "a" … "z" / "_" / ":" / "\u" 4hex / "\U" 8hex
    integer   = "0" / ("0" 1*octal / nonzero *digit / "0x" 1*hex) [suffix]       ; u, l, ul, ll, ull…: ignored
    float     = C's, decimal or hexadecimal, with an optional f or l, ignored
    string    = ["L"] DQUOTE *any DQUOTE / ["L"] SQUOTE 1*any SQUOTE             ; escapes: only \* and \\
    comment   = "/*" … "*/" / "//" … end of line

That is what lttng-tools 2.13 was seen to read; a ``'c'`` is a string. Where it silently reads something else
than what is written (integers of more than 64 bits, line breaks in strings, comments without end), we refuse.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from math import inf
from typing import NoReturn

from lttngnet.errors import Code, CommandError

MAX_LENGTH = 65535
"""Of an expression, in bytes: lttng-tools' limit."""

_SHOWN = 20  # characters of a word in a message


class WordKind(Enum):
    """What a word of an expression is."""

    NAME = auto()
    INTEGER = auto()
    FLOAT = auto()
    TEXT = auto()
    SYMBOL = auto()
    END = auto()


@dataclass(frozen=True, slots=True)
class Word:
    """A word, where it begins (in characters, from 0), and the value of a constant."""

    kind: WordKind
    text: str
    position: int
    value: int | float | str = 0

    def __str__(self) -> str:
        if self.kind is WordKind.END:
            return "the end"
        return repr(self.text if len(self.text) <= _SHOWN else self.text[:_SHOWN] + "…")


def refuse(position: int, why: str) -> NoReturn:
    """Say what is wrong with an expression, and at which character (from 0; people count from 1)."""
    raise CommandError(Code.FILTER_INVAL, f"filter, character {position + 1}: {why}")


_UNIVERSAL = r"\\u[0-9A-Fa-f]{4}|\\U[0-9A-Fa-f]{8}"
_SUFFIX = r"(?:[uU](?:LL|ll|[lL])?|(?:LL|ll|[lL])[uU]?)?"
_WORD = re.compile(
    rf"""
      (?P<blank> [ \t\n]+ | /\*.*?\*/ | //[^\n]* )
    | (?P<string> L?(?P<quote>["']) (?P<inside>.*?) (?P=quote) )
    | (?P<name> \$?(?:[A-Za-z_:]|{_UNIVERSAL})(?:[A-Za-z0-9_:]|{_UNIVERSAL})* )
    | (?P<hexfloat> 0[xX] (?: (?:[0-9A-Fa-f]+\.[0-9A-Fa-f]*|\.[0-9A-Fa-f]+) (?:[pP][+-]?[0-9]+)?
                            | [0-9A-Fa-f]+ [pP][+-]?[0-9]+ ) ) [fFlL]?
    | (?P<float> (?:[0-9]+\.[0-9]*|\.[0-9]+) (?:[eE][+-]?[0-9]+)? | [0-9]+[eE][+-]?[0-9]+ ) [fFlL]?
    | (?P<hex> 0x[0-9A-Fa-f]+ ) {_SUFFIX}
    | (?P<octal> 0[0-7]+ ) {_SUFFIX}
    | (?P<decimal> [1-9][0-9]* ) {_SUFFIX}
    | (?P<zero> 0 )
    | (?P<symbol> -> | << | >> | <= | >= | == | != | && | \|\| | /(?!\*) | [-+!~*%&|^<>()\[\].] )
    """,
    re.VERBOSE | re.DOTALL,
)
_BASES = {"hex": 16, "octal": 8, "decimal": 10, "zero": 10}


def words(expression: str) -> Iterator[Word]:
    """Yield the words of an expression; the last one is its end.

    Raises:
        CommandError: the expression is too long, or something in it is no word.
    """
    try:
        length = len(expression.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError as problem:
        refuse(problem.start, "this is no character")
    if length > MAX_LENGTH:
        raise CommandError(
            Code.FILTER_INVAL, f"a filter of {length} bytes is too long, {MAX_LENGTH} are the limit"
        )
    position = 0
    while position < len(expression):
        found = _WORD.match(expression, position)
        if found is None:
            refuse(position, _why_no_word(expression, position))
        if found["blank"] is None:
            yield _word(found)
        position = found.end()
    yield Word(WordKind.END, "", position)


def _why_no_word(expression: str, position: int) -> str:
    if expression.startswith("/*", position):
        return "the comment has no end"
    if expression[position] in "\"'":
        return "the string has no closing quote"
    return f"{expression[position]!r} has no meaning here"


def _word(found: re.Match[str]) -> Word:
    position, text = found.start(), found[0]
    kind = str(found.lastgroup)
    if found["string"] is not None:
        return Word(WordKind.TEXT, text, position, _pattern(found))
    if kind in _BASES:
        return Word(WordKind.INTEGER, text, position, _integer(position, found[kind], _BASES[kind]))
    if kind == "hexfloat":
        return Word(WordKind.FLOAT, text, position, _hexadecimal_float(found["hexfloat"]))
    if kind == "float":
        return Word(WordKind.FLOAT, text, position, float(found["float"]))
    if kind == "name" and text != ":":
        return Word(WordKind.NAME, text, position)
    return Word(WordKind.SYMBOL, text, position)


def _pattern(found: re.Match[str]) -> str:
    """Return the inside of a string, as it is."""
    inside, start = found["inside"], found.start("inside")
    if not inside and found["quote"] == "'":
        refuse(found.start(), "nothing stands between these quotes")
    for escape in re.finditer(r"\\(.?)|[\n\0]", inside, re.DOTALL):
        if escape[0] == "\n":
            refuse(start + escape.start(), "a string ends on the line on which it begins")
        if escape[0] == "\0":
            refuse(start + escape.start(), "a string has no NUL in it")
        if escape[1] not in ("*", "\\"):
            refuse(start + escape.start(), r"a string has only the escapes \* and \\")
    return inside


def _integer(position: int, digits: str, base: int) -> int:
    # Digits first: Python makes no integer of thousands of them.
    if (base == 10 and len(digits) > 20) or (value := int(digits, base)) >= 1 << 64:
        refuse(position, "an integer has 64 bits at most")
    return value


def _hexadecimal_float(text: str) -> float:
    try:
        return float.fromhex(text)
    except OverflowError:
        return inf
