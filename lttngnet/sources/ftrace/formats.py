"""What lies where in a record of the kernel's ring buffer, from the ``format`` files of tracefs.

Source: Linux Documentation/trace/events.rst, "Event formats", and ``include/trace/stages`` for how the C
compiler lays the structures out.
"""

import re
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from functools import cached_property
from pathlib import Path
from typing import Self

COMMON_SIZE = 8
"""Bytes that every record begins with: u16 type, u8 flags, u8 preemption count, s32 thread id."""

INTEGER_SIZES = (1, 2, 4, 8)

_NAME = re.compile(r"^name: (.*)$", re.MULTILINE)
_ID = re.compile(r"^ID: (\d+)$", re.MULTILINE)
_LINE = re.compile(
    r"^\tfield:(?P<declaration>.*);\toffset:(?P<offset>\d+);\tsize:(?P<size>\d+);(?:\tsigned:(?P<signed>\d);)?",
    re.MULTILINE,
)
_DYNAMIC = re.compile(r"__(?P<kind>data|rel)_loc (?P<type>.*?)\[\] ?(?P<name>\w+)$")
_ARRAY = re.compile(r"(?P<type>.*?)\s*(?P<name>\w+)\[(?P<count>.*)\]$")
_PLAIN = re.compile(r"(?P<type>.*?)\s*(?P<name>\w+)$")


class Kind(Enum):
    """How a field holds its value."""

    INTEGER = auto()
    TEXT = auto()
    """``char x[N]``."""
    ARRAY = auto()
    """Any other ``T x[N]``; of a structure that we do not know, its bytes."""
    DYNAMIC = auto()
    """``__data_loc``: u16 offset from the start of the record, u16 length; the bytes come after the rest."""
    RELATIVE = auto()
    """``__rel_loc``: the same, with the offset counted from behind the field."""
    FLEXIBLE = auto()
    """``T x[]``: whatever the record still holds."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a record. Offset and sizes in bytes, from the start of the record's data."""

    name: str
    c_type: str
    offset: int
    size: int
    signed: bool
    kind: Kind
    element_size: int = 1

    @classmethod
    def parse(cls, declaration: str, offset: int, size: int, signed: bool) -> Self:
        """Make a field of the C declaration in a ``format`` file."""
        if match := _DYNAMIC.match(declaration):
            kind = Kind.DYNAMIC if match["kind"] == "data" else Kind.RELATIVE
            return cls(match["name"], match["type"].strip(), offset, size, signed, kind)
        if match := _ARRAY.match(declaration):
            c_type = match["type"].strip()
            if not size:
                return cls(match["name"], c_type, offset, 0, signed, Kind.FLEXIBLE)
            if c_type == "char":
                return cls(match["name"], c_type, offset, size, signed, Kind.TEXT)
            element = _element_size(size, match["count"])
            return cls(match["name"], c_type, offset, size, signed, Kind.ARRAY, element)
        match = _PLAIN.match(declaration)
        if match is None:
            raise ValueError(f"not a field declaration: {declaration!r}")
        kind = Kind.INTEGER if size in INTEGER_SIZES else Kind.ARRAY
        return cls(match["name"], match["type"], offset, size, signed, kind)

    @property
    def end(self) -> int:
        """Offset of the first byte behind the field."""
        return self.offset + self.size

    @property
    def count(self) -> int:
        """Number of elements of an array."""
        return self.size // self.element_size

    @property
    def alignment(self) -> int:
        """What the C compiler aligns the field to, as far as it matters: 8, or anything less."""
        wide = self.size if self.kind is Kind.INTEGER else self.element_size
        return 8 if wide == 8 else 4


def _element_size(size: int, count: str) -> int:
    """Size of an array's element, or 1 where it cannot be told or is not an integer's."""
    if count.isdigit() and int(count) and size % int(count) == 0 and size // int(count) in INTEGER_SIZES:
        return size // int(count)
    return 1


