"""What is made once for all tests of a run, by whichever process needs it first: compiled programs."""

import atexit
import fcntl
import os
import shutil
import tempfile
from functools import cache
from hashlib import sha256
from pathlib import Path

PLACE = "LTTNGNET_TESTS_PLACE"
"""Environment variable: the folder of this run. Without it each process has its own, and removes it."""


@cache
def _folder():
    if given := os.environ.get(PLACE):
        return Path(given)
    folder = make_folder()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def make_folder():
    """Return a new folder for a run; programs in it may be run by everybody."""
    folder = Path(tempfile.mkdtemp(prefix="lttngnet-tests-"))
    folder.chmod(0o755)
    return folder


def made(name, *parts, make):
    """Return the folder in which something lies that is made only once.

    Args:
        name: of what is made.
        parts: texts that it is made of: where one differs, it is another thing.
        make: called with the folder, unless it was made before.
    """
    key = sha256("\0".join((name, *parts)).encode()).hexdigest()[:16]
    place = _folder() / f"{name}-{key}"
    with place.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            draft = Path(tempfile.mkdtemp(dir=_folder()))
            make(draft)
            draft.chmod(0o755)
            draft.rename(place)
    return place
