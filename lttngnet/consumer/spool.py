"""Packets that cannot go on now, kept on disk in their order, up to a limit.

They lie in files of a few MiB that have no name: whatever becomes of this process, nothing is left of them.
Memory does not grow with what is kept. A file goes when its last packet was taken.
"""

import os
import struct
import tempfile
from collections import Counter, deque
from collections.abc import Iterable
from typing import BinaryIO, Literal

from lttngnet.ctf.packet import Packet
from lttngnet.log import Logger

LIMIT = 256 << 20
"""Bytes that are kept where nobody says otherwise."""
FOLDER = "/var/tmp"
"""Where big temporary files belong: ``/tmp`` may be made of memory."""
SEGMENT = 4 << 20
"""Bytes after which another file is begun."""

_HEAD = struct.Struct("<IIIQQQQQQQ")
"""Stream, length of the content, padding, and what else a `Packet` has, in its order; then the content."""

Drop = Literal["oldest", "newest"]
"""Which packets give way when there is no room."""


class Segment:
    """One of the files: written at its end, read from where the last packet was taken."""

    def __init__(self, folder: str) -> None:
        self._file: BinaryIO = tempfile.TemporaryFile("w+b", buffering=0, prefix="lttngnet-", dir=folder)  # noqa: SIM115
        self._read = 0
        self.end = 0

    def put(self, stream: int, packet: Packet) -> int:
        """Append a packet; return how many bytes it takes.

        Raises:
            OSError: it could not be written; nothing of it is left.
        """
        head = _HEAD.pack(
            stream,
            len(packet.content),
            packet.padding,
            packet.content_size,
            packet.timestamp_begin,
            packet.timestamp_end,
            packet.events_discarded,
            packet.stream_class,
            packet.stream_instance,
            packet.sequence,
        )
        at, pieces = self.end, [memoryview(head), memoryview(packet.content)]
        while pieces:
            done = os.pwritev(self._file.fileno(), pieces, at)
            at += done
            while pieces and done >= len(pieces[0]):
                done -= len(pieces.pop(0))
            if pieces:
                pieces[0] = pieces[0][done:]
        size, self.end = at - self.end, at  # the end moves when all is there: half a packet is overwritten
        return size

    def take(self, wants_content: bool = True) -> tuple[int, Packet, int]:
        """Take the first packet: its stream, itself (perhaps without its content), the bytes that it took.

        Raises:
            OSError: the disk does not give it back.
        """
        stream, length, padding, *facts = _HEAD.unpack(self._pread(_HEAD.size, self._read))
        content = self._pread(length, self._read + _HEAD.size) if wants_content else b""
        size = _HEAD.size + length
        self._read += size
        return stream, Packet(content, padding, *facts), size

    @property
    def is_empty(self) -> bool:
        """Whether every packet was taken."""
        return self._read >= self.end

    @property
    def left(self) -> int:
        """Bytes of the packets that were not taken."""
        return self.end - self._read

    def close(self) -> None:
        """Give the space back."""
        self._file.close()

    def _pread(self, size: int, at: int) -> bytes:
        data = os.pread(self._file.fileno(), size, at)
        if len(data) != size:
            raise OSError("a file of the spool is shorter than what was written to it")
        return data


class Spool:
    """Packets of many streams, first in, first out.

    Args:
        limit: bytes, with some seventy for each packet.
        drop: which packets give way when there is no room for one more.
        folder: where the files are made; None: in ``TMPDIR``, or `FOLDER`.

    Attributes:
        lost: packets that gave way, or could not be written or read, by stream.
    """

    log = Logger()

    def __init__(self, limit: int = LIMIT, drop: Drop = "oldest", folder: str | None = None) -> None:
        self.lost: Counter[int] = Counter()
        self.limit = limit
        self.drop: Drop = drop
        self._folder = folder or os.environ.get("TMPDIR") or FOLDER
        self._segments: deque[Segment] = deque()
        self._size = 0
        self._has_failed = False

    @property
    def size(self) -> int:
        """Bytes that are kept."""
        return self._size

    @property
    def is_empty(self) -> bool:
        """Whether nothing is kept."""
        return not self._segments

    def put(self, stream: int, packet: Packet) -> None:
        """Keep a packet behind all others, if there is room; its content is copied."""
        size = _HEAD.size + len(packet.content)
        if size > self.limit or (self.drop == "newest" and self._size + size > self.limit):
            self.lost[stream] += 1
            return
        while self._size + size > self.limit:
            self._drop_first()
        try:
            if not self._segments or self._segments[-1].end >= SEGMENT:
                self._segments.append(Segment(self._folder))
            self._size += self._segments[-1].put(stream, packet)
        except OSError as problem:
            self.lost[stream] += 1
            self._complain(problem)
        self._tidy()

    def put_first(self, packets: Iterable[tuple[int, Packet]]) -> None:
        """Keep packets, in their order, before all others. They are few, and the limit is not heeded."""
        segment: Segment | None = None
        for stream, packet in packets:
            try:
                segment = segment or Segment(self._folder)
                self._size += segment.put(stream, packet)
            except OSError as problem:
                self.lost[stream] += 1
                self._complain(problem)
        if segment is not None:
            self._segments.appendleft(segment)
            self._tidy()

    def take(self) -> tuple[int, Packet] | None:
        """Take the first packet, with its stream; None if there is none."""
        while self._segments:
            try:
                stream, packet, size = self._segments[0].take()
            except OSError as problem:
                self._give_up_first(problem)
                continue
            self._size -= size
            self._tidy()
            return stream, packet
        return None

    def clear(self) -> None:
        """Lose all that is kept, and count it."""
        while self._segments:
            self._drop_first()

    def close(self) -> None:
        """Give the space back."""
        while self._segments:
            self._segments.popleft().close()
        self._size = 0

    def _drop_first(self) -> None:
        try:
            stream, _, size = self._segments[0].take(wants_content=False)
        except OSError as problem:
            self._give_up_first(problem)
            return
        self._size -= size
        self.lost[stream] += 1
        self._tidy()

    def _give_up_first(self, problem: OSError) -> None:
        """Leave a file that cannot be read. How many packets there were is not known: at least one."""
        segment = self._segments.popleft()
        self._size -= segment.left
        segment.close()
        self.lost[-1] += 1
        self._complain(problem)

    def _tidy(self) -> None:
        """Let go of files out of which everything was taken, in front."""
        while self._segments and self._segments[0].is_empty:
            self._segments.popleft().close()

    def _complain(self, problem: OSError) -> None:
        if not self._has_failed:
            self._has_failed = True
            self.log.error("Packets are lost that should be kept: {problem}", problem=problem)
