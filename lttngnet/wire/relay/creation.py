"""Questions that make something: a session, a stream. Their layout has changed from version to version."""

from dataclasses import dataclass
from typing import Annotated, Self
from uuid import UUID

from lttngnet.wire.codec import U8, U32, U64, Buffer, Message, pack_text, take_text
from lttngnet.wire.relay.commands import (
    CHANNEL_LIMIT,
    HOSTNAME_LIMIT,
    NAME_LIMIT,
    NIL,
    PATH_LIMIT,
    STREAM_PATH_LIMIT,
)


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


class _AddStream22(_AddStream21):
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
