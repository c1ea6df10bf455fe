"""Questions about streams and what was sent on them, and those that ask only what there is.

An index has more fields since 2.8.
"""

from dataclasses import dataclass
from typing import Self

from lttngnet.wire.codec import U32, U64, Buffer, Message


class Version(Message):
    """VERSION, question and answer alike."""

    major: U32
    minor: U32


class GetConfiguration(Message):
    """GET_CONFIGURATION (2.12)."""

    flags: U64 = 0


class SessionQuery(Message):
    """BEGIN_DATA_PENDING, END_DATA_PENDING: of which relay session."""

    session: U64


class StreamQuery(Message):
    """QUIESCENT_CONTROL: of which metadata stream."""

    stream: U64


class StreamPosition(Message):
    """CLOSE_STREAM, DATA_PENDING: a stream and the number of the last packet that was sent on it."""

    stream: U64
    last: U64


class ResetMetadata(Message):
    """RESET_METADATA (2.8)."""

    stream: U64
    version: U64


class MetadataHeader(Message):
    """SEND_METADATA: stands before the metadata itself. There is no answer."""

    stream: U64
    padding: U32


class ChunkQuery(Message):
    """TRACE_CHUNK_EXISTS (2.11)."""

    chunk: U64


class _Index24(Message):
    stream: U64
    net_sequence: U64
    packet_size: U64
    content_size: U64
    timestamp_begin: U64
    timestamp_end: U64
    events_discarded: U64
    stream_class: U64


class _Index28(_Index24):
    stream_instance: U64
    packet_sequence: U64


@dataclass(frozen=True)
class SendIndex:
    """SEND_INDEX: all that an index tells of a packet, except where it lies. Sizes are in bits.

    A ``packet_size`` of 0 is a live beacon: nothing was recorded on this stream up to ``timestamp_end``.
    ``stream_instance`` and ``packet_sequence`` are None from a peer below 2.8.
    """

    stream: int
    net_sequence: int
    packet_size: int
    content_size: int
    timestamp_begin: int
    timestamp_end: int
    events_discarded: int
    stream_class: int
    stream_instance: int | None = None
    packet_sequence: int | None = None

    def pack(self, minor: int) -> bytes:
        """Return the payload for a peer of that minor."""
        values = list(vars(self).values())
        if minor < 8:
            return _Index24(*values[:8]).pack()
        return _Index28(*[v or 0 for v in values]).pack()

    @classmethod
    def unpack(cls, data: Buffer, minor: int) -> Self:
        """Make the question from the payload that a peer of that minor sent. Raises WireError."""
        kind: type[Message] = _Index24 if minor < 8 else _Index28
        if len(data) < kind.layout.size:
            kind.unpack(data)  # raises
        return cls(*kind.layout.unpack_from(data))
