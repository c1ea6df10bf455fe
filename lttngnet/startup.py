"""What both daemons do alike: options, how they fail to start, and how they end."""

import os
import resource
import signal
from contextlib import suppress
from typing import Any, ClassVar, NoReturn

from twisted.internet.error import ReactorNotRunning
from twisted.python import usage


class CannotStart(SystemExit, Exception):
    """Why a daemon cannot start: ends the process with status 1, and this line on standard error.

    As an Exception it passes through twistd, which then removes its pid file and tells the process that
    waits for the daemon; as a SystemExit it leaves no traceback.
    """

    def __init__(self, program: str, why: object) -> None:
        super().__init__(f"{program}: {why}")


class DaemonOptions(usage.Options):
    """The options that every daemon has.

    Attributes:
        version: what ``--version`` prints.
    """

    version: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self["verbose"] = 0

    def opt_verbose(self) -> None:
        """Say more in the log: once, who comes and goes and what is asked for; twice, everything."""
        self["verbose"] += 1

    opt_v = opt_verbose

    def opt_version(self) -> NoReturn:
        """Print the version and exit."""
        print(self.version)
        raise SystemExit(0)

    opt_V = opt_version

    opt_h = usage.Options.opt_help


def callers_umask(options: usage.Options) -> int | None:
    """Return the umask that twistd would replace by its own when it detaches; None if the user chose one."""
    if options.parent is not None and options.parent["umask"] is not None:
        return None
    umask = os.umask(0)  # there is no other way to read it
    os.umask(umask)
    return umask


def end_by_signal(reactor: Any) -> None:
    """Let SIGTERM and SIGINT end the process in order, with status 0, once the reactor runs.

    With twistd's own handlers the process would die of the signal in the end.
    """

    def stop() -> None:
        with suppress(ReactorNotRunning):  # a second signal
            reactor.stop()

    def take_signals() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: reactor.callFromThread(stop))

    reactor.callWhenRunning(take_signals)


def raise_descriptor_limit() -> int:
    """Let this process, and those it starts, open as many files as the system allows; return how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
