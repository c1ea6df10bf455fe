"""Peers that ask and do not read: what they are answered is bounded here, and none of it is lost.

Real sockets with little room, a reactor that is moved by hand.
"""

import contextlib
import socket
import time
from itertools import count
from pathlib import Path

from twisted.internet.tcp import Server

from lttngnet.relayd.control import ControlChannel
from lttngnet.relayd.live import ViewerChannel
from lttngnet.relayd.plane import GATHERED, READ
from lttngnet.relayd.store.store import Store
from lttngnet.wire import relay as wire
from lttngnet.wire import viewer
from lttngnet.wire.listing import SessionList, SessionRecord
from lttngnet.wire.relay import Command, command
from lttngnet.wire.viewer import request
from tests.relayd.talking import CREATED, SESSIOND
from tests.relayd.test_plane import Compiled, PlaneTestCase
from tests.relayd.twins import Port
from tests.waiting import DEADLINE

ROOM = 1 << 13  # bytes that the system keeps in each direction, as it understands it
MARK = 1 << 16  # bytes above which a transport of Twisted says that there is enough


class DeafTests(PlaneTestCase):
    def setUp(self):
        super().setUp()
        self.store = Store(Path(self.mktemp()), reactor=self.reactor)

    def connect(self, channel):
        """Return the socket of a peer, and the transport of the channel."""
        with socket.socket() as listening, socket.socket() as peer:
            for end in (listening, peer):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, ROOM)
                end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM)
            listening.bind(("127.0.0.1", 0))
            listening.listen()
            peer.connect(listening.getsockname())
            accepted, address = listening.accept()
            peer = peer.dup()
        self.addCleanup(accepted.close)
        self.addCleanup(peer.close)
        accepted.setblocking(False)
        peer.setblocking(False)
        transport = Server(accepted, channel, address, Port(), 0, self.reactor)
        channel.makeConnection(transport)
        return peer, transport

    def turn(self):
        """Do what the reactor does."""
        for reader in self.reactor.getReaders():
            reader.doRead()
        for writer in self.reactor.getWriters():
            writer.doWrite()
        self.reactor.advance(0)

    def talk(self, channel, hello, greeting, question, size):
        """Ask until nothing more is taken, and only then read: all is answered, and what is kept is bounded.

        Args:
            channel: that serves the peer.
            hello: what comes first.
            greeting: bytes of its answer.
            question: what is asked again and again.
            size: bytes of each answer.
        """
        peer, transport = self.connect(channel)
        said, heard, asked, in_vain, most = bytearray(hello), bytearray(), 0, 0, 0
        while in_vain < 100 or not transport.producerPaused:  # there is no more room anywhere
            if not said:
                said += question * 1000
                asked += 1000
            with contextlib.suppress(BlockingIOError):
                del said[: peer.send(said)]
                in_vain = 0
            in_vain += 1
            self.turn()
            most = max(most, transport._tempDataLen + len(transport.dataBuffer))
        self.assertLess(asked * len(question), 4 * READ)
        self.assertLess(most, 2 * MARK + GATHERED)
        end = time.monotonic() + DEADLINE
        while len(heard) < greeting + asked * size and time.monotonic() < end:
            with contextlib.suppress(BlockingIOError):
                heard += peer.recv(1 << 16)
            with contextlib.suppress(BlockingIOError):
                del said[: peer.send(said)]
            self.turn()
        answers = bytes(heard[greeting:])
        self.assertEqual(len(answers), size * asked)
        self.assertTrue(answers == answers[:size] * asked, "not all are the same, as the questions are")

    def test_commands(self):
        hello = command(Command.VERSION, wire.Version(2, 13).pack())
        asked = command(Command.GET_CONFIGURATION, wire.GetConfiguration(0).pack())
        channel = ControlChannel(self.store, self.reactor, plane=self.plane)
        self.talk(channel, hello, wire.Version.layout.size, asked, wire.Configuration.layout.size)

    def test_questions_of_viewers(self):
        wanted = wire.CreateSession("walk", "vm", sessiond=SESSIOND, created=CREATED)
        self.store.create_session(wanted, 13)
        hello = request(viewer.Connect(viewer.NO_SESSION, 2, 4, viewer.Kind.COMMAND))
        answer = SessionList((SessionRecord(1, 0, 0, 0, "vm", "walk"),), 4).pack()
        channel = ViewerChannel(self.store, count(), plane=self.plane)
        self.talk(channel, hello, viewer.Connect.layout.size, request(viewer.ListSessions()), len(answer))


class CompiledDeafTests(Compiled, DeafTests):
    """The same, with the compiled plane."""
