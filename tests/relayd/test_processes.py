"""``lttng-relayd-tx`` as real processes: what scripts and service units rely on."""

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from lttngnet.relayd.command import NAME
from lttngnet.wire import relay as wire
from lttngnet.wire.relay import Command, command
from tests.waiting import DEADLINE, wait_until

# Ports that are left are taken again: where others connect from, these could be theirs by then.
HOST = f"127.{100 + os.getpid() % 100}.{os.getpid() >> 8 & 255}.{os.getpid() & 255}"
COMMAND = [sys.executable, "-m", "lttngnet.relayd.command"]
PATIENCE = DEADLINE
AT_ONCE = 15  # seconds, on a busy machine: less than it would wait for a peer
CHECKOUT = Path(__file__).parents[2]


class ProcessTests(SynchronousTestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="lttngnet-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.health = self.folder / "health"
        self.output = self.folder / "out"
        self.ports_file = self.folder / "ports"
        self.environ = {
            "HOME": str(self.folder),
            "LTTNG_RELAYD_HEALTH": str(self.health),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(CHECKOUT),
        }

    def words(self, *options, control=0, data=0, live=0):
        urls = (f"tcp://{HOST}:{port}" for port in (control, data, live))
        ports = [word for pair in zip(("-C", "-D", "-L"), urls, strict=True) for word in pair]
        return [*COMMAND, *ports, "-o", self.output, "--ports-file", self.ports_file, *options]

    def run_to_end(self, *options, umask=-1, **ports):
        """Return what a command line ends with; the daemon that it may leave ends with the test."""
        done = subprocess.run(
            self.words(*options, **ports),
            cwd=self.folder,
            env=self.environ,
            umask=umask,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        self.addCleanup(self.kill_all)
        return done

    def start(self, *options, **ports):
        process = subprocess.Popen(
            self.words(*options, **ports),
            cwd=self.folder,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        wait_until(lambda: self.ports_file.exists() or process.poll() is not None, "the daemon to start")
        self.assertIsNone(process.poll())
        return process

    def daemons(self):
        """Return the numbers of the processes that a script would find and that are ours."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                arguments = (folder / "cmdline").read_bytes().split(b"\0")
                is_relayd = "lttng-relayd" in Path(os.fsdecode(arguments[0])).name
                if is_relayd and os.fsencode(self.output) in arguments:
                    found.append(int(folder.name))
        return found

    def kill_all(self):
        for number in self.daemons():
            os.kill(number, signal.SIGKILL)

    def end(self, number):
        """End a daemon that is no child of ours, and wait for that."""
        descriptor = os.pidfd_open(number)
        try:
            signal.pidfd_send_signal(descriptor, signal.SIGTERM)
            self.assertTrue(select.select([descriptor], [], [], PATIENCE)[0], "it does not end")
        finally:
            os.close(descriptor)

    def ports(self):
        return json.loads(self.ports_file.read_text())

    def ask_health(self):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE)
            client.connect(str(self.health))
            client.sendall(bytes(4))
            return client.recv(100)

    def assert_refused(self, done, *words):
        """It said one line, and failed."""
        self.assertEqual((done.returncode, done.stdout), (1, ""), done.stderr)
        (line,) = [line for line in done.stderr.splitlines() if line.startswith("lttng-relayd: ")]
        for word in words:
            self.assertIn(word, line)
        self.assertNotIn("Traceback", done.stderr)


class DetachedTests(ProcessTests):
    def test_all_is_open_when_the_command_returns(self):
        done = self.run_to_end("--daemonize", umask=0o027)
        self.assertEqual((done.returncode, done.stdout), (0, ""), done.stderr)
        ports = self.ports()
        self.assertEqual(sorted(ports), ["control", "data", "live"])
        for port in ports.values():
            socket.create_connection((HOST, port), PATIENCE).close()
        self.assertEqual(self.ask_health(), bytes(8))
        (number,) = self.daemons()
        process = Path("/proc", str(number))
        self.assertEqual((process / "comm").read_text().strip(), NAME)
        self.assertEqual((process / "cwd").readlink(), Path("/"))
        self.assertEqual({(process / f"fd/{n}").readlink() for n in range(3)}, {Path(os.devnull)})
        self.assertEqual(stat.S_IMODE(self.output.stat().st_mode), 0o750)
        self.end(number)
        self.assertFalse(self.health.exists())

    def test_background(self):
        """It keeps its standard output and error: here, a file."""
        log = (self.folder / "log").open("w+")
        with log:
            status = subprocess.call(
                self.words("-bv", "-w", self.folder),
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stderr=log,
                timeout=PATIENCE,
            )
        self.addCleanup(self.kill_all)
        self.assertEqual(status, 0)
        (number,) = self.daemons()
        self.assertEqual(Path(f"/proc/{number}/fd/2").readlink(), self.folder / "log")
        self.assertEqual(Path(f"/proc/{number}/cwd").readlink(), self.folder)
        self.end(number)
        self.assertIn(f"Listening for live on tcp://{HOST}:", (self.folder / "log").read_text())

    def test_refusals(self):
        with socket.socket() as taken:
            taken.bind((HOST, 0))
            taken.listen()
            port = taken.getsockname()[1]
            self.assert_refused(self.run_to_end("-d", live=port), "live", "Address already in use")
        self.assert_refused(
            self.run_to_end("-d", "-w", "nowhere"), "Failed to change working directory to", "/nowhere"
        )
        self.health.write_text("in the way")
        self.assert_refused(self.run_to_end("-d"), "health", str(self.health))
        self.assertEqual(self.daemons(), [])


class ForegroundTests(ProcessTests):
    def test_it_ends_at_once_with_a_session_open(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            process = self.start()
            with socket.create_connection((HOST, self.ports()["control"]), PATIENCE) as control:
                for question in (
                    command(Command.VERSION, wire.Version(2, 10).pack()),
                    command(Command.CREATE_SESSION, wire.CreateSession("auto", "vm").pack(10)),
                ):
                    control.sendall(question)
                    self.assertTrue(control.recv(100))
                process.send_signal(signal.SIGPIPE)
                began = time.monotonic()
                process.send_signal(number)
                said, log = process.communicate(timeout=PATIENCE)
                self.assertLess(time.monotonic() - began, AT_ONCE)
            self.assertEqual((process.returncode, said), (0, ""), log)
            self.assertFalse(self.health.exists())
            self.ports_file.unlink()

    def test_restart(self):
        """On the same ports, at once, whichever way the last one ended."""
        options = {}
        for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGTERM):
            process = self.start(**options)
            options = self.ports()
            self.assertEqual(self.ask_health(), bytes(8))
            with socket.create_connection((HOST, options["control"]), PATIENCE) as peer:
                peer.sendall(command(Command.VERSION, wire.Version(2, 10).pack()))
                self.assertTrue(peer.recv(100))
                process.send_signal(number)
                process.communicate(timeout=PATIENCE)
            self.assertEqual(self.health.exists(), number == signal.SIGKILL)
            self.ports_file.unlink()

    def test_mistakes(self):
        (self.folder / "lttng.conf").write_text("[relayd]\ndisallow-clear=maybe\n")
        for options, word in (
            (["-sp"], "not both"),
            (["-f", "lttng.conf"], "maybe"),
            (["-d", "-orelative"], "relative"),
        ):
            self.assert_refused(self.run_to_end(*options), word)

    def test_what_is_told(self):
        done = self.run_to_end("-V")
        self.assertEqual((done.returncode, done.stdout), (0, "lttng-relayd 2.13 (lttngnet)\n"))

    def test_configured(self):
        """From the file of the user; the daemon is in the background because that says so."""
        (self.folder / ".lttng").mkdir()
        (self.folder / ".lttng/lttng.conf").write_text("[relayd]\ndaemonize=yes\nworking-directory=/tmp\n")
        self.assertEqual(self.run_to_end().returncode, 0)
        (number,) = self.daemons()
        self.assertEqual(Path(f"/proc/{number}/cwd").readlink(), Path("/tmp"))
        self.end(number)
