"""What does not change in the life of a session."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

from lttngnet.relayd.store.chunk import Tracing


@dataclass(frozen=True)
class Facts:
    """See the module.

    Attributes:
        number: its own, counted by this daemon.
        name: of the tracing session.
        hostname: of the machine that is traced.
        minor: of the protocol that its control connection speaks.
        live_timer: period of a live session, microseconds; 0 is not live.
        snapshot: whether it holds snapshots only, which have no index files.
        allows_clear: whether its peer may delete what it sent before.
        tracing: the session that it is a part of, and its folder.
        place: from a stream's path as the peer says it to the path below the chunk.
        trace_format: 1 is CTF 1.8, 2 is CTF 2.
    """

    number: int
    name: str
    hostname: str
    minor: int
    live_timer: int
    snapshot: bool
    allows_clear: bool
    tracing: Tracing
    place: Callable[[str], PurePosixPath]
    trace_format: int = 1

    @property
    def index_minor(self) -> int | None:
        """Format 1.x of the index files; None where there are none."""
        if self.snapshot:
            return None
        return 1 if self.minor >= 8 else 0
