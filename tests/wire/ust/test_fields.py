"""Descriptions of fields: what the tracer sends is understood, whatever else comes is refused."""

import contextlib
import struct

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.errors import WireError
from lttngnet.wire.ust import fields as ust
from lttngnet.wire.ust.fields import Encoding, EnumEntry, Field, Kind, entries, fields
from tests.wire.ust.describing import entry, integer, old_part, pack, pack_entries

U32 = st.integers(0, (1 << 32) - 1)
U16 = st.integers(0, (1 << 16) - 1)
U64 = st.integers(0, (1 << 64) - 1)
NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=60)
ENCODINGS = st.sampled_from(Encoding)

INTEGERS = st.builds(ust.Integer, U32, st.booleans(), st.booleans(), U32, ENCODINGS, U16)
PLAIN = st.one_of(
    INTEGERS,
    st.builds(ust.Float, U32, U32, st.booleans(), U16),
    st.builds(ust.String, ENCODINGS),
    st.builds(ust.Enumeration, NAMES, U64, INTEGERS),
)


def nested(inner):
    parts = st.lists(st.builds(Field, NAMES, inner), max_size=3).map(tuple)
    return st.one_of(
        st.builds(ust.Enumeration, NAMES, U64, inner),
        st.builds(ust.Array, U32, U32, inner),
        st.builds(ust.Sequence, NAMES, U32, inner),
        st.builds(ust.Struct, U32, parts),
        st.builds(ust.Variant, NAMES, U32, parts),
    )


FIELDS = st.lists(st.builds(Field, NAMES, st.recursive(PLAIN, nested, max_leaves=6)), max_size=5).map(tuple)
ENTRIES = st.lists(
    st.builds(EnumEntry, NAMES, *[st.integers(-1 << 63, (1 << 64) - 1)] * 2, st.booleans()), max_size=5
).map(tuple)

INT = ust.Integer(32, True, False, 10, Encoding.NONE, 8)
BYTE = ust.Integer(8, False, False, 16, Encoding.ASCII, 8)


def depth(field):
    """Return how many fields stand in each other."""
    match field:
        case Field(_, described):
            return depth(described)
        case ust.Enumeration(_, _, part) | ust.Array(_, _, part) | ust.Sequence(_, _, part):
            return 1 + depth(part)
        case ust.Struct(_, parts) | ust.Variant(_, _, parts):
            return 1 + max(map(depth, parts), default=0)
        case _:
            return 0


class FieldsTests(SynchronousTestCase):
    @given(FIELDS)
    def test_what_was_described(self, described):
        if max(map(depth, described), default=0) > ust.DEPTH_LIMIT:
            self.assertRaises(WireError, fields, pack(described))
        else:
            self.assertEqual(fields(memoryview(pack(described))), described)

    @given(FIELDS, st.data())
    def test_cut(self, described, data):
        """It is refused, or was not cut within a field."""
        packed = pack(described)
        cut = data.draw(st.integers(0, len(packed)))
        try:
            understood = fields(packed[:cut])
        except WireError:
            return
        self.assertEqual(understood, described[: len(understood)])

    @given(st.binary(max_size=30), st.integers(0, 12), st.integers(0, 3))
    def test_anything(self, body, kind, more):
        data = entry("a", kind, body) + bytes(ust.FIELD_SIZE) * more
        with contextlib.suppress(WireError):
            fields(data)

    def test_old_kinds(self):
        """Those of tracers before 2.13 hold their parts in themselves."""
        element = old_part(Kind.INTEGER, integer(BYTE))
        enumeration = struct.pack("=256s", b"mode") + integer(INT) + bytes(2) + struct.pack("=Q", 7)
        data = b"".join(
            [
                entry("array", Kind.OLD_ARRAY, element + struct.pack("=I", 3)),
                entry("sequence", Kind.OLD_SEQUENCE, old_part(Kind.INTEGER, integer(INT)) + element),
                entry("enum", Kind.OLD_ENUMERATION, enumeration),
                entry("of enums", Kind.OLD_ARRAY, old_part(Kind.OLD_ENUMERATION, enumeration) + b"\2"),
                entry("nothing", Kind.OLD_STRUCT, struct.pack("=I", 0)),
                entry("struct", Kind.OLD_STRUCT, struct.pack("=I", 1), pack([Field("a", INT)])),
                entry("one", Kind.OLD_VARIANT, struct.pack("=I256s", 1, b"tag"), pack([Field("b", INT)])),
            ]
        )
        self.assertEqual(
            fields(data),
            (
                Field("array", ust.Array(3, 0, BYTE)),
                Field("sequence", ust.Sequence(INT, 0, BYTE)),
                Field("enum", ust.Enumeration("mode", 7, INT)),
                Field("of enums", ust.Array(2, 0, ust.Enumeration("mode", 7, INT))),
                Field("nothing", ust.Struct(0, ())),
                Field("struct", ust.Struct(0, (Field("a", INT),))),
                Field("one", ust.Variant("tag", 0, (Field("b", INT),))),
            ),
        )

    def refused(self, data, why):
        self.assertIn(why, str(self.assertRaises(WireError, fields, data)))

    def test_refused(self):
        self.refused(bytes(919), "919 bytes are not a list")
        self.refused(bytes((ust.FIELDS_LIMIT + 1) * ust.FIELD_SIZE), "the limit is")
        self.refused(entry("a", 13, b""), "no kind of field has the number 13")
        self.refused(entry("a", -1, b""), "no kind of field has the number -1")
        self.refused(entry("a", Kind.STRING, struct.pack("=i", 3)), "no encoding has the number 3")
        self.refused(entry("a" * 256, Kind.STRING, b""), "a name without an end")
        self.refused(entry("a", Kind.ARRAY, b""), "where a part of one is due")
        self.refused(
            entry("a", Kind.STRUCT, struct.pack("=II", (1 << 32) - 1, 0)), "after 0 of 4294967295 members"
        )
        self.refused(entry("a", Kind.OLD_ARRAY, old_part(Kind.STRUCT, b"")), "STRUCT as a part")

    def test_deep(self):
        data = b"".join(entry("a", Kind.ARRAY, b"") for _ in range(ust.FIELDS_LIMIT))
        self.refused(data, f"deeper than {ust.DEPTH_LIMIT} others")


class EntriesTests(SynchronousTestCase):
    @given(ENTRIES)
    def test_what_was_described(self, described):
        self.assertEqual(entries(pack_entries(described)), described)

    def test_refused(self):
        self.assertRaises(WireError, entries, bytes(335))
        self.assertRaises(WireError, entries, bytes((ust.ENTRIES_LIMIT + 1) * ust.ENTRY_SIZE))
        self.assertRaises(WireError, entries, b"a" * 336)
