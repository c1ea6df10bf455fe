"""The commands of a control connection, what stands before each and before each packet, and the limits."""

from enum import IntEnum
from uuid import UUID

from lttngnet.wire.codec import U32, U64, Message

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


def command(number: int, payload: bytes = b"", circuit_id: int = 0) -> bytes:
    """Return a whole command as it travels."""
    return CommandHeader(circuit_id, len(payload), number).pack() + payload
