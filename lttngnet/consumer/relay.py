"""The sink that is a relay daemon: packets on the data connection, all else on the control connection."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IPushProducer, IReactorTime, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from zope.interface import implementer

from lttngnet.consumer import chunks
from lttngnet.consumer.chunks import Chunks
from lttngnet.consumer.control import ControlClient, how_it_ended
from lttngnet.consumer.datagrams import DatagramPath
from lttngnet.consumer.lasting import LastingControl
from lttngnet.consumer.outgoing import Lent, Outgoing
from lttngnet.consumer.window import Brake, Window
from lttngnet.ctf.packet import UNLIMITED, Limit, Packet, Silence
from lttngnet.errors import Code, CommandError, RelayLost, RelayRefused
from lttngnet.interfaces import IPacketSink
from lttngnet.wire.relay import (
    NO_SEQUENCE,
    AddStream,
    CloseCommand,
    Command,
    DataHeader,
    MetadataHeader,
    ResetMetadata,
    SendIndex,
    SessionQuery,
    Status,
    StreamAdded,
    StreamPosition,
    StreamQuery,
)
from lttngnet.wire.relay.extension import Extension, Progress, Written

METADATA = "metadata"  # the name that makes a stream one
SOON = 0.02  # seconds between two questions what is written, while the window is half full
POLL = 0.2  # seconds between two questions whether all has arrived
PIECE = 1 << 20  # bytes of metadata to a command
SIGNATURE = b"/* CTF 1.8 */\n"  # how plain metadata begins
STREAM = b"\nstream {"  # how the description of streams begins
PATIENCE = 60.0  # seconds to wait until a chunk is where it stays
MANY = 1 << 16  # files of a stream that are kept: where there is no limit, a genuine relay daemon crashes
RESETS_SINCE = 8  # minor versions of the protocol
CLEARS_SINCE = 12


@dataclass
class RelaySession:
    """What the handshake made.

    Attributes:
        minor: of the protocol, as agreed.
        session: the relay daemon's number for it.
        path: where the trace will lie, relative to the relay daemon's output folder.
        prefix: what relay daemons below 2.11 want before the path of a trace: ``/HOST/SESSION-DATE/``.
        live: microseconds between two times that what was recorded is sent; 0 is not live.
        clears: whether the relay daemon deletes what was recorded when it is asked to.
        snapshot: name of the one that the session is for, if it is for one. Snapshots have no indexes.
        chunk: number of the first chunk.
        identity: under which the relay daemon keeps the session, if it does; else empty.
        commands: number of the last numbered command that was carried out, where the session is resumed.
        is_windowed: whether packets are kept until the relay daemon has written them.
        datagrams: what was agreed on where data goes over UDP: the fields of
            `lttngnet.consumer.datagrams.Terms`.
    """

    minor: int
    session: int
    path: str
    prefix: str = ""
    live: int = 0
    clears: bool = False
    snapshot: str = ""
    chunk: int = 0
    datagrams: dict[str, Any] | None = None
    identity: str = ""
    is_windowed: bool = False
    commands: int = 0


@dataclass
class Stream:
    """A stream as the relay daemon knows it.

    Attributes:
        handle: the relay daemon's number, or None while it does not know the stream.
        text: of a metadata stream: all that was written.
    """

    path: str
    name: str
    limit: Limit
    handle: int | None = None
    text: bytearray = field(default_factory=bytearray)
    version: int = 0  # of the metadata
    is_shown: bool = False  # metadata can be sent
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

    @property
    def waiting(self) -> int:
        """Bytes that have not arrived, if that is known."""
        return self.transport.waiting if isinstance(self.transport, Outgoing) else 0

    def behind(self, act: Callable[[], None]) -> None:
        """Do what need not wait for what was given to be sent."""
        act()

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


def index_of(handle: int, number: int, packet: Packet) -> SendIndex:
    """Return what is told of a packet, by its stream's handle and its number on the network."""
    return SendIndex(
        handle,
        number,
        packet.packet_size,
        packet.content_size,
        packet.timestamp_begin,
        packet.timestamp_end,
        packet.events_discarded,
        packet.stream_class,
        packet.stream_instance,
        packet.sequence,
    )


