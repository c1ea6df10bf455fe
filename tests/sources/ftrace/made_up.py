"""Sub-buffers that no kernel ever wrote, with every kind of record; and what must be read from them."""

import re
from dataclasses import dataclass, field
from struct import Struct, pack, pack_into, unpack_from

from hypothesis import strategies as st

from lttngnet.sources.ftrace.formats import Kind, Layout

PAGE_SIZE = 4096
FORMAT = """\
name: {name}
ID: {id}
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;
\tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

{fields}
print fmt: "nothing"
"""
FIELD = "\tfield:{};\toffset:{};\tsize:{};\tsigned:{};\n"


def format_text(name, event_id, *fields):
    """Return a format file; a field is its declaration, offset, size, and whether it is signed."""
    return FORMAT.format(name=name, id=event_id, fields="".join(FIELD.format(*each) for each in fields))


LAYOUTS = {
    layout.id: layout
    for layout in (
        Layout.parse(format_text(*each), "test")
        for each in (
            ("wide", 100, ("u64 a", 8, 8, 0)),
            ("with_hole", 101, ("u8 a", 8, 1, 0), ("u64 b", 16, 8, 0), ("int c", 24, 4, 1)),
            ("empty", 102),
            ("text", 103, ("int a", 8, 4, 1), ("__data_loc char[] s", 12, 4, 0)),
            (
                "texts",
                104,
                ("u64 a", 8, 8, 0),
                ("__data_loc char[] s", 16, 4, 0),
                ("__data_loc u8[] r", 20, 4, 0),
                ("u8 z", 24, 1, 0),
            ),
            ("large", 105, ("u64 a[20]", 8, 160, 0)),
            ("byte", 106, ("u8 a", 8, 1, 0)),
            ("relative", 107, ("int a", 8, 4, 1), ("__rel_loc char[] s", 12, 4, 0)),
            ("flexible", 108, ("unsigned long ip", 8, 8, 0), ("char buf[]", 16, 0, 0)),
        )
    )
}


@dataclass(frozen=True)
class Event:
    """An event as it was put in, or as it was read; data is the record's, with the common fields."""

    time: int
    name: str
    data: bytes


@dataclass
class Record:
    """A record to come: its class, the lengths of its texts, how many words it has too many or too few."""

    event_id: int
    delta: int
    texts: tuple[int, ...]
    surprise: int

    def data(self, serial: int) -> bytes:
        layout = LAYOUTS[self.event_id]
        body = bytearray((7 * serial + k) & 0xFF for k in range(layout.end))
        pack_into("<HBBi", body, 0, self.event_id, serial & 0xFF, serial >> 8 & 0xFF, serial)
        for each, length in zip(layout.dynamic, self.texts, strict=False):
            start = len(body) - (each.end if each.kind is Kind.RELATIVE else 0)
            pack_into("<HH", body, each.offset, start, length)
            body += bytes(65 + (serial + k) % 26 for k in range(length))
        if layout.flexible:
            body += bytes(self.texts[0])
        body += bytes(layout.tail)
        body += b"\xcc" * (-len(body) % 4)
        if self.surprise > 0:
            body += b"\xdd" * 4 * self.surprise
        elif self.surprise < 0:
            del body[4 * self.surprise :]
        return bytes(body.ljust(12, b"\xcc"))


@dataclass
class Extend:
    jump: int


@dataclass
class Stamp:
    advance: int


@dataclass
class Discarded:
    length: int
    delta: int


@dataclass
class Page:
    """What one sub-buffer is to hold, how long after the one before it begins, and how it ends."""

    gap: int
    items: list
    end: str


DELTAS = st.sampled_from((0, 1, 1000, 10**6, (1 << 27) - 1))
RECORDS = st.builds(
    Record,
    st.sampled_from(sorted(LAYOUTS)),
    DELTAS,
    st.tuples(st.integers(0, 160), st.integers(0, 40)),
    st.sampled_from((0, 0, 0, 0, 0, -1, 1, 5)),
)
ITEMS = st.one_of(
    RECORDS,
    RECORDS,
    RECORDS,
    st.builds(Extend, st.sampled_from((1 << 27, 1 << 31, 1 << 32, 5 << 32))),
    st.builds(Stamp, st.sampled_from((5, 1 << 30, 1 << 33))),
    st.builds(Discarded, st.sampled_from((4, 8, 28, 140)), DELTAS),
)
GAPS = st.sampled_from((0, 10, 10**9, (1 << 31) - 1, 1 << 31, 1 << 32, 10**11))
PAGES = st.lists(
    st.builds(Page, GAPS, st.lists(ITEMS, max_size=12), st.sampled_from(("", "void", "padding"))), max_size=6
)


