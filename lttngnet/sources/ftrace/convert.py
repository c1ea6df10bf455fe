"""Records of the ring buffer become CTF events where they lie, with the standard library alone.

A record begins with as many bytes as LTTng's large event header has, so its first 6 bytes are rewritten and
nothing else moves:

    record   u32 kind:5, delta:27 │ u16 type │ u8 flags, u8 preemption count, s32 thread id │ fields …
    event    u16 id │ u32 timestamp          │ u8 flags, u8 preemption count, s32 tid       │ fields …

A time stamp (8 bytes) before a record makes place for the extended header, which is 14 bytes long:

    record   u32 kind:5, … │ u32 │ u32 kind:5, delta:27 │ u16 type
    event    u16 65535 │ u32 id │ u64 timestamp

What is left over is cut out: the length word of a record with more than 112 bytes, discarded records,
padding, stamps that no record follows.

`lttngnet.sources.ftrace.convert_numpy` does the same, byte by byte, four times as fast.
"""

from lttngnet.sources.ftrace.classes import EventClasses
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
    TIME_EXTEND,
    Converted,
    Run,
    squeeze,
)


def convert(buffer: bytearray, run: Run, classes: EventClasses) -> Converted | None:
    """Turn a run of records into events; return nothing where there is not one among them."""
    view = memoryview(buffer)[RECORDS : RECORDS + run.size]
    words, halves = view.cast("I"), view.cast("H")
    expected, resolve = classes.words, classes.resolve
    cuts = []
    events = event_id = 0
    first = end = 0  # of the last event: its first data word, the word behind it
    stamped = False  # a time stamp stands between that event and here
    latest = 0  # that event's time
    for (word, base), page_end in zip(run.pages, run.page_ends, strict=True):
        time = base
        while word < page_end:
            head = words[word]
            kind = head & KIND_MASK
            if LARGE < kind < PADDING and word == end:  # nearly always
                time += head >> DELTA_SHIFT
                first = word + 1
                event_id = halves[2 * first]
                if expected[event_id] != kind:
                    event_id = resolve(event_id, kind, words, first)
                words[word] = event_id | (time & 0xFFFF) << 16
                halves[2 * first] = time >> 16 & 0xFFFF
                word = end = first + kind
                latest = time
                events += 1
            elif kind == PADDING:
                length = words[word + 1] >> 2 if head >> DELTA_SHIFT else page_end
                word = min(word + 1 + length, page_end)
            elif kind > PADDING:
                stamp = (head >> DELTA_SHIFT) + (words[word + 1] << STAMP_SHIFT)
                time = time + stamp if kind == TIME_EXTEND else stamp | base & STAMP_EPOCH
                stamped = True
                word += 2
            else:  # a large record, or one behind a gap
                time += head >> DELTA_SHIFT
                if kind == LARGE:
                    word += 1
                    kind = (words[word] >> 2) - 1
                first = word + 1
                event_id = resolve(halves[2 * first], kind, words, first)
                start = word
                if stamped:
                    start -= 2
                    EXTENDED_HEADER.pack_into(view, 4 * start, EXTENDED, event_id, time)
                    stamped = False
                else:
                    words[word] = event_id | (time & 0xFFFF) << 16
                    halves[2 * first] = time >> 16 & 0xFFFF
                if start > end:
                    cuts.append((end, start))
                word = end = first + kind
                latest = time
                events += 1
    if not events:
        return None
    unused = 4 * (end - first) - classes.covered(event_id, end - first, words, first)
    size = squeeze(buffer, cuts, end)
    return Converted(events, run.pages[0][1], latest, size - unused, size)
