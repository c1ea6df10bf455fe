"""What an application asks a session daemon, on the notify socket: which number describes this?

An application asks one question after another, each when the one before is answered; it waits up to 3 s
(``$LTTNG_UST_REGISTER_TIMEOUT`` ms, in its environment) and then gives up the socket.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from errno import EINVAL
from struct import Struct
from typing import TypeAlias

from lttngnet.errors import WireError
from lttngnet.wire.codec import decode
from lttngnet.wire.ust.fields import ENTRY_SIZE, FIELD_SIZE, EnumEntry, Field, entries, fields
from lttngnet.wire.ust.registration import name_text

FIELDS_LIMIT = 8192 * FIELD_SIZE  # bytes of fields in one question: 7.2 MiB
ENTRIES_LIMIT = 16384 * ENTRY_SIZE  # bytes of enumerators in one question: 5.2 MiB
TEXT_LIMIT = 1 << 18  # bytes of a signature, and of a URI
REFUSED = -EINVAL


class Kind(IntEnum):
    """What a question is about."""

    EVENT = 0
    CHANNEL = 1
    ENUM = 2


class Header(IntEnum):
    """How the events of a stream begin."""

    COMPACT = 1
    LARGE = 2


@dataclass(frozen=True)
class ChannelQuestion:
    """A channel was started in the application: which stream is it, what do its events begin with?

    Attributes:
        session: the application's handle of the session …
        channel: … and of the channel.
        fields: of the contexts, in their order.
        size: bytes that the question took.
    """

    session: int
    channel: int
    fields: tuple[Field, ...]
    size: int = 0


@dataclass(frozen=True)
class EventQuestion:
    """A tracepoint matches a rule for the first time: which number do its events have?

    Attributes:
        session: the application's handle of the session …
        channel: … and of the channel.
        name: of the tracepoint, ``provider:name``.
        loglevel: its level.
        signature: its arguments, as they stand in the source.
        fields: what it records, in their order.
        uri: of its model, mostly empty.
        size: bytes that the question took.
    """

    session: int
    channel: int
    name: str
    loglevel: int
    signature: str
    fields: tuple[Field, ...]
    uri: str
    size: int = 0


@dataclass(frozen=True)
class EnumQuestion:
    """An enumeration that an event will use: which number has it?

    Attributes:
        session: the application's handle of the session.
        name: of the enumeration.
        entries: what the values are called.
        size: bytes that the question took.
    """

    session: int
    name: str
    entries: tuple[EnumEntry, ...]
    size: int = 0


@dataclass(frozen=True)
class Unanswerable:
    """A question that is whole, but whose fields cannot be what they claim: it is refused, and no more.

    Attributes:
        session: the application's handle of the session.
        kind: what it is about.
        why: for the log.
    """

    session: int
    kind: Kind
    why: str


Question: TypeAlias = EventQuestion | ChannelQuestion | EnumQuestion | Unanswerable


@dataclass(frozen=True)
class ChannelAnswer:
    """Which stream a channel is, and what its events begin with."""

    stream_class: int
    header: int = Header.LARGE


_KIND = Struct("=I")
_EVENT = Struct("=II256si3I32x")
_CHANNEL = Struct("=3I32x")
_ENUM = Struct("=I256sI32x")
_EVENT_ANSWER = Struct("=IiI32x")
_CHANNEL_ANSWER = Struct("=IiII32x")
_ENUM_ANSWER = Struct("=IiQ32x")


class Questions:
    """Bytes of a notify socket in, whole questions out; one at a time, for each has to be answered first."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def __len__(self) -> int:
        """Return how many bytes are held."""
        return len(self._buffer)

    def receive(self, data: bytes) -> None:
        """Take what came in."""
        self._buffer += data

    def next(self) -> Question | None:
        """Return the next question, None if it is not whole yet.

        Raises:
            WireError: nothing that comes after it can be understood, or it is too long.
        """
        if len(self._buffer) < _KIND.size:
            return None
        (number,) = _KIND.unpack_from(self._buffer)
        try:
            kind = Kind(number)
        except ValueError:
            raise WireError(f"no question has the number {number}") from None
        layout, parse = _READERS[kind]
        start = _KIND.size + layout.size
        if len(self._buffer) < start:
            return None
        values = layout.unpack_from(self._buffer, _KIND.size)
        end = start + _length(kind, values)
        if len(self._buffer) < end:
            return None
        data = bytes(memoryview(self._buffer)[start:end])
        del self._buffer[:end]
        try:
            return parse(values, data, end)
        except WireError as problem:
            return Unanswerable(values[0], kind, str(problem))


