"""A sender that goes on with its session after every loss: it keeps all that it ever said."""

from lttngnet.ctf.index import HEADER, read_index
from lttngnet.wire import relay as wire
from lttngnet.wire.relay import CloseCommand, Command, DataHeader, command
from lttngnet.wire.relay.extension import Extension, KeepSession, ResumeSession, SessionResumed, Written
from tests.relayd.talking import CREATED, PATH, SESSIOND, index

IDENTITY, SECRET = b"i" * 16, b"s" * 32
METADATA = b"/* CTF 1.8 */\n" + b"trace {};\n" * 3


def packet_of(stream, number):
    """Return a packet that no other is equal to: its content, and how much padding it has."""
    content = b"%d.%d;" % (stream, number) * (1 + number % 5)
    return content, number % 3


class Lost(Exception):
    """The connection was lost while something was said."""


class Sender:
    """Sends one session.

    Args:
        connect: makes a connection, by its kind.
        live: the live timer.
        limit: size and count of trace files.
    """

    def __init__(self, connect, live=0, limit=(0, 0)):
        self.connect = connect
        self.live, self.limit = live, limit
        self.said = []  # numbered commands: [command, payload maker, kind of answer or None, answer]
        self.sent = {}  # by key of a stream: how many packets
        self.is_up = False
        self.resumed = 0

    # ------------------------------------------------------------ connections

    def begin(self):
        self._connect()
        wanted = wire.CreateSession(
            "walk", "vm", sessiond=SESSIOND, session=4, created=CREATED, live_timer=self.live
        )
        self.ask(Command.CREATE_SESSION, wanted.pack(13))
        kept = wire.Status.unpack(self.ask(Extension.KEEP_SESSION, KeepSession(IDENTITY, SECRET).pack()))
        assert kept.code == 10, kept
        self.is_up = True

    def _connect(self):
        self.control, self.data = self.connect("control"), self.connect("data")
        self.ask(Command.VERSION, wire.Version(2, 13).pack())

    def ask(self, number, payload=b"", circuit=0):
        return self.control.send(command(number, payload, circuit))

    def lose(self, *which):
        """Lose connections, ``control``, ``data`` or both, in any order."""
        for each in which or ("data", "control"):
            getattr(self, each).close()
        self.is_up = False

    def resume(self, secret=SECRET):
        """Go on: say again what is not there."""
        self._connect()
        answer = self.ask(Extension.RESUME_SESSION, ResumeSession(IDENTITY, secret).pack())
        resumed = SessionResumed.unpack(answer)
        if resumed.code != 10:
            return resumed.code
        self.is_up = True
        self.resumed += 1
        for number in range(1, len(self.said) + 1):
            kind, answer = self.said[number - 1][2:]
            if number > resumed.commands or (kind is not None and answer is None):
                self._say(number)
        written = Written.unpack(self.ask(Extension.WRITTEN))
        assert written.code == 10, written
        there = {each.stream: each for each in written.streams}
        for key, count in self.sent.items():
            progress = there.get(self.handle(key))
            if progress is not None:
                for each in range(progress.indexes, min(progress.packets, count)):
                    self._index(key, each)
                for each in range(progress.packets, count):
                    self._packet(key, each, each >= progress.indexes)
        return None

    # ------------------------------------------------------------ commands

    def say(self, number, payload, kind=wire.Status):
        """Say what is repeated until it is answered; a payload may depend on answers."""
        self.said.append([number, payload if callable(payload) else lambda: payload, kind, None])
        if self.is_up:
            self._say(len(self.said))
        return len(self.said) - 1

    def _say(self, number):
        known = self.said[number - 1]
        what, payload, kind, _ = known
        answer = self.ask(what, payload(), number)
        if kind is not None:
            if not answer:
                raise Lost(what)
            known[3] = kind.unpack(answer)
            assert getattr(known[3], "code", 10) == 10, (what, known[3])

    def handle(self, key):
        answer = self.said[key][3]
        return answer.handle if answer else None

    def add(self, name="chan_0", path=PATH):
        """Add a stream; return its key."""
        payload = wire.AddStream(name, path, *(self.limit if name != "metadata" else ())).pack(13)
        key = self.say(Command.ADD_STREAM, payload, wire.StreamAdded)
        self.sent[key] = 0
        return key

    def describe(self, key, text=METADATA):
        self.say(
            Command.SEND_METADATA, lambda: wire.MetadataHeader(self.handle(key), 0).pack() + text, kind=None
        )

    def chunk(self, number):
        self.say(Command.CREATE_TRACE_CHUNK, wire.CreateTraceChunk(number, CREATED).pack())

    def rotate(self, chunk, *keys):
        self.say(
            Command.ROTATE_STREAMS,
            lambda: wire.RotateStreams(chunk, tuple((self.handle(k), positions[k]) for k in keys)).pack(),
        ) if (positions := dict(self.sent)) else None

    def close_chunk(self, number, what=CloseCommand.MOVE_TO_COMPLETED):
        payload = wire.CloseTraceChunk(number, CREATED + 2, what).pack()
        self.say(Command.CLOSE_TRACE_CHUNK, payload, wire.ChunkClosed)

    def publish(self):
        self.say(Command.STREAMS_SENT, b"")

    def finish(self, key):
        last = self.sent[key] - 1 if self.sent[key] else wire.NO_SEQUENCE
        self.say(Command.CLOSE_STREAM, lambda: wire.StreamPosition(self.handle(key), last).pack())

    # ------------------------------------------------------------ packets

    def send(self, key, count=1):
        for _ in range(count):
            self.sent[key] += 1
            if self.is_up:
                self._packet(key, self.sent[key] - 1)

    def _packet(self, key, number, has_index=True):
        self.data.send(self.bytes_of(key, number))
        if has_index:
            self._index(key, number)

    def bytes_of(self, key, number):
        content, padding = packet_of(key, number)
        return DataHeader(0, self.handle(key), number, len(content), padding).pack() + content

    def index_of(self, key, number):
        content, padding = packet_of(key, number)
        size = (len(content) + padding) * 8
        return index(self.handle(key), number, size).pack(13)

    def _index(self, key, number):
        answer = self.ask(Command.SEND_INDEX, self.index_of(key, number))
        if not answer:
            raise Lost("SEND_INDEX")

    def progress(self):
        return Written.unpack(self.ask(Extension.WRITTEN))

    def end(self):
        """Close all streams, and end the session."""
        for key in self.sent:
            self.finish(key)
        answer = wire.Status.unpack(self.ask(Extension.FORGET_SESSION))
        assert answer.code == 10, answer
        self.lose()


