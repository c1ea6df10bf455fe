"""Commands of one application: one at a time, each answered in time, or the application is gone."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from lttngnet.errors import WireError
from lttngnet.sessiond.ust.connection import Connection
from lttngnet.sessiond.ust.failures import ApplicationGone, ApplicationRefused
from lttngnet.wire.ust.commands import FIELD_ENTRY_SIZE, REPLY_SIZE, Command, Failure, Reply, Request


@dataclass
class _Asked:
    request: Request
    descriptors: Sequence[int]
    answer: "Deferred[tuple[Reply, bytes]]" = field(default_factory=Deferred)


class Exchange:
    """Asks over a command socket.

    Args:
        connection: the socket.
        clock: measures how long an answer takes.
        patience: seconds that the application has for it, None for ever. While it waits for us it has more.
        over: is told that the application is to be taken for gone, and why.
    """

    def __init__(
        self,
        connection: Connection,
        clock: IReactorTime,
        patience: float | None,
        over: Callable[[str], None],
    ) -> None:
        self._connection = connection
        self._clock = clock
        self._patience = patience
        self._over = over
        self._buffer = bytearray()
        self._queue: deque[_Asked] = deque()
        self._current: _Asked | None = None
        self._gone: str | None = None
        self._is_held = False
        self._left = 0.0  # seconds of patience, when the clock was last started …
        self._since = 0.0  # … which was then
        self._timer: IDelayedCall | None = None
        connection.heard = self._heard

    def ask(self, request: Request, descriptors: Sequence[int] = ()) -> "Deferred[tuple[Reply, bytes]]":
        """Return the answer to a command, and what followed it; it is sent when those before are answered.

        Raises (in the Deferred):
            ApplicationRefused: the answer is an error.
            ApplicationGone: there will be no answer.
        """
        if self._gone is not None:
            return fail(ApplicationGone(self._gone))
        asked = _Asked(request, descriptors)
        self._queue.append(asked)
        self._send_next()
        return asked.answer

    def hold(self) -> None:
        """Stop the clock: the application waits for us."""
        self._is_held = True
        if self._timer is not None:
            self._left -= self._clock.seconds() - self._since
            self._stop_timer()

    def go_on(self) -> None:
        """Let the clock go on: we wait for the application."""
        self._is_held = False
        if self._current is not None:
            self._start_timer()

    def end(self, why: str) -> None:
        """Fail what was asked, and all that will be."""
        if self._gone is not None:
            return
        self._gone = why
        self._stop_timer()
        unanswered = [self._current] if self._current is not None else []
        unanswered += self._queue
        self._current = None
        self._queue.clear()
        for asked in unanswered:
            asked.answer.errback(ApplicationGone(why))

    def _send_next(self) -> None:
        if self._current is None and self._queue:
            self._current = asked = self._queue.popleft()
            self._left = self._patience or 0.0
            self._start_timer()
            self._connection.write(asked.request.pack(), asked.descriptors)

    def _start_timer(self) -> None:
        if self._patience is not None and not self._is_held and self._timer is None:
            self._since = self._clock.seconds()
            self._timer = self._clock.callLater(max(0.0, self._left), self._too_late)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_late(self) -> None:
        self._timer = None
        assert self._current is not None
        self._over(f"it did not answer {self._current.request.command.name} in {self._patience:g} s")

    def _heard(self, data: bytes) -> None:
        asked = self._current
        self._buffer += data
        if asked is None:
            raise WireError(f"it said {len(self._buffer)} bytes unasked")
        if len(self._buffer) < REPLY_SIZE:
            return
        request = asked.request
        reply = Reply.unpack(self._buffer, request.order)
        if (reply.handle, reply.command) != (request.handle, request.command):
            raise WireError(f"it answered {reply.command:#x} when asked {request.command.name}")
        size = REPLY_SIZE
        if request.command == Command.FIELD_NEXT and not reply.error:
            size += FIELD_ENTRY_SIZE
        if len(self._buffer) < size:
            return
        if len(self._buffer) > size:
            raise WireError(f"it said {len(self._buffer) - size} bytes unasked")
        rest = bytes(self._buffer[REPLY_SIZE:])
        self._buffer.clear()
        self._answered(asked, reply, rest)

    def _answered(self, asked: _Asked, reply: Reply, rest: bytes) -> None:
        if reply.error == -Failure.EXITING:
            self._over("it is exiting")
            return
        self._stop_timer()
        self._current = None
        if reply.error < 0:
            asked.answer.errback(ApplicationRefused(asked.request.command.name, -reply.error))
        else:
            asked.answer.callback((reply, rest))
        self._send_next()
