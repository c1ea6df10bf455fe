"""Log records on their way from a program to the consumer process, and the talk that precedes them.

A traced program (`lttngnet.logs`) has two kinds of UNIX stream sockets, all in the byte order of the machine:

* one to the session daemon, for the talk. The program says `Register`; the daemon answers with a `Want` for
  each session that traces it, then `Ready`. Later come more of `Want` and `Forget`, each answered by `Done`.
* one for each session, straight to that session's consumer process. It came with the session's first `Want`
  (SCM_RIGHTS), and only records travel on it, one way.

Both carry frames: a size (u32), then that many bytes. The talk is JSON; a record is a `RECORD` header and
the fields of its CTF event, already laid out as the trace will have them. A header alone is no record: it
tells how many were lost.

Standard library only: this module is loaded into every traced program.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from struct import Struct
from typing import Any

from lttngnet.errors import WireError

SOCKET = "lttngnet-python.sock"
"""Name of the session daemon's socket in its run directory."""

PROTOCOL = 2
"""What both sides of the talk must agree on: of one package, but perhaps not of one version."""

TALK_LIMIT = 1 << 20
"""Bytes that a frame from the session daemon may have."""

ANSWER_LIMIT = 4096
"""Bytes that a frame from a program to the session daemon may have."""

RECORD_LIMIT = 40 << 10
"""Bytes that the frame of a record may have: `MESSAGE_LIMIT`, four names, the numbers, and some room."""

MESSAGE_LIMIT = 32 << 10
"""Bytes of UTF-8 that the text of a record may have; longer ones are cut."""

NAME_LIMIT = 1 << 10
"""Bytes of UTF-8 that the name of a logger, a function or a thread may have."""

CUT = "…[cut]"
"""How a text ends that was longer than its limit."""

SIZE = Struct("=I")
RECORD = Struct(
    "=QQI"
)  # records lost on this socket so far, CLOCK_MONOTONIC in ns, thread (as the kernel counts)
NUMBERS = Struct("=III")  # lineno, int_loglevel, thread (as Python counts, its lower half)
U32 = 0xFFFF_FFFF

FIELDS = (
    *("asctime", "msg", "logger_name", "funcName"),
    *("lineno", "int_loglevel", "thread"),
    "threadName",
)
"""The fields of the CTF event, which `event` takes in this order."""


# ---- frames


def frame(content: bytes) -> bytes:
    """Return the bytes of a frame."""
    return SIZE.pack(len(content)) + content


class Frames:
    """Bytes in, whole frames out, however the stream was cut. Never holds more than a frame and a read."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rest = bytearray()

    @property
    def is_amid(self) -> bool:
        """Tell whether the bytes so far end in the midst of a frame."""
        return bool(self._rest)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Return the contents of the frames that are complete now.

        Raises:
            WireError: a frame is announced that is longer than the limit.
        """
        buffer = self._rest
        buffer += data
        start = 0
        try:
            while len(buffer) - start >= SIZE.size:
                (size,) = SIZE.unpack_from(buffer, start)
                if size > self._limit:
                    raise WireError(f"a frame of {size} bytes, {self._limit} are the most")
                end = start + SIZE.size + size
                if end > len(buffer):
                    break
                content = bytes(buffer[start + SIZE.size : end])
                start = end
                yield content
        finally:
            del buffer[:start]


# ---- records


def text(value: str, limit: int = MESSAGE_LIMIT) -> bytes:
    r"""Return a text as UTF-8 with a NUL behind it, as CTF writes strings.

    What UTF-8 or CTF cannot express is written as an escape (``\udc80``, ``\x00``); a text of more than
    ``limit`` bytes is cut between two characters and ends with `CUT`.
    """
    data = value[: limit + 1].encode("utf-8", "backslashreplace")
    if b"\0" in data:
        data = data.replace(b"\0", b"\\x00")
    if len(data) > limit:
        mark = CUT.encode()
        data = data[: limit - len(mark)].decode("utf-8", "ignore").encode() + mark
    return data + b"\0"


@lru_cache(maxsize=512)
def name(value: str) -> bytes:
    """Return a name, which comes again and again, as `text` does."""
    return text(value, NAME_LIMIT)


def event(
    asctime: str,
    msg: str,
    logger_name: str,
    func_name: str,
    lineno: int,
    level: int,
    thread: int,
    thread_name: str,
) -> bytes:
    """Return the fields of a record as the CTF event ``lttng_python:event`` has them."""
    return b"".join(
        (
            text(asctime, NAME_LIMIT),
            text(msg),
            name(logger_name),
            name(func_name),
            NUMBERS.pack(lineno & U32, level & U32, thread & U32),
            name(thread_name),
        )
    )


