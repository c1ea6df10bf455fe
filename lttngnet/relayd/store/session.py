"""A session: what one control connection feeds, its streams and its trace chunks.

A tracing session of a session daemon comes as one or more of these, one for each of its consumer
processes; they share the trace chunks.
"""

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import PurePosixPath
from typing import Protocol

from twisted.internet.interfaces import IReactorTime

from lttngnet.errors import Code
from lttngnet.log import Logger
from lttngnet.relayd.refusal import Refusal
from lttngnet.relayd.store import names
from lttngnet.relayd.store.chunk import ARCHIVES, NEW, OLD, ROOT, Chunk, Chunks
from lttngnet.relayd.store.facts import Facts
from lttngnet.relayd.store.late import Late, Strangers
from lttngnet.relayd.store.pairing import Waiting
from lttngnet.relayd.store.stream import Stream
from lttngnet.relayd.store.trace import Trace
from lttngnet.relayd.store.trail import FILES_KEPT
from lttngnet.relayd.turns import Rounds
from lttngnet.wire.relay import AddStream, CloseCommand, CloseTraceChunk, CreateTraceChunk, SendIndex
from lttngnet.wire.relay.datagrams import DatagramsOpened, Missing

STREAMS_LIMIT = 1 << 16  # of a session; one ROTATE_STREAMS may name about as many


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

    Attributes:
        streams: the open ones, by handle.
        watchers: the viewers that are attached.
        has_written: whether there is anything of it to keep in its folder.
        datagrams: where it may have its data over UDP; None where nowhere.
        inlet: through which it has; None where it has not.
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

    @property
    def has_ended(self) -> bool:
        """Whether its control connection is gone."""
        return self._has_ended

    @property
    def is_rotating(self) -> bool:
        """Whether its streams are between two trace chunks."""
        return self._closing is not None

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
        kept = FILES_KEPT if self.facts.live_timer else 1
        trace = self._traces.get(path) or Trace(next(self._trace_numbers), kept)
        return Stream(
            next(self._handles),
            path,
            name,
            limits,
            self.facts.index_minor,
            trace,
            self._waiting,
            self._stream_gone,
            self._rounds,
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
            self._chunk.move(OLD)
        tracing = self.facts.tracing
        chunk = self._chunks.find(tracing, wanted.chunk)
        if chunk is None:
            folder = self._folder_of_next(override)
            chunk = self._chunks.make(tracing, wanted.chunk, wanted.created, override, folder)
        self._closing, self._chunk = self._chunk, chunk.acquire()
        self.has_written = True

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
            self._chunk.move(ROOT if to_root else PurePosixPath(self._chunk.name))
        if keeps_place and not chunk.override:
            chunk.move(PurePosixPath(chunk.name) if has_rotated else ROOT)
        self._has_rotated = has_rotated or wanted.command is CloseCommand.MOVE_TO_COMPLETED
        self._release_chunk(chunk)
        if chunk.override:
            return tracing.path / chunk.name
        return tracing.path / ARCHIVES / chunk.closed_name if has_rotated else tracing.path

    def chunk_exists(self, number: int) -> bool:
        """Tell whether there is a chunk, or something of it is still to be deleted."""
        return self._chunks.exists(self.facts.tracing, number)

    # ------------------------------------------------------------ the end

    def begin_feeding(self) -> None:
        """A data connection brings packets for this session from now on.

        Raises:
            Refusal: another one does.
        """
        if self._late.is_fed:
            raise Refusal(Code.INVALID_PROTOCOL, f"session {self.facts.number} has a data connection already")
        self._late.begin_feeding()

    def end_feeding(self) -> None:
        """It is gone."""
        self._late.end_feeding()

    def begin_inlet(self, inlet: Inlet) -> None:
        """Packets come over UDP from now on, and on no data connection. Raises Refusal."""
        self.begin_feeding()
        self.inlet = inlet

    def _end_inlet(self) -> None:
        inlet, self.inlet = self.inlet, None
        if inlet is not None:
            inlet.close()
            self.end_feeding()
        self._rounds.do(self._end())

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
            if not stream.is_closed:  # meanwhile
                self._quietly(stream.finish)
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
            if not self._doomed[0].is_closed:
                self._quietly(self._doomed[0].close)
            self._doomed.popleft()
            yield
        self._gone_if_empty()

    def _release_chunk(self, chunk: Chunk) -> None:
        if chunk is self._closing:
            self._closing = None
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
            self._late.end()
            self._gone(self)

    def _quietly(self, act: Callable[[], None]) -> None:
        """Do a thing at the end of a session, of which nobody is left to be told that the disk fails."""
        try:
            act()
        except OSError as problem:
            self.log.error("Session {number}: {problem}", number=self.facts.number, problem=problem)
