"""A session as one viewer sees it: which of its streams the viewer was told of, and where it is in each.

There may be tens of thousands of streams: an answer that lists them, at 4 KiB each, is made piece by piece,
and what goes through all of them pauses after each.
"""

from collections import deque
from collections.abc import Callable, Iterator

from lttngnet.relayd.position import MetadataPosition, Position
from lttngnet.relayd.store.session import Session
from lttngnet.relayd.store.stream import Stream
from lttngnet.relayd.store.trace import Trace
from lttngnet.wire import viewer as wire
from lttngnet.wire.viewer import Flags, Seek, StreamRecord, StreamsHead, StreamsStatus

UNTOLD_LIMIT = 4096  # streams that a viewer was not told of, and above which those that closed are forgotten
FLAGS = (Flags.NONE, Flags.NEW_STREAMS), (Flags.NEW_METADATA, Flags.NEW_METADATA | Flags.NEW_STREAMS)
RECORDS = 16  # streams in a piece of an answer: 68 KiB


class Attachment:
    """See the module.

    Args:
        session: the session.
        seek: where to begin in the streams that are there.
        is_rotating: tells whether the session is between two trace chunks.

    Attributes:
        told: the streams that the viewer may ask for, by handle.
    """

    def __init__(self, session: Session, seek: Seek, is_rotating: Callable[[], bool]) -> None:
        self.session = session
        self.is_rotating = is_rotating
        self.told: dict[int, Position | MetadataPosition] = {}
        self._seek = seek
        self._unplaced = deque(stream for stream in session.streams.values() if stream.published)
        self._untold: deque[Position | MetadataPosition] = deque()
        self._untold_limit = UNTOLD_LIMIT
        session.watchers.add(self)

    def published(self, stream: Stream) -> None:
        """See `Watcher`."""
        self._untold.append(place(stream, Seek.BEGINNING))
        if len(self._untold) > self._untold_limit:
            self._untold = deque(position for position in self._untold if not position.stream.is_closed)
            self._untold_limit = max(UNTOLD_LIMIT, 2 * len(self._untold))

    @property
    def has_new_streams(self) -> bool:
        """Whether there are streams that the viewer may be told of."""
        return bool(self._untold) and any(position.stream.trace.is_described for position in self._untold)

    def attached(self, status: int) -> Iterator[bytes]:
        """Answer who attaches: with no streams while the session rotates, they are new ones later."""
        while self._unplaced:
            self._untold.append(place(self._unplaced.popleft(), self._seek))
            yield b""
        if self.is_rotating():
            yield StreamsHead(status).pack()
        else:
            yield from self._tell(status)

    def new_streams(self) -> Iterator[bytes]:
        """Answer who asks for new streams."""
        if self.is_rotating():
            yield StreamsHead(StreamsStatus.NONE).pack()
            return
        if self.session.has_ended and not self.has_new_streams:
            for position in self.told.values():
                if isinstance(position, Position) and not position.is_finished:
                    break
                yield b""
            else:  # the producer has left, and the viewer has read everything
                yield StreamsHead(StreamsStatus.HUNG_UP).pack()
                return
        yield from self._tell(StreamsStatus.OK)

    def _tell(self, status: int) -> Iterator[bytes]:
        new: deque[Position | MetadataPosition] = deque()
        untold, self._untold = self._untold, deque()
        while untold:
            position = untold.popleft()
            (new if position.stream.trace.is_described else self._untold).append(position)
            yield b""
        yield StreamsHead(status, len(new)).pack()
        while new:
            some = [new.popleft() for _ in range(min(RECORDS, len(new)))]
            self.told |= {position.stream.handle: position for position in some}
            yield b"".join(record(position.stream).pack() for position in some)

    def flags(self, trace: Trace) -> Flags:
        """Return what the viewer should ask for before it reads more of that trace."""
        metadata = None if trace.metadata is None else self.told.get(trace.metadata)
        is_due = isinstance(metadata, MetadataPosition) and metadata.is_due
        return FLAGS[is_due][self.has_new_streams]

    def forget(self, position: Position | MetadataPosition) -> None:
        """The viewer is done with a stream."""
        position.close()
        del self.told[position.stream.handle]

    def leave(self) -> Iterator[None]:
        """Detach the viewer."""
        self.session.watchers.discard(self)
        while self.told:
            self.told.popitem()[1].close()
            yield


def place(stream: Stream, seek: Seek) -> Position | MetadataPosition:
    """Return where a viewer begins in a stream; metadata is always needed from its beginning."""
    return MetadataPosition(stream) if stream.is_metadata else Position(stream, seek)


def record(stream: Stream) -> StreamRecord:
    """Return a stream as viewers are told of it; names longer than the field are cut."""
    path = wire.clip(str(stream.path), wire.PATH_WIDTH)
    channel = wire.clip(stream.name, wire.CHANNEL_WIDTH)
    return StreamRecord(stream.handle, stream.trace.number, stream.is_metadata, path, channel)
