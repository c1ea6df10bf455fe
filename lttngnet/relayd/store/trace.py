"""A trace: the streams of a session that one metadata stream describes, all in one folder."""

from typing import Protocol

METADATA = "metadata"  # the name that alone makes a stream a metadata stream


class Member(Protocol):
    """A stream, as far as its trace knows it.

    Attributes:
        handle: its number.
    """

    handle: int

    @property
    def is_metadata(self) -> bool:
        """Whether it describes the others."""


class Trace:
    """A trace of a session, while a stream of it is open; viewers may hold on to it for longer.

    Args:
        number: see below.
        files_kept: see below.

    Attributes:
        number: as viewers know it.
        files_kept: trace files of each stream that viewers can go back to.
        streams: handles of the open ones.
        metadata: handle of the stream that describes the others, None until there is one.
        is_described: whether viewers may know of it, and so can make sense of the rest.
    """

    def __init__(self, number: int, files_kept: int) -> None:
        self.number = number
        self.files_kept = files_kept
        self.streams: set[int] = set()
        self.metadata: int | None = None
        self.is_described = False

    def add(self, stream: Member) -> None:
        """Take in a stream."""
        self.streams.add(stream.handle)
        if stream.is_metadata:
            self.metadata, self.is_described = stream.handle, False

    def publish(self, stream: Member) -> None:
        """Viewers may know of a stream."""
        if stream.handle == self.metadata:
            self.is_described = True

    def remove(self, stream: Member) -> None:
        """A stream is closed. If it is the metadata, it still describes what there is."""
        self.streams.discard(stream.handle)
