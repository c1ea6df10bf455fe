"""What index files and metadata tell of a trace, where nothing is at hand that reads the events."""

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from struct import Struct
from typing import Any, Literal

from lttngnet.cli.texts import size
from lttngnet.ctf.index import IndexEntry, read_index

METADATA = "metadata"

_PACKET_MAGIC = 0x75D11D57  # of a metadata file in packets (CTF 1.8, section 7.1)
_HEADERS: dict[Literal["little", "big"], Struct] = {
    "little": Struct("<I16sIII5B"),
    "big": Struct(">I16sIII5B"),
}
_CLOCK = re.compile(r"\bclock\s*\{(.*?)\}", re.DOTALL)
_FIELD = re.compile(r"\b(freq|offset_s|offset)\s*=\s*([0-9]+)")


@dataclass(frozen=True)
class Clock:
    """How a trace counts time: ``offset_s`` seconds and ``offset`` ticks after the epoch comes tick 0."""

    freq: int = 1_000_000_000
    offset_s: int = 0
    offset: int = 0

    def wall(self, ticks: int) -> float:
        """Return seconds since the epoch."""
        return self.offset_s + (self.offset + ticks) / self.freq


@dataclass(frozen=True)
class Stream:
    """One stream file.

    Attributes:
        trace: its folder, relative to that which was asked about.
        name: of the file.
        packets: number of them.
        begin: first moment, seconds since the epoch; None without packets.
        end: last moment.
        bytes: of the packets.
        lost: events that were discarded before they could be written.
    """

    trace: str
    name: str
    packets: int
    begin: float | None
    end: float | None
    bytes: int
    lost: int

    def to_dict(self) -> dict[str, Any]:
        """Return the stream for JSON."""
        return asdict(self)


def find_traces(folder: Path) -> list[Path]:
    """Return the folders at and below a folder that hold a trace, which is: metadata that is not empty."""
    return sorted(file.parent for file in folder.rglob(METADATA) if file.is_file() and file.stat().st_size)


def summarize(traces: list[Path], root: Path) -> Iterator[Stream]:
    """Yield the streams of traces, named relative to a folder.

    Raises:
        ValueError: an index file is none.
    """
    for trace in traces:
        clock = read_clock((trace / METADATA).read_bytes())
        for index in sorted(trace.glob("index/*.idx")):
            try:
                entries = list(read_index(index.read_bytes()))
            except ValueError as problem:
                raise ValueError(f"{index}: {problem}") from None
            yield _stream(str(trace.relative_to(root)), index.stem, entries, clock)


def read_clock(metadata: bytes) -> Clock:
    """Return the clock that metadata declares, the first of several; else nanoseconds since the epoch."""
    found = _CLOCK.search(metadata_text(metadata))
    return Clock(**{key: int(number) for key, number in _FIELD.findall(found[1])}) if found else Clock()


def metadata_text(data: bytes) -> str:
    """Return the text of a metadata file, which may come in packets; one that is cut short ends it."""
    headers = (each for order, each in _HEADERS.items() if int.from_bytes(data[:4], order) == _PACKET_MAGIC)
    header = next(headers, None)
    if header is None:
        return data.decode(errors="replace")
    text, at = b"", 0
    while len(data) - at >= header.size:
        _, _, _, content_size, packet_size, *_ = header.unpack_from(data, at)
        text += data[at + header.size : at + content_size // 8]
        at += max(packet_size // 8, header.size)
    return text.decode(errors="replace")


def table(streams: list[Stream]) -> Any:
    """Return a table for rich to print."""
    from rich.table import Table

    shown = Table(box=None, pad_edge=False)
    for title in ("trace", "stream"):
        shown.add_column(title, overflow="fold")
    for title in ("packets", "from", "to", "size", "lost"):
        shown.add_column(title, justify="right", no_wrap=True)
    for stream in streams:
        moments = (_moment(stream.begin, "%Y-%m-%d %H:%M:%S.%f"), _moment(stream.end, "%H:%M:%S.%f"))
        numbers = (str(stream.packets), *moments, size(stream.bytes), str(stream.lost))
        shown.add_row(stream.trace, stream.name, *numbers)
    return shown


def _stream(trace: str, name: str, entries: list[IndexEntry], clock: Clock) -> Stream:
    return Stream(
        trace,
        name,
        packets=len(entries),
        begin=clock.wall(entries[0].timestamp_begin) if entries else None,
        end=clock.wall(entries[-1].timestamp_end) if entries else None,
        bytes=sum(entry.packet_size for entry in entries) // 8,
        lost=entries[-1].events_discarded if entries else 0,
    )


def _moment(seconds: float | None, form: str) -> str:
    return "-" if seconds is None else datetime.fromtimestamp(seconds, UTC).astimezone().strftime(form)
