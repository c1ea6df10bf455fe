"""A tracing session: what it traces, where its trace goes, and the steps from one to the other."""

from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import update_wrapper
from typing import Any, Concatenate, ParamSpec, TypeVar
from uuid import UUID

from automat import NoTransition
from twisted.internet.defer import Deferred, DeferredLock

from lttngnet.errors import Code, CommandError
from lttngnet.log import Logger
from lttngnet.sessiond.consumers import NOTHING, ConsumerProcess
from lttngnet.sessiond.lifecycle import Memory, lifecycle_machine
from lttngnet.sessiond.link import Established
from lttngnet.uri import Output
from lttngnet.wire.relay import CreateSession


@dataclass
class Surroundings:
    """What a session needs of the daemon.

    Attributes:
        hostname: of this machine, as relay daemons shall know it.
        sessiond: identity of this daemon's process.
        domains: what makes the `IDomain` of a name for a session of a name.
        spawn: start a consumer process, for a session of a name; the callable is told when it is lost.
        establish: make the link to the relay daemon of an output.
        seconds: the time since the epoch.
    """

    hostname: str
    sessiond: UUID
    domains: Mapping[str, Callable[[str], Any]]
    spawn: Callable[[str, Callable[[str], None]], ConsumerProcess]
    establish: Callable[[Output, CreateSession], Awaitable[Established]]
    seconds: Callable[[], float]


P = ParamSpec("P")
T = TypeVar("T")


