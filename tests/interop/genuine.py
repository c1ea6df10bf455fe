"""The genuine LTTng tools in namespaces of their own, so that nothing of the machine's is touched.

A `Namespace` has its own network, mounts and processes: ``/run`` and ``/dev/shm`` are empty, every port is
free, and all that runs in it ends with it.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path

from tests.interop import programs
from tests.waiting import DEADLINE, PATIENCE, wait_until

CHECKOUT = Path(__file__).parents[2]
TWISTD = (sys.executable, "-c", "from twisted.scripts.twistd import run; run()")
TOOLS = ("unshare", "nsenter", "ip", "lttng", "lttng-sessiond", "lttng-relayd", "babeltrace2", "gcc")

_FIRST_PROCESS = """
mount -t tmpfs none /run && mkdir -p /run/lttng && mount -t tmpfs none /dev/shm && ip link set lo up \
&& echo ready && exec cat
"""
_ACCEPTS = 1 << 16  # flag of a UNIX socket in /proc/net/unix: somebody listens
_LISTENING, _ESTABLISHED, _LEFT_BY_PEER = "0A", "01", "08"  # states in /proc/net/tcp


@cache
def missing():
    """Return why genuine tools can't be run here, or None."""
    if os.geteuid() != 0:
        return "needs root, for namespaces"
    lacking = [tool for tool in TOOLS if shutil.which(tool) is None]
    if lacking:
        return f"not installed: {', '.join(lacking)}"
    header = ["gcc", "-E", "-x", "c", "-include", "lttng/tracepoint.h", os.devnull]
    if subprocess.run(header, capture_output=True).returncode:
        return "not installed: the headers of lttng-ust"
    return None


