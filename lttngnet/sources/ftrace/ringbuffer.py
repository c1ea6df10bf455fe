"""Sub-buffers ("pages") of the kernel's ring buffer, and the places in memory where they become packets.

A page is a u64 timestamp, a u64 that says how many bytes of records follow, and the records:

    page:    [16 bytes page header][records ..................]
    packet:  [84 bytes CTF header ][the same bytes as events ..]

It is read to `PAGES`, so that its records lie at `RECORDS`, where a packet's events lie. Further pages are
read behind it and moved up, so that they make one long page. Only 64-bit little-endian machines are known.

Sources: ``events/header_page`` and ``events/header_event`` of tracefs, Linux
Documentation/trace/ring-buffer-design.rst, CTF 1.8 section 5.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from struct import Struct

PACKET_HEADER = Struct("<I16sIQQQQQQQI")
"""Packet header and context as `lttngnet.sources.ftrace.preamble` declares them."""
MAGIC = 0xC1FC1FC1

PAGE_HEADER = Struct("<QQ")
RECORDS = PACKET_HEADER.size
PAGES = RECORDS - PAGE_HEADER.size
_COMMIT_MASK = (1 << 20) - 1
"""Bits of a page header's second word that say how many bytes of records there are.

Bits 31 and 30 mark pages before which events were overwritten. The kernel's ``overrun`` counter has those
too: they are counted there, once.
"""
_LONGEST_GAP = 1 << 31
"""Pages that begin so many ns apart get packets of their own: an event tells 32 bits of its time."""

# The lower 5 bits of a record: the length of its data in words, or one of these.
LARGE, PADDING, TIME_EXTEND, TIME_STAMP = 0, 29, 30, 31
KIND_MASK, DELTA_SHIFT, STAMP_SHIFT = 31, 5, 27
STAMP_EPOCH = 0x1F << 59
"""Bits of a time that an absolute time stamp lacks."""

COMPACT_HEADER = Struct("<HI")
EXTENDED_HEADER = Struct("<HIQ")
EXTENDED = 0xFFFF


@dataclass(frozen=True, slots=True)
class Run:
    """Records at `RECORDS` that make one packet.

    Attributes:
        size: bytes of records.
        pages: for each page its first 4-byte word, counted from `RECORDS`, and the time it begins at, in ns.
    """

    size: int
    pages: list[tuple[int, int]]

    @property
    def words(self) -> int:
        """Number of 4-byte words."""
        return self.size >> 2

    @property
    def page_ends(self) -> list[int]:
        """For each page the word behind its last."""
        return [first for first, _ in self.pages[1:]] + [self.words]


@dataclass(frozen=True, slots=True)
class Converted:
    """What a run became.

    Attributes:
        events: how many.
        begin, end: when the run's first page began, and its last event, in ns.
        content: bytes from `RECORDS` to the end of the last field.
        size: bytes from `RECORDS` to the end of the last record, a multiple of 4.
    """

    events: int
    begin: int
    end: int
    content: int
    size: int


def runs(buffer: bytearray, page_size: int, count: int) -> Iterator[Run]:
    """Close the ranks of ``count`` pages that were read to ``buffer[PAGES:]``, and name the runs they make.

    A run lies where the one before it lay: have done with it before asking for the next.
    """
    view = memoryview(buffer)
    end = RECORDS
    pages: list[tuple[int, int]] = []
    for page in range(PAGES, PAGES + count * page_size, page_size):
        time, commit = PAGE_HEADER.unpack_from(buffer, page)
        size = commit & _COMMIT_MASK
        if not size:
            continue
        if pages and time - pages[-1][1] >= _LONGEST_GAP:
            yield Run(end - RECORDS, pages)
            end, pages = RECORDS, []
        start = page + PAGE_HEADER.size
        if end != start:
            view[end : end + size] = view[start : start + size]
        pages.append(((end - RECORDS) >> 2, time))
        end += size
    if pages:
        yield Run(end - RECORDS, pages)


def first_event(buffer: bytearray, begin: int) -> int:
    """Return the time of the first event of a packet, ns, whose page began at ``begin``.

    A page out of which a part was read before begins, for the kernel, at the last event of that part.
    """
    low: int
    number, low = COMPACT_HEADER.unpack_from(buffer, RECORDS)
    if number == EXTENDED:
        time: int = EXTENDED_HEADER.unpack_from(buffer, RECORDS)[2]
        return time
    return begin + (low - begin & 0xFFFF_FFFF)


def squeeze(buffer: bytearray, cuts: Iterable[tuple[int, int]], words: int) -> int:
    """Take ranges out of the first ``words`` words at `RECORDS`; return how many bytes are left.

    A cut is the first word of a range and the word behind its last; cuts are in ascending order.
    """
    view = memoryview(buffer)[RECORDS:]
    source = target = 0
    for first, behind in [*cuts, (words, words)]:
        length = 4 * first - source
        if target != source and length:
            view[target : target + length] = view[source : source + length]
        target += length
        source = 4 * behind
    return target
