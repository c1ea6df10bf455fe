"""Data over UDP: one port for all sessions, and whose datagrams come there.

A datagram is taken if it is sealed by the token that the relay daemon gave to a session on its control
connection. Any other is dropped and counted; nobody is answered who has no token.
"""

import secrets
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from hmac import compare_digest
from zlib import crc32

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorFDSet, IReactorTime, IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from lttngnet.errors import Code
from lttngnet.log import Logger
from lttngnet.relayd.inlet import Inlet
from lttngnet.relayd.refusal import Refusal
from lttngnet.relayd.store.session import Session
from lttngnet.relayd.turns import ROUND, Rounds
from lttngnet.wire.datagram import (
    FRAGMENT,
    HELLO,
    LARGEST,
    MAGIC,
    OVERHEAD,
    TOKEN_SIZE,
    VERSION,
    Head,
    Seal,
    acknowledgement,
    read,
)
from lttngnet.wire.relay.datagrams import REPEATS, DatagramsOpened, Missing

RECEIVED = 8 << 20  # bytes that may wait in the socket, if the system allows it
LEAST_WINDOW = 1 << 16  # bytes that a session may always have under way
BUFFER = 1 << 16
UDP_GRO = 104  # <linux/udp.h>: the system hands on many datagrams of one sender together
SO_RCVBUFFORCE = 33  # <asm-generic/socket.h>: beyond what the system allows others
TRUNCATED = int(socket.MSG_TRUNC)
SPACE = socket.CMSG_SPACE(4)  # bytes for what it says about that
UNPACK, HEAD = Head.layout.unpack_from, Head.layout.size
TELL = 60.0  # seconds between two lines in the log about strangers

Address = tuple[str, int] | tuple[str, int, int, int]


@dataclass
class Known:
    """A connection: a session that was given a token."""

    seal: Seal
    inlet: Inlet
    session: Session


