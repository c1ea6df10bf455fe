"""What a live viewer says to a relay daemon, and what it is answered (LTTng live protocol 2.4 to 2.15).

All integers are big endian, structures have no holes. A question is a `RequestHeader` and a payload whose
size its command alone decides: what the header says of it is not looked at, as the genuine relay daemon
does not. An answer has no header.
"""

from dataclasses import dataclass
from enum import IntEnum, IntFlag
from struct import Struct
from typing import Annotated, NamedTuple, Self

from lttngnet.wire.codec import U32, U64, Buffer, Message, decode, encode

MAJOR = 2
MINOR = 13  # what viewers below LONG_NAMES_SINCE are told
LONG_NAMES_SINCE = 15  # the minor from which on a listing has names of any length

HOSTNAME_WIDTH = 64  # bytes of a field, its NUL included …
NAME_WIDTH = 255
PATH_WIDTH = 4096
CHANNEL_WIDTH = 255

NO_SESSION = (1 << 64) - 1  # what a viewer says for its number before it has one


class Command(IntEnum):
    """Numbers of the commands on a viewer's connection."""

    CONNECT = 1
    LIST_SESSIONS = 2
    ATTACH_SESSION = 3
    GET_NEXT_INDEX = 4
    GET_PACKET = 5
    GET_METADATA = 6
    GET_NEW_STREAMS = 7
    CREATE_SESSION = 8
    DETACH_SESSION = 9


class Kind(IntEnum):
    """Kinds of viewer connections; a relay daemon says 0."""

    RELAY = 0
    COMMAND = 1
    NOTIFICATION = 2


class Seek(IntEnum):
    """Where a viewer begins in the streams that are there when it attaches."""

    BEGINNING = 1
    LAST = 2


class CreateStatus(IntEnum):
    """Answers to CREATE_SESSION."""

    OK = 1
    ERROR = 2


class AttachStatus(IntEnum):
    """Answers to ATTACH_SESSION."""

    OK = 1
    ALREADY = 2
    UNKNOWN = 3
    NOT_LIVE = 4
    SEEK_ERROR = 5
    NO_VIEWER_SESSION = 6


class DetachStatus(IntEnum):
    """Answers to DETACH_SESSION."""

    OK = 1
    UNKNOWN = 2
    NOT_ATTACHED = 3


class StreamsStatus(IntEnum):
    """Answers to GET_NEW_STREAMS."""

    OK = 1
    NONE = 2
    ERROR = 3
    HUNG_UP = 4


class IndexStatus(IntEnum):
    """Answers to GET_NEXT_INDEX."""

    OK = 1
    RETRY = 2
    HUNG_UP = 3
    ERROR = 4
    INACTIVE = 5


class PacketStatus(IntEnum):
    """Answers to GET_PACKET."""

    OK = 1
    ERROR = 3


class MetadataStatus(IntEnum):
    """Answers to GET_METADATA."""

    OK = 1
    NOTHING_NEW = 2
    ERROR = 3


class Flags(IntFlag):
    """What a viewer should ask for before it decodes the packet."""

    NONE = 0
    NEW_METADATA = 1
    NEW_STREAMS = 2


class RequestHeader(Message):
    """Stands before the payload of every question."""

    data_size: U64
    command: U32
    command_version: U32 = 0


# ---------------------------------------------------------------- questions


class Connect(Message):
    """CONNECT, question and answer alike."""

    viewer: U64
    major: U32
    minor: U32
    kind: U32


class ListSessions(Message):
    """LIST_SESSIONS."""


class CreateSession(Message):
    """CREATE_SESSION: make this viewer able to attach to sessions."""


class Attach(Message):
    """ATTACH_SESSION."""

    session: U64
    offset: U64
    seek: U32


class Detach(Message):
    """DETACH_SESSION."""

    session: U64


class GetNextIndex(Message):
    """GET_NEXT_INDEX."""

    stream: U64


class GetPacket(Message):
    """GET_PACKET: some bytes of the trace file that the last index was about."""

    stream: U64
    offset: U64
    length: U32


