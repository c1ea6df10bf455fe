"""What only peers of this project say on a control connection (page "Extensions of the relay protocol").

A relay daemon that knows these commands says so with `EXTENDED` in its answer to GET_CONFIGURATION. Genuine
peers look at bit 0 of it only. A sender that has not seen the bit sends none of these.
"""

from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import Annotated, ClassVar, NamedTuple, Self

from lttngnet.errors import WireError
from lttngnet.wire.codec import U32, U64, Buffer, Message

EXTENDED = 1 << 32
"""A flag of the configuration: the relay daemon knows the commands of `Extension`."""

WRITTEN_LIMIT = 1 << 16  # streams that one answer may tell of: as many as a session may have


class Extension(IntEnum):
    """Numbers of the commands that genuine peers do not know."""

    KEEP_SESSION = 1001
    RESUME_SESSION = 1002
    WRITTEN = 1003
    FORGET_SESSION = 1004
    OPEN_DATAGRAMS = 1010
    DATAGRAMS_MISSING = 1011
    DATAGRAMS_LOST = 1012


class KeepSession(Message):
    """KEEP_SESSION: the session of this connection outlives it. The answer is a `Status`.

    Said once, before the first stream and trace chunk. Both values are random; who knows them may resume.
    """

    identity: Annotated[bytes, "16s"]
    secret: Annotated[bytes, "32s"]


class ResumeSession(Message):
    """RESUME_SESSION, in place of CREATE_SESSION: go on with a session that was kept."""

    identity: Annotated[bytes, "16s"]
    secret: Annotated[bytes, "32s"]


class SessionResumed(Message):
    """Answer to RESUME_SESSION.

    ``session`` is its number from now on. ``commands`` is the number of the last numbered command that was
    carried out; 0 is none.
    """

    session: U64
    code: U32
    commands: U64


class Progress(NamedTuple):
    """How far a stream is. A packet is written, with its index, once it lies below both numbers.

    Attributes:
        stream: its handle.
        packets: network number of the first packet whose content is not here as a whole.
        indexes: network number of the first packet whose index is not here.
    """

    stream: int
    packets: int
    indexes: int


@dataclass(frozen=True)
class Written:
    """Answer to WRITTEN, whose question is empty: what is written of the session.

    Attributes:
        code: LTTng's error number.
        commands: number of the last numbered command that was carried out.
        streams: of each that is open and takes packets.
    """

    code: int
    commands: int = 0
    streams: tuple[Progress, ...] = ()

    head: ClassVar[Struct] = Struct(">IQI")
    one: ClassVar[Struct] = Struct(">QQQ")

    def pack(self) -> bytes:
        """Return the bytes of the answer."""
        head = self.head.pack(self.code, self.commands, len(self.streams))
        return head + b"".join(self.one.pack(*stream) for stream in self.streams)

    @classmethod
    def unpack(cls, data: Buffer) -> Self:
        """Make the answer from its bytes."""
        code, commands, _ = cls.head.unpack_from(data)
        rest = memoryview(data)[cls.head.size :]
        return cls(code, commands, tuple(Progress(*each) for each in cls.one.iter_unpack(rest)))

    @classmethod
    def measure(cls, data: Buffer) -> int | None:
        """See `Message.measure`.

        Raises:
            WireError: more streams than a session may have.
        """
        if len(data) < cls.head.size:
            return None
        count: int = cls.head.unpack_from(data)[2]
        if count > WRITTEN_LIMIT:
            raise WireError(f"{count} streams are told of, the limit is {WRITTEN_LIMIT}")
        return cls.head.size + count * cls.one.size
