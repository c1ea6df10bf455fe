"""Data over UDP at the relay daemon: written when whole and told of, in order; what never comes ends."""

import gc
import socket
import weakref
from pathlib import Path
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.ctf.index import read_index
from lttngnet.errors import Code
from lttngnet.relayd import inlet
from lttngnet.relayd.datagrams import DatagramPort, Datagrams
from lttngnet.relayd.inlet import LONG_PATIENCE, LOOK, PATIENCE, TAIL_PATIENCE
from lttngnet.wire import datagram
from lttngnet.wire import relay as wire
from lttngnet.wire.datagram import OVERHEAD, Seal
from lttngnet.wire.relay.datagrams import (
    ALL,
    REPEATS,
    DatagramsOpened,
    Gap,
    LostPackets,
    Missing,
    MissingQuery,
    OpenDatagrams,
)
from lttngnet.wire.relay.extension import Extension
from tests.relayd.replaying import Relay
from tests.relayd.talking import PATH, Client

FOLDER = "vm/walk-20261122-124548"


class TimedRelay(Relay):
    """A relay daemon that takes datagrams, and whose time passes when it is told to."""

    step = 0.0

    def __init__(self, output, **more):
        super().__init__(output, **more)
        self.datagrams = self.store.datagrams = Datagrams(self.store.rounds, self._turns)
        self.datagrams.port = 5343
        self.datagrams.received = 1 << 22

    def wait(self, seconds):
        """Let time pass."""
        while seconds > 0:
            self._turns.advance(LOOK)
            seconds -= LOOK

    def take(self, one):
        answer = self.datagrams.take(memoryview(one))
        self.take_turns()
        return answer


class Sender(Client):
    """A client whose packets are datagrams."""

    def open(self, *names, flags=0, **more):
        """Do all that comes before the first packet; return the handles of the streams."""
        self.agree()
        self.create(**more)
        self.opened = DatagramsOpened.unpack(self.say(Extension.OPEN_DATAGRAMS, OpenDatagrams(flags).pack()))
        self.seal = Seal(self.opened.token)
        self.chunk()
        return [self.add(name) for name in names or ("chan_0",)]

    def cut(self, stream, sequence, content=b"x" * 6, padding=2, largest=OVERHEAD + 4):
        """Return the datagrams of a packet, whose content is 6 bytes: two."""
        pieces = datagram.fragments(
            self.seal, self.opened.connection, stream, sequence, memoryview(content), padding, largest
        )
        return [head + bytes(piece) for head, piece in pieces]

    def send(self, stream, sequence, *which, content=None):
        """Send these datagrams of a packet, or all."""
        cut = self.cut(stream, sequence, content or b"%06d" % sequence)
        for number in which or range(len(cut)):
            self.relay.take(cut[number])

    def ask(self, wanted=10):
        return Missing.unpack(self.say(Extension.DATAGRAMS_MISSING, MissingQuery(wanted).pack()))


class DatagramTestCase(SynchronousTestCase):
    def setUp(self):
        self.relay = TimedRelay(self.mktemp())
        self.client = Sender(self.relay)

    def read(self, name="chan_0", folder=FOLDER):
        """Return the numbers of the packets in a trace file, which has to be that of its index."""
        at = self.relay.output / folder / PATH
        if not (at / name).exists():
            return []
        data = (at / name).read_bytes()
        numbers = [int(data[begin : begin + 6]) for begin in range(0, len(data), 8)]
        entries = list(read_index((at / "index" / f"{name}.idx").read_bytes()) if data else ())
        self.assertEqual([entry.offset for entry in entries], list(range(0, len(data), 8)))
        self.assertEqual([entry.packet_sequence for entry in entries], numbers)
        return numbers


