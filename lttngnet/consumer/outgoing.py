"""A connection that sends straight out of memory that is only lent.

A transport of Twisted's keeps what it is given until the peer takes it, so it needs a copy. Most of the time
the socket would take all of it at once.
"""

import fcntl
import socket
import sys
import termios

from twisted.internet.interfaces import IReactorFDSet
from twisted.internet.protocol import Protocol
from twisted.internet.tcp import Connection

Lent = bytes | bytearray | memoryview


class Outgoing(Connection):
    """A transport over a connected stream socket, which is its own.

    Its producer is paused as soon as the socket takes less than it is given; what the socket holds keeps the
    peer busy until we go on.
    """

    bufferSize = 1  # bytes that may wait before the producer is paused, and that are read at once

    def __init__(self, connection: socket.socket, protocol: Protocol, reactor: IReactorFDSet) -> None:
        connection.setblocking(False)
        super().__init__(connection, protocol, reactor)
        self.connected = 1
        self.logstr = f"{self._getLogPrefix(protocol)},outgoing"
        self.startReading()
        protocol.makeConnection(self)

    def logPrefix(self) -> str:
        """Return what to call this in the log."""
        return self.logstr

    def send(self, *pieces: Lent) -> None:
        """Send pieces, one behind the other; they may be overwritten when this returns."""
        if not self.connected or self.disconnecting:
            return
        taken = 0 if self.dataBuffer or self._tempDataBuffer else self._attempt(pieces)
        for piece in pieces:
            if taken < len(piece):
                self.write(bytes(memoryview(piece)[taken:]))
            taken = max(taken - len(piece), 0)

    @property
    def waiting(self) -> int:
        """Bytes that the peer has not acknowledged, and those that the socket has not taken."""
        if self.disconnected:
            return 0
        unsent = fcntl.ioctl(self.socket, termios.TIOCOUTQ, bytes(4))
        return int.from_bytes(unsent, sys.byteorder) + len(self.dataBuffer) - self.offset + self._tempDataLen

    def _attempt(self, pieces: tuple[Lent, ...]) -> int:
        """Return how many bytes the socket took. Why it took none is found by the next who writes."""
        try:
            return int(self.socket.sendmsg(pieces))
        except OSError:
            return 0
