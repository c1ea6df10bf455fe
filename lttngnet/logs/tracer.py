"""What joins taps, outlets and links: the state of a traced process."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from lttngnet.logs.link import Link
from lttngnet.logs.outlet import NOTHING, Outlet, guard
from lttngnet.logs.taps import Fields, LoggingTap, TwistedTap
from lttngnet.wire.records import event

GRACE = 0.1
"""Seconds that a forked child may take to become another program (exec) before it registers for itself."""


class Tracer:
    """Records what the sessions of some daemons want of this process.

    Args:
        paths: the daemons' sockets.
        twisted: as for `TwistedTap`.
        patience: seconds that the program may be kept waiting for a daemon's first word.
    """

    def __init__(self, paths: Sequence[Path], twisted: bool | None, patience: float) -> None:
        self._patience = patience
        self._lock = Lock()
        self._outlets: tuple[Outlet, ...] = ()
        self._newborn = False
        self._links = [Link(path, self._changed) for path in paths]
        self._twisted = TwistedTap(self, twisted)
        self._logging = LoggingTap(self, self._twisted.has_told)

    def start(self) -> None:
        """Look for the daemons, and give them a moment to say what they want."""
        for link in self._links:
            link.start()
        self._settle()

    def close(self) -> None:
        """End all of it."""
        with guard:
            for link in self._links:
                link.close()
            self._twisted.close()

    def finish(self) -> None:
        """Tell what was lost, at the end of the process. What is recorded afterwards is still sent."""
        with guard:
            for outlet in self._outlets:
                outlet.finish()

    def forked(self) -> None:
        """Become, in a forked child, a process of its own for the daemons."""
        self._lock = Lock()
        links = self._links
        self._links = [Link(link.path, self._changed, link.abandon(), GRACE) for link in links]
        self._newborn = bool(self._outlets)
        for link in self._links:
            link.start()

    def floor(self, logger: str) -> int:
        """Return the lowest level that a session wants of a logger."""
        return min((outlet.floor(logger) for outlet in self._outlets), default=NOTHING)

    def emit(self, logger: str, level: int, fields: Callable[[Any], Fields], subject: Any) -> None:
        """Send ``fields(subject)`` to the sessions that want it. Never raises, never waits.

        There is one wait: the first record of a forked child, if its parent was traced, waits for the
        daemon's first word as `install` does.
        """
        if guard.busy:
            self._miss(logger, level)
            return
        with guard:
            try:
                if self._newborn:
                    self._newborn = False
                    self._settle()
                wanting = [outlet for outlet in self._outlets if outlet.wants(logger, level)]
                if wanting:
                    values = fields(subject)
                    data = event(*values)
                    for outlet in wanting:
                        outlet.send(logger, level, data, values)
            except Exception:  # such as a text that cannot be made: the program is not to suffer from it
                self._miss(logger, level)

    def _miss(self, logger: str, level: int) -> None:
        for outlet in self._outlets:
            if outlet.wants(logger, level):
                outlet.miss()

    def _settle(self) -> None:
        deadline = time.monotonic() + self._patience
        for link in self._links:
            link.settle(max(0.0, deadline - time.monotonic()))
            link.drop_orphans()

    def _changed(self) -> None:
        with self._lock:
            self._outlets = tuple(o for link in self._links for o in list(link.outlets.values()) if o.rules)
            if self._outlets:
                self._twisted.open()
                self._logging.open()
            else:
                self._logging.close()
