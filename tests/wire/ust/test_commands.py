"""Commands as bytes, compared with what C's structures say; and answers, whatever comes."""

import struct

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.errors import WireError
from lttngnet.wire.ust import commands
from lttngnet.wire.ust.commands import (
    Command,
    Context,
    ContextKind,
    EventRule,
    FieldEntry,
    FieldType,
    LoglevelType,
    Reply,
    Request,
    Tracepoint,
    TracepointField,
)
from lttngnet.wire.ust.registration import HOST

FOREIGN = "be" if HOST == "le" else "le"
U32 = st.integers(0, 2**32 - 1)
NAMES = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=63)


class RequestTests(SynchronousTestCase):
    def head(self, request):
        """Return handle, number, the command's own fields; and what follows."""
        data = request.pack()
        handle, number = struct.unpack_from("=II", data)
        self.assertEqual(data[8:40], bytes(32))
        return (handle, number, data[40:612]), data[612:]

    def test_the_size_is_always_that_of_the_largest(self):
        self.assertEqual(len(Request(0, Command.TRACER_VERSION).pack()), commands.REQUEST_SIZE)

    def test_without_fields(self):
        self.assertEqual(self.head(Request(7, Command.ENABLE)), ((7, 0x80, bytes(572)), b""))

    def test_the_other_byte_order(self):
        theirs = Request(1, Command.REGISTER_DONE, order=FOREIGN).pack()
        self.assertEqual(
            theirs[:8],
            b"".join(
                part[::-1] for part in struct.unpack("4s4s", Request(1, Command.REGISTER_DONE).pack()[:8])
            ),
        )

    def test_channel(self):
        (_, number, fields), tail = self.head(commands.channel(3, b"description", 0))
        self.assertEqual((number, struct.unpack_from("=Qi", fields), tail), (0x51, (11, 0), b"description"))
        with self.assertRaises(WireError):
            commands.channel(3, bytes(commands.CHANNEL_LIMIT + 1), 0)

    def test_stream(self):
        (_, number, fields), tail = self.head(commands.stream(3, 1 << 33, 5))
        self.assertEqual((number, struct.unpack_from("=QI", fields), tail), (0x60, (1 << 33, 5), b""))

    def test_event(self):
        rule = EventRule("demo:*", LoglevelType.RANGE, 6, 99)
        (_, number, fields), tail = self.head(commands.event(3, rule))
        self.assertEqual((number, tail), (0x61, b""))
        name = b"demo:*".ljust(256, b"\0")
        self.assertEqual(struct.unpack_from("=i256siiQ", fields), (0, name, 1, 6, 99))

    def test_plain_context(self):
        (_, number, fields), tail = self.head(commands.context(3, Context(ContextKind.VTID)))
        self.assertEqual((number, fields, tail), (0x70, bytes(572), b""))

    def test_perf_context(self):
        wanted = Context(ContextKind.PERF_THREAD_COUNTER, 4, 0xC0, name="perf_thread_raw_r0c0_cycles")
        (_, _, fields), tail = self.head(commands.context(3, wanted))
        self.assertEqual(struct.unpack_from("=i16xIQ", fields), (5, 4, 0xC0))
        self.assertEqual(fields[32:].rstrip(b"\0"), b"perf_thread_raw_r0c0_cycles")
        self.assertEqual(tail, b"")

    def test_context_of_the_application(self):
        wanted = Context(ContextKind.APPLICATION, provider="myprovider", name="state")
        (_, _, fields), tail = self.head(commands.context(3, wanted))
        self.assertEqual(struct.unpack_from("=i16xII", fields), (7, 11, 6))
        self.assertEqual(tail, b"myprovider\0state\0")
        with self.assertRaises(WireError):
            commands.context(3, Context(ContextKind.APPLICATION, provider="p" * 200, name="n" * 50))

    def test_filter(self):
        (_, number, fields), tail = self.head(commands.filter(3, b"bytecode", 5, 1))
        self.assertEqual((number, struct.unpack_from("=IIQ", fields), tail), (0xA0, (8, 5, 1), b"bytecode"))
        for code, offset in ((bytes(commands.FILTER_LIMIT + 1), 0), (b"code", 5)):
            with self.assertRaises(WireError):
                commands.filter(3, code, offset, 0)

    def test_exclusions(self):
        (_, number, fields), tail = self.head(commands.exclusions(3, ["demo:a*", "demo:b"]))
        self.assertEqual((number, struct.unpack_from("=I", fields)), (0xA1, (2,)))
        self.assertEqual(tail, b"demo:a*".ljust(256, b"\0") + b"demo:b".ljust(256, b"\0"))
        for names in ([], ["x"] * (commands.EXCLUSIONS_LIMIT + 1)):
            with self.assertRaises(WireError):
                commands.exclusions(3, names)

    def test_names_that_do_not_fit(self):
        for name in ("x" * 256, "a\0b", "é" * 128):
            for make in (
                lambda name: commands.event(1, EventRule(name)),
                lambda name: commands.exclusions(1, [name]),
                lambda name: commands.context(1, Context(ContextKind.PERF_THREAD_COUNTER, name=name)),
                lambda name: commands.context(1, Context(ContextKind.APPLICATION, provider="p", name=name)),
            ):
                with self.assertRaises(WireError):
                    make(name)

    @given(name=NAMES)
    def test_any_name(self, name):
        (_, _, fields), _ = self.head(commands.event(1, EventRule(name)))
        self.assertEqual(fields[4:260].split(b"\0")[0].decode(), name)


class ReplyTests(SynchronousTestCase):
    @given(handle=U32, number=U32, error=st.integers(-2048, 0), value=U32)
    def test_both_byte_orders(self, handle, number, error, value):
        reply = Reply(handle, number, error, value, bytes(276))
        for order in (HOST, FOREIGN):
            self.assertEqual(Reply.unpack(reply.pack(order), order), reply)

    def test_cut(self):
        with self.assertRaises(WireError):
            Reply.unpack(bytes(commands.REPLY_SIZE - 1))

    def test_version(self):
        reply = Reply(0, 0x41, 0, 0, struct.pack("=3I", 2, 13, 5))
        self.assertEqual(Reply.unpack(reply.pack()).version(), (2, 13, 5))

    @given(content=st.binary(min_size=276, max_size=276))
    def test_any_tracepoint(self, content):
        listed = Reply(0, 0x90, 0, 0, content).tracepoint()
        self.assertNotIn("\0", listed.name)

    def test_tracepoint(self):
        content = struct.pack("=256si16x", b"demo:tick", 13)
        self.assertEqual(Reply(0, 0x90, 0, 0, content).tracepoint(), Tracepoint("demo:tick", 13))

    def test_field(self):
        data = struct.pack("=256s256siii284x", b"demo:tick", b"n", 1, 13, 1)
        self.assertEqual(len(data), commands.FIELD_ENTRY_SIZE)
        expected = TracepointField("demo:tick", "n", FieldType.INTEGER, 13, True)
        self.assertEqual(FieldEntry.unpack(data).to_field(), expected)

    @given(data=st.binary(min_size=524, max_size=808))
    def test_any_field(self, data):
        self.assertIsInstance(FieldEntry.unpack(data).to_field().type, FieldType)
