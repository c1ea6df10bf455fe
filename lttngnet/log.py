"""What the daemons say, and how much of it: ``-v`` on their command lines.

A class has ``log = Logger()``, or ``log = ChannelLogger()`` where each connection has one of it, and
logs as with any logger of Twisted. Events that are not worth saying never reach the log publisher:

======== ============== ======================
``-v``   `Logger`       `ChannelLogger`
======== ============== ======================
not      info           warn
once     info           info
twice    debug          debug
======== ============== ======================

Where the events go is not decided here: ``twistd`` does, or who runs the daemon in another way.
"""

from typing import TextIO

from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogPublisher,
    textFileLogObserver,
)

from twisted import logger


class Logger(logger.Logger):
    """A logger for what an operator wants to see, made to be a class attribute."""

    threshold = LogLevelFilterPredicate(LogLevel.info)
    by_verbosity = (LogLevel.info, LogLevel.info, LogLevel.debug)

    def __init__(
        self, namespace: str | None = None, source: object = None, observer: ILogObserver | None = None
    ) -> None:
        # Without a namespace, Twisted takes that of the caller, which would be this module.
        filtered = observer or FilteringLogObserver(globalLogPublisher, [self.threshold])
        super().__init__(namespace or "lttngnet", source, filtered)


class ChannelLogger(Logger):
    """A logger for what comes and goes with every peer: unless somebody asks, only what is amiss is said."""

    threshold = LogLevelFilterPredicate(LogLevel.warn)
    by_verbosity = (LogLevel.warn, LogLevel.info, LogLevel.debug)


def set_verbosity(times: int) -> None:
    """Say more, or less again: how often ``-v`` was given. It holds for the whole process."""
    for kind in (Logger, ChannelLogger):
        levels = kind.by_verbosity
        kind.threshold.setLogLevelForNamespace("", levels[min(times, len(levels) - 1)])


def says_who_comes() -> bool:
    """Tell whether it is heard of every peer that comes and goes; see `says_everything`."""
    return bool(ChannelLogger.threshold.logLevelForNamespace("") <= LogLevel.info)


def says_everything() -> bool:
    """Tell whether debug messages are heard: to be asked where thousands of them would be made in vain."""
    return Logger.threshold.logLevelForNamespace("") is LogLevel.debug


def stream_observer(stream: TextIO, times: int) -> ILogObserver:
    """Return what writes to a stream what our loggers say, and of Twisted's own talk only what is amiss.

    Args:
        stream: where to write.
        times: how often ``-v`` was given; from two on, Twisted is heard out.
    """
    levels = LogLevelFilterPredicate(LogLevel.debug if times > 1 else LogLevel.warn)
    levels.setLogLevelForNamespace("lttngnet", LogLevel.debug)  # our own are filtered already
    return FilteringLogObserver(textFileLogObserver(stream), [levels])
