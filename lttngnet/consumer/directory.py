"""The sink that is a local folder: the layout of a relay daemon, without its host and session above it."""

import time
from collections.abc import Callable
from pathlib import Path, PurePath

from zope.interface import implementer

from lttngnet.consumer.files import Chunk, StreamFiles, make_folder, traces_in
from lttngnet.ctf.packet import UNLIMITED, Limit, Packet, Silence
from lttngnet.interfaces import IPacketSink

METADATA = "metadata"  # the name that makes a stream one


@implementer(IPacketSink)
class DirectorySink:
    """Writes the streams of one session below a folder.

    A full disk, or any other failure of it, ends the sink: ``on_lost`` is called with the reason, and nothing
    more is written. What stands in the files is whole packets.

    Raises:
        FileExistsError: there is a trace in the folder; it would be overwritten.
        OSError: the folder cannot be made.
    """

    is_away = False

    def __init__(
        self,
        folder: str,
        on_lost: Callable[[str], None],
        seconds: Callable[[], float] = time.time,
        has_indexes: bool = True,
    ) -> None:
        self.folder = Path(folder)
        self._on_lost = on_lost
        self._seconds = seconds
        self._has_indexes = has_indexes
        self._streams: dict[int, StreamFiles] = {}
        self._texts: dict[int, bytes] = {}  # metadata, while there is no chunk
        self._added = 0
        self.lost = ""
        self._has_rotated = False
        make_folder(self.folder)
        if (trace := next(traces_in(self.folder), None)) is not None:
            raise FileExistsError(f"{folder} holds a trace already ({trace}): name another folder")
        self._chunks = 0
        self._chunk: Chunk | None = self._next_chunk()

    async def begin(self) -> None:
        """See `IPacketSink`."""
        if self._chunk is None:
            self._enter(self._next_chunk())

    async def add_stream(self, path: str, name: str, limit: Limit = UNLIMITED) -> int:
        """See `IPacketSink`."""
        await self.begin()
        assert self._chunk is not None
        self._added += 1
        self._streams[self._added] = StreamFiles(PurePath(path, name), limit, self._chunk, self._has_indexes)
        return self._added

    async def publish(self) -> None:
        """See `IPacketSink`."""

    def write_metadata(self, stream: int, text: bytes) -> None:
        """See `IPacketSink`."""
        if self._chunk is None:
            self._texts[stream] += text
        elif not self.lost:
            self._attempt(self._streams[stream].append, text)

    def rewrite_metadata(self, stream: int, text: bytes) -> None:
        """See `IPacketSink`."""
        if self._chunk is None:
            self._texts[stream] = text
        elif not self.lost:
            self._attempt(self._streams[stream].rewrite, text)

    def write(self, stream: int, packet: Packet) -> None:
        """See `IPacketSink`."""
        if not self.lost:
            self._attempt(self._streams[stream].write, packet)

    def beacon(self, silence: Silence) -> None:
        """See `IPacketSink`: nobody reads a folder live."""

    async def close_stream(self, stream: int) -> None:
        """See `IPacketSink`."""
        self._streams.pop(stream).close()

    async def rotate(self, keep: bool, go_on: bool) -> str:
        """See `IPacketSink`."""
        if self._chunk is None:
            return ""
        self._texts = {
            number: stream.text() for number, stream in self._streams.items() if stream.path.name == METADATA
        }
        for stream in self._streams.values():
            stream.close()
        place = self._let_go(self._chunk, keep)
        self._chunk = None
        if go_on:
            self._enter(self._next_chunk())
        return place

    async def archived(self) -> None:
        """See `IPacketSink`: it is when `rotate` returns."""

    async def quiesce(self) -> None:
        """See `IPacketSink`: files are written without a buffer of ours."""

    def waiting(self) -> int:
        """See `IPacketSink`."""
        return 0

    def abandon(self) -> None:
        """Give up, without a word to anybody."""
        for stream in self._streams.values():
            stream.close()
        self.lost = "it was given up"

    async def finish(self) -> None:
        """See `IPacketSink`."""
        for stream in self._streams.values():
            stream.close()
        self._streams.clear()
        if self._chunk is not None and self._has_rotated:
            self._let_go(self._chunk, True)
        self._chunk = None

    def _next_chunk(self) -> Chunk:
        number, self._chunks = self._chunks, self._chunks + 1
        return Chunk(self.folder, number, int(self._seconds()), not self._has_rotated)

    def _enter(self, chunk: Chunk) -> None:
        for number, stream in self._streams.items():
            stream.enter(chunk)
            if number in self._texts:
                stream.append(self._texts[number])
        self._texts.clear()
        self._chunk = chunk

    def _let_go(self, chunk: Chunk, keep: bool) -> str:
        if not keep:
            chunk.delete()
            return ""
        self._has_rotated = True
        return str(chunk.archive(int(self._seconds())))

    def _attempt(self, write: Callable[..., object], what: object) -> None:
        try:
            write(what)
        except OSError as problem:
            self.lost = f"cannot write the trace: {problem}"
            self._on_lost(self.lost)
