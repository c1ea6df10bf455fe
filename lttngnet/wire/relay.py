"""What a session daemon and its consumer say to a relay daemon (LTTng relay protocol 2.4 to 2.15).

All integers are big endian, structures have no holes. A question is a `CommandHeader` and its payload, an
answer has no header. Where the layout depends on the minor number that both sides agreed on, ``pack`` and
``unpack`` take it.
"""

from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import Annotated, ClassVar, Self
from uuid import UUID

from lttngnet.errors import Code, WireError
from lttngnet.wire.codec import U8, U32, U64, Buffer, Message, pack_text, take_text

MAJOR = 2
MINOR = 13  # what we announce: the version of lttng-tools whose protocol this is
LOWEST_MINOR = 4  # peers below it say no session name

NIL = UUID(int=0)

NO_SEQUENCE = (1 << 64) - 1  # "no packet was ever sent": -1 as the unsigned number it travels as

NAME_LIMIT = 255  # bytes, each with the NUL: a session's name …
HOSTNAME_LIMIT = 256
PATH_LIMIT = 4096
CHANNEL_LIMIT = 264
STREAM_PATH_LIMIT = 255


class Command(IntEnum):
    """Numbers of the commands on a control connection."""

    ADD_STREAM = 1
    CREATE_SESSION = 2
    START_DATA = 3
    VERSION = 5
    SEND_METADATA = 6
    CLOSE_STREAM = 7
    DATA_PENDING = 8
    QUIESCENT_CONTROL = 9
    BEGIN_DATA_PENDING = 10
    END_DATA_PENDING = 11
    SEND_INDEX = 13
    STREAMS_SENT = 16
    RESET_METADATA = 17
    ROTATE_STREAMS = 18
    CREATE_TRACE_CHUNK = 19
    CLOSE_TRACE_CHUNK = 20
    TRACE_CHUNK_EXISTS = 21
    GET_CONFIGURATION = 22


METADATA_PART = 1 << 32
"""Stands, where no peer can put it, for a SEND_METADATA of which more is still to come (see `Commands`)."""


class CloseCommand(IntEnum):
    """What happens to a trace chunk when it is closed."""

    MOVE_TO_COMPLETED = 0
    NO_OPERATION = 1
    DELETE = 2


class CommandHeader(Message):
    """Stands before the payload of every command."""

    circuit_id: U64
    data_size: U64
    command: U32
    command_version: U32 = 0


class DataHeader(Message):
    """Stands before the content of every packet on a data connection; the padding does not travel."""

    circuit_id: U64
    stream: U64
    sequence: U64
    data_size: U32
    padding_size: U32


def command(number: Command, payload: bytes = b"") -> bytes:
    """Return a whole command as it travels."""
    return CommandHeader(0, len(payload), number).pack() + payload


# ---------------------------------------------------------------- questions of fixed layout


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


# ---------------------------------------------------------------- questions whose layout varies


class _CreateSession24(Message):
    name: Annotated[str, "255s"]
    hostname: Annotated[str, "64s"]
    live_timer: U32
    snapshot: U32


class _CreateSession211(Message):
    name_length: U32
    hostname_length: U32
    base_path_length: U32
    live_timer: U32
    snapshot: U8
    name_has_time: U8
    sessiond: Annotated[bytes, "16s"]
    session: U64
    created: U64
    chunk_is_set: U8
    chunk: U64