class GetMetadata(Message):
    """GET_METADATA."""

    stream: U64


class GetNewStreams(Message):
    """GET_NEW_STREAMS."""

    session: U64


Question = (
    Connect
    | ListSessions
    | CreateSession
    | Attach
    | Detach
    | GetNextIndex
    | GetPacket
    | GetMetadata
    | GetNewStreams
)

QUESTIONS: dict[int, type[Question]] = {
    Command.CONNECT: Connect,
    Command.LIST_SESSIONS: ListSessions,
    Command.ATTACH_SESSION: Attach,
    Command.GET_NEXT_INDEX: GetNextIndex,
    Command.GET_PACKET: GetPacket,
    Command.GET_METADATA: GetMetadata,
    Command.GET_NEW_STREAMS: GetNewStreams,
    Command.CREATE_SESSION: CreateSession,
    Command.DETACH_SESSION: Detach,
}
COMMANDS = {kind: number for number, kind in QUESTIONS.items()}


def request(question: Question) -> bytes:
    """Return a whole question as it travels."""
    payload = question.pack()
    return RequestHeader(len(payload), COMMANDS[type(question)]).pack() + payload


# ---------------------------------------------------------------- answers


class Status(Message):
    """Answer to CREATE_SESSION, DETACH_SESSION and, as LTTng's error number, to unknown commands."""

    status: U32


class NextIndex(Message):
    """Answer to GET_NEXT_INDEX. Sizes are in bits, the offset in bytes; all is 0 unless the status is OK.

    INACTIVE says ``timestamp_end`` and ``stream_class`` as well: nothing was recorded up to then.
    """

    offset: U64
    packet_size: U64
    content_size: U64
    timestamp_begin: U64
    timestamp_end: U64
    events_discarded: U64
    stream_class: U64
    status: U32
    flags: U32


class NextEntry(NamedTuple):
    """A `NextIndex` of status OK, made of an entry of an index file, which begins with the same bytes."""

    entry: bytes
    flags: int

    def pack(self) -> bytes:
        """Return the bytes of the answer."""
        return self.entry[:_ENTRY_SIZE] + _ENTRY_END.pack(IndexStatus.OK, self.flags)


_ENTRY_END = Struct(">II")
_ENTRY_SIZE = NextIndex.layout.size - _ENTRY_END.size


class PacketHead(Message):
    """Answer to GET_PACKET; the bytes follow."""

    status: U32
    length: U32 = 0
    flags: U32 = 0


class MetadataHead(Message):
    """Answer to GET_METADATA; the bytes follow."""

    length: U64
    status: U32


class StreamRecord(Message):
    """A stream, as answers to ATTACH_SESSION and GET_NEW_STREAMS list it."""

    stream: U64
    trace: U64
    is_metadata: U32
    path: Annotated[str, "4096s"]
    channel: Annotated[str, "255s"]


class StreamsHead(Message):
    """Answer to ATTACH_SESSION and GET_NEW_STREAMS; as many `StreamRecord` follow."""

    status: U32
    count: U32 = 0


@dataclass(frozen=True)
class StreamList:
    """Answer to ATTACH_SESSION and GET_NEW_STREAMS, as a whole."""

    status: int
    streams: tuple[StreamRecord, ...] = ()

    def pack(self) -> bytes:
        """Return the bytes of the answer."""
        head = StreamsHead(self.status, len(self.streams)).pack()
        return head + b"".join(stream.pack() for stream in self.streams)

    @classmethod
    def unpack(cls, data: Buffer) -> Self:
        """Make the answer from its bytes. Raises WireError."""
        head, size = StreamsHead.unpack(data), StreamRecord.layout.size
        starts = range(head.layout.size, head.layout.size + head.count * size, size)
        return cls(head.status, tuple(StreamRecord.unpack(data[start:]) for start in starts))


Answer = Connect | Status | NextIndex | NextEntry | PacketHead | MetadataHead | StreamsHead


def clip(text: str, width: int) -> str:
    """Cut a text to what a field of that many bytes holds beside its NUL."""
    return decode(encode(text)[: width - 1])
