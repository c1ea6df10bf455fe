"""What is said on a control connection about data over UDP, which `lttngnet.wire.datagram` carries.

Only between peers of this project: see `lttngnet.wire.relay.extension`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from typing import Annotated, ClassVar, NamedTuple, Self

from lttngnet.errors import WireError
from lttngnet.wire.codec import U32, U64, Buffer, Message

REPEATS = 1
"""A flag of OPEN_DATAGRAMS: the sender repeats what is missing (`DATAGRAMS_MISSING`, `DATAGRAMS_LOST`)."""

ALL = 0xFFFFFFFF
"""As the end of a range: that of the packet, which is not known where nothing of it came."""

GAPS_LIMIT = 256  # packets that one answer tells of
RANGES_LIMIT = 64  # of one packet; those behind them are told when these have come
LOST_LIMIT = 1 << 14  # packets that one DATAGRAMS_LOST names


class OpenDatagrams(Message):
    """OPEN_DATAGRAMS: data of the session comes over UDP. Said once, after CREATE_SESSION."""

    flags: U64


class DatagramsOpened(Message):
    """Answer to OPEN_DATAGRAMS.

    ``connection`` stands in every datagram and ``token`` seals it. ``port`` is the one that the relay daemon
    listens on; whoever is behind a translation of addresses knows it under another number. ``largest`` is the
    longest datagram that is taken; ``room``, in bytes, what packets may take that are not written yet.
    """

    code: U32
    connection: U64
    token: Annotated[bytes, "16s"]
    port: U32
    largest: U32
    room: U64


class MissingQuery(Message):
    """DATAGRAMS_MISSING: how much has come, and of which packets something is missing; so many at most.

    The relay daemon answers when it has read all datagrams that had come until then. So the answer also says
    that nothing of what was sent before waits to be read.
    """

    wanted: U32


class Gap(NamedTuple):
    """A packet of which something is missing.

    Attributes:
        stream: handle.
        sequence: net sequence number.
        ranges: of its content that are missing, each as begin and end; the last end may be `ALL`.
    """

    stream: int
    sequence: int
    ranges: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Missing:
    """Answer to DATAGRAMS_MISSING.

    Attributes:
        code: LTTng's error number.
        taken: bytes of all datagrams of this connection that came, each counted once.
        lost: packets that were given up.
        window: bytes that may be under way from now on.
        is_all: whether no packets are missing but those told of.
        gaps: packets whose index is here and that are not whole, in the order of their indexes.
    """

    code: int
    taken: int = 0
    lost: int = 0
    window: int = 0
    is_all: bool = True
    gaps: tuple[Gap, ...] = ()

    head: ClassVar[Struct] = Struct(">IQQQBI")
    gap: ClassVar[Struct] = Struct(">QQI")
    range: ClassVar[Struct] = Struct(">II")
    size_limit: ClassVar[int] = GAPS_LIMIT * (gap.size + RANGES_LIMIT * range.size)

    def pack(self) -> bytes:
        """Return the bytes of the answer."""
        rest = b"".join(
            self.gap.pack(gap.stream, gap.sequence, len(gap.ranges))
            + b"".join(self.range.pack(*one) for one in gap.ranges)
            for gap in self.gaps
        )
        head = self.head.pack(self.code, self.taken, self.lost, self.window, self.is_all, len(rest))
        return head + rest

    @classmethod
    def unpack(cls, data: Buffer) -> Self:
        """Make the answer from its bytes. Raises WireError."""
        code, taken, lost, window, is_all, _ = cls.head.unpack_from(data)
        gaps = tuple(cls._gaps(memoryview(data)[cls.head.size :]))
        return cls(code, taken, lost, window, bool(is_all), gaps)

    @classmethod
    def _gaps(cls, rest: memoryview) -> Iterator[Gap]:
        while rest:
            if len(rest) < cls.gap.size:
                raise WireError("missing packets end in the middle of one")
            stream, sequence, count = cls.gap.unpack_from(rest)
            end = cls.gap.size + count * cls.range.size
            if len(rest) < end:
                raise WireError("the ranges of a missing packet reach beyond the answer")
            yield Gap(stream, sequence, tuple(cls.range.iter_unpack(rest[cls.gap.size : end])))
            rest = rest[end:]

    @classmethod
    def measure(cls, data: Buffer) -> int | None:
        """See `Message.measure`. Raises WireError."""
        if len(data) < cls.head.size:
            return None
        length: int = cls.head.unpack_from(data)[-1]
        if length > cls.size_limit:
            raise WireError(f"missing packets of {length} bytes, the limit is {cls.size_limit}")
        return cls.head.size + length


@dataclass(frozen=True)
class LostPackets:
    """DATAGRAMS_LOST: packets that will not be repeated, as stream handle and net sequence number."""

    packets: tuple[tuple[int, int], ...]

    one: ClassVar[Struct] = Struct(">QQ")

    def pack(self) -> bytes:
        """Return the payload."""
        return b"".join(self.one.pack(*packet) for packet in self.packets)

    @classmethod
    def unpack(cls, data: Buffer) -> Self:
        """Make the question from its payload. Raises WireError."""
        if len(data) % cls.one.size or len(data) > LOST_LIMIT * cls.one.size:
            raise WireError(f"lost packets of {len(data)} bytes")
        return cls(tuple(cls.one.iter_unpack(data)))
