"""The files of a local trace: those of a stream, with their indexes, and the folder that all lie in."""

import os
import time
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import BinaryIO

from lttngnet.ctf.index import IndexEntry, index_header
from lttngnet.ctf.packet import Limit, Packet

FOLDER_MODE = 0o770
FILE_MODE = 0o660
INDEX_MINOR = 1

ARCHIVES = "archives"
_BEING_MOVED = ".tmp_old_chunk"


class Chunk:
    """A folder with all that was recorded between two rotations.

    The first lies in the session's folder itself until it is archived, as LTTng has it.

    Args:
        session: the session's folder.
        number: of the chunk, from 0.
        created: seconds since the epoch.
        in_place: whether it lies in the session's folder itself.
    """

    def __init__(self, session: Path, number: int, created: int, in_place: bool) -> None:
        self._session = session
        self._begin = f"{_time(created)}-"
        self._number = number
        self._in_place = in_place
        self._made: dict[Path, None] = {}  # relative paths of the files, in the order they were made
        self.folder = session if in_place else session / f"{self._begin}{number}"

    def create(self, path: PurePath) -> BinaryIO:
        """Open a new file for writing, without a buffer; an older one stays for those who have it open."""
        file = self.folder / path
        make_folder(file.parent)
        file.unlink(missing_ok=True)
        self._made[Path(path)] = None
        return create(file)

    def replace(self, path: PurePath, text: bytes) -> BinaryIO:
        """Write a new file in place of an older one: whoever looks finds the one or the other, whole."""
        aside = path.with_name(f".{path.name}.new")
        file = self.create(aside)
        try:
            write_all(file, text)
            (self.folder / aside).replace(self.folder / path)
        except OSError:
            file.close()
            (self.folder / aside).unlink(missing_ok=True)
            raise
        finally:
            del self._made[Path(aside)]
        self._made[Path(path)] = None
        return file

    def archive(self, closed: int) -> Path:
        """Move it, closed at that time, to where it stays; return that path."""
        place = self._session / ARCHIVES / f"{self._begin}{_time(closed)}-{self._number}"
        make_folder(place.parent)
        if self._in_place:
            moving = self._session / _BEING_MOVED  # nobody is to see half of it in its place
            make_folder(moving)
            for name in {path.parts[0] for path in self._made}:
                (self.folder / name).rename(moving / name)
            moving.rename(place)
        elif self.folder.exists():
            self.folder.rename(place)
        self.folder = place
        return place

    def delete(self) -> None:
        """Delete its files, and the folders that are empty then."""
        for path in self._made:
            (self.folder / path).unlink(missing_ok=True)
        folders = {parent for path in self._made for parent in path.parents if parent.parts}
        for folder in sorted(folders, key=lambda folder: -len(folder.parts)):
            _remove_empty(self.folder / folder)
        if not self._in_place:
            _remove_empty(self.folder)
        self._made.clear()


class StreamFiles:
    """The files of a stream in one chunk after the other: that of the packets, and its index.

    Attributes:
        path: of the stream below a chunk.
    """

    def __init__(self, path: PurePath, limit: Limit, chunk: Chunk, has_index: bool = True) -> None:
        self.path = path
        self._has_index = has_index
        self._limit = limit
        self._trace: BinaryIO | None = None
        self._index: BinaryIO | None = None
        self.enter(chunk)

    def enter(self, chunk: Chunk) -> None:
        """Write to this chunk from now on."""
        self.close()
        self._chunk = chunk
        self._number = 0
        self._open()

    def append(self, text: bytes) -> None:
        """Write metadata."""
        assert self._trace is not None
        write_all(self._trace, text)

    def rewrite(self, text: bytes) -> None:
        """Write all metadata anew; where that fails, what there was stays."""
        trace = self._chunk.replace(self.path.with_name(self._name), text)
        self.close()
        self._trace = trace

    def text(self) -> bytes:
        """Return what was written."""
        return (self._chunk.folder / self.path).read_bytes()

    def write(self, packet: Packet) -> None:
        """Write a packet, and its index."""
        size = len(packet.content) + packet.padding
        if self._limit.size and self._size and self._size + size > self._limit.size:
            self._number += 1
            if self._limit.count:
                self._number %= self._limit.count
            self._open()
        trace, offset = self._trace, self._size
        assert trace is not None
        if self._index is None and self._has_index:
            self._index = self._chunk.create(self.path.parent / "index" / f"{self._name}.idx")
            self._index.write(index_header(INDEX_MINOR))
        try:
            write_all(trace, packet.content)
            if packet.padding:
                trace.truncate(offset + size)
                trace.seek(offset + size)
        except OSError:
            trace.truncate(offset)  # half a packet would make the rest unreadable
            raise
        self._size += size
        entry = IndexEntry(
            offset,
            packet.packet_size,
            packet.content_size,
            packet.timestamp_begin,
            packet.timestamp_end,
            packet.events_discarded,
            packet.stream_class,
            packet.stream_instance,
            packet.sequence,
        )
        if self._index is not None:
            self._index.write(entry.pack())

    def close(self) -> None:
        """Close both files."""
        for file in (self._trace, self._index):
            if file is not None:
                file.close()
        self._trace = self._index = None

    @property
    def _name(self) -> str:
        return f"{self.path.name}_{self._number}" if self._limit.size else self.path.name

    def _open(self) -> None:
        self.close()
        self._trace = self._chunk.create(self.path.with_name(self._name))
        self._size = 0


def traces_in(folder: Path) -> Iterator[PurePath]:
    """Yield where traces lie below a folder."""
    return (metadata.parent.relative_to(folder) for metadata in folder.rglob("metadata"))


def make_folder(path: Path) -> None:
    """Make a folder and what is missing above it, readable for owner and group."""
    path.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)


def create(path: Path) -> BinaryIO:
    """Open a file of a trace for writing, empty, without a buffer."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, FILE_MODE), "wb", buffering=0)


def write_all(file: BinaryIO, data: bytes | bytearray | memoryview) -> None:
    """Write every byte: an unbuffered file may take fewer than it is given."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def _time(seconds: int) -> str:
    return time.strftime("%Y%m%dT%H%M%S%z", time.localtime(seconds))


def _remove_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