@dataclass
class Writer:
    """Writes sub-buffers as the kernel does, and notes the events it put in."""

    time: int = 10**12
    serial: int = 1
    events: list[Event] = field(default_factory=list)

    def write(self, pages: list[Page]) -> bytes:
        return b"".join(self.page(page) for page in pages)

    def page(self, page: Page) -> bytes:
        self.time += page.gap
        base = self.time
        records = bytearray()
        for item in page.items:
            records += self.item(item)
        if page.end == "void":
            records += pack("<I", 29)
        elif page.end == "padding":
            rest = PAGE_SIZE - 16 - len(records)
            records += pack("<II", 29 | 1 << 5, rest - 4) + bytes(rest - 8)
        # The rest of the page holds anything at all.
        return (pack("<QQ", base, len(records)) + records).ljust(PAGE_SIZE, b"\xaa")

    def item(self, item) -> bytes:
        match item:
            case Record():
                self.time += item.delta
                data = item.data(self.serial)
                self.serial += 1
                self.events.append(Event(self.time, LAYOUTS[item.event_id].name, data))
                if len(data) > 112:
                    return pack("<II", item.delta << 5, len(data) + 4) + data
                return pack("<I", len(data) // 4 | item.delta << 5) + data
            case Extend(jump):
                self.time += jump
                return pack("<II", 30 | (jump & (1 << 27) - 1) << 5, jump >> 27)
            case Stamp(advance):
                self.time += advance
                return pack("<II", 31 | (self.time & (1 << 27) - 1) << 5, self.time >> 27 & 0xFFFFFFFF)
            case Discarded(length, delta):
                return pack("<II", 29 | (delta or 1) << 5, length) + b"\xbb" * (length - 4)
        raise TypeError(item)


# What follows reads packets with the help of nothing but their TSDL, one event after the other.

HEADER = Struct("<I16sIQQQQQQQI")
SIZES = {
    **{f"{sign}int{bits}_t": bits // 8 for sign in ("", "u") for bits in (8, 16, 32, 64)},
    "pointer_t": 8,
    "utf8_t": 1,
}
CLASS = re.compile(r'event \{\n\tname = "(\w+)";\n\tid = (\d+);\n\tstream_id = \d+;\n(.*?)\n\};', re.DOTALL)
LINE = re.compile(r"^\t\t(\w+) (\w+)(?:\[(\w+)\])?;$", re.MULTILINE)


def read_classes(tsdl: str) -> dict:
    """Return name and fields of each event class by its id."""
    return {int(number): (name, LINE.findall(body)) for name, number, body in CLASS.findall(tsdl)}


def read_packet(packet: bytes, classes: dict) -> list[Event]:
    """Return the events of a packet."""
    _, _, _, _, now, end, content, size, *_ = HEADER.unpack_from(packet)
    assert size == 8 * len(packet)
    at = HEADER.size
    events = []
    while 8 * at < content:
        at += -at % 4
        event_id, low = unpack_from("<HI", packet, at)
        at += 6
        if event_id == 0xFFFF:
            event_id, now = unpack_from("<IQ", packet, at - 4)
            at += 8
        else:
            now += (low - now) & 0xFFFFFFFF
        name, fields = classes[event_id]
        start = at
        at += 6
        values = {}
        for kind, label, count in fields:
            length = values[count] if count in values else int(count or 1)
            raw = packet[at : at + SIZES[kind] * length]
            values[label] = int.from_bytes(raw, "little")
            at += len(raw)
        events.append(Event(now, name, packet[start:at]))
    assert 8 * at == content, (at, content)
    assert not events or events[-1].time == end
    return events


def agree(put_in: list[Event], read: list[Event]) -> bool:
    """Tell whether events are the same: a reader need not see the up to 3 bytes behind the last field."""
    return len(put_in) == len(read) and all(
        (a.time, a.name) == (b.time, b.name)
        and a.data[2:].startswith(b.data)
        and len(a.data) - 2 - len(b.data) < 4
        for a, b in zip(put_in, read, strict=True)
    )
