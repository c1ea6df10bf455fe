"""Our own daemons and command as real processes, in a temporary folder of their own."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

from tests.interop.genuine import CHECKOUT
from tests.waiting import DEADLINE, PATIENCE, wait_until

PROGRAM = """
import logging, sys
import lttngnet.logs
lttngnet.logs.install()
log = logging.getLogger("app")
print("ready", flush=True)
for line in sys.stdin:
    for number in range(int(line)):
        log.warning("message %d", number)
    print("done", flush=True)
"""


def program(name):
    """Return the path of a command that is installed beside our Python, or anywhere."""
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else shutil.which(name) or name


class Outcome:
    """What a command printed, and its exit status."""

    def __init__(self, run):
        self.status = run.returncode
        self.output = run.stdout
        self.error = run.stderr

    def json(self):
        return json.loads(self.output)


class Stage:
    """A folder with everything that runs in it; `close` ends it all."""

    def __init__(self, folder, **environ):
        self.folder = Path(folder).absolute()
        self.folder.mkdir(parents=True, exist_ok=True)
        # The path of a UNIX socket has at most 107 bytes: trial's temporary folders are too deep for that.
        self.rundir = Path("/tmp") / f"lttngnet-{os.getpid()}-{id(self):x}"
        self.rundir.mkdir(mode=0o700)
        self.processes = []
        self.environ = os.environ | {
            "HOME": str(self.folder),
            "LTTNG_RUNDIR": str(self.rundir),
            "LTTNG_NETWORK_SOCKET_TIMEOUT": f"{DEADLINE * 1000:.0f}",
            "LTTNGNET_REGISTER_TIMEOUT": f"{DEADLINE * 1000:.0f}",
            "PYTHONPATH": str(CHECKOUT),
            **environ,
        }
        self.environ.pop("LTTNG_HOME", None)

    @property
    def output(self):
        """Where the relay daemon writes."""
        return self.folder / "received"

    def spawn(self, name, *command, **options):
        """Start a process whose output goes to ``<name>.log``."""
        log = (self.folder / f"{name}.log").open("ab")
        with log:
            options.setdefault("stdout", log)
            process = subprocess.Popen(
                command, stderr=log, env=self.environ, cwd=self.folder, start_new_session=True, **options
            )
        self.processes.append(process)
        return process

    def log(self, name):
        """Return what a process has printed so far."""
        return (self.folder / f"{name}.log").read_text()

    def relayd(self, *options):
        """Start our relay daemon on free ports; return it when it listens."""
        ports = self.folder / "ports"
        ports.unlink(missing_ok=True)
        free = "tcp://127.0.0.1:0"
        listen = ("-C", free, "-D", free, "-L", free, "--ports-file", str(ports))
        where = ("-o", str(self.output), *listen, *options)
        process = self.spawn("relayd", program("twistd"), "-n", "--pidfile=", "lttng-relayd", *where)
        wait_until(lambda: ports.exists() or self.ended(process, "relayd"), "the relay daemon listens")
        self.ports = json.loads(ports.read_text())
        return process

    @property
    def url(self):
        """The URL of the relay daemon."""
        return f"net://127.0.0.1:{self.ports['control']}:{self.ports['data']}"

    def sessiond(self, *options):
        """Start our session daemon; return it when it listens.

        It leaves C applications alone: those look for it at one place, which belongs to all of the machine.
        """
        command = (program("twistd"), "-n", "--pidfile=", "lttng-sessiond", "--no-ust", *options)
        process = self.spawn("sessiond", *command)

        def listens():
            with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError):
                probe.connect(str(self.rundir / "client-lttngnet"))
                return True
            return self.ended(process, "sessiond")

        wait_until(listens, "the session daemon listens")
        return process

    def ended(self, process, name):
        """Fail if a process that should run does not."""
        if process.poll() is not None:
            raise AssertionError(f"{name} ended with status {process.returncode}:\n{self.log(name)}")
        return False

    def run(self, *arguments):
        """Run the command ``lttngnet``."""
        command = (program("lttngnet"), *arguments)
        run = subprocess.run(
            command,
            env=self.environ,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return Outcome(run)

    def lttngnet(self, line):
        """Run one command line of ``lttngnet`` that has to succeed; return its outcome."""
        outcome = self.run(*line.split())
        if outcome.status:
            said = f"{outcome.output}{outcome.error}\n{self.log('sessiond')}"
            raise AssertionError(f"lttngnet {line} exited with {outcome.status}: {said}")
        return outcome

    def session(self, name="session1"):
        """Return all about a session, as ``list --json`` tells it."""
        return next(s for s in self.lttngnet("list --json").json() if s["name"] == name)

    def traced_program(self):
        """Start a program that logs as many messages as it is told."""
        return TracedProgram(self)

    def received(self):
        """Return the files that the relay daemon has written, by their path below its folder."""
        return {str(path.relative_to(self.output)): path for path in self.output.rglob("*") if path.is_file()}

    def close(self):
        """End every process that is left, and remove the sockets."""
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
        shutil.rmtree(self.rundir, ignore_errors=True)


class TracedProgram:
    """A Python program with `lttngnet.logs` installed."""

    def __init__(self, stage):
        self.process = stage.spawn(
            "program", sys.executable, "-c", PROGRAM, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout.readline() == "ready\n", stage.log("program")

    def log(self, count):
        """Let it log so many messages, and return when it has."""
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"

    def end(self):
        """Let it end."""
        self.process.stdin.close()
        assert self.process.wait() == 0


def finish(process, number=signal.SIGTERM):
    """Send a process a signal, and return its exit status; it does not wait until others are given up."""
    process.send_signal(number)
    return process.wait(DEADLINE / 2)


def text_of(folder, *options):
    """Return the lines that babeltrace2 makes of a trace, which has to be without an error."""
    run = subprocess.run(
        ["babeltrace2", *options, str(folder)], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    if run.returncode:
        raise AssertionError(f"babeltrace2 exited with {run.returncode}: {run.stderr[:4000]}")
    return run.stdout.splitlines(), run.stderr