class ForgeryMixin:
    """Datagrams that nobody sent, and those that came before."""

    forgeries = 5_000

    def test_nothing_forged_or_replayed_changes_anything(self):
        """Datagrams changed, cut, joined, sealed by another token, and those that came before."""
        random = Random(7)
        (stream,) = self.client.open()
        other = Sender(self.relay)
        other.open(name="other")
        for number in range(20):
            self.client.index(stream, number)
            self.client.send(stream, number)
        self.client.index(stream, 20)
        self.client.send(stream, 20, 0)
        before, missing = self.relay.files(), self.client.ask()
        good = [one for number in range(23) for one in self.client.cut(stream, number)]
        told = good[:41]  # what was sent
        other.opened = DatagramsOpened(**vars(other.opened) | {"connection": self.client.opened.connection})
        wrong = [one for number in range(18, 23) for one in other.cut(stream, number)]
        (session, _) = self.relay.store.sessions.values()
        for _ in range(self.forgeries):
            forged = bytearray(random.choice(good))
            kind = random.randrange(6)
            if kind == 0:
                forged[random.randrange(len(forged))] ^= random.randrange(1, 256)
            elif kind == 1:
                del forged[random.randrange(len(forged)) :]
            elif kind == 2:
                forged += random.randbytes(random.randrange(1, 40))
            elif kind == 3:
                forged = bytearray(random.choice(wrong))
            elif kind == 4:
                forged = bytearray(random.choice(told))
            else:
                forged = bytearray(random.randbytes(random.randrange(200)))
            self.assertIsNone(self.relay.datagrams.take(memoryview(forged)))
        self.assertEqual((self.relay.files(), self.client.ask()), (before, missing))
        self.assertEqual(session.inlet.room, inlet.ROOM - 6)
        self.client.send(stream, 20, 1)
        self.assertEqual(self.read(), list(range(21)))


class ForgeryTests(ForgeryMixin, DatagramTestCase):
    pass


