"""Descriptions of fields, as the tracer in an application sends them: a flat list in, a tree out.

An entry of a list is 920 bytes: a name, a kind, what belongs to the kind. Behind an enumeration stands the
entry of its container, behind an array or a sequence that of its elements, behind a structure or a variant
those of its members. Tracers older than 2.13 have kinds of their own, which hold such parts in themselves.
All in the byte order of this machine: an application of another is not traced.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct as Layout
from typing import TypeAlias

from lttngnet.errors import WireError
from lttngnet.wire.codec import Buffer, decode

FIELDS_LIMIT = 16384  # entries of one list: 15 MB
ENTRIES_LIMIT = 65536  # of one enumeration: 22 MB
DEPTH_LIMIT = 8  # of fields in fields; the tracer itself needs three

FIELD_SIZE = 920  # bytes of an entry of a list of fields
ENTRY_SIZE = 336  # and of a list of enumerators

_NAME = 256
_FIELD = Layout("=256si")
_INTEGER = Layout("=4IiH")
_FLOAT = Layout("=3IH")
_STRING = Layout("=i")
_ENUMERATION = Layout("=256sQ")
_OLD_ENUMERATION = Layout("=256s48xQ")  # between the two: the container, and what aligns the number
_ARRAY = Layout("=II")
_SEQUENCE = Layout("=256sI")
_STRUCT = Layout("=II")
_OLD_STRUCT = Layout("=I")
_VARIANT = Layout("=I256sI")
_OLD_VARIANT = Layout("=I256s")
_BASIC = Layout("=i312s")  # an old description of a part: its kind, and what belongs to it
_OLD_ARRAY = Layout("=316sI")
_OLD_SEQUENCE = Layout("=316s316s")
_ENTRY = Layout("=QB15xQB15x256sI28x")
_AUTOMATIC = 1
_SIGN = 1 << 63


class Kind(IntEnum):
    """What an entry describes."""

    INTEGER = 0
    OLD_ENUMERATION = 1
    OLD_ARRAY = 2
    OLD_SEQUENCE = 3
    STRING = 4
    FLOAT = 5
    OLD_VARIANT = 6
    OLD_STRUCT = 7
    ENUMERATION = 8
    ARRAY = 9
    SEQUENCE = 10
    STRUCT = 11
    VARIANT = 12


class Encoding(IntEnum):
    """Of an integer that is a character, and of a string."""

    NONE = 0
    UTF8 = 1
    ASCII = 2


@dataclass(frozen=True, slots=True)
class Integer:
    """Size and alignment in bits; base for readers; reversed: not in the byte order of the machine."""

    size: int
    signed: bool
    reversed: bool
    base: int
    encoding: Encoding
    alignment: int


@dataclass(frozen=True, slots=True)
class Float:
    """Digits and alignment in bits."""

    exponent: int
    mantissa: int
    reversed: bool
    alignment: int


@dataclass(frozen=True, slots=True)
class String:
    """Text that ends in NUL."""

    encoding: Encoding


@dataclass(frozen=True, slots=True)
class Enumeration:
    """Which enumeration: its name, and the number that we have given it."""

    name: str
    id: int
    container: "Type"


@dataclass(frozen=True, slots=True)
class Array:
    """A fixed number of elements; alignment in bytes, 0 where it is that of the element."""

    length: int
    alignment: int
    element: "Type"


@dataclass(frozen=True, slots=True)
class Sequence:
    """Elements, as many as the integer field of that name says, which stands before; alignment in bytes.

    Old tracers give instead the type of the length, which has no name.
    """

    length: "str | Type"
    alignment: int
    element: "Type"


@dataclass(frozen=True, slots=True)
class Struct:
    """Alignment in bytes."""

    alignment: int
    members: tuple["Field", ...]


@dataclass(frozen=True, slots=True)
class Variant:
    """One of the choices: that which the enumeration field named tag says; alignment in bytes."""

    tag: str
    alignment: int
    choices: tuple["Field", ...]


Type: TypeAlias = Integer | Float | String | Enumeration | Array | Sequence | Struct | Variant


@dataclass(frozen=True, slots=True)
class Field:
    """A field of an event or of a context."""

    name: str
    type: Type


@dataclass(frozen=True, slots=True)
class EnumEntry:
    """A label, and the values, from low to high, that it stands for; automatic: that after the one before."""

    label: str
    low: int
    high: int
    automatic: bool


def fields(data: Buffer) -> tuple[Field, ...]:
    """Return the fields that a list describes.

    Raises:
        WireError: it is cut, too long or too deep, or holds what the tracer cannot have meant. The message
            that it came in is whole all the same.
    """
    if len(data) % FIELD_SIZE:
        raise WireError(f"{len(data)} bytes are not a list of fields of {FIELD_SIZE} bytes")
    if len(data) > FIELDS_LIMIT * FIELD_SIZE:
        raise WireError(f"a list of {len(data) // FIELD_SIZE} fields, the limit is {FIELDS_LIMIT}")
    view = memoryview(data)
    listed = iter([view[start : start + FIELD_SIZE] for start in range(0, len(view), FIELD_SIZE)])
    return tuple(_field(entry, listed, 0) for entry in listed)


def entries(data: Buffer) -> tuple[EnumEntry, ...]:
    """Return the entries of an enumeration.

    Raises:
        WireError: they are cut, or too many.
    """
    if len(data) % ENTRY_SIZE:
        raise WireError(f"{len(data)} bytes are not a list of enumerators of {ENTRY_SIZE} bytes")
    if len(data) > ENTRIES_LIMIT * ENTRY_SIZE:
        raise WireError(f"a list of {len(data) // ENTRY_SIZE} enumerators, the limit is {ENTRIES_LIMIT}")
    return tuple(
        EnumEntry(
            _text(label), _value(low, low_signed), _value(high, high_signed), bool(options & _AUTOMATIC)
        )
        for low, low_signed, high, high_signed, label, options in _ENTRY.iter_unpack(data)
    )


def _field(entry: memoryview, following: Iterator[memoryview], depth: int) -> Field:
    """Return the field of an entry; its parts are taken from those that follow."""
    name, number = _FIELD.unpack_from(entry)
    if depth > DEPTH_LIMIT:
        raise WireError(f"a field deeper than {DEPTH_LIMIT} others: {_text(name)!r}")
    return Field(_text(name), _type(_kind(number), entry[_FIELD.size :], following, depth + 1))


def _type(kind: Kind, body: memoryview, following: Iterator[memoryview], depth: int) -> Type:
    match kind:
        case Kind.INTEGER | Kind.STRING | Kind.FLOAT | Kind.OLD_ENUMERATION:
            return _basic(kind, body)
        case Kind.ENUMERATION:
            name, number = _ENUMERATION.unpack_from(body)
            return Enumeration(_text(name), number, _part(following, depth))
        case Kind.ARRAY:
            length, alignment = _ARRAY.unpack_from(body)
            return Array(length, alignment, _part(following, depth))
        case Kind.SEQUENCE:
            length_name, alignment = _SEQUENCE.unpack_from(body)
            return Sequence(_text(length_name), alignment, _part(following, depth))
        case Kind.STRUCT:
            count, alignment = _STRUCT.unpack_from(body)
            return Struct(alignment, _parts(following, count, depth))
        case Kind.VARIANT:
            count, tag, alignment = _VARIANT.unpack_from(body)
            return Variant(_text(tag), alignment, _parts(following, count, depth))
        case Kind.OLD_ARRAY:
            element, length = _OLD_ARRAY.unpack_from(body)
            return Array(length, 0, _old_part(element))
        case Kind.OLD_SEQUENCE:
            length_type, element = _OLD_SEQUENCE.unpack_from(body)
            return Sequence(_old_part(length_type), 0, _old_part(element))
        case Kind.OLD_STRUCT:
            (count,) = _OLD_STRUCT.unpack_from(body)
            return Struct(0, _parts(following, count, depth))
        case Kind.OLD_VARIANT:
            count, tag = _OLD_VARIANT.unpack_from(body)
            return Variant(_text(tag), 0, _parts(following, count, depth))


def _basic(kind: Kind, body: Buffer) -> Type:
    """Return a type that has no parts, or one only, which it holds in itself."""
    match kind:
        case Kind.INTEGER:
            size, signed, swapped, base, encoding, alignment = _INTEGER.unpack_from(body)
            return Integer(size, bool(signed), bool(swapped), base, _encoding(encoding), alignment)
        case Kind.FLOAT:
            exponent, mantissa, swapped, alignment = _FLOAT.unpack_from(body)
            return Float(exponent, mantissa, bool(swapped), alignment)
        case Kind.STRING:
            return String(_encoding(*_STRING.unpack_from(body)))
        case Kind.OLD_ENUMERATION:
            name, number = _OLD_ENUMERATION.unpack_from(body)
            return Enumeration(_text(name), number, _basic(Kind.INTEGER, body[_NAME:]))
        case _:
            raise WireError(f"{kind.name} as a part of an old description")


def _part(following: Iterator[memoryview], depth: int) -> Type:
    for entry in following:
        return _field(entry, following, depth).type
    raise WireError("a list of fields ends where a part of one is due")


def _parts(following: Iterator[memoryview], count: int, depth: int) -> tuple[Field, ...]:
    # Not range(count): the number is the application's, and may be four milliards.
    parts: list[Field] = []
    while len(parts) < count:
        entry = next(following, None)
        if entry is None:
            raise WireError(f"a list of fields ends after {len(parts)} of {count} members")
        parts.append(_field(entry, following, depth))
    return tuple(parts)


def _old_part(data: bytes) -> Type:
    number, body = _BASIC.unpack_from(data)
    return _basic(_kind(number), body)


def _kind(number: int) -> Kind:
    try:
        return Kind(number)
    except ValueError:
        raise WireError(f"no kind of field has the number {number}") from None


def _encoding(number: int) -> Encoding:
    try:
        return Encoding(number)
    except ValueError:
        raise WireError(f"no encoding has the number {number}") from None


def _text(data: bytes) -> str:
    text, nul, _ = data.partition(b"\0")
    if not nul:
        raise WireError(f"a name without an end: {text[:40]!r}…")
    return decode(text)


def _value(value: int, signed: int) -> int:
    return value - 2 * _SIGN if signed and value >= _SIGN else value
