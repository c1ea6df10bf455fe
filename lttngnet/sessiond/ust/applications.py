"""All applications with the C tracer that are registered; made once for the daemon, watched by domains."""

from collections.abc import Awaitable, Iterator
from typing import Any, Protocol

from twisted.internet.defer import Deferred, DeferredList
from twisted.python.failure import Failure

from lttngnet.log import Logger
from lttngnet.sessiond.ust.application import Application
from lttngnet.sessiond.ust.failures import ApplicationGone
from lttngnet.sessiond.ust.room import Rooms


class Watcher(Protocol):
    """Who is interested in applications."""

    def joined(self, application: Application) -> Awaitable[None]:
        """Set up an application that has just registered, and waits for that (but not for ever)."""

    def left(self, application: Application) -> None:
        """Forget an application. What it was asked and has not answered raises `ApplicationGone` then."""


class Applications:
    """The applications that can be traced, in the order in which they came.

    Attributes:
        rooms: for what those of each user describe.
    """

    log = Logger()

    def __init__(self) -> None:
        self.rooms = Rooms()
        self._members: dict[Application, None] = {}
        self._watchers: list[Watcher] = []

    def __iter__(self) -> Iterator[Application]:
        return iter(list(self._members))

    def __len__(self) -> int:
        return len(self._members)

    def watch(self, watcher: Watcher) -> None:
        """Tell somebody from now on about applications that come and go."""
        if watcher not in self._watchers:
            self._watchers.append(watcher)

    def unwatch(self, watcher: Watcher) -> None:
        """Tell him no more."""
        if watcher in self._watchers:
            self._watchers.remove(watcher)

    async def joined(self, application: Application) -> None:
        """Know an application; return when every watcher has set it up, or has failed to."""
        self._members[application] = None
        waits = [self._tell(watcher, application) for watcher in list(self._watchers)]
        await DeferredList(waits)

    def left(self, application: Application) -> None:
        """Know no more of an application."""
        self._members.pop(application, None)
        for watcher in list(self._watchers):
            try:
                watcher.left(application)
            except Exception:
                self.log.failure("{who} could not be forgotten", who=str(application))

    def _tell(self, watcher: Watcher, application: Application) -> "Deferred[Any]":
        async def tell() -> None:
            await watcher.joined(application)

        return Deferred.fromCoroutine(tell()).addErrback(self._failed, application)

    def _failed(self, failure: Failure, application: Application) -> None:
        if not failure.check(ApplicationGone):
            self.log.failure("{who} could not be set up", failure, who=str(application))