@implementer(IPacketSink)
class RelaySink:
    """Sends the streams of one session. `connect` it first.

    An index goes out right behind its packet, without waiting for the answer to the one before; `quiesce`
    waits for all of them, and until the relay daemon has said that every packet is there.
    """

    control: ControlClient | LastingControl
    data: DataPath | DatagramPath

    def __init__(
        self,
        clock: IReactorTime,
        session: RelaySession,
        seconds: Callable[[], float],
        on_lost: Callable[[str], None],
        on_away: Callable[[str], None] | None = None,
    ) -> None:
        self.session = session
        self.window = Window(self._ask_written) if session.is_windowed else None
        self._brake: Brake | None = None
        self._is_away = False
        self._on_away = on_away
        self._clock = clock
        self._seconds = seconds
        self._on_lost = on_lost
        self._streams: dict[int, Stream] = {}
        self._turn = DeferredLock()  # of what adds, moves or closes streams
        self._unanswered = 0
        self._all_answered: Deferred[None] | None = None
        self._lost: str | None = None
        self._closing: tuple[int, list[tuple[int, int]]] | None = None  # a chunk, and what was sent to it
        self._is_finished = False

    def connect(
        self, control: ControlClient, data: DataPath | DatagramPath, producer: IPushProducer | None
    ) -> None:
        """Take the two connections over which to send; the producer is paused while the relay is slow."""
        control.minor = self.session.minor
        control.on_lost = self.lose
        data.on_lost = self.lose
        self.control, self.data = LastingControl(control) if self.is_kept else control, data
        self.chunks = Chunks(self.control, self._seconds, self.session.chunk, self.session.snapshot)
        if producer is not None and self.window is not None:
            self._brake = Brake(producer)
            data.register(self._brake)
        elif producer is not None:
            data.register(producer)

    @property
    def lost(self) -> str:
        """See `IPacketSink`."""
        return self._lost or ""

    @property
    def is_away(self) -> bool:
        """Whether it waits for other connections, see `resume`."""
        return self._is_away

    @property
    def is_kept(self) -> bool:
        """Whether the relay daemon keeps the session when a connection is lost."""
        return bool(self.session.identity)

    async def resume(self, control: ControlClient, data: DataPath, session: int, commands: int) -> None:
        """Go on over other connections: send again what is not written.

        Args:
            control: on which the session was resumed.
            data: for packets.
            session: the relay daemon's number for it from now on.
            commands: number of the last numbered command that it has carried out.

        Raises:
            RelayLost: these connections are lost as well.
        """
        assert isinstance(self.control, LastingControl) and self.window is not None
        self.session.session = session
        control.minor = self.session.minor
        control.on_lost = data.on_lost = self.lose
        self.data, self._is_away = data, False
        if self._brake is not None:
            self._brake.release()
            data.register(self._brake)
        self.control.resume(control, commands)
        there = {each.stream: each for each in await self._written()}
        for copy in self.window:
            progress = there[copy.handle]  # what is closed there is confirmed
            header = DataHeader(0, copy.handle, copy.number, len(copy.packet.content), copy.packet.padding)
            if copy.number >= progress.packets:
                self.data.send(header.pack(), copy.packet.content)
            if copy.number >= progress.indexes:
                self._send_index(index_of(copy.handle, copy.number, copy.packet))
        if self._brake is not None:
            self._brake.fill(self.window.is_full)
        self.window.ask_if_due()

    async def _written(self) -> tuple[Progress, ...]:
        """Ask what is written, and forget that."""
        assert isinstance(self.control, LastingControl) and self.window is not None
        written = await self.control.demand(Extension.WRITTEN, b"", Written)
        self.control.confirm(written.commands)
        self.window.confirm({each.stream: min(each.packets, each.indexes) for each in written.streams})
        return written.streams

    def _ask_written(self) -> None:
        asking = Deferred.fromCoroutine(self._ask_until_there_is_room())
        asking.addErrback(lambda lost: lost.trap(RelayLost, RelayRefused))

    async def _ask_until_there_is_room(self) -> None:
        window = self.window
        assert window is not None
        try:
            while True:
                if self._brake is not None:
                    self._brake.fill(window.is_full)
                before = window.size
                self.control.hurry()
                if self.is_kept:
                    await self._written()
                else:
                    await self._ask_pending(window)
                if self._brake is not None:
                    self._brake.fill(window.is_full)
                if window.size * 2 < window.limit:
                    return
                if window.size == before:
                    await deferLater(self._clock, SOON)
        finally:
            window.forget_question()

    async def _ask_pending(self, window: Window) -> None:
        """Ask a relay daemon that knows nothing else whether the packets of each stream are there."""
        last = {copy.handle: copy.number for copy in window}
        known = {stream.handle for stream in self._streams.values()}
        first: dict[int, int] = {}
        for copy in window:
            first.setdefault(copy.handle, copy.number)
        for handle, number in last.items():
            if handle not in known:
                del first[handle]  # it is closed
                continue
            position = StreamPosition(handle, number).pack()
            if not (await self._ask(Command.DATA_PENDING, position, Status)).code:
                first[handle] = number + 1
        window.confirm(first)

    def abandon(self) -> None:
        """Give up, without a word to anybody."""
        self._on_lost = lambda why: None
        self._on_away = None
        self.lose("it was given up")

    def lose(self, why: str) -> None:
        """Give up: nothing can be delivered any more, unless the relay daemon keeps the session."""
        if self._lost is not None:
            return
        if self.is_kept and self._on_away is not None:
            self._leave(why)
            return
        self._lost = why
        self.data.abandon()
        self.control.abandon(why)
        if self._all_answered is not None:
            waiting, self._all_answered = self._all_answered, None
            waiting.errback(RelayLost(why))
        self._on_lost(why)

    def _leave(self, why: str) -> None:
        """Wait for other connections."""
        if self._is_away:
            return
        assert isinstance(self.control, LastingControl) and self._on_away is not None
        self._is_away = True
        if self._brake is not None:
            self._brake.pauseProducing()
        self.data.abandon()
        self.control.interrupt(why)
        self._unanswered = 0
        if self._all_answered is not None:
            waiting, self._all_answered = self._all_answered, None
            waiting.errback(RelayLost(why))
        self._on_away(why)

    async def begin(self) -> None:
        """See `IPacketSink`; opens a trace chunk where there is none."""
        async with self._turn:
            if self.session.minor >= chunks.SINCE and self.chunks.current is None:
                await self.chunks.open()
                if self._streams:
                    await self._enter()

    async def add_stream(self, path: str, name: str, limit: Limit = UNLIMITED) -> int:
        """See `IPacketSink`; the number is the relay daemon's first handle."""
        stream = Stream(path, name, limit)
        async with self._turn:
            handle = stream.handle = await self._announce(stream)
            self._streams[handle] = stream
        return handle

    async def publish(self) -> None:
        """See `IPacketSink`."""
        await self.control.demand(Command.STREAMS_SENT, b"", Status)

    def write_metadata(self, stream: int, text: bytes) -> None:
        """See `IPacketSink`."""
        known = self._streams[stream]
        known.text += text
        if self._is_open:
            self._send_metadata(known, text)

    def rewrite_metadata(self, stream: int, text: bytes) -> None:
        """See `IPacketSink`.

        Raises:
            CommandError: the relay daemon is too old.
        """
        if self.session.minor < RESETS_SINCE:
            raise CommandError(
                Code.RELAYD_VERSION_FAIL, "the relay daemon is too old: it does not take metadata anew"
            )
        known = self._streams[stream]
        known.text = bytearray(text)
        known.version += 1
        if self._is_open and known.handle is not None:
            reset = ResetMetadata(known.handle, known.version).pack()
            asked = self.control.ask(Command.RESET_METADATA, reset, Status)
            asked.addCallbacks(self._reset, lambda lost: lost.trap(RelayLost))
            self._send_metadata(known, text)

    def write(self, stream: int, packet: Packet) -> None:
        """See `IPacketSink`."""
        if self._lost is not None:
            return
        known = self._streams[stream]
        assert known.handle is not None  # sources are paused while there is no chunk
        number = known.sent
        known.sent += 1
        known.sequence = packet.sequence + 1
        known.ended = packet.timestamp_end
        if self.window is not None:
            self.window.add(stream, known.handle, number, packet)
        if not self._is_away:
            header = DataHeader(0, known.handle, number, len(packet.content), packet.padding)
            self.data.send(header.pack(), packet.content)
            self._send_index(index_of(known.handle, number, packet))

    def beacon(self, silence: Silence) -> None:
        """See `IPacketSink`: an index without a packet, which a relay daemon knows since 2.4."""
        known = self._streams.get(silence.stream)
        if known is None or known.handle is None or self._lost is not None or self._is_away:
            return
        if silence.until <= known.ended:
            return
        last = max(known.sent - 1, 0)
        self._send_index(SendIndex(known.handle, last, 0, 0, 0, silence.until, 0, silence.stream_class, 0, 0))

    def _send_index(self, index: SendIndex) -> None:
        if self.session.snapshot and self.session.datagrams is None:
            return
        self._unanswered += 1
        packed = index.pack(self.session.minor)

        def ask() -> None:
            asked = self.control.ask(Command.SEND_INDEX, packed, Status, may_wait=True)
            asked.addCallbacks(self._indexed, lambda lost: lost.trap(RelayLost))

        self.data.behind(ask)

    async def close_stream(self, stream: int) -> None:
        """See `IPacketSink`."""
        async with self._turn:
            known = self._streams.pop(stream)
            if known.is_metadata:
                self._show(known)
            await self._close_known(known)

    async def rotate(self, keep: bool, go_on: bool) -> str:
        """See `IPacketSink`. Nothing may be written meanwhile.

        Raises:
            CommandError: the relay daemon is too old, or does not allow what is asked.
        """
        self._check(keep)
        command = CloseCommand.MOVE_TO_COMPLETED if keep else CloseCommand.DELETE
        async with self._turn:
            before = await self.chunks.open() if go_on else self.chunks.leave()
            if before is None:
                return ""
            sent = [(stream.handle, stream.last) for stream in self._packets() if stream.handle is not None]
            await self._enter()
            path = await self.chunks.close(before, command)
            self._closing = before, sent
        return path

    async def archived(self) -> None:
        """See `IPacketSink`.

        Raises:
            RelayLost: the connection ended before, and not because all was delivered.
        """
        closing, self._closing = self._closing, None
        if closing is None:
            return
        end = self._clock.seconds() + PATIENCE
        try:
            while self._clock.seconds() < end and not await self._is_closed(*closing):
                await deferLater(self._clock, POLL)
        except RelayLost:
            if not self._is_finished:  # which has waited for the archives itself
                raise

    async def quiesce(self) -> None:
        """See `IPacketSink`.

        Raises:
            RelayLost: the connection ended before all had arrived.
        """
        if self._lost is not None or self._is_away:
            raise RelayLost(self._lost or "the relay daemon is away")
        if self._unanswered:
            self.control.hurry()
            self._all_answered = Deferred()
            await self._all_answered
        while not await self._has_arrived():
            await deferLater(self._clock, POLL)

    def waiting(self) -> int:
        """See `IPacketSink`."""
        return 0 if self._lost is not None else self.data.waiting

    async def finish(self) -> None:
        """See `IPacketSink`: the order of a genuine consumer daemon at ``destroy``."""
        for stream in self._texts():
            self._show(stream)
        await self.quiesce()
        if self.session.snapshot:
            await self._close_all()
        if (last := self.chunks.leave()) is not None:
            await self._move()
            await self.chunks.close(last, self.chunks.last_command)
            while await self.chunks.exists(last):
                await deferLater(self._clock, POLL)
        await self._close_all()
        if self.is_kept:
            await self.control.demand(Extension.FORGET_SESSION, b"", Status)
        self._is_finished = True
        self.data.close()
        self.control.close()

    async def _close_all(self) -> None:
        for stream in sorted(self._streams.values(), key=lambda stream: not stream.is_metadata):
            await self._close_known(stream)
        self._streams.clear()

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
            if stream.handle is None:
                continue
            if stream.is_metadata:
                await self._ask(Command.QUIESCENT_CONTROL, StreamQuery(stream.handle).pack(), Status)
                continue
            position = StreamPosition(stream.handle, stream.last).pack()
            if (await self._ask(Command.DATA_PENDING, position, Status)).code:
                return False
        return not (await self._ask(Command.END_DATA_PENDING, session, Status)).code

    @property
    def _is_open(self) -> bool:
        """Whether packets may be sent."""
        return self.session.minor < chunks.SINCE or self.chunks.current is not None

    def _packets(self) -> list[Stream]:
        return [stream for stream in self._streams.values() if not stream.is_metadata]

    def _texts(self) -> list[Stream]:
        return [stream for stream in self._streams.values() if stream.is_metadata]

    def _check(self, keep: bool) -> None:
        if keep and self.session.minor < chunks.SINCE:
            raise CommandError(
                Code.ROTATION_NOT_AVAILABLE_RELAY, "the relay daemon is too old: it does not know rotations"
            )
        if not keep and self.session.minor < CLEARS_SINCE:
            raise CommandError(
                Code.CLEAR_NOT_AVAILABLE_RELAY, "the relay daemon is too old: it cannot clear a session"
            )
        if not keep and not self.session.clears:
            raise CommandError(
                Code.CLEAR_RELAY_DISALLOWED, "the relay daemon does not allow that sessions are cleared"
            )

    async def _announce(self, stream: Stream) -> int:
        minor, limit = self.session.minor, stream.limit
        path = self.session.prefix + stream.path
        count = limit.count or MANY if limit.size else 0
        wanted = AddStream(stream.name, path, limit.size, count, self.chunks.current or 0)
        added = await self.control.demand(Command.ADD_STREAM, wanted.pack(minor), StreamAdded)
        return added.handle

    def _move(self) -> Awaitable[None]:
        """Let the streams that the relay daemon knows go to the current chunk, or to none."""
        packets = [(s.handle, s.sequence) for s in self._packets() if s.handle is not None]
        return self.chunks.move(packets, [(s.handle, 0) for s in self._texts() if s.handle is not None])

    async def _enter(self) -> None:
        """Let all streams go to the current chunk, or to none; in a chunk the metadata is whole.

        A stream without packets would leave its chunk only with the first: such a stream is made anew.
        """
        idle = [stream for stream in self._packets() if not stream.sent]
        for stream in idle:
            await self._close_known(stream)
        moved = self._move()
        if self._is_open:
            for stream in self._texts():
                self._send_metadata(stream, stream.text)
        await moved
        if self._is_open and idle:
            for stream in idle:
                stream.handle = await self._announce(stream)
            await self.publish()

    def _send_metadata(self, stream: Stream, text: bytes | bytearray) -> None:
        """Send metadata in pieces, which end with a line.

        Those of a live session begin with the signature, as a comment: babeltrace2 looks for it whenever
        there is more metadata, and where it is missing, takes the version from memory that nobody has set.
        And there is none before streams are described in it: babeltrace2 crashes later if it has read some.
        """
        if self.session.live and not stream.is_shown:
            if STREAM not in stream.text:
                return
            stream.is_shown, text = True, stream.text
        assert stream.handle is not None  # one that takes metadata is always known
        head = MetadataHeader(stream.handle, 0).pack()
        at = 0
        while at < len(text):
            end = at + PIECE
            if end < len(text):
                end = text.rfind(b"\n", at, end) + 1 or end  # unless there is a line that long
            signed = not self.session.live or text.startswith(SIGNATURE, at)
            self.control.tell(Command.SEND_METADATA, head + (b"" if signed else SIGNATURE) + text[at:end])
            at = end

    def _show(self, stream: Stream) -> None:
        """Send metadata that has waited for its streams to be described: they won't be any more."""
        if self.session.live and not stream.is_shown:
            stream.is_shown = True
            self._send_metadata(stream, stream.text)

    def _reset(self, answer: Status) -> None:
        if answer.code != Code.OK:
            self.lose(str(RelayRefused(Command.RESET_METADATA.name, answer.code)))

    async def _is_closed(self, chunk: int, sent: list[tuple[int, int]]) -> bool:
        """Tell whether a chunk that was closed is where it stays, with all that was sent to it."""
        if await self.chunks.exists(chunk):
            return False
        known = {stream.handle for stream in self._streams.values()}
        for handle, last in sent:
            if handle not in known:
                continue
            position = StreamPosition(handle, last).pack()
            if (await self._ask(Command.DATA_PENDING, position, Status)).code:
                return False
        return True

    async def _close_known(self, stream: Stream) -> None:
        handle, stream.handle = stream.handle, None
        if handle is not None:
            position = StreamPosition(handle, stream.last).pack()
            await self.control.demand(Command.CLOSE_STREAM, position, Status)

    async def _ask(self, number: Command, payload: bytes, kind: type[Status]) -> Status:
        return await self.control.ask(number, payload, kind)
