"""The kernel as a source of packets.

The ring buffer of each CPU is a file that the reactor watches. It is readable when a quarter of it is full; a
timer takes what does not come to that. A reader takes what is there and stops at the first read that returns
less than was asked for: whoever chases a live writer gets his events in ever smaller pieces, and does nothing
else. While the sink is busy nothing is read: the ring buffer takes what it can, the kernel counts the rest.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from socket import gethostname
from typing import Any, Self
from uuid import uuid4

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer, IReadDescriptor
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure
from zope.interface import implementer

from lttngnet.ctf.packet import UNLIMITED, Limit, Packet, Silence
from lttngnet.ctf.tsdl import clock_offset
from lttngnet.errors import Code, CommandError
from lttngnet.interfaces import IPacketSource
from lttngnet.log import Logger
from lttngnet.sources import tally
from lttngnet.sources.ftrace.classes import EventClasses
from lttngnet.sources.ftrace.converter import Converter, choose
from lttngnet.sources.ftrace.formats import Formats
from lttngnet.sources.ftrace.preamble import describe_trace
from lttngnet.sources.ftrace.stream import Channel, CpuStream, ReadBuffer
from lttngnet.sources.ftrace.tracefs import Instance
from lttngnet.wire.amp import close_all

_FLUSH_INTERVAL = 0.2
"""Seconds after which what does not fill the buffers is taken, as LTTng's read timer does."""
_TURN = 8
"""Reads from one CPU before the reactor attends to others."""


@implementer(IReadDescriptor)
class Watcher:
    """One CPU's ring buffer, as the reactor sees it."""

    log = Logger()

    def __init__(self, stream: CpuStream, readable: Callable[[CpuStream], None]) -> None:
        self._stream = stream
        self._readable = readable

    def fileno(self) -> int:
        """Return what to watch."""
        return self._stream.fileno()

    def doRead(self) -> None:
        """Take what is there."""
        self._readable(self._stream)

    def logPrefix(self) -> str:
        """Return what to call this in the log."""
        return f"kernel, CPU {self._stream.cpu}"

    def connectionLost(self, reason: Failure) -> None:
        """Say that the reactor no longer watches: reading failed."""
        self.log.failure(
            "No longer reading what the kernel records on CPU {cpu}", reason, cpu=self._stream.cpu
        )


