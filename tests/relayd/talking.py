"""A peer that speaks the relay protocol well, to say one thing wrong in a test."""

from uuid import UUID

from lttngnet.wire import relay as wire
from lttngnet.wire.relay import Command, DataHeader, command

SESSIOND = UUID(int=5)
PATH = "ust/uid/0/64-bit"
CREATED = 1795351548  # 2026-11-22 12:45:48 UTC


class Client:
    """The session daemon and consumer daemon of one session."""

    def __init__(self, relay, minor=13):
        self.relay = relay
        self.minor = minor
        self.control = relay.connect("control")
        self.data = relay.connect("data")

    def say(self, number, payload=b""):
        """Send a command; return the bytes of its answer."""
        return self.control.send(command(number, payload))

    def agree(self):
        return self.say(Command.VERSION, wire.Version(2, self.minor).pack())

    def create(self, name="walk", host="vm", **more):
        wanted = wire.CreateSession(name, host, **({"sessiond": SESSIOND, "created": CREATED} | more))
        return self.say(Command.CREATE_SESSION, wanted.pack(self.minor))

    def chunk(self, number=0, name=""):
        return self.status(Command.CREATE_TRACE_CHUNK, wire.CreateTraceChunk(number, CREATED, name).pack())

    def add(self, name="chan_0", path=PATH, size=0, count=0):
        """Add a stream; return its handle, or the code of the refusal as a negative number."""
        answer = self.say(Command.ADD_STREAM, wire.AddStream(name, path, size, count).pack(self.minor))
        added = wire.StreamAdded.unpack(answer)
        return added.handle if added.code == 10 else -added.code

    def stream(self, *names):
        """Do all that comes before the first packet; return the handles of the streams."""
        self.agree()
        self.create()
        self.chunk()
        return [self.add(name) for name in names or ("chan_0",)]

    def status(self, number, payload=b""):
        """Send a command; return the number it is answered with, None if it is not answered."""
        answer = self.say(number, payload)
        return wire.Status.unpack(answer).code if answer else None

    def metadata(self, stream, text, padding=0):
        return self.say(Command.SEND_METADATA, wire.MetadataHeader(stream, padding).pack() + text)

    def index(self, stream, sequence, size=64, packet_sequence=None):
        return self.status(
            Command.SEND_INDEX, index(stream, sequence, size, packet_sequence).pack(self.minor)
        )

    def packet(self, stream, sequence, content=b"x" * 6, padding=2):
        return self.data.send(packet(stream, sequence, content, padding))

    def finish(self, stream, last):
        return self.status(Command.CLOSE_STREAM, wire.StreamPosition(stream, last).pack())

    def pending(self, stream, last):
        return self.status(Command.DATA_PENDING, wire.StreamPosition(stream, last).pack())

    def rotate(self, chunk, *positions):
        return self.status(Command.ROTATE_STREAMS, wire.RotateStreams(chunk, positions).pack())

    def close_chunk(self, number, what=None):
        """Close a chunk; return the code and the path it is answered with."""
        answer = self.say(Command.CLOSE_TRACE_CHUNK, wire.CloseTraceChunk(number, CREATED + 2, what).pack())
        closed = wire.ChunkClosed.unpack(answer)
        return closed.code, closed.path

    def exists(self, number):
        answer = self.say(Command.TRACE_CHUNK_EXISTS, wire.ChunkQuery(number).pack())
        return bool(wire.ChunkExists.unpack(answer).exists)


def index(stream, sequence, size=64, packet_sequence=None):
    """Return what is told of a packet of 8 bytes."""
    number = sequence if packet_sequence is None else packet_sequence
    return wire.SendIndex(stream, sequence, size, 48, 1000 + sequence, 2000 + sequence, 0, 3, 4, number)


def packet(stream, sequence, content=b"x" * 6, padding=2):
    return DataHeader(0, stream, sequence, len(content), padding).pack() + content
