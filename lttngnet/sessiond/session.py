"""A tracing session: what may be asked of it, what is done then, and in which order."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import update_wrapper
from typing import Any, Concatenate, ParamSpec, TypeVar

from automat import NoTransition
from twisted.internet.defer import Deferred, DeferredLock

from lttngnet.consumer.policy import changed
from lttngnet.errors import Code, CommandError
from lttngnet.log import Logger
from lttngnet.sessiond.archives import Archives
from lttngnet.sessiond.consumers import ConsumerProcess
from lttngnet.sessiond.lifecycle import Memory, lifecycle_machine
from lttngnet.sessiond.outlet import Outlet, Surroundings
from lttngnet.sessiond.recording import Recording
from lttngnet.sessiond.snapshots import Snapshots
from lttngnet.uri import Output

P = ParamSpec("P")
T = TypeVar("T")

REFUSALS = {
    "created": (Code.NO_CONSUMER, "session {name} has no consumer: give it one with enable-consumer URI"),
    "prepared": (Code.NO_CONSUMER, "the consumer of session {name} is not enabled"),
    "enabled": (
        Code.ENABLE_CONSUMER_FAIL,
        "the consumer of session {name} is enabled already, and tracing has not started",
    ),
    "active": (Code.TRACE_ALREADY_STARTED, "tracing is active in session {name}: stop it first"),
    "stopped": (Code.TRACE_ALREADY_STOPPED, "tracing is already stopped in session {name}"),
    "lost": (Code.NO_CONSUMER, "session {name} has lost its consumer: {problem}"),
}
"""By state: why what was asked for is not possible in it."""

BUSY = (Code.UNKNOWN, "session {name} is busy ({state})")


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
        created: seconds since the epoch.
    """

    log = Logger()

    def __init__(
        self,
        name: str,
        number: int,
        created: int,
        output: Output | None,
        surroundings: Surroundings,
        live: int = 0,
        snapshot: bool = False,
    ) -> None:
        self.name = name
        self.created = created
        self._turn = DeferredLock()
        self._archiving = DeferredLock()
        self._memory = Memory()
        self._life = lifecycle_machine(self._memory)
        self._recording = Recording(name, surroundings.domains)
        self._outlet = Outlet(name, number, created, surroundings, self._lost, live, snapshot)
        self._archives = Archives(
            name, surroundings.clock, self.rotate, lambda: self._outlet.counted["bytes"]
        )
        self._snapshots: Snapshots | None = None
        if snapshot:
            if live or output is None or not output.is_complete:
                raise CommandError(
                    Code.INVALID, f"session {name} is for snapshots: it needs an output, and is not live"
                )
            self._snapshots = Snapshots(name, number, created, surroundings, output)
        if output is not None:
            self._check_live(output)
            self._outlet.template = output
            self._life.prepare()

    @property
    def output(self) -> str:
        """Where the trace goes, or is to go, as text."""
        if self._life.name() == "created":
            return ""
        return str(self._outlet.template if self._outlet.consumer is None else self._outlet.present)

    @in_turn
    async def set_consumer_uri(self, output: Output) -> Output:
        """Set the consumer template, or the half of it that ``output`` has; return all of it.

        The output that is in force stays so until `enable_consumer`. But a network consumer whose session is
        not active is freed: its trace is closed (RFC, "Client API integration").

        Raises:
            CommandError: the halves do not go together; the session is for snapshots, and active.
        """
        outlet, state = self._outlet, self._life.name()
        is_template = state == "prepared" or self._memory.proposed
        try:
            template = outlet.template.updated(output) if is_template else output
        except ValueError as problem:
            raise CommandError(Code.INVALID, str(problem)) from None
        self._check_live(template)
        stays = outlet.consumer is not None and (state == "active" or not outlet.present.is_network)
        if stays and self._snapshots is None:
            self._ask(self._life.propose)
        else:
            self._ask(self._life.prepare)
            await self._recording.detach()
            await outlet.close()
        outlet.template = template
        return template

    @in_turn
    async def set_policy(self, wanted: Mapping[str, Any], folder: str) -> None:
        """Say what becomes of the trace when the relay daemon goes away, from the next consumer on.

        Args:
            wanted: fields of a `Policy`; what is not there stays as it is.
            folder: where the trace goes on, if it is to go on locally.

        Raises:
            CommandError: a value cannot be.
        """
        self._outlet.policy = changed(self._outlet.policy, wanted, folder)

    @in_turn
    async def enable_consumer(self) -> tuple[str, str]:
        """Have a consumer ready for the template: the network session is established, or the folder made.

        A session that has a consumer changes to the template without a gap. Where there is no new template,
        a consumer that was disabled goes on.

        Returns:
            Where the trace goes: on the relay daemon, or a local path. And what the user is to be warned of.

        Raises:
            CommandError: half of the template is missing, or nothing could be established; then all is as
                it was before.
        """
        warning = ""
        if self._memory.proposed and self._outlet.consumer is not None:
            warning = await self._switch()
        elif not self._memory.muted:
            await self._enable()
        if self._memory.muted:
            self._ask(self._life.unmute)
            await self._consumer().unmute()
        return self._outlet.path, warning

    @in_turn
    async def disable_consumer(self, hold: bool = False) -> None:
        """Let the consumer stop consuming: packets are lost, and counted.

        Args:
            hold: keep them, until the consumer is enabled; there is a limit.

        Raises:
            CommandError: there is no consumer.
        """
        self._ask(self._life.mute)
        await self._consumer().mute(hold)

    @in_turn
    async def enable_events(
        self, domain: str, channel: str, names: Sequence[str], options: dict[str, Any]
    ) -> list[str]:
        """Add events, also while tracing is active; see `IDomain.enable_events`."""
        await self._prepare_for_snapshots(domain, channel)
        recorded: list[str] = await self._recording.domain(domain).enable_events(channel, names, options)
        if self._life.name() == "active" and not self._recording.records(domain):
            await self._recording.run(self._consumer())
        return recorded

    @in_turn
    async def disable_events(self, domain: str, channel: str, names: Sequence[str]) -> None:
        """Take events away; see `IDomain.disable_events`."""
        await self._recording.known(domain).disable_events(channel, names)

    @in_turn
    async def enable_channel(self, domain: str, channel: str, options: dict[str, Any]) -> None:
        """Make a channel, or enable it again; see `IDomain.enable_channel`."""
        if self._snapshots is not None:
            self._check_snapshots_of(domain)
            options = {"overwrite": True} | options
        await self._recording.domain(domain).enable_channel(channel, options)

    @in_turn
    async def disable_channel(self, domain: str, channel: str) -> None:
        """Let a channel record no more; see `IDomain.disable_channel`."""
        await self._recording.known(domain).disable_channel(channel)

    @in_turn
    async def add_contexts(self, domain: str, channel: str, names: Sequence[str]) -> None:
        """Let events carry more; see `IDomain.add_contexts`."""
        await self._recording.domain(domain).add_contexts(channel, names)

    @in_turn
    async def track(self, domain: str, kind: str, ids: Sequence[int | str]) -> None:
        """Trace these processes; see `IDomain.track`."""
        await self._recording.domain(domain).track(kind, ids)

    @in_turn
    async def untrack(self, domain: str, kind: str, ids: Sequence[int | str]) -> None:
        """Trace these processes no more; see `IDomain.untrack`."""
        await self._recording.domain(domain).untrack(kind, ids)

    @in_turn
    async def regenerate(self, what: str) -> None:
        """Write anew what is written once, in every domain that knows how; see `IDomain.regenerate`.

        Raises:
            CommandError: tracing is not active, or no domain of the session has such a thing.
        """
        if self._life.name() != "active":
            raise CommandError(Code.SESSION_NOT_STARTED, f"session {self.name} is not active: start it first")
        if what == "metadata" and self._outlet.live:
            raise CommandError(Code.LIVE_SESSION, f"session {self.name} is live: its metadata stays")
        await self._recording.regenerate(what)

    def rotate(self) -> Deferred[str]:
        """Archive what was recorded up to now; return where it lies, when it does.

        Other commands have their turn as soon as what is recorded goes to another archive: it may take the
        relay daemon long to have all of this one.

        Raises:
            CommandError: there is nothing to archive, or it cannot be done.
        """
        return self._archiving.run(lambda: Deferred.fromCoroutine(self._until_archived(self._rotate)))

    @in_turn
    async def _rotate(self) -> str:
        self._check_started()
        if self._snapshots is not None:
            raise CommandError(
                Code.ROTATION_NOT_AVAILABLE, f"session {self.name} is for snapshots: they are not rotated"
            )
        if self._outlet.live:
            raise CommandError(
                Code.ROTATION_NOT_AVAILABLE, f"session {self.name} is live: live sessions are not rotated"
            )
        self._archives.check()
        path = await self._close_chunk(keep=True)
        self._archives.emptied("rotated")
        return path

    def clear(self) -> Deferred[str]:
        """Delete what was recorded up to now, but for what is archived; tracing goes on. See `rotate`.

        Raises:
            CommandError: it cannot be done, or the relay daemon does not allow it.
        """
        return self._archiving.run(lambda: Deferred.fromCoroutine(self._until_archived(self._clear)))

    @in_turn
    async def _clear(self) -> str:
        if self._life.name() in ("created", "prepared", "enabled") or self._archives.is_empty:
            return ""
        await self._close_chunk(keep=False)
        self._archives.emptied("cleared")
        return ""

    @in_turn
    async def enable_rotation(self, kind: str, amount: int) -> None:
        """Rotate by itself; see `Archives.enable`."""
        if self._outlet.live or self._snapshots is not None:
            raise CommandError(
                Code.ROTATION_NOT_AVAILABLE,
                f"session {self.name} is live, or for snapshots: it is not rotated",
            )
        self._archives.enable(kind, amount)

    @in_turn
    async def disable_rotation(self, kind: str) -> None:
        """Do not rotate by itself any more; see `Archives.disable`."""
        self._archives.disable(kind)

    @in_turn
    async def record_snapshot(self, name: str, output: Output | None, max_size: int = 0) -> str:
        """Record a snapshot; see `Snapshots.record`."""
        snapshots = self._for_snapshots()
        self._check_started()
        return await snapshots.record(self._consumer(), name, output, max_size)

    @in_turn
    async def add_snapshot_output(self, name: str, output: Output) -> dict[str, Any]:
        """Add an output; see `Snapshots.add`."""
        self._for_snapshots().add(name, output)
        return self._for_snapshots().describe()[-1]

    @in_turn
    async def delete_snapshot_output(self, which: str) -> None:
        """Take an output away; see `Snapshots.delete`."""
        self._for_snapshots().delete(which)

    @in_turn
    async def snapshot_outputs(self) -> list[dict[str, Any]]:
        """Return the outputs; see `Snapshots.describe`."""
        return self._for_snapshots().describe()

    @in_turn
    async def start(self) -> None:
        """Start tracing; a consumer that is not enabled yet is enabled first.

        Raises:
            CommandError: there is nothing to trace, no consumer to be had, or tracing is active.
        """
        if not self._recording.used():
            raise CommandError(
                Code.NO_CHANNEL, f"session {self.name} has nothing to trace: enable an event first"
            )
        if self._life.name() == "prepared":
            await self._enable()
        self._ask(self._life.start)
        try:
            await self._recording.run(self._consumer())
        except BaseException:
            await self._recording.halt()
            self._life.stopped()
            raise
        self._life.started()
        self._archives.started()

    @in_turn
    async def stop(self) -> dict[str, Any]:
        """Stop tracing, and return what `describe` tells when everything recorded has arrived.

        Raises:
            CommandError: tracing is not active, or what was recorded could not be delivered.
        """
        self._ask(self._life.stop)
        self._archives.stopped()
        try:
            await self._recording.halt()
            await self._consumer().end()
            await self._outlet.count()
        finally:
            self._life.stopped()
        return self._description()

    @in_turn
    async def destroy(self) -> dict[str, Any]:
        """Take the session down with all it set up, and return what `describe` told last."""
        state = self._life.name()
        self._ask(self._life.destroy)
        self._archives.stopped()
        await self._recording.halt()
        await self._outlet.count()
        last = self._description() | {"state": state}
        try:
            await self._outlet.close()
        finally:
            await self._recording.destroy()
        return last | {"connection": self._outlet.connection}

    @in_turn
    async def describe(self) -> dict[str, Any]:
        """Return all about the session: see `lttngnet.wire.amp.Describe`."""
        return await self.glance()

    async def glance(self) -> dict[str, Any]:
        """Return what `describe` does, without waiting for commands that are under way."""
        await self._outlet.count()
        return self._description()

    def _for_snapshots(self) -> Snapshots:
        if self._snapshots is None:
            raise CommandError(
                Code.NOT_SNAPSHOT_SESSION,
                f"session {self.name} is not for snapshots: create one with --snapshot",
            )
        return self._snapshots

    def _check_snapshots_of(self, domain: str) -> None:
        if domain != "userspace":
            raise CommandError(
                Code.SNAPSHOT_UNSUPPORTED,
                f"there are no snapshots of the {domain} domain: what is read of its buffers is gone",
            )

    async def _prepare_for_snapshots(self, domain: str, channel: str) -> None:
        """Have the channel overwrite what is oldest, if it is made now."""
        if self._snapshots is None:
            return
        self._check_snapshots_of(domain)
        tracer = self._recording.domain(domain)
        if not any(each["name"] == channel for each in tracer.describe()["channels"]):
            await tracer.enable_channel(channel, {"overwrite": True})

    def _check_started(self) -> None:
        if self._life.name() in ("created", "prepared", "enabled"):
            raise CommandError(
                Code.START_SESSION_ONCE, f"session {self.name} has recorded nothing: start it first"
            )

    async def _until_archived(self, close: Callable[[], Deferred[str]]) -> str:
        """Close a chunk, in turn; then wait, not in turn, until it lies where it stays."""
        path = await close()
        consumer = self._outlet.consumer
        if consumer is not None:
            try:
                await consumer.archived()
            except CommandError:
                if consumer is self._outlet.consumer or self._life.name() == "lost":
                    raise  # else it was freed meanwhile, and has archived all by itself
        return path

    async def _close_chunk(self, keep: bool) -> str:
        if self._memory.muted:
            raise CommandError(
                Code.ROTATION_NOT_AVAILABLE,
                f"the consumer of session {self.name} is disabled: enable it first",
            )
        return await self._consumer().close_chunk(keep)

    def _check_live(self, output: Output) -> None:
        if self._outlet.live and not output.is_network:
            raise CommandError(
                Code.INVALID, f"session {self.name} is live: it needs a relay daemon, not a folder"
            )

    async def _enable(self) -> None:
        if self._life.name() in ("prepared", "lost"):
            self._outlet.check()
        self._ask(self._life.enable)
        try:
            await self._outlet.open()
        except BaseException:
            self._life.refused()
            raise
        self._life.enabled()

    async def _switch(self) -> str:
        self._outlet.check()
        self._ask(self._life.switch)
        try:
            problem = await self._outlet.switch()
        except CommandError as failure:
            sentence = f"{failure.sentence}; the trace still goes to {self._outlet.path}"
            raise CommandError(failure.code, sentence) from None
        self._life.switched()
        return problem

    def _consumer(self) -> ConsumerProcess:
        if self._outlet.consumer is None:
            raise self._refusal()
        return self._outlet.consumer

    def _lost(self, why: str) -> None:
        """Stop what records: nobody collects it any more."""
        self.log.warn("Session {session} has lost its consumer: {why}", session=self.name, why=why)
        self._life.lose(why)
        self._archives.stopped()
        self._outlet.drop()
        stopping = self._turn.run(lambda: Deferred.fromCoroutine(self._recording.detach()))
        stopping.addErrback(lambda failure: self.log.failure("Tracing could not be stopped.", failure))

    def _description(self) -> dict[str, Any]:
        outlet = self._outlet
        facts = dict(outlet.facts)
        channels = facts.pop("channels")
        return {
            "name": self.name,
            "created": self.created,
            "state": self._life.name(),
            "muted": self._memory.muted,
            "output": self.output,
            "template": str(outlet.template) if outlet.consumer and self._memory.proposed else "",
            "warnings": list(outlet.template.warnings),
            "network": (outlet.template if outlet.consumer is None else outlet.present).is_network,
            "live": outlet.live,
            "snapshot": self._snapshots is not None,
            "rotation": self._archives.describe(),
            "rotated": self._archives.rotated,
            "path": outlet.path,
            "problem": self._memory.problem,
            "consumer": None if outlet.consumer is None else outlet.consumer.pid,
            "domains": self._recording.describe(channels),
            "facts": facts,
            "connection": outlet.connection,
        }

    def _ask(self, step: Callable[[], None]) -> None:
        """Let the machine take a step, or say in one sentence why it is not possible now."""
        try:
            step()
        except NoTransition:
            raise self._refusal() from None

    def _refusal(self) -> CommandError:
        state = self._life.name()
        code, sentence = REFUSALS.get(state, BUSY)
        return CommandError(code, sentence.format(name=self.name, state=state, problem=self._memory.problem))
