"""The way of packets from the sources to a sink, which may change on the way.

Sources know one sink for the life of the process: the route. Behind it there is one real sink after the
other, or none for a while.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from itertools import count, groupby
from typing import Any

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from zope.interface import implementer

from lttngnet.consumer.routing import Ways, routing_machine
from lttngnet.consumer.spool import Spool
from lttngnet.ctf.packet import UNLIMITED, Limit, Packet, Silence
from lttngnet.errors import Code, CommandError, RelayLost
from lttngnet.interfaces import IPacketSink

METADATA = "metadata"  # the name that makes a stream one
SLICE = 4e-3
"""Seconds that the spool is emptied before others have their turn."""


@dataclass
class Stream:
    """A stream as sources know it.

    Attributes:
        number: what the present sink calls it; None while there is none that knows the stream.
        text: of a metadata stream: all that was written.
        is_closed: no more packets will come; what is in the spool of it still goes out.
    """

    path: str
    name: str
    limit: Limit
    number: int | None = None
    text: bytearray = field(default_factory=bytearray)
    is_closed: bool = False


@implementer(IPushProducer)
class Valve:
    """What a sink pauses that has enough to send. Once another has its place, it is not heard any more."""

    def __init__(self, turn: Callable[["Valve"], None]) -> None:
        self.is_shut = False
        self._turn = turn

    def pauseProducing(self) -> None:
        """Hand on nothing for now."""
        self.is_shut = True
        self._turn(self)

    def resumeProducing(self) -> None:
        """Go on."""
        self.is_shut = False
        self._turn(self)

    def stopProducing(self) -> None:
        """Hand on nothing more: the connection is over, which the sink reports itself."""
        self.pauseProducing()


@implementer(IPacketSink)
class Route:
    """Hands what sources write to the present sink; or counts it, or keeps it, see `routing`.

    Sources are paused while the sink is; while the spool is emptied, only when it is nearly full.

    Args:
        clock: for the turns in which the spool is emptied.
        sources: are paused and resumed here.
        spool: where packets are kept.

    Attributes:
        sink: the present one, or None.
        lost_packets: those that were handed on to nobody because the consumer was disabled, by stream.
    """

    def __init__(self, clock: IReactorTime, sources: IPushProducer, spool: Spool | None = None) -> None:
        self.sink: Any = None
        self.lost_packets: Counter[int] = Counter()
        self.spool = spool or Spool()
        self._rotated: Any = None  # the sink that closed a chunk last
        self._clock = clock
        self._sources = sources
        self._valve: Valve | None = None
        self._is_paused = False  # the sources
        self._streams: dict[int, Stream] = {}
        self._numbers = count(1)
        self._turn = DeferredLock()  # of what adds, closes or moves streams
        self._delivery: IDelayedCall | None = None
        self._waiting: list[Deferred[None]] = []
        self._is_delivering = False
        self._take: Callable[[int, Packet], None] = self._send
        self._is_enough: Callable[[], bool] = self._is_shut
        self._machine = routing_machine(
            Ways(
                send=lambda: self._let(self._send, self._is_shut),
                lose=lambda: self._let(self._lose, _never),
                keep=lambda: self._let(self._keep, self._is_filling),
                ignore=lambda: self._let(lambda stream, packet: None, _never),
                deliver=self._begin_delivery,
                rest=self._rest,
            )
        )

    @property
    def lost(self) -> str:
        """See `IPacketSink`: why the present sink is."""
        return "" if self.sink is None else str(self.sink.lost)

    @property
    def is_away(self) -> bool:
        """See `IPacketSink`: whether the present sink is, or there is none."""
        return self.sink is None or bool(self.sink.is_away)

    @property
    def state(self) -> str:
        """Name of the machine's state: ``direct``, ``dropping``, ``holding``, ``catching up``, ``over``."""
        return self._machine.name()

    def valve(self) -> Valve:
        """Return a push producer for a sink that is to be used."""
        return Valve(self._turned)

    async def use(self, sink: Any, valve: Valve | None = None) -> Any:
        """Let everything go to another sink from now on, and return the one before.

        That one has been given all that came before this moment, and is the caller's to close.

        Args:
            sink: an `IPacketSink`, which knows nothing yet.
            valve: which it pauses, if it does so.

        Raises:
            RelayLost, RelayRefused, OSError, CommandError: the sink cannot be used; everything is as before.
        """
        async with self._turn:
            numbers = await self._announce(sink)
            # Nothing may happen between here and the end: each packet and each line goes to one of the two.
            for key, stream in self._streams.items():
                if stream.text:
                    sink.write_metadata(numbers[key], bytes(stream.text))
            if sink.lost:
                raise RelayLost(sink.lost)
            for key, stream in self._streams.items():
                stream.number = numbers[key]
            before, self.sink, self._valve = self.sink, sink, valve
            self._adjust()
            self._deliver_later()
            return before

    def leave(self) -> Any:
        """Have no sink, which is returned; packets must be held or dropped then."""
        before, self.sink, self._valve = self.sink, None, None
        for stream in self._streams.values():
            stream.number = None
        self._adjust()
        return before

    def keep_first(self, packets: Iterable[tuple[int, Packet]]) -> None:
        """Keep packets that the present sink was given before, each with that one's number of its stream."""
        keys = {stream.number: key for key, stream in self._streams.items()}
        self.spool.put_first((keys[number], packet) for number, packet in packets if number in keys)

    def drop(self) -> None:
        """Let packets go, and count them: readers of the trace see a gap in their numbers."""
        self._machine.drop()

    def hold(self) -> None:
        """Keep packets in the spool."""
        self._machine.hold()

    def go_on(self) -> None:
        """Hand on what was kept, and what comes."""
        self._machine.go_on()

    def end(self) -> None:
        """Hand on nothing more. What is kept is lost, and counted."""
        self._machine.end()
        self.spool.clear()
        self._wake()

    def facts(self) -> dict[str, int]:
        """Return ``spooled``, the bytes that are kept, and ``dropped``, the packets that reach nobody."""
        dropped = self.lost_packets.total() + self.spool.lost.total()
        return {"spooled": self.spool.size, "dropped": dropped}

    async def begin(self) -> None:
        """See `IPacketSink`."""
        await self._of_sink(lambda sink: sink.begin())

    async def add_stream(self, path: str, name: str, limit: Limit = UNLIMITED) -> int:
        """See `IPacketSink`; the number stays the same whatever the sink is."""
        stream = Stream(path, name, limit)
        async with self._turn:
            stream.number = await self._of_sink(lambda sink: sink.add_stream(path, name, limit))
            number = next(self._numbers)
            self._streams[number] = stream
        return number

    async def publish(self) -> None:
        """See `IPacketSink`."""
        await self._of_sink(lambda sink: sink.publish())

    def write_metadata(self, stream: int, text: bytes) -> None:
        """See `IPacketSink`; it does not wait for packets that are held."""
        known = self._streams[stream]
        known.text += text
        if known.number is not None:
            self.sink.write_metadata(known.number, text)

    def rewrite_metadata(self, stream: int, text: bytes) -> None:
        """See `IPacketSink`."""
        known = self._streams[stream]
        if known.number is not None:
            self.sink.rewrite_metadata(known.number, text)
        known.text = bytearray(text)

    def write(self, stream: int, packet: Packet) -> None:
        """See `IPacketSink`."""
        self._take(stream, packet)

    def beacon(self, silence: Silence) -> None:
        """See `IPacketSink`; while packets are held or lost there is nothing to be said of a stream."""
        known = self._streams.get(silence.stream)
        if known is not None and known.number is not None and self.state == "direct":
            self.sink.beacon(silence._replace(stream=known.number))

    async def close_stream(self, stream: int) -> None:
        """See `IPacketSink`; what is kept of it is handed on before."""
        async with self._turn:
            self._streams[stream].is_closed = True
            if self.spool.is_empty:
                await self._close_closed()

    async def rotate(self, keep: bool, go_on: bool) -> str:
        """See `IPacketSink`; what is kept belongs to the chunk that is closed.

        Raises:
            CommandError: packets are held or dropped now.
        """
        await self.delivered()
        if self.sink is None or self.state != "direct":
            raise CommandError(
                Code.ROTATION_NOT_AVAILABLE, "the consumer is disabled, or its relay daemon is away"
            )
        self._rotated = self.sink
        return str(await self.sink.rotate(keep, go_on))

    async def archived(self) -> None:
        """See `IPacketSink`; the sink may be another one by then."""
        sink, self._rotated = self._rotated, None
        if sink is not None:
            await sink.archived()

    async def delivered(self) -> None:
        """Return when nothing is kept any more, or is to be kept for longer."""
        if self._is_delivering:
            waiting: Deferred[None] = Deferred()
            self._waiting.append(waiting)
            await waiting

    async def quiesce(self) -> None:
        """See `IPacketSink`; what is held stays held."""
        await self.delivered()
        if self.is_away:
            return
        try:
            await self.sink.quiesce()
        except RelayLost:
            if not self.is_away:  # else what did not arrive is held as well
                raise

    def waiting(self) -> int:
        """See `IPacketSink`: what the present sink tells."""
        return 0 if self.sink is None else int(self.sink.waiting())

    async def finish(self) -> None:
        """See `IPacketSink`; what was held goes to the sink before."""
        if self.sink is not None:
            self.go_on()
            await self.delivered()
            sink = self.leave()
            self.end()
            await sink.finish()
        else:
            self.end()

    async def _of_sink(self, ask: Callable[[Any], Awaitable[Any]]) -> Any:
        """Ask the sink something; None if there is none, or none any more."""
        if (sink := self.sink) is None:
            return None
        try:
            return await ask(sink)
        except RelayLost:
            if self.sink is sink:
                raise
            return None

    async def _announce(self, sink: Any) -> dict[int, int]:
        """Make all streams known to a sink, trace by trace; return its numbers."""
        numbers: dict[int, int] = {}
        if self._streams:
            await sink.begin()
        for _, trace in groupby(self._in_order(), key=lambda key: self._streams[key].path):
            for key in trace:
                stream = self._streams[key]
                numbers[key] = await sink.add_stream(stream.path, stream.name, stream.limit)
            await sink.publish()
        return numbers

    def _in_order(self) -> list[int]:
        """Return the streams trace by trace, each trace's metadata last."""
        each = self._streams
        return sorted(each, key=lambda key: (each[key].path, each[key].name == METADATA, key))

    def _let(self, take: Callable[[int, Packet], None], is_enough: Callable[[], bool]) -> None:
        self._take, self._is_enough = take, is_enough
        self._adjust()

    def _send(self, stream: int, packet: Packet) -> None:
        number = self._streams[stream].number
        if number is None:  # there is no sink
            self.lost_packets[stream] += 1
        else:
            self.sink.write(number, packet)

    def _lose(self, stream: int, packet: Packet) -> None:
        self.lost_packets[stream] += 1

    def _keep(self, stream: int, packet: Packet) -> None:
        self.spool.put(stream, packet)
        self._adjust()

    def _begin_delivery(self) -> None:
        self._is_delivering = True
        self._deliver()

    def _deliver(self) -> None:
        """Empty the spool, for as long as the sink takes it and others do not wait too long."""
        self._delivery = None
        end = self._clock.seconds() + SLICE
        while self._is_delivering and not self._is_shut() and (found := self.spool.take()) is not None:
            self._send(*found)
            if self._clock.seconds() > end:
                break
        self._adjust()
        if not self._is_delivering:  # the sink was lost with what it was just given
            return
        if not self.spool.is_empty:
            self._deliver_later()
            return
        self._is_delivering = False
        self._machine.caught_up()
        if any(stream.is_closed for stream in self._streams.values()):
            closing = self._turn.run(lambda: Deferred.fromCoroutine(self._close_closed()))
            closing.addErrback(lambda failure: failure.trap(RelayLost))  # of which the sink tells itself
        self._wake()

    def _deliver_later(self) -> None:
        if self._is_delivering and self._delivery is None and not self._is_shut():
            self._delivery = self._clock.callLater(0, self._deliver)

    def _rest(self) -> None:
        self._is_delivering = False
        if self._delivery is not None:
            self._delivery.cancel()
            self._delivery = None
        self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)

    async def _close_closed(self) -> None:
        for key in [key for key, stream in self._streams.items() if stream.is_closed]:
            stream = self._streams.pop(key)
            if stream.number is not None:
                await self._of_sink(partial(_close, stream.number))

    def _is_shut(self) -> bool:
        return self._valve is not None and self._valve.is_shut

    def _is_filling(self) -> bool:
        """Whether the spool fills faster than it is emptied; what records counts what it has no room for."""
        return self._is_delivering and self.spool.size > self.spool.limit * (
            0.5 if self._is_paused else 0.875
        )

    def _turned(self, valve: Valve) -> None:
        if valve is self._valve:
            self._adjust()
            self._deliver_later()

    def _adjust(self) -> None:
        """Let the sources know whether they are to be paused, if that has changed."""
        paused = self._is_enough()
        if paused != self._is_paused:
            self._is_paused = paused
            if paused:
                self._sources.pauseProducing()
            else:
                self._sources.resumeProducing()


def _close(number: int, sink: Any) -> Awaitable[None]:
    closing: Awaitable[None] = sink.close_stream(number)
    return closing


def _never() -> bool:
    return False
