"""From a byte stream to whole messages, however the network cut it.

* `Commands`: what a session daemon asks a relay daemon; whole, bounded. Only metadata may be long, and is
  handed on as it comes.
* `Answers`: what the relay daemon says to that. Answers carry no header: they are told apart by their order.
* `Packets`: trace data, handed on in the pieces in which it came, never gathered.
* `Requests`: what a live viewer asks a relay daemon; whole, none is long.
"""

from collections import deque
from collections.abc import Iterator

from lttngnet.errors import WireError
from lttngnet.wire.codec import Buffer
from lttngnet.wire.relay import METADATA_PART, Answer, Command, CommandHeader, DataHeader, MetadataHeader
from lttngnet.wire.viewer import QUESTIONS, Question, RequestHeader

METADATA_LIMIT = 128 << 20  # bytes of a SEND_METADATA; the genuine relay daemon's limit for any command
METADATA_PIECE = 64 << 10  # bytes of metadata that are gathered before they are handed on
COMMAND_LIMIT = 1 << 20  # bytes of any other command; the longest real one is a ROTATE_STREAMS


class Commands:
    """Bytes of a control connection in, whole commands out."""

    def __init__(self, limit: int = COMMAND_LIMIT, metadata_limit: int = METADATA_LIMIT) -> None:
        self._limit = limit
        self._metadata_limit = metadata_limit
        self._buffer = bytearray()
        self._circuit_id = 0  # of the long SEND_METADATA that is coming in …
        self._metadata: MetadataHeader | None = None  # of the long SEND_METADATA that is coming in …
        self._left = 0  # … and how many bytes of its text are still to come

    @property
    def rest(self) -> bytes | None:
        """The beginning of a command that is not whole; None where some of it was handed on already."""
        return None if self._left else bytes(self._buffer)

    def forget(self) -> None:
        """Begin with another command: somebody else goes on with this one."""
        self._buffer.clear()

    def feed(self, data: Buffer) -> Iterator[tuple[CommandHeader, bytes]]:
        """Take what came in; give every command that is whole now, as its header and its payload.

        A SEND_METADATA with much text is given as several that together say the same: all but the last have
        the number `METADATA_PART`.

        Raises:
            WireError: a command announces more bytes than its kind may have.
        """
        buffer = self._buffer
        buffer += data
        start = CommandHeader.layout.size
        while True:
            if self._left:
                yield from self._pieces()
            if self._left or len(buffer) < start:
                return
            header = CommandHeader.unpack(buffer)
            end = start + header.data_size
            if header.command == Command.SEND_METADATA and header.data_size > METADATA_PIECE:
                if not self._begin_metadata(header):
                    return
                continue
            if header.data_size > self._limit:
                raise _too_long(header, self._limit)
            if len(buffer) < end:
                return
            payload = bytes(buffer[start:end])
            del buffer[:end]
            yield header, payload

    def _begin_metadata(self, header: CommandHeader) -> bool:
        """Take what stands before the text, if it is here; return whether it is."""
        if header.data_size > self._metadata_limit:
            raise _too_long(header, self._metadata_limit)
        start = header.layout.size
        end = start + MetadataHeader.layout.size
        if len(self._buffer) < end:
            return False
        self._circuit_id = header.circuit_id
        self._metadata = MetadataHeader.unpack(self._buffer[start:end])
        self._left = header.data_size - self._metadata.layout.size
        del self._buffer[:end]
        return True

    def _pieces(self) -> Iterator[tuple[CommandHeader, bytes]]:
        assert self._metadata is not None
        while len(self._buffer) >= (size := min(METADATA_PIECE, self._left)) > 0:
            self._left -= size
            number = METADATA_PART if self._left else Command.SEND_METADATA
            padding = 0 if self._left else self._metadata.padding  # it stands behind all of the text
            payload = MetadataHeader(self._metadata.stream, padding).pack() + self._buffer[:size]
            del self._buffer[:size]
            yield CommandHeader(self._circuit_id, len(payload), number), payload


def _too_long(header: CommandHeader, limit: int) -> WireError:
    return WireError(f"command {header.command} of {header.data_size} bytes, the limit is {limit}")


class Answers:
    """Bytes of a relay daemon in, its answers out, in the order in which they were asked for."""

    def __init__(self) -> None:
        self._expected: deque[type[Answer]] = deque()
        self._buffer = bytearray()

    def __len__(self) -> int:
        """Return the number of answers that are still to come."""
        return len(self._expected)

    def expect(self, kind: type[Answer]) -> None:
        """Announce that another question was asked."""
        self._expected.append(kind)

    def feed(self, data: bytes) -> Iterator[Answer]:
        """Take what came in; give every answer that is whole now.

        Raises:
            WireError: an answer makes no sense, or comes without a question.
        """
        self._buffer += data
        while self._expected:
            kind = self._expected[0]
            size = kind.measure(self._buffer)
            if size is None or len(self._buffer) < size:
                return
            answer = kind.unpack(self._buffer[:size])
            del self._buffer[:size]
            self._expected.popleft()
            yield answer
        if self._buffer:
            raise WireError(f"{len(self._buffer)} bytes of an answer that nobody asked for")


class Packets:
    """Bytes of a data connection in, pieces of packets out."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._header: DataHeader | None = None
        self._left = 0

    @property
    def inside(self) -> bool:
        """Whether a packet, or its header, has begun and not ended."""
        return self._header is not None or bool(self._head)

    @property
    def missing(self) -> int:
        """How many bytes of the present packet are still to come; 0 between two of them."""
        return self._left

    @property
    def state(self) -> tuple[bytes, DataHeader | None, int]:
        """The beginning of a header; or the header of the packet that it is in, and what is missing of it."""
        return bytes(self._head), self._header, self._left

    def resume(self, header: DataHeader | None, left: int) -> None:
        """Be in the middle of a packet, or in none."""
        self._head.clear()
        self._header, self._left = header, left

    def feed(self, data: Buffer) -> Iterator[tuple[DataHeader, memoryview, bool]]:
        """Take what came in; give it on as (header of the packet, piece of its content, is it the last one).

        The pieces are views into ``data``. A packet without content has one empty piece.
        """
        view = memoryview(data)
        size = DataHeader.layout.size
        while view:
            if self._header is None:
                missing = size - len(self._head)
                self._head += view[:missing]
                view = view[missing:]
                if len(self._head) < size:
                    return
                self._header = DataHeader.unpack(self._head)
                self._head.clear()
                self._left = self._header.data_size
                if not view and self._left:
                    return
            header, piece = self._header, view[: self._left]
            view = view[len(piece) :]
            self._left -= len(piece)
            if not self._left:
                self._header = None
            yield header, piece, not self._left


class UnknownCommand(WireError):
    """A question with a number that stands for none: its size is unknown, and so is where the next begins."""


class Requests:
    """Bytes of a viewer's connection in, whole questions out; one at a time, for who may have to pause."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def receive(self, data: Buffer) -> None:
        """Take what came in."""
        self._buffer += data

    def next(self) -> Question | None:
        """Return the next question, None if it is not whole yet.

        Raises:
            UnknownCommand: nothing that comes after it can be understood.
        """
        buffer, head = self._buffer, RequestHeader.layout
        if len(buffer) < head.size:
            return None
        _, command, _ = head.unpack_from(buffer)
        kind = QUESTIONS.get(command)
        if kind is None:
            raise UnknownCommand(f"command {command} is unknown")
        end = head.size + kind.layout.size
        if len(buffer) < end:
            return None
        question = kind.unpack(buffer, head.size)
        del buffer[:end]
        return question
