"""Questions about trace chunks: one is made, streams move to it, and the one before is closed (2.11)."""

from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, Self

from lttngnet.errors import WireError
from lttngnet.wire.codec import Buffer, pack_text, take_text
from lttngnet.wire.relay.commands import NAME_LIMIT, CloseCommand


@dataclass(frozen=True)
class RotateStreams:
    """ROTATE_STREAMS (2.11): streams move to another trace chunk, or to none.

    Attributes:
        new_chunk: number of the chunk; None for none.
        positions: pairs of a stream and the packet sequence number of the first packet that goes there.
    """

    new_chunk: int | None
    positions: tuple[tuple[int, int], ...]

    # C compilers disagree on how many bytes of padding precede the chunk's number, and on x86-64 it is 7.
    paddings: ClassVar[tuple[int, ...]] = (7, 3, 0)
    head: ClassVar[Struct] = Struct(">IB")
    number: ClassVar[Struct] = Struct(">Q")
    position: ClassVar[Struct] = Struct(">QQ")

    def pack(self) -> bytes:
        """Return the payload, laid out as on x86-64."""
        return b"".join(
            (
                self.head.pack(len(self.positions), self.new_chunk is not None),
                bytes(self.paddings[0]),
                self.number.pack(self.new_chunk or 0),
                *(self.position.pack(*position) for position in self.positions),
            )
        )

    @classmethod
    def unpack(cls, data: Buffer) -> Self:
        """Make the question from its payload, whichever padding the sender's compiler made.

        Raises:
            WireError: the number of positions and the size do not agree.
        """
        if len(data) < cls.head.size:
            raise WireError(f"ROTATE_STREAMS of {len(data)} bytes")
        count, is_set = cls.head.unpack_from(data)
        rest = cls.number.size + cls.position.size * count
        padding = len(data) - cls.head.size - rest
        if padding not in cls.paddings:
            raise WireError(f"ROTATE_STREAMS of {len(data)} bytes for {count} streams")
        at = cls.head.size + padding
        (chunk,) = cls.number.unpack_from(data, at)
        positions = cls.position.iter_unpack(data[at + cls.number.size :])
        return cls(chunk if is_set else None, tuple((stream, sequence) for stream, sequence in positions))


@dataclass(frozen=True)
class CreateTraceChunk:
    """CREATE_TRACE_CHUNK (2.11): packets go to another folder from now on.

    Attributes:
        chunk: its number, from 0.
        created: seconds since the epoch.
        name: of the folder, where it is not made of those two (snapshots).
    """

    chunk: int
    created: int
    name: str = ""

    head: ClassVar[Struct] = Struct(">QQI")

    def pack(self) -> bytes:
        """Return the payload."""
        name = pack_text(self.name, NAME_LIMIT) if self.name else b""
        return self.head.pack(self.chunk, self.created, len(name)) + name

    @classmethod
    def unpack(cls, data: Buffer) -> Self:
        """Make the question from its payload.

        Raises:
            WireError: it is too short, or the name too long.
        """
        if len(data) < cls.head.size:
            raise WireError(f"CREATE_TRACE_CHUNK of {len(data)} bytes")
        chunk, created, length = cls.head.unpack_from(data)
        return cls(chunk, created, take_text(data, cls.head.size, length, NAME_LIMIT, "chunk name"))


@dataclass(frozen=True)
class CloseTraceChunk:
    """CLOSE_TRACE_CHUNK (2.11). Without a command the chunk's folder stays as it is."""

    chunk: int
    closed: int
    command: CloseCommand | None = None

    layout: ClassVar[Struct] = Struct(">QQBI")

    def pack(self) -> bytes:
        """Return the payload."""
        return self.layout.pack(self.chunk, self.closed, self.command is not None, self.command or 0)

    @classmethod
    def unpack(cls, data: Buffer) -> Self:
        """Make the question from its payload.

        Raises:
            WireError: it is too short, or the command unknown.
        """
        if len(data) < cls.layout.size:
            raise WireError(f"CLOSE_TRACE_CHUNK of {len(data)} bytes")
        chunk, closed, is_set, number = cls.layout.unpack_from(data)
        try:
            return cls(chunk, closed, CloseCommand(number) if is_set else None)
        except ValueError:
            raise WireError(f"CLOSE_TRACE_CHUNK with the unknown command {number}") from None