class Datagrams:
    """Tells whose a datagram is.

    Args:
        rounds: gives the turns in which packets are written.
        clock: the reactor.

    Attributes:
        strangers: datagrams that were nobody's.
        port: that is listened on; 0 as long as none is.
        received: bytes that may wait in its socket.
        look: reads all datagrams that are there.
    """

    log = Logger()

    def __init__(self, rounds: Rounds, clock: IReactorTime) -> None:
        self.strangers = 0
        self.port = 0
        self.received = 0
        self.look: Callable[[], None] = _nothing
        self._rounds = rounds
        self._clock = clock
        self._known: dict[int, Known] = {}
        self._told = -TELL

    def open(self, session: Session, flags: int) -> DatagramsOpened:
        """Take datagrams for a session from now on.

        Raises:
            Refusal: the port is closed, or the session gets its data in another way.
        """
        if not self.port:
            raise Refusal(Code.NOT_SUPPORTED, "data over UDP is not taken here")
        inlet = Inlet(session, self._rounds, self._clock, bool(flags & REPEATS), lambda: self.look())
        session.begin_inlet(inlet)
        number = secrets.randbits(64)
        while number in self._known:
            number = secrets.randbits(64)
        token = secrets.token_bytes(TOKEN_SIZE)
        self._known[number] = Known(Seal(token), inlet, session)
        inlet.when_closed(lambda: self._close(number))
        return DatagramsOpened(Code.OK, number, token, self.port, LARGEST, inlet.room)

    def tell(self, session: Session, wanted: int) -> Missing:
        """Answer what has come and what is missing, after all that is there was read. Raises Refusal."""
        inlet = session.inlet
        if not isinstance(inlet, Inlet):
            raise Refusal(Code.INVALID_PROTOCOL, "no data comes over UDP")
        self.look()
        gaps, is_all = inlet.gaps(wanted) if wanted else ((), True)
        share = max(self.received // (4 * max(len(self._known), 1)), LEAST_WINDOW)
        window = min(share, inlet.room)
        return Missing(Code.OK, inlet.taken, inlet.lost, window, is_all, tuple(gaps))

    def take(self, datagram: memoryview) -> bytes | None:
        """Take a datagram, whose bytes are lent; return what its sender is answered."""
        if len(datagram) < OVERHEAD:
            self._stranger()
            return None
        magic, version, kind, _, _, number, stream, sequence, offset, length, padding, check = UNPACK(
            datagram
        )
        known, piece = self._known.get(number), datagram[OVERHEAD:]
        if (
            known is None
            or magic != MAGIC
            or version != VERSION
            or not compare_digest(datagram[HEAD:OVERHEAD], known.seal.of(datagram[:HEAD]))
            or crc32(piece) != check
        ):
            self._stranger()
        elif kind == FRAGMENT:
            known.inlet.take(stream, sequence, offset, length, padding, piece, len(datagram))
        elif kind == HELLO:
            return acknowledgement(known.seal, read(datagram), len(datagram))
        return None

    def _stranger(self) -> None:
        self.strangers += 1
        now = self._clock.seconds()
        if now - self._told >= TELL:
            self._told = now
            self.log.warn("{count} datagrams so far that belong to no session", count=self.strangers)

    def _close(self, number: int) -> None:
        known = self._known.pop(number)
        inlet = known.inlet
        self.log.info(
            "Session {number} over UDP: {written} packets, {lost} lost; datagrams: {doubled} came twice or "
            "too late, {refused} fitted nowhere",
            number=known.session.facts.number,
            written=inlet.written,
            lost=inlet.lost,
            doubled=inlet.doubled,
            refused=inlet.refused,
        )


@implementer(IReadDescriptor)
class DatagramPort(Service):
    """Listens while it runs.

    Args:
        reactor: that calls it.
        datagrams: gets what comes.
        where: says the address and the port, or None for nowhere, when it is to listen.
        is_wanted: whether the daemon cannot be without it; else the log says why it does not listen.
        fail: makes what is raised where it cannot.
        seconds: the clock.
    """

    log = Logger()

    def __init__(
        self,
        reactor: IReactorFDSet,
        datagrams: Datagrams,
        where: Callable[[], tuple[str, int] | None],
        is_wanted: bool,
        fail: Callable[[str], Exception],
        seconds: Callable[[], float],
    ) -> None:
        self.setName("datagrams")
        self._reactor = reactor
        self._datagrams = datagrams
        self._where = where
        self._is_wanted = is_wanted
        self._fail = fail
        self._seconds = seconds
        self._socket: socket.socket | None = None
        self._buffer = memoryview(bytearray(BUFFER))
        datagrams.look = self.look

    @property
    def port(self) -> int | None:
        """The number of the port; None where it does not listen."""
        return self._datagrams.port or None

    def privilegedStartService(self) -> None:
        """Listen. Raises what ``fail`` makes."""
        super().privilegedStartService()
        where = self._where()
        if where is None:
            return
        host, port = where
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        door = socket.socket(family, socket.SOCK_DGRAM)
        try:
            if family is socket.AF_INET6:
                door.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            door.bind((host, port))
        except OSError as problem:
            door.close()
            why = f"cannot listen for data over UDP on {host}:{port}: {problem.strerror}"
            if self._is_wanted:
                raise self._fail(why) from None
            self.log.warn("{why}", why=why)
            return
        door.setblocking(False)
        enlarge(door, RECEIVED)
        with suppress(OSError):
            door.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
        self._socket = door
        self._datagrams.port = door.getsockname()[1]
        self._datagrams.received = door.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        self._reactor.addReader(self)
        self.log.info("Listening for data over UDP on {host}:{port}", host=host, port=self._datagrams.port)

    def stopService(self) -> None:
        """Stop to listen."""
        super().stopService()
        self._datagrams.port = 0
        if self._socket is not None:
            self._reactor.removeReader(self)
            self._socket.close()
            self._socket = None

    def fileno(self) -> int:
        """See `IReadDescriptor`."""
        return -1 if self._socket is None else self._socket.fileno()

    def logPrefix(self) -> str:
        """See `IReadDescriptor`."""
        return "datagrams"

    def connectionLost(self, reason: Failure) -> None:
        """See `IReadDescriptor`: the reactor ends."""

    def doRead(self) -> None:
        """Take what is there, until others have waited long enough."""
        self._read(self._seconds() + ROUND)

    def look(self) -> None:
        """Take all that is there; no more than the socket holds when it is asked."""
        self._read(self._seconds() + 10 * ROUND)

    def _read(self, end: float) -> None:
        while self._socket is not None and self._read_once(self._socket) and self._seconds() < end:
            pass

    def _read_once(self, door: socket.socket) -> bool:
        """Return whether there may be more."""
        buffer = self._buffer
        try:
            length, extra, flags, sender = door.recvmsg_into([buffer], SPACE)
        except BlockingIOError:
            return False
        except OSError:  # what an earlier answer of ours met
            return True
        if flags & TRUNCATED:
            return True
        size = length or 1
        if extra:
            size = next((_size(data) for _, kind, data in extra if kind == UDP_GRO), 0) or size
        for at in range(0, length, size):
            try:
                answer = self._datagrams.take(buffer[at : min(at + size, length)])
            except Exception:
                self.log.failure("Defect while taking a datagram")
                continue
            if answer is not None:
                with suppress(OSError):
                    door.sendto(answer, sender)
        return True


def enlarge(door: socket.socket, size: int) -> None:
    """Let more wait in a socket; where the process is not privileged, no more than others are allowed."""
    try:
        door.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, size)
    except OSError:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)


def _size(data: bytes) -> int:
    return int(struct.unpack("=i", data.ljust(4, b"\0")[:4])[0])


def _nothing() -> None:
    """Nothing is there."""