class DatagramTests(DatagramTestCase):
    def test_when_it_is_whole_and_told_of(self):
        (stream,) = self.client.open()
        self.client.send(stream, 0, 0)
        self.client.index(stream, 0)
        self.assertEqual(self.read(), [])
        self.assertEqual(self.client.pending(stream, 0), 1)
        self.client.send(stream, 0, 1)
        self.assertEqual(self.read(), [0])
        self.assertEqual(self.client.pending(stream, 0), 0)
        self.client.send(stream, 1)
        self.assertEqual(self.read(), [0])
        self.assertEqual(self.client.index(stream, 1), Code.OK)
        self.assertEqual(self.read(), [0, 1])

    def test_in_the_order_of_indexes(self):
        (stream,) = self.client.open()
        for number in range(3):
            self.client.index(stream, number)
        self.client.send(stream, 2)
        self.client.send(stream, 1)
        self.assertEqual(self.read(), [])
        self.client.send(stream, 0)
        self.assertEqual(self.read(), [0, 1, 2])

    def test_what_never_comes_is_left_out(self):
        (stream,) = self.client.open()
        for number in range(4):
            self.client.index(stream, number)
        for number in (0, 2):
            self.client.send(stream, number)
        self.client.send(stream, 3, 1)
        self.assertEqual((self.read(), self.client.pending(stream, 3)), ([0], 1))
        self.relay.wait(PATIENCE + LOOK)
        self.assertEqual((self.read(), self.client.pending(stream, 3)), ([0, 2], 1))
        self.relay.wait(TAIL_PATIENCE - PATIENCE)
        self.assertEqual((self.read(), self.client.pending(stream, 3)), ([0, 2], 0))
        self.assertEqual(self.client.ask().lost, 2)
        self.client.send(stream, 3)
        self.client.send(stream, 1)
        self.assertEqual(self.read(), [0, 2])
        self.client.control.close()
        self.assertEqual(self.relay.store.sessions, {})

    def test_who_sends_slowly_is_waited_for(self):
        """As long as pieces come, and none of a packet behind."""
        (stream,) = self.client.open()
        self.client.index(stream, 0)
        self.client.index(stream, 1)
        content = b"000000" + bytes(26)
        for one in self.client.cut(stream, 0, content, 0):
            self.relay.take(one)
            self.relay.wait(TAIL_PATIENCE - LOOK)
        self.client.send(stream, 1)
        (data,) = self.files("chan_0")
        self.assertEqual(data.read_bytes(), content + b"000001" + bytes(2))

    def test_the_first_packet_of_a_chunk_is_not_in_the_one_before(self):
        """The last of the old chunk is lost, and is known to be when the first of the new one is here."""
        (stream,) = self.client.open()
        for number in range(4):
            self.client.index(stream, number)
        for number in (0, 2, 3):
            self.client.send(stream, number)
        self.client.chunk(1)
        self.assertEqual(self.client.rotate(1, (stream, 2)), Code.OK)
        self.client.close_chunk(0, wire.CloseCommand.MOVE_TO_COMPLETED)
        self.relay.wait(PATIENCE + LOOK)
        contents = sorted(file.read_bytes() for file in self.files("chan_0"))
        self.assertEqual(contents, [b"000000" + bytes(2), b"000002" + bytes(2) + b"000003" + bytes(2)])

    def files(self, name):
        return [path for path in Path(self.relay.output).rglob(name) if path.is_file()]

    def test_a_stream_that_closes_with_a_packet_to_come(self):
        (stream,) = self.client.open()
        self.client.index(stream, 0)
        self.client.index(stream, 1)
        self.client.finish(stream, 1)
        self.client.send(stream, 0)
        self.client.send(stream, 1)
        self.assertEqual(self.read(), [0, 1])
        self.assertEqual(self.client.index(stream, 2), Code.UNKNOWN)

    def test_the_end_waits_a_moment_for_what_is_under_way(self):
        (stream, other) = self.client.open("chan_0", "chan_1")
        self.client.index(stream, 0)
        self.client.index(other, 0)
        self.client.index(other, 1)
        self.client.control.close()
        self.client.send(stream, 0)
        self.client.send(other, 1)
        self.assertEqual(self.read(), [0])
        self.assertEqual(len(self.relay.store.sessions), 1)
        self.relay.wait(PATIENCE + LOOK)
        self.assertEqual((self.read(), self.read("chan_1")), ([0], [1]))
        self.assertEqual(self.relay.store.sessions, {})
        strangers = self.relay.datagrams.strangers
        self.client.send(stream, 1)
        self.assertEqual(self.relay.datagrams.strangers, strangers + 2)

    def test_the_end_where_packets_are_repeated(self):
        """Nobody can ask for them any more."""
        (stream,) = self.client.open(flags=REPEATS)
        self.client.index(stream, 0)
        self.relay.wait(PATIENCE + LOOK)
        self.assertEqual(self.client.pending(stream, 0), 1)
        self.client.control.close()
        self.assertEqual(self.relay.store.sessions, {})

    def test_what_is_missing(self):
        (stream, other) = self.client.open("chan_0", "chan_1", flags=REPEATS)
        for number in range(3):
            self.client.index(stream, number)
        self.client.index(other, 0)
        self.client.send(stream, 0)
        self.client.send(stream, 1, 0)
        self.client.send(other, 0, 1)
        answer = self.client.ask()
        gaps = (Gap(stream, 1, ((4, 6),)), Gap(stream, 2, ((0, ALL),)), Gap(other, 0, ((0, 4),)))
        self.assertEqual((answer.code, answer.is_all, answer.lost), (Code.OK, True, 0))
        self.assertEqual(sorted(answer.gaps), sorted(gaps))
        self.assertEqual(answer.taken, 4 * OVERHEAD + 6 + 4 + 2)
        few = self.client.ask(2)
        self.assertEqual((len(few.gaps), few.is_all), (2, False))
        self.assertEqual(self.client.ask(0).gaps, ())
        self.client.send(stream, 1, 1)
        self.client.send(other, 0, 0)
        lost = LostPackets(((stream, 2), (other, 9)))
        self.assertEqual(self.client.status(Extension.DATAGRAMS_LOST, lost.pack()), Code.OK)
        self.assertEqual(
            self.client.ask(), Missing(Code.OK, answer.taken + 8 + 2 * OVERHEAD - 2, 1, self.window)
        )
        self.assertEqual((self.read(), self.read("chan_1")), ([0, 1], [0]))

    @property
    def window(self):
        return (1 << 22) // 4

    def test_even_who_repeats_is_not_waited_for_for_ever(self):
        (stream,) = self.client.open(flags=REPEATS)
        self.client.index(stream, 0)
        self.relay.wait(LONG_PATIENCE - 1)
        self.assertEqual(self.client.pending(stream, 0), 1)
        self.relay.wait(2)
        self.assertEqual(self.client.pending(stream, 0), 0)

    def test_room(self):
        """A session has so much room, and is told when there is little left."""
        self.patch(inlet, "ROOM", 1 << 17)
        (stream,) = self.client.open()
        self.assertEqual(self.client.opened.room, 1 << 17)
        large = bytes(1 << 16)
        for number in (1, 2, 3):
            for one in self.client.cut(stream, number, large, 0, 8000)[:1]:
                self.relay.take(one)
        self.assertEqual(self.client.ask().window, 0)
        (session,) = self.relay.store.sessions.values()
        self.assertEqual(session.inlet.refused, 1)
        self.client.index(stream, 1)
        self.relay.wait(PATIENCE + LOOK)
        self.assertEqual(self.client.ask().window, 1 << 16)

    def test_refusals(self):
        (stream,) = self.client.open()
        again = DatagramsOpened.unpack(self.client.say(Extension.OPEN_DATAGRAMS, OpenDatagrams(0).pack()))
        self.assertEqual(again.code, Code.INVALID_PROTOCOL)
        self.client.packet(stream, 0)
        self.assertTrue(self.client.data.is_closed)
        self.client.index(stream, 0)
        self.assertEqual(self.client.index(stream, 0), Code.UNKNOWN)

    def test_without_a_port(self):
        self.relay.datagrams.port = 0
        self.client.open()
        self.assertEqual(self.client.opened.code, Code.NOT_SUPPORTED)
        self.assertEqual(self.client.ask().code, Code.INVALID_PROTOCOL)

    def test_a_daemon_without_datagrams(self):
        self.relay.store.datagrams = None
        self.client.open()
        self.assertEqual(self.client.opened.code, Code.NOT_SUPPORTED)

    def test_snapshots_have_no_index_file(self):
        (stream,) = self.client.open(snapshot=True)
        self.client.send(stream, 0)
        self.assertEqual(self.client.index(stream, 0), Code.OK)
        (file,) = self.files("chan_0")
        self.assertEqual(file.read_bytes(), b"000000\0\0")
        self.assertEqual(self.files("*.idx"), [])

    def test_hello(self):
        self.client.open()
        number = self.client.opened.connection
        hello = datagram.hello(self.client.seal, number, 1, 900)
        answer = self.relay.take(hello)
        self.assertEqual(datagram.acknowledged(self.client.seal, number, answer), 900)
        self.assertIsNone(self.relay.take(datagram.hello(Seal(bytes(16)), number, 1, 900)))
        self.assertIsNone(self.relay.take(answer))
        self.assertEqual(self.relay.datagrams.strangers, 1)

    def test_a_disk_that_fails(self):
        (stream,) = self.client.open()
        (session,) = self.relay.store.sessions.values()

        def fail(*of):
            raise OSError(28, "No space left on device")

        self.patch(session.streams[stream], "receive", fail)
        self.client.index(stream, 0)
        self.client.send(stream, 0)
        self.assertEqual(session.streams, {})
        self.assertEqual(self.client.index(stream, 1), Code.UNKNOWN)
        self.assertTrue(self.client.control.is_closed)
        self.assertEqual(self.relay.store.sessions, {})

    def test_two_sessions(self):
        """One's token is none for the other's streams."""
        (stream,) = self.client.open()
        other = Sender(self.relay)
        (theirs,) = other.open(name="other")
        self.client.index(stream, 0)
        other.index(theirs, 0)
        self.client.send(theirs, 0)
        other.send(stream, 0)
        self.assertEqual(self.read(), [])
        self.client.send(stream, 0)
        other.send(theirs, 0)
        self.assertEqual(self.read(), [0])

    def left(self, ends_badly):
        """Return what a session was, with a packet that never comes."""
        client = Sender(self.relay)
        (stream,) = client.open()
        client.send(stream, 0)
        client.index(stream, 0)
        client.send(stream, 1, 0)
        client.index(stream, 1)
        (session,) = self.relay.store.sessions.values()
        found = [weakref.ref(each) for each in (session, session.inlet, session.streams[stream])]
        if ends_badly:
            client.index(99, 0)
        client.data.close()
        client.control.close()
        client.control.transport.producer = None  # as a real one does when it is lost
        self.relay.wait(TAIL_PATIENCE)
        return found

    def test_nothing_is_left(self):
        """What a session was is freed without the collector."""
        for ends_badly in (False, True):
            gc.collect()
            gc.disable()
            self.addCleanup(gc.enable)
            found = self.left(ends_badly)
            self.assertEqual([each() for each in found], [None] * 3)
            gc.enable()
        self.assertEqual(self.relay.datagrams._known, {})

    @settings(deadline=None, max_examples=60)
    @given(st.data())
    def test_any_loss_any_order(self, data):
        """Whatever is lost, doubled and disordered: a packet is there whole and in order, or counted."""
        self.relay = TimedRelay(self.mktemp())
        self.client = Sender(self.relay)
        (stream,) = self.client.open()
        count = data.draw(st.integers(1, 12))
        things = [("index", number) for number in range(count)]
        pieces = data.draw(st.lists(st.tuples(st.integers(0, count - 1), st.integers(0, 1)), max_size=40))
        order = data.draw(st.permutations([*[None] * len(things), *pieces]))
        indexes = iter(things)
        sent = set()
        for one in order:
            if one is None:
                self.client.index(stream, next(indexes)[1])
            else:
                self.client.send(stream, one[0], one[1])
                sent.add(one)
        self.relay.wait(TAIL_PATIENCE + LOOK)
        whole = [number for number in range(count) if {(number, 0), (number, 1)} <= sent]
        self.assertEqual(self.read(), whole)
        self.assertEqual(self.client.pending(stream, count - 1), 0)
        self.assertEqual(self.client.ask().lost, count - len(whole))


