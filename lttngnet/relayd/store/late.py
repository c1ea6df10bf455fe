"""What a session still lacks when its control connection is gone: waited for while somebody may bring it.

A data connection does not say whose packets it brings before the first one. As long as a session never had
one, any that has not said so may be its own, if it was made before the control connection ended.
"""

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

WAIT_FOR_DATA = 120  # seconds in which nothing comes, although somebody may bring it
WAIT_FOR_STRANGER = 1  # seconds for a connection that was made, and that we have not noticed


class Strangers:
    """The data connections of which nobody knows whose they are; a `lttngnet.relayd.peers.Door` as well.

    Attributes:
        may_be_outside: whether nobody is let in, so that more may wait for it.
    """

    def __init__(self) -> None:
        self.may_be_outside = False
        self._last = 0
        self._inside: dict[int, None] = {}  # in the order in which they came
        self._waiting: dict[Late, int] = {}  # and the last one that may be theirs, in order as well

    def enter(self) -> int:
        """One is here: return its number."""
        self._last += 1
        self._inside[self._last] = None
        return self._last

    def leave(self, number: int) -> None:
        """It is gone, or has said whose it is."""
        del self._inside[number]
        first = next(iter(self._inside), self._last + 1)
        while self._waiting and self._waiting[late := next(iter(self._waiting))] < first:
            self.leave_alone(late)
            late.nobody_comes()

    def stopReading(self) -> None:
        """Nobody is let in."""
        self.may_be_outside = True

    def startReading(self) -> None:
        """All are let in again."""
        self.may_be_outside = False

    def tell(self, late: "Late") -> None:
        """Say when those that are here now are gone: maybe at once."""
        if self._inside:
            self._waiting[late] = self._last
        else:
            late.nobody_comes()

    def leave_alone(self, late: "Late") -> None:
        """Tell it nothing; to say so twice is no error."""
        self._waiting.pop(late, None)


class Late:
    """Waits for the rest of one session.

    Args:
        strangers: of the daemon.
        clock: of the reactor; None waits for ever.
        arrived: returns what is not the same any more when something has come.
        give_up: told the reason when the rest will not come.

    Attributes:
        is_fed: whether the session has a data connection.
    """

    def __init__(
        self,
        strangers: Strangers,
        clock: IReactorTime | None,
        arrived: Callable[[], object],
        give_up: Callable[[str], None],
    ) -> None:
        self._strangers = strangers
        self._clock = clock
        self._arrived = arrived
        self._give_up = give_up
        self._is_waiting = False
        self._was_fed = False
        self._look: IDelayedCall | None = None
        self.is_fed = False

    def begin_feeding(self) -> None:
        """The session has a data connection now."""
        self.is_fed = self._was_fed = True
        if self._is_waiting:
            self._strangers.leave_alone(self)
            self._wait_for_data()

    def end_feeding(self) -> None:
        """It is gone."""
        self.is_fed = False
        if self._is_waiting:
            self._give_up("its data connection is gone")

    def wait(self) -> None:
        """The control connection is gone, and something is missing."""
        self._is_waiting = True
        if self.is_fed:
            self._wait_for_data()
        elif self._was_fed:
            self._give_up("its data connection is gone")
        else:
            self._call_later(WAIT_FOR_STRANGER, self._wait_for_stranger)

    def nobody_comes(self) -> None:
        """Whoever might have been its data connection is not."""
        self._give_up("it has no data connection")

    def end(self) -> None:
        """Wait no more: the session is gone, and forgotten."""
        self._is_waiting = False
        self._strangers.leave_alone(self)
        self._cancel()
        del self._arrived, self._give_up

    def _wait_for_stranger(self) -> None:
        if self._strangers.may_be_outside:
            self._call_later(WAIT_FOR_STRANGER, self._wait_for_stranger)
        else:
            self._wait_for_data()
            self._strangers.tell(self)

    def _wait_for_data(self) -> None:
        before = self._arrived()
        self._call_later(WAIT_FOR_DATA, lambda: self._judge(before))

    def _judge(self, before: object) -> None:
        if self._arrived() == before:
            self._give_up(f"nothing came for {WAIT_FOR_DATA} s")
        else:
            self._wait_for_data()

    def _call_later(self, time: float, act: Callable[[], None]) -> None:
        self._cancel()
        if self._clock is not None:
            self._look = self._clock.callLater(time, self._called, act)

    def _called(self, act: Callable[[], None]) -> None:
        self._look = None
        act()

    def _cancel(self) -> None:
        look, self._look = self._look, None
        if look is not None:
            look.cancel()
