"""What a relay daemon answers."""

from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, Self

from lttngnet.errors import Code, WireError
from lttngnet.wire.codec import U8, U32, U64, Buffer, Message, pack_text, take_text
from lttngnet.wire.relay.commands import PATH_LIMIT
from lttngnet.wire.relay.datagrams import Missing
from lttngnet.wire.relay.extension import Written


class Status(Message):
    """The answer that is only LTTng's error number, or 0 or 1 to the questions about pending data."""

    code: U32


class StreamAdded(Message):
    """Answer to ADD_STREAM."""

    handle: U64
    code: U32


class Configuration(Message):
    """Answer to GET_CONFIGURATION.

    Bit 0 of the flags: clearing traces is allowed. Bit 32: see `lttngnet.wire.relay.extension`.
    """

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


Answer = Message | SessionCreated | ChunkClosed | Written | Missing


def _measure(head: Struct, data: Buffer) -> int | None:
    """Length of an answer that ends in a text whose length is the last number of ``head``."""
    if len(data) < head.size:
        return None
    length: int = head.unpack_from(data)[-1]
    if length > PATH_LIMIT:
        raise WireError(f"a path of {length} bytes, the limit is {PATH_LIMIT}")
    return head.size + length


OK = Status(Code.OK)
