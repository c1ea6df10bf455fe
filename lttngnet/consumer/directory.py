"""The sink that is a local folder: the layout of a relay daemon, without its host and session above it."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from zope.interface import implementer

from lttngnet.ctf.index import IndexEntry, index_header
from lttngnet.ctf.packet import Packet, Silence
from lttngnet.interfaces import IPacketSink

FOLDER_MODE = 0o770
FILE_MODE = 0o660
INDEX_MINOR = 1


@dataclass
class StreamFiles:
    """The trace file of a stream, and its index once there is a packet."""

    path: Path
    trace: BinaryIO
    index: BinaryIO | None = None
    size: int = 0

    def close(self) -> None:
        """Close both."""
        self.trace.close()
        if self.index is not None:
            self.index.close()


@implementer(IPacketSink)
class DirectorySink:
    """Writes the streams of one session below a folder.

    A full disk, or any other failure of it, ends the sink: ``on_lost`` is called with the reason, and nothing
    more is written. What stands in the files is whole packets.

    Raises:
        FileExistsError: there is a trace in the folder; it would be overwritten.
        OSError: the folder cannot be made.
    """

    def __init__(self, folder: str, on_lost: Callable[[str], None]) -> None:
        self.folder = Path(folder)
        self._on_lost = on_lost
        self._streams: dict[int, StreamFiles] = {}
        self._added = 0
        self._lost = False
        make_folder(self.folder)
        if (metadata := next(self.folder.rglob("metadata"), None)) is not None:
            trace = metadata.parent.relative_to(self.folder)
            raise FileExistsError(f"{folder} holds a trace already ({trace}): name another folder")

    async def begin(self) -> None:
        """See `IPacketSink`."""

    async def add_stream(self, path: str, name: str) -> int:
        """See `IPacketSink`."""
        file = self.folder / path / name
        make_folder(file.parent)
        self._added += 1
        self._streams[self._added] = StreamFiles(file, create(file))
        return self._added

    async def publish(self) -> None:
        """See `IPacketSink`."""

    def write_metadata(self, stream: int, text: bytes) -> None:
        """See `IPacketSink`."""
        if not self._lost:
            self._attempt(write_all, self._streams[stream].trace, text)

    def write(self, stream: int, packet: Packet) -> None:
        """See `IPacketSink`."""
        if not self._lost:
            self._attempt(self._write, self._streams[stream], packet)

    def beacon(self, silence: Silence) -> None:
        """See `IPacketSink`: nobody reads a folder live."""

    async def close_stream(self, stream: int) -> None:
        """See `IPacketSink`."""
        self._streams.pop(stream).close()

    async def quiesce(self) -> None:
        """See `IPacketSink`: files are written without a buffer of ours."""

    async def finish(self) -> None:
        """See `IPacketSink`."""
        for stream in self._streams.values():
            stream.close()
        self._streams.clear()

    def _write(self, stream: StreamFiles, packet: Packet) -> None:
        if stream.index is None:
            folder = stream.path.parent / "index"
            make_folder(folder)
            stream.index = create(folder / f"{stream.path.name}.idx")
            stream.index.write(index_header(INDEX_MINOR))
        offset = stream.size
        size = len(packet.content) + packet.padding
        try:
            write_all(stream.trace, packet.content)
            if packet.padding:
                stream.trace.truncate(offset + size)
                stream.trace.seek(offset + size)
        except OSError:
            stream.trace.truncate(offset)  # half a packet would make the rest unreadable
            raise
        stream.size += size
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
        stream.index.write(entry.pack())

    def _attempt(self, do: Callable[..., object], *arguments: object) -> None:
        try:
            do(*arguments)
        except OSError as problem:
            self._lost = True
            self._on_lost(f"cannot write the trace: {problem}")


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
