"""One session in one application: what was set up there, brought in line with what is wanted, step by step.

An application is sent the channels when it is to record for the first time; then it is told only what
changed. What it refuses is logged, left out, and not asked again; one that is gone is not asked at all.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from twisted.internet.defer import Deferred, DeferredLock

from lttngnet.errors import WireError
from lttngnet.log import Logger
from lttngnet.sessiond.domains.ust.channels import Channel
from lttngnet.sessiond.domains.ust.rules import Rule
from lttngnet.sessiond.domains.ust.traces import Buffers, Trace, Traces
from lttngnet.sessiond.ust.application import Application, ApplicationGone, ApplicationRefused
from lttngnet.sessiond.ust.room import OF_APPLICATION, Room
from lttngnet.wire.ust.fields import EnumEntry, Field
from lttngnet.wire.ust.questions import ChannelAnswer, EventQuestion

_OF_RULE, _OF_SESSION = 4, 4  # commands at most


@dataclass
class _Event:
    handle: int
    enabled: bool = False


@dataclass
class _Sent:
    """A channel as the application has it; the rules that it refused are None.

    Attributes:
        known: up to when it knows of rules that were switched; see `Channel.news`.
    """

    channel: Channel
    handle: int
    enabled: bool = True
    events: dict[Rule, _Event | None] = field(default_factory=dict)
    known: int = 0


class Member:
    """An application in a session. It answers the application's questions about it, too (`Answerer`).

    Args:
        session: by name, for the log.
        application: that takes part.
    """

    log = Logger()

    def __init__(self, session: str, application: Application) -> None:
        self.application = application
        self._name = session
        self._turn = DeferredLock()
        self._trace: Trace | None = None
        self._room: Room | None = None
        self._session: int | None = None
        self._sent: list[_Sent] = []
        self._is_recording = False
        self._is_spoilt = False  # it refused what nothing can be recorded without

    @property
    def records(self) -> bool:
        """Whether it was told to record."""
        return self._is_recording

    def follow(self, traces: Traces, wanted: bool, others: int = 0) -> Deferred[None]:
        """Let the application record what the session wants now, or nothing at all.

        Returns when it does so, or when it turned out that it won't.

        Args:
            traces: of the session.
            wanted: whether it is to record.
            others: how many applications are asked at the same time.

        Raises (in the Deferred):
            CommandError: its buffers cannot be had.
        """
        return self._turn.run(lambda: Deferred.fromCoroutine(self._follow(traces, wanted, others)))

    def leave(self) -> Deferred[None]:
        """Let the application release all that belongs to the session."""
        return self._turn.run(lambda: Deferred.fromCoroutine(self._leave()))

    def regenerate_statedump(self) -> Deferred[None]:
        """Let it record anew which libraries it has loaded, if it records."""

        async def regenerate() -> None:
            if self._is_recording and self._session is not None:
                try:
                    with self.application.within(1):
                        await self.application.regenerate_statedump(self._session)
                except ApplicationRefused as refusal:
                    self._warn(str(refusal))
                except ApplicationGone:
                    pass

        return self._turn.run(lambda: Deferred.fromCoroutine(regenerate()))

    async def describe_channel(self, channel: int, context_fields: tuple[Field, ...]) -> ChannelAnswer:
        """See `Answerer`."""
        number = self._stream_class(channel)
        room = self._room
        return await self._of_trace().describe(lambda known: known.channel(number, context_fields, room))

    async def describe_event(self, channel: int, event: EventQuestion) -> int:
        """See `Answerer`."""
        number = self._stream_class(channel)
        return await self._of_trace().describe(lambda registry: registry.event(number, event, self._room))

    async def describe_enum(self, name: str, entries: Sequence[EnumEntry]) -> int:
        """See `Answerer`."""
        return await self._of_trace().describe(lambda registry: registry.enum(name, entries, self._room))

    async def _follow(self, traces: Traces, wanted: bool, others: int) -> None:
        if self._is_spoilt or self.application.is_gone:
            return
        try:
            trace = await traces.of(self.application) if wanted and self._session is None else None
            with self.application.within(self._orders(trace), others):
                if trace is not None:
                    try:
                        await self._join(trace)
                    finally:
                        traces.given(self.application)
                for sent in self._sent:
                    await self._update(sent)
                if self._session is not None and wanted != self._is_recording:
                    await self._record(self._session, wanted)
        except ApplicationGone:
            pass  # it is logged where that was noticed
        except (ApplicationRefused, WireError) as problem:
            self._is_spoilt = True
            self._warn(f"it is not traced: {problem}")
            await self._leave()

    def _orders(self, trace: Trace | None) -> int:
        """Return how many commands it may need, to take part in a trace, or to be brought in line."""
        if trace is None:
            rules = sum(sent.channel.count(sent.known) for sent in self._sent)
            return _OF_SESSION + len(self._sent) + _OF_RULE * rules
        of_channels = (
            2 + len(each.streams) + len(each.channel.contexts) + _OF_RULE * len(each.channel.rules)
            for each in trace.buffers
        )
        return _OF_SESSION + sum(of_channels)

    async def _join(self, trace: Trace) -> None:
        self._trace = trace
        self._room = Room(OF_APPLICATION, str(self.application), trace.room)
        self._session = await self.application.create_session()
        self.application.serve(self._session, self)
        for buffers in trace.buffers:
            await self._send(self._session, buffers)

    async def _send(self, session: int, buffers: Buffers) -> None:
        handle = await self.application.send_channel(
            session, buffers.description, buffers.kind, buffers.wakeup
        )
        self._sent.append(_Sent(buffers.channel, handle))
        for stream in buffers.streams:
            await self.application.send_stream(handle, stream.size, stream.cpu, stream.memory, stream.wakeup)
        for name, context in buffers.channel.contexts.items():
            try:
                await self.application.add_context(handle, context)
            except ApplicationRefused as refusal:
                self._warn(f"its events have no context {name}: {refusal}")

    async def _update(self, sent: _Sent) -> None:
        """Bring a channel in line: of its rules, those that were switched since the last time."""
        rules, sent.known = sent.channel.news(sent.known)
        for rule in rules:
            enabled = sent.channel.rules[rule]
            if rule not in sent.events and enabled:
                sent.events[rule] = await self._create(sent, rule)
            event = sent.events.get(rule)
            if event is not None and event.enabled != enabled:
                await self._switch(event.handle, enabled)
                event.enabled = enabled
        if sent.enabled != sent.channel.enabled:
            await self._switch(sent.handle, sent.channel.enabled)
            sent.enabled = sent.channel.enabled

    async def _create(self, sent: _Sent, rule: Rule) -> _Event | None:
        """Return the event of a rule, still disabled, or None if the application does not know what to do."""
        handle = None
        try:
            handle = await self.application.create_event(sent.handle, rule.to_event())
            if (bytecode := sent.channel.bytecode.get(rule)) is not None:
                await self.application.set_filter(handle, bytecode.code, bytecode.reloc_offset, 0)
            if rule.exclusions:
                await self.application.set_exclusions(handle, rule.exclusions)
        except ApplicationRefused as refusal:
            self._warn(f"event {rule.name} is not recorded: {refusal}")
            if handle is not None:
                with suppress(ApplicationRefused):
                    await self.application.release(handle)
            return None
        return _Event(handle)

    async def _record(self, session: int, wanted: bool) -> None:
        await self._switch(session, wanted)
        self._is_recording = wanted
        if not wanted:
            await self.application.wait_quiescent()

    async def _switch(self, handle: int, on: bool) -> None:
        await (self.application.enable(handle) if on else self.application.disable(handle))

    async def _leave(self) -> None:
        session, self._session = self._session, None
        sent, self._sent = self._sent, []
        self._trace = None
        if session is None or self.application.is_gone:
            return
        events = [event.handle for each in sent for event in each.events.values() if event is not None]
        orders = _OF_SESSION + len(events) + len(sent)
        with suppress(ApplicationGone), self.application.within(orders):
            if self._is_recording:
                self._is_recording = False
                await self._try_to_stop(session)
            # What belongs to an object keeps it alive, so the session comes last.
            for handle in (*events, *(each.handle for each in sent), session):
                with suppress(ApplicationRefused):
                    await self.application.release(handle)

    async def _try_to_stop(self, session: int) -> None:
        with suppress(ApplicationRefused):
            await self._record(session, False)

    def _of_trace(self) -> Trace:
        if self._trace is None:
            raise WireError(f"it is not in session {self._name}")
        return self._trace

    def _stream_class(self, handle: int) -> int:
        for sent in self._sent:
            if sent.handle == handle:
                return sent.channel.stream_class
        raise WireError(f"it has no channel {handle} in session {self._name}")

    def _warn(self, what: str) -> None:
        facts = self.application.facts
        self.log.warn(
            "Process {pid} ({name}), session {session}: {what}",
            pid=facts.pid,
            name=facts.name,
            session=self._name,
            what=what,
        )
