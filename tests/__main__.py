"""``python -m tests [test …]``: trial, and a closing line that counts what passed, failed and was skipped.

All tests run in several processes, but for those that measure times, or trace whatever the machine does:
these run alone afterwards. Packages and modules may be named; where single tests are, all run in one process.
What can be made once is made once for all of them (`tests.once`).
"""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

from tests import once

LONG = ("tests.interop.", "tests.test_tutorial", "tests.test_docs", "tests.relayd.test_processes")
"""Modules with tests of seconds: these come first, so that no process has one left when others have none."""

ALONE = ("tests.soak.", "tests.interop.test_kernel")
MOST = 8  # processes

_COUNT = re.compile(r"(\w+)=(\d+)")
_PASSED = ("successes", "expectedFailures")
_FAILED = ("failures", "errors", "unexpectedSuccesses")


def modules() -> list[str]:
    """Return the names of all modules of tests."""
    here = Path(__file__).parent
    paths = sorted(path.relative_to(here).with_suffix("") for path in here.rglob("test_*.py"))
    names = [".".join((here.name, *path.parts)) for path in paths]
    return sorted(names, key=lambda name: not name.startswith(LONG))


def run(*words: str) -> tuple[int, Counter[str]]:
    """Run trial; return its exit status, and how many tests came to each end."""
    verdict = ""
    command = [sys.executable, "-m", "twisted.trial", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as trial:
        assert trial.stdout is not None
        for line in trial.stdout:
            print(line, end="", flush=True)
            if line.startswith(("PASSED", "FAILED")):
                verdict = line
    counts = Counter({key: int(number) for key, number in _COUNT.findall(verdict)})
    return trial.returncode or (0 if verdict else 1), counts


def run_modules(names: list[str]) -> list[tuple[int, Counter[str]]]:
    """Run these modules, as many at a time as may be."""
    together = [name for name in names if not name.startswith(ALONE)]
    alone = [name for name in names if name.startswith(ALONE)]
    workers = min(MOST, 2 * (os.cpu_count() or 1))  # they mostly wait for processes that they started
    runs = [(f"-j{workers}", *together), ("--temp-directory=_trial_temp-alone", *alone)]
    return [run(*words) for words in runs if len(words) > 1]


def chosen(wanted: list[str]) -> list[str] | None:
    """Return the modules of these packages and modules; None if something else is among them, as a test."""
    found = {name: [each for each in modules() if f"{each}.".startswith(f"{name}.")] for name in wanted}
    return [each for names in found.values() for each in names] if all(found.values()) else None


def main() -> int:
    """Run the tests, and return the exit status."""
    place = once.make_folder()
    os.environ[once.PLACE] = str(place)
    os.environ.setdefault(
        "HYPOTHESIS_STORAGE_DIRECTORY", f"{place}/hypothesis"
    )  # its tables are made once, too
    try:
        names = chosen(sys.argv[1:] or ["tests"])
        runs = [run(*sys.argv[1:])] if names is None else run_modules(names)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    counts = sum((each for _, each in runs), Counter[str]())
    passed, failed = (sum(counts[key] for key in keys) for keys in (_PASSED, _FAILED))
    print(f"tests: {passed} passed, {failed} failed, {counts['skips']} skipped")
    return max(status for status, _ in runs)


if __name__ == "__main__":
    sys.exit(main())
