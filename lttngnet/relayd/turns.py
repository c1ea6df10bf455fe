"""What peers bring is done in turns, so that nobody holds up the others.

A read of 64 KiB may hold thousands of commands; one command may concern thousands of streams, and so may the
end of a session. So whatever is to be done is an iterator of small steps: a command, a piece of a packet, a
file to be deleted. `Turns` holds what is left to do for one connection, or of one thing that no connection
waits for. `Rounds` says whose turn it is, for the whole daemon::

    something new ───┬──▶ at once, as long as a round has time left ──┐
                     ▼                                                ▼
                   quick ── these first: who needed few turns ────▶ a turn ───▶ done: read more
                  again ─── one in each round, then these ────────▶▲    │
                  ▲ new ─── one in each round, then these ────────▶▲    │
                  │long ─── one in each round, then as many ───────┘    │ not done
                  │  ▲      as the round has time for                   │
                  │  └──────────────────────────────────────────────────┤
                  └─────────── as long as a quick one had few ──────────┘

A turn takes 0.15 ms, and the step that it ends with. A round takes 4 ms; between two rounds the reactor reads
from everybody. Nothing is read from a connection until all that it brought is done.

Who needed few turns has as many before it is one of the long: a turn may be over before much was done, where
another process has the processor.

So whoever asks for little, again and again, waits for a round, and for one turn of each such peer that came
before: some 0.08 s if that is all the 400 connections that a daemon commonly has. Whoever has just come,
or asks for much, waits for the others that do as well, and for no flood of little things.
"""

from collections import deque
from collections.abc import Callable, Iterator

from twisted.internet.interfaces import IConsumer, IDelayedCall, IPushProducer, IReactorTime, ITCPTransport

from lttngnet.log import Logger

TURN = 0.00015  # seconds
ROUND = 0.004  # seconds
FEW = 4  # turns
LAST = 1.0  # seconds in which connections are heard when all of it ends


class IConnection(ITCPTransport, IConsumer, IPushProducer):
    """What every stream transport of Twisted is."""


class Rounds:
    """Gives turns.

    Args:
        clock: the reactor; None does everything at once: time stands still.

    Attributes:
        are_over: whether no connection is heard any more.
    """

    log = Logger()

    def __init__(self, clock: IReactorTime | None = None) -> None:
        self._seconds: Callable[[], float] = _never if clock is None else clock.seconds
        self._clock = clock
        self._quick: deque[Turns] = deque()
        self._again: deque[Turns] = deque()
        self._new: deque[Turns] = deque()
        self._long: deque[Turns] = deque()
        self._spent = 0.0  # seconds of this round
        self._next: IDelayedCall | None = None
        self.are_over = False

    def do(self, steps: Iterator[object]) -> None:
        """Do what no connection waits for."""
        Turns(self).do(steps)

    def enter(self, turns: "Turns") -> bool:
        """Give turns to what is in no queue, until it has no more to do; return whether it had one now."""
        queue = self._quick if turns.is_quick else self._new
        if self._spent >= ROUND or queue:
            turns.taken = 0
            queue.append(turns)
            self._arrange()
            return False
        turns.taken = 0
        self._give(turns)
        if self._again or self._long or self._spent >= ROUND:
            self._arrange()
        return True

    @property
    def are_due(self) -> bool:
        """Whether there is more to do as soon as the reactor comes to it."""
        return self._next is not None

    def finish(self) -> None:
        """Do all that is left, and from now on everything at once.

        What connections had to say in more than `LAST` seconds is dropped, and what they say from then on.
        """
        end = self._seconds() + LAST
        while self._are_left and self._seconds() < end:
            self._round()
        self.are_over = True
        waiting = [*self._quick, *self._again, *self._new, *self._long]
        if dropped := sum([turns.drop() for turns in waiting]):
            self.log.warn(
                "The daemon ends: what {count} connections had still to say is dropped", count=dropped
            )
        self._seconds, self._spent = _never, 0.0
        while self._are_left:
            self._round()
        if self._next is not None:
            self._next.cancel()
        self._next = self._clock = None

    @property
    def _are_left(self) -> bool:
        return bool(self._quick or self._again or self._new or self._long)

    def _round(self) -> None:
        self._spent = 0.0
        while self._spent < ROUND and self._quick:
            self._give(self._quick.popleft())
        for queue in (self._again, self._new, self._long):  # one turn of each may take longer than a round
            if queue:
                self._give(queue.popleft())
        while self._spent < ROUND and (queue := self._again or self._new or self._long):
            self._give(queue.popleft())

    def _give(self, turns: "Turns") -> None:
        seconds = self._seconds
        began = seconds()
        has_more = turns.take(seconds, began + TURN)
        self._spent += seconds() - began
        turns.taken += 1
        if not has_more:
            turns.is_quick = turns.taken <= FEW
        elif turns.is_quick and turns.taken < FEW:
            self._again.append(turns)
        else:
            self._long.append(turns)

    def _arrange(self) -> None:
        """Let there be another round."""
        if self._clock is not None and self._next is None:
            self._next = self._clock.callLater(0, self._begin)

    def _begin(self) -> None:
        self._next = None
        self._round()
        if self._are_left or self._spent >= ROUND:
            self._arrange()


