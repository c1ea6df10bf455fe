"""Where records are taken from: `logging`, and `twisted.logger` where a program uses it."""

import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any, Protocol

_LEVELS = {"debug": 10, "info": 20, "warn": 30, "error": 40, "critical": 50}


Fields = tuple[str, str, str, str, int, int, int, str]
"""Values of an event's fields, in the order of `lttngnet.wire.records.FIELDS`."""


class Recorder(Protocol):
    """What the taps fill."""

    def floor(self, logger: str) -> int:
        """Return the lowest level that is wanted of a logger."""

    def emit(self, logger: str, level: int, fields: Callable[[Any], Fields], subject: Any) -> None:
        """Record ``fields(subject)`` where it is wanted. Never raises."""


class LoggingTap:
    """Takes what loggers are about to hand to their handlers.

    Not a handler on the root logger, although that is what one would expect first: such a handler would
    keep ``logging.basicConfig()`` from doing anything, would silence ``logging.lastResort``, would not see
    loggers that do not propagate; and to see ``DEBUG`` records the level of the root logger would have to
    be lowered, which makes all other handlers print them. Instead, while a session wants records:

    * ``Logger.getEffectiveLevel`` returns, for the loggers meant, no more than the level wanted, so that
      the records come into being. The levels that the program set stay as they are.
    * ``Logger.callHandlers`` shows us every record first, and calls the handlers if the logger's own level
      admits it: the program's logs look as if nobody traced.

    While nobody traces, `logging` is as it was. What a logger's filter or ``logging.disable`` rejects is not
    traced.
    """

    def __init__(self, recorder: Recorder, is_told_elsewhere: Callable[[logging.LogRecord], bool]) -> None:
        self._recorder = recorder
        self._is_told_elsewhere = is_told_elsewhere
        self._originals: tuple[Any, Any] | None = None
        self._ours: tuple[Any, Any] | None = None

    def open(self) -> None:
        """Begin to take records, or look again at what is wanted of which logger."""
        if self._ours is None:
            self._originals = logging.Logger.getEffectiveLevel, logging.Logger.callHandlers
            self._ours = self._wrap(*self._originals)
            logging.Logger.getEffectiveLevel, logging.Logger.callHandlers = self._ours  # type: ignore[method-assign]
        _forget_levels()

    def close(self) -> None:
        """Take no more. If somebody else has wrapped the same methods since, ours remain below his, idle."""
        if self._ours == (logging.Logger.getEffectiveLevel, logging.Logger.callHandlers):
            logging.Logger.getEffectiveLevel, logging.Logger.callHandlers = self._originals  # type: ignore
            self._originals = self._ours = None
        _forget_levels()

    def _wrap(self, own_level: Callable[[Any], int], call: Callable[[Any, Any], None]) -> tuple[Any, Any]:
        recorder, is_told_elsewhere = self._recorder, self._is_told_elsewhere

        def getEffectiveLevel(logger: logging.Logger) -> int:
            return min(own_level(logger), recorder.floor(logger.name))

        def callHandlers(logger: logging.Logger, record: logging.LogRecord) -> None:
            if not is_told_elsewhere(record):
                recorder.emit(record.name, record.levelno, _of_logging, record)
            if record.levelno >= own_level(logger):
                call(logger, record)

        return getEffectiveLevel, callHandlers


class TwistedTap:
    """An observer of ``twisted.logger``'s events.

    Args:
        recorder: is given the events.
        use: whether to load `twisted.logger`; None for using it where the program has loaded it by then.
    """

    def __init__(self, recorder: Recorder, use: bool | None) -> None:
        self._recorder = recorder
        self._use = use
        self._observing = False

    def open(self) -> None:
        """Begin to observe, for good: with nothing wanted there is nothing to do for an event."""
        wanted = "twisted.logger" in sys.modules if self._use is None else self._use
        if wanted and not self._observing:
            from twisted.logger import globalLogPublisher

            globalLogPublisher.addObserver(self)  # type: ignore[arg-type]  # we cannot declare the interface
            self._observing = True

    def close(self) -> None:
        """Observe no more."""
        if self._observing:
            from twisted.logger import globalLogPublisher

            globalLogPublisher.removeObserver(self)  # type: ignore[arg-type]
            self._observing = False

    def has_told(self, record: logging.LogRecord) -> bool:
        """Tell whether a record of `logging` is an event that ``STDLibLogObserver`` passed on."""
        return self._observing and type(record.msg).__module__.startswith("twisted.logger")

    def __call__(self, event: Any) -> None:
        """Take an event (ILogObserver)."""
        level = _LEVELS.get(getattr(event.get("log_level"), "name", ""), 0)
        self._recorder.emit(event.get("log_namespace") or "", level, _of_twisted, event)


def _forget_levels() -> None:
    # Loggers remember what they found enabled; any logger whose level is set makes all of them forget.
    logging.Logger("").setLevel(logging.NOTSET)


def _of_logging(record: logging.LogRecord) -> Fields:
    try:
        msg = record.getMessage()
    except Exception:  # the program's own mistake, which its handlers report
        msg = f"{record.msg!r} % {record.args!r}"
    if record.exc_info and record.exc_info[0]:
        msg = "\n".join((msg, *_lines(record.exc_info)))
    return (
        _asctime(record.created),
        msg,
        record.name,
        record.funcName or "",
        record.lineno or 0,
        record.levelno,
        record.thread or 0,
        record.threadName or "",
    )


def _lines(exc_info: Any) -> list[str]:
    return "".join(traceback.format_exception(*exc_info)).splitlines()


def _of_twisted(said: Any) -> Fields:
    from twisted.logger import eventAsText

    thread = threading.current_thread()
    return (
        _asctime(said.get("log_time") or time.time()),
        eventAsText(said, includeTimestamp=False, includeSystem=False),
        said.get("log_namespace") or "",
        "",
        0,
        _LEVELS.get(getattr(said.get("log_level"), "name", ""), 0),
        thread.ident or 0,
        thread.name,
    )


_second: tuple[int, str] = (0, "")


def _asctime(created: float) -> str:
    """Return a time as `logging.Formatter` does by default; the part that costs is made once a second."""
    global _second
    whole, begun = _second
    if whole != int(created):
        whole, begun = _second = int(created), time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(created))
    return f"{begun},{int(created % 1 * 1000):03d}"
