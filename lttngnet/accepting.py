"""Accepting connections where there is no descriptor or no memory for one more.

A port of Twisted closes the connections that it cannot keep (EMFILE), or tries again at once and without end
(ENFILE, ENOBUFS, ENOMEM): peers are turned away, or the processor is kept busy with nothing. A port with an
`Entrance` stops to accept, and tries again after a pause. Who comes meanwhile waits in the queue of the
operating system.

A port of Twisted also accepts a hundred connections at once and more, while nobody else is served. One with
an `Entrance` accepts for two milliseconds; the reactor then comes back to it.
"""

import os
import socket
from collections.abc import Callable
from errno import EAGAIN, EMFILE, ENFILE, ENOBUFS, ENOMEM
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from lttngnet.log import Logger

SHORTAGES = frozenset({EMFILE, ENFILE, ENOBUFS, ENOMEM})
PAUSE = 0.2  # seconds
AT_ONCE = 0.002  # seconds of accepting, until others are served


class Entrance:
    """Decides when a port accepts.

    It is closed by its owner, between `stopReading` and `startReading`, and while the system is short of
    something, which is said once when it begins and once when it is over.

    Args:
        what: the name of the port, for people.
        port: that is listened on, of Twisted's own: TCP, TLS or UNIX.
        clock: counts the pauses.
    """

    log = Logger()

    def __init__(self, what: str, port: Any, clock: IReactorTime) -> None:
        self._what = what
        self._port = port
        self._clock = clock
        self._is_closed = False  # by its owner
        self._is_short = False
        self._pause: IDelayedCall | None = None
        self._queue = port.socket = _Queue(port.socket, clock, lambda: self._is_closed, self._short)
        self._accept_all = port.doRead
        port.doRead = self._accept

    def stopReading(self) -> None:
        """Accept no connection, not even those that the port is about to accept in this turn."""
        self._is_closed = True
        self._port.stopReading()

    def startReading(self) -> None:
        """Accept connections."""
        self._is_closed = False
        self._go_on()

    def leave(self) -> None:
        """The port is about to close: wait for nothing more."""
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None

    def _accept(self) -> None:
        self._queue.begin()
        self._accept_all()

    def _short(self, error: int) -> None:
        if not self._is_short:
            why = os.strerror(error)
            self.log.warn("No connection for {what} can be accepted now: {why}", what=self._what, why=why)
        self._is_short = True
        self._port.stopReading()
        self._pause = self._clock.callLater(PAUSE, self._pause_is_over)

    def _pause_is_over(self) -> None:
        self._pause = None
        self._go_on()

    def _go_on(self) -> None:
        if self._is_closed or self._pause is not None:
            return
        if self._is_short:
            self._port.doRead()
            if self._pause is not None:
                return
            self._is_short = False
            self.log.info("Connections for {what} are accepted again", what=self._what)
        if not self._is_closed:
            self._port.startReading()


class _Queue:
    """A listening socket that has nobody to accept while its entrance is closed, or the system is short.

    Nor has it after a while: one at least is accepted after each `begin`.
    """

    def __init__(
        self,
        real: socket.socket,
        clock: IReactorTime,
        is_closed: Callable[[], bool],
        short: Callable[[int], None],
    ) -> None:
        self._real = real
        self._clock = clock
        self._is_closed = is_closed
        self._short = short
        self._end: float | None = None  # None until one was accepted

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def begin(self) -> None:
        """Accept for as long as may be at once."""
        self._end = None

    def accept(self) -> tuple[socket.socket, Any]:
        """Return a connection and its address. Raises OSError, of which EAGAIN means that there is none."""
        now = self._clock.seconds()
        if self._is_closed() or (self._end is not None and now >= self._end):
            raise BlockingIOError(EAGAIN, os.strerror(EAGAIN))
        if self._end is None:
            self._end = now + AT_ONCE
        try:
            return self._real.accept()
        except OSError as problem:
            if problem.errno not in SHORTAGES:
                raise
            self._short(problem.errno)
            raise BlockingIOError(EAGAIN, os.strerror(EAGAIN)) from None
