"""A live viewer, to say one thing wrong in a test."""

from lttngnet.wire import viewer as wire
from lttngnet.wire.listing import SessionList
from lttngnet.wire.viewer import Kind, Seek, request


class Viewer:
    """A viewer's connection to a `Relay`."""

    def __init__(self, relay, minor=4):
        self.connection = relay.connect("live")
        self.minor = minor

    @property
    def is_closed(self):
        return self.connection.is_closed

    def ask(self, question):
        return self.connection.send(request(question))

    def connect(self, major=2, kind=Kind.COMMAND):
        answer = self.ask(wire.Connect(wire.NO_SESSION, major, self.minor, kind))
        return wire.Connect.unpack(answer) if answer else None

    def create(self):
        return wire.Status.unpack(self.ask(wire.CreateSession())).status

    def ready(self):
        self.connect()
        self.create()
        return self

    def list(self):
        return SessionList.unpack(self.ask(wire.ListSessions()), self.minor).sessions

    def attach(self, session=1, seek=Seek.BEGINNING):
        """Attach; return the status, and the numbers of the streams."""
        answer = wire.StreamList.unpack(self.ask(wire.Attach(session, 0, seek)))
        return answer.status, sorted(stream.stream for stream in answer.streams)

    def detach(self, session=1):
        return wire.Status.unpack(self.ask(wire.Detach(session))).status

    def new(self, session=1):
        """Ask for new streams; return the status, and the numbers of the streams."""
        answer = wire.StreamList.unpack(self.ask(wire.GetNewStreams(session)))
        return answer.status, sorted(stream.stream for stream in answer.streams)

    def next(self, stream):
        return wire.NextIndex.unpack(self.ask(wire.GetNextIndex(stream)))

    def told(self, stream):
        """Ask for the next index; return its status and its flags."""
        answer = self.next(stream)
        return answer.status, answer.flags

    def packet(self, stream, offset=0, length=8):
        """Return the bytes of a packet, or the status if that is not OK."""
        return self._body(wire.PacketHead, self.ask(wire.GetPacket(stream, offset, length)))

    def metadata(self, stream):
        """Return the bytes of metadata, or the status if that is not OK."""
        return self._body(wire.MetadataHead, self.ask(wire.GetMetadata(stream)))

    def all(self, stream):
        """Return the packets that are there, by their first timestamps."""
        found = []
        while (answer := self.next(stream)).status == wire.IndexStatus.OK:
            found.append(answer.timestamp_begin)
        return found

    def _body(self, kind, answer):
        head, body = kind.unpack(answer), answer[kind.layout.size :]
        assert len(body) == head.length, answer
        return body if head.status == 1 else head.status
