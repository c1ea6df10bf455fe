"""Log levels of the C tracer: their names and numbers. The lower, the more it matters.

They are those of ``lttng/tracepoint.h``, where each is named ``LTTNG_UST_TRACEPOINT_LOGLEVEL_…``, before 2.13
``TRACE_…``; users write and read the latter.
"""

from enum import IntEnum


class LogLevel(IntEnum):
    """Of a tracepoint; one that does not say has DEBUG_LINE."""

    EMERG = 0
    ALERT = 1
    CRIT = 2
    ERR = 3
    WARNING = 4
    NOTICE = 5
    INFO = 6
    DEBUG_SYSTEM = 7
    DEBUG_PROGRAM = 8
    DEBUG_PROCESS = 9
    DEBUG_MODULE = 10
    DEBUG_UNIT = 11
    DEBUG_FUNCTION = 12
    DEBUG_LINE = 13
    DEBUG = 14


_PREFIXES = ("TRACE_", "LTTNG_UST_TRACEPOINT_LOGLEVEL_")


def number(text: str) -> int:
    """Return the number of a level that a user names: ``TRACE_INFO``, ``INFO``, ``info``, ``6``.

    Raises:
        ValueError: there is none such; the text says which there are.
    """
    name = text.strip().upper()
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    if name in LogLevel.__members__:
        return LogLevel[name].value
    if name.isascii() and name.isdecimal() and int(name) <= max(LogLevel):
        return int(name)
    names = ", ".join(f"TRACE_{level.name}" for level in LogLevel)
    raise ValueError(f"there is no log level {text!r}; there are {names}")


def name(number: int) -> str:
    """Return a level as LTTng shows it: ``TRACE_INFO``; ``UNKNOWN`` where the number means none."""
    try:
        return f"TRACE_{LogLevel(number).name}"
    except ValueError:
        return "UNKNOWN"
