"""The ring buffer of one CPU, as a stream of packets."""

import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from uuid import UUID

from lttngnet.ctf.packet import Packet, Silence
from lttngnet.sources.ftrace.classes import EventClasses
from lttngnet.sources.ftrace.converter import Converter
from lttngnet.sources.ftrace.ringbuffer import (
    MAGIC,
    PACKET_HEADER,
    PAGES,
    RECORDS,
    Converted,
    first_event,
    runs,
)
from lttngnet.sources.ftrace.tracefs import Instance, Stats

_STATS_SIZE = 4096
_BYTES = re.compile(rb"^bytes: (\d+)$", re.MULTILINE)
_BATCH = 256 << 10
"""Bytes that are read at once. More falls out of the processor's cache."""
_UNDER_WAY = 10_000_000
"""ns that an event may take from its timestamp to where it can be read, on a machine that pauses us."""


class ReadBuffer:
    """Where sub-buffers are read to and become packets; the streams of a channel take turns with it.

    Args:
        page_size: bytes of a sub-buffer.
        largest: bytes that a packet is to have at most, unless it is of one sub-buffer; 0 for no limit.
    """

    def __init__(self, page_size: int, largest: int = 0) -> None:
        self.page_size = page_size
        room = min(_BATCH, largest - PAGES) if largest else _BATCH
        self.pages = max(1, room // page_size)
        self.data = bytearray(PAGES + self.pages * page_size)
        view = memoryview(self.data)[PAGES:]
        self._views = [view[page * page_size : (page + 1) * page_size] for page in range(self.pages)]

    def fill(self, descriptor: int) -> int:
        """Read what is there; return the number of sub-buffers."""
        try:
            return -(-os.readv(descriptor, self._views) // self.page_size)
        except BlockingIOError:
            return 0


@dataclass(frozen=True)
class Channel:
    """What the streams of one channel have in common: an instance, which makes one stream class."""

    instance: Instance
    trace: UUID
    stream_class: int
    classes: EventClasses
    buffer: ReadBuffer
    convert: Converter


class CpuStream:
    """The packets of one CPU, in the order in which they were recorded.

    Attributes:
        number: what the sink calls the stream.
        stream_class: of its channel.
        events: how many were handed on.
        discarded: how many the kernel had no room for, as far as packets have told of it.
    """

    def __init__(
        self, channel: Channel, cpu: int, number: int, clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self.cpu = cpu
        self.number = number
        self.stream_class = channel.stream_class
        self.events = 0
        self.discarded = 0
        self._channel = channel
        self._clock = clock
        self._sequence = 0
        self._ended = 0
        folder = channel.instance.path / f"per_cpu/cpu{cpu}"
        self._pages = os.open(folder / "trace_pipe_raw", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            self._stats = os.open(folder / "stats", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            os.close(self._pages)
            raise

    def fileno(self) -> int:
        """Return the file that is readable once the buffer is as full as the instance asks."""
        return self._pages

    def read(self) -> tuple[bool, Iterator[Packet]]:
        """Read once; return whether there may be more, and the packets that were read.

        A packet lies where the one before it lay: have done with it before asking for the next.
        """
        buffer = self._channel.buffer
        count = buffer.fill(self._pages)
        return count == buffer.pages, self._packets(count)

    def _packets(self, count: int) -> Iterator[Packet]:
        if count:
            self.discarded = self._count_discarded()
        buffer = self._channel.buffer
        for run in runs(buffer.data, buffer.page_size, count):
            if converted := self._channel.convert(buffer.data, run, self._channel.classes):
                self.events += converted.events
                begin = first_event(buffer.data, converted.begin)  # not before a silence that was told of
                yield self._packet(buffer.data, replace(converted, begin=begin))

    def last_packet(self) -> Packet | None:
        """Return an empty packet where events were lost behind the last one, to tell of them."""
        discarded = self._count_discarded()
        if discarded == self.discarded:
            return None
        self.discarded = discarded
        return self.empty_packet()

    def empty_packet(self) -> Packet:
        """Return a packet without an event, of this moment."""
        now = max(self._clock() - _UNDER_WAY, self._ended)
        return self._packet(bytearray(RECORDS), Converted(0, now, now, 0, 0))

    @property
    def has_begun(self) -> bool:
        """Whether there was a packet."""
        return self._sequence > 0

    def silence(self) -> Silence:
        """Say up to when nothing was recorded, if nothing was read just now."""
        until = max(self._clock() - _UNDER_WAY, self._ended)
        return Silence(self.number, self._channel.stream_class, until)

    def close(self) -> None:
        """Close the files, without which the instance cannot be removed."""
        os.close(self._pages)
        os.close(self._stats)

    @property
    def waiting(self) -> int:
        """Bytes of events in the buffer."""
        found = _BYTES.search(os.pread(self._stats, _STATS_SIZE, 0))
        return int(found[1]) if found else 0

    def _count_discarded(self) -> int:
        return Stats.parse(os.pread(self._stats, _STATS_SIZE, 0).decode()).discarded

    def _packet(self, buffer: bytearray, made: Converted) -> Packet:
        packet = Packet(
            content=memoryview(buffer)[: RECORDS + made.content],
            padding=made.size - made.content,
            content_size=8 * (RECORDS + made.content),
            timestamp_begin=made.begin,
            timestamp_end=made.end,
            events_discarded=self.discarded,
            stream_class=self._channel.stream_class,
            stream_instance=self.cpu,
            sequence=self._sequence,
        )
        PACKET_HEADER.pack_into(
            buffer,
            0,
            MAGIC,
            self._channel.trace.bytes,
            packet.stream_class,
            packet.stream_instance,
            packet.timestamp_begin,
            packet.timestamp_end,
            packet.content_size,
            packet.packet_size,
            packet.sequence,
            packet.events_discarded,
            self.cpu,
        )
        self._sequence += 1
        self._ended = made.end
        return packet
