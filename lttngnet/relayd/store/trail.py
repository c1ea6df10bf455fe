"""The trace files of a stream in the order in which they were begun, for viewers to follow.

A trail remembers files, never what is in them: a viewer reads entries and packets from disk. It knows the
files of the present trace chunk; who is still in an older one finds the way from there.
"""

from pathlib import PurePosixPath
from typing import Protocol

from lttngnet.ctf.index import ENTRY_10, ENTRY_11, HEADER
from lttngnet.relayd.store.chunk import Chunk

FILES_KEPT = 1024  # of a stream in a live session; without a limit memory would grow with the trace


class Growing(Protocol):
    """What is being written.

    Attributes:
        size: bytes, also of a file that is closed.
        whole: bytes of metadata that make sense by themselves.
    """

    size: int
    whole: int

    @property
    def is_closed(self) -> bool:
        """Whether nothing more will be written."""


class TraceFile:
    """A trace file and its index.

    Attributes:
        chunk: that it lies in.
        path: of the trace file, below the chunk.
        data: the trace file.
        index: its index, once there is one.
        next: the trace file that was begun after it.
        is_gone: whether another file has its name now, or it is too long ago.
    """

    __slots__ = ("_entry", "chunk", "data", "index", "is_gone", "next", "path")

    def __init__(self, chunk: Chunk, path: PurePosixPath, data: Growing, index_minor: int | None) -> None:
        self.chunk = chunk
        self.path = path
        self.data = data
        self.index: Growing | None = None
        self.next: TraceFile | None = None
        self.is_gone = False
        self._entry = ENTRY_11 if index_minor else ENTRY_10

    @property
    def index_path(self) -> PurePosixPath:
        """Path of the index, below the chunk."""
        return self.path.parent / "index" / f"{self.path.name}.idx"

    @property
    def entries(self) -> int:
        """How many entries were written."""
        return 0 if self.index is None else max(0, self.index.size - HEADER.size) // self._entry.size

    @property
    def is_complete(self) -> bool:
        """Whether it gets no more entries, and another file comes after it."""
        return self.next is not None and (self.index is None or self.index.is_closed)

    @property
    def is_lost(self) -> bool:
        """Whether what was not read of it will not be read."""
        return self.is_gone or self.chunk.is_cleared

    @property
    def entry_size(self) -> int:
        """Bytes of an entry of the index; it begins with what viewers are told of a packet."""
        return self._entry.size

    def place_of(self, entry: int) -> int:
        """Return where an entry lies in the index."""
        return HEADER.size + entry * self._entry.size


class Trail:
    """See the module.

    Args:
        limit: files that a viewer can go back to.

    Attributes:
        first: the oldest file that is kept of the present chunk.
        last: the file that is written now, or was written last.
    """

    first: TraceFile
    last: TraceFile

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept = 0

    def begin(self, file: TraceFile) -> None:
        """Go on in another file."""
        if self._kept:
            self.last.next = file
        if not self._kept or self.first.chunk is not file.chunk:
            self.first, self._kept = file, 0
        elif self.first.path == file.path or self._kept == self._limit:
            oldest, self.first = self.first, self.first.next or file
            oldest.is_gone, oldest.next = True, None
            self._kept -= 1
        self.last = file
        self._kept += 1
