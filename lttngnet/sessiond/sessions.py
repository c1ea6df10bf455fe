"""The tracing sessions of a daemon, by name."""

import os
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from lttngnet.errors import Code, CommandError
from lttngnet.sessiond.outlet import Surroundings
from lttngnet.sessiond.session import Session
from lttngnet.uri import Output

NAME_LIMIT = 239  # bytes, so that NAME-DATE-TIME fits into one component of a path
IMPROPER = re.compile(r"[/\x00-\x1f\x7f]|^\.|^$")


class Sessions:
    """All sessions, from create to destroy.

    Attributes:
        folder: below which traces go that no one named a place for.
    """

    def __init__(self, surroundings: Surroundings, folder: Path, seconds: Callable[[], float]) -> None:
        self.folder = folder
        self._surroundings = surroundings
        self._seconds = seconds
        self._sessions: dict[str, Session] = {}
        self._made = 0

    def create(
        self, name: str, output: Output | None, no_consumer: bool, live: int = 0, snapshot: bool = False
    ) -> Session:
        """Create a session.

        Args:
            name: empty for one that tells the time.
            output: None for the default folder, or for none at all with ``no_consumer``.
            no_consumer: leave the session without a consumer until a URI is set.
            live: microseconds between two times that what was recorded is sent; 0: when there is enough.
            snapshot: the session is for snapshots, which go to that output.

        Raises:
            CommandError: the name is taken, or cannot be one; a live session has no relay daemon.
        """
        now = int(self._seconds())
        date = f"{datetime.fromtimestamp(now):%Y%m%d-%H%M%S}"
        dated = f"{name}-{date}" if name else f"auto-{date}"
        name = name or dated
        if IMPROPER.search(name) or len(os.fsencode(name)) > NAME_LIMIT:
            raise CommandError(
                Code.SESSION_INVALID_CHAR,
                f"{name!r} cannot be the name of a session: it needs at most {NAME_LIMIT} bytes, no '/', "
                "no control character, and no '.' in front",
            )
        if name in self._sessions:
            raise CommandError(Code.SESSION_EXISTS, f"there is a session {name} already")
        if output is None and not no_consumer:
            output = Output(path=str(self.folder / dated))
        if not 0 <= live < 1 << 32:
            raise CommandError(Code.INVALID, f"a live timer of {live} us cannot be: at most {(1 << 32) - 1}")
        session = Session(name, self._made, now, output, self._surroundings, live, snapshot)
        self._sessions[name] = session
        self._made += 1
        return session

    def get(self, name: str) -> Session:
        """Return a session.

        Raises:
            CommandError: there is none of that name.
        """
        try:
            return self._sessions[name]
        except KeyError:
            raise CommandError(Code.SESSION_NOT_FOUND, f"there is no session {name!r}") from None

    async def describe(self) -> list[dict[str, Any]]:
        """Return what `Session.describe` tells of each, in the order of their creation."""
        return [await session.describe() for session in list(self._sessions.values())]

    async def destroy(self, name: str) -> dict[str, Any]:
        """Take a session down, and forget it whatever happens on the way; see `Session.destroy`."""
        session = self.get(name)
        try:
            return await session.destroy()
        finally:
            self._sessions.pop(name, None)

    def names(self) -> list[str]:
        """Return the names of all sessions."""
        return list(self._sessions)
