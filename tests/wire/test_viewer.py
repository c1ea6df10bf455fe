"""The live protocol: layouts as captured, framing however the network cuts."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.errors import WireError
from lttngnet.wire import viewer as wire
from lttngnet.wire.framing import Requests, UnknownCommand
from lttngnet.wire.listing import SessionList, SessionRecord
from lttngnet.wire.viewer import StreamList, StreamRecord, request
from tests.captures import Capture

LIVE = ("03-live-uid", "11-live-pid-newstreams", "21-live-clear")
ANSWERS = {
    "CONNECT_REPLY": wire.Connect,
    "CREATE_SESSION_REPLY": wire.Status,
    "DETACH_SESSION_REPLY": wire.Status,
    "ATTACH_SESSION_REPLY": StreamList,
    "GET_NEW_STREAMS_REPLY": StreamList,
    "GET_NEXT_INDEX_REPLY": wire.NextIndex,
    "GET_PACKET_REPLY": wire.PacketHead,
    "GET_METADATA_REPLY": wire.MetadataHead,
}
NUMBERS = st.integers(0, (1 << 64) - 1)
SHORT = st.integers(0, (1 << 32) - 1)
QUESTIONS = st.one_of(
    st.builds(wire.Connect, NUMBERS, SHORT, SHORT, SHORT),
    st.builds(wire.ListSessions),
    st.builds(wire.CreateSession),
    st.builds(wire.Attach, NUMBERS, NUMBERS, SHORT),
    st.builds(wire.Detach, NUMBERS),
    st.builds(wire.GetNextIndex, NUMBERS),
    st.builds(wire.GetPacket, NUMBERS, NUMBERS, SHORT),
    st.builds(wire.GetMetadata, NUMBERS),
    st.builds(wire.GetNewStreams, NUMBERS),
)
SESSION = SessionRecord(7, 500000, 2, 3, "host", "name")


def questions(requests):
    return list(iter(requests.next, None))


class CaptureTests(SynchronousTestCase):
    def entries(self, direction):
        for name in LIVE:
            for entry in Capture(name).entries("live"):
                if entry["dir"] == direction and entry["hex"]:
                    yield entry["msg"], bytes.fromhex(entry["hex"])

    def test_questions(self):
        seen = set()
        for message, data in self.entries("c2s"):
            requests = Requests()
            requests.receive(data)
            (question,) = questions(requests)
            self.assertEqual(wire.Command[message], wire.COMMANDS[type(question)])
            self.assertEqual(request(question), data)
            seen.add(message)
        self.assertEqual(seen, {command.name for command in wire.Command})

    def test_answers(self):
        for message, data in self.entries("s2c"):
            if message == "LIST_SESSIONS_REPLY":
                self.assertEqual(SessionList.unpack(data, 13).pack(), data)
            else:
                answer = ANSWERS[message].unpack(data)
                self.assertEqual(answer.pack(), data[: len(answer.pack())])
                body = len(data) - len(answer.pack())
                self.assertEqual(getattr(answer, "length", 0), body)


class RequestTests(SynchronousTestCase):
    @given(st.lists(QUESTIONS, max_size=6), st.data())
    def test_any_cut(self, asked, data):
        stream = b"".join(map(request, asked))
        cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
        requests, found = Requests(), []
        for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
            requests.receive(stream[start:end])
            found += questions(requests)
        self.assertEqual(found, asked)

    def test_what_the_header_says_of_the_size_does_not_count(self):
        data = request(wire.Detach(5)) + request(wire.ListSessions())
        for size in (0, 1 << 63):
            requests = Requests()
            requests.receive(size.to_bytes(8, "big") + data[8:])
            self.assertEqual(questions(requests), [wire.Detach(5), wire.ListSessions()])

    def test_unknown(self):
        for command in (0, 10, 1 << 31):
            requests = Requests()
            requests.receive(wire.RequestHeader(0, command).pack())
            with self.assertRaises(UnknownCommand):
                requests.next()


class AnswerTests(SynchronousTestCase):
    def test_sizes(self):
        self.assertEqual(len(SessionList((SESSION, SESSION)).pack()), 4 + 2 * 339)
        self.assertEqual(len(StreamList(1, (StreamRecord(1, 2, 0, "a", "b"),)).pack()), 8 + 4371)
        self.assertEqual(len(wire.NextIndex(*[0] * 9).pack()), 64)

    def test_long_names_in_a_listing(self):
        long = SESSION._replace(hostname="ö" * 127, name="n" * 255)
        old = SessionList((long, SESSION), 13).pack()
        first, second = SessionList.unpack(old, 13).sessions
        self.assertEqual(second, SESSION)
        self.assertEqual(first.hostname.encode(errors="surrogateescape"), ("ö" * 127).encode()[:63])
        self.assertEqual(first.name, "n" * 254)
        new = SessionList((long, SESSION), 15)
        self.assertEqual(len(new.pack()), 4 + 2 * 32 + 254 + 255 + 8)
        self.assertEqual(SessionList.unpack(new.pack(), 15), new)

    def test_too_short(self):
        for minor in (13, 15):
            data = SessionList((SESSION,), minor).pack()
            for end in (5, len(data) - 1):
                with self.assertRaises(WireError):
                    SessionList.unpack(data[:end], minor)
        with self.assertRaises(WireError):
            StreamList.unpack(StreamList(1, (StreamRecord(1, 2, 0, "a", "b"),)).pack()[:-1])
