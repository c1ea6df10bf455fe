"""What becomes of a trace while one waits: how much is left of it, and how fast it goes."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from lttngnet.cli.texts import plural, size
from lttngnet.errors import Code, CommandError

if TYPE_CHECKING:
    from lttngnet.client import Facts, Session

T = TypeVar("T")

PERIOD = 0.5
"""Seconds between two looks at what is left."""


class Rate:
    """How fast a number grows or shrinks, between the last look and the one before."""

    def __init__(self) -> None:
        self._last: tuple[float, int] | None = None

    def at(self, seconds: float, number: int) -> float:
        """Return the change in a second, up or down; 0 where that is not known."""
        last, self._last = self._last, (seconds, number)
        return (number - last[1]) / (seconds - last[0]) if last and seconds > last[0] else 0.0


def left(facts: "Facts") -> int:
    """Return how many bytes of a session have still to arrive."""
    return int(facts["facts"]["waiting"] + facts["facts"]["spooled"])


async def followed(
    work: Awaitable[T], session: "Session", clock: IReactorTime, show: Callable[[str], None]
) -> T:
    """Await what lets a trace arrive, and show meanwhile what is left of it, and how fast it arrives.

    Args:
        work: to be awaited.
        session: which is asked; that it does not answer is no matter.
        clock: measures the periods.
        show: is given a text to show.
    """
    working = Deferred.fromCoroutine(_awaited(work))
    looking = Deferred.fromCoroutine(_look(session, clock, show))
    try:
        return await working
    finally:
        looking.addErrback(lambda _: None)
        looking.cancel()


async def watched(session: "Session", clock: IReactorTime, period: float) -> "AsyncIterator[Facts]":
    """Yield what a session tells of itself, again and again, until there is none of that name any more."""
    while True:
        try:
            yield await session.glance()
        except CommandError as problem:
            if problem.code is Code.SESSION_NOT_FOUND:
                return
            raise
        await deferLater(clock, period)


async def _look(session: "Session", clock: IReactorTime, show: Callable[[str], None]) -> None:
    rate = Rate()
    with suppress(CommandError):  # whoever works will tell
        async for facts in watched(session, clock, PERIOD):
            waiting = left(facts)
            speed = max(-rate.at(clock.seconds(), waiting), 0)
            show(f"Waiting for the trace to arrive: {size(waiting)} left, {size(int(speed))}/s")


async def _awaited(work: Awaitable[T]) -> T:
    return await work


def line(facts: "Facts", speed: float) -> str:
    """Return one line on what a session does now."""
    counters: dict[str, Any] = facts["facts"]
    state = facts["state"] + (", consumer disabled" if facts["muted"] else "")
    told = [
        f"{facts['name']} [{state}]",
        plural(counters["packets"], "packet"),
        f"{size(counters['bytes'])}",
        f"{size(int(speed))}/s",
        f"{size(left(facts))} left",
        f"{plural(counters['discarded'], 'event')} discarded",
        f"{plural(counters['lost'] + counters['dropped'], 'packet')} lost",
    ]
    return ", ".join(told)


def table(facts: "Facts", speed: float) -> Any:
    """Return what a session does now, with all its channels, for rich to show."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, pad_edge=False)
    for heading in ("domain", "channel"):
        shown.add_column(heading, overflow="fold")
    for heading in ("packets", "size", "discarded", "lost"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for domain in facts["domains"]:
        for channel in domain["channels"]:
            counted = channel.get("facts")
            if counted is not None:
                numbers = (counted["packets"], size(counted["bytes"]), counted["discarded"], counted["lost"])
                shown.add_row(*(Text(str(each)) for each in (domain["name"], channel["name"], *numbers)))
    where = facts["path"] or facts["output"] or "no output"
    return Group(Text(line(facts, speed)), Text(where), shown)
