"""What the session daemon and an agent inside a program with loggers (Python, JUL, log4j) say.

The agent connects over TCP and says `Registration`. From then on the daemon gives orders, one after another:
a `Header`, then what the order needs. The agent answers each with a status, `RegistrationDone` with nothing;
only `ListLoggers` has more for an answer. All integers are big endian.

An agent only switches its log handler on and off. The records themselves are events of lttng-ust, which
has the filter.

Source: lttng-ust 2.13.5's agents, and what lttng-sessiond 2.13.9 was seen to send (``tests/captures/agent``).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import Annotated, ClassVar, Self

from lttngnet.errors import WireError
from lttngnet.wire.codec import U32, U64, Buffer, Message, decode, pack_text, take_text

I32 = Annotated[int, "i"]

MAJOR, MINOR = 2, 0
"""Of the protocol. There was never another version of it."""

NAME_SIZE = 256
"""Bytes of the name of a logger, its NUL included."""

FILTER_LIMIT = 64 << 10
"""Bytes of the text of a filter, its NUL included."""

CONTEXT_LIMIT = 256
"""Bytes of each half of the name of an application's context, its NUL included."""

ORDER_LIMIT = 128 << 10
"""Bytes that an order may have behind its header."""

LIST_LIMIT = 8 << 20
"""Bytes of the names of all loggers of a program."""


class Domain(IntEnum):
    """Which kind of loggers an agent serves."""

    JUL = 3
    LOG4J = 4
    PYTHON = 5


class Status(IntEnum):
    """How an order went."""

    SUCCESS = 1
    INVALID = 2
    UNKNOWN_NAME = 3


class LevelType(IntEnum):
    """How the log level of an event is meant."""

    ALL = 0
    RANGE = 1  # this level or a more severe one
    SINGLE = 2


class Registration(Message):
    """Agent to daemon, first of all. The number of the process is what it claims."""

    domain: U32
    pid: U32
    major: U32 = MAJOR
    minor: U32 = MINOR

    def check(self) -> None:
        """Find out whether we understand this agent.

        Raises:
            WireError: it is of another version, or serves loggers that nobody knows.
        """
        if (self.major, self.minor) != (MAJOR, MINOR):
            raise WireError(f"an agent that speaks {self.major}.{self.minor}, we {MAJOR}.{MINOR}")
        if self.domain not in list(Domain):
            raise WireError(f"an agent of domain {self.domain}")


class Header(Message):
    """Stands before each order."""

    size: U64  # of what follows
    number: U32
    version: U32 = 0


@dataclass(frozen=True)
class ListLoggers:
    """Which loggers are there now? Answered by `Loggers`."""

    NUMBER: ClassVar[int] = 1


@dataclass(frozen=True)
class Enable:
    """Record what a logger logs; agents count how often this was said.

    Attributes:
        level: that the event was enabled with: the domain's number.
        level_type: how it is meant.
        name: of the logger, ``*`` for all.
        filter: all that the tracer looks for, level and name included; for the agent's information.
    """

    NUMBER: ClassVar[int] = 2
    level: int
    level_type: int
    name: str
    filter: str = ""


@dataclass(frozen=True)
class Disable:
    """Take one `Enable` of this name back."""

    NUMBER: ClassVar[int] = 3
    name: str


@dataclass(frozen=True)
class RegistrationDone:
    """All was said that there is to say to a newcomer: its program waits for this. Never answered."""

    NUMBER: ClassVar[int] = 4


@dataclass(frozen=True)
class EnableContext:
    """Provide a context of the application, ``$app.PROVIDER:NAME``. Java only."""

    NUMBER: ClassVar[int] = 5
    provider: str
    name: str


@dataclass(frozen=True)
class DisableContext:
    """Provide it no more."""

    NUMBER: ClassVar[int] = 6
    provider: str
    name: str


Order = ListLoggers | Enable | Disable | RegistrationDone | EnableContext | DisableContext

_SIZE = Struct(">I")


class _Rule(Message):
    level: I32
    level_type: U32
    name: Annotated[str, "256s"]
    filter_size: U32


class _Name(Message):
    name: Annotated[str, "256s"]


def order(said: Order) -> bytes:
    """Return the bytes of an order, header included: agents want it in one piece.

    Raises:
        WireError: a text is too long, or has a NUL in it.
    """
    payload = _payload(said)
    return Header(len(payload), said.NUMBER).pack() + payload


def _payload(said: Order) -> bytes:
    match said:
        case Enable(level, level_type, name, text):
            data = pack_text(text, FILTER_LIMIT) if text else b""
            return _Rule(level, level_type, _name(name), len(data)).pack() + data
        case Disable(name):
            return _Name(_name(name)).pack()
        case EnableContext(provider, name) | DisableContext(provider, name):
            halves = [pack_text(text, CONTEXT_LIMIT) for text in (provider, name)]
            return b"".join(_SIZE.pack(len(half)) + half for half in halves)
    return b""


def _name(text: str) -> str:
    pack_text(text, NAME_SIZE)
    return text


