"""An application: what it is, what can be asked of it, and who answers its questions."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from struct import calcsize
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from lttngnet.log import ChannelLogger
from lttngnet.sessiond.ust.answering import Answerer, Answering
from lttngnet.sessiond.ust.connection import Connection
from lttngnet.sessiond.ust.exchange import Exchange
from lttngnet.sessiond.ust.failures import ApplicationGone, ApplicationRefused
from lttngnet.sessiond.ust.handshake import Steps, registering
from lttngnet.wire.ust import commands
from lttngnet.wire.ust.commands import (
    ROOT,
    Command,
    Context,
    EventRule,
    FieldEntry,
    Reply,
    Request,
    Tracepoint,
    TracepointField,
)
from lttngnet.wire.ust.registration import HOST

__all__ = ["Answerer", "Application", "ApplicationFacts", "ApplicationGone", "ApplicationRefused", "Home"]

PATIENCE = 5.0  # seconds that an application has for an answer; LTTng's own default
OUR_TIME = 0.0005  # seconds that it takes us to ask another
ALLOWANCE = 0.02  # seconds that it has for each of many answers, on the average
LIST_LIMIT = 1 << 16  # tracepoints, or fields, that one application can list
OUR_BITS = 8 * calcsize("P")


@dataclass(frozen=True)
class ApplicationFacts:
    """What is known of an application.

    Attributes:
        pid: of the process, as the kernel says.
        uid: of its user, as the kernel says.
        gid: of its group, as the kernel says.
        name: of the process, as it says; it may hold any character.
        vpid: of the process, as it sees itself.
        ppid: of its parent, as it says.
        bits: of its words, 32 or 64.
        byte_order: ``le`` or ``be``.
        alignments: of u8, u16, u32, u64 and long, in bits.
        abi: version of the interface to its tracer: major, minor.
        registered: when it did, in seconds since the epoch.
        tracer: version of the tracer: major, minor, patch level.
    """

    pid: int
    uid: int
    gid: int
    name: str
    vpid: int
    ppid: int
    bits: int
    byte_order: str
    alignments: tuple[int, int, int, int, int]
    abi: tuple[int, int]
    registered: float
    tracer: tuple[int, int, int] = (0, 0, 0)

    @property
    def is_traceable(self) -> bool:
        """Whether its ring buffers could be read here."""
        return self.bits == OUR_BITS and self.byte_order == HOST


class Home(Protocol):
    """Who knows the applications."""

    def joined(self, application: "Application") -> Awaitable[None]:
        """Know an application; return when everybody has set it up."""

    def left(self, application: "Application") -> None:
        """Know it no more."""


class Application:
    """An application that has registered, and is served as long as it lives.

    Every command raises `ApplicationGone` when there is no answer, `ApplicationRefused` when it is an error,
    and WireError, without asking, when what is asked cannot be said (a name of 300 bytes). Commands go out
    one at a time, in the order in which they were called. Descriptors that are passed stay the caller's, and
    have to stay open until the command returns.

    Args:
        facts: who it is.
        command: its command socket.
        notify: its notify socket.
        home: is told of it once its tracer has said its version, if it can be traced here.
        clock: measures its patience and ours.
        patience: seconds that it has for an answer, None for ever.

    Attributes:
        facts: as given; with the version of the tracer from `Home.joined` on.
        on_gone: is called at the end, whether or not anybody was told of the application.
    """

    log = ChannelLogger()

    def __init__(
        self,
        facts: ApplicationFacts,
        command: Connection,
        notify: Connection,
        home: Home,
        clock: IReactorTime,
        patience: float | None = PATIENCE,
    ) -> None:
        self.facts = facts
        self.on_gone: Callable[[Application], None] = lambda application: None
        self._connections = (command, notify)
        self._home = home
        self._clock = clock
        self._patience = patience
        self._timer: IDelayedCall | None = None
        self._sessions: set[int] = set()
        self._why: str | None = None
        self._machine = registering(Steps(self._join, self._release, self._leave, self._close))
        self._exchange = Exchange(command, clock, patience, self.drop, self._leave_out)
        self._answering = Answering(notify, clock, str(self), self._exchange.hold, self._exchange.go_on)
        for connection in self._connections:
            connection.lost = self.drop

    def __str__(self) -> str:
        return f"application {self.facts.name} ({self.facts.pid})"

    @property
    def is_gone(self) -> bool:
        """Whether nothing can be asked of it any more."""
        return self._why is not None

    def greet(self) -> None:
        """Begin: ask for the version of the tracer."""
        Deferred.fromCoroutine(self._greet()).addErrback(self._failed)

    def drop(self, why: str) -> None:
        """Hang up, because of something that it did or did not; it may register anew."""
        self._machine.lost(why)

    def within(self, commands: int, others: int = 0) -> AbstractContextManager[None]:
        """Let it have no more than its patience, and a little for each command, for all that it is asked now.

        Who takes longer is hung up on: a user waits for what is asked here.

        Args:
            commands: that it may be asked.
            others: applications that are asked at the same time: each of them takes some time of ours.
        """
        if self._patience is None:
            return nullcontext()
        return self._exchange.within(self._patience + commands * (ALLOWANCE + others * OUR_TIME))

    # What can be asked.

    async def create_session(self) -> int:
        """Make a tracing session; return its handle. It records nothing until that is enabled."""
        session = await self._value(ROOT, Command.CREATE_SESSION)
        self._sessions.add(session)
        self._answering.expect(session)
        return session

    async def send_channel(self, session: int, description: bytes, kind: int, wakeup: int) -> int:
        """Give a session a channel, as the ring buffer describes it; return its handle.

        Args:
            session: its handle.
            description: of the channel, as the C library makes it.
            kind: of the channel, 0 for events.
            wakeup: descriptor of the pipe on which the application says that there is something to read.
        """
        reply = await self._ask(commands.channel(session, description, kind), (wakeup,))
        return reply.value

    async def send_stream(self, channel: int, size: int, cpu: int, shm: int, wakeup: int) -> int:
        """Give a channel the stream of one CPU: shared memory of so many bytes; return its handle."""
        reply = await self._ask(commands.stream(channel, size, cpu), (shm, wakeup))
        return reply.value

    async def add_context(self, channel: int, context: Context) -> None:
        """Let every event of a channel carry a fact more; only before it is started for the first time."""
        await self._ask(commands.context(channel, context))

    async def create_event(self, channel: int, event: EventRule) -> int:
        """Give a channel an event rule, which is disabled; return its handle."""
        return (await self._ask(commands.event(channel, event))).value

    async def set_filter(self, event: int, code: bytes, reloc_offset: int, seqnum: int) -> None:
        """Let an event record only what bytecode lets pass.

        Args:
            event: its handle.
            code: bytecode, the relocation table behind it included.
            reloc_offset: where in it that begins.
            seqnum: number of the filter: those of one event are run in that order.
        """
        await self._ask(commands.filter(event, code, reloc_offset, seqnum))

    async def set_exclusions(self, event: int, names: Sequence[str]) -> None:
        """Let an event leave out these names, in which ``*`` stands for anything."""
        await self._ask(commands.exclusions(event, names))

    async def enable(self, handle: int) -> None:
        """Enable an event or a channel, or start a session."""
        await self._value(handle, Command.ENABLE)

    async def disable(self, handle: int) -> None:
        """Disable an event or a channel, or stop a session."""
        await self._value(handle, Command.DISABLE)

    async def wait_quiescent(self) -> None:
        """Return when no thread of it is in a tracepoint that was disabled before."""
        await self._value(ROOT, Command.WAIT_QUIESCENT)

    async def register_done(self) -> None:
        """Say that it is set up: its ``main()`` runs from now on. To say so twice changes nothing."""
        await self._value(ROOT, Command.REGISTER_DONE)

    async def regenerate_statedump(self, session: int) -> None:
        """Let it record anew which libraries it has loaded."""
        await self._value(session, Command.STATEDUMP)

    async def release(self, handle: int) -> None:
        """Let go of an object; that of a session lets go of all that belongs to it."""
        await self._value(handle, Command.RELEASE)
        if handle in self._sessions:
            self._sessions.discard(handle)
            self._answering.forget(handle)

    async def tracepoints(self) -> list[Tracepoint]:
        """Return what it could record."""
        listed: list[Tracepoint] = []
        handle = await self._value(ROOT, Command.TRACEPOINT_LIST)
        while (answer := await self._next(handle, Command.TRACEPOINT_NEXT, len(listed))) is not None:
            listed.append(answer[0].tracepoint())
        await self.release(handle)
        return listed

    async def fields(self) -> list[TracepointField]:
        """Return what its tracepoints have for fields."""
        listed: list[TracepointField] = []
        handle = await self._value(ROOT, Command.FIELD_LIST)
        while (answer := await self._next(handle, Command.FIELD_NEXT, len(listed))) is not None:
            listed.append(FieldEntry.unpack(answer[1]).to_field())
        await self.release(handle)
        return listed

    def serve(self, session: int, answerer: Answerer) -> None:
        """Say who answers its questions about a session; those that were asked before wait for that.

        There are none before the session is enabled for the first time, and they come while a command is
        carried out: the answer to `enable`, `create_event` or `add_context` may depend on them.
        """
        self._answering.serve(session, answerer)

    # What the machine lets happen.

    async def _greet(self) -> None:
        request = Request(ROOT, Command.TRACER_VERSION, order=self.facts.byte_order)
        reply, _ = await self._exchange.ask(request)
        self.facts = replace(self.facts, tracer=reply.version(self.facts.byte_order))
        if self.facts.is_traceable:
            self._machine.welcome()
        else:
            self.log.warn("{who} cannot be traced here: {facts}", who=str(self), facts=str(self.facts))
            self._machine.spare()

    def _join(self) -> None:
        if self._patience is not None:
            self._timer = self._clock.callLater(self._patience, self._joined, None)
        joined = Deferred.fromCoroutine(_wait_for(self._home.joined(self)))
        joined.addBoth(self._joined)

    def _joined(self, _: object) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        self._machine.ready()

    def _release(self) -> None:
        Deferred.fromCoroutine(self._say_done()).addErrback(self._failed)

    async def _say_done(self) -> None:
        await self._exchange.ask(Request(ROOT, Command.REGISTER_DONE, order=self.facts.byte_order))
        self.log.info("Registered: {who} of user {uid}", who=str(self), uid=self.facts.uid)
        self._machine.released()

    def _failed(self, failure: Failure) -> None:
        """What we ask by ourselves has no answer: without it, nothing can be done."""
        if not failure.check(ApplicationGone, ApplicationRefused):
            self.log.failure("{who} could not register", failure, who=str(self))
        self.drop(failure.getErrorMessage())

    def _leave_out(self, why: str) -> None:
        self.log.warn("Not traced any more: {who}: {why}", who=str(self), why=why)
        self.drop(why)

    def _leave(self, why: str) -> None:
        self._why = why
        self._home.left(self)
        self._close(why)

    def _close(self, why: str) -> None:
        self._why = why
        self.log.info("Gone: {who}: {why}", who=str(self), why=why)
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        for connection in self._connections:
            connection.close()
        self._answering.end()
        self._exchange.end(why)
        self.on_gone(self)

    # What all commands have in common.

    async def _ask(self, request: Request, descriptors: Sequence[int] = ()) -> Reply:
        reply, _ = await self._exchange.ask(request, descriptors)
        return reply

    async def _value(self, handle: int, command: Command) -> int:
        return (await self._ask(Request(handle, command))).value

    async def _next(self, handle: int, command: Command, listed: int) -> tuple[Reply, bytes] | None:
        """Return the next entry of a list, None at its end."""
        if listed >= LIST_LIMIT:
            self.drop(f"it lists more than {LIST_LIMIT} entries")
        try:
            return await self._exchange.ask(Request(handle, command))
        except ApplicationRefused as refusal:
            if refusal.code == commands.Failure.NO_ENTRY:
                return None
            raise


async def _wait_for(awaitable: Awaitable[None]) -> None:
    await awaitable
