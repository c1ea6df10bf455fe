"""Sockets that are lent: what is read, what is sent, and whose they are in the end."""

import select
import socket
import tempfile

from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import Protocol
from twisted.internet.tcp import Server
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.relayd.plane import COPIED, HELD, LEAST_READ, READ, Plane
from lttngnet.relayd.turns import TURN, Rounds
from tests.relayd.hostility import HastyClock
from tests.relayd.twins import accept, compiled_plane, python_plane


class Channel(Protocol):
    """Takes what comes; says what it is told to say to each."""

    def __init__(self, plane):
        self.plane = plane
        self.pieces, self.kept, self.lost, self.rest = [], [], [], 0
        self.answers = ()
        self.keeps = False

    def connectionMade(self):
        self.transport = self.plane.lend(self.transport, self)

    def received(self, piece):
        self.pieces.append(bytes(piece))
        if self.keeps:
            self.kept.append(piece)
        for answer in self.answers:
            self.transport.write(answer)
        return not self.keeps

    def dataReceived(self, data):
        self.received(data)

    def missing(self):
        return self.rest

    def connectionLost(self, reason):
        self.lost.append(reason.type.__name__)
        self.plane.take_back(self.transport)


class Defect(Exception):
    pass


class PlaneTestCase(SynchronousTestCase):
    make_plane = staticmethod(python_plane)

    def setUp(self):
        self.reactor = MemoryReactorClock()
        self.rounds = Rounds(self.reactor)
        self.plane = self.make_plane(self.reactor, self.rounds, self.reactor.seconds, looks=False)
        self.addCleanup(self.plane.close)

    def connect(self):
        """Return a channel, and the socket of its peer."""
        channel = Channel(self.plane)
        transport, peer = accept(channel, self.reactor)
        peer.settimeout(10)
        self.addCleanup(peer.close)
        self.addCleanup(transport.socket.close)
        return channel, peer

    def serve(self, channel, length):
        """Let the plane read until so much has come."""
        while sum(map(len, channel.pieces)) < length:
            self.plane.doRead()
            self.reactor.advance(0)


