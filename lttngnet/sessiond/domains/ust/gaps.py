"""Times in which an application ran on and was not traced, since it had hung up, or was hung up on.

As soon as its sockets are gone, an application has no session any more, until it has registered anew and is
set up. What it would have recorded meanwhile nobody can count, not even the tracer in it. That there was such
a time can be told, and how long it was.
"""

from collections.abc import Callable
from pathlib import Path

from lttngnet.log import Logger
from lttngnet.sessiond.ust.application import ApplicationFacts

Identity = tuple[bytes, bytes]

REMEMBERED = 4096  # applications that were hung up on, and have not come back

_STARTED, _STACK = 19, 25  # fields of /proc/PID/stat behind the name: see proc(5)


def identity(pid: int) -> Identity | None:
    """Return what tells a program from those that ran before in the process: each has its stack elsewhere."""
    try:
        facts = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if facts[0] in (b"Z", b"X") else (facts[_STARTED], facts[_STACK])


class Gaps:
    """Those of one session.

    Args:
        session: by name.
        seconds: tells the time.

    Attributes:
        times: how many there were.
    """

    log = Logger()

    def __init__(self, session: str, seconds: Callable[[], float]) -> None:
        self.times = 0
        self._session = session
        self._seconds = seconds
        self._since: dict[int, tuple[Identity, float]] = {}  # by process

    def begin(self, facts: ApplicationFacts) -> None:
        """An application that has recorded up to now is gone; perhaps only its sockets are."""
        if (who := identity(facts.pid)) is not None:
            self._since[facts.pid] = who, self._seconds()
            if len(self._since) > REMEMBERED:
                del self._since[next(iter(self._since))]

    def end(self, facts: ApplicationFacts) -> None:
        """An application has begun to record."""
        who, since = self._since.pop(facts.pid, (None, 0.0))
        if who is None or who != identity(facts.pid):
            return
        self.times += 1
        self.log.warn(
            "Process {pid} ({name}) was not traced in session {session} for {seconds:.3f} s, in which it had "
            "no connection: what it did then is not recorded, nor counted",
            pid=facts.pid,
            name=facts.name,
            session=self._session,
            seconds=self._seconds() - since,
        )

    def forget(self) -> None:
        """Nothing is to be recorded any more."""
        self._since.clear()
