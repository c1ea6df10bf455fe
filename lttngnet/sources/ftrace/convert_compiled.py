"""Records of the ring buffer become CTF events where they lie, with a compiled loop.

What is done, and why, stands in `lttngnet.sources.ftrace.convert`; the bytes are the same. The module that it
needs is built where a C compiler is found, see ``setup.py``.
"""

from lttngnet.sources.ftrace import _convert
from lttngnet.sources.ftrace.classes import EventClasses
from lttngnet.sources.ftrace.ringbuffer import RECORDS, Converted, Run, squeeze


def convert(buffer: bytearray, run: Run, classes: EventClasses) -> Converted | None:
    """Turn a run of records into events; return nothing where there is not one among them.

    Raises:
        ValueError: a record reaches beyond the run.
    """
    with memoryview(buffer) as whole, whole[RECORDS : RECORDS + run.size] as part, part.cast("I") as words:
        tables = (classes.words, classes.last_words, classes.slacks)
        found = _convert.convert(words, run.pages, *tables, classes.resolve)
        if found is None:
            return None
        events, latest, event_id, first, end, cuts = found
        unused = 4 * (end - first) - classes.covered(event_id, end - first, words, first)
    size = squeeze(buffer, cuts, end)
    return Converted(events, run.pages[0][1], latest, size - unused, size)