class PortTests(SynchronousTestCase):
    """The socket itself."""

    def setUp(self):
        self.reactor = MemoryReactorClock()
        self.taken = []
        self.datagrams = Datagrams(None, self.reactor)
        self.datagrams.take = lambda one: self.taken.append(bytes(one)) or b"seen"

    def listen(self, where=("127.0.0.1", 0), wanted=True):
        port = DatagramPort(self.reactor, self.datagrams, lambda: where, wanted, RuntimeError, lambda: 0.0)
        self.addCleanup(port.stopService)
        port.privilegedStartService()
        return port

    def test_listens(self):
        port = self.listen()
        self.assertEqual(self.reactor.getReaders(), [port])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.settimeout(10)
            peer.connect(("127.0.0.1", port.port))
            for size in (0, 5, 60000):
                peer.send(bytes(size))
            self.datagrams.look()
            self.assertEqual([len(one) for one in self.taken], [5, 60000])
            self.assertEqual(peer.recv(10), b"seen")
        port.stopService()
        self.assertEqual((self.reactor.getReaders(), port.port), ([], None))

    def test_many_that_the_system_hands_on_together(self):
        port = self.listen()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.connect(("127.0.0.1", port.port))
            try:
                peer.setsockopt(socket.IPPROTO_UDP, 103, 100)
                peer.send(b"".join(b"%02d" % number * 50 for number in range(10)) + b"end")
            except OSError as problem:
                self.skipTest(f"the system does not cut datagrams: {problem}")
        port.doRead()
        self.assertEqual(self.taken, [b"%02d" % number * 50 for number in range(10)] + [b"end"])

    def test_taken(self):
        port = self.listen()
        where = ("127.0.0.1", port.port)
        self.assertRaises(RuntimeError, self.listen, where)
        other = self.listen(where, wanted=False)
        self.assertEqual(other.fileno(), -1)
        self.assertEqual(self.reactor.getReaders(), [port])

    def test_nowhere(self):
        self.assertIsNone(self.listen(None).port)

    def test_a_defect_with_one_is_none_with_the_next(self):
        port = self.listen()

        def fail(one):
            if one == b"bad":
                raise ZeroDivisionError
            self.taken.append(bytes(one))

        self.datagrams.take = fail
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.connect(("127.0.0.1", port.port))
            peer.send(b"bad")
            peer.send(b"good")
        port.doRead()
        self.assertEqual(self.taken, [b"good"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
