"""For a program that is to be traced: ``import lttngnet.logs; lttngnet.logs.install()``, and no more.

From then on a session daemon can record what the program logs (``lttngnet enable-event --python …``).
The daemon is looked for in the background, so it may start later, end and come again. Without one, and
while no session wants anything, logging works, costs and looks as ever. While one does:

* Records of `logging` and, where the program uses it, events of `twisted.logger` go to the session's consumer
  process over a UNIX socket. A session that asks for levels below a logger's own gets them; the program's own
  handlers print what they would have printed (`lttngnet.logs.taps` tells how).
* The program is never made to wait, and nothing of this raises. What the socket has no room for is dropped
  and counted; the trace shows how many (``events_discarded``).
* A forked child is a process of its own: it registers by itself, at the latest when it logs something.
* A thread listens to each daemon. From 3.12 on Python warns (DeprecationWarning) when a process that has
  threads forks.

The daemon's socket is looked for in ``$LTTNG_RUNDIR`` if that is set; otherwise both in ``/run/lttng``
(the daemon of root) and in ``$LTTNG_HOME/.lttng`` or ``$HOME/.lttng`` (one's own): each daemon that is there
and lets us in gets the records that its own sessions want.

Standard library only; `twisted.logger` is imported where the program has done so.
"""

import atexit
import os
from collections.abc import Mapping
from pathlib import Path
from threading import Lock

from lttngnet.logs.tracer import Tracer
from lttngnet.wire.records import SOCKET

__all__ = ["install", "socket_paths", "uninstall"]

PATIENCE = 0.5
"""Seconds that `install` waits for a daemon's first word; ``LTTNGNET_REGISTER_TIMEOUT`` (ms) overrides it."""

_lock = Lock()
_tracer: Tracer | None = None


def install(*, twisted: bool | None = None) -> None:
    """Let session daemons trace what this process logs. Does nothing the second time.

    Returns when the daemons that are there have said what they want, so that the records of a short program
    are traced from the first on; after `PATIENCE` in any case, and at once where no daemon is.

    Args:
        twisted: whether to trace the events of ``twisted.logger``; None for where the program has
            imported it when a session wants records.
    """
    global _tracer
    with _lock:
        if _tracer is None:
            _tracer = Tracer(socket_paths(os.environ), twisted, _patience(os.environ))
            _tracer.start()


def uninstall() -> None:
    """Undo `install`."""
    global _tracer
    with _lock:
        if _tracer is not None:
            _tracer.close()
            _tracer = None


def socket_paths(environ: Mapping[str, str]) -> list[Path]:
    """Return where sockets of session daemons may be."""
    if rundir := environ.get("LTTNG_RUNDIR"):
        return [Path(rundir, SOCKET)]
    home = environ.get("LTTNG_HOME") or environ.get("HOME")
    return [Path("/run/lttng", SOCKET)] + ([Path(home, ".lttng", SOCKET)] if home else [])


def _patience(environ: Mapping[str, str]) -> float:
    try:
        return max(0.0, int(environ["LTTNGNET_REGISTER_TIMEOUT"]) / 1000)
    except (KeyError, ValueError):
        return PATIENCE


def _finish() -> None:
    if _tracer is not None:
        _tracer.finish()


def _forked() -> None:
    global _lock
    _lock = Lock()
    if _tracer is not None:
        _tracer.forked()


atexit.register(_finish)
os.register_at_fork(after_in_child=_forked)
