"""How an application introduces itself: the first message on each of its two sockets.

Nothing here is to be believed of who it is: process and user are asked of the kernel (SO_PEERCRED).
"""

import sys
from enum import IntEnum
from typing import Annotated, Self

from lttngnet.errors import WireError
from lttngnet.wire.codec import U32, Buffer, Message, decode

HOST = "le" if sys.byteorder == "little" else "be"
"""The byte order of this machine, as metadata calls it."""

NATIVE = "="
STRUCT_ORDERS = {"le": "<", "be": ">"}
"""What `struct` calls the byte orders."""

MAGIC = 0xC57C57C5
OLDEST_MAJOR = 8
MAJOR = 9
"""Of the interface between tracer and session daemon, from LTTng 2.13 on."""

SIZE = 136  # bytes of the message, the last 64 of which mean nothing
NAME_SIZE = 16  # bytes of a process's name, its NUL included


class Half(IntEnum):
    """Which of an application's two sockets it is."""

    COMMAND = 0
    NOTIFY = 1


class Registration(Message, byteorder=NATIVE):
    """What an application says of itself; alignments are in bits."""

    magic: U32
    major: U32
    minor: U32
    pid: U32
    ppid: U32
    uid: U32
    gid: U32
    bits: U32
    u8_alignment: U32
    u16_alignment: U32
    u32_alignment: U32
    u64_alignment: U32
    long_alignment: U32
    socket: U32
    name: Annotated[bytes, "16s"]

    @classmethod
    def parse(cls, data: Buffer) -> tuple[Self, str]:
        """Return the message that ``data`` begins with, and the byte order it is in, ``le`` or ``be``.

        Raises:
            WireError: it is cut, no registration, or of a tracer that we do not understand.
        """
        message, order = cls.unpack(data), HOST
        if message.magic != MAGIC:
            foreign = _FOREIGN.unpack(data)
            if foreign.magic != MAGIC:
                raise WireError(f"no registration: it begins with {message.magic:#x}")
            message = cls(**vars(foreign))
            order = "be" if HOST == "le" else "le"
        if not OLDEST_MAJOR <= message.major <= MAJOR:
            theirs = f"{message.major}.{message.minor}"
            raise WireError(f"a tracer of interface {theirs}, we understand {OLDEST_MAJOR} to {MAJOR}")
        if message.socket not in tuple(Half):
            raise WireError(f"a socket of kind {message.socket}")
        if message.bits not in (32, 64):
            raise WireError(f"a tracer with {message.bits} bits")
        return message, order

    @property
    def half(self) -> Half:
        """Which socket it came from."""
        return Half(self.socket)

    @property
    def alignments(self) -> tuple[int, int, int, int, int]:
        """Of u8, u16, u32, u64 and long, in bits."""
        return (
            self.u8_alignment,
            self.u16_alignment,
            self.u32_alignment,
            self.u64_alignment,
            self.long_alignment,
        )

    @property
    def procname(self) -> str:
        """The name of the process, as it calls itself; it may hold any character, a slash too."""
        return name_text(self.name)


class _Foreign(Registration, byteorder=">" if HOST == "le" else "<"):
    pass


_FOREIGN = _Foreign


def name_text(data: bytes) -> str:
    """Return the name in a field, which the last byte of the field ends if nothing does before."""
    return decode(data[: len(data) - 1].split(b"\0", 1)[0])
