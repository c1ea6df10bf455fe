"""Where a session's trace goes: the consumer template, and the consumer process that was made of it."""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from secrets import token_bytes
from typing import Any
from uuid import UUID

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from lttngnet.consumer.policy import Policy
from lttngnet.errors import Code, CommandError
from lttngnet.log import Logger
from lttngnet.sessiond.consumers import NOTHING, ConsumerProcess
from lttngnet.sessiond.control import LastingSession, NotResumed
from lttngnet.sessiond.link import Established
from lttngnet.sessiond.reconnecting import reconnect
from lttngnet.sessiond.recording import Maker
from lttngnet.uri import Output
from lttngnet.wire.relay import CreateSession


@dataclass
class Surroundings:
    """What a session needs of the daemon.

    Attributes:
        hostname: of this machine, as relay daemons shall know it.
        sessiond: identity of this daemon's process.
        domains: what makes the `IDomain` of a name: see `lttngnet.sessiond.recording.Recording`.
        spawn: start a consumer process, for a session of a name; the callable is told when it is lost.
        establish: make the link to the relay daemon of an output.
        seconds: the time since the epoch.
        clock: measures periods.
    """

    hostname: str
    sessiond: UUID
    domains: Mapping[str, Maker]
    spawn: Callable[[str, Callable[[str], None]], ConsumerProcess]
    establish: Callable[[Output, CreateSession], Awaitable[Established]]
    seconds: Callable[[], float]
    clock: IReactorTime