@dataclass(frozen=True)
class CreateSession:
    """CREATE_SESSION: make a session that this control connection feeds.

    Attributes:
        name: of the tracing session.
        hostname: of the machine that is traced.
        base_path: takes the place of the dated folder below the host's, if not empty (2.11).
        live_timer: period of a live session, microseconds; 0 is not live.
        snapshot: whether the session holds snapshots only.
        name_has_time: the name ends in its creation time already (2.11).
        sessiond: identity of the session daemon's process (2.11).
        session: the session daemon's own number for the session (2.11).
        created: seconds since the epoch (2.11).
        chunk: the trace chunk that another connection of the session has created, if any (2.11).
        trace_format: 1 is CTF 1.8, 2 is CTF 2 (2.15).
    """

    name: str
    hostname: str
    base_path: str = ""
    live_timer: int = 0
    snapshot: bool = False
    name_has_time: bool = False
    sessiond: UUID = NIL
    session: int = 0
    created: int = 0
    chunk: int | None = None
    trace_format: int = 1

    def pack(self, minor: int) -> bytes:
        """Return the payload for a peer of that minor.

        Raises:
            WireError: a text is too long.
        """
        if minor < 11:
            return _CreateSession24(self.name, self.hostname, self.live_timer, self.snapshot).pack()
        name = pack_text(self.name, NAME_LIMIT)
        hostname = pack_text(self.hostname, HOSTNAME_LIMIT)
        base_path = pack_text(self.base_path, PATH_LIMIT)
        head = _CreateSession211(
            len(name),
            len(hostname),
            len(base_path),
            self.live_timer,
            self.snapshot,
            self.name_has_time,
            self.sessiond.bytes,
            self.session,
            self.created,
            self.chunk is not None,
            self.chunk or 0,
        ).pack()
        trace_format = self.trace_format.to_bytes(4, "big") if minor >= 15 else b""
        return head + trace_format + name + hostname + base_path

    @classmethod
    def unpack(cls, data: Buffer, minor: int) -> Self:
        """Make the question from the payload that a peer of that minor sent.

        Raises:
            WireError: it is too short, a text is too long or has no NUL.
        """
        if minor < 11:
            old = _CreateSession24.unpack(data)
            return cls(old.name, old.hostname, live_timer=old.live_timer, snapshot=bool(old.snapshot))
        head = _CreateSession211.unpack(data)
        at = head.layout.size
        trace_format = 1
        if minor >= 15:
            trace_format = int.from_bytes(data[at : at + 4], "big")
            at += 4
        name = take_text(data, at, head.name_length, NAME_LIMIT, "session name")
        at += head.name_length
        hostname = take_text(data, at, head.hostname_length, HOSTNAME_LIMIT, "host name")
        at += head.hostname_length
        base_path = take_text(data, at, head.base_path_length, PATH_LIMIT, "base path")
        return cls(
            name,
            hostname,
            base_path,
            head.live_timer,
            bool(head.snapshot),
            bool(head.name_has_time),
            UUID(bytes=head.sessiond),
            head.session,
            head.created,
            head.chunk if head.chunk_is_set else None,
            trace_format,
        )


class _AddStream21(Message):
    channel: Annotated[str, "264s"]
    path: Annotated[str, "4096s"]


class _AddStream22(Message):
    channel: Annotated[str, "264s"]
    path: Annotated[str, "4096s"]
    tracefile_size: U64
    tracefile_count: U64


class _AddStream211(Message):
    channel_length: U32
    path_length: U32
    tracefile_size: U64
    tracefile_count: U64
    chunk: U64


@dataclass(frozen=True)
class AddStream:
    """ADD_STREAM: announce a stream of a trace.

    Attributes:
        channel: name of the stream's file: ``<channel>_<cpu>``, or ``metadata``.
        path: of the trace, below the session's folder.
        tracefile_size: bytes after which another file is begun; 0 is never (2.2).
        tracefile_count: files that are kept; 0 is all (2.2).
        chunk: the trace chunk (2.11); the genuine relay daemon does not look at it.
    """

    channel: str
    path: str
    tracefile_size: int = 0
    tracefile_count: int = 0
    chunk: int = 0

    def pack(self, minor: int) -> bytes:
        """Return the payload for a peer of that minor.

        Raises:
            WireError: a text is too long.
        """
        if minor < 2:
            return _AddStream21(self.channel, self.path).pack()
        if minor < 11:
            return _AddStream22(self.channel, self.path, self.tracefile_size, self.tracefile_count).pack()
        channel = pack_text(self.channel, CHANNEL_LIMIT)
        path = pack_text(self.path, STREAM_PATH_LIMIT)
        head = _AddStream211(len(channel), len(path), self.tracefile_size, self.tracefile_count, self.chunk)
        return head.pack() + channel + path

    @classmethod
    def unpack(cls, data: Buffer, minor: int) -> Self:
        """Make the question from the payload that a peer of that minor sent.

        Raises:
            WireError: it is too short, a text is too long or has no NUL.
        """
        if minor < 2:
            oldest = _AddStream21.unpack(data)
            return cls(oldest.channel, oldest.path)
        if minor < 11:
            old = _AddStream22.unpack(data)
            return cls(old.channel, old.path, old.tracefile_size, old.tracefile_count)
        head = _AddStream211.unpack(data)
        at = head.layout.size
        channel = take_text(data, at, head.channel_length, CHANNEL_LIMIT, "channel name")
        at += head.channel_length
        path = take_text(data, at, head.path_length, STREAM_PATH_LIMIT, "stream path")
        return cls(channel, path, head.tracefile_size, head.tracefile_count, head.chunk)


