"""Sockets that are served without the reactor coming in between: the fast way for peers that send much.

Twisted accepts a connection and owns it; its protocol may lend the socket to the `Plane`, which waits for
all of them together in one epoll set of its own. To the reactor, that set is a single thing to read from.
What this saves of the time that a small packet takes is more than half:

* an answer is sent at once, not when the reactor has found the socket writable;
* one buffer is read into again and again, in larger pieces than Twisted's 64 KiB;
* while the next packet of a peer that waits for each answer is on its way, the plane looks again for a moment
  instead of going to sleep: to be woken takes longer than that.

What a protocol does with its bytes is the same, and so is how much of it at once (`lttngnet.relayd.turns`).
TLS, UNIX sockets and the transports of tests are not lent: they go their ordinary way.
"""

import mmap
import os
import select
import socket
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, cast

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IReadDescriptor, ISSLTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from lttngnet.log import Logger
from lttngnet.relayd.store.session import Session
from lttngnet.relayd.turns import ROUND, IConnection, Rounds
from lttngnet.wire.codec import Buffer
from lttngnet.wire.relay import DataHeader

READ = 1 << 20  # bytes that one read may bring …
LEAST_READ = 1 << 16  # … where there are many connections
HELD = 1 << 25  # bytes: what all connections together may bring in one read each, from the least on
COPIED = 1 << 13  # bytes: where one read brought no more, they are copied rather than the buffer given away
GATHERED = 1 << 16  # bytes of answers that are sent together
WORTH_WAITING = 1 << 15  # bytes
LOOK = 50e-6  # seconds
VAIN_LOOKS = 4  # one after the other, until it is looked less often …
RARELY = 32  # … once in so many times

EVENTS = 256  # that are taken at once
OTHERS = 8  # likewise, of the reactor's


class Reader(Protocol):
    """What serves a lent socket."""

    def received(self, piece: Buffer) -> bool:
        """Take what came in; return whether ``piece`` is done with, so that it may be written over."""

    def missing(self) -> int:
        """Return how many bytes are still to come that nothing can be done without; 0 if that is unknown."""


class Handover(NamedTuple):
    """Where a channel is, for somebody who goes on in its stead.

    Attributes:
        session: that it serves.
        is_data: whether packets come over it, not commands.
        head: the beginning of a header, or of a command.
        header: of the packet that it is in the middle of …
        left: … of which so many bytes are missing …
        start: … and where that begins in its file.
    """

    session: Session
    is_data: bool
    head: bytes = b""
    header: DataHeader | None = None
    left: int = 0
    start: int = 0


class Channel(Reader, Protocol):
    """A reader whose connection somebody else may serve for a while: see `lttngnet.relayd.compiled`."""

    def hand_over(self) -> Handover | None:
        """Return where it is; None where that cannot be, or is not worth it."""

    def handed_over(self) -> None:
        """Somebody else goes on from there."""

    def take_back(self, given: Handover) -> None:
        """Go on."""

    def failed(self, problem: OSError) -> None:
        """What came over the connection could not be written."""


