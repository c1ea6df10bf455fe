"""Coming back to a relay daemon that went away: again and again, with pauses that grow."""

from collections.abc import Awaitable, Callable
from random import random

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from lttngnet.errors import CommandError
from lttngnet.log import Logger

FIRST = 0.2
"""Seconds before the first attempt."""

FACTOR = 2.0
"""By which each pause is longer than the one before."""

LONGEST = 5.0
"""Seconds, however long it is away."""

JITTER = 0.25
"""Part of a pause by which it may be shorter or longer, so that not all come back at the same moment."""

log = Logger("lttngnet.sessiond.reconnecting")


async def reconnect(
    clock: IReactorTime, attempt: Callable[[], Awaitable[None]], chance: Callable[[], float] = random
) -> int:
    """Attempt it until it succeeds; return how many attempts that took.

    Args:
        clock: measures the pauses.
        attempt: raises CommandError where it does not succeed.
        chance: returns a number from 0 to 1.
    """
    pause, attempts = FIRST, 0
    while True:
        await deferLater(clock, pause * (1 + JITTER * (2 * chance() - 1)))
        attempts += 1
        try:
            await attempt()
        except CommandError as failure:
            log.info("Attempt {number}: {failure}", number=attempts, failure=failure)
        else:
            return attempts
        pause = min(pause * FACTOR, LONGEST)
