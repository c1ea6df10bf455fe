"""A real relay daemon is killed in mid-stream, again and again; a sender goes on each time."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from lttngnet.wire import relay as wire
from lttngnet.wire.relay import Command, CommandHeader
from lttngnet.wire.relay.extension import Extension, SessionResumed, Written
from tests.relayd.replaying import Relay, utc
from tests.relayd.resuming import Lost, Sender, check_whole, script
from tests.waiting import DEADLINE, wait_until

COMMAND = [sys.executable, "-m", "lttngnet.relayd.command"]
CHECKOUT = Path(__file__).parents[2]
TIMES = 10
ANSWERS = {
    Command.VERSION: wire.Version,
    Command.CREATE_SESSION: wire.SessionCreated,
    Command.ADD_STREAM: wire.StreamAdded,
    Command.CLOSE_TRACE_CHUNK: wire.ChunkClosed,
    Command.SEND_METADATA: None,
    Extension.RESUME_SESSION: SessionResumed,
    Extension.WRITTEN: Written,
}


class Connection:
    """A connection over which one says something and waits for the answer."""

    def __init__(self, port, has_answers):
        self._socket = socket.create_connection(("127.0.0.1", port), DEADLINE)
        self._has_answers = has_answers

    def send(self, data):
        try:
            self._socket.sendall(data)
            if not self._has_answers:
                return b""
            kind = ANSWERS.get(CommandHeader.unpack(data).command, wire.Status)
            answer = b""
            while kind is not None and ((size := kind.measure(answer)) is None or len(answer) < size):
                piece = self._socket.recv(1 << 16)
                if not piece:
                    raise Lost("the connection ended")
                answer += piece
        except ConnectionError as problem:
            raise Lost(str(problem)) from None
        return answer

    def close(self):
        self._socket.close()


class KilledTests(SynchronousTestCase):
    def setUp(self):
        utc(self)
        self.folder = Path(tempfile.mkdtemp(prefix="lttngnet-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.output, self.ports_file = self.folder / "out", self.folder / "ports"
        self.environ = {
            "HOME": str(self.folder),
            "LTTNG_RELAYD_HEALTH": str(self.folder / "health"),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(CHECKOUT),
            "TZ": "UTC",
        }
        self.process = None
        self.addCleanup(self.kill)

    def start(self):
        self.ports_file.unlink(missing_ok=True)
        free = "tcp://127.0.0.1:0"
        words = ["-C", free, "-D", free, "-L", free, "-o", self.output, "--ports-file", self.ports_file]
        self.process = subprocess.Popen(
            [*COMMAND, *words],
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(self.ports_file.exists, "the relay daemon listens")
        self.ports = json.loads(self.ports_file.read_text())

    def kill(self):
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def connect(self, kind):
        return Connection(self.ports[kind], kind == "control")

    def test_killed_ten_times(self):
        self.start()
        sender = Sender(self.connect, limit=(200, 0))
        sender.begin()
        for step, _ in enumerate(script(sender)):
            if step % 2:
                key = max(sender.sent)
                packet = sender.bytes_of(key, sender.sent[key])
                sender.data.send(packet[: len(packet) // 2])  # its beginning, and no more
                self.kill()
                sender.lose()
                self.start()
                self.assertIsNone(sender.resume())
        self.assertGreaterEqual(sender.resumed, TIMES)
        sender.end()
        wait_until(lambda: not list(self.output.glob(".lttngnet-sessions/*")), "the session has ended")
        check_whole(self, self.output)
        relay = Relay(self.mktemp())
        other = Sender(relay.connect, limit=(200, 0))
        other.begin()
        for _ in script(other):
            pass
        other.end()
        found = {
            str(path.relative_to(self.output)): path.read_bytes()
            for path in self.output.rglob("*")
            if path.is_file()
        }
        expected = {name: (relay.output / name).read_bytes() for name in relay.files()}
        self.assertEqual(found, expected)
