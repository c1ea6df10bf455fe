"""``make demo``: both daemons, a traced program, and the RFC's commands, on this machine.

Everything lives in a temporary folder and on free ports, and is gone afterwards. The exit status is 0 only
if a trace was sent over the network, arrived, and could be read.
"""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import NoReturn, Self

from lttngnet.sources.ftrace.tracefs import Tracefs, TracefsUnavailable
from lttngnet.wire.amp import CLIENT_SOCKET

PATIENCE = 15
"""Seconds that a daemon has to start or to end."""

TRACED_FOR = 2
"""Seconds."""

PROGRAM = """
import logging, time
import lttngnet.logs

lttngnet.logs.install()
log = logging.getLogger("shop")
number = 0
while True:
    number += 1
    log.info("order %d arrived", number)
    if number % 10 == 0:
        log.warning("only %d apples are left", 1000 - number)
    time.sleep(0.02)
"""


class Failed(Exception):
    """The demonstration did not work: one sentence that says why."""


class Stage:
    """The folder of the demonstration, and all processes that run in it."""

    def __init__(self, folder: Path) -> None:
        self.received = folder / "received"
        self._folder = folder
        self._rundir = folder / "run"
        self._ports = folder / "ports"
        self._environ = os.environ | {"LTTNG_HOME": str(folder), "LTTNG_RUNDIR": str(self._rundir)}
        self._processes: list[tuple[str, subprocess.Popen[bytes]]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all processes, in the reverse order of their start; show their logs if something failed."""
        for number in (signal.SIGINT, signal.SIGTERM):  # a second Ctrl-C shall leave nothing behind
            signal.signal(number, signal.SIG_IGN)
        for _, process in reversed(self._processes):
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if isinstance(problem, Failed):
            for name, _ in self._processes:
                print(f"\n--- the last lines of the {name}:", *self._log(name)[-15:], sep="\n")

    def start_relay_daemon(self) -> str:
        """Start the relay daemon, and return the URI for `enable-consumer`."""
        anywhere = "tcp://127.0.0.1:0"
        ports = ("-C", anywhere, "-D", anywhere, "-L", anywhere, "--ports-file", str(self._ports))
        self._spawn("relay daemon", *_twistd("lttng-relayd", "-o", str(self.received), *ports))
        self._wait("relay daemon", self._ports.exists)
        numbers = json.loads(self._ports.read_text())
        return f"net://127.0.0.1:{numbers['control']}:{numbers['data']}"

    def start_session_daemon(self) -> None:
        """Start the session daemon."""
        self._spawn("session daemon", *_twistd("lttng-sessiond", "--no-ust"))
        self._wait("session daemon", (self._rundir / CLIENT_SOCKET).is_socket)

    def start_program(self) -> None:
        """Start a program whose log records can be traced."""
        self._spawn("program", sys.executable, "-c", PROGRAM)

    def show(self, line: str, select: Callable[[str], str] = str) -> None:
        """Run one ``lttngnet`` command as a user would, and show what it prints, or a part of it.

        Raises:
            Failed: it failed.
        """
        print(f"\n$ lttngnet {line}", flush=True)
        print(select(self.ask(line)).rstrip(), flush=True)

    def ask(self, line: str) -> str:
        """Run one ``lttngnet`` command, and return what it prints; its errors go where ours go.

        Raises:
            Failed: it failed.
        """
        command = [sys.executable, "-m", "lttngnet", *shlex.split(line)]
        done = subprocess.run(command, env=self._environ, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            print(done.stdout)
            raise Failed(f"`lttngnet {line}` ended with status {done.returncode}")
        return done.stdout

    def _spawn(self, name: str, *command: str) -> None:
        with self._file(name).open("wb") as log:
            process = subprocess.Popen(
                command,
                env=self._environ,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # so that Ctrl-C reaches us alone
            )
        self._processes.append((name, process))

    def _wait(self, name: str, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if self._processes[-1][1].poll() is not None or time.monotonic() > deadline:
                raise Failed(f"the {name} did not start")
            time.sleep(0.05)

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    def _log(self, name: str) -> list[str]:
        return self._file(name).read_text(errors="replace").splitlines()


def perform(stage: Stage) -> None:
    """Do what there is to see.

    Raises:
        Failed: something did not work.
    """
    uri = stage.start_relay_daemon()
    print(f"A relay daemon listens:         {uri}")
    stage.start_session_daemon()
    print("A session daemon runs beside it.")
    stage.start_program()
    print('A Python program logs orders; all it did was: "import lttngnet.logs; lttngnet.logs.install()".')

    stage.show("create demo")
    stage.show(f"enable-consumer {uri}")
    stage.show("enable-event -p -a")
    if problem := kernel_problem():
        print(f"\n(The kernel is not traced here: {problem})")
    else:
        stage.show("enable-event -k sched_switch")
        stage.show("enable-event -k --syscall openat")
    stage.show("start")
    time.sleep(TRACED_FOR)
    stage.show("stop")
    stage.show("status")

    print("\nWhat arrived at the relay daemon:")
    view = f"view --relay-output {stage.received}"
    stage.show(f"{view} --summary")
    packets: Counter[str] = Counter()
    for stream in json.loads(stage.ask(f"{view} --json")):
        packets[stream["trace"]] += stream["packets"]
    if not packets or not all(packets.values()):
        raise Failed("a trace without packets arrived")
    if shutil.which("babeltrace2"):
        for trace in sorted(file.parent for file in stage.received.rglob("metadata")):
            stage.show(f"view -t {trace} -e 'babeltrace2 --no-delta --names=none'", both_ends)
    stage.show("destroy")


def kernel_problem() -> str:
    """Return why the kernel cannot be traced here, or nothing."""
    try:
        Tracefs.find()
    except TracefsUnavailable as problem:
        return str(problem)
    return ""


def both_ends(text: str, lines: int = 4) -> str:
    """Return the first and the last lines of a text, each no longer than the terminal is wide."""
    width = shutil.get_terminal_size((150, 24)).columns
    whole = [line if len(line) <= width else f"{line[: width - 1]}…" for line in text.splitlines()]
    if len(whole) > 2 * lines:
        whole[lines:-lines] = [f"    … {len(whole) - 2 * lines} more events …"]
    return "\n".join(whole)


def main() -> int:
    """Show it, and return the exit status."""
    signal.signal(signal.SIGTERM, lambda *_: _interrupt())
    try:
        with TemporaryDirectory(prefix="lttngnet-", dir="/tmp") as folder, Stage(Path(folder)) as stage:
            perform(stage)
    except Failed as problem:
        print(f"\nThe demonstration FAILED: {problem}.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted; everything was stopped.", file=sys.stderr)
        return 130
    print("\nThe demonstration succeeded: traced here, sent over the network, received, and read.")
    return 0


def _interrupt() -> NoReturn:
    raise KeyboardInterrupt


def _twistd(*arguments: str) -> list[str]:
    return [
        sys.executable,
        "-c",
        "from twisted.scripts.twistd import run; run()",
        "-n",
        "--pidfile=",
        *arguments,
    ]


if __name__ == "__main__":
    sys.exit(main())
