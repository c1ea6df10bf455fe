"""The genuine client's bytes, put through our channels: what they answer and what they write."""

import hashlib
import os
import time
from pathlib import Path

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from lttngnet.errors import Code
from lttngnet.relayd import turns
from lttngnet.relayd.control import ControlFactory
from lttngnet.relayd.data import DataFactory
from lttngnet.relayd.live import ViewerFactory
from lttngnet.relayd.store.layout import Grouping
from lttngnet.relayd.store.store import Store
from lttngnet.wire.relay import Configuration
from lttngnet.wire.relay.extension import EXTENDED

DONE = Failure(ConnectionDone())


class HastyClock(Clock):
    """Time passes with every look at the clock, so that nothing is ever done in one turn."""

    def __init__(self, step=0.0):
        super().__init__()
        self.step = step

    def seconds(self):
        self.rightNow += self.step
        return self.rightNow


class Relay:
    """A relay daemon without sockets.

    Attributes:
        step: seconds that pass with every look at the clock; None is no clock: everything is done at once.
    """

    step = None

    def __init__(self, output, grouping=Grouping.HOST, allows_clear=True, clock=lambda: 0.0):
        self.output = Path(output)
        self._turns = None if self.step is None else HastyClock(self.step)
        self.store = Store(self.output, grouping, allows_clear, clock, reactor=self._turns)
        self.control = ControlFactory(self.store)
        self.data = DataFactory(self.store)
        self.live = ViewerFactory(self.store)

    def connect(self, kind):
        """Return a new connection: ``control``, ``data`` or ``live``."""
        factories = {"control": self.control, "data": self.data, "live": self.live}
        return Connection(factories[kind], self.take_turns)

    def take_turns(self):
        """Let all turns be taken that are due."""
        if self._turns is not None:
            self._turns.advance(0)

    def files(self):
        """Return size and SHA-256 of every file that was written, by path."""
        found = {}
        for path in self.output.rglob("*"):
            if path.is_file():
                data = path.read_bytes()
                digest = hashlib.sha256(data).hexdigest()
                found[str(path.relative_to(self.output))] = (len(data), digest)
        return found

    def folders(self):
        return sorted(str(path.relative_to(self.output)) for path in self.output.rglob("*") if path.is_dir())


class InSteps:
    """A mixin for test cases with a `Relay`: every step of what it has to do is a turn, and a round."""

    def setUp(self):
        self.patch(Relay, "step", 1e-6)
        self.patch(turns, "TURN", 0.0)
        self.patch(turns, "ROUND", 1e-9)
        super().setUp()


class Connection:
    """The peer's end of a connection in memory.

    Args:
        factory: of the channel.
        take_turns: has what was sent carried out.
    """

    def __init__(self, factory, take_turns):
        self._take_turns = take_turns
        self.channel = factory.buildProtocol(None)
        self.transport = StringTransport()
        self.channel.makeConnection(self.transport)

    @property
    def is_closed(self):
        return self.transport.disconnecting or self.transport.disconnected

    def send(self, data):
        """Send, and return what was answered."""
        before = len(self.transport.value())
        self.channel.dataReceived(data)
        self._take_turns()
        return self.transport.value()[before:]

    def close(self):
        self.channel.connectionLost(DONE)
        self._take_turns()


def replay(capture, relay, minor=None, change=lambda data: data):
    """Send what the client sent, in its order; return what was answered on each control connection.

    Args:
        capture: the scenario.
        relay: the `Relay`.
        minor: what the client announces, if not what it did.
        change: of every message.
    """
    connections, ended = {}, set()
    for entry in capture.entries():
        name = entry["connection"]
        if entry["dir"] != "c2s":
            continue
        if entry["msg"] == "TCP-CONNECT":
            connections[name] = relay.connect(name.rstrip("0123456789"))
        elif entry["msg"] == "TCP-FIN":
            connections[name].close()
            ended.add(name)
        else:
            data = bytes.fromhex(entry["hex"])
            if entry["msg"] == "VERSION" and minor is not None:
                data = data[:-4] + minor.to_bytes(4, "big")
            connections[name].send(change(data))
    for name in connections.keys() - ended:  # the capture ends before the client did
        connections[name].close()
    return {
        name: connection.transport.value() for name, connection in connections.items() if "control" in name
    }


def utc(test):
    """Let local time be UTC while a test runs, as it was for the captures."""
    before = os.environ.get("TZ")

    def restore():
        if before is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = before
        time.tzset()

    os.environ["TZ"] = "UTC"
    time.tzset()
    test.addCleanup(restore)


def plain(answers):
    """Return what is answered on a connection without the one bit that a genuine relay daemon never sets."""
    for flags in (0, 1):
        ours, theirs = (Configuration(Code.OK, bits | flags).pack() for bits in (EXTENDED, 0))
        answers = answers.replace(ours, theirs)
    return answers
