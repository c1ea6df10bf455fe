"""What ``-u`` means: the applications with the C tracer, traced for one session.

What users ask for is checked and noted (`Channels`, `Trackers`); then every application is brought in line
with it (`Member`), all at once, and those that come later as soon as they register.
"""

import os
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from zope.interface import implementer

from lttngnet.ctf.tsdl import creation_datetime
from lttngnet.errors import Code, CommandError
from lttngnet.interfaces import ICourier, IDomain
from lttngnet.log import Logger
from lttngnet.sessiond.domains.ust.channels import Channels
from lttngnet.sessiond.domains.ust.gaps import Gaps
from lttngnet.sessiond.domains.ust.member import Member
from lttngnet.sessiond.domains.ust.traces import KIND, Traces
from lttngnet.sessiond.domains.ust.trackers import Trackers
from lttngnet.sessiond.ust.application import Application
from lttngnet.sessiond.ust.applications import Applications


def covers(uid: int) -> bool:
    """Tell whether this daemon traces applications of a user: root's those of all, another its own user's."""
    return os.geteuid() in (0, uid)


@implementer(IDomain)
class UstDomain:
    """Traces applications for one session.

    Args:
        session: by name.
        applications: the daemon's.
        covers: tells whether the applications of a user, by number, are ours to trace.
        seconds: tells the time.
    """

    log = Logger()
    name = KIND

    def __init__(
        self,
        session: str,
        applications: Applications,
        covers: Callable[[int], bool] = covers,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = session
        self._applications = applications
        self._covers = covers
        self._created = creation_datetime()
        self._channels = Channels(session)
        self._trackers = Trackers()
        self._gaps = Gaps(session, seconds)
        self._members: dict[Application, Member] = {}
        self._traces: Traces | None = None
        self._is_active = False
        self._closing: set[Deferred[None]] = set()

    async def enable_events(self, channel: str, names: Sequence[str], options: dict[str, Any]) -> list[str]:
        """See `IDomain`.

        Args:
            channel: made where it is missing, as long as tracing was not started; empty for the default one.
            names: of tracepoints, ``PROVIDER:NAME``, or globs.
            options: see `lttngnet.sessiond.domains.ust.rules.rules`.
        """
        recorded = self._channels.enable_rules(channel, names, options)
        await self._update()
        return recorded

    async def disable_events(self, channel: str, names: Sequence[str]) -> list[str]:
        """See `IDomain`; names are those that were enabled, each with all its filters and levels."""
        gone = self._channels.disable_rules(channel, names)
        await self._update()
        return gone

    async def enable_channel(self, channel: str, options: dict[str, Any]) -> None:
        """See `IDomain`; with the first channel, all others of the session have its kind of buffers."""
        self._channels.enable(channel, options)
        await self._update()

    async def disable_channel(self, channel: str) -> None:
        """See `IDomain`."""
        self._channels.disable(channel)
        await self._update()

    async def lend(
        self, channel: str, event: str, expressions: Sequence[str], *, is_optional: bool = False
    ) -> None:
        """Let a channel record a tracepoint for another domain of the session; see `Channels.lend`."""
        self._channels.lend(channel, event, expressions, is_optional)
        await self._update()

    async def add_contexts(self, channel: str, names: Sequence[str]) -> None:
        """See `IDomain`; where there is no channel, the default one is made."""
        self._channels.add_contexts(channel, names)

    async def track(self, kind: str, ids: Sequence[int | str]) -> None:
        """See `IDomain`."""
        self._trackers.track(kind, ids)
        await self._update()

    async def untrack(self, kind: str, ids: Sequence[int | str]) -> None:
        """See `IDomain`."""
        self._trackers.untrack(kind, ids)
        await self._update()

    async def regenerate(self, what: str) -> None:
        """See `IDomain`."""
        if what == "metadata":
            if self._channels.buffers == "pid":
                raise CommandError(
                    Code.PER_PID_SESSION,
                    "where each process has buffers of its own, metadata is not regenerated",
                )
            if self._traces is not None:
                await self._traces.regenerate()
            return
        if what != "statedump":
            raise CommandError(Code.NOT_SUPPORTED, f"user space has no {what} to write anew")
        await self._all(member.regenerate_statedump() for member in self._members.values())

    def is_empty(self) -> bool:
        """See `IDomain`: a channel is something, rules can be added to it while tracing is active."""
        return not self._channels.are_used

    async def attach(self, courier: ICourier) -> None:
        """See `IDomain`; whatever was set up for another consumer process is given up."""
        await self.detach()
        try:
            await courier.add_source(self.name, {"session": self._session})
        except CommandError as problem:
            if problem.code is not Code.NO_UST or not self._channels.are_optional:
                raise
            self.log.info(
                "Session {name} does without applications: {problem}",
                name=self._session,
                problem=str(problem),
            )
            return
        self._traces = Traces(self._session, self._channels, courier, self._created, self._applications.rooms)

    async def detach(self) -> None:
        """See `IDomain`; every application releases what it has of this session."""
        self._is_active = False
        self._applications.unwatch(self)
        members, self._members = list(self._members.values()), {}
        traces, self._traces = self._traces, None
        await self._all(member.leave() for member in members)
        if traces is not None:
            traces.release()

    async def start(self) -> None:
        """See `IDomain`; when this returns, the applications record, and so will those that come later."""
        self._channels.is_fixed = True
        self._is_active = True
        self._applications.watch(self)
        problems = await self._update()
        if problems and not any(member.records for member in self._members.values()):
            raise problems[0]

    async def stop(self) -> None:
        """See `IDomain`; when this returns, no application is about to record an event.

        Traces of processes that are gone may still be closing: that waits for the consumer, which may be
        disabled, and be let go on by nothing but the end of tracing.
        """
        self._is_active = False
        self._gaps.forget()
        await self._update()

    async def destroy(self) -> None:
        """See `IDomain`."""
        await self.detach()
        await DeferredList(list(self._closing))

    def describe(self) -> dict[str, Any]:
        """See `IDomain`.

        Also ``buffers``, ``uid`` or ``pid``; ``tracked``, the ids of each attribute of which not all are
        traced; ``applications``, the number of processes that could be traced; ``interruptions``, if there
        were any: how often an application ran on without being traced, see `Gaps`.
        """
        return {
            "channels": self._channels.describe(),
            "buffers": self._channels.buffers,
            "tracked": self._trackers.describe(),
            "applications": sum(self._covers(each.facts.uid) for each in self._applications),
            **({"interruptions": self._gaps.times} if self._gaps.times else {}),
        }

    async def joined(self, application: Application) -> None:
        """See `Watcher`."""
        await self._all([self._follow(application)])

    def left(self, application: Application) -> None:
        """See `Watcher`; if it had buffers of its own, what is in them is handed on."""
        member = self._members.pop(application, None)
        if member is None:
            return
        if member.records:
            self._gaps.begin(application.facts)
        if self._traces is not None:
            closing = Deferred.fromCoroutine(self._traces.leave(application))
            self._closing.add(closing)
            closing.addErrback(self._not_closed, application)
            closing.addBoth(lambda _: self._closing.discard(closing))

    def _not_closed(self, failure: Any, application: Application) -> None:
        failure.trap(CommandError)
        self.log.warn(
            "The trace of process {pid} ({name}) was not closed: {why}",
            pid=application.facts.pid,
            name=application.facts.name,
            why=str(failure.value),
        )

    async def _update(self) -> list[CommandError]:
        """Bring all applications in line; return what kept buffers from being made."""
        if self._traces is None:
            return []
        return await self._all(
            self._follow(each) for each in self._applications if self._covers(each.facts.uid)
        )

    async def _follow(self, application: Application) -> None:
        if self._traces is None or not self._covers(application.facts.uid):
            return
        if application not in self._members:
            self._members[application] = Member(self._session, application)
        member = self._members[application]
        wanted = self._is_active and self._trackers.includes(application.facts)
        try:
            await member.follow(self._traces, wanted, len(self._applications))
        except CommandError as problem:
            self.log.warn(
                "Process {pid} ({name}) is not traced in session {session}: {problem}",
                pid=application.facts.pid,
                name=application.facts.name,
                session=self._session,
                problem=str(problem),
            )
            raise
        if member.records:
            self._gaps.end(application.facts)

    async def _all(self, works: Iterable[Any]) -> list[CommandError]:
        """Do all at once, and return the failures of which users are told; others are logged."""
        doing = [each if isinstance(each, Deferred) else Deferred.fromCoroutine(each) for each in works]
        problems = []
        for done, result in await DeferredList(doing, consumeErrors=True):
            if done:
                continue
            if isinstance(result.value, CommandError):
                problems.append(result.value)
            else:
                self.log.failure("Session {name}", result, name=self._session)
        return problems
