"""Descriptions of fields as bytes, the way the tracer in an application writes them: to be read back."""

import struct

from lttngnet.wire.codec import encode
from lttngnet.wire.ust.fields import (
    ENTRY_SIZE,
    FIELD_SIZE,
    Array,
    Enumeration,
    Float,
    Integer,
    Kind,
    Sequence,
    String,
    Struct,
    Variant,
)

_BASIC_SIZE = 312


def pack(fields):
    """Return a list of fields, each followed by its parts."""
    return b"".join(_field(field.name, field.type) for field in fields)


def pack_entries(entries):
    """Return a list of enumerators."""
    return b"".join(
        struct.pack(
            "=QB15xQB15x256sI",
            entry.low % (1 << 64),
            entry.low < 0,
            entry.high % (1 << 64),
            entry.high < 0,
            encode(entry.label),
            entry.automatic,
        ).ljust(ENTRY_SIZE, b"\0")
        for entry in entries
    )


def entry(name, kind, body, *parts):
    """Return an entry of a list, and its parts behind it."""
    head = struct.pack("=256si", encode(name), kind)
    return (head + body).ljust(FIELD_SIZE, b"\0") + b"".join(parts)


def integer(described):
    """Return what belongs to an integer."""
    return struct.pack(
        "=4IiH24x",
        described.size,
        described.signed,
        described.reversed,
        described.base,
        described.encoding,
        described.alignment,
    )


def old_part(kind, body):
    """Return an old description of a part of a field."""
    return struct.pack("=i", kind) + body.ljust(_BASIC_SIZE, b"\0")


def _field(name, described):
    match described:
        case Integer():
            return entry(name, Kind.INTEGER, integer(described))
        case Float(exponent, mantissa, swapped, alignment):
            return entry(name, Kind.FLOAT, struct.pack("=3IH", exponent, mantissa, swapped, alignment))
        case String(encoding):
            return entry(name, Kind.STRING, struct.pack("=i", encoding))
        case Enumeration(enumeration, number, container):
            body = struct.pack("=256sQ", encode(enumeration), number)
            return entry(name, Kind.ENUMERATION, body, _field("", container))
        case Array(length, alignment, element):
            return entry(name, Kind.ARRAY, struct.pack("=II", length, alignment), _field("", element))
        case Sequence(str(length), alignment, element):
            body = struct.pack("=256sI", encode(length), alignment)
            return entry(name, Kind.SEQUENCE, body, _field("", element))
        case Struct(alignment, members):
            return entry(name, Kind.STRUCT, struct.pack("=II", len(members), alignment), pack(members))
        case Variant(tag, alignment, choices):
            body = struct.pack("=I256sI", len(choices), encode(tag), alignment)
            return entry(name, Kind.VARIANT, body, pack(choices))
    raise AssertionError(described)
