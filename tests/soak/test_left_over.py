"""Peers that are gone leave nothing behind that only a collection of garbage would free.

`lttngnet.relayd.garbage` looks for garbage among what is new: what survived a collection while its peer was
there, and is a cycle afterwards, may stay for ever.
"""

import contextlib
import json
import signal
import socket
import sys
from pathlib import Path
from struct import pack

from twisted.trial.unittest import SynchronousTestCase

from lttngnet.wire import viewer as wire
from lttngnet.wire.relay import Command, command
from lttngnet.wire.viewer import request
from tests.relayd.talking import index
from tests.soak import running
from tests.soak.running import Daemon, Producer
from tests.waiting import wait_until

PEERS = 8  # that end in each way

# twistd that collects no garbage, and tells at SIGUSR1 what a collection would find.
TWISTD = """
import collections, gc, json, os, signal, sys
from twisted.internet import reactor
from twisted.scripts.twistd import run

collect, answer = gc.collect, sys.argv.pop(1)

def look():
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.unfreeze()
    collect()
    kinds = map(type, gc.garbage)
    with open(answer + ".new", "w") as file:
        json.dump(collections.Counter(f"{kind.__module__}.{kind.__qualname__}" for kind in kinds), file)
    os.rename(answer + ".new", answer)

def begin():
    signal.signal(signal.SIGUSR1, lambda *_: reactor.callFromThread(look))
    collect()
    gc.disable()
    gc.collect = int

reactor.callWhenRunning(begin)
run()
"""
OURS = ("lttngnet.", "automat.", "twisted.internet.tcp.", "twisted.internet.base.DelayedCall")


class LeftOverTests(SynchronousTestCase):
    def setUp(self):
        self.answer = Path(self.mktemp()).absolute()
        self.patch(running, "TWISTD", [sys.executable, "-c", TWISTD, self.answer, "-n", "--pidfile="])
        self.daemon = Daemon(self.mktemp())
        self.addCleanup(self.daemon.stop)
        self.listening = self.sockets()

    def producer(self, number):
        """Return one that has sent something, and a viewer that has read it."""
        producer = Producer(self.daemon, f"session{number}", live_timer=1_000_000)
        producer.text(b"/* CTF 1.8 */")
        producer.control.ask(command(Command.STREAMS_SENT), 4)
        producer.packet(0)
        viewer = self.daemon.connect("live")
        viewer.ask(request(wire.Connect(0, 2, 4, 1)), wire.Connect.layout.size)
        viewer.ask(request(wire.CreateSession()), 4)
        viewer.send(request(wire.Attach(number, 0, 1)) + request(wire.GetNextIndex(producer.streams[0])))
        viewer.read(8)
        return producer, viewer

    def sockets(self):
        """Return how many the daemon has."""
        number = 0
        for path in Path(f"/proc/{self.daemon.process.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                number += str(path.readlink()).startswith("socket:")
        return number

    def reset(self, peer):
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, pack("ii", 1, 0))
        peer.close()

    def end(self, how, producer, viewer):
        match how:
            case "well":
                producer.finish(0)
                viewer.close()
            case "suddenly":
                viewer.close()
                producer.close()
            case "in the middle of a packet":
                producer.data.send(bytes(10))
                producer.data.close()
                producer.control.close()
                viewer.send(b"\0")
                self.reset(viewer)
            case "with what makes no sense":
                for peer in (producer.control, producer.data, viewer):
                    peer.send(b"\xff" * 64)
                    peer.read(1 << 16)
                    peer.close()
            case "with much to do":
                asked = index(producer.streams[0], 99).pack(13)
                producer.control.send(command(Command.SEND_INDEX, asked) * 500)
                for peer in (producer.control, producer.data, viewer):
                    self.reset(peer)

    def test_nothing(self):
        number = 0
        for how in (
            "well",
            "suddenly",
            "in the middle of a packet",
            "with what makes no sense",
            "with much to do",
        ):
            for _ in range(PEERS):
                number += 1
                self.end(how, *self.producer(number))
        wait_until(lambda: self.sockets() <= self.listening, "the last connection to be closed")
        self.daemon.process.send_signal(signal.SIGUSR1)
        wait_until(self.answer.exists, "what is left")
        found = json.loads(self.answer.read_text())
        ours = {kind: count for kind, count in found.items() if kind.startswith(OURS)}
        self.assertEqual(ours, {})