@dataclass(frozen=True)
class Layout:
    """A class of records: the fields behind the common ones, in order of offset."""

    system: str
    name: str
    id: int
    fields: tuple[Field, ...]

    @classmethod
    def parse(cls, text: str, system: str) -> Self:
        """Make a layout of the text of ``events/SYSTEM/NAME/format``.

        Raises:
            ValueError: the text is not that of a format file.
        """
        name, number = _NAME.search(text), _ID.search(text)
        if name is None or number is None:
            raise ValueError(f"not an event format of {system}: {text[:60]!r}")
        fields = (
            Field.parse(line["declaration"], int(line["offset"]), int(line["size"]), line["signed"] == "1")
            for line in _LINE.finditer(text)
        )
        own = [field for field in fields if not field.name.startswith("common_")]
        return cls(system, name[1], int(number[1]), tuple(sorted(own, key=lambda field: field.offset)))

    @classmethod
    def unknown(cls, event_id: int) -> Self:
        """Make a layout for records that no format file describes: nothing but bytes."""
        rest = Field("data", "u8", COMMON_SIZE, 0, False, Kind.FLEXIBLE)
        return cls("", f"unknown_{event_id}", event_id, (rest,))

    @cached_property
    def dynamic(self) -> tuple[Field, ...]:
        """Fields whose bytes follow the fixed part, in the order in which they lie there."""
        return tuple(field for field in self.fields if field.kind in (Kind.DYNAMIC, Kind.RELATIVE))

    @cached_property
    def flexible(self) -> bool:
        """Whether the last field takes what is left of the record."""
        return any(field.kind is Kind.FLEXIBLE for field in self.fields)

    @cached_property
    def end(self) -> int:
        """Offset of the first byte behind the fixed part."""
        return max((field.end for field in self.fields), default=COMMON_SIZE)

    @cached_property
    def tail(self) -> int:
        """Bytes between the last fixed field and the end of the C structure.

        The structure is rounded up to its strictest member; system calls have ``unsigned long args[]`` even
        where they take none.
        """
        strictest = max((field.alignment for field in self.fields), default=4)
        alignment = 8 if self.system == "syscalls" else strictest
        return 0 if self.flexible else -self.end % alignment

    @cached_property
    def words(self) -> int:
        """Length of a record's data in units of 4 bytes; 0 where it differs from record to record."""
        if self.dynamic or self.flexible:
            return 0
        # The ring buffer gives at least 12 bytes, so that a record can be turned into padding.
        return max(3, -(-(self.end + self.tail) // 4))

    @cached_property
    def last_word(self) -> int:
        """Which 4-byte unit says where the dynamic data ends."""
        return self.dynamic[-1].offset // 4 if self.dynamic else 0

    @cached_property
    def slack(self) -> int:
        """What to add to offset + length of the last dynamic field to get the end of the record, in bytes."""
        last = self.dynamic[-1] if self.dynamic else None
        return self.tail + (last.end if last and last.kind is Kind.RELATIVE else 0)

    def dynamic_end(self, location: int) -> int:
        """Return where a record ends whose last dynamic field lies at that ``__data_loc``, in bytes."""
        return (location & 0xFFFF) + (location >> 16) + self.slack


class Formats:
    """The layouts of a kernel's events, by event id; read again where a module brought new ones."""

    def __init__(self, events: Path) -> None:
        self._events = events
        self._texts: dict[int, tuple[str, str]] = {}
        self._layouts: dict[int, Layout] = {}

    def load(self) -> None:
        """Read all ``format`` files: about 2300 of them, 0.1 s. They are parsed when they are wanted."""
        for file in self._events.glob("*/*/format"):
            with suppress(FileNotFoundError):  # a module that is being unloaded
                text = file.read_text()
                if number := _ID.search(text):
                    self._texts[int(number[1])] = text, file.parts[-3]

    def layout(self, event_id: int) -> Layout:
        """Return the layout of the records with that ``common_type``."""
        if event_id not in self._layouts:
            if event_id not in self._texts:
                self.load()
            known = self._texts.get(event_id)
            self._layouts[event_id] = Layout.parse(*known) if known else Layout.unknown(event_id)
        return self._layouts[event_id]
