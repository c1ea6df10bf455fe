"""A viewer's connection: questions in, answers out, one after the other.

While a viewer does not read what it is answered, nothing more is read of what it asks: neither side of the
connection grows in memory. Packets, metadata and long lists go to the connection in pieces.
"""

from collections.abc import Iterator
from itertools import count

from automat import NoTransition
from twisted.internet.interfaces import IAddress, IPushProducer
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from lttngnet.errors import Code
from lttngnet.log import ChannelLogger, says_who_comes
from lttngnet.relayd.peers import NO_LIMIT, Peers
from lttngnet.relayd.plane import Plane
from lttngnet.relayd.position import Extent
from lttngnet.relayd.store.store import Store
from lttngnet.relayd.turns import IConnection, Turns
from lttngnet.relayd.viewer import Guest, live_viewer
from lttngnet.relayd.viewing import Viewing
from lttngnet.wire import viewer as wire
from lttngnet.wire.codec import Buffer
from lttngnet.wire.framing import Requests, UnknownCommand
from lttngnet.wire.listing import SessionList

PIECE = 1 << 18  # bytes that are read at once from a file


@implementer(IPushProducer)
class ViewerChannel(Protocol):
    """Serves one viewer. What it is told is judged by `live_viewer`."""

    log = ChannelLogger()
    transport: IConnection

    def __init__(
        self,
        store: Store,
        numbers: Iterator[int],
        peers: Peers | None = None,
        plane: Plane | None = None,
    ) -> None:
        self._plane = plane
        self._peers = Peers(NO_LIMIT) if peers is None else peers
        self._requests = Requests()
        self._viewing = Viewing(store)
        self._viewer = live_viewer(
            Guest(self._reply, self._reply_in_pieces, self._hang_up, self._viewing, numbers)
        )
        self._rest: Iterator[bytes] | None = None  # what is still to be sent of an answer
        self._rounds = store.rounds
        self._is_open = True

    def connectionMade(self) -> None:
        """Say who is there."""
        if says_who_comes():
            self.log.info("Viewer from {peer}", peer=self.transport.getPeer())
        self._peers.enter()
        if self._plane is not None:
            self.transport = self._plane.lend(self.transport, self)
        self._turns = Turns(self._rounds, self.transport)
        self.transport.registerProducer(self, True)

    def dataReceived(self, data: bytes) -> None:
        """Answer every question that is whole now, in order."""
        self._turns.do(self._answer(data))

    def received(self, piece: Buffer) -> bool:
        """See `lttngnet.relayd.plane.Reader`."""
        self._turns.do(self._answer(piece))
        return self._turns.are_done

    def missing(self) -> int:
        """See `lttngnet.relayd.plane.Reader`."""
        return 0

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Detach the viewer from its sessions."""
        if self._plane is not None:
            self._plane.take_back(self.transport)
        self._is_open = False
        self._turns.end(self._leave())
        if says_who_comes():
            self.log.info("{peer} is gone", peer=self.transport.getPeer())

    # ------------------------------------------------------------ the viewer does not read, or does again

    def pauseProducing(self) -> None:
        """Answer nothing more, and read no more questions."""
        self._turns.hold()

    def resumeProducing(self) -> None:
        """Go on."""
        if self._plane is not None:
            self._plane.drained(self.transport)
        self._turns.go_on()

    def stopProducing(self) -> None:
        """Do nothing: the connection is gone, and `connectionLost` is next."""

    # ------------------------------------------------------------ questions and answers

    def _answer(self, data: Buffer) -> Iterator[None]:
        self._requests.receive(data)
        try:
            while self._is_open:
                if self._rest is not None:
                    self._send_piece(self._rest)
                elif (question := self._requests.next()) is not None:
                    self._hear(question)
                else:
                    return
                yield
        except UnknownCommand as mistake:
            self._reply(wire.Status(Code.UNKNOWN))
            self._hang_up(str(mistake))
        except NoTransition as mistake:
            self._hang_up(f"out of order: {mistake}")
        except OSError as problem:
            self._hang_up(f"an answer cannot be finished: {problem}")
        except Exception:
            self.log.failure("Defect, met by {peer}", peer=self.transport.getPeer())
            self._hang_up("a defect of ours")

    def _hear(self, question: wire.Question) -> None:
        if not self._viewing.is_attached:
            self._hear_rest(question)
        elif isinstance(question, wire.GetNextIndex):
            self._reply(self._viewing.next_index(question))
        elif isinstance(question, wire.GetPacket):
            self._reply(*self._viewing.packet(question))
        else:
            self._hear_rest(question)

    def _hear_rest(self, question: wire.Question) -> None:
        match question:
            case wire.Connect():
                self._viewer.connect(question)
            case wire.ListSessions():
                self._viewer.list_sessions()
            case wire.CreateSession():
                self._viewer.create_session()
            case wire.Attach():
                self._viewer.attach(question)
            case wire.Detach():
                self._viewer.detach(question)
            case wire.GetNewStreams():
                self._viewer.new_streams(question)
            case wire.GetNextIndex():
                self._viewer.next_index(question)
            case wire.GetPacket():
                self._viewer.packet(question)
            case wire.GetMetadata():
                self._viewer.metadata(question)

    def _leave(self) -> Iterator[None]:
        self._peers.leave()
        self._viewer.lost()
        del self._viewer  # which knows us: nothing is left for `lttngnet.relayd.garbage`
        yield

    def _reply(self, answer: wire.Answer | SessionList, body: bytes | Extent | None = None) -> None:
        self.transport.write(answer.pack())
        if isinstance(body, bytes):
            self.transport.write(body)
        elif body is not None:
            self._rest = body.pieces(PIECE, getattr(self.transport, "send_file", None))

    def _reply_in_pieces(self, pieces: Iterator[bytes]) -> None:
        self._rest = pieces

    def _send_piece(self, rest: Iterator[bytes]) -> None:
        piece = next(rest, None)
        if piece is None:
            self._rest = None
        elif piece:
            self.transport.write(piece)

    def _hang_up(self, why: str) -> None:
        self.log.warn("Hanging up on {peer}: {why}", peer=self.transport.getPeer(), why=why)
        self._is_open = False
        self._turns.leave_alone()
        self.transport.unregisterProducer()
        self.transport.loseConnection()
        self._viewer.hung_up()


class ViewerFactory(Factory):
    """Makes a channel for each viewer.

    Args:
        store: of all sessions.
        peers: counts the connections.
        plane: that their sockets are lent to.
    """

    noisy = False

    def __init__(self, store: Store, peers: Peers | None = None, plane: Plane | None = None) -> None:
        self._store = store
        self._peers = peers
        self._plane = plane
        self._numbers = count(1)

    def buildProtocol(self, addr: IAddress | None) -> ViewerChannel:
        """Return the channel of a new connection."""
        return ViewerChannel(self._store, self._numbers, self._peers, self._plane)
