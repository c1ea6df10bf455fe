"""The answer to a live viewer's LIST_SESSIONS: names in fields of fixed width, or any length since 2.15."""

from dataclasses import dataclass
from struct import Struct
from typing import Annotated, NamedTuple, Self

from lttngnet.errors import WireError
from lttngnet.wire.codec import U32, U64, Buffer, Message, decode, encode
from lttngnet.wire.viewer import HOSTNAME_WIDTH, LONG_NAMES_SINCE, MINOR, NAME_WIDTH, clip


class SessionRecord(NamedTuple):
    """A session, as an answer to LIST_SESSIONS lists it.

    Attributes:
        number: of the session.
        live_timer: microseconds; 0 is not live, nobody can attach.
        clients: viewers that are attached to it.
        streams: that viewers may know of.
        hostname: of the machine that is traced.
        name: of the session.
        trace_format: 0 is CTF 1.8, 1 is CTF 2 (2.15).
    """

    number: int
    live_timer: int
    clients: int
    streams: int
    hostname: str
    name: str
    trace_format: int = 0


class _Session24(Message):
    number: U64
    live_timer: U32
    clients: U32
    streams: U32
    hostname: Annotated[str, "64s"]
    name: Annotated[str, "255s"]


_COUNT = Struct(">I")
_SESSION_215 = Struct(">QIIIIII")


@dataclass(frozen=True)
class SessionList:
    """Answer to LIST_SESSIONS, to a viewer of that minor."""

    sessions: tuple[SessionRecord, ...]
    minor: int = MINOR

    def pack(self) -> bytes:
        """Return the bytes for a viewer of the minor. Below 2.15 a name that is too long is cut."""
        make = _pack_215 if self.minor >= LONG_NAMES_SINCE else _pack_24
        return _COUNT.pack(len(self.sessions)) + b"".join(make(session) for session in self.sessions)

    @classmethod
    def unpack(cls, data: Buffer, minor: int) -> Self:
        """Make the answer from its bytes. Raises WireError."""
        (count,), rest = _COUNT.unpack_from(data), bytes(data[_COUNT.size :])
        take = _take_215 if minor >= LONG_NAMES_SINCE else _take_24
        found = []
        for _ in range(count):
            record, rest = take(rest)
            found.append(record)
        return cls(tuple(found), minor)


def _pack_24(session: SessionRecord) -> bytes:
    hostname, name = clip(session.hostname, HOSTNAME_WIDTH), clip(session.name, NAME_WIDTH)
    return _Session24(*session[:4], hostname, name).pack()


def _take_24(data: bytes) -> tuple[SessionRecord, bytes]:
    old = _Session24.unpack(data)
    record = SessionRecord(old.number, old.live_timer, old.clients, old.streams, old.hostname, old.name)
    return record, data[old.layout.size :]


def _pack_215(session: SessionRecord) -> bytes:
    hostname, name = encode(session.hostname), encode(session.name)
    return _SESSION_215.pack(*session[:4], len(hostname), len(name), session.trace_format) + hostname + name


def _take_215(data: bytes) -> tuple[SessionRecord, bytes]:
    if len(data) < _SESSION_215.size:
        raise WireError(f"a session of {len(data)} bytes")
    number, timer, clients, streams, *lengths, trace_format = _SESSION_215.unpack_from(data)
    hostname_length, name_length = lengths
    middle = _SESSION_215.size + hostname_length
    end = middle + name_length
    if len(data) < end:
        raise WireError(f"names of a session reach beyond its {len(data)} bytes")
    hostname, name = decode(data[_SESSION_215.size : middle]), decode(data[middle:end])
    return SessionRecord(number, timer, clients, streams, hostname, name, trace_format), data[end:]
