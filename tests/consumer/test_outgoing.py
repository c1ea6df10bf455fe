"""Sending out of memory that is lent, whatever the peer takes of it, and when."""

import random
import socket

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.protocol import Protocol
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.consumer.outgoing import Outgoing


class Producer:
    """A push producer that counts how often it was told."""

    def __init__(self):
        self.is_paused = False
        self.pauses = 0

    def pauseProducing(self):
        self.is_paused = True
        self.pauses += 1

    def resumeProducing(self):
        self.is_paused = False

    def stopProducing(self):
        self.is_paused = True


class Heard(Protocol):
    """Notes how the connection ends, and that the peer speaks."""

    ended = None
    heard = b""

    def dataReceived(self, data):
        self.heard += data

    def connectionLost(self, reason):
        self.ended = reason.type


class Link:
    """A connection whose far end is read by hand, as is the reactor moved."""

    def __init__(self):
        near, self.far = socket.socketpair()
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        self.far.setblocking(False)
        self.reactor = MemoryReactorClock()
        self.protocol, self.producer = Heard(), Producer()
        self.transport = Outgoing(near, self.protocol, self.reactor)
        self.transport.registerProducer(self.producer, True)
        self.arrived = bytearray()

    def turn(self):
        """Let the reactor do what it would do now."""
        for ready, do in ((self.reactor.getReaders(), "doRead"), (self.reactor.getWriters(), "doWrite")):
            for each in ready:
                if each.connected and (ended := getattr(each, do)()):
                    self.reactor.removeReader(each)
                    self.reactor.removeWriter(each)
                    each.connectionLost(Failure(ended))
        self.reactor.advance(0)

    def read(self, most):
        """Read at the far end; return whether there was anything."""
        try:
            data = self.far.recv(most)
        except BlockingIOError:
            return False
        self.arrived += data
        return bool(data)

    def close(self):
        self.far.close()
        self.transport.abortConnection()
        self.reactor.advance(0)


class OutgoingTests(SynchronousTestCase):
    def link(self):
        link = Link()
        self.addCleanup(link.close)
        return link

    @settings(max_examples=50, deadline=None)
    @given(st.lists(st.integers(0, 60_000), max_size=12), st.integers(1, 30_000), st.randoms())
    def test_a_slow_reader(self, sizes, most, chance):
        """Everything arrives in order, though the memory is written over as soon as it was sent."""
        link = Link()
        expected = bytearray()
        memory = bytearray(60_000)
        for size in sizes:
            memory[:size] = random.Random(size).randbytes(size)
            header = b"%6d" % size
            link.transport.send(header, memoryview(memory)[:size])
            expected += header + memory[:size]
            memory[:] = bytes(60_000)
            if chance.random() < 0.5:
                link.read(most)
                link.turn()
        while link.read(most) or link.transport.dataBuffer or link.transport._tempDataBuffer:
            link.turn()
        self.assertEqual(bytes(link.arrived), bytes(expected))
        self.assertFalse(link.producer.is_paused)
        link.close()

    def test_paused_at_once(self):
        """Nothing waits here but the rest of one packet, if the producer heeds the pause."""
        link = self.link()
        packet = bytes(50_000)
        sent = 0
        while not link.producer.is_paused:
            link.transport.send(b"head", packet)
            sent += 1
        self.assertLessEqual(len(link.transport.dataBuffer) + link.transport._tempDataLen, len(packet) + 4)
        self.assertGreater(link.transport.waiting, 0)
        while link.producer.is_paused:
            link.read(1 << 20)
            link.turn()
        self.assertEqual(link.producer.pauses, 1)
        while link.read(1 << 20):
            pass
        self.assertEqual(len(link.arrived), sent * (len(packet) + 4))
        self.assertEqual(link.transport.waiting, 0)

    def test_nothing_waits_while_the_peer_keeps_up(self):
        link = self.link()
        for _ in range(100):
            link.transport.send(b"head", memoryview(b"content"))
            self.assertEqual(link.reactor.getWriters(), [])
            link.read(1 << 20)
        self.assertEqual(link.producer.pauses, 0)
        self.assertEqual(bytes(link.arrived), b"headcontent" * 100)

    def test_the_peer_leaves(self):
        link = self.link()
        link.far.close()
        link.turn()
        self.assertIs(link.protocol.ended, ConnectionDone)
        link.transport.send(b"head", b"content")
        self.assertEqual(link.transport.waiting, 0)

    def test_the_peer_leaves_while_we_send(self):
        """Whoever sends notices nothing; the reactor does."""
        link = self.link()
        link.far.close()
        link.transport.send(b"head", b"content")
        link.transport.send(b"head", b"content")
        link.turn()
        self.assertIsNotNone(link.protocol.ended)

    def test_the_peer_speaks(self):
        link = self.link()
        link.far.send(b"hello")
        link.turn()
        self.assertEqual(link.protocol.heard, b"h")

    def test_closed_in_good_order(self):
        """What waits is sent before."""
        link = self.link()
        link.transport.send(b"head", bytes(100_000))
        link.transport.unregisterProducer()
        link.transport.loseConnection()
        link.transport.send(b"late", b"")
        while link.read(1 << 20) or link.protocol.ended is None:
            link.turn()
        self.assertEqual(len(link.arrived), 100_004)
        self.assertIs(link.protocol.ended, ConnectionDone)

    def test_abandoned(self):
        link = self.link()
        link.transport.send(b"head", bytes(100_000))
        link.transport.abortConnection()
        link.turn()
        self.assertIs(link.protocol.ended, ConnectionAborted)
