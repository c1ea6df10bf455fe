"""A CTF packet on its way from a source to a sink."""

from dataclasses import dataclass
from typing import NamedTuple


class Silence(NamedTuple):
    """Nothing was recorded on a stream up to a moment, and no packet to come begins before it.

    Attributes:
        stream: its number, as the sink calls it.
        stream_class: CTF stream (class) id.
        until: in the clock of the trace, ns.
    """

    stream: int
    stream_class: int
    until: int


@dataclass(slots=True)
class Packet:
    """One packet of a data stream, with all that an index tells of it.

    Attributes:
        content: the packet's bytes, without trailing padding. Lent: whoever is handed the packet has
            done with these bytes when the call returns, and the source may overwrite them then.
        padding: number of zero bytes that follow the content in the trace file.
        content_size: bits of the packet that hold something, as its packet context says.
        timestamp_begin, timestamp_end: in the clock of the trace, ns.
        events_discarded: events lost on this stream since tracing began, cumulative.
        stream_class: CTF stream (class) id.
        stream_instance: which stream of its class: the CPU, the application…
        sequence: packet sequence number of the stream, from 0, gap-free unless packets were lost.
    """

    content: bytes | bytearray | memoryview
    padding: int
    content_size: int
    timestamp_begin: int
    timestamp_end: int
    events_discarded: int
    stream_class: int
    stream_instance: int
    sequence: int

    @property
    def packet_size(self) -> int:
        """Size of the packet in the trace file, padding included, in bits."""
        return 8 * (len(self.content) + self.padding)


@dataclass(frozen=True)
class Limit:
    """How long a file of a stream gets before another one is begun.

    Attributes:
        size: bytes; 0 for no limit.
        count: of files, of which the oldest gives way; 0 for no limit.
    """

    size: int = 0
    count: int = 0


UNLIMITED = Limit()
