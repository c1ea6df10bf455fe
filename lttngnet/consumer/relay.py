"""The sink that is a relay daemon: packets on the data connection, all else on the control connection."""

from collections.abc import Callable
from dataclasses import dataclass

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer, IReactorTime, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from zope.interface import implementer

from lttngnet.consumer.control import ControlClient, how_it_ended
from lttngnet.consumer.outgoing import Lent, Outgoing
from lttngnet.ctf.packet import Packet, Silence
from lttngnet.errors import Code, RelayLost, RelayRefused
from lttngnet.interfaces import IPacketSink
from lttngnet.wire.relay import (
    NO_SEQUENCE,
    AddStream,
    ChunkClosed,
    ChunkExists,
    ChunkQuery,
    CloseTraceChunk,
    Command,
    CreateTraceChunk,
    DataHeader,
    MetadataHeader,
    RotateStreams,
    SendIndex,
    SessionQuery,
    Status,
    StreamAdded,
    StreamPosition,
    StreamQuery,
)

METADATA = "metadata"  # the name that makes a stream one
POLL = 0.2  # seconds between two questions whether all has arrived
PIECE = 1 << 20  # bytes of metadata to a command


@dataclass
class RelaySession:
    """What the handshake made.

    Attributes:
        minor: of the protocol, as agreed.
        session: the relay daemon's number for it.
        path: where the trace will lie, relative to the relay daemon's output folder.
        prefix: what relay daemons below 2.11 want before the path of a trace: ``/HOST/SESSION-DATE/``.
        live: microseconds between two times that what was recorded is sent; 0 is not live.
    """

    minor: int
    session: int
    path: str
    prefix: str = ""
    live: int = 0


@dataclass
class Stream:
    """A stream as the relay daemon knows it."""

    name: str
    handle: int
    sent: int = 0  # packets, which is the next number on the network
    sequence: int = 0  # number of the packet that would come next in the trace
    ended: int = 0  # when the last packet did, ns

    @property
    def last(self) -> int:
        """Network number of the last packet that was sent."""
        return self.sent - 1 if self.sent else NO_SEQUENCE

    @property
    def is_metadata(self) -> bool:
        """Whether it takes metadata, not packets."""
        return self.name == METADATA


