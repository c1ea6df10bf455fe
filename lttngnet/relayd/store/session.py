"""A session: what one control connection feeds, its streams and its trace chunks.

A tracing session of a session daemon comes as one or more of these, one for each of its consumer
processes; they share the trace chunks.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import PurePosixPath
from typing import NamedTuple, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from lttngnet.errors import Code
from lttngnet.log import Logger
from lttngnet.relayd.refusal import Refusal
from lttngnet.relayd.store import names
from lttngnet.relayd.store.chunk import ARCHIVES, NEW, OLD, ROOT, Chunk, Chunks
from lttngnet.relayd.store.facts import Facts
from lttngnet.relayd.store.files import Found
from lttngnet.relayd.store.journal import Journal
from lttngnet.relayd.store.kept import KeptStream
from lttngnet.relayd.store.late import Late, Strangers
from lttngnet.relayd.store.pairing import Waiting
from lttngnet.relayd.store.stream import Place, Stream
from lttngnet.relayd.store.trace import Trace
from lttngnet.relayd.store.trail import FILES_KEPT
from lttngnet.relayd.turns import Rounds
from lttngnet.wire.relay import AddStream, CloseCommand, CloseTraceChunk, CreateTraceChunk, SendIndex
from lttngnet.wire.relay.datagrams import DatagramsOpened, Missing
from lttngnet.wire.relay.extension import KeepSession, Written

STREAMS_LIMIT = 1 << 16  # of a session; one ROTATE_STREAMS may name about as many
KEPT_SINCE = 11  # the minor from which on peers know trace chunks


class Connection(Protocol):
    """A control or data connection of a session."""

    def displace(self) -> None:
        """Close: the session has another connection now."""


class Keeping(Protocol):
    """What makes sessions outlive their connections.

    Attributes:
        patience: seconds to wait for a peer that comes back.
    """

    patience: float

    def begin(self, session: "Session", wanted: KeepSession) -> Journal:
        """Begin the journal of a session. Raises Refusal and OSError."""

    def end(self, journal: Journal) -> None:
        """The session cannot be resumed any more."""


class FoundStream(NamedTuple):
    """A stream that was found: where it lies, what is there, how far it is."""

    kept: KeptStream
    path: PurePosixPath
    chunk: Chunk | None
    found: Found | None
    place: Place


class RecoveredChunks(NamedTuple):
    """The trace chunks of a session that was found."""

    closing: Chunk | None
    current: Chunk | None
    has_rotated: bool


class Watcher(Protocol):
    """A viewer that is attached to a session."""

    def published(self, stream: Stream) -> None:
        """Viewers may know of that stream from now on."""


class Inlet(Protocol):
    """What takes the packets of a session that come over UDP; see `lttngnet.relayd.inlet`."""

    def add_index(self, stream: Stream, index: SendIndex) -> None:
        """Take an index. Raises Refusal and OSError as `Stream.add_index`."""

    def lose(self, packets: tuple[tuple[int, int], ...]) -> None:
        """Wait no more for these."""

    def forget(self, stream: Stream) -> None:
        """A stream is closed."""

    def when_idle(self, then: Callable[[], None]) -> None:
        """Call back when nothing is waited for any more."""

    def close(self) -> None:
        """Take nothing any more."""


class Datagrams(Protocol):
    """What knows the inlets of all sessions; see `lttngnet.relayd.datagrams`."""

    def open(self, session: "Session", flags: int) -> DatagramsOpened:
        """Make the inlet of a session. Raises Refusal."""

    def tell(self, session: "Session", wanted: int) -> Missing:
        """Answer what is missing there. Raises Refusal."""


class Session:
    """A relay session.

    Args:
        facts: what does not change.
        chunks: of all sessions.
        chunk: that the streams begin in, None until one is created.
        handles: gives streams their numbers.
        trace_numbers: gives traces theirs.
        gone: told when nothing is left of the session.
        rounds: gives the turns in which it ends.
        strangers: the data connections that may turn out to be its own.
        clock: of the reactor; None waits for ever.
        keeping: what it needs to outlive its connection.

    Attributes:
        streams: the open ones, by handle.
        watchers: the viewers that are attached.
        has_written: whether there is anything of it to keep in its folder.
        datagrams: where it may have its data over UDP; None where nowhere.
        inlet: through which it has; None where it has not.
        owner: its control connection, if that may be displaced by another one.
        journal: where it is written down, if it outlives its connections.
    """

    log = Logger()

    def __init__(
        self,
        facts: Facts,
        chunks: Chunks,
        chunk: Chunk | None,
        handles: Iterator[int],
        trace_numbers: Iterator[int],
        gone: Callable[["Session"], None],
        rounds: Rounds,
        strangers: Strangers,
        clock: IReactorTime | None = None,
        keeping: "Keeping | None" = None,
    ) -> None:
        self.facts = facts
        self.streams: dict[int, Stream] = {}
        self.watchers: set[Watcher] = set()
        self.has_written = chunk is not None
        self.datagrams: Datagrams | None = None
        self.inlet: Inlet | None = None
        self._chunks = chunks
        self._chunk = chunk.acquire() if chunk else None
        self._closing: Chunk | None = None  # the one before, until the peer closes it
        self._has_rotated = False
        self._handles = handles
        self._traces: dict[PurePosixPath, Trace] = {}
        self._trace_numbers = trace_numbers
        self._gone = gone
        self._rounds = rounds
        self._unpublished: dict[int, Stream] = {}
        self._doomed: deque[Stream] = deque()  # nobody can name them any more; still to be closed
        self._late = Late(strangers, clock, self._arrived, self._give_up)
        self._waiting = Waiting()
        self._is_ending = False
        self._has_ended = False
        self._is_gone = False
        self._is_resting = False
        self._keeping = keeping
        self._clock = clock
        self._patience: IDelayedCall | None = None  # with a peer that does not come back
        self._feeder: Connection | None = None
        self.owner: Connection | None = None
        self.journal: Journal | None = None

    @property
    def has_ended(self) -> bool:
        """Whether its control connection is gone."""
        return self._has_ended

    def stream(self, handle: int) -> Stream:
        """Return an open stream of this session. Raises Refusal."""
        try:
            return self.streams[handle]
        except KeyError:
            raise Refusal(Code.UNKNOWN, f"session {self.facts.number} has no stream {handle}") from None

    # ------------------------------------------------------------ streams

    def announce(self, wanted: AddStream) -> Stream:
        """Give a stream its number and its place. Raises Refusal."""
        name = names.component(wanted.channel, "stream name")
        path = self.facts.place(wanted.path)
        limits = (wanted.tracefile_size, wanted.tracefile_count)
        if len(self.streams) + len(self._doomed) >= STREAMS_LIMIT:
            raise Refusal(Code.NOMEM, f"session {self.facts.number} has {STREAMS_LIMIT} streams already")
        return self._make_stream(next(self._handles), path, name, limits)

    def _make_stream(self, handle: int, path: PurePosixPath, name: str, limits: tuple[int, int]) -> Stream:
        kept = FILES_KEPT if self.facts.live_timer else 1
        trace = self._traces.get(path) or Trace(next(self._trace_numbers), kept)
        return Stream(
            handle,
            path,
            name,
            limits,
            self.facts.index_minor,
            trace,
            self._waiting,
            self._stream_gone,
            self._rounds,
            self.journal.note if self.journal is not None else None,
        )

    def open(self, stream: Stream) -> None:
        """Make the file of a stream. Raises Refusal and OSError."""
        if self._chunk is None:
            raise Refusal(Code.UNKNOWN, f"session {self.facts.number} has no trace chunk now")
        stream.open(self._chunk)
        self.streams[stream.handle] = stream
        self._unpublished[stream.handle] = stream
        self._traces[stream.path] = stream.trace
        stream.trace.add(stream)
        if self.journal is not None:
            limits = stream.limits
            self.journal.note(
                "stream", stream.handle, str(stream.path), stream.name, *limits, self._chunk.number
            )

    def publish(self) -> Iterator[None]:
        """Let viewers know of all streams."""
        new, self._unpublished = self._unpublished, {}
        for handle, stream in new.items():
            if handle in self.streams:  # and was not closed
                stream.published = True
                stream.trace.publish(stream)
                for watcher in self.watchers:
                    watcher.published(stream)
            yield
        if self.journal is not None:
            self.journal.note("published")

    def begin_check(self) -> None:
        """Forget which streams were asked for pending data."""
        for stream in self.streams.values():
            stream.checked = False

    def has_unchecked(self) -> bool:
        """Tell whether a stream that was not asked for since `begin_check` may have data on its way."""
        return any(not (stream.checked or stream.is_complete) for stream in self.streams.values())

    # ------------------------------------------------------------ trace chunks

    def create_chunk(self, wanted: CreateTraceChunk) -> None:
        """Let new streams go to another chunk; those that are open go there by `rotate`.

        Raises:
            Refusal: the name cannot be, or the chunk before the present one was not closed.
            OSError: a folder cannot be made or moved.
        """
        override = names.chunk_name(wanted.name) if wanted.name else ""
        if self._closing is not None or (self._chunk and self._chunk.number == wanted.chunk):
            raise Refusal(Code.UNKNOWN, f"no chunk {wanted.chunk} is due: another one is not closed")
        if self._chunk is not None and not self._chunk.override:
            self._move_chunk(self._chunk, OLD)
        tracing = self.facts.tracing
        chunk = self._chunks.find(tracing, wanted.chunk)
        if chunk is None:
            folder = self._folder_of_next(override)
            chunk = self._chunks.make(tracing, wanted.chunk, wanted.created, override, folder)
        self._closing, self._chunk = self._chunk, chunk.acquire()
        self._tell_of_rotation()
        self.has_written = True
        if self.journal is not None:
            for number in list(self.journal.kept.chunks):
                if self._chunks.find(tracing, number) is None:
                    self.journal.note("dropped", number)
            self.journal.note("chunk", chunk.number, wanted.created, override, str(chunk.folder))

    def _move_chunk(self, chunk: Chunk, folder: PurePosixPath) -> None:
        """Let a chunk go to another folder, and write that down before. Raises OSError."""
        if self.journal is not None and folder != chunk.folder:
            self.journal.note("folder", chunk.number, str(folder))
            self.journal.flush()
        chunk.move(folder)

    def _folder_of_next(self, override: str) -> PurePosixPath | None:
        """Return where the next chunk begins, None for a folder of its own name."""
        if override:
            return None
        if self._chunk is not None:
            return NEW
        return None if self._has_rotated else ROOT

    def rotate(self, number: int | None, positions: tuple[tuple[int, int], ...]) -> Iterator[None]:
        """Move streams to a chunk, or to none, each from a packet sequence number on.

        Raises:
            Refusal: chunk or stream are unknown, or a stream cannot move.
            OSError: a file cannot be made.
        """
        chunk = None
        if number is not None:
            chunk = self._chunks.find(self.facts.tracing, number)
            if chunk is None:
                raise Refusal(Code.INVALID_PROTOCOL, f"no chunk {number} to rotate to")
        unknown = [handle for handle, _ in positions if handle not in self.streams]
        if unknown:
            raise Refusal(Code.INVALID, f"no streams {unknown} to rotate")
        for handle, position in positions:
            yield from self.streams[handle].rotate(chunk, position)

    def close_chunk(self, wanted: CloseTraceChunk) -> PurePosixPath:
        """Let go of a chunk, and return where it will be, relative to the output folder.

        Raises:
            Refusal: there is no such chunk here.
            OSError: a folder cannot be moved.
        """
        tracing, has_rotated = self.facts.tracing, self._has_rotated
        chunk = self._chunks.find(tracing, wanted.chunk)
        if chunk is None:
            raise Refusal(Code.NOMEM, f"no chunk {wanted.chunk} to close")
        if chunk not in (self._chunk, self._closing) or (self._closing and chunk is not self._closing):
            raise Refusal(Code.INVALID_PROTOCOL, f"chunk {wanted.chunk} is not the one to close")
        if wanted.command is CloseCommand.DELETE and not self.facts.allows_clear:
            raise Refusal(Code.INVALID_PROTOCOL, "clearing traces is not allowed here")
        chunk.close(wanted.closed, wanted.command)
        keeps_place = wanted.command in (None, CloseCommand.NO_OPERATION)
        if self._chunk and chunk is not self._chunk and self._chunk.folder == NEW:
            to_root = wanted.command is CloseCommand.DELETE and not has_rotated
            self._move_chunk(self._chunk, ROOT if to_root else PurePosixPath(self._chunk.name))
        if keeps_place and not chunk.override:
            self._move_chunk(chunk, PurePosixPath(chunk.name) if has_rotated else ROOT)
        self._has_rotated = has_rotated or wanted.command is CloseCommand.MOVE_TO_COMPLETED
        if self.journal is not None:
            self._note_closed(self.journal, wanted)
        self._release_chunk(chunk)
        if chunk.override:
            return tracing.path / chunk.name
        return tracing.path / ARCHIVES / chunk.closed_name if has_rotated else tracing.path

    def _note_closed(self, journal: Journal, wanted: CloseTraceChunk) -> None:
        command = None if wanted.command is None else int(wanted.command)
        if self._has_rotated and not journal.kept.has_rotated:
            journal.note("rotated")
        journal.note("closed", wanted.chunk, wanted.closed, command)
        journal.flush()

    def chunk_exists(self, number: int) -> bool:
        """Tell whether there is a chunk, or something of it is still to be deleted."""
        return self._chunks.exists(self.facts.tracing, number)

    # ------------------------------------------------------------ the end

    def begin_feeding(self, feeder: Connection | None = None) -> None:
        """A data connection brings packets for this session from now on.

        Raises:
            Refusal: another one does.
        """
        if self._late.is_fed:
            raise Refusal(Code.INVALID_PROTOCOL, f"session {self.facts.number} has a data connection already")
        self._feeder = feeder
        self._late.begin_feeding()

    def end_feeding(self, is_torn: bool = False) -> None:
        """It is gone.

        Args:
            is_torn: in the middle of a packet, or where it went wrong.
        """
        self._feeder = None
        if is_torn:
            self.spoil()
        self._late.end_feeding()

    def begin_inlet(self, inlet: Inlet) -> None:
        """Packets come over UDP from now on, and on no data connection. Raises Refusal."""
        if self.journal is not None:
            raise Refusal(Code.NOT_SUPPORTED, "a session that is kept has its data over TCP")
        self.begin_feeding()
        self.inlet = inlet

    def _end_inlet(self) -> None:
        inlet, self.inlet = self.inlet, None
        if inlet is not None:
            inlet.close()
            self.end_feeding()
        self._rounds.do(self._end())

    def spoil(self) -> None:
        """What was coming in on the data connection will not come, from there."""
        if self.journal is None:
            self.abort()
            return
        for stream in self.streams.values():
            self._quietly(stream.cut)

    # ------------------------------------------------------------ connections that come and go

    def keep(self, wanted: KeepSession) -> None:
        """Outlive the control connection from now on. Raises Refusal and OSError."""
        if self._keeping is None or self.facts.minor < KEPT_SINCE or self.facts.snapshot:
            raise Refusal(Code.NOT_SUPPORTED, f"session {self.facts.number} cannot be resumed here")
        if self.journal is not None or self.streams or self._chunk is not None or self.inlet is not None:
            raise Refusal(Code.INVALID_PROTOCOL, "KEEP_SESSION comes first, and once")
        self.journal = self._keeping.begin(self, wanted)

    def adopt(self, journal: Journal, chunks: RecoveredChunks, streams: Iterable[FoundStream]) -> None:
        """Be a session that was found, and wait for its peer. Raises OSError."""
        self.journal, self.has_written = journal, True
        self._closing, self._chunk, self._has_rotated = chunks
        self._tell_of_rotation()
        for chunk in (self._closing, self._chunk):
            if chunk is not None:
                chunk.acquire()
        for each in streams:
            kept = each.kept
            stream = self._make_stream(kept.handle, each.path, kept.name, (kept.size, kept.count))
            stream.go_on(each.chunk, each.found, each.place)
            self.streams[stream.handle] = stream
            self._unpublished[stream.handle] = stream
            self._traces[stream.path] = stream.trace
            stream.trace.add(stream)
            if kept.is_published:
                del self._unpublished[stream.handle]
                stream.published = True
                stream.trace.publish(stream)
        for stream in list(self.streams.values()):
            stream.catch_up()
        self._wait_for_peer()

    def progress(self) -> Written:
        """Return what is written of it. Raises Refusal and OSError."""
        if self.journal is None:
            raise Refusal(Code.INVALID_PROTOCOL, f"session {self.facts.number} is not kept")
        self.journal.flush()
        streams = tuple(each.progress for each in self.streams.values() if not each.is_metadata)
        return Written(Code.OK, self.journal.kept.commands, streams)

    def leave(self, is_fault: bool) -> None:
        """The control connection is gone: end, or wait for another one if the session outlives it.

        Args:
            is_fault: the peer made mistakes; what is missing would come from it.
        """
        self.owner = None
        if self._is_resting:
            return
        if self.journal is not None:
            self._quietly(self.journal.flush)
            self.log.info("Session {number} waits to be resumed", number=self.facts.number)
            self._wait_for_peer()
            return
        if is_fault:
            self.abort()
        self.end()

    def resume(self) -> None:
        """Another control connection goes on with it: those of before are closed."""
        self._displace()
        self.spoil()
        self._be_patient_no_more()

    def _displace(self) -> None:
        owner, self.owner = self.owner, None
        feeder, self._feeder = self._feeder, None
        for displaced in (owner, feeder):
            if displaced is not None:
                displaced.displace()
        if feeder is not None:
            self._late.end_feeding()

    def forget(self) -> None:
        """Outlive the connection no more."""
        journal, self.journal = self.journal, None
        for stream in (*self.streams.values(), *self._doomed):
            stream.forget()
        if journal is not None:
            self._quietly(journal.remove)
            assert self._keeping is not None
            self._keeping.end(journal)

    def rest(self) -> None:
        """This daemon ends: what is here of the session is for the next one to go on with."""
        assert self.journal is not None
        self._is_resting = True
        self._displace()
        self._be_patient_no_more()
        self.spoil()
        self._quietly(self.journal.flush)
        self._quietly(self.journal.close)

    def _wait_for_peer(self) -> None:
        self._be_patient_no_more()
        self.spoil()
        if self._clock is not None and self._keeping is not None:
            self._patience = self._clock.callLater(self._keeping.patience, self._out_of_patience)

    def _out_of_patience(self) -> None:
        self._patience = None
        self.log.warn("Session {number} is not resumed: it ends", number=self.facts.number)
        self.forget()
        self.end()

    def _be_patient_no_more(self) -> None:
        patience, self._patience = self._patience, None
        if patience is not None:
            patience.cancel()

    def end(self) -> None:
        """The control connection is gone: close what is complete; the rest as its data comes in.

        What does not come is given up by `Late`, or by the inlet.
        """
        if not self._is_ending:
            self._is_ending = True
            if self.inlet is None:
                self._rounds.do(self._end())
            else:
                self.inlet.when_idle(self._end_inlet)

    def _end(self) -> Iterator[None]:
        ending = deque(self.streams.values())  # each is let go of in its turn: to free many takes long
        while ending:
            stream = ending.popleft()
            if not (stream.is_closed or self._quietly(stream.finish)):
                self.streams.pop(stream.handle, None)
                self._close(stream)
            yield
        for chunk in (self._closing, self._chunk):
            if chunk is not None:
                self._quietly(partial(self._release_chunk, chunk))
        self._has_ended = True
        if self.streams:
            self._late.wait()
        else:
            self._gone_if_empty()

    def _arrived(self) -> list[tuple[int, int]]:
        return [stream.arrived for stream in self.streams.values()]

    def _give_up(self, why: str) -> None:
        if self.streams:
            self.log.warn("Session {number} ends without the rest: {why}", number=self.facts.number, why=why)
        self.abort()

    def abort(self) -> None:
        """Close all streams, whatever is missing; from now on nobody can name them."""
        if self.inlet is not None:
            self.inlet.close()
        is_closing = bool(self._doomed)
        self._doomed.extend(self.streams.values())
        self.streams.clear()
        if self._doomed and not is_closing:
            self._rounds.do(self._close_doomed())

    def _close_doomed(self) -> Iterator[None]:
        while self._doomed:
            self._close(self._doomed[0])
            self._doomed.popleft()
            yield
        self._gone_if_empty()

    def _close(self, stream: Stream) -> None:
        if not stream.is_closed:  # meanwhile
            self._quietly(stream.close)

    def _tell_of_rotation(self) -> None:
        if self._closing is None:
            self._chunks.rotating.pop(self, None)
        else:
            self._chunks.rotating[self] = self.facts.tracing

    def _release_chunk(self, chunk: Chunk) -> None:
        if chunk is self._closing:
            self._closing = None
            self._tell_of_rotation()
        else:
            self._chunk = None
        chunk.release()

    def _stream_gone(self, stream: Stream) -> None:
        self.streams.pop(stream.handle, None)
        self._unpublished.pop(stream.handle, None)
        if self.inlet is not None:
            self.inlet.forget(stream)
        stream.trace.remove(stream)
        if not stream.trace.streams:
            self._traces.pop(stream.path, None)
        self._gone_if_empty()

    def _gone_if_empty(self) -> None:
        if self._has_ended and not (self.streams or self._doomed or self._is_gone):
            self._is_gone = True
            self._be_patient_no_more()
            self.forget()
            self._late.end()
            self._gone(self)

    def _quietly(self, act: Callable[[], None]) -> bool:
        """Do a thing at the end of a session, which ends whatever happens; return whether it was done.

        Nobody is left to be told that the disk fails; of a defect of ours there is a traceback in the log.
        """
        try:
            act()
        except OSError as problem:
            self.log.error("Session {number}: {problem}", number=self.facts.number, problem=problem)
        except Exception:
            self.log.failure("Defect at the end of session {number}", number=self.facts.number)
        else:
            return True
        return False