def _length(kind: Kind, values: tuple[int, ...]) -> int:
    """Return how many bytes follow, having looked at each length."""
    if kind is Kind.EVENT:
        *_, signature, fields_size, uri = values
        _check(signature, TEXT_LIMIT, 1, "a signature")
        _check(fields_size, FIELDS_LIMIT, FIELD_SIZE, "fields")
        _check(uri, TEXT_LIMIT, 1, "a URI")
        return signature + fields_size + uri
    size = values[-1]
    if kind is Kind.CHANNEL:
        _check(size, FIELDS_LIMIT, FIELD_SIZE, "context fields")
    else:
        _check(size, ENTRIES_LIMIT, ENTRY_SIZE, "enumerators")
    return size


def _check(size: int, limit: int, unit: int, what: str) -> None:
    if size > limit:
        raise WireError(f"{what} of {size} bytes, the limit is {limit}")
    if size % unit:
        raise WireError(f"{what} of {size} bytes, which is no multiple of {unit}")


def _event(values: tuple[int, int, bytes, int, int, int, int], data: bytes, size: int) -> Question:
    session, channel, name, loglevel, signature_size, fields_size, _ = values
    signature, rest = data[:signature_size], data[signature_size:]
    described = fields(rest[:fields_size])
    uri = rest[fields_size:]
    return EventQuestion(
        session, channel, name_text(name), loglevel, _text(signature), described, _text(uri), size
    )


def _channel(values: tuple[int, int, int], data: bytes, size: int) -> Question:
    session, channel, _ = values
    return ChannelQuestion(session, channel, fields(data), size)


def _enum(values: tuple[int, bytes, int], data: bytes, size: int) -> Question:
    session, name, _ = values
    return EnumQuestion(session, name_text(name), entries(data), size)


_READERS: dict[Kind, tuple[Struct, Callable[..., Question]]] = {
    Kind.EVENT: (_EVENT, _event),
    Kind.CHANNEL: (_CHANNEL, _channel),
    Kind.ENUM: (_ENUM, _enum),
}


def _text(data: bytes) -> str:
    return decode(data.split(b"\0", 1)[0])


def answer_event(number: int) -> bytes:
    """Return the answer that an event has this number."""
    return _EVENT_ANSWER.pack(Kind.EVENT, 0, number)


def answer_channel(answer: ChannelAnswer) -> bytes:
    """Return the answer that a channel is this stream."""
    return _CHANNEL_ANSWER.pack(Kind.CHANNEL, 0, answer.stream_class, answer.header)


def answer_enum(number: int) -> bytes:
    """Return the answer that an enumeration has this number."""
    return _ENUM_ANSWER.pack(Kind.ENUM, 0, number)


def refuse(question: Question) -> bytes:
    """Return the answer that there is no number: the application goes on without, and never asks again."""
    match question:
        case EventQuestion() | Unanswerable(kind=Kind.EVENT):
            return _EVENT_ANSWER.pack(Kind.EVENT, REFUSED, 0)
        case ChannelQuestion() | Unanswerable(kind=Kind.CHANNEL):
            return _CHANNEL_ANSWER.pack(Kind.CHANNEL, REFUSED, 0, 0)
        case _:
            return _ENUM_ANSWER.pack(Kind.ENUM, REFUSED, 0)