class DataPath(Protocol):
    """Our end of a data connection, on which the relay daemon never says anything."""

    transport: ITCPTransport

    def __init__(self, on_lost: Callable[[str], None]) -> None:
        self.on_lost = on_lost

    def send(self, header: bytes, content: Lent) -> None:
        """Send a packet, whose content is only lent. Most transports have to keep a copy of it."""
        if isinstance(self.transport, Outgoing):
            self.transport.send(header, content)
        else:
            self.transport.writeSequence([header, bytes(content)])

    def dataReceived(self, data: bytes) -> None:
        """Refuse to be spoken to."""
        self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell."""
        self.on_lost(how_it_ended("data", reason))

    def close(self) -> None:
        """End the connection in good order, without calling `on_lost`."""
        self.on_lost = lambda reason: None
        self.unregister()
        self.transport.loseConnection()

    def abandon(self) -> None:
        """End the connection at once, without calling `on_lost`."""
        self.on_lost = lambda reason: None
        self.unregister()
        self.transport.abortConnection()

    def register(self, producer: IPushProducer) -> None:
        """Have a push producer paused while the relay daemon takes less than it is given."""
        self.transport.registerProducer(producer, True)  # type: ignore[attr-defined]

    def unregister(self) -> None:
        """Leave the producer alone."""
        self.transport.unregisterProducer()  # type: ignore[attr-defined]


@implementer(IPacketSink)
class RelaySink:
    """Sends the streams of one session. `connect` it first.

    An index goes out right behind its packet, without waiting for the answer to the one before; `quiesce`
    waits for all of them, and until the relay daemon has said that every packet is there.
    """

    control: ControlClient
    data: DataPath

    def __init__(
        self,
        clock: IReactorTime,
        session: RelaySession,
        seconds: Callable[[], float],
        on_lost: Callable[[str], None],
    ) -> None:
        self.session = session
        self._clock = clock
        self._seconds = seconds
        self._on_lost = on_lost
        self._streams: dict[int, Stream] = {}
        self._has_chunk = False
        self._unanswered = 0
        self._all_answered: Deferred[None] | None = None
        self._lost: str | None = None

    def connect(self, control: ControlClient, data: DataPath, producer: IPushProducer) -> None:
        """Take the two connections over which to send; the producer is paused while the relay is slow."""
        control.minor = self.session.minor
        control.on_lost = self.lose
        data.on_lost = self.lose
        self.control, self.data = control, data
        data.register(producer)

    def lose(self, why: str) -> None:
        """Give up: nothing can be delivered any more."""
        if self._lost is not None:
            return
        self._lost = why
        self.data.abandon()
        self.control.abandon(why)
        if self._all_answered is not None:
            waiting, self._all_answered = self._all_answered, None
            waiting.errback(RelayLost(why))
        self._on_lost(why)

    async def begin(self) -> None:
        """See `IPacketSink`; opens the trace chunk, once."""
        if self.session.minor >= 11 and not self._has_chunk:
            chunk = CreateTraceChunk(0, int(self._seconds()))
            await self.control.demand(Command.CREATE_TRACE_CHUNK, chunk.pack(), Status)
        self._has_chunk = True

    async def add_stream(self, path: str, name: str) -> int:
        """See `IPacketSink`; the number is the relay daemon's handle."""
        minor = self.session.minor
        wanted = AddStream(name, self.session.prefix + path)
        added = await self.control.demand(Command.ADD_STREAM, wanted.pack(minor), StreamAdded)
        self._streams[added.handle] = Stream(name, added.handle)
        return added.handle

    async def publish(self) -> None:
        """See `IPacketSink`."""
        await self.control.demand(Command.STREAMS_SENT, b"", Status)

    def write_metadata(self, stream: int, text: bytes) -> None:
        """See `IPacketSink`."""
        for at in range(0, len(text), PIECE):
            head = MetadataHeader(self._streams[stream].handle, 0)
            self.control.tell(Command.SEND_METADATA, head.pack() + text[at : at + PIECE])

    def write(self, stream: int, packet: Packet) -> None:
        """See `IPacketSink`."""
        if self._lost is not None:
            return
        known = self._streams[stream]
        header = DataHeader(0, known.handle, known.sent, len(packet.content), packet.padding)
        self.data.send(header.pack(), packet.content)
        index = SendIndex(
            known.handle,
            known.sent,
            packet.packet_size,
            packet.content_size,
            packet.timestamp_begin,
            packet.timestamp_end,
            packet.events_discarded,
            packet.stream_class,
            packet.stream_instance,
            packet.sequence,
        )
        known.sent += 1
        known.sequence = packet.sequence + 1
        known.ended = packet.timestamp_end
        self._send_index(index)

    def beacon(self, silence: Silence) -> None:
        """See `IPacketSink`: an index without a packet, which a relay daemon knows since 2.4."""
        known = self._streams.get(silence.stream)
        if known is None or self._lost is not None or silence.until <= known.ended:
            return
        last = max(known.sent - 1, 0)
        self._send_index(SendIndex(known.handle, last, 0, 0, 0, silence.until, 0, silence.stream_class, 0, 0))

    def _send_index(self, index: SendIndex) -> None:
        self._unanswered += 1
        asked = self.control.ask(Command.SEND_INDEX, index.pack(self.session.minor), Status)
        asked.addCallbacks(self._indexed, lambda lost: lost.trap(RelayLost))

    async def close_stream(self, stream: int) -> None:
        """See `IPacketSink`."""
        known = self._streams.pop(stream)
        await self._close_known(known)

    async def quiesce(self) -> None:
        """See `IPacketSink`.

        Raises:
            RelayLost: the connection ended before all had arrived.
        """
        if self._lost is not None:
            raise RelayLost(self._lost)
        if self._unanswered:
            self._all_answered = Deferred()
            await self._all_answered
        while not await self._has_arrived():
            await deferLater(self._clock, POLL)

    async def finish(self) -> None:
        """See `IPacketSink`: the order of a genuine consumer daemon at ``destroy``."""
        await self.quiesce()
        if self.session.minor >= 11 and self._has_chunk:
            await self._close_chunk()
        for stream in sorted(self._streams.values(), key=lambda stream: not stream.is_metadata):
            await self._close_known(stream)
        self._streams.clear()
        self.data.close()
        self.control.close()

    def _indexed(self, answer: Status) -> None:
        if answer.code != Code.OK:
            self.lose(str(RelayRefused(Command.SEND_INDEX.name, answer.code)))
            return
        self._unanswered -= 1
        if not self._unanswered and self._all_answered is not None:
            waiting, self._all_answered = self._all_answered, None
            waiting.callback(None)

    async def _has_arrived(self) -> bool:
        """Ask the relay daemon about every stream; it says at the end whether all is there."""
        session = SessionQuery(self.session.session).pack()
        await self.control.demand(Command.BEGIN_DATA_PENDING, session, Status)
        for stream in list(self._streams.values()):
            if stream.is_metadata:
                await self._ask(Command.QUIESCENT_CONTROL, StreamQuery(stream.handle).pack(), Status)
                continue
            position = StreamPosition(stream.handle, stream.last).pack()
            if (await self._ask(Command.DATA_PENDING, position, Status)).code:
                return False
        return not (await self._ask(Command.END_DATA_PENDING, session, Status)).code

    async def _close_chunk(self) -> None:
        packets = [(s.handle, s.sequence) for s in self._streams.values() if not s.is_metadata]
        metadata = [(s.handle, 0) for s in self._streams.values() if s.is_metadata]
        for positions in (packets, metadata):
            if positions:
                rotation = RotateStreams(None, tuple(positions)).pack()
                await self.control.demand(Command.ROTATE_STREAMS, rotation, Status)
        closing = CloseTraceChunk(0, int(self._seconds())).pack()
        await self.control.demand(Command.CLOSE_TRACE_CHUNK, closing, ChunkClosed)
        query = ChunkQuery(0).pack()
        while (await self.control.demand(Command.TRACE_CHUNK_EXISTS, query, ChunkExists)).exists:
            await deferLater(self._clock, POLL)
        self._has_chunk = False

    async def _close_known(self, stream: Stream) -> None:
        position = StreamPosition(stream.handle, stream.last).pack()
        await self.control.demand(Command.CLOSE_STREAM, position, Status)

    async def _ask(self, number: Command, payload: bytes, kind: type[Status]) -> Status:
        return await self.control.ask(number, payload, kind)
