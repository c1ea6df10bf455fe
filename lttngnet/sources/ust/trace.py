"""One trace of applications: the channels that they write to, and where its streams go."""

from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import Any
from uuid import UUID

from lttngnet.ctf.packet import Limit
from lttngnet.errors import Code, CommandError
from lttngnet.sources.ust.buffers import Channel, Options, Stream
from lttngnet.sources.ust.library import Library
from lttngnet.sources.ust.reader import Flow, Reader
from lttngnet.wire.amp import close_all

_OPTIONS = tuple(field.name for field in fields(Options))


class Trace:
    """The buffers of a trace, made at once.

    Args:
        library: that they are made with.
        facts: ``path``, ``uuid`` (hexadecimal), ``metadata`` (text so far), ``described`` (the stream classes
            that it describes), ``channels`` (`Options` each).

    Attributes:
        readers: of all streams, once the trace is announced.

    Raises:
        LibraryError, OSError: memory or descriptors are short, or an option cannot be.
    """

    def __init__(self, library: Library, facts: dict[str, Any]) -> None:
        self.path: str = facts["path"]
        self.channels: list[Channel] = []
        self.readers: list[Reader] = []
        self._text: str = facts["metadata"]
        self._described: set[int] = set(facts["described"])
        self._sink: Any = None
        self._metadata = 0
        try:
            for each in facts["channels"]:
                options = Options(**{name: each[name] for name in _OPTIONS if name in each})
                self.channels.append(Channel(library, options, UUID(facts["uuid"])))
        except BaseException:
            self.close()
            raise

    def give(self) -> tuple[dict[str, Any], list[int]]:
        """Return what applications need to know of the buffers, and the descriptors, which are the caller's.

        Raises:
            OSError: there are no descriptors left.
        """
        given: list[int] = []
        channels = []
        for channel in self.channels:
            try:
                given += channel.give()
            except OSError:
                close_all(given)
                raise
            streams = [{"cpu": stream.cpu, "size": stream.size} for stream in channel.streams]
            channels.append({"kind": channel.kind, "streams": streams})
        return {"channels": channels}, given

    @property
    def is_announced(self) -> bool:
        """Whether a sink takes it."""
        return self._sink is not None

    async def announce(self, flow: Flow) -> None:
        """Make it known to the sink, and write the metadata."""
        sink, readers = flow.sink, []
        for channel in self.channels:
            limit = Limit(channel.options.tracefile_size, channel.options.tracefile_count)
            for stream in channel.streams:
                number = await sink.add_stream(self.path, f"{channel.options.name}_{stream.cpu}", limit)
                readers.append(Reader(stream, channel.options, number, flow))
        self._metadata = await sink.add_stream(self.path, "metadata")
        await sink.publish()
        if self.channels:  # else it was closed meanwhile
            self.readers, self._sink = readers, sink
            self.describe("")  # what is known of them already

    def describe(self, more: str, described: Iterable[int] = ()) -> None:
        """Append to the metadata: what it describes is recorded only after that.

        Args:
            more: text.
            described: the stream classes that are described by now. Of the others no packet goes out: there
                are only empty ones, and babeltrace2 crashes over what it cannot look up.
        """
        self._described.update(described)
        for reader in self.readers:
            reader.is_described = reader.stream_class in self._described
        text, self._text = self._text + more, ""
        if self._sink is None:
            self._text = text
        elif text:
            self._sink.write_metadata(self._metadata, text.encode())

    async def snapshot(self, sink: Any, most: int | None = None) -> None:
        """Hand what is in the buffers now to another sink, stream by stream; it stays there.

        Args:
            sink: an `IPacketSink`.
            most: packets of each stream, the newest; None for all.
        """
        for channel in self.channels:
            if channel.options.stream_class not in self._described:
                continue
            for stream in list(channel.streams):
                number = await sink.add_stream(self.path, f"{channel.options.name}_{stream.cpu}")
                if not channel.streams:
                    return  # it was closed meanwhile
                for packet in stream.snapshot(most):
                    sink.write(number, packet)
                await sink.quiesce()  # no more than this one waits to be sent
        metadata = await sink.add_stream(self.path, "metadata")
        sink.write_metadata(metadata, self._text.encode())

    def rewrite(self, text: str) -> None:
        """Replace the metadata."""
        if self._sink is None:
            self._text = text
        else:
            self._sink.rewrite_metadata(self._metadata, text.encode())

    def streams(self) -> Iterator[Stream]:
        """Yield the streams of all channels."""
        for channel in self.channels:
            yield from channel.streams

    def of(self, channel: Channel) -> list[Reader]:
        """Return the readers of a channel."""
        return [reader for reader in self.readers if reader.stream in channel.streams]

    async def end(self) -> None:
        """Close the streams at the sink."""
        for number in (self._metadata, *(reader.number for reader in self.readers)):
            await self._sink.close_stream(number)

    def close(self) -> None:
        """Let go of the buffers."""
        self.readers.clear()
        for channel in self.channels:
            channel.close()
        self.channels.clear()


def most_packets(traces: Iterable[Trace], size: int) -> int:
    """Return how many packets of each stream can be in a snapshot; see `IPacketSource.snapshot`.

    Raises:
        CommandError: not one.
    """
    options = [(each.options, len(each.streams)) for trace in traces for each in trace.channels]
    left, most = size, 0
    while another := sum(of.subbuf_size * streams for of, streams in options if of.num_subbuf > most):
        if another > left:
            break
        left -= another
        most += 1
    if options and not most:
        raise CommandError(
            Code.MAX_SIZE_INVALID,
            f"a snapshot of {size} bytes has no room for a packet of each stream: that takes {another}",
        )
    return most