def child_of(process):
    """Return the number, as we see it, of the process that ``nsenter`` has started, or is to start."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    (child,) = wait_until(lambda: children.read_text().split(), f"the child of {process.args}")
    return int(child)


def has_ended(process):
    """Tell whether a process has ended, though nobody may have asked for its status.

    Args:
        process: its number, or its folder in some ``/proc``.
    """
    try:
        return Path("/proc", str(process), "stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


class Namespace:
    """A place for daemons: own network, mounts and processes.

    Args:
        folder: an existing one, for the home of all processes and for their output.
    """

    def __init__(self, folder):
        self.folder = Path(folder).absolute()
        self.home = self.folder / "home"
        self.home.mkdir()
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "LTTNG_HOME": str(self.home),
            "TZ": "UTC",
            "PYTHONPATH": str(CHECKOUT),
            # A busy machine is no reason for a program to begin before it is traced, or to be given up.
            "LTTNG_APP_SOCKET_TIMEOUT": f"{DEADLINE:.0f}",
            "LTTNG_UST_REGISTER_TIMEOUT": f"{DEADLINE * 1000:.0f}",
            "LTTNG_UST_PYTHON_REGISTER_TIMEOUT": f"{DEADLINE * 1000:.0f}",
            "LTTNGNET_REGISTER_TIMEOUT": f"{DEADLINE * 1000:.0f}",
        }
        self._processes = []
        self._unshare = subprocess.Popen(
            ["unshare", "-n", "-m", "-p", "--fork", "--mount-proc", "sh", "-c", _FIRST_PROCESS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        if self._unshare.stdout.readline() != "ready\n":
            self.close()
            raise AssertionError("no namespaces can be made here")
        self.first_process = child_of(self._unshare)

    def close(self):
        """End all that runs in it: the kernel does, when the first process ends."""
        self._unshare.stdin.close()
        self._unshare.stdout.close()
        self._unshare.wait()
        for process in self._processes:
            process.wait()

    def inside(self, command):
        """Return the command that runs another one in the namespace."""
        return ["nsenter", "-t", str(self.first_process), "-n", "-m", "-p", "--", *map(str, command)]

    def run(self, *command, timeout=PATIENCE):
        """Run a command to its end and return what it said; fail if it fails."""
        ((status, text),) = self.run_together(command, timeout=timeout)
        if status:
            raise AssertionError(f"{command} ended with {status}:\n{text}")
        return text

    def run_together(self, *commands, timeout=PATIENCE):
        """Run commands at the same time to their end, and return of each its exit status and what it said."""
        processes = [
            subprocess.Popen(
                self.inside(command),
                env=self.environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for command in commands
        ]
        try:
            texts = [process.communicate(timeout=timeout)[0] for process in processes]
        finally:
            for process in processes:
                process.kill()  # those that hang
                process.wait()
        return [(process.returncode, text) for process, text in zip(processes, texts, strict=True)]

    def start(self, *command, log):
        """Start a process that stays; what it says goes to a file of that name."""
        with (self.folder / log).open("w") as output:
            process = subprocess.Popen(
                self.inside(command),
                env=self.environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._processes.append(process)
        return process

    def converse(self, *command, cwd=None):
        """Start a process that stays, and is talked with through pipes."""
        process = subprocess.Popen(
            self.inside(command),
            env=self.environment,
            cwd=cwd or self.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._processes.append(process)
        return process

    def terminate(self, process):
        """Send SIGTERM to a process that was started here, and return its exit status."""
        os.kill(child_of(process), signal.SIGTERM)  # nsenter waits for it and passes no signal on
        return process.wait(DEADLINE)

    def listens(self, port):
        """Tell whether somebody in the namespace listens on a TCP port."""
        return _LISTENING in self._sockets(port)

    def listens_at(self, path):
        """Tell whether somebody in the namespace listens at a UNIX socket: it exists a little earlier."""
        for line in Path(f"/proc/{self.first_process}/net/unix").read_text().splitlines()[1:]:
            _, _, _, flags, _, _, _, *name = line.split()
            if name == [str(path)] and int(flags, 16) & _ACCEPTS:
                return True
        return False

    def is_connected(self, port):
        """Tell whether somebody in the namespace has a TCP connection at that port, or is to close it."""
        return not {_ESTABLISHED, _LEFT_BY_PEER}.isdisjoint(self._sockets(port))

    def _sockets(self, port):
        """Return the states of the TCP sockets with that port."""
        states = []
        for table in ("tcp", "tcp6"):
            for line in Path(f"/proc/{self.first_process}/net/{table}").read_text().splitlines()[1:]:
                _, local, _, state, *_ = line.split()
                if int(local.rpartition(":")[2], 16) == port:
                    states.append(state)
        return states

    def start_genuine_relayd(
        self,
        output,
        control=5342,
        data=5343,
        live=5344,
        options=(),
        host="127.0.0.1",
        log="genuine-relayd.log",
    ):
        """Start the genuine relay daemon, and return when its ports are open."""
        return self._start_relayd(["lttng-relayd"], output, (control, data, live), options, host, log)

    def start_our_relayd(
        self, output, control=5342, data=5343, live=5344, options=(), host="127.0.0.1", log="our-relayd.log"
    ):
        """Start our relay daemon, and return when its ports are open."""
        command = [*TWISTD, "-n", "--pidfile=", "lttng-relayd"]
        return self._start_relayd(command, output, (control, data, live), options, host, log)

    def _start_relayd(self, command, output, ports, options, host, log):
        scheme = "tcp6" if ":" in host else "tcp"
        urls = [
            word
            for letter, port in zip("CDL", ports, strict=True)
            for word in (f"-{letter}", f"{scheme}://{host}:{port}")
        ]
        process = self.start(*command, "-o", output, *urls, *options, log=log)
        self.wait_for(process, lambda: all(map(self.listens, ports)), log)
        return process

    def start_our_sessiond(self, *options, log="sessiond.log"):
        """Start our session daemon, and return when commands and applications can connect."""
        process = self.start(*TWISTD, "-n", "--pidfile=", "lttng-sessiond", *options, log=log)
        names = ("client-lttngnet",) if "--no-ust" in options else ("client-lttngnet", "lttng-ust-sock-8")
        self.wait_for(process, lambda: all(self.listens_at(f"/run/lttng/{name}") for name in names), log)
        return process

    def wait_for(self, process, is_ready, log):
        """Wait until a daemon is ready; it must not end before."""

        def is_ready_or_ended():
            if process.poll() is not None:
                said = (self.folder / log).read_text()
                raise AssertionError(f"{log}: it ended with status {process.returncode}:\n{said}")
            return is_ready()

        wait_until(is_ready_or_ended, f"the daemon of {log}")

    def start_genuine_sessiond(self):
        """Start the genuine session daemon, without kernel tracing, and return when it answers."""
        self.run("lttng-sessiond", "--no-kernel", "--daemonize")

    def end_genuine_sessiond(self, number=signal.SIGTERM):
        """Send a signal to the genuine session daemon, and return when it has ended."""
        inside = Path(f"/proc/{self.first_process}/root")
        process = int((inside / "run/lttng/lttng-sessiond.pid").read_text())
        self.run("kill", f"-{number}", process)
        place = inside / f"proc/{process}"
        wait_until(lambda: has_ended(place), "the end of the genuine session daemon")

    def text_of(self, trace):
        """Return the lines that babeltrace2 makes of a trace."""
        return self.run("babeltrace2", trace).splitlines()


TRACEPOINT_H = """
#undef LTTNG_UST_TRACEPOINT_PROVIDER
#define LTTNG_UST_TRACEPOINT_PROVIDER demo
#undef LTTNG_UST_TRACEPOINT_INCLUDE
#define LTTNG_UST_TRACEPOINT_INCLUDE "./tick.h"
#if !defined(TICK_H) || defined(LTTNG_UST_TRACEPOINT_HEADER_MULTI_READ)
#define TICK_H
#include <lttng/tracepoint.h>
LTTNG_UST_TRACEPOINT_EVENT(demo, tick, LTTNG_UST_TP_ARGS(int, n),
    LTTNG_UST_TP_FIELDS(lttng_ust_field_integer(int, n, n)))
