"""The event classes of one stream class that were met so far."""

from array import array
from collections.abc import Callable
from itertools import count
from typing import Any, Protocol, SupportsInt

from lttngnet.sources.ftrace.formats import Layout
from lttngnet.sources.ftrace.tsdl import covered_size, describe_event, describe_private_event

DYNAMIC = 0
UNKNOWN = 0xFFFF
_IDS = 1 << 16
_HIGHEST_PRIVATE_ID = 0xFFFE
"""65535 announces an extended event header, so no class can have it."""


class Words(Protocol):
    """A page as 4-byte words: a memoryview or a numpy array."""

    def __getitem__(self, index: int, /) -> SupportsInt: ...


class EventClasses:
    """Which ids and lengths a packet may use; describes a class when its first record is met.

    The tables are flat arrays, indexed by event id, so that a converter can look up a whole page at once.

    A record whose length its layout does not explain, and each length of a flexible one, is given a private
    class with the rest as bytes: a surprise costs readability, never the packet. Private ids count down from
    65534; the kernel's count up from 1 and have come to about 2300.

    Attributes:
        words: data words (4 bytes) that a record must have; `DYNAMIC`, or `UNKNOWN`: ask `resolve`.
        last_words: of dynamic classes, which word says where the data ends.
        slacks: of dynamic classes, what to add to that, in bytes.
    """

    def __init__(
        self, layout_of: Callable[[int], Layout], stream_class: int, describe: Callable[[str], Any]
    ) -> None:
        self._layout_of = layout_of
        self._stream_class = stream_class
        self._describe = describe
        self._met: dict[int, Layout] = {}
        self._private: dict[tuple[int, int], int] = {}
        self._private_ids = count(_HIGHEST_PRIVATE_ID, -1)
        self._private_sizes: dict[int, int] = {}
        self.words = array("H", [UNKNOWN]) * _IDS
        self.last_words = array("H", [0]) * _IDS
        self.slacks = array("H", [0]) * _IDS

    def meet(self, event_id: int) -> Layout:
        """Return the layout of a class, which is described where that was not done before."""
        if event_id in self._met:
            return self._met[event_id]
        layout = self._met[event_id] = self._layout_of(event_id)
        self.words[event_id] = UNKNOWN if layout.flexible else layout.words
        self.last_words[event_id] = layout.last_word
        self.slacks[event_id] = layout.slack
        if not layout.flexible:
            self._describe(describe_event(layout, self._stream_class))
        return layout

    def resolve(self, event_id: int, length: int, words: Words, first: int) -> int:
        """Return the id to write for a record of ``length`` data words, ``words[first]`` and on."""
        layout = self.meet(event_id)
        expected = self.words[event_id]
        if expected == length:
            return event_id
        if expected == DYNAMIC and length > layout.last_word:
            end = layout.dynamic_end(int(words[first + layout.last_word]))
            if -(-end // 4) == length:
                return event_id
        return self._resolve_private(layout, length)

    def covered(self, event_id: int, length: int, words: Words, first: int) -> int:
        """Return how many data bytes of a resolved record its fields describe: there a packet may end."""
        if event_id in self._private_sizes:
            return self._private_sizes[event_id]
        layout = self._met[event_id]
        if layout.dynamic:
            return layout.dynamic_end(int(words[first + layout.last_word]))
        return covered_size(layout)

    def _resolve_private(self, layout: Layout, length: int) -> int:
        key = layout.id, length
        if key not in self._private:
            private = self._private[key] = next(self._private_ids)
            self._private_sizes[private] = 4 * length
            self._describe(describe_private_event(layout, self._stream_class, private, 4 * length))
        return self._private[key]
