"""One of an application's two UNIX sockets, in the reactor.

Twisted's own UNIX transport sends each descriptor in a message of its own; the tracer wants those that belong
together in one.
"""

import array
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.interfaces import IReadWriteDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from lttngnet.errors import WireError

READ_SIZE = 1 << 16  # bytes that are read at once
OUTPUT_LIMIT = 4 << 20  # bytes that an application may leave unread; one command has 1 MiB at most


def nothing_heard(data: bytes) -> None:
    """Take no bytes: nobody is to speak yet."""
    raise WireError("it speaks unasked")


@implementer(IReadWriteDescriptor)
class Connection:
    """A socket that is read and written by the reactor, and can send descriptors.

    Descriptors that a peer sends are never received: the kernel closes them.

    Attributes:
        heard: is given what came in; a WireError that it raises ends the connection.
        lost: is told, once, that the connection ended and why; not if it was closed here.
    """

    def __init__(self, reactor: Any, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.heard: Callable[[bytes], None] = nothing_heard
        self.lost: Callable[[str], None] = lambda why: None
        self._reactor = reactor
        self._socket = sock
        self._output: deque[tuple[memoryview, Sequence[int]]] = deque()
        self._unsent = 0
        self._is_open = True
        reactor.addReader(self)

    def write(self, data: bytes, descriptors: Sequence[int] = ()) -> None:
        """Send bytes, and behind them, on a byte of their own, descriptors, all in one message.

        The descriptors have to stay open until they are sent, or the connection is over.
        """
        if not self._is_open:
            return
        self._output.append((memoryview(data), ()))
        if descriptors:
            self._output.append((memoryview(b"\0"), descriptors))
        self._unsent += len(data)
        if self._unsent > OUTPUT_LIMIT:
            self._reactor.callLater(0, self.fail, "it reads nothing")
        else:
            self._reactor.addWriter(self)

    def pause(self) -> None:
        """Read nothing, until `resume`; that the peer hangs up is not noticed meanwhile."""
        self._reactor.removeReader(self)

    def resume(self) -> None:
        """Read again."""
        if self._is_open:
            self._reactor.addReader(self)

    def close(self) -> None:
        """Close the connection, without a word to anybody here."""
        if self._is_open:
            self._is_open = False
            self._reactor.removeReader(self)
            self._reactor.removeWriter(self)
            self._output.clear()
            self._socket.close()

    def has_ended(self) -> bool:
        """Tell whether the peer has hung up, all that it said being read: before the reactor does."""
        try:
            return not self._socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def fail(self, why: str) -> None:
        """End the connection for what the peer did, as if it had hung up."""
        self._end(why)

    def fileno(self) -> int:
        """Return the descriptor, -1 once closed."""
        return self._socket.fileno()

    def logPrefix(self) -> str:
        """Say whose log lines these are."""
        return "application"

    def doRead(self) -> None:
        """Take what came in."""
        try:
            data = self._socket.recv(READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as problem:
            self._end(problem.strerror or repr(problem))
            return
        if not data:
            self._end("it hung up")
            return
        try:
            self.heard(data)
        except WireError as problem:
            self._end(str(problem))

    def doWrite(self) -> None:
        """Send what the socket has room for."""
        try:
            while self._output:
                self._send()
        except (BlockingIOError, InterruptedError):
            return
        except OSError as problem:
            self._end(problem.strerror or repr(problem))
            return
        self._reactor.removeWriter(self)

    def _send(self) -> None:
        data, descriptors = self._output[0]
        rights: list[tuple[int, int, Any]] = []
        if descriptors:
            rights.append((socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors)))
        sent = self._socket.sendmsg([data], rights, socket.MSG_NOSIGNAL)
        self._unsent -= sent
        if sent == len(data):
            self._output.popleft()
        else:
            self._output[0] = data[sent:], ()

    def connectionLost(self, reason: Failure) -> None:
        """Hear from the reactor that the connection is over."""
        self._end("it hung up")

    def _end(self, why: str) -> None:
        if self._is_open:
            self.close()
            self.lost(why)
