"""Index files: one entry for each packet of a trace file, as LTTng's trace readers expect them.

An index file ``index/<name>.idx`` lies beside the trace file ``<name>``. All numbers are big endian.
Format 1.1 has two fields more than 1.0, which is written for peers below LTTng 2.8.
"""

from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple

MAGIC = 0xC1F1DCC1

HEADER = Struct(">IIII")  # magic, major, minor, bytes of an entry
ENTRY_10 = Struct(">7Q")
ENTRY_11 = Struct(">9Q")


class IndexEntry(NamedTuple):
    """What an index tells of a packet.

    Attributes:
        offset: of the packet in its file, bytes.
        packet_size: bits, padding included.
        content_size: bits.
        timestamp_begin: in the clock of the trace.
        timestamp_end: in the clock of the trace.
        events_discarded: lost on this stream up to the end of the packet, cumulative.
        stream_class: CTF stream (class) id.
        stream_instance: which stream of its class (1.1; else None).
        packet_sequence: number of the packet in its stream (1.1; else None).
    """

    offset: int
    packet_size: int
    content_size: int
    timestamp_begin: int
    timestamp_end: int
    events_discarded: int
    stream_class: int
    stream_instance: int | None = None
    packet_sequence: int | None = None

    def pack(self) -> bytes:
        """Return the entry's bytes: of format 1.1, or of 1.0 where the two last fields are None."""
        if self.packet_sequence is None:
            return ENTRY_10.pack(*self[:7])
        return ENTRY_11.pack(*self)


def index_header(minor: int) -> bytes:
    """Return what an index file of format 1.0 or 1.1 begins with."""
    return HEADER.pack(MAGIC, 1, minor, (ENTRY_11 if minor else ENTRY_10).size)


def read_index(data: bytes) -> Iterator[IndexEntry]:
    """Yield the entries of an index file's bytes; an entry that is not whole at its end is left out.

    Raises:
        ValueError: it is no index file, or of a format unknown here.
    """
    if len(data) < HEADER.size:
        raise ValueError(f"an index file of {len(data)} bytes has no header")
    magic, major, minor, size = HEADER.unpack_from(data)
    entry = {ENTRY_10.size: ENTRY_10, ENTRY_11.size: ENTRY_11}.get(size)
    if magic != MAGIC or major != 1 or entry is None:
        raise ValueError(
            f"no index file of format 1.0 or 1.1 (magic {magic:#x}, {major}.{minor}, {size} bytes)"
        )
    whole = (len(data) - HEADER.size) // entry.size * entry.size
    for values in entry.iter_unpack(data[HEADER.size : HEADER.size + whole]):
        yield IndexEntry(*values)
