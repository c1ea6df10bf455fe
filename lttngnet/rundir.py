"""Where a session daemon and its users find each other, and where a user's own files are."""

from collections.abc import Mapping
from pathlib import PurePath

ROOT_RUNDIR = "/run/lttng"
"""Run-time folder of the session daemon that root started."""


def home(environ: Mapping[str, str]) -> str:
    """Return the folder for a user's traces and settings: ``$LTTNG_HOME``, else ``$HOME``, else ``/``."""
    return environ.get("LTTNG_HOME") or environ.get("HOME") or "/"


def default_rundir(environ: Mapping[str, str], uid: int) -> str:
    """Return the run-time folder of a user's session daemon, as lttng-tools chooses it.

    It is ``$LTTNG_RUNDIR`` where that is set, else ``/run/lttng`` for root, and ``.lttng`` in the `home` of
    everybody else.
    """
    if rundir := environ.get("LTTNG_RUNDIR"):
        return rundir
    return ROOT_RUNDIR if uid == 0 else str(PurePath(home(environ), ".lttng"))


def candidates(environ: Mapping[str, str], uid: int) -> list[str]:
    """Return the folders where a client looks for a daemon: the user's own, then that of root.

    A folder that ``$LTTNG_RUNDIR`` names is the only one.
    """
    own = default_rundir(environ, uid)
    return [own] if environ.get("LTTNG_RUNDIR") or own == ROOT_RUNDIR else [own, ROOT_RUNDIR]
