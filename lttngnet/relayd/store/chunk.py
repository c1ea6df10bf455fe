"""Trace chunks: the folders that the streams of a session write to, one after the other.

A chunk is shared by all connections of one session of a session daemon. While anything refers to it, it
exists; when the last reference goes, what its close command says is done.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from uuid import UUID

from lttngnet.relayd.store.layout import chunk_datetime
from lttngnet.relayd.store.pool import Descriptor, Pool
from lttngnet.wire.relay import CloseCommand

ROOT = PurePosixPath()  # the folder of the session itself
OLD = PurePosixPath(".tmp_old_chunk")
NEW = PurePosixPath(".tmp_new_chunk")
ARCHIVES = PurePosixPath("archives")


class Chunk:
    """A trace chunk on disk.

    Args:
        pool: of open files, in the output folder.
        session: folder of the session in it.
        number: see below.
        created: seconds since the epoch.
        override: see below.
        folder: where it begins; None for a folder that is named as the chunk.
        gone: told when the last reference goes.

    Attributes:
        number: as the session daemon counts.
        override: name of its folder, where that is not made of those two (snapshots); else empty.
        folder: where it lies now, relative to the session's folder.
    """

    def __init__(
        self,
        pool: Pool,
        session: PurePosixPath,
        number: int,
        created: int,
        override: str,
        folder: PurePosixPath | None,
        gone: Callable[["Chunk"], None],
    ) -> None:
        self.number = number
        self.override = override
        self._ended: str | None = None  # when it was closed
        self._command: CloseCommand | None = None
        self._pool = pool
        self._tree = pool.tree
        self._session = session
        self._gone = gone
        self._users = 0
        self._began = chunk_datetime(created)
        self._files: set[PurePosixPath] = set()
        self.folder = PurePosixPath(self.name) if folder is None else folder
        if self.folder != ROOT:
            self._tree.make(session / self.folder)

    @property
    def name(self) -> str:
        """What its folder is called while it is open, if it is not the session's own or on its way."""
        return self.override or f"{self._began}-{self.number}"

    @property
    def closed_name(self) -> str:
        """What its folder is called among the archives."""
        if self.override or self._ended is None:
            return self.name
        return f"{self._began}-{self._ended}-{self.number}"

    def create(self, path: PurePosixPath) -> Descriptor:
        """Make a file in the chunk and return its descriptor. Raises OSError."""
        descriptor = self._pool.create(lambda: self._session / self.folder / path)
        self._files.add(path)
        return descriptor

    def require(self, path: PurePosixPath) -> None:
        """See that a folder of the chunk is there, which somebody else may have removed. Raises OSError."""
        self._tree.require(self._session / self.folder / path)

    def open(self, path: PurePosixPath) -> int:
        """Open a file of the chunk for a viewer, who closes the descriptor. Raises OSError."""
        return self._tree.open(self._session / self.folder / path)

    @property
    def is_cleared(self) -> bool:
        """Whether it is deleted, or will be as soon as nothing refers to it any more."""
        return self._command is CloseCommand.DELETE

    def move(self, folder: PurePosixPath) -> None:
        """Go to another folder; to be there already is no error."""
        if folder == self.folder:
            return
        old, new = self._session / self.folder, self._session / folder
        if ROOT in (folder, self.folder):  # the session's folder has more in it than this chunk
            if folder != ROOT:
                self._tree.make(new)
            for top in sorted({file.parts[0] for file in self._files}):
                self._tree.rename(old / top, new / top)
            if self.folder != ROOT:
                self._tree.remove_empty(old)
        else:
            self._tree.rename(old, new)
        self.folder = folder

    def close(self, closed: int, command: CloseCommand | None) -> None:
        """Say what becomes of the chunk when the last reference goes. Raises Refusal.

        Args:
            closed: seconds since the epoch.
            command: None leaves it where it is.
        """
        self._ended = chunk_datetime(closed)
        self._command = command

    def acquire(self) -> "Chunk":
        """Refer to the chunk from now on."""
        self._users += 1
        return self

    def release(self) -> None:
        """Refer to the chunk no more."""
        self._users -= 1
        if not self._users:
            self._gone(self)
            if self._command is CloseCommand.MOVE_TO_COMPLETED:
                self.move(ARCHIVES / self.closed_name)
            elif self._command is CloseCommand.DELETE:
                self._delete()

    def _delete(self) -> None:
        home = self._session / self.folder
        names: dict[PurePosixPath, list[str]] = {}
        for file in self._files:
            names.setdefault(file.parent, []).append(file.name)
        for folder, those in names.items():
            self._tree.unlink(home / folder, those)
        folders = {folder for file in self._files for folder in file.parents} - {ROOT}
        for folder in sorted(folders, key=lambda folder: -len(folder.parts)):
            self._tree.remove_empty(home / folder)
        if self.folder != ROOT:
            self._tree.remove_empty(home)


@dataclass(frozen=True)
class Tracing:
    """A session as its session daemon knows it; each of its connections has a relay session here.

    Attributes:
        sessiond: identity of the session daemon's process.
        session: its own number for the session.
        path: folder of the session here. In the identity, so that no stranger gets into another's folder.
    """

    sessiond: UUID
    session: int
    path: PurePosixPath


class Chunks:
    """The trace chunks that something refers to."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._chunks: dict[tuple[Tracing, int], Chunk] = {}

    def find(self, tracing: Tracing, number: int) -> Chunk | None:
        """Return a chunk of a session; None if nothing refers to it."""
        return self._chunks.get((tracing, number))

    def make(
        self, tracing: Tracing, number: int, created: int, override: str, folder: PurePosixPath | None
    ) -> Chunk:
        """Make a chunk of a session, in a folder that is named as the chunk where none is given.

        Whoever is given it has to `Chunk.acquire` it. Raises OSError.
        """
        chunk = Chunk(
            self._pool,
            tracing.path,
            number,
            created,
            override,
            folder,
            lambda chunk: self._forget(tracing, chunk),
        )
        self._chunks[tracing, number] = chunk
        return chunk

    def _forget(self, tracing: Tracing, chunk: Chunk) -> None:
        del self._chunks[tracing, chunk.number]