#endif
#include <lttng/tracepoint-event.h>
"""
APPLICATION_C = """
#define LTTNG_UST_TRACEPOINT_CREATE_PROBES
#define LTTNG_UST_TRACEPOINT_DEFINE
#include "tick.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static volatile sig_atomic_t over;
static void end(int signal)
{
    over = 1;
}
int main(int count, char **words)
{
    int n, events = atoi(words[1]);
    signal(SIGTERM, end);
    puts("ticking");
    fflush(stdout);
    for (n = 0; n < events && !over; n++) {
        lttng_ust_tracepoint(demo, tick, n);
        if (count > 2)
            usleep(atoi(words[2]));
    }
    printf("%d\\n", n);
    return 0;
}
"""


def build_application(folder):
    """Put ``ticker N [PAUSE]``, a C program, into a folder, and return its path.

    It says "ticking" once it is registered with the session daemon, records the event ``demo:tick`` N times,
    PAUSE microseconds apart, or until SIGTERM comes, and then says how often it was.
    """
    return programs.compiled("ticker", {"tick.h": TRACEPOINT_H, "ticker.c": APPLICATION_C}, folder)


class Ticker:
    """The program ``ticker``, recording in a namespace until it is told to end.

    Args:
        space: the namespace.
        application: its path there.
        log: name of the file for what it says.
        pause: between two events, in microseconds.
    """

    def __init__(self, space, application, log, pause=1000):
        self._space = space
        self._log = space.folder / log
        self._process = space.start(application, 1 << 30, pause, log=log)
        wait_until(lambda: "ticking" in self._log.read_text(), "the application")
        self.go_on()

    def go_on(self, events=5):
        """Return when it has recorded so many more: it sleeps after each."""
        wanted = self._pauses() + events
        wait_until(lambda: self._pauses() >= wanted, f"{events} events of the application")

    def _pauses(self):
        status = Path(f"/proc/{child_of(self._process)}/status").read_text()
        return int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)$", status, re.MULTILINE)[1])

    def end(self):
        """Let it end, and return how many events it recorded."""
        self._space.terminate(self._process)
        return int(self._log.read_text().split()[-1])


def undated(path):
    """Return a path without what differs from run to run: dates, and the numbers of processes."""
    path = re.sub(r"\d{8}-\d{6}|\d{8}T\d{6}[+-]\d{4}", "DATE", str(path))
    return re.sub(r"ticker-\d+-", "ticker-PID-", path)


def tree(folder):
    """Return the paths of all files and folders below one, undated."""
    folder = Path(folder)
    return sorted(undated(path.relative_to(folder)) for path in folder.rglob("*"))
