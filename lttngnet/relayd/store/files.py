"""The files that one stream writes in one trace chunk: trace files and their indexes."""

import os
from collections.abc import Callable, Iterator
from errno import ESTALE
from pathlib import PurePosixPath
from typing import NamedTuple
from uuid import uuid4

from lttngnet.ctf.index import index_header
from lttngnet.log import Logger
from lttngnet.relayd.store.chunk import Chunk
from lttngnet.relayd.store.pool import Descriptor
from lttngnet.relayd.store.trail import TraceFile, Trail
from lttngnet.wire.codec import Buffer

ZEROS = memoryview(bytes(1 << 18))
log = Logger()
COPY = 1 << 18  # bytes that are moved at once from one file to another


class File:
    """A file that only grows. Every write raises OSError.

    Attributes:
        descriptor: of the file.
        size: in bytes.
        whole: bytes of metadata that make sense: behind them may stand the beginning of more.
        is_closed: whether nothing more is written.
    """

    def __init__(self, descriptor: Descriptor, size: int = 0) -> None:
        self.descriptor = descriptor
        self.size = size
        self.whole = 0
        self.is_closed = False
        self._is_held = False

    def append(self, data: Buffer, padding: int = 0) -> None:
        """Write the data, and as many zeros: as a hole where there are more of them than data.

        A hole reads as zeros as well, and so padding that is only announced costs no disk.
        """
        descriptor, length, before = self.descriptor.number(), len(data), self.size
        try:
            if descriptor < 0:
                self.size += length + padding
            elif padding <= min(length, len(ZEROS)):  # both in one system call
                self._write(descriptor, [data, ZEROS[:padding]] if padding else [data], length + padding)
            else:
                self._write(descriptor, [data], length)
                os.ftruncate(descriptor, self.size + padding)
                self.size += padding
        except OSError:
            self.size = before  # what was written of it will be written over, or cut off
            raise

    def cut(self, size: int) -> None:
        """Have so many bytes again: what stood behind them is gone. Raises OSError."""
        os.ftruncate(self._opened(), size)
        self.size = size

    def measure(self) -> int:
        """Return how many bytes a file has that was found. Raises OSError."""
        self.size = os.fstat(self._opened()).st_size
        return self.size

    def read(self, start: int, length: int) -> bytes:
        """Return bytes of it; fewer at its end. Raises OSError."""
        return os.pread(self._opened(), length, start)

    def move_tail(self, start: int, target: "File") -> Iterator[None]:
        """Move all bytes from ``start`` on to the beginning of another file, piece by piece."""
        at = start
        while at < self.size:
            piece = os.pread(self._opened(), min(COPY, self.size - at), at)
            if not piece:
                raise OSError(f"file ends at {at} bytes instead of {self.size}")
            at += os.pwrite(target._opened(), piece, at - start)
            yield
        os.ftruncate(self._opened(), start)
        self.size = start

    def lend(self, recall: Callable[[], None]) -> int:
        """Return a descriptor for somebody else to write with, who is told when it is about to be closed.

        It is -1 where nothing of the file is left. Raises OSError.
        """
        number = self.descriptor.number()
        self.descriptor.recall = recall
        return number

    def call_back(self) -> None:
        """Nobody else writes any more."""
        self.descriptor.recall = None

    def fail(self, problem: OSError) -> None:
        """Raise this whenever something is written from now on, and at the end."""
        self.descriptor.problem = problem

    def hold(self) -> None:
        """Keep the file open, even if it is closed, until `release`."""
        self._is_held = True

    def release(self) -> None:
        """Keep it open no more. Raises OSError."""
        self._is_held = False
        if self.is_closed:
            self.descriptor.close()

    def close(self) -> None:
        """Let go of the file; to do so twice is no error. Raises OSError."""
        self.is_closed = True
        if not self._is_held:
            self.descriptor.close()

    def _opened(self) -> int:
        descriptor = self.descriptor.number()
        if descriptor < 0:
            raise OSError(ESTALE, "the file was deleted long ago")
        return descriptor

    def _write(self, descriptor: int, buffers: list[Buffer], length: int) -> None:
        written = os.pwritev(descriptor, buffers, self.size)
        self.size += written
        while written < length:  # the disk is full, or a signal came: the next call says which
            rest = memoryview(b"".join(buffers))[written:]
            buffers, length = [rest], len(rest)
            written = os.pwritev(descriptor, buffers, self.size)
            self.size += written


def close_each(files: set[File]) -> Iterator[None]:
    """Let go of each of these files; where that fails, the log says so."""
    while files:
        try:
            files.pop().close()
        except OSError as problem:
            log.error("What was written last is lost: {problem}", problem=problem)
        yield


class Found(NamedTuple):
    """What is there of a stream's files: the number of the trace file, bytes of it and of its index."""

    number: int
    size: int
    index_size: int


