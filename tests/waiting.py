"""Waiting for what another process, thread or machine does in its own time: once, for all tests.

Whatever else the machine does, a test must come to the same end: it waits for the *whole* of a condition,
and long; how long is seen only by those that fail.
"""

import inspect
import time

from twisted.internet import reactor
from twisted.internet.task import deferLater

DEADLINE = 60.0
"""Seconds after which what did not come is a failure."""

PATIENCE = 300
"""Seconds for a whole test, as `TestCase.timeout`: more than it may wait for one thing."""

PAUSE = 0.01  # seconds between two looks
NOT_YET = (FileNotFoundError, ProcessLookupError)


class _Watch:
    """What was seen so far of a condition that is waited for."""

    def __init__(self, what, deadline):
        self._what = what
        self._deadline = deadline
        self._end = time.monotonic() + deadline
        self.seen = None

    def check(self):
        """Fail where it has taken too long."""
        if time.monotonic() > self._end:
            what = self._what() if callable(self._what) else self._what
            raise AssertionError(f"waited {self._deadline:g} s for: {what}; at last: {self.seen!r:.2000}")


def wait_until(condition, what, deadline=DEADLINE):
    """Return the first true value of a condition; whatever it reads may not be there yet.

    Args:
        condition: called again and again; a file or a process that is missing is as good as false.
        what: is awaited, for the message of who waits in vain; or what returns that message.
        deadline: in seconds.

    Raises:
        AssertionError: it did not come; the message tells what was seen at last.
    """
    watch = _Watch(what, deadline)
    while True:
        try:
            if value := condition():
                return value
            watch.seen = value
        except NOT_YET as problem:
            watch.seen = problem
        watch.check()
        time.sleep(PAUSE)


async def until(condition, what, deadline=DEADLINE):
    """Do as `wait_until` while the reactor turns; the condition may be a function that is to be awaited."""
    watch = _Watch(what, deadline)
    while True:
        try:
            value = condition()
            if inspect.isawaitable(value):
                value = await value
            if value:
                return value
            watch.seen = value
        except NOT_YET as problem:
            watch.seen = problem
        watch.check()
        await deferLater(reactor, PAUSE)
