"""Back from the disk: what a daemon that was killed, or ended, knew of a session that is to be resumed.

The journal says which streams and trace chunks there are; the indexes say which packets are whole. What
stands behind the last of them in a trace file is cut off: its sender still has it.
"""

from pathlib import PurePosixPath
from typing import NamedTuple
from uuid import UUID

from lttngnet.ctf.index import ENTRY_10, ENTRY_11, HEADER, IndexEntry
from lttngnet.log import Logger
from lttngnet.relayd.store import names
from lttngnet.relayd.store.chunk import ARCHIVES, NEW, OLD, ROOT, Chunk, Chunks, Tracing
from lttngnet.relayd.store.files import File, Found
from lttngnet.relayd.store.kept import BadRecord, Kept, KeptChunk, KeptStream
from lttngnet.relayd.store.pairing import NEVER
from lttngnet.relayd.store.session import KEPT_SINCE, FoundStream, RecoveredChunks
from lttngnet.relayd.store.stream import Place, Rotation
from lttngnet.relayd.store.trace import METADATA
from lttngnet.wire.relay import MINOR, CloseCommand
from lttngnet.wire.relay.commands import HOSTNAME_LIMIT, NAME_LIMIT


class Head(NamedTuple):
    """What a journal says of its session."""

    version: int
    identity: str
    digest: str
    name: str
    hostname: str
    minor: int
    live_timer: int
    sessiond: str
    session: int
    path: str
    trace_format: int

    @property
    def tracing(self) -> Tracing:
        """The session as its session daemon knows it. Raises Refusal and ValueError."""
        return Tracing(UUID(self.sessiond), self.session, names.stream_path(self.path))


def head_of(name: str, kept: Kept) -> Head:
    """Return what the journal of that name says of its session.

    Raises:
        BadRecord: it cannot be.
        Refusal: a name cannot be.
    """
    head = Head(*kept.head)
    names.component(head.name, "session name")
    names.component(head.hostname, "host name")
    is_sane = KEPT_SINCE <= head.minor <= MINOR and 0 <= head.live_timer < 1 << 32 and head.session >= 0
    if head.identity != name or not is_sane or len(head.name) >= NAME_LIMIT:
        raise BadRecord("it is the journal of another session")
    if len(head.hostname) >= HOSTNAME_LIMIT or head.trace_format not in (1, 2):
        raise BadRecord("its session cannot be")
    return head