class Orders:
    """The agent's side: bytes in, whole orders out, however the network cut them."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Order]:
        """Take what came in; give every order that is whole now.

        Raises:
            WireError: nobody knows such an order, or it is too long or too short.
        """
        buffer = self._buffer
        buffer += data
        start = Header.layout.size
        while len(buffer) >= start:
            header = Header.unpack(buffer)
            if header.size > ORDER_LIMIT:
                raise WireError(f"an order of {header.size} bytes, the limit is {ORDER_LIMIT}")
            if len(buffer) < (end := start + header.size):
                return
            payload = bytes(buffer[start:end])
            del buffer[:end]
            yield _parsed(header.number, payload)


def _parsed(number: int, payload: bytes) -> Order:
    match number:
        case ListLoggers.NUMBER:
            return ListLoggers()
        case RegistrationDone.NUMBER:
            return RegistrationDone()
        case Enable.NUMBER:
            rule = _Rule.unpack(payload)
            text = take_text(payload, _Rule.layout.size, rule.filter_size, FILTER_LIMIT, "a filter")
            return Enable(rule.level, rule.level_type, rule.name, text)
        case Disable.NUMBER:
            return Disable(_Name.unpack(payload).name)
        case EnableContext.NUMBER | DisableContext.NUMBER:
            provider, end = _half(payload, 0)
            name, _ = _half(payload, end)
            kind = EnableContext if number == EnableContext.NUMBER else DisableContext
            return kind(provider, name)
    raise WireError(f"no order has the number {number}")


def _half(payload: bytes, start: int) -> tuple[str, int]:
    begin = start + _SIZE.size
    if len(payload) < begin:
        raise WireError(f"a context of {len(payload)} bytes")
    (size,) = _SIZE.unpack_from(payload, start)
    return take_text(payload, begin, size, CONTEXT_LIMIT, "the name of a context"), begin + size


@dataclass(frozen=True)
class Answer:
    """Agent to daemon: how an order went."""

    status: int

    def pack(self) -> bytes:
        """Return the bytes of the answer."""
        return _SIZE.pack(self.status)

    @classmethod
    def take(cls, data: Buffer) -> tuple[Self, int] | None:
        """Return the answer that ``data`` begins with, and its length; None if it is not whole yet."""
        if len(data) < _SIZE.size:
            return None
        return cls(*_SIZE.unpack_from(data)), _SIZE.size


@dataclass(frozen=True)
class Loggers(Answer):
    """The answer to `ListLoggers`; without success nothing stands behind the status."""

    names: tuple[str, ...] = ()

    _HEAD: ClassVar[Struct] = Struct(">III")  # status, bytes of the names, how many

    def pack(self) -> bytes:
        """Return the bytes of the answer.

        Raises:
            WireError: a name has a NUL in it, or all are too long.
        """
        if self.status != Status.SUCCESS:
            return super().pack()
        data = b"".join(pack_text(name, LIST_LIMIT) for name in self.names)
        if len(data) > LIST_LIMIT:
            raise WireError(f"names of {len(data)} bytes, the limit is {LIST_LIMIT}")
        return self._HEAD.pack(self.status, len(data), len(self.names)) + data

    @classmethod
    def take(cls, data: Buffer) -> tuple[Self, int] | None:
        """See `Answer.take`.

        Raises:
            WireError: the names are too long, or are not as many as was said.
        """
        short = super().take(data)
        if short is None or short[0].status != Status.SUCCESS:
            return short
        start = cls._HEAD.size
        if len(data) < start:
            return None
        status, size, count = cls._HEAD.unpack_from(data)
        if size > LIST_LIMIT:
            raise WireError(f"names of {size} bytes, the limit is {LIST_LIMIT}")
        if len(data) < start + size:
            return None
        *names, rest = bytes(data[start : start + size]).split(b"\0")
        if rest or len(names) != count:
            raise WireError(f"{count} names were announced, {len(names)} came")
        return cls(status, tuple(map(decode, names))), start + size


class Answers:
    """Bytes of an agent in, its registration and answers out: they are told apart by their order."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._registered = False
        self._expected: list[type[Answer]] = []

    def expect(self, said: Order) -> None:
        """Announce that an order was given; one that is never answered changes nothing."""
        if not isinstance(said, RegistrationDone):
            self._expected.append(Loggers if isinstance(said, ListLoggers) else Answer)

    def feed(self, data: bytes) -> Iterator[Registration | Answer]:
        """Take what came in; give every message that is whole now.

        Raises:
            WireError: a message makes no sense, or was not asked for.
        """
        self._buffer += data
        if not self._registered:
            if len(self._buffer) < Registration.layout.size:
                return
            registration = Registration.unpack(self._buffer)
            registration.check()
            del self._buffer[: Registration.layout.size]
            self._registered = True
            yield registration
        while self._expected and (taken := self._expected[0].take(self._buffer)):
            answer, size = taken
            del self._buffer[:size]
            del self._expected[0]
            yield answer
        if self._buffer and not self._expected:
            raise WireError(f"{len(self._buffer)} bytes of an answer that nobody asked for")
