"""What a trace of applications describes: its streams, events and enumerations, and the numbers they have."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from lttngnet.wire.ust.fields import EnumEntry, Field

HEADER_LARGE = 2  # the kind of event header that all our streams have


@dataclass(frozen=True)
class TraceFacts:
    """What the metadata says of the trace itself.

    Attributes:
        scheme: of the buffers: ``uid``, shared by all applications of a user, or ``pid``, of one process.
        buffering_id: the user's number, or the process's.
        bits: 32 or 64, of the applications.
        byte_order: ``le`` or ``be``.
        alignments: of u8, u16, u32, u64 and long, in bits.
        tracer: version of the C tracer: major, minor, patch level.
        created: when the session was, as text; see `lttngnet.ctf.tsdl.creation_datetime`.
        procname: name of the process; this and what follows for ``pid`` only.
        vpid: its number, as it sees itself.
        vpid_datetime: when it registered, as text.
    """

    uuid: UUID
    session: str
    hostname: str
    scheme: str
    buffering_id: int
    bits: int
    byte_order: str
    alignments: tuple[int, int, int, int, int]
    tracer: tuple[int, int, int]
    created: str
    procname: str = ""
    vpid: int = 0
    vpid_datetime: str = ""


class EventDescription(Protocol):
    """What an application says of an event."""

    name: str
    loglevel: int
    signature: str
    fields: Sequence[Field]
    uri: str


class Registry:
    """Of one trace: what applications have described, as text, in an order in which it can be read.

    Args:
        facts: of the trace.
        clock_offset: ns from the epoch to 0 of CLOCK_MONOTONIC.
    """

    def __init__(self, facts: TraceFacts, clock_offset: int) -> None:
        raise NotImplementedError

    def add_channel(self, stream_class: int, name: str) -> None:
        """Expect a channel; it is described once an application has said which context fields it has."""
        raise NotImplementedError

    def channel(self, stream_class: int, context_fields: Sequence[Field]) -> int:
        """Describe a stream, unless it is described already; return the kind of its event headers.

        Raises:
            Refused: it is described already, with other context fields; or these cannot be written.
        """
        raise NotImplementedError

    def event(self, stream_class: int, event: EventDescription) -> int:
        """Describe an event, unless the same is described already; return its number in its stream.

        Raises:
            Refused: it cannot be written.
        """
        raise NotImplementedError

    def enum(self, name: str, entries: Sequence[EnumEntry]) -> int:
        """Keep an enumeration for the events that will name it; return its number.

        Raises:
            Refused: it cannot be written.
        """
        raise NotImplementedError

    def take_text(self) -> str:
        """Return what is new since the last call: the first begins with the preamble."""
        raise NotImplementedError

    def whole_text(self) -> str:
        """Return all that was described, from the beginning."""
        raise NotImplementedError