class Loan:
    """A transport whose socket the plane reads from. To its protocol it is the transport.

    Args:
        plane: that it is lent to.
        transport: of Twisted, for TCP.
        reader: takes what comes in.
    """

    def __init__(self, plane: "Plane", transport: Any, reader: Reader) -> None:
        self.transport = transport
        self.socket: socket.socket = transport.getHandle()
        self.number = self.socket.fileno()
        self.reader: Reader | None = reader  # None once it is taken back
        self.is_lent = True
        self._plane = plane
        self._answers: list[bytes] = []  # that are sent together, when all that came is done
        self._gathered = 0  # bytes of them
        self._is_gathering = False
        self._mark = 1  # bytes from which on the socket is readable
        self.is_direct = True  # the transport has nothing to send that goes before

    def __getattr__(self, name: str) -> Any:
        """Be the transport in everything else."""
        return getattr(self.transport, name)

    # ------------------------------------------------------------ reading

    def pauseProducing(self) -> None:
        """Read nothing until `resumeProducing`."""
        if self.is_lent:
            self._plane.stop(self)
        else:
            self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """Read again."""
        if not self.is_lent:
            self.transport.resumeProducing()
        elif self.transport.connected and not self.transport.disconnecting:
            self._plane.go_on(self)

    def read(self, buffer: memoryview) -> bool:
        """Read once, and let it be carried out; return whether ``buffer`` may be written over."""
        try:
            length = self.socket.recv_into(buffer)
        except BlockingIOError:
            return True
        except OSError:
            self.end(is_lost=True)
            return True
        if not length:
            self.end(is_lost=False)
            return True
        if length <= COPIED:
            self.take(bytes(buffer[:length]))
            return True
        return self.take(buffer[:length])

    def end(self, is_lost: bool) -> None:
        """The peer has closed the connection, or it is lost."""
        self._plane.take_back(self)
        if is_lost:
            self.transport.connectionLost(Failure(ConnectionLost()))
        else:
            self.transport.readConnectionLost(Failure(ConnectionDone()))

    def take(self, piece: Buffer) -> bool:
        """Let what was read be carried out; return whether ``piece`` may be written over."""
        reader = self.reader
        assert reader is not None
        self._is_gathering = True
        try:
            return reader.received(piece)
        finally:
            self._is_gathering = False
            self.flush()
            if self.is_lent:
                self.wait_for(reader.missing())

    def wait_for(self, missing: int) -> None:
        """Let the socket be readable when so much has come, as far as that is worth it."""
        mark = min(missing, READ) if missing >= WORTH_WAITING else 1
        if mark != self._mark and self.socket.fileno() >= 0:
            self._mark = mark
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, mark)

    # ------------------------------------------------------------ writing

    def write(self, data: bytes) -> None:
        """Send it, as soon as the peer takes it."""
        self._answers.append(data)
        self._gathered += len(data)
        if self._gathered >= GATHERED:
            self.flush()
        elif not self._is_gathering:
            self._plane.flush_later(self)

    def flush(self, more: bool = False) -> None:
        """Send what was gathered: what the socket does not take now is the transport's to send.

        Args:
            more: whether something else is sent at once, which may go with it.
        """
        if not self._answers:
            return
        answers, self._answers, self._gathered = self._answers, [], 0
        sent, flags = 0, socket.MSG_MORE if more else 0
        if self.is_direct and self.is_lent and not self.transport.disconnected:
            try:
                one = len(answers) == 1
                sent = self.socket.send(answers[0], flags) if one else self.socket.sendmsg(answers, (), flags)
            except OSError:
                sent = 0  # it is for the transport to find out what is the matter
        rest = b"".join(answers)[sent:] if sent < sum(map(len, answers)) else b""
        if rest:
            self.is_direct = False
            self.transport.write(rest)

    def send_file(self, descriptor: int, offset: int, length: int) -> int:
        """Send bytes of a file, as many as the socket takes now; return how many.

        None are sent where the transport has something to send before, or what is wrong the transport, or who
        reads the file, finds out.
        """
        self.flush(more=True)
        if not (self.is_direct and self.is_lent) or self.transport.disconnected:
            return 0
        try:
            return os.sendfile(self.number, descriptor, offset, length)
        except OSError:
            return 0

    def loseConnection(self) -> None:
        """Close the connection, once all was sent."""
        self.flush()
        if self.is_lent:
            self._plane.stop(self)
        self.transport.loseConnection()

    def abortConnection(self) -> None:
        """Close the connection now."""
        if self.is_lent:
            self._plane.take_back(self)
        self.transport.abortConnection()


