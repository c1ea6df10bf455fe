"""What the tutorial (doc/tutorial.rst) says is typed is typed, and what it says is printed is printed.

All commands with the prompts ``receiver$`` and ``traced$`` are run in order, in a shell for each of the two.
Five things are not word for word as on the page, so that this harms nobody and can be repeated:

* ``$HOME`` is a temporary folder for each shell, and ``$LTTNG_RUNDIR`` is ``~/.lttng`` also for root;
* ``twistd lttng-relayd`` gets options: to listen on free ports of the loopback, and to write them down;
* ``twistd lttng-sessiond`` leaves C applications to whatever daemon traces those of this machine;
* those ports stand for the page's ``net://192.168.1.10``;
* the name of this machine stands for ``traced``.

Numbers, sizes and paths are not compared (`neutral`).
"""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from threading import Timer
from unittest import skipIf, skipUnless

from twisted.trial.unittest import SynchronousTestCase

PAGE = Path(__file__).parents[1] / "doc" / "tutorial.rst"
PROMPT = re.compile(r"    (receiver|traced)\$ (.+)")
PROGRAM = re.compile(r"\.\. code-block:: python\n   :caption: (\S+)\n\n((?:    .*\n|\n)+)")
ADDRESS = "net://192.168.1.10"
LISTEN = "-C tcp://127.0.0.1:0 -D tcp://127.0.0.1:0 -L tcp://127.0.0.1:0 --ports-file ports"
MARK = "--- that was all"
PATIENCE = 120  # seconds until a shell that does not answer is killed
NEEDED = ("bash", "babeltrace2")
MISSING = [name for name in NEEDED if shutil.which(name) is None]


def steps(page):
    """Return what is typed: (machine, command, what the page says it prints)."""
    found = []
    lines = iter(page.splitlines())
    for line in lines:
        if line != ".. code-block:: console":
            continue
        for said in lines:
            if said and not said.startswith("    "):
                break
            if typed := PROMPT.fullmatch(said):
                found.append((*typed.groups(), []))
            elif said and re.match(r"    \w+# ", said):  # by root: not for a test
                break
            elif said:
                found[-1][2].append(said[4:])
    return found


def neutral(line):
    """Return a printed line without what differs from run to run."""
    line = re.sub(r"net://\S+", "URI", line)
    line = re.sub(r"only \d+ apples are left", "order N arrived", line)  # whichever was the last one
    line = re.sub(r"\d[\d,]*(\.\d+)? (bytes|KiB)", "SIZE", line)
    line = re.sub(r"\d+ (event|packet)s?", r"N \1", line)
    line = re.sub(
        r"the relay daemon closed the \w+ connection|the \w+ connection was cut off.*", "LOST", line
    )
    return re.sub(r"\s+", " ", re.sub(r"\d+", "N", line)).rstrip()


class Shell:
    """Where somebody types, on one of the two machines."""

    def __init__(self, home):
        self.home = home
        home.mkdir()
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environ = os.environ | {"HOME": str(home), "LTTNG_RUNDIR": str(home / ".lttng"), "PATH": path}
        environ |= {"PYTHONPATH": str(PAGE.parents[1]), "LC_ALL": "C.UTF-8", "COLUMNS": "200"}
        environ.pop("LTTNG_HOME", None)
        self.process = subprocess.Popen(
            ["bash"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environ,
            cwd=home,
            text=True,
            start_new_session=True,
        )

    def type(self, command):
        """Run a command, and return the lines that it prints."""
        self.process.stdin.write(f"{command}\necho '{MARK}'\n")
        self.process.stdin.flush()
        printed = []
        for line in self.process.stdout:
            if line.rstrip("\n") == MARK:
                return printed
            printed.append(line.rstrip("\n"))
        raise AssertionError(f"the shell ended within {command!r}: {printed}")

    def close(self):
        """End the shell, and every process that was started in it."""
        for pid_file in self.home.glob("*/twistd.pid"):  # still there if a test failed
            with contextlib.suppress(ProcessLookupError, ValueError):
                os.kill(int(pid_file.read_text()), signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


@skipUnless(PAGE.exists(), "the documentation is not here")
@skipIf(MISSING, f"not installed: {', '.join(MISSING)}")
class TutorialTests(SynchronousTestCase):
    def setUp(self):
        folder = Path(tempfile.mkdtemp(prefix="lttngnet-"))  # trial's are too deep for the path of a socket
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        self.shells = {name: Shell(folder / name) for name in ("receiver", "traced")}
        watchdog = Timer(PATIENCE, self.give_up)
        watchdog.start()
        self.addCleanup(watchdog.cancel)
        for shell in self.shells.values():
            self.addCleanup(shell.close)

    def give_up(self):
        for shell in self.shells.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(shell.process.pid, signal.SIGKILL)

    def replaced(self, command):
        """Return what is typed in place of a command of the page."""
        if ADDRESS in command:
            ports = json.loads((self.shells["receiver"].home / "relay" / "ports").read_text())
            here = f"net://127.0.0.1:{ports['control']}"
            command = command.replace(f"{ADDRESS}:5342", here)
            command = command.replace(ADDRESS, f"{here}:{ports['data']}")
        command = re.sub(r"\btraced\b", os.uname().nodename, command)
        command = command.replace("twistd lttng-relayd", f"twistd lttng-relayd {LISTEN}")
        return command.replace("twistd lttng-sessiond", "twistd lttng-sessiond --no-ust")

    def run_step(self, machine, command):
        """Type a command; return what is printed, with the names that the page has."""
        shell = self.shells[machine]
        printed = [line for line in shell.type(self.replaced(command)) if "Terminated" not in line]
        names = ((str(shell.home), "/home/ana"), (os.uname().nodename, "traced"))
        for ours, theirs in names:
            printed = [line.replace(ours, theirs) for line in printed]
        return printed

    def test_the_tutorial(self):
        page = PAGE.read_text()
        programs = PROGRAM.findall(page)
        typed = steps(page)
        self.assertGreater(len(typed), 40)
        for machine, command, said in typed:
            for name, text in programs:
                if name in command:
                    (self.shells[machine].home / "demo" / name).write_text(textwrap.dedent(text))
            printed = self.run_step(machine, command)
            self.assertEqual(
                [neutral(line) for line in printed if line],
                [neutral(line) for line in said],
                f"{machine}$ {command}\nprinted:\n" + "\n".join(printed),
            )