class Recovery:
    """Finds out what is there of one session.

    Args:
        chunks: of all sessions.
        tracing: the session.
        kept: what its journal says; what is not there any more is taken out of it.
        index_minor: format 1.x of the index files.
    """

    log = Logger()

    def __init__(self, chunks: Chunks, tracing: Tracing, kept: Kept, index_minor: int) -> None:
        self._all = chunks
        self._tracing = tracing
        self._kept = kept
        self._entry = ENTRY_11 if index_minor else ENTRY_10
        self._chunks: dict[int, Chunk] = {}

    def chunks(self) -> RecoveredChunks:
        """Find the trace chunks; they are referred to until `release`.

        Raises:
            BadRecord: what the journal says of one cannot be.
            Refusal: a name cannot be.
            OSError: one cannot be brought to its place.
        """
        for kept in list(self._kept.chunks.values()):
            chunk = self._all.find(self._tracing, kept.number)
            if chunk is None:
                chunk = self._found_chunk(kept)
            if chunk is None:
                del self._kept.chunks[kept.number]
            else:
                self._chunks[kept.number] = chunk.acquire()
        try:
            closing, current = (
                None if number is None else self._chunks[number]
                for number in (self._kept.closing, self._kept.current)
            )
        except KeyError as missing:
            raise BadRecord(f"chunk {missing} is not there") from None
        return RecoveredChunks(closing, current, self._kept.has_rotated)

    def _found_chunk(self, kept: KeptChunk) -> Chunk | None:
        override = names.chunk_name(kept.override) if kept.override else ""
        limited = {(stream.path, stream.name) for stream in self._kept.streams.values() if stream.size}
        folder, was = self._folder(kept.folder), self._folder(kept.was) if kept.was else ROOT
        tracing = self._tracing
        chunk = self._all.make(tracing, kept.number, kept.created, override, folder, is_there=True)
        for path in kept.paths(lambda folder, name: (folder, name) in limited):
            _check(path)
            chunk.has(path)
        if kept.was:
            chunk.complete_move(was)
            kept.was = ""
        if kept.is_closed:
            command = None if kept.command is None else CloseCommand(kept.command)
            if not chunk.is_there or (command is CloseCommand.DELETE and self._is_shared(kept)):
                command = None  # it was done before
            chunk.close(kept.ended, command)
        return chunk

    def _is_shared(self, kept: KeptChunk) -> bool:
        return any(each is not kept and each.folder == kept.folder for each in self._kept.chunks.values())

    def _folder(self, text: str) -> PurePosixPath:
        """Check where a chunk lies: in the session's own folder, or one or two below."""
        folder = PurePosixPath(text)
        is_known = folder in (ROOT, OLD, NEW)
        if not is_known:
            name = folder.relative_to(ARCHIVES) if folder.parts[0] == str(ARCHIVES) else folder
            if len(name.parts) != 1:
                raise BadRecord(f"no chunk lies in {text[:80]!r}")
            names.component(str(name), "chunk folder")
        return folder

    def release(self) -> None:
        """Refer to the chunks no more: what was to become of those that are closed is done."""
        while self._chunks:
            try:
                self._chunks.popitem()[1].release()
            except OSError as problem:
                self.log.error("A trace chunk stays where it is: {problem}", problem=problem)

    def stream(self, kept: KeptStream) -> FoundStream:
        """Find the files of a stream, and cut off what is torn.

        Raises:
            BadRecord: what the journal says of it cannot be.
            Refusal: a name cannot be.
            OSError: a file is not there.
        """
        name, path = names.component(kept.name, "stream name"), names.stream_path(kept.path)
        if kept.handle <= 0 or kept.handle >= 1 << 63 or kept.size < 0 or kept.count < 0:
            raise BadRecord(f"a stream {kept.handle} cannot be")
        chunk = None if kept.chunk is None else self._chunks.get(kept.chunk)
        if kept.chunk is not None and chunk is None:
            raise BadRecord(f"chunk {kept.chunk} of stream {kept.handle} is not there")
        rotation = None
        if kept.rotation is not None:
            number, position = kept.rotation
            if number is not None and number not in self._chunks:
                raise BadRecord(f"chunk {number}, where stream {kept.handle} goes, is not there")
            rotation = Rotation(None if number is None else self._chunks[number], position)
        if chunk is None:
            place = Place(kept.files[-1].first, kept.packet, 0, kept.last, rotation)
            return FoundStream(kept, path, None, None, place)
        if name == METADATA:
            return self._metadata(kept, path, chunk, rotation)
        return self._packets(kept, path, chunk, rotation)

    def _metadata(
        self, kept: KeptStream, path: PurePosixPath, chunk: Chunk, rotation: Rotation | None
    ) -> FoundStream:
        size = self._size(chunk, path / _file_name(kept, 0))
        if size < kept.text:
            raise OSError(f"{kept.text - size} bytes of metadata are gone")
        found = Found(0, kept.text, 0)
        return FoundStream(kept, path, chunk, found, Place(0, last=kept.last, rotation=rotation))

    def _packets(
        self, kept: KeptStream, path: PurePosixPath, chunk: Chunk, rotation: Rotation | None
    ) -> FoundStream:
        """Find the first trace file that lacks an index entry, or the last one: there it goes on."""
        packet, entries, end = kept.packet, 0, 0
        files = list(kept.files)
        while True:
            file, *later = files
            is_overwritten = any(each.number == file.number for each in later)
            if not is_overwritten:
                packet = max(packet, file.packet)
                entries, end, last = self._entries(chunk, path / _file_name(kept, file.number), packet)
                packet = packet if last is None else last
                if not later or file.first + entries < later[0].first:
                    break
            files = later
        for gone in files[1:]:
            for each in (path / _file_name(kept, gone.number), _index(path / _file_name(kept, gone.number))):
                chunk.unlink(each)
        kept.files = files[:1]
        index_size = HEADER.size + entries * self._entry.size if entries else 0
        found = Found(file.number, end, index_size)
        begun = file.first if file.is_next and not entries else NEVER
        place = Place(file.first + entries, packet, end, kept.last, rotation, begun)
        return FoundStream(kept, path, chunk, found, place)

    def _entries(self, chunk: Chunk, path: PurePosixPath, before: int) -> tuple[int, int, int | None]:
        """Return how many packets of a trace file are whole, where they end, and the number of the last.

        Args:
            chunk: that it lies in.
            path: of the trace file, below the chunk.
            before: number in the stream of a packet before the first one there. An index that begins before
                it is that of another trace file, which had the name until then.
        """
        size = self._size(chunk, path)
        try:
            index = File(chunk.adopt(_index(path)))
        except FileNotFoundError:
            return 0, 0, None
        try:
            each = self._entry.size
            count = max(0, index.measure() - HEADER.size) // each
            if count and (first := self._entry_of(index, 0).packet_sequence) is not None and first <= before:
                count = 0
            while count:
                entry = self._entry_of(index, count - 1)
                end = entry.offset + entry.packet_size // 8
                if end <= size:
                    return count, end, entry.packet_sequence
                count -= 1
            return 0, 0, None
        finally:
            index.close()

    def _entry_of(self, index: File, number: int) -> IndexEntry:
        each = self._entry.size
        return IndexEntry(*self._entry.unpack(index.read(HEADER.size + number * each, each)))

    def _size(self, chunk: Chunk, path: PurePosixPath) -> int:
        file = File(chunk.adopt(path))
        try:
            return file.measure()
        finally:
            file.close()


def _check(path: PurePosixPath) -> None:
    names.stream_path(str(path.parent))
    names.component(path.name, "stream name")


def _file_name(kept: KeptStream, number: int) -> str:
    return f"{kept.name}_{number}" if kept.size else kept.name


def _index(path: PurePosixPath) -> PurePosixPath:
    return path.parent / "index" / f"{path.name}.idx"
