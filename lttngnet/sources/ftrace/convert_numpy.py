"""Records of the ring buffer become CTF events where they lie, a run at a time, with numpy.

What is done, and why, stands in `lttngnet.sources.ftrace.convert`; the bytes are the same.
"""

import numpy as np
from numpy.typing import NDArray

from lttngnet.sources.ftrace.classes import DYNAMIC, UNKNOWN, EventClasses
from lttngnet.sources.ftrace.ringbuffer import (
    DELTA_SHIFT,
    EXTENDED,
    EXTENDED_HEADER,
    KIND_MASK,
    LARGE,
    PADDING,
    RECORDS,
    STAMP_EPOCH,
    STAMP_SHIFT,
    TIME_STAMP,
    Converted,
    Run,
    squeeze,
)

Words = NDArray[np.uint32]
Indices = NDArray[np.intp]
Times = NDArray[np.uint64]

_STEPS = bytes(
    kind + 1 if LARGE < kind < PADDING else 2 if kind > PADDING else 0
    for kind in (low & KIND_MASK for low in range(256))
)
"""From the low byte of a record to the number of words to the next one; 0: it does not tell."""


def convert(buffer: bytearray, run: Run, classes: EventClasses) -> Converted | None:
    """Turn a run of records into events; return nothing where there is not one among them."""
    words: Words = np.frombuffer(buffer, np.uint32, run.words, RECORDS)
    at = _find(words, run)
    heads: Words = words[at]
    kind: Words = heads & np.uint32(KIND_MASK)
    times = _times(words, at, heads, kind, run)
    lengths = kind
    extended: Indices | None = None
    cuts: list[tuple[int, int]] = []
    if kind.min() == LARGE or kind.max() >= PADDING:
        data = np.flatnonzero(kind < PADDING)
        if not len(data):
            return None
        stamps_before = np.cumsum(kind > PADDING)[data]
        at, times, lengths = at[data], times[data], kind[data]
        large = lengths == LARGE
        at[large] += 1
        lengths[large] = (words[at[large]] >> 2) - 1
        extended = np.flatnonzero(np.diff(stamps_before, prepend=0))
        cuts = _cuts(at, lengths, extended)
    ids = _resolve(words, at, lengths, classes)
    low = times.astype(np.uint32)
    words[at] = ids | low << 16
    halves = np.frombuffer(buffer, np.uint16, 2 * run.words, RECORDS)
    halves[2 * at + 2] = low >> 16
    if extended is not None:
        for event in extended.tolist():
            place = RECORDS + 4 * (int(at[event]) - 2)
            EXTENDED_HEADER.pack_into(buffer, place, EXTENDED, int(ids[event]), int(times[event]))
    first, length = int(at[-1]) + 1, int(lengths[-1])
    unused = 4 * length - classes.covered(int(ids[-1]), length, words, first)
    size = squeeze(buffer, cuts, first + length)
    return Converted(len(at), run.pages[0][1], int(times[-1]), size - unused, size)


def _find(words: Words, run: Run) -> Indices:
    """Return where the records begin, whatever their kind."""
    steps = words.astype(np.uint8).tobytes().translate(_STEPS) + b"\0"
    marks = bytearray(run.words)
    word = 0
    while True:
        while step := steps[word]:
            marks[word] = 1
            word += step
        if word >= run.words:
            return np.flatnonzero(np.frombuffer(marks, np.bool_))
        marks[word] = 1
        word = _behind(words, word, run)


def _behind(words: Words, word: int, run: Run) -> int:
    """Return the word behind a record that is large, discarded, or the end of its page."""
    head = int(words[word])
    if head & KIND_MASK == LARGE:
        return word + 1 + (int(words[word + 1]) >> 2)
    page_end = next(end for end in run.page_ends if end > word)
    if not head >> DELTA_SHIFT:
        return page_end
    return min(word + 1 + (int(words[word + 1]) >> 2), page_end)


def _times(words: Words, at: Indices, heads: Words, kind: Words, run: Run) -> Times:
    """Return the time of each record in ns.

    Deltas add up, beginning anew with each page and with each absolute stamp.
    """
    delta = (heads >> np.uint32(DELTA_SHIFT)).astype(np.uint64)
    delta[kind == PADDING] = 0  # a discarded record's does not count
    stamps = np.flatnonzero(kind > PADDING)
    delta[stamps] += words[at[stamps] + 1].astype(np.uint64) << np.uint64(STAMP_SHIFT)
    anchors = np.searchsorted(at, [first for first, _ in run.pages])
    bases = np.array([base for _, base in run.pages], np.uint64)
    known = bases + delta[anchors]
    absolute = stamps[kind[stamps] == TIME_STAMP]
    if len(absolute):
        page = np.searchsorted(anchors, absolute, side="right") - 1
        anchors = np.concatenate((anchors, absolute))
        known = np.concatenate((known, delta[absolute] | bases[page] & np.uint64(STAMP_EPOCH)))
        order = np.argsort(anchors, kind="stable")
        anchors, known = anchors[order], known[order]
    times: Times = np.cumsum(delta, dtype=np.uint64)
    times += np.repeat(known - times[anchors], np.diff(anchors, append=len(at)))  # modulo 2 ** 64
    return times


def _cuts(at: Indices, lengths: Words, extended: Indices) -> list[tuple[int, int]]:
    """Return the ranges of words that belong to no event."""
    starts = at.copy()
    starts[extended] -= 2
    ends = np.zeros_like(at)
    ends[1:] = (at + lengths + 1)[:-1]
    gaps = np.flatnonzero(starts > ends)
    return list(zip(ends[gaps].tolist(), starts[gaps].tolist(), strict=True))


def _resolve(words: Words, at: Indices, lengths: Words, classes: EventClasses) -> Words:
    """Return the ids to write; what the tables do not settle is asked for one by one, in order."""
    ids: Words = words[at + 1] & np.uint32(0xFFFF)
    expected_of = np.frombuffer(classes.words, np.uint16)
    expected = expected_of.take(ids)
    if UNKNOWN in expected:
        for event_id in dict.fromkeys(ids[expected == UNKNOWN].tolist()):
            classes.meet(event_id)
        expected = expected_of.take(ids)
    doubtful = np.flatnonzero(expected != lengths)
    if len(doubtful):
        dynamic = expected[doubtful] == DYNAMIC
        doubtful = doubtful[
            ~(dynamic & _ends_fit(words, at[doubtful] + 1, ids[doubtful], lengths[doubtful], classes))
        ]
        for event in doubtful.tolist():
            ids[event] = classes.resolve(int(ids[event]), int(lengths[event]), words, int(at[event]) + 1)
    return ids


def _ends_fit(
    words: Words, first: Indices, ids: Words, lengths: Words, classes: EventClasses
) -> NDArray[np.bool_]:
    """Tell of each record whether its last dynamic field ends where the record ends."""
    last = np.frombuffer(classes.last_words, np.uint16)[ids]
    location: Words = words.take(first + last, mode="clip")  # a record may end before, and with it the page
    end = (location & np.uint32(0xFFFF)) + (location >> np.uint32(16))
    end += np.frombuffer(classes.slacks, np.uint16)[ids] + np.uint32(3)
    fits: NDArray[np.bool_] = (end >> np.uint32(2) == lengths) & (lengths > last)
    return fits
