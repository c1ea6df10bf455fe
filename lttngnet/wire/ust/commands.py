"""What a session daemon asks of an application, one command at a time, on the command socket.

A request is 612 bytes and, for some commands, what follows; descriptors travel behind all of that, on a
byte of their own. The answer is 324 bytes; that to `Command.FIELD_NEXT` is followed by a `FieldEntry`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import Annotated, Self

from lttngnet.errors import WireError
from lttngnet.wire.codec import Buffer, Message, encode
from lttngnet.wire.ust.registration import HOST, NATIVE, STRUCT_ORDERS, name_text

I32 = Annotated[int, "i"]

ROOT = 0
"""The handle of the application itself."""

NAME_SIZE = 256  # bytes of a name, its NUL included
CHANNEL_LIMIT = 1 << 20  # bytes of the description of a channel; the tracer's limit
FILTER_LIMIT = 1 << 16  # bytes of bytecode; the tracer's limit
EXCLUSIONS_LIMIT = 4096  # names; ours
REQUEST_SIZE = 612
REPLY_SIZE = 324
FIELD_ENTRY_SIZE = 808
PROVIDER_AND_NAME_LIMIT = 250  # bytes of both names of a context of an application's own, their NULs excluded


class Command(IntEnum):
    """What is asked."""

    RELEASE = 0x01
    CREATE_SESSION = 0x40
    TRACER_VERSION = 0x41
    TRACEPOINT_LIST = 0x42
    WAIT_QUIESCENT = 0x43
    REGISTER_DONE = 0x44
    FIELD_LIST = 0x45
    CHANNEL = 0x51
    STATEDUMP = 0x54
    STREAM = 0x60
    EVENT = 0x61
    CONTEXT = 0x70
    ENABLE = 0x80
    DISABLE = 0x81
    TRACEPOINT_NEXT = 0x90
    FIELD_NEXT = 0x91
    FILTER = 0xA0
    EXCLUSION = 0xA1


class Failure(IntEnum):
    """Why an application refuses a command; the error number in its answer is the negative of it."""

    ERROR = 1024
    NO_ENTRY = 1025
    EXISTS = 1026
    INVALID = 1027
    PERMISSION = 1028
    NOT_IMPLEMENTED = 1029
    EXITING = 1030


class LoglevelType(IntEnum):
    """Which levels an event rule means: all, those at least as severe as one, or that one."""

    ALL = 0
    RANGE = 1
    SINGLE = 2


class ContextKind(IntEnum):
    """A fact that every event of a channel carries."""

    VTID = 0
    VPID = 1
    PTHREAD_ID = 2
    PROCNAME = 3
    IP = 4
    PERF_THREAD_COUNTER = 5
    CPU_ID = 6
    APPLICATION = 7
    CGROUP_NS = 8
    IPC_NS = 9
    MNT_NS = 10
    NET_NS = 11
    PID_NS = 12
    USER_NS = 13
    UTS_NS = 14
    VUID = 15
    VEUID = 16
    VSUID = 17
    VGID = 18
    VEGID = 19
    VSGID = 20
    TIME_NS = 21


@dataclass(frozen=True)
class Context:
    """A context, and what belongs to two kinds of it.

    Attributes:
        kind: which one.
        perf_type: of a perf counter: the kernel's ``type`` …
        perf_config: … and ``config``.
        provider: of a context of the application's own: who provides it.
        name: of a perf counter, or of a context of the application's own.
    """

    kind: ContextKind
    perf_type: int = 0
    perf_config: int = 0
    provider: str = ""
    name: str = ""


@dataclass(frozen=True)
class EventRule:
    """Which tracepoints record.

    Attributes:
        name: of the tracepoint; ``*`` stands for anything.
        loglevel_type: whether and how the level counts.
        loglevel: the level, -1 for all.
        token: a number of ours, which nothing but event notifiers needs.
    """

    name: str
    loglevel_type: LoglevelType = LoglevelType.ALL
    loglevel: int = -1
    token: int = 0


@dataclass(frozen=True)
class Tracepoint:
    """A tracepoint of an application, as it stands in a list."""

    name: str
    loglevel: int


class FieldType(IntEnum):
    """What a field is, as it stands in a list."""

    OTHER = 0
    INTEGER = 1
    ENUM = 2
    FLOAT = 3
    STRING = 4


@dataclass(frozen=True)
class TracepointField:
    """A field of a tracepoint of an application, as it stands in a list.

    Attributes:
        event: name of the tracepoint.
        field: name of the field; empty for a tracepoint without fields.
        type: what it is; a type that is not known is `FieldType.OTHER`.
        loglevel: of the tracepoint.
        nowrite: that it is for filters only, and not recorded.
    """

    event: str
    field: str
    type: FieldType
    loglevel: int
    nowrite: bool


_REQUEST = {order: Struct(mark + "II32x572s") for order, mark in STRUCT_ORDERS.items()}
_REPLY = {order: Struct(mark + "IIiI32x276s") for order, mark in STRUCT_ORDERS.items()}
_VERSION = {order: Struct(mark + "3I") for order, mark in STRUCT_ORDERS.items()}
_CHANNEL = Struct("=Qi")
_STREAM = Struct("=QI")
_EVENT = Struct("=i256siiQ")
_FILTER = Struct("=IIQ")
_EXCLUSION = Struct("=I")
_CONTEXT = Struct("=i16x")
_PERF = Struct("=IQ256s")
_APPLICATION = Struct("=II")
_TRACEPOINT = Struct("=256si")


@dataclass(frozen=True)
class Request:
    """A command, ready to be sent.

    Attributes:
        handle: of the application's object that it is about.
        command: what is asked.
        content: the command's own fields.
        tail: what follows behind the fixed part.
        order: byte order of the application.
    """

    handle: int
    command: Command
    content: bytes = b""
    tail: bytes = b""
    order: str = HOST

    def pack(self) -> bytes:
        """Return its bytes, what follows included."""
        return _REQUEST[self.order].pack(self.handle, self.command, self.content) + self.tail


@dataclass(frozen=True)
class Reply:
    """An answer.

    Attributes:
        handle: as in the request.
        command: as in the request, also where we have no name for it.
        error: 0, or the negative of a `Failure` or of an errno.
        value: mostly a new handle.
        content: the command's own fields.
    """

    handle: int
    command: int
    error: int
    value: int
    content: bytes

    @classmethod
    def unpack(cls, data: Buffer, order: str = HOST) -> Self:
        """Make it from the bytes that ``data`` begins with.

        Raises:
            WireError: there are too few.
        """
        if len(data) < REPLY_SIZE:
            raise WireError(f"an answer is {REPLY_SIZE} bytes, got {len(data)}")
        return cls(*_REPLY[order].unpack_from(data))

    def pack(self, order: str = HOST) -> bytes:
        """Return its bytes: for those who play an application."""
        return _REPLY[order].pack(self.handle, self.command, self.error, self.value, self.content)

    def version(self, order: str = HOST) -> tuple[int, int, int]:
        """Return the answer to `Command.TRACER_VERSION`: major, minor, patch level."""
        major, minor, patch = _VERSION[order].unpack_from(self.content)
        return major, minor, patch

    def tracepoint(self) -> Tracepoint:
        """Return the answer to `Command.TRACEPOINT_NEXT`."""
        name, loglevel = _TRACEPOINT.unpack_from(self.content)
        return Tracepoint(name_text(name), loglevel)


class FieldEntry(Message, byteorder=NATIVE):
    """What follows a good answer to `Command.FIELD_NEXT`; the rest of its 808 bytes means nothing."""

    event: Annotated[bytes, "256s"]
    field: Annotated[bytes, "256s"]
    type: I32
    loglevel: I32
    nowrite: I32

    def to_field(self) -> TracepointField:
        """Return what it says."""
        kind = FieldType(self.type) if self.type in tuple(FieldType) else FieldType.OTHER
        return TracepointField(
            name_text(self.event), name_text(self.field), kind, self.loglevel, bool(self.nowrite)
        )


def channel(session: int, description: bytes, kind: int) -> Request:
    """Ask for a channel; the descriptor of its wake-up pipe follows.

    Raises:
        WireError: the description is longer than the tracer takes.
    """
    if len(description) > CHANNEL_LIMIT:
        raise WireError(f"a channel description of {len(description)} bytes, the limit is {CHANNEL_LIMIT}")
    return Request(session, Command.CHANNEL, _CHANNEL.pack(len(description), kind), description)


def stream(channel: int, size: int, cpu: int) -> Request:
    """Ask for a stream of a channel; two descriptors follow together: shared memory, wake-up pipe."""
    return Request(channel, Command.STREAM, _STREAM.pack(size, cpu))


def event(channel: int, rule: EventRule) -> Request:
    """Ask for an event of a channel; it is made disabled.

    Raises:
        WireError: the name is too long.
    """
    content = _EVENT.pack(0, _name(rule.name), rule.loglevel_type, rule.loglevel, rule.token)
    return Request(channel, Command.EVENT, content)


def context(channel: int, wanted: Context) -> Request:
    """Ask that the events of a channel carry a context.

    Raises:
        WireError: a name is too long.
    """
    head, tail = _CONTEXT.pack(wanted.kind), b""
    if wanted.kind == ContextKind.PERF_THREAD_COUNTER:
        head += _PERF.pack(wanted.perf_type, wanted.perf_config, _name(wanted.name))
    elif wanted.kind == ContextKind.APPLICATION:
        provider, name = _ended(wanted.provider), _ended(wanted.name)
        if len(provider) + len(name) - 2 > PROVIDER_AND_NAME_LIMIT - len("$app.:"):
            raise WireError(f"names too long: {wanted}")
        head += _APPLICATION.pack(len(provider), len(name))
        tail = provider + name
    return Request(channel, Command.CONTEXT, head, tail)


def filter(event: int, code: bytes, reloc_offset: int, seqnum: int) -> Request:
    """Ask that an event records only what the bytecode lets pass.

    Raises:
        WireError: it is longer than the tracer takes, or its relocation table begins behind its end.
    """
    if len(code) > FILTER_LIMIT or not 0 <= reloc_offset <= len(code):
        raise WireError(
            f"bytecode of {len(code)} bytes (limit {FILTER_LIMIT}), relocations at {reloc_offset}"
        )
    return Request(event, Command.FILTER, _FILTER.pack(len(code), reloc_offset, seqnum), code)


def exclusions(event: int, names: Sequence[str]) -> Request:
    """Ask that an event does not mean these names.

    Raises:
        WireError: there are none, or too many, or one is too long.
    """
    if not 0 < len(names) <= EXCLUSIONS_LIMIT:
        raise WireError(f"{len(names)} names to exclude; 1 to {EXCLUSIONS_LIMIT} can be")
    tail = b"".join(_name(name).ljust(NAME_SIZE, b"\0") for name in names)
    return Request(event, Command.EXCLUSION, _EXCLUSION.pack(len(names)), tail)


def _ended(name: str) -> bytes:
    data = encode(name)
    if b"\0" in data:
        raise WireError(f"a name with a NUL in it: {name!r}")
    return data + b"\0"


def _name(name: str) -> bytes:
    data = _ended(name)
    if len(data) > NAME_SIZE:
        raise WireError(f"a name of more than {NAME_SIZE - 1} bytes: {name[:80]!r}")
    return data
