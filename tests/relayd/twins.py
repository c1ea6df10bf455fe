"""A relay daemon on real sockets, whose plane is one or the other; it goes on only when it is told to."""

import fcntl
import os
import shutil
import socket
import struct
import tempfile
import termios
import time
from pathlib import Path
from unittest import SkipTest

from twisted.internet.tcp import Server
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from lttngnet.relayd.compiled import LIBRARY, CompiledPlane, load
from lttngnet.relayd.control import ControlFactory
from lttngnet.relayd.data import DataFactory
from lttngnet.relayd.live import ViewerFactory
from lttngnet.relayd.plane import Plane
from lttngnet.relayd.store.store import Store

LIBRARY_VARIABLE = "LTTNGNET_TEST_PLANE"  # the path of another one, see: make sanitize
PATIENCE = 10.0  # seconds
SIOCOUTQ = termios.TIOCOUTQ  # bytes that were sent and have not arrived


def python_plane(*arguments, **more):
    """Return the plane that is written in Python."""
    return Plane(*arguments, **more)


def compiled_plane(*arguments, **more):
    """Return the compiled one; the test is skipped where that was not built."""
    try:
        library = load(Path(os.environ.get(LIBRARY_VARIABLE, LIBRARY)))
    except OSError as problem:
        is_there = LIBRARY_VARIABLE in os.environ or os.environ.get("LTTNGNET_REQUIRE_INTEROP") == "1"
        if is_there:  # or is to be
            raise
        raise SkipTest(f"the compiled plane is not built: {problem}") from None
    return CompiledPlane(*arguments, library=library, **more)


class Port:
    """What a connection of Twisted knows of the port that accepted it."""

    sessionno = 0

    def _realPortNumber(self):
        return 0


def accept(protocol, reactor):
    """Return the transport of a new connection to that protocol, and the socket of its peer."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        peer = socket.create_connection(listening.getsockname())
        accepted, address = listening.accept()
    accepted.setblocking(False)
    for each in (accepted, peer):
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    transport = Server(accepted, protocol, address, Port(), 0, reactor)
    protocol.makeConnection(transport)
    return transport, peer


class Peer:
    """The peer's end of a connection.

    Attributes:
        answers: what was said to it.
        is_closed: whether nothing more will be.
    """

    def __init__(self, relay, factory):
        self.answers = bytearray()
        self.is_closed = False
        self._relay = relay
        self.channel = factory.buildProtocol(None)
        self.transport, self._socket = accept(self.channel, relay.reactor)
        self._socket.setblocking(False)

    def send(self, data):
        """Send it, and let all of it be carried out; return what was answered."""
        before = len(self.answers)
        view = memoryview(data)
        deadline = time.monotonic() + PATIENCE
        while view and not self.is_closed:
            try:
                view = view[self._socket.send(view) :]
            except BlockingIOError:
                self._relay.serve()
            except OSError:
                self.is_closed = True
            self.hear()
            assert time.monotonic() < deadline, "nothing is read"
        while not self.is_closed and struct.unpack("i", fcntl.ioctl(self._socket, SIOCOUTQ, bytes(4)))[0]:
            self._relay.serve()
            self.hear()
            assert time.monotonic() < deadline, "nothing arrives"
        self._relay.settle()
        self.hear()
        return bytes(self.answers[before:])

    def hear(self):
        """Take what was said."""
        try:
            while piece := self._socket.recv(1 << 20):
                self.answers += piece
            self.is_closed = True
        except BlockingIOError:
            pass
        except OSError:
            self.is_closed = True

    def close(self):
        """Hang up; hear the last words."""
        deadline = time.monotonic() + PATIENCE
        if not self.is_closed:
            self._socket.shutdown(socket.SHUT_WR)
        while not self.is_closed:
            self._relay.serve()
            self.hear()
            assert time.monotonic() < deadline, "it is not closed"
        self._socket.close()
        self._relay.settle()


class SocketRelay:
    """See the module. It is closed by `close`.

    Attributes:
        output: the folder that it writes to.
    """

    def __init__(self, make_plane, open_files=None):
        self.output = Path(tempfile.mkdtemp(prefix="twin-"))
        self.reactor = MemoryReactorClock()
        self.store = Store(self.output, clock=lambda: 0.0, open_files=open_files, reactor=self.reactor)
        self.plane = make_plane(self.reactor, self.store.rounds, self.reactor.seconds, looks=False)
        self._factories = {
            "control": ControlFactory(self.store, None, None, self.plane),
            "data": DataFactory(self.store, None, self.plane),
            "live": ViewerFactory(self.store, None, self.plane),
        }
        self._peers = []

    def connect(self, kind):
        """Return a new connection: ``control``, ``data`` or ``live``."""
        peer = Peer(self, self._factories[kind])
        self._peers.append(peer)
        return peer

    def serve(self):
        """Let everything be done that can be at once."""
        if self.plane in self.reactor.getReaders():
            self.plane.doRead()
        for reader in self.reactor.getReaders():
            if reader is not self.plane:
                self._end(reader, reader.doRead())
        for writer in self.reactor.getWriters():
            self._end(writer, writer.doWrite())
        self.reactor.advance(0)

    def _end(self, transport, why):
        """Do what a reactor does with the result of reading or writing."""
        if why is not None:
            self.reactor.removeReader(transport)
            self.reactor.removeWriter(transport)
            transport.connectionLost(Failure(why))

    def settle(self):
        """Serve until nothing is left to be done."""
        for _ in range(3):
            self.serve()
        while any(call.getTime() <= self.reactor.seconds() for call in self.reactor.getDelayedCalls()):
            self.serve()

    def files(self):
        """Return the bytes of every file, by path."""
        return {
            str(path.relative_to(self.output)): path.read_bytes()
            for path in sorted(self.output.rglob("*"))
            if path.is_file() and not path.is_symlink()
        }

    def close(self):
        """End everything."""
        for peer in self._peers:
            peer.close()
        self.settle()
        self.store.close()
        self.plane.close()
        for call in self.reactor.getDelayedCalls():
            call.cancel()
        shutil.rmtree(self.output)
