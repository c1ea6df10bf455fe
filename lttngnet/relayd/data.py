"""A data connection: packets in, nothing out.

The connection does not say whose it is: it belongs to the session of the first stream that comes over it.
A session has one data connection at a time, so a stranger spoils nothing that is being received.
"""

from collections.abc import Iterator

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from lttngnet.errors import Code
from lttngnet.log import ChannelLogger, says_who_comes
from lttngnet.relayd.peers import NO_LIMIT, Peers
from lttngnet.relayd.plane import Handover, Plane
from lttngnet.relayd.refusal import Refusal
from lttngnet.relayd.store.session import Session
from lttngnet.relayd.store.store import Store
from lttngnet.relayd.store.stream import Stream
from lttngnet.relayd.turns import IConnection, Turns
from lttngnet.wire.codec import Buffer
from lttngnet.wire.framing import Packets
from lttngnet.wire.relay import DataHeader


class DataChannel(Protocol):
    """Serves one data connection: every piece of a packet is written as it comes."""

    log = ChannelLogger()
    transport: IConnection

    def __init__(self, store: Store, peers: Peers | None = None, plane: Plane | None = None) -> None:
        self._store = store
        self._peers = Peers(NO_LIMIT) if peers is None else peers
        self._plane = plane
        self._packets = Packets()
        self._session: Session | None = None
        self._open = True
        self._is_displaced = False

    def connectionMade(self) -> None:
        """Say who is there."""
        if says_who_comes():
            self.log.info("Data connection from {peer}", peer=self.transport.getPeer())
        self._peers.enter()
        self._number = self._store.strangers.enter()
        if self._plane is not None:
            self.transport = self._plane.lend(self.transport, self)
        self._turns = Turns(self._store.rounds, self.transport)

    def dataReceived(self, data: bytes) -> None:
        """Write every piece of a packet that came."""
        self._turns.do(self._write(data))

    def received(self, piece: Buffer) -> bool:
        """See `lttngnet.relayd.plane.Reader`."""
        self._turns.do(self._write(piece))
        return self._turns.are_done

    def missing(self) -> int:
        """See `lttngnet.relayd.plane.Reader`."""
        return self._packets.missing

    # ------------------------------------------------------------ somebody else serves the connection

    def hand_over(self) -> Handover | None:
        """See `lttngnet.relayd.plane.Channel`."""
        session = self._session
        if session is None or not self._open or not self._turns.are_done:
            return None
        if session.facts.index_minor is None or session.journal is not None:
            return None
        head, header, left = self._packets.state
        if header is None:
            return Handover(session, is_data=True, head=head)
        stream = session.streams.get(header.stream)
        start = None if stream is None else stream.begun(header)
        return None if start is None else Handover(session, True, b"", header, left, start)

    def handed_over(self) -> None:
        """See `lttngnet.relayd.plane.Channel`."""
        _, header, _ = self._packets.state
        if header is not None and self._session is not None:
            self._session.streams[header.stream].resume(None)
        self._packets.resume(None, 0)

    def take_back(self, given: Handover) -> None:
        """See `lttngnet.relayd.plane.Channel`."""
        header = given.header
        self._packets.resume(header, given.left)
        if header is not None and (given.left < header.data_size or not header.data_size):
            stream = given.session.streams.get(header.stream)
            if stream is not None:
                stream.resume(header, given.start)
        for _ in self._packets.feed(given.head):  # the beginning of a header
            pass

    def failed(self, problem: OSError) -> None:
        """See `lttngnet.relayd.plane.Channel`."""
        assert self._session is not None
        facts = self._session.facts
        self._hang_up(f"session {facts.number} ({facts.name} of {facts.hostname}) ends: {problem}")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Abort the session if the rest of a packet will never come."""
        if self._plane is not None:
            self._plane.take_back(self.transport)
        self._turns.end(self._leave())
        if says_who_comes():
            self.log.info("{peer} is gone", peer=self.transport.getPeer())

    def _write(self, data: Buffer) -> Iterator[None]:
        is_first = True
        try:
            for header, piece, is_last in self._packets.feed(data):
                if not is_first:
                    yield
                is_first = False
                if not self._open:
                    return
                self._stream(header).receive(header, piece, is_last)
        except Refusal as problem:
            self._hang_up(str(problem))
        except OSError as problem:
            self.failed(problem)
        except Exception:
            self.log.failure("Defect, met by {peer}", peer=self.transport.getPeer())
            self._hang_up("a defect of ours")

    def _leave(self) -> Iterator[None]:
        self._peers.leave()  # not before: what is left of those who are gone counts as well
        self._open = False
        session, self._session = self._session, None
        if session is not None:
            if self._packets.inside:
                self.log.warn("{peer} left in the middle of a packet", peer=self.transport.getPeer())
            session.end_feeding(is_torn=self._packets.inside)
        elif not self._is_displaced:
            self._store.strangers.leave(self._number)
        yield

    def displace(self) -> None:
        """See `lttngnet.relayd.store.session.Connection`: what is still to be written of it is not."""
        self.log.info("{peer} makes way for another connection", peer=self.transport.getPeer())
        self._open, self._session, self._is_displaced = False, None, True
        self._turns.leave_alone()
        self.transport.abortConnection()

    def _stream(self, header: DataHeader) -> Stream:
        if self._session is None:
            session = self._store.session_of(header.stream)
            if session is None:
                raise Refusal(Code.UNKNOWN, f"no session has a stream {header.stream}")
            session.begin_feeding(self)
            self._session = session
            self._store.strangers.leave(self._number)
        return self._session.stream(header.stream)

    def _hang_up(self, why: str) -> None:
        self.log.warn("Hanging up on {peer}: {why}", peer=self.transport.getPeer(), why=why)
        self._open = False
        self._turns.leave_alone()
        if self._session is not None:
            self._session.spoil()
        self.transport.abortConnection()  # it may send for long, and nobody listens


class DataFactory(Factory):
    """Makes a channel for each data connection; see `ControlFactory`."""

    noisy = False

    def __init__(self, store: Store, peers: Peers | None = None, plane: Plane | None = None) -> None:
        self._store = store
        self._peers = peers
        self._plane = plane

    def buildProtocol(self, addr: IAddress | None) -> DataChannel:
        """Return the channel of a new connection."""
        return DataChannel(self._store, self._peers, self._plane)
