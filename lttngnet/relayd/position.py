"""How far a viewer has read a stream: every viewer at its own place, from the files themselves.

A viewer has descriptors of its own of the files that it reads: one of a metadata stream, two (trace file and
index) of any other that it was told a packet of. Files that are unlinked meanwhile so remain for it. They
are closed when it goes on to the next file, and when it is done with the stream.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lttngnet.relayd.store.stream import Stream
from lttngnet.relayd.store.trail import TraceFile
from lttngnet.wire.viewer import Seek

FEW = 1 << 16  # bytes
AHEAD = 64  # entries that are read together, if there are so many
NOTHING = memoryview(b"")
SendFile = Callable[[int, int, int], int]  # descriptor, offset, length: how many bytes of it were sent
FARTHEST = 1 << 62  # bytes into a file, where no file system goes


class Reader:
    """A file that is open for reading."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @property
    def size(self) -> int:
        """How many bytes the file has now."""
        return os.fstat(self._descriptor).st_size

    def read(self, offset: int, length: int) -> bytes:
        """Return all of these bytes. Raises OSError."""
        data = os.pread(self._descriptor, length, offset)
        if len(data) < length:
            raise OSError(f"{len(data)} of {length} bytes at {offset}")
        return data

    def send(self, send_file: SendFile, offset: int, length: int) -> int:
        """Let some of these bytes be sent; return how many were."""
        return send_file(self._descriptor, offset, length)

    def read_if_there(self, offset: int, length: int) -> bytes | None:
        """Return all of these bytes; None if the file ends before. Raises OSError."""
        data = os.pread(self._descriptor, length, offset)
        return data if len(data) == length else None

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)


@dataclass(frozen=True)
class Extent:
    """Bytes of a file that are there. Good until something else is asked of the stream they come from."""

    reader: Reader
    offset: int
    length: int

    def pieces(self, size: int, send_file: SendFile | None = None) -> Iterator[bytes]:
        """Read them, at most so many at once. Raises OSError.

        Args:
            size: see above.
            send_file: sends bytes of a file without us: while it sends any, the piece is empty.
        """
        start, end = self.offset, self.offset + self.length
        while start < end:
            length = min(size, end - start)
            if send_file is not None and (sent := self.reader.send(send_file, start, length)):
                start += sent
                yield b""
            else:
                yield self.reader.read(start, length)
                start += length


class MetadataPosition:
    """How much of a metadata stream a viewer has.

    After a rotation the whole metadata is sent to us anew, and then more: what a viewer has counts on.
    """

    __slots__ = ("_file", "_reader", "_sent", "stream")

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self._sent = 0
        self._file: TraceFile | None = None
        self._reader: Reader | None = None

    @property
    def _received(self) -> int:
        return self.stream.trail.last.data.whole

    @property
    def has_unsent(self) -> bool:
        """Whether the viewer lacks something that is here."""
        return self._received > self._sent

    @property
    def is_due(self) -> bool:
        """Whether the viewer should ask: it lacks something, or there is nothing yet and so will be."""
        return self.has_unsent or not self._received

    @property
    def is_finished(self) -> bool:
        """Whether the viewer has all that will ever come."""
        return self.stream.is_closed and not self.has_unsent

    def take(self) -> Extent | None:
        """Return all that is here and the viewer lacks; None if that is nothing. Raises OSError."""
        file, received = self.stream.trail.last, self._received
        if received <= self._sent or file.is_lost:
            return None
        if self._reader is None or file is not self._file:
            self.close()
            self._reader, self._file = Reader(file.chunk.open(file.path)), file
        if self._reader.size < received:  # somebody shortened the file
            return None
        extent = Extent(self._reader, self._sent, received - self._sent)
        self._sent = received
        return extent

    def close(self) -> None:
        """Let go of the file."""
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()


class Position:
    """Where a viewer is in a stream of packets.

    Args:
        stream: the stream.
        seek: where to begin.
    """

    __slots__ = ("_ahead", "_data", "_entry", "_file", "_index", "stream")

    def __init__(self, stream: Stream, seek: Seek) -> None:
        self.stream = stream
        trail = stream.trail
        self._file = trail.last if seek is Seek.LAST else trail.first
        self._entry = self._file.entries if seek is Seek.LAST else 0
        self._data: Reader | None = None
        self._index: Reader | None = None
        self._ahead = NOTHING  # entries that were read together with the last one

    def has_unsent(self) -> bool:
        """Go to the file that the next entry is in; tell whether there is one.

        What was overwritten or cleared before it was read is passed over.
        """
        while True:
            file, oldest = self._file, self.stream.trail.first
            if file.is_lost and file is not oldest:
                self._go(oldest)
            elif file.is_lost:
                return False
            elif self._entry < file.entries:
                return True
            elif file.next is not None and file.is_complete:
                self._go(file.next)
            else:
                return False

    @property
    def is_finished(self) -> bool:
        """Whether the viewer has all that will ever come."""
        return self.stream.is_closed and not self.has_unsent()

    def take(self) -> bytes:
        """Return the entry that `has_unsent` tells of, as its bytes, and go behind it. Raises OSError."""
        file = self._file
        size = file.entry_size
        if not self._ahead:
            if self._index is None:
                self._index = Reader(file.chunk.open(file.index_path))
            if self._data is None:
                self._data = Reader(file.chunk.open(file.path))
            count = min(file.entries - self._entry, AHEAD)
            self._ahead = memoryview(self._index.read(file.place_of(self._entry), count * size))
        entry, self._ahead = self._ahead[:size], self._ahead[size:]
        self._entry += 1
        return bytes(entry)

    def packet(self, offset: int, length: int) -> bytes | Extent | None:
        """Return bytes of the file that the last entry was about, read if they are few.

        None if they are not there. Raises OSError.
        """
        if self._data is None or offset > FARTHEST:
            return None
        if length <= FEW:
            return self._data.read_if_there(offset, length)
        if offset + length > self._data.size:
            return None
        return Extent(self._data, offset, length)

    def close(self) -> None:
        """Let go of the files."""
        for reader in (self._data, self._index):
            if reader is not None:
                reader.close()
        self._data = self._index = None
        self._ahead = NOTHING

    def _go(self, file: TraceFile) -> None:
        self.close()
        self._file, self._entry = file, 0