def record(discarded: int, timestamp: int, vtid: int, fields: bytes) -> bytes:
    """Return the frame of a record; without fields, of the news that records were lost."""
    return SIZE.pack(RECORD.size + len(fields)) + RECORD.pack(discarded, timestamp, vtid) + fields


def parse_record(content: bytes) -> tuple[int, int, int, bytes]:
    """Return what `record` was made of: discarded, timestamp, vtid, fields.

    Raises:
        WireError: this is no record, or its fields would make a packet that cannot be read.
    """
    if len(content) < RECORD.size:
        raise WireError(f"a record of {len(content)} bytes")
    event = content[RECORD.size :]
    if event:
        try:
            end = 0
            for _ in range(4):
                end = event.index(0, end) + 1
            event[:end].decode()
            end += NUMBERS.size
            event[end:].decode()
            if event.index(0, end) != len(event) - 1:
                raise WireError("a record with more fields than it should have")
        except ValueError as problem:  # WireError is one, too
            raise WireError(f"fields of a record: {problem}") from None
    return *RECORD.unpack_from(content), event


# ---- the talk


@dataclass(frozen=True)
class Rule:
    r"""Which records are wanted.

    Attributes:
        name: of the logger; ``*`` in it stands for any text, ``\*`` for the star.
        level: the lowest `int_loglevel` wanted.
        only: no other level than this is wanted.
        filter: an expression (`lttngnet.filters`) that has to hold as well, or empty.
    """

    name: str
    level: int = 0
    only: bool = False
    filter: str = ""

    def covers(self, logger: str) -> bool:
        """Tell whether the logger is meant. A logger's children are not, unless a star says so."""
        return _pattern(self.name).fullmatch(logger) is not None

    def admits(self, level: int) -> bool:
        """Tell whether records of the level are wanted."""
        return level == self.level if self.only else level >= self.level


@lru_cache(maxsize=512)
def _pattern(star: str) -> re.Pattern[str]:
    pieces = re.findall(r"\\.|\*+|[^*\\]+|\\", star, re.DOTALL)
    return re.compile(
        "".join(".*" if p[0] == "*" else re.escape(p[-1] if p[0] == "\\" else p) for p in pieces), re.S
    )


@dataclass(frozen=True)
class Register:
    """Program to daemon, first of all: who it is."""

    pid: int
    procname: str
    protocol: int = PROTOCOL


@dataclass(frozen=True)
class Want:
    """Daemon to program: of this session, these records are wanted from now on; without rules none.

    Attributes:
        serial: what the answer, `Done`, refers to.
        session: by name.
        rules: a record is wanted if one of them wants it.
        fresh: a new record socket comes along; it takes the place of the one the session had.
    """

    serial: int
    session: str
    rules: tuple[Rule, ...]
    fresh: bool = False


@dataclass(frozen=True)
class Forget:
    """Daemon to program: the session is over, its record socket is to be closed."""

    serial: int
    session: str


@dataclass(frozen=True)
class Ready:
    """Daemon to program, when it has said all there is to say to a newcomer."""


@dataclass(frozen=True)
class Done:
    """Program to daemon: no record goes on its way any more that disagrees with what was said."""

    serial: int


type_of = {kind.__name__.lower(): kind for kind in (Register, Want, Forget, Ready, Done)}
Message = Register | Want | Forget | Ready | Done


def say(message: Message) -> bytes:
    """Return the frame of a message."""
    return frame(json.dumps({"say": type(message).__name__.lower(), **asdict(message)}).encode())


def hear(content: bytes) -> Message:
    """Return the message that a frame holds.

    Raises:
        WireError: it holds none.
    """
    try:
        said: dict[str, Any] = json.loads(content)
        kind = type_of[said.pop("say")]
        if kind is Want:
            said["rules"] = tuple(_made(Rule, rule) for rule in said["rules"])
        return _made(kind, said)  # type: ignore[no-any-return]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as problem:
        raise WireError(f"no message: {problem!r}") from None


def _made(kind: type[Any], values: dict[str, Any]) -> Any:
    made = kind(**values)
    for field in fields(kind):
        value = getattr(made, field.name)
        if type(value) is not getattr(field.type, "__origin__", field.type):
            raise WireError(f"{kind.__name__}.{field.name} cannot be {value!r}")
    return made