class Outlet:
    """The way out of a session: one consumer after the other, each with a trace of its own.

    Attributes:
        template: what is enabled next; it is in force already if it was not set since.
        present: what is in force.
        path: where the present trace lies: relative to the relay daemon's output folder, or a local folder.
        consumer: the present one, or None.
        facts: its counters, or those of the last one, as they were told last.
        live: microseconds between two times that what was recorded is sent; 0: when there is enough.
        policy: for when the relay daemon goes away; in force from the next `open` or `switch` on.
        since: seconds since the epoch: when the present connection was made, or the folder.
        reconnects: how often the relay daemon was come back to.
        away: why it is away, empty if it is not.
        fallback: the local folder that the trace goes to since the relay daemon went away; else empty.
    """

    log = Logger()

    def __init__(
        self,
        name: str,
        number: int,
        created: int,
        surroundings: Surroundings,
        on_lost: Callable[[str], None],
        live: int = 0,
        snapshot: bool = False,
    ) -> None:
        self.live = live
        self._is_for_snapshots = snapshot
        self.template = self.present = Output()
        self.path = ""
        self.consumer: ConsumerProcess | None = None
        self._leaving: ConsumerProcess | None = None  # delivers what it has, and ends
        self.facts = dict(NOTHING)
        self._name = name
        self._number = number
        self._created = created
        self._surroundings = surroundings
        self._on_lost = on_lost
        self.policy = Policy()
        self.since = 0.0
        self.reconnects = 0
        self.away = self.fallback = ""
        self._lasting: LastingSession | None = None
        self._resumes = False
        self._returning: Deferred[None] | None = None
        self._opened = 0  # seconds since the epoch: the creation time of the last relay session
        self._base_paths: Counter[str] = Counter()  # how often each was asked for

    def check(self) -> None:
        """See that the template is whole.

        Raises:
            CommandError: control or data are missing.
        """
        if self.template.is_complete:
            return
        lacks_data = self.template.data is None
        code, half = (Code.URL_DATA_MISS, "data") if lacks_data else (Code.URL_CTRL_MISS, "control")
        raise CommandError(
            code, f"the {half} URI of session {self._name} is missing: set it with enable-consumer"
        )

    async def open(self) -> None:
        """Establish the network session, or make the folder, and have a consumer process for it.

        Raises:
            CommandError: it could not be had; then nothing is left of the attempt.
        """
        link = None
        if self.template.is_network and not self._is_for_snapshots:
            wanted = self._relay_session(self.template)
            link = await self._surroundings.establish(self.template, wanted)
        try:
            self.consumer = self._surroundings.spawn(self._name, self._on_lost)
        except BaseException:
            if link is not None:
                link.close()
            raise
        self.facts = dict(NOTHING)
        try:
            if link is not None:
                await self._connect(self.consumer, link, wanted)
            elif self.template.path is not None and not self._is_for_snapshots:
                await self.consumer.use_directory(self.template.path)
                self.path = self.template.path
                self._is_there()
        except BaseException:
            self.drop()
            raise
        self.present = self.template

    async def switch(self) -> str:
        """Have the consumer process, which goes on, carry to where the template says.

        Returns:
            What did not arrive where the trace went before, in a sentence, or empty.

        Raises:
            CommandError: that cannot be had; everything is as it was before.
        """
        assert self.consumer is not None
        if self.template.is_network:
            wanted = self._relay_session(self.template)
            link = await self._surroundings.establish(self.template, wanted)
            self._return_no_more()
            problem = await self._connect(self.consumer, link, wanted)
        else:
            assert self.template.path is not None
            self._return_no_more()
            problem = await self.consumer.use_directory(self.template.path)
            self.path = self.template.path
            self._is_there()
        self.present = self.template
        return problem

    async def _connect(self, consumer: ConsumerProcess, link: Established, made: CreateSession) -> str:
        """Let the consumer process use a link to what was ``made``; see `ConsumerProcess.connect`."""
        lasts = self.policy.on_loss != "stop"
        if lasts:
            consumer.when_away(self._gone, self._moved)
        path = link.session.path
        problem = await (consumer.connect(link, self.policy) if lasts else consumer.connect(link))
        self.path = path
        self._lasting = made if isinstance(made, LastingSession) and made.identity else None
        self._is_there()
        return problem

    # ------------------------------------------------------------ a relay daemon that goes away

    @property
    def connection(self) -> dict[str, Any]:
        """What users may want to know of it: see `lttngnet.wire.amp.Describe`."""
        return {
            "since": self.since,
            "reconnects": self.reconnects,
            "away": self.away,
            "fallback": self.fallback,
            "on_loss": self.policy.on_loss,
        }

    def _is_there(self) -> None:
        self.since = self._surroundings.seconds()
        self.away = self.fallback = ""

    def _gone(self, why: str, resumes: bool) -> None:
        """Come back to the relay daemon, as often as it takes."""
        self.log.warn("Session {session}: {why}; what is recorded is held", session=self._name, why=why)
        self._return_no_more()
        self.away, self._resumes = why, resumes
        self._returning = Deferred.fromCoroutine(self._return())
        self._returning.addErrback(self._not_returned)

    def _moved(self, why: str, path: str) -> None:
        self.log.warn(
            "Session {session}: {why}; the trace goes on in {path}", session=self._name, why=why, path=path
        )
        self._is_there()
        self.away, self.fallback, self.path = why, path, path

    async def _return(self) -> None:
        await reconnect(self._surroundings.clock, self._attempt)
        self.reconnects += 1
        self._returning = None
        self.log.info("Session {session}: the relay daemon is back", session=self._name)

    async def _attempt(self) -> None:
        consumer = self.consumer
        if consumer is None:
            return
        if self._resumes and self._lasting is not None:
            try:
                wanted = replace(self._lasting, resumes=True)
                await consumer.resume(await self._surroundings.establish(self.present, wanted))
            except NotResumed:
                self._resumes = False  # the next attempt makes another session
                raise
            self._is_there()
            return
        another = self._relay_session(self.present)
        link = await self._surroundings.establish(self.present, another)
        await self._connect(consumer, link, another)

    def _return_no_more(self) -> None:
        returning, self._returning = self._returning, None
        if returning is not None:
            returning.cancel()

    def _not_returned(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            self.log.failure("The relay daemon is not come back to", failure)

    async def close(self) -> None:
        """Close the trace of the consumer, if there is one, and let its process end.

        Raises:
            CommandError: not everything could be delivered.
        """
        self._return_no_more()
        self._leaving, self.consumer = self.consumer, None
        if self._leaving is not None:
            self.path = ""
            try:
                await self._leaving.finish()
            finally:
                self._leaving = None

    def drop(self) -> None:
        """Have nothing to do with the consumer any more: it is lost."""
        self._return_no_more()
        if self.consumer is not None:
            self.facts = self.consumer.counted
            self.consumer.dismiss()
            self.consumer = None

    @property
    def counted(self) -> dict[str, Any]:
        """The counters as they were told last."""
        return self.facts if self.consumer is None else self.consumer.counted

    async def count(self) -> None:
        """Have the present counters in `facts`."""
        consumer = self.consumer or self._leaving
        if consumer is not None:
            with suppress(CommandError):  # a process that is just dying will be reported as lost
                self.facts = await consumer.facts()

    def _relay_session(self, output: Output) -> CreateSession:
        """Return the relay session for an output: each has a folder of its own."""
        assert output.control is not None
        is_first = not self._opened
        self._opened = self._created if is_first else max(int(self._surroundings.seconds()), self._opened + 1)
        base_path = output.control.subdir
        self._base_paths[base_path] += 1
        if base_path and (times := self._base_paths[base_path]) > 1:
            base_path = f"{base_path}-{times}"
        wanted = CreateSession(
            self._name,
            self._surroundings.hostname,
            base_path,
            live_timer=self.live,
            name_has_time=is_first and self._name.startswith("auto-"),
            sessiond=self._surroundings.sessiond,
            session=self._number,
            created=self._opened,
        )
        if self.policy.on_loss == "stop" or self._is_for_snapshots:
            return wanted
        if self.policy.on_loss != "hold":
            return LastingSession(**vars(wanted))
        return LastingSession(**vars(wanted), identity=token_bytes(16), secret=token_bytes(32))
