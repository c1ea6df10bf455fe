"""``python -m tests [test …]``: trial, and a closing line that counts what passed, failed and was skipped."""

import re
import subprocess
import sys

_COUNT = re.compile(r"(\w+)=(\d+)")
_PASSED = ("successes", "expectedFailures")
_FAILED = ("failures", "errors", "unexpectedSuccesses")


def main() -> int:
    """Run trial, and return its exit status."""
    command = [sys.executable, "-m", "twisted.trial", *(sys.argv[1:] or ["tests"])]
    verdict = ""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as trial:
        assert trial.stdout is not None
        for line in trial.stdout:
            print(line, end="", flush=True)
            if line.startswith(("PASSED", "FAILED")):
                verdict = line
    counts = {key: int(number) for key, number in _COUNT.findall(verdict)}
    passed, failed = (sum(counts.get(key, 0) for key in keys) for keys in (_PASSED, _FAILED))
    print(f"tests: {passed} passed, {failed} failed, {counts.get('skips', 0)} skipped")
    return trial.returncode or (0 if verdict else 1)


if __name__ == "__main__":
    sys.exit(main())
