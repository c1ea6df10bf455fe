"""Every message of the genuine tools, unpacked and packed again; every cut of their streams."""

import contextlib
import itertools

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.errors import WireError
from lttngnet.wire import relay
from lttngnet.wire.framing import Answers, Commands, Packets
from lttngnet.wire.relay import Command, DataHeader
from tests.captures import Capture, scenarios

FIXED = {
    Command.VERSION: relay.Version,
    Command.GET_CONFIGURATION: relay.GetConfiguration,
    Command.BEGIN_DATA_PENDING: relay.SessionQuery,
    Command.END_DATA_PENDING: relay.SessionQuery,
    Command.QUIESCENT_CONTROL: relay.StreamQuery,
    Command.CLOSE_STREAM: relay.StreamPosition,
    Command.DATA_PENDING: relay.StreamPosition,
    Command.TRACE_CHUNK_EXISTS: relay.ChunkQuery,
    Command.CREATE_TRACE_CHUNK: relay.CreateTraceChunk,
    Command.CLOSE_TRACE_CHUNK: relay.CloseTraceChunk,
    Command.RESET_METADATA: relay.ResetMetadata,
}
BY_MINOR = {
    Command.CREATE_SESSION: relay.CreateSession,
    Command.ADD_STREAM: relay.AddStream,
    Command.SEND_INDEX: relay.SendIndex,
}
ANSWERS = {
    Command.VERSION: relay.Version,
    Command.GET_CONFIGURATION: relay.Configuration,
    Command.ADD_STREAM: relay.StreamAdded,
    Command.TRACE_CHUNK_EXISTS: relay.ChunkExists,
    Command.CLOSE_TRACE_CHUNK: relay.ChunkClosed,
}
# Fields that the genuine client leaves as it finds them in its memory: packed, ours are zeros.
UNCLEAN = {Command.ROTATE_STREAMS}


def answer_kind(command, minor):
    if command == Command.CREATE_SESSION:
        return relay.SessionCreated if minor >= 11 else relay.SessionCreated24
    return ANSWERS.get(command, relay.Status)


class CapturedMessagesTests(SynchronousTestCase):
    def test_every_command_packs_to_the_bytes_it_came_from(self):
        seen = set()
        for capture in scenarios():
            for connection in capture.connections("control"):
                for header, payload in Commands().feed(capture.bytes(connection, "c2s")):
                    command = Command(header.command)
                    seen.add((command, capture.minor))
                    with self.subTest(scenario=capture.name, command=command.name):
                        self.check(command, payload, capture.minor)
        self.assertIn((Command.CREATE_SESSION, 4), seen)
        self.assertIn((Command.CREATE_SESSION, 13), seen)
        self.assertGreaterEqual(len({command for command, _ in seen}), 15)

    def check(self, command, payload, minor):
        if command in FIXED:
            self.assertEqual(FIXED[command].unpack(payload).pack(), payload)
        elif command in BY_MINOR:
            message = BY_MINOR[command].unpack(payload, minor)
            packed = message.pack(minor)
            self.assertEqual(len(packed), len(payload))
            self.assertEqual(BY_MINOR[command].unpack(packed, minor), message)
            if minor >= 11:
                self.assertEqual(packed, payload)
        elif command == Command.ROTATE_STREAMS:
            message = relay.RotateStreams.unpack(payload)
            self.assertEqual(len(message.pack()), len(payload))
            self.assertEqual(relay.RotateStreams.unpack(message.pack()), message)
        elif command == Command.SEND_METADATA:
            self.assertEqual(relay.MetadataHeader.unpack(payload).pack(), payload[:12])
        else:
            self.assertEqual((command, payload), (Command.STREAMS_SENT, b""))

    def test_every_answer_packs_to_the_bytes_it_came_from(self):
        for capture in scenarios():
            for connection in capture.connections("control"):
                answers = Answers()
                for header, _ in Commands().feed(capture.bytes(connection, "c2s")):
                    if header.command != Command.SEND_METADATA:
                        answers.expect(answer_kind(header.command, capture.minor))
                data = capture.bytes(connection, "s2c")
                self.assertEqual(b"".join(a.pack() for a in answers.feed(data)), data, capture.name)
                self.assertEqual(len(answers), 0)

    def test_fields(self):
        capture = Capture("01-uid-simple")
        commands = list(Commands().feed(capture.bytes("control1", "c2s")))
        session = relay.CreateSession.unpack(commands[2][1], 13)
        self.assertEqual((session.name, session.hostname, session.chunk), ("s1", "vm", None))
        stream = relay.AddStream.unpack(commands[4][1], 13)
        self.assertEqual((stream.channel, stream.path), ("channel0_0", "ust/uid/0/64-bit"))