class Turns:
    """Steps that are to be done one after the other.

    Args:
        rounds: gives the turns.
        transport: nothing is read from it while there are steps; None if these are no connection's.

    Attributes:
        taken: how many turns it had since it had nothing to do.
        is_quick: whether it needed few the last time.
    """

    log = Logger()

    def __init__(self, rounds: Rounds, transport: IConnection | None = None) -> None:
        self.taken = 0
        self.is_quick = False
        self._rounds = rounds
        self._transport = transport
        self._steps: deque[Iterator[object]] = deque()
        self._is_waiting = False  # for a turn, or has it
        self._is_held = False
        self._is_paused = False
        self._is_heard = transport is not None  # somebody speaks
        self._last: Iterator[object] | None = None  # when it is gone

    @property
    def are_done(self) -> bool:
        """Whether there is no step left."""
        return not self._steps

    def do(self, steps: Iterator[object]) -> None:
        """Do these steps after those before: now, if there are none, and others leave the time."""
        if self._is_heard and self._rounds.are_over:
            return
        self._steps.append(steps)
        if not (self._is_waiting or self._is_held):
            self._enter()

    def hold(self) -> None:
        """Do no step until `go_on`."""
        self._is_held = True
        self._read_or_pause()

    def go_on(self) -> None:
        """Do steps again."""
        self._is_held = False
        if self._steps and not self._is_waiting:
            self._enter()
        else:
            self._read_or_pause()

    def leave_alone(self) -> None:
        """Touch the transport no more: it is being closed."""
        self._transport = None

    def end(self, steps: Iterator[object]) -> None:
        """Do all that is left, and then these; the connection is gone."""
        self._transport = None
        self._is_held = False
        if self._rounds.are_over:
            self.drop()
        self._is_heard, self._last = False, steps
        self.do(steps)

    def drop(self) -> bool:
        """Forget what a connection had to say, but not that it is gone; return whether there was anything."""
        if self._is_heard or self._last is not None:
            last = self._last
            left, self._steps = self._steps, deque(steps for steps in self._steps if steps is last)
            return len(left) > len(self._steps)
        return False

    def take(self, seconds: Callable[[], float], end: float) -> bool:
        """Take a turn that ends then; return whether there is more to do, by `Rounds` alone."""
        left = self._steps
        try:
            while left and not self._is_held:
                for _ in left[0]:
                    if self._is_held or seconds() >= end:
                        self._is_waiting = not self._is_held
                        self._read_or_pause()
                        return self._is_waiting
                left.popleft()
        except Exception:
            self.log.failure("Defect in a turn")
            left.popleft()
            return self.take(seconds, end)
        self._is_waiting = False
        if self._is_paused:
            self._read_or_pause()
        return False

    def _enter(self) -> None:
        self._is_waiting = True
        if not self._rounds.enter(self):
            self._read_or_pause()

    def _read_or_pause(self) -> None:
        is_busy = bool(self._steps) or self._is_held
        if self._transport is None or is_busy == self._is_paused:
            return
        self._is_paused = is_busy
        if is_busy:
            self._transport.pauseProducing()
        else:
            self._transport.resumeProducing()


def _never() -> float:
    return 0.0
