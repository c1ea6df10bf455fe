"""Metadata text (TSDL) of what applications describe, in LTTng's spelling.

Applications are not trusted, and those of a user share a trace: what would make its metadata unreadable, and
with it what the others have recorded, is put right where it can be, and refused where not. So names that no
reader would take are altered: in the metadata of LTTng itself they are a syntax error.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

from lttngnet.ctf.tsdl import quote
from lttngnet.errors import WireError
from lttngnet.wire.ust import fields as ust
from lttngnet.wire.ust.fields import Encoding, EnumEntry, Field, Type

TEXT_LIMIT = 4 << 20  # characters of the fields of one event; a few numbers may stand for many long labels

_BASES = (2, 8, 10, 16)
_FLOATS = ((8, 24), (11, 53))  # digits of those that readers know …
_BYTE = "integer { size = 8; align = 8; signed = 0; encoding = none; base = 16; }"  # … others: so many bytes
_INTEGER_LIMIT = 64  # bits
_FLOAT_LIMIT = 1024  # bits
_SIGNED_MAX = (1 << 63) - 1
_ALIGNMENT_LIMIT = 4096  # bytes
_CHOICES_LIMIT = 4096  # values of the tag of a variant
_OPPOSITE = {"le": "be", "be": "le"}
_ENCODINGS = {Encoding.NONE: "none", Encoding.UTF8: "UTF8", Encoding.ASCII: "ASCII"}


class Refused(WireError):
    """A description that cannot stand in the metadata; the text says why."""


def check_enumeration(entries: Sequence[EnumEntry]) -> None:
    """Make sure that fields can be of an enumeration.

    Raises:
        Refused: it has no entries, or one that ends before it begins.
    """
    if not entries:
        raise Refused("an enumeration without entries")
    for entry in entries:
        if entry.low > entry.high and not entry.automatic:
            raise Refused(f"an enumeration of values from {entry.low} to {entry.high}")


def stream(number: int, context: str) -> str:
    """Return the description of a stream, whose context was written by `structure`."""
    return (
        f"stream {{\n\tid = {number};\n"
        "\tevent.header := struct event_header_large;\n"
        "\tpacket.context := struct packet_context;\n"
        + (f"\tevent.context := struct {{\n{context}\t}};\n" if context else "")
        + "};\n\n"
    )


def event(number: int, stream_number: int, name: str, loglevel: int, uri: str, payload: str) -> str:
    """Return the description of an event, whose fields were written by `structure`."""
    level = f"\tloglevel = {loglevel};\n" if loglevel >= 0 else ""  # no reader takes a negative one
    model = f"\tmodel.emf.uri = {quote(uri)};\n" if uri else ""
    return (
        f"event {{\n\tname = {quote(name)};\n\tid = {number};\n\tstream_id = {stream_number};\n"
        f"{level}{model}\tfields := struct {{\n{payload}\t}};\n}};\n\n"
    )


def structure(
    described: Iterable[Field], byte_order: str, enumerations: Mapping[int, Sequence[EnumEntry]]
) -> str:
    """Return the members of a structure, a field in each line; "" if there are none.

    Args:
        described: the fields.
        byte_order: of the trace.
        enumerations: those that the fields may be of, by their numbers.

    Raises:
        Refused: a field cannot be written, or all together are too long.
    """
    written = _Structure(byte_order, enumerations)
    for field in described:
        written.add(field)
    return written.text()


class _Structure:
    """What was written of a structure, and which of its fields those that follow may name."""

    def __init__(self, byte_order: str, enumerations: Mapping[int, Sequence[EnumEntry]]) -> None:
        self._byte_order = byte_order
        self._enumerations = enumerations
        self._lines: list[str] = []
        self._room = TEXT_LIMIT
        self._taken: dict[str, int] = {}  # identifiers, and the number last put behind each
        self._fields: dict[str, tuple[str, Type]] = {}  # by name, what it became

    def text(self) -> str:
        return "".join(self._lines)

    def add(self, field: Field) -> None:
        identifier = self._identifier(field.name)
        match field.type:
            case ust.Array(length, alignment, element):
                self._padding(field.name, 8 * alignment)
                self._line(f"{self._integer(element)} {identifier}[{length}];")
            case ust.Sequence(length_field, alignment, element):
                counted_by = self._length(field.name, length_field)
                self._padding(field.name, 8 * alignment)
                self._line(f"{self._integer(element)} {identifier}[ {counted_by} ];")
            case ust.Float(exponent, mantissa, _, alignment) if (exponent, mantissa) not in _FLOATS:
                self._padding(field.name, alignment)
                self._line(f"{_BYTE} {identifier}[{_bytes(exponent + mantissa)}];")
            case ust.Variant():
                self._variant(field.name, identifier, field.type)
            case _:
                self._plain(identifier, field.type, "")
        self._fields[field.name] = identifier, field.type

    def _plain(self, identifier: str, described: Type, tabs: str) -> None:
        """Write a field that needs no other."""
        match described:
            case ust.Integer():
                self._line(f"{tabs}{self._integer(described)} {identifier};")
            case ust.Float(exponent, mantissa, _, alignment):
                if (exponent, mantissa) not in _FLOATS:
                    raise Refused(f"a floating point number of {exponent} and {mantissa} digits")
                self._line(
                    f"{tabs}floating_point {{ exp_dig = {exponent}; mant_dig = {mantissa};"
                    f" align = {alignment_of(alignment)};{self._order(described)} }} {identifier};"
                )
            case ust.String(encoding):
                written = " { encoding = ASCII; }" if encoding is Encoding.ASCII else ""
                self._line(f"{tabs}string{written} {identifier};")
            case ust.Enumeration():
                self._enumeration(identifier, described, tabs)
            case ust.Struct(alignment, members):
                if members:
                    raise Refused("a structure with members")
                written = f" align({alignment_of(alignment * 8)})" if alignment else ""
                self._line(f"{tabs}struct {{}}{written} {identifier};")
            case _:
                raise Refused(f"{type(described).__name__} where only plain fields can be")

    def _integer(self, described: Type, what: str = "elements") -> str:
        if not isinstance(described, ust.Integer):
            raise Refused(f"{what} that are no integers: {type(described).__name__}")
        if not 0 < described.size <= _INTEGER_LIMIT:
            raise Refused(f"an integer of {described.size} bits")
        if described.base not in _BASES:
            raise Refused(f"an integer in base {described.base}")
        return (
            f"integer {{ size = {described.size}; align = {alignment_of(described.alignment)};"
            f" signed = {int(described.signed)}; encoding = {_ENCODINGS[described.encoding]};"
            f" base = {described.base};{self._order(described)} }}"
        )

    def _order(self, described: ust.Integer | ust.Float) -> str:
        return f" byte_order = {_OPPOSITE[self._byte_order]};" if described.reversed else ""

    def _padding(self, name: str, alignment: int) -> None:
        if alignment:
            identifier = self._identifier(f"{name}_padding")
            self._line(f"struct {{ }} align({alignment_of(alignment)}) {identifier};")

    def _length(self, name: str, described: str | Type) -> str:
        """Return the identifier of the field that holds the length of a sequence."""
        if not isinstance(described, str):  # it has none of its own
            length = described
            identifier = self._identifier(f"_{name}_length")
            self._line(f"{self._integer(length, 'lengths')} {identifier};")
        elif described in self._fields:
            identifier, length = self._fields[described]
        else:
            raise Refused(f"a sequence {name!r} without a length {described!r} before it")
        if not isinstance(length, ust.Integer) or length.signed:
            raise Refused(f"a sequence {name!r}, whose length is not unsigned")
        return identifier

    def _enumeration(self, identifier: str, described: ust.Enumeration, tabs: str) -> None:
        container = self._integer(described.container, "containers")
        self._line(f"{tabs}enum : {container} {{")
        for entry in self._entries(described):
            for values in _values(entry, described.container):
                self._line(f"{tabs}\t{quote(entry.label)}{values},")
        self._line(f"{tabs}}} {identifier};")

    def _entries(self, described: ust.Enumeration) -> Sequence[EnumEntry]:
        try:
            return self._enumerations[described.id]
        except KeyError:
            raise Refused(f"an enumeration {described.name!r} that was not described") from None

    def _variant(self, name: str, identifier: str, described: ust.Variant) -> None:
        tag_identifier, tag = self._fields.get(described.tag, ("", None))
        if not isinstance(tag, ust.Enumeration):
            raise Refused(f"a variant {name!r} without an enumeration {described.tag!r} before it")
        names = [_identifier(choice.name) for choice in described.choices]
        if len(set(names)) < len(names) or _choices(tag, self._entries(tag)) != set(names):
            raise Refused(f"a variant {name!r} whose choices are not those of {described.tag!r}")
        self._padding(name, 8 * described.alignment)
        self._line(f"variant <{tag_identifier}> {{")
        for choice, choice_identifier in zip(described.choices, names, strict=True):
            self._plain(choice_identifier, choice.type, "\t")
        self._line(f"}} {identifier};")

    def _identifier(self, name: str) -> str:
        """Return a name as readers take it, that no other field of the structure has."""
        wanted = identifier = _identifier(name)
        while identifier in self._taken:
            self._taken[wanted] += 1
            identifier = f"{wanted}_{self._taken[wanted]}"
        self._taken[identifier] = 1
        return identifier

    def _line(self, text: str) -> None:
        self._room -= len(text) + 3
        if self._room < 0:
            raise Refused(f"fields whose description has more than {TEXT_LIMIT} characters")
        self._lines.append(f"\t\t{text}\n")


def _identifier(name: str) -> str:
    """Return a name as an identifier: readers drop the underscore in front, which keeps it off keywords."""
    return "_" + (re.sub(r"[^A-Za-z0-9_]", "_", name) or "_")


def _values(entry: EnumEntry, container: Type) -> list[str]:
    """Return the values of an entry as they are written behind its label: mostly all at once.

    A sloppy program may have values that its container has not. The tracer records such a one cut to the size
    of the container, and of what it has no reader may make a range that ends before it begins.
    """
    assert isinstance(container, ust.Integer)
    low, high = entry.low, entry.high
    if entry.automatic:
        return [""]
    if container.signed:
        ranges = [(low, min(high, _SIGNED_MAX) if low <= _SIGNED_MAX else high)]
    else:
        size = 1 << container.size
        below = [(max(low, -size) % size, max(min(high, -1), -size) % size)] if low < 0 else []
        ranges = below + ([(max(low, 0), high)] if high >= 0 else [])
    return [f" = {low}" if low == high else f" = {low} ... {high}" for low, high in ranges]


def _choices(tag: ust.Enumeration, entries: Sequence[EnumEntry]) -> set[str]:
    """Return the labels of an enumeration that chooses in a variant; no value may have two of them.

    Raises:
        Refused: one has, or its container has not that value.
    """
    assert isinstance(tag.container, ust.Integer)
    labels: dict[int, str] = {}
    size = 1 << tag.container.size
    first = -size // 2 if tag.container.signed else 0
    after = 0
    for entry in entries:
        low, high = (after, after) if entry.automatic else (entry.low, entry.high)
        if low < first or high >= first + size or high - low + len(labels) >= _CHOICES_LIMIT:
            raise Refused(f"an enumeration {tag.name!r} that cannot choose: {entry.label!r}, {low} to {high}")
        for value in range(low, high + 1):
            if labels.setdefault(value, entry.label) != entry.label:
                raise Refused(f"an enumeration {tag.name!r} in which {value} is {labels[value]!r} and more")
        after = high + 1
    return set(labels.values())


def _bytes(bits: int) -> int:
    if bits % 8 or not 0 < bits <= _FLOAT_LIMIT:
        raise Refused(f"a floating point number of {bits} bits")
    return bits // 8


def alignment_of(bits: int) -> int:
    """Return an alignment, if it is one that a machine can have.

    Raises:
        Refused: it is not.
    """
    if not 0 < bits <= 8 * _ALIGNMENT_LIMIT or bits & (bits - 1):
        raise Refused(f"an alignment of {bits} bits")
    return bits
