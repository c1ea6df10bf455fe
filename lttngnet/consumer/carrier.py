"""What the consumer process does: carry packets from its sources to its sink, or to one after the other."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.internet.task import LoopingCall, deferLater
from twisted.python.failure import Failure
from zope.interface import implementer

from lttngnet.consumer.route import Route, Valve
from lttngnet.errors import Code, CommandError, RelayLost, RelayRefused
from lttngnet.log import Logger
from lttngnet.sources.tally import total
from lttngnet.wire.amp import close_all

Answer = TypeVar("Answer")

PARTING = 10.0
"""Seconds that whoever changes the sink waits for the one before to have everything."""


@implementer(IPushProducer)
class Carrier:
    """Carries the sources of one session to a sink, both given to it as they come.

    It is the push producer that a slow sink pauses, and passes that on to every source.

    Attributes:
        route: the way to the sink.
    """

    log = Logger()

    def __init__(
        self,
        make_source: Callable[[str, dict[str, Any]], Any],
        clock: IReactorTime,
        on_lost: Callable[[str], None] = lambda why: None,
    ) -> None:
        """Carry nothing yet.

        Args:
            make_source: of its kind and config.
            clock: of periods.
            on_lost: called with a sentence when nothing can be delivered any more; all is closed by then.
        """
        self._make_source = make_source
        self._on_lost = on_lost
        self._is_changing = False  # the sink
        self._is_holding = False  # because the old sink is lost, and the new one not there yet
        self._pulse = LoopingCall(self._beat)
        self._pulse.clock = clock
        self._live = 0.0
        self._sources: dict[str, Any] = {}  # IPacketSource, by kind
        self._started: set[str] = set()
        self._known: set[str] = set()  # to the sink: those that were started once
        self.route = Route(clock, self)
        self._clock = clock
        self._is_routed = False  # else there are only snapshots
        self._partings: list[Deferred[None]] = []  # sinks that still have to get all
        self._paused = False
        self._ending = False
        self._held = False

    async def use(self, sink: Any, valve: Valve | None = None, live: float = 0.0) -> str:
        """Take the sink; the one before, if there is one, gets all that was handed on so far, and is closed.

        Args:
            sink: an `IPacketSink`, which is given up if it cannot be used.
            valve: which it pauses, see `Route.valve`.
            live: seconds between two times that all that was recorded is handed on; 0: when it comes.

        Returns:
            What went wrong with the one before, in a sentence, or empty.

        Raises:
            CommandError: it cannot be used; everything goes on as before.
        """
        self._is_changing = True
        try:
            before = await self._of_relay(self.route.use(sink, valve))
        except BaseException:
            sink.abandon()
            raise
        finally:
            self._changed()
        self._live = live
        self._is_routed = True
        return "" if before is None else await self._part_from(before)

    def lose(self, sink: Any, why: str) -> None:
        """Give up, for a sink is lost, unless it is not used any more, or not yet: whoever uses it notices.

        While it is being changed for another, that one may still come: packets are held until then.
        """
        if sink is not self.route.sink:
            return
        if not self._is_changing:
            self.close()
            self._on_lost(why)
        elif self.route.state in ("direct", "catching up"):
            self.route.hold()
            self._is_holding = True

    @property
    def is_changing(self) -> bool:
        """Whether the sink is being changed for another."""
        return self._is_changing

    def _changed(self) -> None:
        """Go on after a change of the sink, or give up if there is none that could be used."""
        self._is_changing = False
        if self.route.lost:
            self.lose(self.route.sink, self.route.lost)
        elif self._is_holding:
            self.route.go_on()
        self._is_holding = False

    def add_source(self, kind: str, config: dict[str, Any]) -> None:
        """Make a source, which is started by `begin`."""
        self._sources[kind] = self._make_source(kind, config)

    async def ask_source(
        self, kind: str, what: str, facts: dict[str, Any], descriptors: list[int]
    ) -> tuple[dict[str, Any], list[int]]:
        """Ask a source, which owns the descriptors from now on; those that come back are the caller's.

        Raises:
            CommandError: there is no such source, or it refuses, or the relay daemon does.
        """
        if kind not in self._sources:
            close_all(descriptors)
            raise CommandError(Code.NOT_SUPPORTED, f"nothing of the {kind} domain is traced here")
        return await self._of_relay(self._sources[kind].ask(what, facts, descriptors))

    async def begin(self) -> None:
        """Start the sources that are not started.

        Raises:
            CommandError: the relay daemon refused something, or is gone.
        """
        route = self.route if self._is_routed else None
        if route is not None:
            await self._of_relay(route.begin())
        for kind, source in self._sources.items():
            if kind not in self._started:
                self._started.add(kind)
                self._known.add(kind)
                await self._of_relay(source.start(route))
        self._tell_sources()
        if self._live and not self._pulse.running:
            self._pulse.start(self._live).addErrback(self._pulse_failed)

    async def end(self) -> None:
        """Carry all that was recorded, and return when it has arrived, or is dropped or held, see `disable`.

        Raises:
            CommandError: the relay daemon is gone.
        """
        self._ending = True
        self._tell_sources()
        try:
            await self._drain()
        finally:
            self._ending = False

    async def stop(self) -> None:
        """Do as `end`, if that was not done since `begin`."""
        if self._started:
            await self.end()

    async def flush(self) -> None:
        """Hand on what was recorded up to now, and tell the sink of the streams that had nothing."""
        for kind in sorted(self._known):
            for silence in await self._sources[kind].flush():
                self.route.beacon(silence)

    async def rotate(self, keep: bool) -> str:
        """Close the chunk with all that was recorded up to now, see `IPacketSink.rotate`.

        Raises:
            CommandError: the sink cannot, or the relay daemon is gone.
        """
        if not self._is_routed:
            for kind in sorted(self._known):
                self._sources[kind].clear()
            return ""
        for kind in self._known - self._started:
            self._sources[kind].resumeProducing()  # was perhaps paused when it stopped
        await self._of_relay(self.flush())
        self._held = True
        self._tell_sources()
        try:
            return await self._of_relay(self.route.rotate(keep, bool(self._started)))
        finally:
            self._held = False
            self._tell_sources()

    async def archived(self) -> None:
        """Wait for the chunk that `rotate` closed, see `IPacketSink.archived`; packets go on meanwhile.

        Raises:
            CommandError: the relay daemon is gone.
        """
        await self._of_relay(self.route.archived())

    async def snapshot(self, sink: Any, max_size: int) -> None:
        """Let a sink, which is for nothing else, have what is recorded now; it stays in the buffers.

        Args:
            sink: an `IPacketSink`.
            max_size: bytes that it is to have at most, of the newest; 0: all.

        Raises:
            CommandError: there is nothing like that, or the sink cannot take it.
        """

        async def record() -> None:
            await sink.begin()
            for kind in sorted(self._known):
                await self._sources[kind].snapshot(sink, max_size)
            await sink.finish()

        try:
            await self._of_relay(record())
        except BaseException:
            sink.abandon()
            raise

    async def _beat(self) -> None:
        """Flush, unless nothing is consumed now anyway."""
        if not (self._paused or self._ending or self._held):
            await self.flush()

    def _pulse_failed(self, failure: Failure) -> None:
        self.log.failure("What is recorded is not handed on live any more", failure)

    async def _drain(self) -> None:
        if self._pulse.running:
            self._pulse.stop()
        for kind in sorted(self._started):
            await self._of_relay(self._sources[kind].stop())
        self._started.clear()
        await self._of_relay(self.route.quiesce())

    async def finish(self) -> None:
        """Close the trace, after `end` if that did not happen.

        Raises:
            CommandError: the relay daemon is gone.
        """
        try:
            await self.stop()
            await self._of_relay(self.route.finish())
            await DeferredList(self._partings)
        finally:
            self.close()

    def close(self) -> None:
        """Let go of all sources; what is held is lost."""
        self.route.end()
        if self._pulse.running:
            self._pulse.stop()
        for source in self._sources.values():
            source.close()
        self._started.clear()
        self._known.clear()

    def disable(self, hold: bool) -> None:
        """Let nothing more reach the sink: keep it in the spool, or let it go and count it."""
        self._is_holding = False
        if hold:
            self.route.hold()
        else:
            self.route.drop()

    def enable(self) -> None:
        """Let the sink have what is in the spool, and what comes."""
        self.route.go_on()

    def facts(self) -> dict[str, Any]:
        """Return the sums of the sources' counters, and those of each channel: `lttngnet.wire.amp.Facts`."""
        each = {kind: source.facts() for kind, source in self._sources.items()}
        channels = {kind: facts["channels"] for kind, facts in each.items()}
        waiting = sum(source.waiting() for source in self._sources.values()) + self.route.waiting()
        return total(each.values()) | self.route.facts() | {"waiting": waiting, "channels": channels}

    def pauseProducing(self) -> None:
        """Pause every source: the sink has enough to send."""
        self._paused = True
        self._tell_sources()

    def resumeProducing(self) -> None:
        """Let the sources go on."""
        self._paused = False
        self._tell_sources()

    def stopProducing(self) -> None:
        """Pause for good: the sink's connection is over, which it reports itself."""
        self.pauseProducing()

    def _tell_sources(self) -> None:
        for kind in sorted(self._started):
            source = self._sources[kind]
            if self._paused or self._held:
                source.pauseProducing()
            else:
                source.resumeProducing()

    async def _part_from(self, sink: Any) -> str:
        """Let a sink that was left have everything, and close it; return what went wrong, or empty.

        Who takes longer than `PARTING` is left to itself until `finish`.
        """
        problems: list[str] = []

        async def close() -> None:
            try:
                await sink.finish()
            except (RelayLost, RelayRefused, OSError) as failure:
                sink.abandon()
                problems.append(f"not all that was recorded before has arrived where it went: {failure}")
                self.log.warn("{why}", why=problems[0])
            except Exception as defect:
                sink.abandon()
                problems.append(f"not all that was recorded before has arrived where it went: {defect}")
                self.log.failure("A sink that was left could not be closed")
            finally:
                self._partings.remove(closing)

        closing = Deferred[None]()
        self._partings.append(closing)
        Deferred.fromCoroutine(close()).chainDeferred(closing)
        patience: Deferred[None] = deferLater(self._clock, PARTING)
        await DeferredList([closing, patience], fireOnOneCallback=True, consumeErrors=True)
        if not closing.called:
            return "what was recorded before is still on its way to where it went"
        patience.cancel()
        return "".join(problems)

    async def _of_relay(self, work: Awaitable[Answer]) -> Answer:
        """Turn the failures of the other side into the user's."""
        try:
            return await work
        except (RelayLost, RelayRefused) as failure:
            raise CommandError(Code.RELAYD_CONNECT_FAIL, str(failure)) from None
        except OSError as failure:
            raise CommandError(Code.FILE_CREATION_ERROR, str(failure)) from None