def script(sender, live=False):
    """Yield after each of the steps of a session with a rotation, one clear, and streams that come late."""
    sender.chunk(0)
    text = sender.add("metadata")
    one, two = sender.add("chan_0"), sender.add("chan_1")
    yield
    sender.describe(text)
    sender.publish()
    yield
    for _ in range(4):
        sender.send(one, 2)
        yield
        sender.send(two)
        yield
    sender.describe(text, b"event {};\n" * 4)
    yield
    sender.chunk(1)
    yield
    sender.rotate(1, text)
    sender.rotate(1, one, two)
    yield
    sender.describe(text, METADATA)
    sender.close_chunk(0)
    yield
    sender.send(one, 3)
    yield
    late = sender.add("late_0")
    sender.publish()
    yield
    sender.send(late, 2)
    sender.send(two)
    yield
    if not live:
        sender.chunk(2)
        sender.rotate(2, text)
        sender.rotate(2, one, two, late)
        yield
        sender.describe(text, METADATA)
        sender.close_chunk(1, CloseCommand.DELETE)
        yield
    sender.send(one, 5)
    sender.send(late)
    yield


def check_whole(case, folder):
    """See that every index below a folder tells of whole packets, one behind the other, each once."""
    for path in folder.rglob("*.idx"):
        data = path.read_bytes()
        case.assertFalse(data and (len(data) - HEADER.size) % 72, path)
        at, numbers = 0, []
        for entry in read_index(data):
            case.assertEqual(entry.offset, at, path)
            at += entry.packet_size // 8
            numbers.append(entry.packet_sequence)
        case.assertEqual(numbers, sorted(set(numbers)), path)
        case.assertEqual((path.parent.parent / path.stem).stat().st_size, at, path)
