"""Applications that use lttng-ust, as a source of packets.

They write into ring buffers that are made here, on the word of the session daemon, which talks with them; see
`UstSource.ask`. The reactor watches the pipes by which they say that a sub-buffer is full. While the sink is
busy nothing is read: the buffers take what they can, the tracer counts the rest.

How long an event may wait for its sub-buffer to be full (the switch timer), and how often we look whether one
is (the read timer, instead of being told), is by the reactor's clock: the library's timers are not used.
"""

from typing import Any, Self

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import LoopingCall, deferLater
from zope.interface import implementer

from lttngnet.ctf.packet import Silence
from lttngnet.errors import Code, CommandError
from lttngnet.interfaces import IPacketSource
from lttngnet.log import Logger
from lttngnet.sources import tally
from lttngnet.sources.ust.buffers import Channel
from lttngnet.sources.ust.library import Library, LibraryMissing, load
from lttngnet.sources.ust.reader import Flow
from lttngnet.sources.ust.trace import Trace, most_packets
from lttngnet.wire.amp import close_all

SHORTEST = 1e-3
"""Seconds between two ticks of a timer, at least."""


@implementer(IPacketSource, IPushProducer)
class UstSource:
    """The traces of a session's applications: one for each user, or for each process.

    Who stops the applications does it before `stop`, which then hands on everything to the last event. An
    application that was killed in the middle of an event may leave a buffer out of which nothing comes any
    more; nobody waits for it.

    Args:
        library: that makes the buffers.
        reactor: watches them (IReactorFDSet) and knows the time (IReactorTime).
    """

    log = Logger()
    path = "ust"

    def __init__(self, library: Library, reactor: Any) -> None:
        self._library = library
        self._reactor = reactor
        self._flow = Flow()
        self._turn = DeferredLock()  # to announce or end a trace, or drain all
        self._traces: dict[int, Trace] = {}
        self._timers: dict[Trace, list[LoopingCall]] = {}
        self._is_active = False
        self._waiting: list[Deferred[None]] = []

    @classmethod
    def from_config(cls, config: dict[str, Any], reactor: Any) -> Self:
        """Make the source; nothing of ``config`` is needed.

        Raises:
            CommandError: the library is missing.
        """
        try:
            return cls(load(), reactor)
        except LibraryMissing as problem:
            raise CommandError(Code.NO_UST, str(problem)) from None

    async def start(self, sink: Any) -> None:
        """See `IPacketSource`. Started again, the streams go on where they were.

        Without a sink nothing is handed on: the buffers are there for `snapshot`.
        """
        if sink is None:
            return
        self._flow.sink = sink
        self._is_active = True
        async with self._turn:
            for trace in list(self._traces.values()):
                if not trace.is_announced:
                    await trace.announce(self._flow)
                self._go_on(trace)

    async def ask(
        self, what: str, facts: dict[str, Any], descriptors: list[int]
    ) -> tuple[dict[str, Any], list[int]]:
        """See `IPacketSource`. ``trace`` is a number that the asker chooses.

        * ``make-trace``: ``trace``, and what a `Trace` is made of. The answer is that of `Trace.give`; the
          trace is announced to the sink by then if packets are handed on.
        * ``describe``: ``trace``, ``text``: more metadata, which is with the sink when this returns;
          ``described``: the stream classes that are described in all of it.
        * ``rewrite``: ``trace``, ``text``: all metadata, which takes the place of what there was.
        * ``close-trace``: ``trace``: hand on what is left, and let go of the buffers.
        """
        close_all(descriptors)
        match what:
            case "make-trace":
                return await self._make_trace(facts["trace"], facts)
            case "describe":
                self._trace(facts["trace"]).describe(facts["text"], facts["described"])
            case "rewrite":
                self._trace(facts["trace"]).rewrite(facts["text"])
            case "close-trace":
                await self._close_trace(facts["trace"])
            case _:
                raise CommandError(Code.NOT_SUPPORTED, f"applications' buffers are not asked: {what}")
        return {}, []

    async def snapshot(self, sink: Any, max_size: int = 0) -> None:
        """See `IPacketSource`."""
        async with self._turn:
            traces = list(self._traces.values())
            most = most_packets(traces, max_size) if max_size else None
            for trace in traces:
                await trace.snapshot(sink, most)

    def clear(self) -> None:
        """See `IPacketSource`."""
        for trace in self._traces.values():
            for stream in trace.streams():
                stream.clear()

    async def flush(self) -> list[Silence]:
        """See `IPacketSource`. While the sink is busy this waits."""
        silent = []
        async with self._turn:
            for trace in [trace for trace in self._traces.values() if trace.is_announced]:
                await self._drain(trace, only_if_used=True)
                silent += [found for reader in trace.readers if (found := reader.silence()) is not None]
        return silent

    async def stop(self) -> None:
        """See `IPacketSource`. While the sink is busy this waits."""
        async with self._turn:
            self._is_active = False
            for trace in [trace for trace in self._traces.values() if trace.is_announced]:
                self._rest(trace)
                await self._drain(trace)
            self._flow.is_paused = False  # nobody says that the sink goes on to a source that has stopped
            self._wake()

    def close(self) -> None:
        """See `IPacketSource`."""
        self._is_active = False
        for number in list(self._traces):
            self._let_go(self._traces.pop(number))
        self._wake()

    def facts(self) -> dict[str, Any]:
        """See `IPacketSource`; a channel is counted in all traces together, and events are not counted."""
        return tally.facts(self._flow.tallies)

    def waiting(self) -> int:
        """See `IPacketSource`: what lies in the buffers."""
        return sum(stream.waiting for trace in self._traces.values() for stream in trace.streams())

    def pauseProducing(self) -> None:
        """Read nothing more: the sink is busy."""
        self._flow.is_paused = True
        self._watch()

    def resumeProducing(self) -> None:
        """Go on."""
        self._flow.is_paused = False
        self._watch()
        self._wake()

    def stopProducing(self) -> None:
        """Read nothing more, for good."""
        self.pauseProducing()

    def _trace(self, number: int) -> Trace:
        if number not in self._traces:
            raise CommandError(Code.INVALID, f"there is no trace {number} of applications")
        return self._traces[number]

    async def _make_trace(self, number: int, facts: dict[str, Any]) -> tuple[dict[str, Any], list[int]]:
        if number in self._traces:
            raise CommandError(Code.INVALID, f"there is a trace {number} of applications already")
        try:
            trace = Trace(self._library, facts)
        except OSError as problem:
            raise _short(facts["path"], problem) from None
        try:
            answer, given = trace.give()
        except OSError as problem:
            trace.close()
            raise _short(facts["path"], problem) from None
        self._traces[number] = trace
        try:
            async with self._turn:
                if self._is_active and not trace.is_announced:  # `start` may have come before us
                    await trace.announce(self._flow)
                    self._go_on(trace)
        except BaseException:
            close_all(given)
            if self._traces.pop(number, None) is not None:  # else everything was closed meanwhile
                self._let_go(trace)
            raise
        return answer, given

    async def _close_trace(self, number: int) -> None:
        trace = self._trace(number)
        async with self._turn:
            self._rest(trace)
        try:
            # While the sink is busy, others have their turn. What was stopped has told of everything; there
            # may be no chunk for more.
            await self._drain(trace, only_if_used=not self._is_active)
            async with self._turn:
                if trace.is_announced:
                    await trace.end()
        finally:
            if self._traces.pop(number, None) is not None:
                self._let_go(trace)

    def _let_go(self, trace: Trace) -> None:
        self._rest(trace)
        trace.close()

    def _go_on(self, trace: Trace) -> None:
        """Let a trace be read from now on."""
        self._timers[trace] = timers = []
        for channel in trace.channels:
            for interval, tick in (
                (channel.options.switch_timer, self._switch),
                (channel.options.read_timer, self._look),
            ):
                if interval:
                    timer = LoopingCall(tick, trace, channel)
                    timer.clock = self._reactor
                    timer.start(max(interval / 1e6, SHORTEST), now=False)
                    timers.append(timer)
        self._watch()

    def _rest(self, trace: Trace) -> None:
        """Let a trace be read no longer by itself."""
        for timer in self._timers.pop(trace, ()):
            timer.stop()
        for reader in trace.readers:
            self._reactor.removeReader(reader)

    def _watch(self) -> None:
        """Let the reactor watch the streams that are to be read now, and no other."""
        for trace in self._timers:
            for reader in trace.readers:
                if reader.is_woken and not self._flow.is_paused:
                    self._reactor.addReader(reader)
                else:
                    self._reactor.removeReader(reader)

    def _switch(self, trace: Trace, channel: Channel) -> None:
        for reader in trace.of(channel):
            reader.flush(only_if_used=True)
            reader.doRead()

    def _look(self, trace: Trace, channel: Channel) -> None:
        for reader in trace.of(channel):
            reader.take(reader.whole)

    async def _drain(self, trace: Trace, only_if_used: bool = False) -> None:
        """Hand on what is in the buffers now: no more than they hold, should somebody go on writing.

        Args:
            trace: whose buffers.
            only_if_used: no empty packets, but for the first one of a stream.
        """
        readers = list(trace.readers)
        for reader in readers:
            reader.flush(only_if_used and reader.has_begun)
        for reader in readers:
            left = reader.whole
            while left and await self._may_go_on(trace):
                taken = reader.take(min(left, reader.turn))
                left -= taken
                if not taken and not self._flow.is_paused:
                    break
                await deferLater(self._reactor, 0)

    async def _may_go_on(self, trace: Trace) -> bool:
        """Wait until the sink takes packets; return whether the trace still has any to take."""
        while self._flow.is_paused and trace.channels:
            resumed: Deferred[None] = Deferred()
            self._waiting.append(resumed)
            await resumed
        return bool(trace.channels)

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for resumed in waiting:
            resumed.callback(None)


def _short(path: str, problem: OSError) -> CommandError:
    return CommandError(Code.UST_CHAN_FAIL, f"no buffers can be made for {path}: {problem}")