class ReadingTests(PlaneTestCase):
    def test_the_plane_is_all_that_the_reactor_reads_from(self):
        self.assertEqual(self.reactor.getReaders(), [])
        self.connect()
        self.connect()
        self.assertEqual((self.reactor.getReaders(), len(self.plane)), ([self.plane], 2))

    def test_what_comes(self):
        channel, peer = self.connect()
        peer.sendall(b"hello")
        self.serve(channel, 5)
        self.assertEqual(channel.pieces, [b"hello"])

    def test_larger_pieces(self):
        channel, peer = self.connect()
        data = bytes(range(256)) * 4096
        sent = 0
        peer.setblocking(False)
        while sent < len(data):
            sent += peer.send(data[sent:])
            self.serve(channel, sent)
        self.assertEqual(b"".join(channel.pieces), data)
        self.assertLessEqual(max(map(len, channel.pieces)), READ)

    def test_what_is_not_done_with_is_not_written_over(self):
        channel, peer = self.connect()
        channel.keeps = True
        said = [bytes([number]) * (COPIED * 2) for number in range(3)]
        for each in said:
            before = sum(map(len, channel.pieces))
            peer.sendall(each)
            self.serve(channel, before + len(each))
        self.assertEqual(b"".join(map(bytes, channel.kept)), b"".join(said))

    def test_small_reads_are_copied(self):
        channel, peer = self.connect()
        channel.keeps = True
        for each in (b"first", b"then!"):
            before = sum(map(len, channel.pieces))
            peer.sendall(each)
            self.serve(channel, before + 5)
        self.assertEqual(channel.kept, [b"first", b"then!"])

    def test_many_connections_share_the_memory(self):
        self.assertGreaterEqual(HELD // LEAST_READ, 400)  # those that a daemon commonly has

    def test_paused(self):
        channel, peer = self.connect()
        channel.transport.pauseProducing()
        peer.sendall(b"hello")
        self.plane.doRead()
        self.assertEqual(channel.pieces, [])
        channel.transport.resumeProducing()
        self.serve(channel, 5)
        self.assertEqual(channel.pieces, [b"hello"])

    def test_a_packet_that_is_not_whole_wakes_nobody(self):
        channel, peer = self.connect()
        channel.rest = 100_000
        peer.sendall(b"h")
        self.serve(channel, 1)
        peer.sendall(bytes(50_000))
        self.plane.doRead()
        self.assertEqual(channel.pieces, [b"h"])
        channel.rest = 0
        peer.sendall(bytes(50_000))
        self.serve(channel, 100_001)
        peer.sendall(b"next")
        self.serve(channel, 100_005)

    def test_the_end_of_a_packet_that_is_not_whole(self):
        channel, peer = self.connect()
        channel.rest = 100_000
        peer.sendall(b"h")
        self.serve(channel, 1)
        peer.sendall(b"i")
        peer.close()
        while not channel.lost:
            self.plane.doRead()
        self.assertEqual(channel.pieces, [b"h", b"i"])

    def test_while_somebody_waits_for_a_turn_the_reactor_comes_first(self):
        clock = HastyClock(TURN)
        self.rounds = Rounds(clock)
        self.plane = self.make_plane(self.reactor, self.rounds, self.reactor.seconds, looks=False)
        self.addCleanup(self.plane.close)
        channel, peer = self.connect()
        receive = channel.received

        def long_work(piece):
            self.rounds.do(iter(range(9)))
            peer.sendall(b"b")
            return receive(piece)

        channel.received = long_work
        peer.sendall(b"a")
        self.plane.doRead()
        self.assertEqual((channel.pieces, self.rounds.are_due), ([b"a"], True))
        channel.received = receive
        self.plane.doRead()  # between two rounds everybody is read from
        self.assertEqual(channel.pieces, [b"a", b"b"])

    def test_each_is_read_from_in_a_round(self):
        clock = HastyClock(TURN)
        self.rounds = Rounds(clock)
        self.plane = self.make_plane(self.reactor, self.rounds, self.reactor.seconds, looks=False)
        self.addCleanup(self.plane.close)
        channels = []
        for _ in range(5):
            channel, peer = self.connect()
            channel.received = lambda piece, do=channel.received: (self.rounds.do(iter(range(9))), do(piece))[
                1
            ]
            peer.sendall(b"a")
            self.assertTrue(select.select([channel.transport.socket], [], [], 10)[0])
            channels.append(channel)
        self.plane.doRead()
        self.assertEqual([channel.pieces for channel in channels], [[b"a"]] * 5)

    def test_a_defect_ends_one_connection(self):
        channel, peer = self.connect()
        other, other_peer = self.connect()

        def fail(piece):
            raise Defect

        channel.received = fail
        peer.sendall(b"hello")
        while not self.reactor.getDelayedCalls():
            self.plane.doRead()
        self.reactor.advance(0)
        self.assertEqual(len(self.flushLoggedErrors(Defect)), 1)
        self.assertEqual((channel.lost, other.lost), (["ConnectionAborted"], []))
        other_peer.sendall(b"still")
        self.serve(other, 5)


class WritingTests(PlaneTestCase):
    def test_answers_to_what_came_together_are_sent_together(self):
        channel, peer = self.connect()
        channel.answers = b"a", b"b"
        peer.sendall(b"?")
        self.serve(channel, 1)
        self.assertEqual(peer.recv(10), b"ab")
        self.assertEqual(self.reactor.getWriters(), [])

    def test_an_answer_that_comes_later(self):
        channel, peer = self.connect()
        for answer in (b"la", b"te"):
            channel.transport.write(answer)
        peer.setblocking(False)
        self.assertRaises(BlockingIOError, peer.recv, 10)
        peer.settimeout(10)
        self.reactor.advance(0)
        self.assertEqual(peer.recv(10), b"late")

    def test_an_answer_that_was_not_sent_when_the_plane_is_closed(self):
        channel, peer = self.connect()
        channel.transport.write(b"late")
        self.plane.close()
        self.reactor.advance(0)
        self.assertEqual(peer.recv(10), b"late")

    def test_what_the_peer_does_not_take_is_the_transports(self):
        channel, peer = self.connect()
        long = bytes(range(256)) * (1 << 16)
        channel.transport.write(long)
        channel.transport.write(b"the end")
        self.reactor.advance(0)
        (writer,) = self.reactor.getWriters()
        got = bytearray()
        while len(got) < len(long) + 7:
            if self.reactor.getWriters():
                writer.doWrite()
            got += peer.recv(1 << 20)
        self.assertEqual(got, long + b"the end")
        self.plane.drained(channel.transport)
        channel.transport.write(b"again")
        self.reactor.advance(0)
        self.assertEqual((peer.recv(10), self.reactor.getWriters()), (b"again", []))

    def file(self, content):
        """Return the descriptor of a file."""
        file = self.enterContext(tempfile.TemporaryFile())
        file.write(content)
        file.flush()
        return file.fileno()

    def test_a_file_goes_after_what_was_said_before(self):
        channel, peer = self.connect()
        number = self.file(b"0123456789")
        channel.transport.write(b"head")
        self.assertEqual(channel.transport.send_file(number, 2, 5), 5)
        self.assertEqual(peer.recv(20), b"head23456")
        self.assertEqual(channel.transport.send_file(number, 8, 5), 2)
        self.assertEqual(channel.transport.send_file(number, 10, 5), 0)
        self.assertEqual(peer.recv(20), b"89")

    def test_of_a_file_no_more_is_sent_than_the_peer_takes(self):
        channel, peer = self.connect()
        content = bytes(range(256)) * (1 << 16)
        number, at = self.file(content), 0
        while sent := channel.transport.send_file(number, at, len(content) - at):
            at += sent
        self.assertLess(at, len(content))
        channel.transport.write(b"the end")
        self.reactor.advance(0)
        self.assertEqual(channel.transport.send_file(number, at, 1), 0)  # not before the end
        (writer,) = self.reactor.getWriters()
        got = bytearray()
        while len(got) < at + 7:
            if self.reactor.getWriters():
                writer.doWrite()
            got += peer.recv(1 << 20)
        self.assertEqual(got, content[:at] + b"the end")

    def test_a_file_to_nobody(self):
        channel, peer = self.connect()
        number = self.file(b"0123456789")
        self.assertEqual(channel.transport.send_file(-1, 0, 5), 0)
        peer.close()
        channel.transport.loseConnection()
        self.plane.take_back(channel.transport)
        self.assertEqual(channel.transport.send_file(number, 0, 5), 0)

    def test_a_connection_is_closed_after_the_last_word(self):
        channel, peer = self.connect()
        channel.answers = (b"bye",)
        answer = channel.received
        channel.received = lambda piece: (answer(piece), channel.transport.loseConnection())[0]
        peer.sendall(b"?")
        self.serve(channel, 1)
        for writer in self.reactor.getWriters():
            writer.doWrite()
        self.reactor.advance(0)
        self.assertEqual(peer.recv(10), b"bye")


class EndTests(PlaneTestCase):
    def test_the_peer_leaves(self):
        channel, peer = self.connect()
        peer.close()
        while not channel.lost:
            self.plane.doRead()
        self.assertEqual((channel.lost, len(self.plane)), (["ConnectionDone"], 0))
        self.assertIsNone(channel.transport.reader)  # no cycle is left

    def test_the_peer_is_gone_in_anger(self):
        channel, peer = self.connect()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        peer.close()
        while not channel.lost:
            self.plane.doRead()
        self.assertEqual((channel.lost, len(self.plane)), (["ConnectionLost"], 0))

    def test_we_abort(self):
        channel, _ = self.connect()
        channel.transport.abortConnection()
        self.reactor.advance(0)
        self.assertEqual((channel.lost, len(self.plane)), (["ConnectionAborted"], 0))

    def test_the_plane_is_closed(self):
        reading, _ = self.connect()
        paused, _ = self.connect()
        paused.transport.pauseProducing()
        self.plane.close()
        self.assertEqual(self.reactor.getReaders(), [reading.transport.transport])
        paused.transport.resumeProducing()
        self.assertEqual(len(self.reactor.getReaders()), 2)
        late, _ = self.connect()
        self.assertIsInstance(late.transport, Server)

    def test_the_reactor_ends(self):
        channels = [self.connect()[0] for _ in range(2)]
        self.plane.connectionLost(Failure(ConnectionLost()))
        self.assertEqual([channel.lost for channel in channels], [["ConnectionLost"]] * 2)


class OrdinaryTests(PlaneTestCase):
    def test_what_has_no_socket_is_not_lent(self):
        transport = StringTransport()
        self.assertIs(self.plane.lend(transport, Channel(self.plane)), transport)
        self.plane.take_back(transport)
        self.plane.drained(transport)
        self.assertEqual(len(self.plane), 0)


class Compiled:
    """A mixin: the same of the other plane."""

    make_plane = staticmethod(compiled_plane)


class CompiledReadingTests(Compiled, ReadingTests):
    pass


class CompiledWritingTests(Compiled, WritingTests):
    pass


class CompiledEndTests(Compiled, EndTests):
    pass


class CompiledOrdinaryTests(Compiled, OrdinaryTests):
    pass


class LookTests(PlaneTestCase):
    """Looking again, with a clock that goes on by itself."""

    def setUp(self):
        super().setUp()
        self.ticks = 0
        self.plane = Plane(self.reactor, self.rounds, self.tick, looks=True)
        self.addCleanup(self.plane.close)

    def tick(self):
        self.ticks += 1
        return self.ticks * 1e-5

    def test_looks_in_vain_become_rare(self):
        channel, peer = self.connect()
        counts = []
        for _ in range(40):
            before = self.ticks
            self.plane.doRead()
            counts.append(self.ticks - before)
        looked = [number for number, count in enumerate(counts) if count > min(counts)]
        self.assertEqual(looked[:4], [0, 1, 2, 3])
        self.assertEqual(len(looked), 5)
        peer.sendall(b"hello")
        self.serve(channel, 5)
