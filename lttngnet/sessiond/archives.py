"""When a session's trace is rotated and cleared: what may be asked for, and what happens by itself."""

from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from lttngnet.errors import Code, CommandError
from lttngnet.log import Logger

LOOK = 1.0
"""Seconds between two looks at how much was recorded, as often as the consumer process tells."""

KINDS = {"timer": "periodic", "size": "size-based"}


class Archives:
    """The rotations of one session.

    Args:
        session: by name.
        clock: measures the periods.
        rotate: the session, as if a user had asked for it.
        counted: returns the bytes that were handed on in the present trace.

    Attributes:
        rotated: how often that was.
    """

    log = Logger()

    def __init__(
        self,
        session: str,
        clock: IReactorTime,
        rotate: Callable[[], Awaitable[Any]],
        counted: Callable[[], int],
    ) -> None:
        self.rotated = 0
        self._session = session
        self._rotate = rotate
        self._counted = counted
        self._amounts = dict.fromkeys(KINDS, 0)
        self._before = 0  # bytes that were recorded up to the last rotation
        self._emptied = ""  # how, since tracing was stopped
        self._is_active = False
        self._timers = {"timer": LoopingCall(self._by_itself), "size": LoopingCall(self._look)}
        for timer in self._timers.values():
            timer.clock = clock

    def check(self) -> None:
        """See that there is something to rotate.

        Raises:
            CommandError: all was archived, or deleted, since tracing was stopped.
        """
        if self._emptied == "rotated":
            raise CommandError(
                Code.ROTATION_MULTIPLE_AFTER_STOP, f"session {self._session} was rotated since it was stopped"
            )
        if self._emptied:
            raise CommandError(
                Code.ROTATION_AFTER_STOP_CLEAR, f"session {self._session} was cleared since it was stopped"
            )

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to clear, either."""
        return bool(self._emptied)

    def emptied(self, how: str) -> None:
        """Note that the trace was ``rotated`` or ``cleared``."""
        self.rotated += how == "rotated"
        self._before = self._counted()
        if not self._is_active:
            self._emptied = how

    def started(self) -> None:
        """Tracing goes on."""
        self._is_active = True
        self._emptied = ""
        self._set_timers()

    def stopped(self) -> None:
        """Tracing does not go on."""
        self._is_active = False
        self._set_timers()

    def enable(self, kind: str, amount: int) -> None:
        """Rotate every ``amount`` of microseconds (``timer``) or bytes (``size``).

        Raises:
            CommandError: it does already, or that is no amount.
        """
        self._check_kind(kind)
        if amount <= 0:
            raise CommandError(Code.INVALID, f"a rotation {kind} of {amount} cannot be")
        if self._amounts[kind]:
            raise CommandError(
                Code.ROTATION_SCHEDULE_SET,
                f"session {self._session} has a {KINDS[kind]} rotation already: disable it first",
            )
        self._amounts[kind] = amount
        self._set_timers()

    def disable(self, kind: str) -> None:
        """Do not rotate any more for that reason.

        Raises:
            CommandError: it does not anyway.
        """
        self._check_kind(kind)
        if not self._amounts[kind]:
            raise CommandError(
                Code.ROTATION_SCHEDULE_NOT_SET, f"session {self._session} has no {KINDS[kind]} rotation"
            )
        self._amounts[kind] = 0
        self._set_timers()

    def describe(self) -> dict[str, int]:
        """Return what was asked for."""
        return dict(self._amounts)

    def _check_kind(self, kind: str) -> None:
        if kind not in KINDS:
            raise CommandError(Code.INVALID, f"there is no rotation by {kind}")

    def _set_timers(self) -> None:
        for kind, interval in (("timer", self._amounts["timer"] / 1e6), ("size", LOOK)):
            timer = self._timers[kind]
            wanted = self._is_active and self._amounts[kind] > 0
            if wanted and not timer.running:
                timer.start(interval, now=False).addErrback(self._failed)
            elif timer.running and not wanted:
                timer.stop()

    async def _look(self) -> None:
        if self._counted() - self._before >= self._amounts["size"]:
            await self._by_itself()

    async def _by_itself(self) -> None:
        if not self._is_active:
            return
        try:
            await self._rotate()
        except CommandError as problem:
            self.log.warn(
                "Session {session} was not rotated: {problem}", session=self._session, problem=str(problem)
            )

    def _failed(self, failure: Failure) -> None:
        self.log.failure(
            "Session {session} is not rotated by itself any more", failure, session=self._session
        )
