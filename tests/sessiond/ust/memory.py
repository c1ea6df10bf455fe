"""An application in memory: the daemon's ends of its two sockets, and what it would say on them."""

from twisted.internet.task import Clock

from lttngnet.errors import WireError
from lttngnet.sessiond.ust.application import Application, ApplicationFacts
from lttngnet.wire.ust.commands import REQUEST_SIZE, Command, Reply, Request
from lttngnet.wire.ust.registration import HOST

FACTS = ApplicationFacts(
    pid=42,
    uid=1000,
    gid=100,
    name="demo",
    vpid=42,
    ppid=1,
    bits=64,
    byte_order=HOST,
    alignments=(8, 8, 8, 8, 8),
    abi=(9, 0),
    registered=1.0,
)
VERSION = (
    bytes.fromhex("02000000 0d000000 05000000")
    if HOST == "le"
    else bytes.fromhex("00000002 0000000d 00000005")
)


class Socket:
    """What stands for a `Connection`."""

    def __init__(self):
        self.written = []
        self.is_open = True
        self.is_paused = False
        self.heard = None
        self.lost = None

    def write(self, data, descriptors=()):
        self.written.append((data, tuple(descriptors)))

    def pause(self):
        self.is_paused = True

    def resume(self):
        self.is_paused = False

    def close(self):
        self.is_open = False

    def fail(self, why):
        if self.is_open:
            self.is_open = False
            self.lost(why)

    def say(self, data):
        """Let the application say something."""
        try:
            self.heard(data)
        except WireError as problem:
            self.fail(str(problem))


class Peer:
    """What an application does on its command socket.

    Attributes:
        replies: how each command is answered; by default with a new handle, and a good version.
        heard: the commands that came.
    """

    def __init__(self, socket=None):
        self.socket = socket or Socket()
        self.replies = {Command.TRACER_VERSION: {"content": VERSION}}
        self.heard = []
        self.value = 100

    def take(self):
        """Return the oldest command that is not answered: handle, command, whole bytes, descriptors."""
        data, descriptors = self.socket.written.pop(0)
        handle = int.from_bytes(data[:4], "little" if HOST == "le" else "big")
        number = int.from_bytes(data[4:8], "little" if HOST == "le" else "big")
        self.heard.append(Command(number))
        return handle, Command(number), data, descriptors

    def answer(self, **changes):
        """Answer the oldest command, in the usual way or in another; return which it was."""
        handle, command, _, _ = self.take()
        self.value += 1
        usual = {"handle": handle, "command": command, "error": 0, "value": self.value, "content": b""}
        rest = changes.pop("rest", b"")
        reply = Reply(**{**usual, **self.replies.get(command, {}), **changes})
        self.socket.say(reply.pack() + rest)
        return command

    def answer_all(self):
        while self.socket.written and self.socket.is_open:
            self.answer()


class Home:
    """Who is told of applications; a joined one is let go on when the test says so."""

    def __init__(self):
        self.told = []
        self.waiting = []

    def joined(self, application):
        from twisted.internet.defer import Deferred

        self.told.append(("joined", application))
        waiting = Deferred()
        self.waiting.append(waiting)
        return waiting

    def left(self, application):
        self.told.append(("left", application))


class Scene:
    """An application between a peer in memory and a home."""

    def __init__(self, facts=FACTS, patience=5.0):
        self.clock = Clock()
        self.home = Home()
        self.peer = Peer()
        self.notify = Socket()
        self.application = Application(facts, self.peer.socket, self.notify, self.home, self.clock, patience)
        self.application.greet()

    def registered(self):
        """Go through all of the registration; return self."""
        self.peer.answer()
        self.home.waiting.pop().callback(None)
        self.peer.answer()
        return self

    def state(self):
        return self.application._machine.name()


assert len(Request(0, Command.ENABLE).pack()) == REQUEST_SIZE
