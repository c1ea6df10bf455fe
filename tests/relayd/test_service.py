"""Options, and the daemon as a process of its own."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.log import set_verbosity
from lttngnet.relayd.service import Options, change_folder
from lttngnet.startup import CannotStart
from lttngnet.wire import relay as wire
from lttngnet.wire.relay import Command, command
from tests.relayd.talking import packet
from tests.waiting import DEADLINE, wait_until

TWISTD = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "-n", "--pidfile="]
ANY = "tcp://127.0.0.1:0"


def parse(*words):
    options = Options()
    options.parseOptions(list(words))
    return options


class OptionsTests(SynchronousTestCase):
    def refused(self, *words):
        with self.assertRaises(CannotStart) as caught:
            parse(*words)
        line = str(caught.exception)
        self.assertTrue(line.startswith("lttng-relayd: "), line)
        self.assertNotIn("\n", line)
        return line

    def test_defaults(self):
        self.patch(os, "environ", {"HOME": "/home/user"})
        options = parse()
        self.assertEqual(options["output"], "/home/user/lttng-traces")
        self.assertEqual(options["control-port"], "tcp:5342:interface=0.0.0.0")
        self.assertEqual(options["data-port"], "tcp:5343:interface=0.0.0.0")
        self.assertEqual(options["live-port"], "tcp:5344:interface=127.0.0.1")
        self.assertFalse(options["disallow-clear"])

    def test_environment(self):
        environment = {"HOME": "/home/user", "LTTNG_HOME": "/srv", "LTTNG_RELAYD_DISALLOW_CLEAR": "1"}
        self.patch(os, "environ", environment | {"LTTNG_RELAYD_WORKING_DIRECTORY": "/tmp"})
        options = parse()
        self.assertEqual(options["output"], "/srv/lttng-traces")
        self.assertTrue(options["disallow-clear"])
        self.assertEqual(options["working-directory"], "/tmp")
        self.assertEqual(parse("-w", "/srv")["working-directory"], "/srv")

    def test_ports(self):
        options = parse("-C", "tcp6://[::1]", "-D", "tcp:0:interface=127.0.0.1")
        self.assertIn("tcp6:5342", options["control-port"])
        self.assertEqual(options["data-port"], "tcp:0:interface=127.0.0.1")

    def test_port_for_datagrams(self):
        self.assertIsNone(parse()["data-udp-port"])
        self.assertEqual(parse("--data-udp-port", "none")["data-udp-port"], "none")
        self.assertEqual(parse("--data-udp-port", "udp://0.0.0.0")["data-udp-port"], ("0.0.0.0", 5343))
        self.assertEqual(parse("--data-udp-port=udp6://[::1]:0")["data-udp-port"], ("::1", 0))
        self.assertIn("udp:// or udp6:// is wanted", self.refused("--data-udp-port", "tcp://0.0.0.0"))
        self.refused("--data-udp-port", "udp://relay.example")

    def test_short_names(self):
        options = parse("-o", "/x", "-s", "-x", "-vv", "-L", "tcp://localhost:5344", "--fd-pool-size", "200")
        self.assertEqual((options["output"], options["verbose"]), ("/x", 2))
        self.assertTrue(options["group-output-by-session"] and options["disallow-clear"])

    def test_mistakes(self):
        self.refused("-o", "relative")
        self.refused("-s", "-p")
        self.refused("--fd-pool-size", "99")
        self.refused("--fd-pool-size", "many")
        self.refused("-C", "udp://0.0.0.0")
        self.refused("-D", "nonsense")
        self.refused("--no-such-option")


class FolderTests(SynchronousTestCase):
    def setUp(self):
        self.addCleanup(os.chdir, Path.cwd())
        self.addCleanup(set_verbosity, 0)
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)

    def test_it_works_there(self):
        change_folder(str(self.folder))
        self.assertEqual(Path.cwd(), self.folder)

    def test_it_cannot_be_entered(self):
        for path, why in (("nowhere", "No such file or directory"), (os.devnull, "Not a directory")):
            line = str(self.assertRaises(CannotStart, change_folder, path))
            self.assertEqual(line, f'lttng-relayd: Failed to change working directory to "{path}": {why}')

    def test_it_is_not_writable(self):
        """Root may write everywhere: the answer is made up."""
        self.patch(os, "access", lambda path, mode: False)
        for times in (0, 1):
            set_verbosity(times)
            with capturedLogs() as events:
                change_folder(str(self.folder))
            said = [f'Working directory "{self.folder}" is not writable'] * times
            self.assertEqual([formatEvent(event) for event in events], said)


class ProcessTests(SynchronousTestCase):
    def setUp(self):
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)

    def start(self, *words):
        process = subprocess.Popen(
            [*TWISTD, "lttng-relayd", "-o", self.folder / "out", *words],
            cwd=self.folder,
            env=os.environ | {"LTTNG_RELAYD_HEALTH": f"/tmp/lttngnet-health-{os.getpid()}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(self.finish, process)
        return process

    def finish(self, process):
        if process.poll() is None:
            process.kill()
        process.communicate()

    def until(self, condition, process):
        """Wait for a condition, and fail if the daemon ends before."""

        def is_met():
            self.assertIsNone(process.poll(), "the daemon has ended")
            return condition()

        wait_until(is_met, "what the daemon is to do")

    def ports(self, process):
        file = self.folder / "ports.json"
        self.until(file.exists, process)
        return json.loads(file.read_text())

    def test_from_start_to_end_with_a_session_open(self):
        process = self.start("-C", ANY, "-D", ANY, "-L", "tcp://localhost:0", "--ports-file", "ports.json")
        ports = self.ports(process)
        with (
            socket.create_connection(("127.0.0.1", ports["control"]), DEADLINE) as control,
            socket.create_connection(("127.0.0.1", ports["data"]), DEADLINE) as data,
        ):
            for question, size in (
                (command(Command.VERSION, wire.Version(2, 10).pack()), 8),
                (command(Command.CREATE_SESSION, wire.CreateSession("walk", "vm").pack(10)), 12),
                (command(Command.ADD_STREAM, wire.AddStream("chan_0", "/vm/walk/ust").pack(10)), 12),
            ):
                control.sendall(question)
                self.assertEqual(len(control.recv(size, socket.MSG_WAITALL)), size)
            data.sendall(packet(1, 0, b"x" * 6) + packet(1, 1, b"y" * 6)[:-2])
            file = self.folder / "out/vm/walk/ust/chan_0"
            self.until(lambda: file.stat().st_size == 12, process)
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            said, complaints = process.communicate(timeout=DEADLINE)
            self.assertLess(time.monotonic() - began, 15)  # on a busy machine: it waits for nobody
        self.assertEqual((process.returncode, complaints), (0, ""))
        self.assertEqual(file.read_bytes(), b"xxxxxx\0\0yyyy")
        self.assertIn(f"Listening for control on tcp://127.0.0.1:{ports['control']}", said)
        self.assertIn(f"Listening for data on tcp://127.0.0.1:{ports['data']}", said)
        self.assertIn(f"Listening for live on tcp://127.0.0.1:{ports['live']}", said)
        said_of_udp = [line for line in said.splitlines() if "UDP on 127.0.0.1" in line]
        self.assertEqual(len(said_of_udp), 1)  # or that somebody else has the port

    def test_datagrams_where_they_are_wanted(self):
        words = ("-C", ANY, "-D", ANY, "-L", ANY, "--ports-file", "ports.json", "--data-udp-port")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("127.0.0.1", 0))
            where = f"127.0.0.1:{taken.getsockname()[1]}"
            process = self.start(*words, f"udp://{where}")
            log, _ = process.communicate(timeout=DEADLINE)
        self.assertEqual(process.returncode, 1)
        self.assertIn(f"cannot listen for data over UDP on {where}: Address already in use", log)
        process = self.start(*words, "udp://127.0.0.1:0")
        port = self.ports(process)["datagrams"]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other, self.assertRaises(OSError):
            other.bind(("127.0.0.1", port))
        process.send_signal(signal.SIGTERM)
        log, _ = process.communicate(timeout=DEADLINE)
        self.assertIn(f"Listening for data over UDP on 127.0.0.1:{port}", log)
        (self.folder / "ports.json").unlink()
        process = self.start(*words, "none")
        self.assertNotIn("datagrams", self.ports(process))
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=DEADLINE)

    def test_detached(self):
        """It has the umask of its caller; where it detaches, twistd's own would be 077."""
        pid_file, ports = self.folder / "pid", self.folder / "ports.json"
        words = ["-C", ANY, "-D", ANY, "-L", ANY, "-o", self.folder / "out", "--ports-file", ports]
        subprocess.run(
            [*TWISTD[:-2], f"--pidfile={pid_file}", "lttng-relayd", *words],
            cwd=self.folder,
            env=os.environ | {"LTTNG_RELAYD_HEALTH": f"/tmp/lttngnet-health-{os.getpid()}"},
            umask=0o027,
            check=True,
            timeout=DEADLINE,
        )
        descriptor = os.pidfd_open(int(pid_file.read_text()))
        self.addCleanup(os.close, descriptor)
        signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        self.assertTrue(select.select([descriptor], [], [], DEADLINE)[0], "it does not end")
        self.assertEqual((self.folder / "out").stat().st_mode & 0o777, 0o750)
        self.assertFalse(pid_file.exists())

    def test_a_port_that_is_taken(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            process = self.start("-C", f"tcp://127.0.0.1:{port}", "-D", ANY, "-L", ANY)
            log, _ = process.communicate(timeout=DEADLINE)
        self.assertEqual(process.returncode, 1)
        (line,) = [line for line in log.splitlines() if "lttng-relayd" in line]
        self.assertIn(
            f"lttng-relayd: cannot listen for control on 127.0.0.1:{port}: Address already in use", line
        )
        self.assertNotIn("Traceback", log)

    def test_a_mistake(self):
        process = self.start("-o", "relative")
        said, complaints = process.communicate(timeout=DEADLINE)
        self.assertEqual((process.returncode, said), (1, ""))
        self.assertEqual(complaints, "lttng-relayd: the output folder 'relative' is not absolute\n")