class LayoutTests(SynchronousTestCase):
    """Sizes as the protocol has them: relay protocol of lttng-tools 2.1 to 2.15."""

    def test_create_session(self):
        wanted = relay.CreateSession("s", "h")
        self.assertEqual(len(wanted.pack(4)), 327)
        self.assertEqual(len(wanted.pack(11)), 59 + 2 + 2 + 1)
        self.assertEqual(len(wanted.pack(15)), 63 + 2 + 2 + 1)

    def test_add_stream(self):
        wanted = relay.AddStream("c_0", "kernel")
        self.assertEqual(
            [len(wanted.pack(minor)) for minor in (1, 2, 10, 11)], [4360, 4376, 4376, 32 + 4 + 7]
        )

    def test_send_index(self):
        index = relay.SendIndex(*range(8))
        self.assertEqual([len(index.pack(minor)) for minor in (4, 7, 8)], [64, 64, 80])

    @given(
        chunk=st.none() | st.integers(0, 2**64 - 1),
        positions=st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1)), max_size=4),
        padding=st.sampled_from([7, 3, 0]),
        garbage=st.integers(0, 255),
    )
    def test_rotate_streams_from_any_compiler(self, chunk, positions, padding, garbage):
        question = relay.RotateStreams(chunk, tuple(positions))
        packed = question.pack()
        other = packed[:5] + bytes([garbage]) * padding + packed[12:]
        self.assertEqual(relay.RotateStreams.unpack(other), question)

    def test_rotate_streams_of_an_impossible_size(self):
        with self.assertRaises(WireError):
            relay.RotateStreams.unpack(relay.RotateStreams(1, ((1, 2),)).pack() + b"x")

    @given(
        name=st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=60),
        path=st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=60),
        live=st.integers(0, 2**32 - 1),
        chunk=st.none() | st.integers(0, 2**64 - 1),
        minor=st.sampled_from([11, 13, 15]),
    )
    def test_create_session_survives(self, name, path, live, chunk, minor):
        wanted = relay.CreateSession(name, "host", path, live, chunk=chunk)
        self.assertEqual(relay.CreateSession.unpack(wanted.pack(minor), minor), wanted)

    def test_texts_are_bounded(self):
        for wanted in (relay.CreateSession("n" * 255, "h"), relay.CreateSession("n", "h" * 256)):
            with self.assertRaises(WireError):
                wanted.pack(13)
        with self.assertRaises(WireError):
            relay.CreateSession("n", "h" * 64).pack(4)
        with self.assertRaises(WireError):
            relay.AddStream("c" * 264, "kernel").pack(13)

    @given(st.binary(max_size=200), st.sampled_from([4, 8, 11, 15]))
    def test_garbage_is_a_wire_error_or_a_message(self, data, minor):
        kinds = [relay.CreateSession, relay.AddStream, relay.SendIndex]
        for unpack in [
            *(lambda d, k=k: k.unpack(d, minor) for k in kinds),
            *(k.unpack for k in FIXED.values()),
        ]:
            with contextlib.suppress(WireError):
                unpack(data)

    def test_garbage_behind_a_name_is_not_read(self):
        payload = bytearray(relay.CreateSession("s1", "vm").pack(4))
        payload[3:255] = b"\xff" * 252
        self.assertEqual(relay.CreateSession.unpack(payload, 4).name, "s1")


class CutTests(SynchronousTestCase):
    """However the network cuts a stream, the messages are the same."""

    @given(cuts=st.lists(st.integers(0, 1600), max_size=12))
    def test_commands(self, cuts):
        data = Capture("14-sessiond-killed").bytes("control1", "c2s")
        commands = Commands()
        pieces = [message for piece in cut(data, cuts) for message in commands.feed(piece)]
        self.assertEqual(pieces, list(Commands().feed(data)))

    @given(cuts=st.lists(st.integers(0, 400), max_size=12))
    def test_answers(self, cuts):
        capture = Capture("01-uid-simple")
        data = capture.bytes("control1", "s2c")
        whole, cutup = Answers(), Answers()
        for header, _ in Commands().feed(capture.bytes("control1", "c2s")):
            if header.command != Command.SEND_METADATA:
                whole.expect(answer_kind(header.command, 13))
                cutup.expect(answer_kind(header.command, 13))
        self.assertEqual([a for piece in cut(data, cuts) for a in cutup.feed(piece)], list(whole.feed(data)))

    @given(
        cuts=st.lists(st.integers(0, 400), max_size=12),
        sizes=st.lists(st.integers(0, 60), min_size=1, max_size=6),
    )
    def test_packets(self, cuts, sizes):
        headers = [DataHeader(0, 7, number, size, 3) for number, size in enumerate(sizes)]
        data = b"".join(h.pack() + bytes([h.sequence]) * h.data_size for h in headers)
        packets, contents, done = Packets(), {}, []
        for piece in cut(data, cuts):
            for header, view, last in packets.feed(piece):
                contents[header.sequence] = contents.get(header.sequence, b"") + bytes(view)
                if last:
                    done.append(header)
        self.assertEqual(done, headers)
        self.assertEqual(contents, {h.sequence: bytes([h.sequence]) * h.data_size for h in headers})
        self.assertFalse(packets.inside)


class LimitTests(SynchronousTestCase):
    def test_a_command_that_announces_too_much(self):
        header = relay.CommandHeader(0, 2 << 20, Command.ADD_STREAM).pack()
        with self.assertRaises(WireError):
            list(Commands().feed(header))

    def test_metadata_may_be_larger(self):
        header = relay.CommandHeader(0, 2 << 20, Command.SEND_METADATA).pack()
        self.assertEqual(list(Commands().feed(header)), [])

    def test_an_answer_nobody_asked_for(self):
        with self.assertRaises(WireError):
            list(Answers().feed(b"hello"))

    def test_a_path_that_is_too_long(self):
        answers = Answers()
        answers.expect(relay.SessionCreated)
        with self.assertRaises(WireError):
            list(answers.feed(relay.SessionCreated.head.pack(1, 10, 5000)))


def cut(data, places):
    """Return the data in the pieces that these cuts make."""
    edges = sorted({0, *(place % (len(data) + 1) for place in places), len(data)})
    return [data[a:b] for a, b in itertools.pairwise(edges)]
