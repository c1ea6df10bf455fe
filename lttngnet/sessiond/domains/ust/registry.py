"""What a trace of applications describes: its streams, events and enumerations, and the numbers they have."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from lttngnet.sessiond.domains.ust import tsdl
from lttngnet.sessiond.domains.ust.preamble import TraceFacts, preamble
from lttngnet.sessiond.domains.ust.tsdl import Refused
from lttngnet.sessiond.ust.room import Room
from lttngnet.wire.ust.fields import ENTRY_SIZE, EnumEntry, Field
from lttngnet.wire.ust.questions import ChannelAnswer, EventQuestion, Header

__all__ = ["Refused", "Registry", "TraceFacts"]

TEXT_LIMIT = 64 << 20  # characters of the metadata of one trace; a hundred thousand events and more
ENUMERATIONS_LIMIT = 32 << 20  # bytes that the enumerations of one trace took on their way


@dataclass
class _Stream:
    """A stream: what its events have in common, and what they are."""

    name: str
    context: str | None = None  # None: no application has said yet
    events: dict[bytes, int] = field(default_factory=dict)  # what describes each, and its number
    held: list[str] = field(default_factory=list)  # events that cannot be written before the stream is


class Registry:
    """Of one trace: what applications have described, as text, in an order in which it can be read.

    Events are numbered by stream. The same description gets the same number, whichever application gives it.

    Args:
        facts: of the trace.
        clock_offset: ns from the epoch to 0 of CLOCK_MONOTONIC.

    Raises:
        Refused: the facts cannot be written.
    """

    def __init__(self, facts: TraceFacts, clock_offset: int) -> None:
        self._facts = facts
        self._byte_order = facts.byte_order
        self._streams: dict[int, _Stream] = {}
        self._numbers: dict[tuple[str, tuple[EnumEntry, ...]], int] = {}
        self._enumerations: dict[int, tuple[EnumEntry, ...]] = {}
        self._enumerations_room = ENUMERATIONS_LIMIT
        self._room = TEXT_LIMIT
        self._text: list[str] = []
        self._taken = 0  # how many parts of it were
        self._write(preamble(facts, clock_offset))

    def add_channel(self, stream_class: int, name: str) -> None:
        """Expect a channel; it is described once an application has said which context fields it has."""
        self._streams.setdefault(stream_class, _Stream(name))

    def channel(
        self, stream_class: int, context_fields: Sequence[Field], room: Room | None = None
    ) -> ChannelAnswer:
        """Describe a stream, unless it is described already.

        Args:
            stream_class: its number.
            context_fields: of its events.
            room: of who describes; without it, that of the trace counts alone.

        Raises:
            Refused: it is, but with other context fields; or these cannot be written.
        """
        stream = self._streams[stream_class]
        context = tsdl.structure(context_fields, self._byte_order, self._enumerations)
        if stream.context is None:
            self._write(tsdl.stream(stream_class, context), room=room)
            stream.context = context
            self._text += stream.held
            stream.held.clear()
        elif stream.context != context:
            raise Refused(f"channel {stream.name!r} has other context fields in another application")
        return ChannelAnswer(stream_class, Header.LARGE)

    def event(self, stream_class: int, question: EventQuestion, room: Room | None = None) -> int:
        """Describe an event, unless the same is described already; return its number in its stream.

        Raises:
            Refused: it cannot be written.
        """
        stream = self._streams[stream_class]
        payload = tsdl.structure(question.fields, self._byte_order, self._enumerations)
        facts = question.name, question.signature, question.loglevel, question.uri, payload
        key = blake2b(repr(facts).encode(), digest_size=16).digest()
        if key in stream.events:
            return stream.events[key]
        number = len(stream.events)
        text = tsdl.event(number, stream_class, question.name, question.loglevel, question.uri, payload)
        self._write(text, stream, room)
        stream.events[key] = number
        return number

    @property
    def described(self) -> list[int]:
        """The stream classes that are described: only their packets can be read."""
        return [number for number, stream in self._streams.items() if stream.context is not None]

    def enum(self, name: str, entries: Sequence[EnumEntry], room: Room | None = None) -> int:
        """Keep an enumeration for the events that will name it; return its number.

        Raises:
            Refused: no field can be of it, or there are too many.
        """
        key = name, tuple(entries)
        if key not in self._numbers:
            tsdl.check_enumeration(entries)
            if len(entries) * ENTRY_SIZE > self._enumerations_room:
                raise Refused("more enumerations than one trace may have")
            if room is not None:
                room.take(len(entries) * ENTRY_SIZE)
            self._enumerations_room -= len(entries) * ENTRY_SIZE
            self._numbers[key] = len(self._enumerations)
            self._enumerations[self._numbers[key]] = key[1]
        return self._numbers[key]

    def take_text(self) -> str:
        """Return what is new since the last call: the first begins with the preamble."""
        text = "".join(self._text[self._taken :])
        self._taken = len(self._text)
        return text

    def regenerate(self, clock_offset: int) -> str:
        """Return all that was described, from the beginning, with another offset; it counts as taken."""
        self._text[0] = preamble(self._facts, clock_offset)
        self._taken = len(self._text)
        return self.whole_text()

    def whole_text(self) -> str:
        """Return all that was described, from the beginning."""
        return "".join(self._text)

    def _write(self, text: str, stream: _Stream | None = None, room: Room | None = None) -> None:
        """Add text; that of an event only when its stream is described.

        Raises:
            Refused: it is too much for one trace.
        """
        if len(text) > self._room:
            raise Refused(f"metadata of more than {TEXT_LIMIT} characters")
        if room is not None:
            room.take(len(text))
        self._room -= len(text)
        waits = stream is not None and stream.context is None
        (stream.held if stream is not None and waits else self._text).append(text)
