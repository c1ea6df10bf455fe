"""How much applications may describe: what they describe stays in the session daemon's memory.

An application takes room of its trace, and that takes it of its user's, who has one for all sessions. So
an application that describes without end leaves room to the others of its trace; and processes without end,
each with a trace of its own, leave room to other users.
"""

from typing import Final
from weakref import WeakValueDictionary

from lttngnet.errors import WireError

OF_APPLICATION: Final = 16 << 20
"""Bytes for what one application describes in one session: ten thousand events and more."""

OF_USER: Final = 256 << 20
"""Bytes for what all applications of a user describe, in all sessions."""


class Room:
    """Some memory, of which others may have a part.

    Args:
        size: bytes; None: as many as the whole has.
        whose: for the sentence in which more is refused.
        whole: of which this is a part.
    """

    def __init__(self, size: int | None, whose: str, whole: "Room | None" = None) -> None:
        self._size = size
        self._whose = whose
        self._whole = whole
        self.taken = 0

    def take(self, size: int) -> None:
        """Have so many bytes less, here and in all of which this is a part.

        Raises:
            WireError: there are not so many; then nothing has changed.
        """
        if self._size is not None and self.taken + size > self._size:
            raise WireError(f"{self._whose} cannot describe more than {self._size >> 20} MiB")
        if self._whole is not None:
            self._whole.take(size)
        self.taken += size

    def give_back(self) -> None:
        """Let the whole have again all that was taken here, and in the parts of this."""
        taken, self.taken, whole = self.taken, 0, self._whole
        while whole is not None:
            whole.taken -= taken
            whole = whole._whole


class Rooms:
    """That of each user, as long as anything of it is taken."""

    def __init__(self) -> None:
        self._rooms: WeakValueDictionary[int, Room] = WeakValueDictionary()

    def of(self, uid: int) -> Room:
        """Return the room of a user."""
        room = self._rooms.get(uid)
        if room is None:
            room = self._rooms[uid] = Room(OF_USER, f"the applications of user {uid}, in all sessions,")
        return room
