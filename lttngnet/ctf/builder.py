"""Packets of a stream, made event by event, as `lttngnet.ctf.tsdl` describes them."""

from struct import Struct
from uuid import UUID

from lttngnet.ctf.packet import Packet

MAGIC = 0xC1FC1FC1
EXTENDED = 0xFFFF
U32 = 0xFFFF_FFFF

_HEADER = Struct("=I16sIQ")  # packet header, and then the packet context:
_CONTEXT = Struct("=QQQQQQI")
_COMPACT = Struct("=HI")
_EXTENDED = Struct("=HIQ")
_OVERHEAD = _HEADER.size + _CONTEXT.size


class PacketBuilder:
    """Gathers the events of one stream until they are taken as a packet.

    Attributes:
        discarded: events lost on this stream since tracing began; told with the next packet.
        events: number of events in it.
        sequence: number of the packet, from 0.
    """

    def __init__(self, uuid: UUID, stream_class: int, stream_instance: int) -> None:
        self.discarded = 0
        self._header = _HEADER.pack(MAGIC, uuid.bytes, stream_class, stream_instance)
        self._stream_class = stream_class
        self._stream_instance = stream_instance
        self.sequence = 0
        self._told = 0
        self._last = 0
        self._begin()

    def _begin(self) -> None:
        self._content = bytearray(_OVERHEAD)
        self._first = self._last
        self.events = 0

    @property
    def size(self) -> int:
        """Bytes that the packet has so far."""
        return len(self._content)

    @property
    def has_news(self) -> bool:
        """Tell whether there is anything to take: events, or the news that some were lost."""
        return self.events > 0 or self.discarded != self._told

    def touch(self, timestamp: int) -> None:
        """Let the packet last until a time, ns; a time before the last event's changes nothing."""
        if timestamp > self._last:
            self._last = timestamp
        if not self.events:
            self._first = self._last

    def add(self, event: int, timestamp: int, *content: bytes) -> None:
        """Append an event: its number in the stream class, its time in ns, context and fields.

        An event that claims to be older than the one before is given the time of that one.
        """
        before = self._last
        self.touch(timestamp)
        if self._last - before <= U32 or not self.events:  # the first one's time is the packet's
            self._content += _COMPACT.pack(event, self._last & U32)
        else:
            self._content += _EXTENDED.pack(EXTENDED, event, self._last)
        for piece in content:
            self._content += piece
        self.events += 1

    def take(self) -> Packet:
        """Return what was gathered as a packet, and begin the next one."""
        content = self._content
        bits = 8 * len(content)
        content[: len(self._header)] = self._header
        _CONTEXT.pack_into(
            content, len(self._header), self._first, self._last, bits, bits, self.sequence, self.discarded, 0
        )
        packet = Packet(
            content=content,
            padding=0,
            content_size=bits,
            timestamp_begin=self._first,
            timestamp_end=self._last,
            events_discarded=self.discarded,
            stream_class=self._stream_class,
            stream_instance=self._stream_instance,
            sequence=self.sequence,
        )
        self._told = self.discarded
        self.sequence += 1
        self._begin()
        return packet