def in_turn(
    method: Callable[Concatenate["Session", P], Coroutine[Deferred[Any], Any, T]],
) -> Callable[Concatenate["Session", P], Deferred[T]]:
    """Let the commands of a session run one after the other, whoever sends them."""

    def wait_for_turn(self: "Session", /, *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        return self._turn.run(lambda: Deferred.fromCoroutine(method(self, *args, **kwargs)))

    return update_wrapper(wait_for_turn, method)


class Session:
    """One tracing session. Its commands raise `CommandError`, and may be given at any time by anyone.

    Attributes:
        name: unique among the sessions of the daemon.
        number: the daemon's own.
        created: seconds since the epoch.
    """

    log = Logger()

    def __init__(
        self, name: str, number: int, created: int, output: Output | None, surroundings: Surroundings
    ) -> None:
        self.name = name
        self.number = number
        self.created = created
        self._surroundings = surroundings
        self._turn = DeferredLock()
        self._memory = Memory()
        self._life = lifecycle_machine(self._memory)
        self._template = Output()
        self._path = ""
        self._opened = 0  # seconds since the epoch: the creation time of the last relay session
        self._base_paths: Counter[str] = Counter()  # how often each was asked for
        self._consumer: ConsumerProcess | None = None
        self._domains: dict[str, Any] = {}
        self._attached: set[str] = set()  # domains whose sources the consumer has
        self._running: set[str] = set()  # domains that record
        self._facts = dict(NOTHING)
        if output is not None:
            self._template = output
            self._life.prepare()

    @property
    def output(self) -> str:
        """Where the trace is to go, as text."""
        return "" if self._life.name() == "created" else str(self._template)

    @in_turn
    async def set_consumer_uri(self, output: Output) -> str:
        """Set the consumer template, or the half of it that ``output`` has; return all of it as text.

        A consumer that the session has is freed: its trace is closed (RFC, "Client API integration").

        Raises:
            CommandError: tracing is active; the halves do not go together.
        """
        is_template = self._life.name() == "prepared"
        try:
            template = self._template.updated(output) if is_template else output
        except ValueError as problem:
            raise CommandError(Code.INVALID, str(problem)) from None
        self._ask(self._life.prepare)
        await self._free_consumer()
        self._template = template
        return str(template)

    @in_turn
    async def enable_consumer(self) -> str:
        """Have a consumer ready for the template: the network session is established, or the folder made.

        On a session whose consumer was disabled, let it go on.

        Returns:
            where the trace goes: on the relay daemon, or a local path.

        Raises:
            CommandError: half of the template is missing, or nothing could be established.
        """
        if self._memory.muted:
            self._ask(self._life.unmute)
            await self._live_consumer().mute(False)
        else:
            await self._enable()
        return self._path

    @in_turn
    async def disable_consumer(self) -> None:
        """Let the consumer stop consuming: what is recorded waits, or is dropped and counted when full.

        Raises:
            CommandError: there is no consumer.
        """
        self._ask(self._life.mute)
        await self._live_consumer().mute(True)

    @in_turn
    async def enable_events(
        self, domain: str, channel: str, names: Sequence[str], options: dict[str, Any]
    ) -> list[str]:
        """Add events, also while tracing is active; see `IDomain.enable_events`."""
        if domain not in self._surroundings.domains:
            raise CommandError(Code.UNKNOWN_DOMAIN, f"there is no domain {domain!r} to trace")
        if domain not in self._domains:
            self._domains[domain] = self._surroundings.domains[domain](self.name)
        recorded: list[str] = await self._domains[domain].enable_events(channel, names, options)
        if self._life.name() == "active" and domain not in self._running:
            await self._run_domains()
        return recorded

    @in_turn
    async def disable_events(self, domain: str, channel: str, names: Sequence[str]) -> None:
        """Take events away; see `IDomain.disable_events`."""
        if domain not in self._domains:
            raise CommandError(Code.NO_EVENT, f"session {self.name} traces no {domain} events")
        await self._domains[domain].disable_events(channel, names)

    @in_turn
    async def start(self) -> None:
        """Start tracing; a consumer that is not enabled yet is enabled first.

        Raises:
            CommandError: there is nothing to trace, no consumer to be had, or tracing is active.
        """
        if not self._used_domains():
            raise CommandError(
                Code.NO_CHANNEL, f"session {self.name} has nothing to trace: enable an event first"
            )
        if self._life.name() == "prepared":
            await self._enable()
        self._ask(self._life.start)
        try:
            await self._run_domains()
        except BaseException:
            await self._halt_domains()
            self._life.stopped()
            raise
        self._life.started()

    @in_turn
    async def stop(self) -> dict[str, Any]:
        """Stop tracing, and return what `describe` tells when everything recorded has arrived.

        Raises:
            CommandError: tracing is not active, or what was recorded could not be delivered.
        """
        self._ask(self._life.stop)
        try:
            await self._halt_domains()
            await self._live_consumer().end()
            await self._collect_facts()
        finally:
            self._life.stopped()
        return await self._describe()

    @in_turn
    async def destroy(self) -> dict[str, Any]:
        """Take the session down with all it set up, and return what `describe` told last."""
        state = self._life.name()
        self._ask(self._life.destroy)
        if state == "active":
            await self._halt_domains()
        await self._collect_facts()
        last = await self._describe()
        last["state"] = state
        try:
            await self._free_consumer()
        finally:
            await self._each(self._domains.values(), "destroy")
            self._domains.clear()
        return last

    @in_turn
    async def describe(self) -> dict[str, Any]:
        """Return all about the session: see `lttngnet.wire.amp.Describe`."""
        await self._collect_facts()
        return await self._describe()

    async def _enable(self) -> None:
        if self._life.name() in ("prepared", "lost") and not self._template.is_complete:
            code, half = (
                (Code.URL_DATA_MISS, "data")
                if self._template.data is None
                else (Code.URL_CTRL_MISS, "control")
            )
            raise CommandError(
                code, f"the {half} URI of session {self.name} is missing: set it with enable-consumer"
            )
        self._ask(self._life.enable)
        link = None
        try:
            if self._template.is_network:
                link = await self._surroundings.establish(self._template, self._wanted())
            consumer = self._surroundings.spawn(self.name, self._lost)
            self._facts = dict(NOTHING)
            self._consumer, self._attached = consumer, set()
            if link is not None:
                self._path = link.session.path
                connecting, link = link, None
                await consumer.connect(connecting)
            else:
                assert self._template.path is not None
                self._path = self._template.path
                await consumer.use_directory(self._path)
        except BaseException:
            if link is not None:
                link.close()
            if self._consumer is not None:
                self._consumer.dismiss()
                self._consumer = None
            self._life.refused()
            raise
        self._life.enabled()

    def _wanted(self) -> CreateSession:
        """Return the relay session for the template: each has a folder of its own."""
        assert self._template.control is not None
        is_first = not self._opened
        self._opened = self.created if is_first else max(int(self._surroundings.seconds()), self._opened + 1)
        base_path = self._template.control.subdir
        self._base_paths[base_path] += 1
        if base_path and (times := self._base_paths[base_path]) > 1:
            base_path = f"{base_path}-{times}"
        return CreateSession(
            self.name,
            self._surroundings.hostname,
            base_path,
            name_has_time=is_first and self.name.startswith("auto-"),
            sessiond=self._surroundings.sessiond,
            session=self.number,
            created=self._opened,
        )

    async def _run_domains(self) -> None:
        """Let every domain record that has something to and does not: its source is carried before."""
        consumer = self._live_consumer()
        for domain in self._used_domains():
            if domain.name not in self._attached:
                self._attached.add(domain.name)
                await domain.attach(consumer)
        await consumer.begin()
        for domain in self._used_domains():
            if domain.name not in self._running:
                self._running.add(domain.name)
                await domain.start()

    async def _halt_domains(self) -> None:
        """Let no domain record any more, also one whose events were all disabled since it began."""
        running = [self._domains[name] for name in sorted(self._running)]
        self._running.clear()
        await self._each(running, "stop")

    def _used_domains(self) -> list[Any]:
        return [domain for domain in self._domains.values() if not domain.is_empty()]

    def _live_consumer(self) -> ConsumerProcess:
        if self._consumer is None:
            raise self._refusal()
        return self._consumer

    async def _free_consumer(self) -> None:
        """Close the trace of the consumer that there is, which ends it."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            self._path = ""
            await consumer.finish()

    def _lost(self, why: str) -> None:
        """Stop what records: nobody collects it any more."""
        self.log.warn("Session {session} has lost its consumer: {why}", session=self.name, why=why)
        self._life.lose(why)
        if self._consumer is not None:
            self._facts = self._consumer.counted
            self._consumer.dismiss()
            self._consumer = None
        stopping = Deferred.fromCoroutine(self._halt_domains())
        stopping.addErrback(lambda failure: self.log.failure("Tracing could not be stopped.", failure))

    async def _each(self, domains: Any, what: str) -> None:
        """Do something with every domain; what fails is logged, and does not keep the others from it."""
        for domain in list(domains):
            try:
                await getattr(domain, what)()
            except (CommandError, OSError) as problem:
                self.log.error(
                    "{domain} of session {session}: {what} failed: {problem}",
                    domain=domain.name,
                    session=self.name,
                    what=what,
                    problem=problem,
                )

    async def _collect_facts(self) -> None:
        if self._consumer is not None:
            with suppress(CommandError):  # a process that is just dying will be reported as lost
                self._facts = await self._consumer.facts()

    async def _describe(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "created": self.created,
            "state": self._life.name(),
            "muted": self._memory.muted,
            "output": self.output,
            "warnings": list(self._template.warnings),
            "network": self._template.is_network,
            "path": self._path,
            "problem": self._memory.problem,
            "consumer": None if self._consumer is None else self._consumer.pid,
            "domains": [{"name": domain.name, **domain.describe()} for domain in self._used_domains()],
            "facts": self._facts,
        }

    def _ask(self, step: Callable[[], None]) -> None:
        """Let the machine take a step, or say in one sentence why it is not possible now."""
        try:
            step()
        except NoTransition:
            raise self._refusal() from None

    def _refusal(self) -> CommandError:
        who, state = f"session {self.name}", self._life.name()
        match state:
            case "created":
                return CommandError(
                    Code.NO_CONSUMER, f"{who} has no consumer: give it one with enable-consumer URI"
                )
            case "prepared":
                return CommandError(Code.NO_CONSUMER, f"the consumer of {who} is not enabled")
            case "enabled":
                return CommandError(
                    Code.ENABLE_CONSUMER_FAIL,
                    f"the consumer of {who} is enabled already, and tracing has not started",
                )
            case "active":
                return CommandError(Code.TRACE_ALREADY_STARTED, f"tracing is active in {who}: stop it first")
            case "stopped":
                return CommandError(Code.TRACE_ALREADY_STOPPED, f"tracing is already stopped in {who}")
            case "lost":
                return CommandError(Code.NO_CONSUMER, f"{who} has lost its consumer: {self._memory.problem}")
        return CommandError(Code.UNKNOWN, f"{who} is busy ({state})")
