"""What has to be known of a session that outlives its connection, and is not in its files and indexes.

It is made of records, one after the other: whoever reads them again, knows the same. A record is a list: its
kind, and values as `KINDS` has them. Records that were read from a disk are input like any other: what cannot
be is a `BadRecord`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from lttngnet.relayd.store.pairing import NEVER
from lttngnet.wire.relay.extension import WRITTEN_LIMIT

VERSION = 1
ANSWERS_KEPT = 64  # of numbered commands: a sender waits for some of its questions to be answered
FILES_KEPT = 4096  # trace files of a stream whose packets may still lack their indexes
CHUNKS_KEPT = 1 << 10
PLACES_KEPT = 1 << 18  # files of a chunk
NUMBER_LIMIT = 1 << 64
ANSWER_LIMIT = 1 << 14  # characters

Record = list[Any]

_NUMBER, _TEXT, _NUMBER_OR_NONE = object(), object(), object()

KINDS: dict[str, tuple[object, ...]] = {
    # version, identity, digest of the secret, name, host, minor, live timer, session daemon, its number of
    # the session, path, trace format
    "session": (_NUMBER, *(_TEXT,) * 4, _NUMBER, _NUMBER, _TEXT, _NUMBER, _TEXT, _NUMBER),
    "chunk": (_NUMBER, _NUMBER, _TEXT, _TEXT),  # number, created, override, folder
    "folder": (_NUMBER, _TEXT),  # the chunk of that number is about to go there
    "closed": (_NUMBER, _NUMBER, _NUMBER_OR_NONE),  # number, when, command
    "rotated": (),  # a chunk was archived
    "dropped": (_NUMBER,),  # nothing refers to that chunk any more
    "place": (_NUMBER, _TEXT, _TEXT, _NUMBER),  # chunk, path, name, highest number of a trace file
    "stream": (_NUMBER, _TEXT, _TEXT, _NUMBER, _NUMBER, _NUMBER),  # handle, path, name, size, count, chunk
    "published": (),  # all streams up to here
    "text": (_NUMBER, _NUMBER),  # handle, bytes of metadata
    # handle, number, its first packet; how many are written by then, the last one's number in the stream
    "file": (_NUMBER, _NUMBER, _NUMBER, _NUMBER, _NUMBER),
    "rotate": (_NUMBER, _NUMBER_OR_NONE, _NUMBER),  # handle, chunk, packet sequence number
    "moved": (_NUMBER, _NUMBER_OR_NONE, _NUMBER, _NUMBER),  # handle, chunk, first packet, last number before
    "last": (_NUMBER, _NUMBER),  # handle, last packet that will come
    "gone": (_NUMBER,),  # the stream is closed
    "done": (_NUMBER, _TEXT),  # number of a command, its answer
}


class BadRecord(ValueError):
    """A record that no daemon of ours has written."""


@dataclass
class KeptFile:
    """A trace file of a stream.

    Attributes:
        number: in its name.
        first: network number of its first packet.
        packet: number in the stream of the last packet that was written when it was begun.
        is_next: it was begun for its first packet, which found no room in the one before.
    """

    number: int
    first: int
    packet: int = NEVER
    is_next: bool = False


@dataclass
class KeptStream:
    """A stream.

    Attributes:
        files: those that may have packets without an index, and the last one.
        packet: number in the stream of the last packet before the first of these files.
        text: bytes of metadata that are whole.
        last: network number of the last packet, once the peer closes the stream.
        rotation: chunk that it is about to move to, and the number of the first packet there.
    """

    handle: int
    path: str
    name: str
    size: int
    count: int
    chunk: int | None
    files: list[KeptFile] = field(default_factory=lambda: [KeptFile(0, 0)])
    packet: int = NEVER
    text: int = 0
    is_published: bool = False
    last: int | None = None
    rotation: tuple[int | None, int] | None = None


@dataclass
class KeptChunk:
    """A trace chunk.

    Attributes:
        was: the folder before the present one, from which it may not have come yet.
        places: highest number of a trace file of that folder and name.
    """

    number: int
    created: int
    override: str
    folder: str
    was: str = ""
    is_closed: bool = False
    ended: int = 0
    command: int | None = None
    places: dict[tuple[str, str], int] = field(default_factory=dict)

    def paths(self, is_limited: Callable[[str, str], bool]) -> Iterator[PurePosixPath]:
        """Yield all files that were made in it, and maybe more."""
        for (folder, name), highest in self.places.items():
            limited = highest > 0 or is_limited(folder, name)
            for each in [f"{name}_{number}" for number in range(highest + 1)] if limited else [name]:
                yield PurePosixPath(folder, each)
                yield PurePosixPath(folder, "index", f"{each}.idx")


class Kept:
    """See the module.

    Attributes:
        head: the record ``session``, without its kind.
        streams: by handle.
        chunks: by number, oldest first.
        current: number of the chunk that new streams go to.
        closing: number of the one before, until it is closed.
        has_rotated: whether one was archived.
        commands: number of the last numbered command that was carried out.
        answers: of the last ones, by number.
    """

    def __init__(self) -> None:
        self.head: list[Any] = []
        self.streams: dict[int, KeptStream] = {}
        self.chunks: dict[int, KeptChunk] = {}
        self.current: int | None = None
        self.closing: int | None = None
        self.has_rotated = False
        self.commands = 0
        self.answers: dict[int, bytes] = {}

    def apply(self, record: object) -> None:
        """Learn what a record says.

        Raises:
            BadRecord: it is none, or makes no sense after those before.
        """
        if not isinstance(record, list) or not record or record[0] not in KINDS:
            raise BadRecord(f"{str(record)[:80]} is no record")
        kind, *values = record
        if len(values) != len(KINDS[kind]) or not all(map(_is, values, KINDS[kind])):
            raise BadRecord(f"{str(record)[:80]} is no record of its kind")
        if (kind == "session") == bool(self.head):
            raise BadRecord("a journal begins with its session, and has no other")
        try:
            getattr(self, f"_{kind}")(*values)
        except (KeyError, ValueError, IndexError) as problem:
            raise BadRecord(f"{str(record)[:80]} makes no sense: {problem!r}") from None

    def records(self) -> Iterator[Record]:
        """Yield few records that say the same as all that were applied."""
        yield ["session", *self.head]
        if self.has_rotated:
            yield ["rotated"]
        for chunk in self.chunks.values():
            if chunk.was:
                yield ["chunk", chunk.number, chunk.created, chunk.override, chunk.was]
                yield ["folder", chunk.number, chunk.folder]
            else:
                yield ["chunk", chunk.number, chunk.created, chunk.override, chunk.folder]
            if chunk.is_closed:
                yield ["closed", chunk.number, chunk.ended, chunk.command]
            for (path, name), highest in chunk.places.items():
                yield ["place", chunk.number, path, name, highest]
        is_published = True
        for stream in sorted(self.streams.values(), key=lambda stream: not stream.is_published):
            if is_published and not stream.is_published:
                is_published = False
                yield ["published"]
            yield from self._of_stream(stream)
        if is_published:
            yield ["published"]
        for number, answer in self.answers.items():
            yield ["done", number, answer.hex()]

    def _of_stream(self, stream: KeptStream) -> Iterator[Record]:
        handle, first = stream.handle, stream.files[0]
        chunk = 0 if stream.chunk is None else stream.chunk
        yield ["stream", handle, stream.path, stream.name, stream.size, stream.count, chunk]
        yield ["moved", handle, stream.chunk, first.first, stream.packet]
        for file in stream.files:
            if not file.is_next:
                continue  # it is what a stream begins with in a chunk
            written = first.first + 1 if file is first else 0
            yield ["file", handle, file.number, file.first, written, file.packet]
        yield ["text", handle, stream.text]
        if stream.rotation is not None:
            yield ["rotate", handle, *stream.rotation]
        if stream.last is not None:
            yield ["last", handle, stream.last]

    # ------------------------------------------------------------ one method for each kind

    def _session(self, version: int, *facts: Any) -> None:
        if version != VERSION:
            raise BadRecord(f"a journal of version {version}, and this is version {VERSION}")
        self.head = [version, *facts]

    def _chunk(self, number: int, created: int, override: str, folder: str) -> None:
        if len(self.chunks) >= CHUNKS_KEPT or number in self.chunks:
            raise ValueError("too many chunks, or the same twice")
        self.chunks[number] = KeptChunk(number, created, override, folder)
        self.closing, self.current = self.current, number

    def _folder(self, number: int, folder: str) -> None:
        chunk = self.chunks[number]
        if chunk.folder != folder:
            chunk.was, chunk.folder = chunk.folder, folder

    def _closed(self, number: int, ended: int, command: int | None) -> None:
        chunk = self.chunks[number]
        chunk.is_closed, chunk.ended, chunk.command = True, ended, command
        if number == self.closing:
            self.closing = None
        elif number == self.current:
            self.current = None

    def _rotated(self) -> None:
        self.has_rotated = True

    def _dropped(self, number: int) -> None:
        if number in (self.current, self.closing):
            raise ValueError("it is not closed")
        del self.chunks[number]

    def _place(self, chunk: int, path: str, name: str, highest: int) -> None:
        places = self.chunks[chunk].places
        if len(places) >= PLACES_KEPT:
            raise ValueError("too many files")
        if highest > PLACES_KEPT:
            raise ValueError("too many trace files")
        places[path, name] = max(highest, places.get((path, name), 0))

    def _stream(self, handle: int, path: str, name: str, size: int, count: int, chunk: int) -> None:
        if handle in self.streams or len(self.streams) >= WRITTEN_LIMIT:
            raise ValueError("too many streams, or the same twice")
        self.streams[handle] = KeptStream(handle, path, name, size, count, chunk)
        if chunk in self.chunks:
            self._place(chunk, path, name, 0)

    def _published(self) -> None:
        for stream in self.streams.values():
            stream.is_published = True

    def _text(self, handle: int, size: int) -> None:
        self.streams[handle].text = size

    def _file(self, handle: int, number: int, first: int, written: int, packet: int) -> None:
        stream = self.streams[handle]
        stream.files.append(KeptFile(number, first, packet, True))
        while len(stream.files) > 1 and (stream.files[1].first < written or len(stream.files) > FILES_KEPT):
            stream.files.pop(0)
        if stream.chunk is not None:
            self._place(stream.chunk, stream.path, stream.name, number)

    def _rotate(self, handle: int, chunk: int | None, position: int) -> None:
        self.streams[handle].rotation = (chunk, position)

    def _moved(self, handle: int, chunk: int | None, first: int, packet: int) -> None:
        stream = self.streams[handle]
        stream.rotation, stream.chunk, stream.text = None, chunk, 0
        stream.files, stream.packet = [KeptFile(0, first)], packet
        if chunk is not None:
            self._place(chunk, stream.path, stream.name, 0)

    def _last(self, handle: int, last: int) -> None:
        self.streams[handle].last = last

    def _gone(self, handle: int) -> None:
        del self.streams[handle]

    def _done(self, number: int, answer: str) -> None:
        if len(answer) > ANSWER_LIMIT:
            raise ValueError("an answer of many bytes")
        self.commands = number
        self.answers[number] = bytes.fromhex(answer)
        while len(self.answers) > ANSWERS_KEPT:
            del self.answers[next(iter(self.answers))]


def _is(value: object, kind: object) -> bool:
    if kind is _TEXT:
        return isinstance(value, str) and len(value) <= ANSWER_LIMIT
    if value is None:
        return kind is _NUMBER_OR_NONE
    return type(value) is int and NEVER <= value < NUMBER_LIMIT
