"""The current session of a user: remembered in ``~/.lttngnetrc``, which is ours, not that of ``lttng``."""

from collections.abc import Mapping
from pathlib import Path

from lttngnet.rundir import home

FILE = ".lttngnetrc"
_KEY = "session="


def recall(environ: Mapping[str, str]) -> str | None:
    """Return the name of the current session, or None."""
    try:
        lines = _file(environ).read_text(errors="surrogateescape").splitlines()
    except OSError:
        return None
    return next((line.removeprefix(_KEY) for line in lines if line.startswith(_KEY)), None)


def remember(environ: Mapping[str, str], name: str) -> None:
    """Make a session the current one."""
    file = _file(environ)
    fresh = file.with_name(f"{FILE}.new")
    fresh.write_text(f"{_KEY}{name}\n", errors="surrogateescape")
    fresh.replace(file)


def forget(environ: Mapping[str, str], name: str) -> None:
    """Have no current session any more, if it is that one."""
    if recall(environ) == name:
        _file(environ).unlink(missing_ok=True)


def _file(environ: Mapping[str, str]) -> Path:
    return Path(home(environ), FILE)