@implementer(IReadDescriptor)
class Plane:
    """Reads from all sockets that are lent to it.

    Args:
        reactor: that calls it.
        rounds: gives the turns; while somebody waits for one, the plane goes back to the reactor.
        seconds: the clock.
        looks: whether to look again before going to sleep; None does where there is another processor for
            the peers.
    """

    log = Logger()
    name = "Python"  # what it is made of

    def __init__(
        self,
        reactor: Any,
        rounds: Rounds,
        seconds: Callable[[], float],
        looks: bool | None = None,
    ) -> None:
        self._reactor = reactor
        self._rounds = rounds
        self._seconds = seconds
        self._all: set[Loan] = set()
        self._unsent: set[Loan] = set()  # that have gathered something
        self._loans: dict[int, Loan] = {}  # that are read from now
        self._epoll: select.epoll | None = None
        poller = getattr(reactor, "_poller", None)  # there is no public name for it
        self._others = poller if isinstance(poller, select.epoll) else None
        self._buffer = _buffer()
        self._look = LOOK if (len(os.sched_getaffinity(0)) > 1 if looks is None else looks) else 0.0
        self._in_vain = 0  # looks, one after the other
        self._is_closed = False

    def __len__(self) -> int:
        """Return how many sockets are lent."""
        return len(self._all)

    def lend(self, transport: IConnection, reader: Reader) -> IConnection:
        """Return what is to be the protocol's transport from now on; the old one if it cannot be lent."""
        handle = getattr(transport, "getHandle", lambda: None)()
        is_tcp = isinstance(handle, socket.socket) and handle.family in (socket.AF_INET, socket.AF_INET6)
        if self._is_closed or not is_tcp or ISSLTransport.providedBy(transport):
            return transport
        if self._epoll is None:
            self._epoll = select.epoll()
            self._reactor.addReader(self)
        transport.pauseProducing()
        loan = Loan(self, transport, reader)
        self._all.add(loan)
        self.go_on(loan)
        return cast("IConnection", loan)

    def stop(self, loan: Loan) -> None:
        """Read from that socket no more, for the time being."""
        if self._loans.get(loan.number) is loan:
            del self._loans[loan.number]
            if self._epoll is not None and loan.socket.fileno() >= 0:  # else it left when it was closed
                self._epoll.unregister(loan.number)

    def go_on(self, loan: Loan) -> None:
        """Read from it again."""
        if self._epoll is not None and loan.number not in self._loans:
            self._loans[loan.number] = loan
            self._epoll.register(loan.number, select.EPOLLIN)

    def take_back(self, transport: object) -> None:
        """Read from a socket no more, which may be closed already; to say so twice is no error."""
        if not isinstance(transport, Loan):
            return
        self.stop(transport)
        transport.is_lent, transport.reader = False, None
        transport.wait_for(1)
        self._all.discard(transport)

    def flush_later(self, loan: Loan) -> None:
        """Send what it has gathered when the reactor comes to it, with all that is gathered until then."""
        if not self._unsent:
            self._reactor.callLater(0, self._flush)
        self._unsent.add(loan)

    def _flush(self) -> None:
        unsent, self._unsent = self._unsent, set()
        for loan in unsent:
            loan.flush()

    def drained(self, transport: object) -> None:
        """A transport has sent all that it had: answers may again be sent at once."""
        if isinstance(transport, Loan):
            transport.is_direct = True

    def close(self) -> None:
        """Give all sockets back to their transports, and take no more."""
        self._is_closed = True
        self._flush()
        for loan in list(self._all):
            is_read_from = loan.number in self._loans
            self.take_back(loan)
            if is_read_from:
                loan.transport.resumeProducing()
        if self._epoll is not None:
            self._reactor.removeReader(self)
            self._epoll.close()
            self._epoll = None

    # ------------------------------------------------------------ what the reactor calls

    def fileno(self) -> int:
        """See `IReadDescriptor`."""
        return -1 if self._epoll is None else self._epoll.fileno()

    def logPrefix(self) -> str:
        """See `IReadDescriptor`."""
        return "plane"

    def connectionLost(self, reason: Failure) -> None:
        """The reactor ends: so do all connections."""
        for loan in list(self._all):
            self.take_back(loan)
            loan.transport.connectionLost(reason)

    def doRead(self) -> None:
        """Serve whatever there is to read, until there is nothing more, or others have waited long enough."""
        assert self._epoll is not None
        poll, seconds = self._epoll.poll, self._seconds
        now = seconds()
        end = now + ROUND
        while now < end and self._epoll is not None:
            events = poll(0, EVENTS)
            if not events and self._is_worth_a_look():
                events = self._wait_a_little(poll)
            if not events:
                if not self._sleep():
                    return
                end = seconds() + ROUND
                continue
            for number, _ in events:
                loan = self._loans.get(number)
                if loan is not None:
                    self._serve(loan)
            if self._rounds.are_due:
                return
            now = seconds()

    def _serve(self, loan: Loan) -> None:
        size = max(LEAST_READ, min(READ, HELD // len(self._loans)))
        try:
            is_free = loan.read(self._buffer[:size])
        except Exception:
            self.log.failure("Defect while reading")
            loan.abortConnection()
            is_free = False
        if not is_free:  # what was read is the reader's for a while
            self._buffer = _buffer()

    def _sleep(self) -> bool:
        """Sleep in the reactor's stead; return whether there is nothing but for us to do then."""
        if self._others is None:
            return False
        timeout = self._reactor.timeout()
        number = self.fileno()
        found = self._others.poll(-1 if timeout is None else timeout, OTHERS)
        return bool(found) and all(each == number for each, _ in found)

    def _is_worth_a_look(self) -> bool:
        if self._in_vain < VAIN_LOOKS:
            return self._look > 0
        self._in_vain += 1
        return self._look > 0 and self._in_vain % RARELY == 0

    def _wait_a_little(self, poll: Callable[[float, int], list[tuple[int, int]]]) -> list[tuple[int, int]]:
        seconds = self._seconds
        end = seconds() + self._look
        while seconds() < end:
            if events := poll(0, EVENTS):
                self._in_vain = 0
                return events
        self._in_vain += 1
        return []


def _buffer() -> memoryview:
    """Return memory of its own: what is not written to costs nothing, and the system has it back at once."""
    return memoryview(mmap.mmap(-1, READ))
