"""Ports that accept, or let peers wait: real sockets, a reactor that is moved by hand."""

import os
import shutil
import socket
import tempfile
from errno import ECONNABORTED, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPROTO
from pathlib import Path

from twisted.internet import tcp, unix
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.accepting import AT_ONCE, PAUSE, Entrance


class Scarce:
    """A listening socket of a system that is short of something while `error` is set."""

    def __init__(self, real):
        self.real, self.error, self.asked = real, None, 0

    def __getattr__(self, name):
        return getattr(self.real, name)

    def accept(self):
        self.asked += 1
        if self.error is not None:
            raise OSError(self.error, os.strerror(self.error))
        return self.real.accept()


class Channel(Protocol):
    def connectionMade(self):
        self.factory.accepted.append(self)
        self.factory.on_accepted()


class EntranceMixin:
    """The same for every kind of port."""

    def setUp(self):
        self.reactor = MemoryReactorClock()
        self.factory = Factory.forProtocol(Channel)
        self.factory.noisy = False
        self.factory.accepted = []
        self.factory.on_accepted = lambda: None
        self.port = self.make_port()
        self.port.startListening()
        self.addCleanup(self.close)
        self.scarce = self.port.socket = Scarce(self.port.socket)
        self.entrance = Entrance("control", self.port, self.reactor)

    def close(self):
        self.entrance.leave()
        for channel in self.factory.accepted:
            channel.transport.abortConnection()
        self.port.stopListening()
        self.reactor.advance(0)
        self.assertFalse([call for call in self.reactor.getDelayedCalls() if call.active()])

    def connect(self):
        client = socket.socket(self.port.addressFamily)
        self.addCleanup(client.close)
        client.settimeout(5)
        client.connect(self.port.socket.getsockname())
        return client

    @property
    def is_read(self):
        return self.port in self.reactor.getReaders()

    def look(self):
        """What the reactor does where somebody waits in the queue; return how many were accepted in all."""
        if self.is_read:
            self.port.doRead()
        return len(self.factory.accepted)

    def said(self, log):
        return [formatEvent(event) for event in log if event["log_namespace"].startswith("lttngnet")]

    def test_every_shortage(self):
        for number, error in enumerate((EMFILE, ENFILE, ENOBUFS, ENOMEM)):
            with capturedLogs() as log:
                self.connect()
                self.scarce.error, self.scarce.asked = error, 0
                self.assertEqual(self.look(), number)
                self.assertFalse(self.is_read)
                for _ in range(3):
                    self.reactor.advance(PAUSE)
                    self.assertFalse(self.is_read)
                self.assertEqual((self.scarce.asked, len(self.factory.accepted)), (4, number))
                self.scarce.error = None
                self.reactor.advance(PAUSE)
                self.assertEqual((self.is_read, len(self.factory.accepted)), (True, number + 1))
            why = f"No connection for control can be accepted now: {os.strerror(error)}"
            self.assertEqual(self.said(log), [why, "Connections for control are accepted again"])

    def test_in_the_middle_of_a_queue(self):
        """Who was accepted before stays, nobody else is turned away."""
        clients = [self.connect() for _ in range(3)]

        def shortage():
            self.scarce.error = EMFILE

        self.factory.on_accepted = shortage
        self.assertEqual(self.look(), 1)
        self.scarce.error, self.factory.on_accepted = None, lambda: None
        self.reactor.advance(PAUSE)
        self.assertEqual(len(self.factory.accepted), 2)  # Twisted takes as many at once as last time
        self.assertEqual(self.look(), 3)
        for client in clients:
            client.setblocking(False)
            self.assertRaises(BlockingIOError, client.recv, 1)

    def test_that_nobody_waits_any_more_ends_it_as_well(self):
        self.connect().close()
        self.look()
        self.scarce.error = ENFILE
        self.port.doRead()
        self.scarce.error = None
        with capturedLogs() as log:
            self.reactor.advance(PAUSE)
        self.assertEqual(self.said(log), ["Connections for control are accepted again"])
        self.assertTrue(self.is_read)

    def test_closed_by_its_owner(self):
        self.connect()
        self.entrance.stopReading()
        self.assertEqual((self.is_read, self.look()), (False, 0))
        self.entrance.startReading()
        self.assertEqual(self.look(), 1)

    def test_closed_by_its_owner_in_the_middle_of_a_queue(self):
        for _ in range(3):
            self.connect()
        self.factory.on_accepted = self.entrance.stopReading
        self.assertEqual(self.look(), 1)
        self.assertEqual(self.look(), 1)
        self.factory.on_accepted = lambda: None
        self.entrance.startReading()
        self.look()
        self.assertEqual(self.look(), 3)

    def test_closed_and_short(self):
        """Both have to be over, whichever ends first."""
        for is_short_for_longer in (False, True):
            self.connect()
            before = len(self.factory.accepted)
            self.scarce.error = ENOMEM
            self.look()
            self.entrance.stopReading()
            if is_short_for_longer:
                self.entrance.startReading()
                self.assertEqual((self.is_read, self.look()), (False, before))
                self.scarce.error = None
                self.reactor.advance(PAUSE)
            else:
                self.scarce.error = None
                self.reactor.advance(PAUSE)
                self.assertEqual((self.is_read, self.look()), (False, before))
                self.entrance.startReading()
            self.assertEqual((self.is_read, self.look()), (True, before + 1))

    def test_its_owner_closes_it_when_the_shortage_is_over(self):
        self.connect()
        self.scarce.error = ENOMEM
        self.look()
        self.scarce.error, self.factory.on_accepted = None, self.entrance.stopReading
        self.reactor.advance(PAUSE)
        self.assertEqual((self.is_read, len(self.factory.accepted)), (False, 1))

    def test_the_port_is_closed_meanwhile(self):
        self.connect()
        self.scarce.error = EMFILE
        self.look()
        self.entrance.leave()
        self.port.stopListening()
        self.reactor.advance(PAUSE)
        self.assertFalse(self.is_read or self.reactor.getDelayedCalls())

    def test_others_are_served_between_many(self):
        """As many are accepted at once as there is time for, and in the end all of them."""
        clients = [self.connect() for _ in range(9)]
        self.factory.on_accepted = lambda: self.reactor.advance(AT_ONCE / 3)
        self.assertEqual(self.look(), 3)
        while self.look() < len(clients):
            self.assertTrue(self.is_read)
        self.factory.on_accepted = lambda: self.reactor.advance(AT_ONCE * 2)
        self.connect()
        self.assertEqual(self.look(), 10)  # one at least, however long it takes

    def test_other_failures_are_left_to_twisted(self):
        self.connect()
        for error, failures in ((ECONNABORTED, 0), (EPROTO, 1)):
            self.scarce.error = error
            self.assertEqual(self.look(), 0)
            self.assertTrue(self.is_read)
            self.assertEqual(len(self.flushLoggedErrors(OSError)), failures)
        self.scarce.error = None
        self.assertEqual(self.look(), 1)


class TCPTests(EntranceMixin, SynchronousTestCase):
    def make_port(self):
        return tcp.Port(0, self.factory, interface="127.0.0.1", reactor=self.reactor)


class UNIXTests(EntranceMixin, SynchronousTestCase):
    def make_port(self):
        folder = Path(tempfile.mkdtemp())  # trial's own are too deep for a socket
        self.addCleanup(shutil.rmtree, folder)
        return unix.Port(str(folder / "socket"), self.factory, reactor=self.reactor)