class _Index24(Message):
    stream: U64
    net_sequence: U64
    packet_size: U64
    content_size: U64
    timestamp_begin: U64
    timestamp_end: U64
    events_discarded: U64
    stream_class: U64


class _Index28(Message):
    stream: U64
    net_sequence: U64
    packet_size: U64
    content_size: U64
    timestamp_begin: U64
    timestamp_end: U64
    events_discarded: U64
    stream_class: U64
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
        """Make the question from the payload that a peer of that minor sent."""
        kind: type[Message] = _Index24 if minor < 8 else _Index28
        return cls(**vars(kind.unpack(data)))


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


# ---------------------------------------------------------------- answers


class Status(Message):
    """The answer that is only LTTng's error number, or 0 or 1 to the questions about pending data."""

    code: U32


class StreamAdded(Message):
    """Answer to ADD_STREAM."""

    handle: U64
    code: U32


class Configuration(Message):
    """Answer to GET_CONFIGURATION. Bit 0 of the flags: clearing traces is allowed."""

    code: U32
    flags: U64


class ChunkExists(Message):
    """Answer to TRACE_CHUNK_EXISTS."""

    code: U32
    exists: U8


class SessionCreated24(Message):
    """Answer to CREATE_SESSION below 2.11."""

    session: U64
    code: U32


@dataclass(frozen=True)
class SessionCreated:
    """Answer to CREATE_SESSION (2.11): the path is relative to the relay daemon's output folder."""

    session: int
    code: int
    path: str = ""

    head: ClassVar[Struct] = Struct(">QII")

    def pack(self) -> bytes:
        """Return the bytes of the answer."""
        path = pack_text(self.path, PATH_LIMIT) if self.path else b""
        return self.head.pack(self.session, self.code, len(path)) + path

    @classmethod
    def unpack(cls, data: Buffer) -> Self:
        """Make the answer from its bytes.

        Raises:
            WireError: the path is too long.
        """
        session, code, length = cls.head.unpack_from(data)
        return cls(session, code, take_text(data, cls.head.size, length, PATH_LIMIT, "output path"))

    @classmethod
    def measure(cls, data: Buffer) -> int | None:
        """See `Message.measure`."""
        return _measure(cls.head, data)


@dataclass(frozen=True)
class ChunkClosed:
    """Answer to CLOSE_TRACE_CHUNK: where the chunk lies now, relative to the relay daemon's output folder."""

    code: int
    path: str = ""

    head: ClassVar[Struct] = Struct(">II")

    def pack(self) -> bytes:
        """Return the bytes of the answer."""
        path = pack_text(self.path, PATH_LIMIT) if self.path else b""
        return self.head.pack(self.code, len(path)) + path

    @classmethod
    def unpack(cls, data: Buffer) -> Self:
        """Make the answer from its bytes.

        Raises:
            WireError: the path is too long.
        """
        code, length = cls.head.unpack_from(data)
        return cls(code, take_text(data, cls.head.size, length, PATH_LIMIT, "chunk path"))

    @classmethod
    def measure(cls, data: Buffer) -> int | None:
        """See `Message.measure`."""
        return _measure(cls.head, data)


Answer = Message | SessionCreated | ChunkClosed


def _measure(head: Struct, data: Buffer) -> int | None:
    """Length of an answer that ends in a text whose length is the last number of ``head``."""
    if len(data) < head.size:
        return None
    length: int = head.unpack_from(data)[-1]
    if length > PATH_LIMIT:
        raise WireError(f"a path of {length} bytes, the limit is {PATH_LIMIT}")
    return head.size + length


OK = Status(Code.OK)
