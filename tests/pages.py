"""Pages that say what is typed and what is printed then: read, typed, compared.

All commands with the prompts ``receiver$`` and ``traced$`` are run in order, in a shell for each of the two.
A program (a block with a caption) is put where the shell of ``traced`` is then. The name of this machine
stands for ``traced``. Numbers, sizes and paths are not compared (`neutral`).
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
from dataclasses import dataclass
from pathlib import Path
from threading import Timer

from tests.waiting import PATIENCE

DOC = Path(__file__).parents[1] / "doc"
PROMPT = re.compile(r"    (receiver|traced)\$ (.+)")
BY_ROOT = re.compile(r"    \w+# ")
PROGRAM = re.compile(r"\.\. code-block:: (python|c)")
CAPTION = re.compile(r"   :caption: (\S+)")
MARK = "--- that was all"
WATCHING = "lttngnet list -"  # what a tracer could record: programs that were just started may come later
ATTEMPTS = 600  # to see what is watched, one each tenth of a second
NEEDED = ("bash", "babeltrace2")


def missing(*more):
    """Return why pages cannot be typed here, or None."""
    if not DOC.exists():
        return "the documentation is not here"
    lacking = [name for name in (*NEEDED, *more) if shutil.which(name) is None]
    return f"not installed: {', '.join(lacking)}" if lacking else None


@dataclass
class Program:
    """A file that the reader writes."""

    name: str
    text: str


@dataclass
class Command:
    """What is typed on a machine, and the lines that the page says it prints."""

    machine: str
    text: str
    prints: list[str]


def steps(page):
    """Return what the reader does, in order."""
    found = []
    for block in re.split(r"^(?=\S)", page.strip(), flags=re.MULTILINE)[1:]:
        first, *lines = block.splitlines()
        if PROGRAM.fullmatch(first) and (caption := CAPTION.fullmatch(lines[0])):
            text = textwrap.dedent("\n".join(lines[1:])).strip("\n")
            found.append(Program(caption[1], f"{text}\n"))
        elif first == ".. code-block:: console":
            found += _commands(lines)
    return found


def _commands(lines):
    found = []
    for line in lines:
        if typed := PROMPT.fullmatch(line):
            found.append(Command(*typed.groups(), []))
        elif BY_ROOT.match(line):  # not for a test
            break
        elif line:
            found[-1].prints.append(line[4:])
    return found


def neutral(line):
    """Return a printed line without what differs from run to run."""
    line = re.sub(r"net://\S+", "URI", line)
    line = re.sub(r"only \d+ apples are left", "order N arrived", line)  # whichever was the last one
    line = re.sub(r"\d[\d,]*(\.\d+)? (bytes|KiB|MiB)", "SIZE", line)
    line = re.sub(r"\d+ (event|packet)s?", r"N \1", line)
    line = re.sub(
        r"the relay daemon closed the \w+ connection|the \w+ connection was cut off.*", "LOST", line
    )
    return re.sub(r"\s+", " ", re.sub(r"\d+", "N", line)).rstrip()


class Shell:
    """Where somebody types, on one of the two machines.

    Args:
        home: of that somebody; a folder that is made.
        environ: more of the environment; None removes a variable.
        inside: what the shell is started by.
    """

    def __init__(self, home, environ, inside=()):
        self.home = home
        home.mkdir()
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        whole = os.environ | {"HOME": str(home), "PATH": path, "PYTHONPATH": str(DOC.parent)}
        whole |= {"LC_ALL": "C.UTF-8", "COLUMNS": "200", "LTTNG_HOME": None, "LTTNG_RUNDIR": None} | environ
        self.process = subprocess.Popen(
            [*inside, "bash"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={name: value for name, value in whole.items() if value is not None},
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

    def kill(self):
        """End the shell, and the processes in its group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def close(self):
        """See `kill`."""
        self.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class PageMixin:
    """A page that is typed.

    Attributes:
        page: name of the file.
    """

    page: str

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="lttngnet-"))  # trial's are too deep for a socket's path
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.shells = {name: self.make_shell(self.folder / name) for name in ("receiver", "traced")}
        watchdog = Timer(PATIENCE, self.give_up)
        watchdog.start()
        self.addCleanup(watchdog.cancel)
        for shell in self.shells.values():
            self.addCleanup(shell.close)

    def make_shell(self, home):
        """Return a shell for one of the machines."""
        return Shell(home, {})

    def give_up(self):
        for shell in self.shells.values():
            shell.kill()

    def replaced(self, command):
        """Return what is typed in place of a command of the page."""
        return re.sub(r"\btraced\b", os.uname().nodename, command)

    def printed(self, command):
        """Type a command; return what is printed, with the names that the page has."""
        shell = self.shells[command.machine]
        lines = [line for line in shell.type(self.replaced(command.text)) if "Terminated" not in line]
        for ours, theirs in ((str(shell.home), "/home/ana"), (os.uname().nodename, "traced")):
            lines = [line.replace(ours, theirs) for line in lines]
        return [line for line in lines if line]

    def write(self, program):
        """Put a program where the shell of the traced machine is."""
        shell = self.shells["traced"]
        (folder,) = shell.type("pwd")
        (Path(folder) / program.name).write_text(program.text)

    def do(self, command):
        """Type a command, and see that it prints what the page says."""
        expected = [neutral(line) for line in command.prints]
        for _attempt in range(ATTEMPTS):
            printed = self.printed(command)
            if [neutral(line) for line in printed] == expected or not command.text.startswith(WATCHING):
                break
            self.shells[command.machine].type("sleep 0.1")
        self.assertEqual(
            [neutral(line) for line in printed],
            expected,
            f"{command.machine}$ {command.text}\nprinted:\n" + "\n".join(printed),
        )

    def test_the_page(self):
        todo = steps((DOC / self.page).read_text())
        self.assertGreater(len(todo), 20)
        for step in todo:
            if isinstance(step, Program):
                self.write(step)
            else:
                self.do(step)
