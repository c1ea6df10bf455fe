"""What comes over one connection is carried out in turns, so that no peer holds up the others.

A read of 64 KiB may hold thousands of commands, and a single command may concern thousands of streams.
What a connection brings is therefore an iterator of small steps. Where these take longer than a turn, the
reactor serves everybody else before the next one, and nothing more is read from the connection meanwhile.
"""

from collections import deque
from collections.abc import Iterator

from twisted.internet.interfaces import IConsumer, IDelayedCall, IPushProducer, IReactorTime, ITCPTransport

TURN = 0.001  # seconds


class IConnection(ITCPTransport, IConsumer, IPushProducer):
    """What every stream transport of Twisted is."""


class Turns:
    """The steps that one connection is still to do.

    Args:
        transport: nothing is read from it while there are any.
        clock: None does all steps at once.
    """

    def __init__(self, transport: IConnection, clock: IReactorTime | None) -> None:
        self._transport = transport
        self._clock = clock
        self._steps: deque[Iterator[object]] = deque()
        self._next: IDelayedCall | None = None
        self._is_turn = False
        self._is_held = False
        self._is_paused = False
        self._is_over = False

    def do(self, steps: Iterator[object]) -> None:
        """Do these steps after those before; begin now, if there are none."""
        self._steps.append(steps)
        if len(self._steps) == 1:
            self._turn()

    def hold(self) -> None:
        """Do no step until `go_on`."""
        self._is_held = True
        self._pause()

    def go_on(self) -> None:
        """Do steps again."""
        if self._is_held:
            self._is_held = False
            self._turn()

    def leave_alone(self) -> None:
        """Touch the transport no more: it is being closed."""
        self._is_over = True

    def end(self, steps: Iterator[object]) -> None:
        """Do all that is left, and then these; the connection is gone."""
        self._is_over = True
        self._is_held = False
        self._steps.append(steps)
        if self._next is None:
            self._turn()

    def _turn(self) -> None:
        self._next = None
        if self._is_turn:
            return
        self._is_turn = True
        while self._steps and not self._is_held:
            if not self._do_some(self._steps[0]):
                break
            self._steps.popleft()
        self._is_turn = False
        if self._is_over:
            return
        if self._steps or self._is_held:
            self._pause()
        elif self._is_paused:
            self._is_paused = False
            self._transport.resumeProducing()

    def _do_some(self, steps: Iterator[object]) -> bool:
        """Do steps until there are no more, or it is another's turn; return whether there are no more."""
        clock = self._clock
        end = None if clock is None else clock.seconds() + TURN
        for _ in steps:
            if self._is_held:
                return False
            if clock is not None and end is not None and clock.seconds() >= end:
                self._next = clock.callLater(0, self._turn)
                return False
        return True

    def _pause(self) -> None:
        if not (self._is_paused or self._is_over):
            self._is_paused = True
            self._transport.pauseProducing()