class Files:
    """What a stream writes in a chunk: a trace file, or with a size limit one after the other.

    Args:
        chunk: that they lie in; referred to until `close`.
        path: of the trace, below the chunk.
        name: of the stream.
        size_limit: bytes after which another trace file is begun; 0 is never.
        count: trace files that are kept; 0 is all.
        index_minor: format 1.x of the index files; None where there are none.
        trail: told of every trace file, for viewers.
        found: what is there already, to go on with; None begins anew.
    """

    def __init__(
        self,
        chunk: Chunk,
        path: PurePosixPath,
        name: str,
        size_limit: int,
        count: int,
        index_minor: int | None,
        trail: Trail,
        found: Found | None = None,
    ) -> None:
        self._path = path
        self._name = name
        self._size_limit = size_limit
        self._count = count
        self._index_minor = index_minor
        self._number = 0 if found is None else found.number
        self._trail = trail
        self.index_file: File | None = None
        self._aside: PurePosixPath | None = None  # where the trace file lies until it takes its place
        self._chunk = chunk.acquire()
        try:
            self.data = self._begin() if found is None else self._go_on(found)
        except OSError:
            chunk.release()
            raise

    def is_full(self, size: int) -> bool:
        """Tell whether a packet with that many bytes of data belongs into another trace file."""
        return 0 < self._size_limit < self.data.size + size

    @property
    def following(self) -> int:
        """Number of the trace file that `next` begins."""
        return (self._number + 1) % self._count if self._count else self._number + 1

    def forget_following(self) -> None:
        """Remove the index of the trace file that had that number before. Raises OSError."""
        name = f"{self._name}_{self.following}.idx"
        self._chunk.unlink(self._path / "index" / name)

    def next(self) -> None:
        """Begin another trace file. Its index is another one as well: see `take_index`."""
        before, self._number = self._number, self.following
        try:
            self.restart()
        except OSError:
            self._number = before
            raise

    def index(self) -> File | None:
        """Return the index file of the present trace file, made now if need be; None where there are none.

        Raises:
            OSError: it cannot be made, or the trace file's folder is gone: nobody will find what is written.
        """
        if self.index_file is None and self._index_minor is not None:
            self._chunk.require(self._path)
            self.index_file = self._create(self._path / "index" / f"{self._file_name}.idx")
            self.index_file.append(index_header(self._index_minor))
            self._trail.last.index = self.index_file
        return self.index_file

    def restart(self) -> None:
        """Begin the trace file anew, empty."""
        old, self.data = self.data, self._begin()
        old.close()

    def rewrite(self) -> None:
        """Begin the trace file anew beside the one that is there, until `replace`. Raises OSError."""
        path = self._path / self._file_name
        self._leave_aside()
        aside = path.with_name(f".{uuid4().hex}")
        data = self._create(aside)
        self._aside = aside
        self.data.close()
        self.data = data
        self._trail.begin(TraceFile(self._chunk, path, data, self._index_minor))

    def replace(self) -> None:
        """Let what was begun by `rewrite` take its place: there is always one. Raises OSError."""
        if self._aside is not None:
            self._chunk.replace(self.data.descriptor, self._aside, self._file_name)
            self._aside = None

    def take_index(self) -> File | None:
        """Give the present index file away, to who still has something to write there and will close it."""
        taken, self.index_file = self.index_file, None
        return taken

    def close(self) -> None:
        """Let go of the files and of the chunk."""
        try:
            if self._aside is not None:
                self._settle()
        finally:
            self._close()

    def _close(self) -> None:
        try:
            self.data.close()
        finally:
            try:
                if self.index_file is not None:
                    self.index_file.close()
            finally:
                self._chunk.release()

    @property
    def chunk(self) -> Chunk:
        """The chunk that they lie in."""
        return self._chunk

    @property
    def number(self) -> int:
        """Number of the present trace file."""
        return self._number

    @property
    def _file_name(self) -> str:
        return f"{self._name}_{self._number}" if self._size_limit else self._name

    def _settle(self) -> None:
        """Do what is left of `rewrite` at the end."""
        if self.data.size:  # the beginning of something
            self._leave_aside()
        else:  # it was to be empty
            self.replace()

    def _leave_aside(self) -> None:
        """Delete what was begun by `rewrite`, and is not whole."""
        aside, self._aside = self._aside, None
        if aside is not None:
            self._chunk.remove(aside)

    def _begin(self) -> File:
        path = self._path / self._file_name
        data = self._create(path)
        self._trail.begin(TraceFile(self._chunk, path, data, self._index_minor))
        return data

    def _go_on(self, found: Found) -> File:
        """Go on with files that are there, as far as they are good."""
        path = self._path / self._file_name
        data = File(self._chunk.adopt(path))
        data.cut(found.size)
        data.whole = found.size
        trace_file = TraceFile(self._chunk, path, data, self._index_minor)
        self._trail.begin(trace_file)
        if found.index_size:
            self.index_file = trace_file.index = File(self._chunk.adopt(trace_file.index_path))
            self.index_file.cut(found.index_size)
        return data

    def _create(self, path: PurePosixPath) -> File:
        return File(self._chunk.create(path))