@implementer(IPacketSource, IPushProducer)
class KernelSource:
    """Hands on what the kernel records in a few instances of tracefs, a channel each.

    Each CPU of a channel is a stream; a channel is a stream class of its own, with its own event classes. Who
    switches recording off does it before `stop`, which then hands on everything to the last event.
    """

    log = Logger()
    path = "kernel"

    def __init__(
        self,
        formats: Formats,
        channels: Sequence[tuple[str, Instance]],
        session: str,
        hostname: str | None,
        reactor: Any,  # IReactorFDSet, IReactorTime
        convert: Converter | None = None,  # the fastest there is
        limits: Mapping[str, Limit] | None = None,  # by channel
    ) -> None:
        self._limits = limits or {}
        self._formats = formats
        self._channels = channels
        self._session = session
        self._hostname = hostname
        self._reactor = reactor
        self._converter, self._convert = choose() if convert is None else ("given", convert)
        self._timer = LoopingCall(self._flush)
        self._timer.clock = reactor
        self._watchers: list[Watcher] = []
        self._streams: list[CpuStream] = []
        self._sink: Any = None  # IPacketSink
        self._metadata = 0
        self._trace = uuid4()
        self._news: list[str] = []
        self._described: list[str] = []  # what was told of the news
        self._tallies = [tally.Tally() for _ in channels]  # by stream class
        self._running = self._paused = self._closed = False
        self._waiting: list[Deferred[None]] = []

    @classmethod
    def from_config(cls, config: dict[str, Any], reactor: Any) -> Self:
        """Make a source of what `lttngnet.sessiond.domains.kernel.KernelDomain` says.

        That is ``{"events": folder of the format files, "channels": [{"name": …, "instance": folder}],
        "session": …, "hostname": … or absent}``. A channel may also have ``limit``, that of its files.
        """
        return cls(
            Formats(Path(config["events"])),
            [(channel["name"], Instance(Path(channel["instance"]))) for channel in config["channels"]],
            config["session"],
            config.get("hostname"),
            reactor,
            limits={
                channel["name"]: Limit(*channel["limit"])
                for channel in config["channels"]
                if "limit" in channel
            },
        )

    async def start(self, sink: Any) -> None:
        """See `IPacketSource`. Started again, the streams go on where they were."""
        if self._sink is None:
            self._sink = sink
            try:
                await self._announce()
            except BaseException:
                self.close()
                raise
            self.log.debug("What the kernel recorded is converted by: {name}", name=self._converter)
        self._running = True
        self._timer.start(_FLUSH_INTERVAL, now=False).addErrback(self._flush_failed)
        self._watch()

    async def flush(self) -> list[Silence]:
        """See `IPacketSource`. While the sink is busy this waits."""
        silent = []
        for stream in self._streams:
            counted = self._tallies[stream.stream_class]
            before = counted.packets
            await self._drain(stream)
            if self._closed:
                break
            if not stream.has_begun:
                self._hand_on(stream, stream.empty_packet())
            elif counted.packets == before:
                silent.append(stream.silence())
        return silent

    async def stop(self) -> None:
        """See `IPacketSource`. While the sink is busy this waits."""
        self._rest()
        for stream in self._streams:
            await self._drain(stream)
            if not self._closed and (last := stream.last_packet()):
                self._hand_on(stream, last)

    async def ask(
        self, what: str, facts: dict[str, Any], descriptors: list[int]
    ) -> tuple[dict[str, Any], list[int]]:
        """See `IPacketSource`; there is ``regenerate-metadata``: with the time of day as it is now."""
        close_all(descriptors)
        if what != "regenerate-metadata":
            raise CommandError(Code.NOT_SUPPORTED, f"the kernel's events are not asked: {what}")
        if self._described:
            self._described[0] = self._head()
            text = "".join(self._described).encode()
            self._sink.rewrite_metadata(self._metadata, text)
        return {}, []

    async def snapshot(self, sink: Any, max_size: int = 0) -> None:
        """See `IPacketSource`: what is read is gone."""
        raise CommandError(Code.SNAPSHOT_UNSUPPORTED, f"there are no snapshots of {self.path} traces")

    def clear(self) -> None:
        """See `IPacketSource`: there is no snapshot."""

    def close(self) -> None:
        """See `IPacketSource`."""
        if not self._closed:
            self._rest()
            self._closed = True
            for stream in self._streams:
                stream.close()
            self._wake()

    def facts(self) -> dict[str, Any]:
        """See `IPacketSource`."""
        for number, counted in enumerate(self._tallies):
            streams = [stream for stream in self._streams if stream.stream_class == number]
            counted.events = sum(stream.events for stream in streams)
            counted.discarded = sum(stream.discarded for stream in streams)
        names = (name for name, _ in self._channels)
        return tally.facts(dict(zip(names, self._tallies, strict=True)))

    def waiting(self) -> int:
        """See `IPacketSource`: what lies in the ring buffers."""
        return 0 if self._closed else sum(stream.waiting for stream in self._streams)

    def pauseProducing(self) -> None:
        """Read nothing more: the sink is busy."""
        self._paused = True
        self._watch()

    def resumeProducing(self) -> None:
        """Go on."""
        self._paused = False
        self._watch()
        self._wake()

    def stopProducing(self) -> None:
        """Read nothing more, for good."""
        self.pauseProducing()

    async def _announce(self) -> None:
        self._formats.load()
        for stream_class, (name, instance) in enumerate(self._channels):
            classes = EventClasses(self._formats.layout, stream_class, self._news.append)
            limit = self._limits.get(name, UNLIMITED)
            buffer = ReadBuffer(instance.subbuffer_size, limit.size)
            channel = Channel(instance, self._trace, stream_class, classes, buffer, self._convert)
            for cpu in instance.cpus:
                number = await self._sink.add_stream(self.path, f"{name}_{cpu}", limit)
                self._streams.append(CpuStream(channel, cpu, number))
        self._watchers = [Watcher(stream, self._readable) for stream in self._streams]
        self._metadata = await self._sink.add_stream(self.path, "metadata")
        await self._sink.publish()
        self._news.insert(0, self._head())
        self._tell_news()

    def _head(self) -> str:
        hostname = self._hostname or gethostname()
        return describe_trace(self._trace, self._session, hostname, len(self._channels), clock_offset())

    async def _drain(self, stream: CpuStream) -> None:
        more = True
        while more and await self._may_go_on():
            more = self._take(stream)

    def _watch(self) -> None:
        """Let the reactor watch the buffers while we may read, and only then."""
        change = self._reactor.addReader if self._running and not self._paused else self._reactor.removeReader
        for watcher in self._watchers:
            change(watcher)

    def _rest(self) -> None:
        self._running = False
        self._watch()
        if self._timer.running:
            self._timer.stop()

    async def _may_go_on(self) -> bool:
        """Wait until the sink takes packets; return whether we are still to hand on any."""
        while self._paused and not self._closed:
            resumed: Deferred[None] = Deferred()
            self._waiting.append(resumed)
            await resumed
        return not self._closed

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for resumed in waiting:
            resumed.callback(None)

    def _readable(self, stream: CpuStream) -> None:
        for _ in range(_TURN):
            if self._paused or not self._take(stream):
                break

    def _flush(self) -> None:
        for stream in self._streams:
            if not self._paused:
                self._take(stream)

    def _flush_failed(self, failure: Failure) -> None:
        self.log.failure("What the kernel records is read no longer by the clock", failure)

    def _take(self, stream: CpuStream) -> bool:
        """Read once and hand on what came; return whether there may be more."""
        more, packets = stream.read()
        for packet in packets:
            self._hand_on(stream, packet)
        return more

    def _hand_on(self, stream: CpuStream, packet: Packet) -> None:
        self._tell_news()
        self._sink.write(stream.number, packet)
        counted = self._tallies[stream.stream_class]
        counted.packets += 1
        counted.bytes += packet.packet_size // 8

    def _tell_news(self) -> None:
        """Describe what was met for the first time, before the packet that uses it."""
        if self._news:
            text = "".join(self._news).encode()
            self._described += self._news
            self._news.clear()
            self._sink.write_metadata(self._metadata, text)
