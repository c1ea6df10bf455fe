"""Commands of one application: one at a time, each answered in time, or the application is gone."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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


@dataclass(eq=False)
class _Budget:
    """Seconds that the application may take for all that it is asked in one go, and what is left of them."""

    seconds: float
    left: float


class Exchange:
    """Asks over a command socket.

    An application that takes almost too long for each of many answers would keep its user waiting as often:
    so what belongs together has a time of its own, see `within`.

    Args:
        connection: the socket.
        clock: measures how long an answer takes.
        patience: seconds that the application has for it, None for ever. While it waits for us it has more.
        over: is told that the application is to be taken for gone, and why …
        late: … and this, if the reason is the time that it takes.
    """

    def __init__(
        self,
        connection: Connection,
        clock: IReactorTime,
        patience: float | None,
        over: Callable[[str], None],
        late: Callable[[str], None],
    ) -> None:
        self._connection = connection
        self._clock = clock
        self._patience = patience
        self._over = over
        self._late = late
        self._buffer = bytearray()
        self._queue: deque[_Asked] = deque()
        self._current: _Asked | None = None
        self._gone: str | None = None
        self._is_held = False
        self._budgets: list[_Budget] = []
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

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Take the application for gone if we wait longer for it than this, in all that happens meanwhile."""
        budget = _Budget(seconds, seconds)
        self._budgets.append(budget)
        self._set_timer()
        try:
            yield
        finally:
            self._budgets.remove(budget)
            self._set_timer()

    def hold(self) -> None:
        """Stop the clock: the application waits for us."""
        self._is_held = True
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
            left = min([self._left, *(budget.left for budget in self._budgets)])
            self._timer = self._clock.callLater(max(0.0, left), self._too_late)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._count()

    def _set_timer(self) -> None:
        """Let the clock go on as long as it may now."""
        if self._timer is not None:
            self._stop_timer()
            self._start_timer()

    def _count(self) -> None:
        """Note how long we waited."""
        self._timer = None
        waited = self._clock.seconds() - self._since
        self._left -= waited
        for budget in self._budgets:
            budget.left -= waited

    def _too_late(self) -> None:
        assert self._current is not None
        slowest = min(self._budgets, key=lambda budget: budget.left, default=None)
        in_all = slowest is not None and slowest.left < self._left
        self._count()
        if slowest is not None and in_all:
            self._late(f"it needed more than {slowest.seconds:.1f} s for all that it was asked")
        else:
            self._late(f"it did not answer {self._current.request.command.name} in {self._patience:g} s")

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
