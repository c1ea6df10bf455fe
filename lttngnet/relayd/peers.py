"""How many connections there may be at once.

Where a process has no descriptor left, the streams of those who are connected cannot be written any more. So
we stop to accept before: whoever comes then waits in the queue of the operating system until somebody leaves,
and those who are connected notice nothing.
"""

from typing import Protocol

from lttngnet.log import Logger

SPARE = 48  # descriptors for neither files nor connections: listeners, log, the reactor's own
NO_LIMIT = 1 << 32  # connections


def peers_limit(descriptors: int, open_files: int) -> int:
    """Return how many connections there may be, of so many descriptors and beside so many open files."""
    return max(SPARE, descriptors - open_files - SPARE)


class Door(Protocol):
    """A port that is listened on, as the reactor knows it."""

    def stopReading(self) -> None:
        """Accept no connection."""

    def startReading(self) -> None:
        """Accept connections."""


class Peers:
    """Counts connections, and closes the doors while there are too many.

    Args:
        limit: connections at once.
    """

    log = Logger()

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._count = 0
        self._doors: set[Door] = set()

    def __len__(self) -> int:
        """Return how many connections there are."""
        return self._count

    def watch(self, door: Door) -> None:
        """Close this door as well, from now on."""
        self._doors.add(door)

    def leave_alone(self, door: Door) -> None:
        """Close this door no more; to say so twice is no error."""
        self._doors.discard(door)

    def enter(self) -> None:
        """A connection was accepted."""
        self._count += 1
        if self._count == self._limit:
            self.log.warn("{count} connections: no more until one of them ends", count=self._count)
        if self._count >= self._limit:
            for door in self._doors:
                door.stopReading()

    def leave(self) -> None:
        """A connection is gone."""
        self._count -= 1
        if self._count == self._limit - 1:
            for door in self._doors:
                door.startReading()
