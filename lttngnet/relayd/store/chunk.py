"""Trace chunks: the folders that the streams of a session write to, one after the other.

A chunk is shared by all connections of one session of a session daemon. While anything refers to it, it
exists; when the last reference goes, what its close command says is done. One that is to be deleted is set
aside under a name of its own, and exists until the last of its files is gone.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePosixPath
from uuid import UUID, uuid4

from lttngnet.log import Logger
from lttngnet.relayd.store.layout import chunk_datetime
from lttngnet.relayd.store.pool import Descriptor, Pool
from lttngnet.relayd.turns import Rounds
from lttngnet.wire.relay import CloseCommand

DELETED_AT_ONCE = 8  # files
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
        gone: told when the last reference goes, and what is left of the chunk is to be deleted.
        is_there: whether the folder was made before.

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
        gone: Callable[["Chunk", Iterator[None]], None],
        is_there: bool = False,
    ) -> None:
        self.number = number
        self._is_found = is_there
        self.override = override
        self._ended: str | None = None  # when it was closed
        self._command: CloseCommand | None = None
        self._pool = pool
        self._tree = pool.tree
        self._session = session
        self._gone = gone
        self._users = 0
        self._began = chunk_datetime(created)
        self._files: dict[PurePosixPath, set[str]] = {}  # names, by folder
        self.folder = PurePosixPath(self.name) if folder is None else folder
        self._place = session / self.folder
        if self.folder != ROOT and not is_there:
            self._tree.make(self._place)

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
        descriptor = self._pool.create(lambda: self._place / path)
        self._files.setdefault(path.parent, set()).add(path.name)
        return descriptor

    def replace(self, descriptor: Descriptor, old: PurePosixPath, name: str) -> None:
        """Give a file of the chunk another name, in place of the one that has it. Raises OSError."""
        new = old.with_name(name)
        self._tree.replace(self._place / old.parent, old.name, name)
        descriptor.where = lambda: self._place / new
        self._files[old.parent].discard(old.name)
        self._files[old.parent].add(name)

    def remove(self, path: PurePosixPath) -> None:
        """Delete a file of the chunk. Raises OSError."""
        self._tree.unlink(self._place / path.parent, [path.name])
        self._files[path.parent].discard(path.name)

    def adopt(self, path: PurePosixPath) -> Descriptor:
        """Return the descriptor of a file of the chunk that is there already. Raises OSError."""
        self.has(path)
        return self._pool.adopt(lambda: self._place / path)

    def unlink(self, path: PurePosixPath) -> None:
        """Remove a file of the chunk; that it is gone is no error. Raises OSError."""
        self._tree.unlink(self._place / path.parent, [path.name])

    def has(self, path: PurePosixPath) -> None:
        """Know of a file that was made in it before."""
        self._files.setdefault(path.parent, set()).add(path.name)

    def complete_move(self, was: PurePosixPath) -> None:
        """Do what is left of a move from another folder: all, a part, or nothing. Raises OSError."""
        old, new = self._session / was, self._place
        if ROOT in (was, self.folder):
            for name in sorted(self._tops()):
                if self._tree.has(old / name) and not self._tree.has(new / name):
                    self._tree.make(new)
                    self._tree.rename(old / name, new / name)
            if was != ROOT:
                self._tree.remove_empty(old)
        elif self._tree.has(old) and not self._tree.has(new):
            self._tree.rename(old, new)

    @property
    def is_there(self) -> bool:
        """Whether its folder is."""
        return self._tree.has(self._place)

    def require(self, path: PurePosixPath) -> None:
        """See that a folder of the chunk is there, which somebody else may have removed. Raises OSError."""
        self._tree.require(self._place / path)

    def open(self, path: PurePosixPath) -> int:
        """Open a file of the chunk for a viewer, who closes the descriptor. Raises OSError."""
        return self._tree.open(self._place / path)

    @property
    def is_cleared(self) -> bool:
        """Whether it is deleted, or will be as soon as nothing refers to it any more."""
        return self._command is CloseCommand.DELETE

    def move(self, folder: PurePosixPath) -> None:
        """Go to another folder; to be there already is no error."""
        if folder == self.folder:
            return
        old, new = self._place, self._session / folder
        if ROOT in (folder, self.folder):  # the session's folder has more in it than this chunk
            if folder != ROOT:
                self._tree.make(new)
            for top in sorted(self._tops()):
                if not self._is_found or self._tree.has(old / top):
                    self._tree.rename(old / top, new / top)
            if self.folder != ROOT:
                self._tree.remove_empty(old)
        else:
            self._tree.rename(old, new)
        self.folder, self._place = folder, new

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
        if self._users:
            return
        if self._command is CloseCommand.DELETE:
            with suppress(OSError):  # what somebody else has moved is deleted as far as it is there
                self.move(PurePosixPath(f".tmp_deleted_{uuid4().hex}"))
            self._gone(self, self._delete())
        else:
            self._gone(self, iter(()))
            if self._command is CloseCommand.MOVE_TO_COMPLETED:
                self.move(ARCHIVES / self.closed_name)

    def _tops(self) -> set[str]:
        """Return the names of the files and folders that lie in the chunk's folder itself."""
        tops = {folder.parts[0] for folder in self._files if folder != ROOT}
        return tops | self._files.get(ROOT, set())

    def _delete(self) -> Iterator[None]:
        home = self._place
        for folder, names in self._files.items():
            left = iter(names)
            while some := list(islice(left, DELETED_AT_ONCE)):
                self._tree.unlink(home / folder, some)
                yield
        folders = {above for folder in self._files for above in (folder, *folder.parents)} - {ROOT}
        for folder in sorted(folders, key=lambda folder: -len(folder.parts)):
            self._tree.remove_empty(home / folder)
            yield
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
    """The trace chunks that something refers to.

    Args:
        pool: of open files.
        rounds: gives the turns in which chunks are deleted.

    Attributes:
        rotating: the parts of sessions that are between two chunks, each with its session.
    """

    log = Logger()

    def __init__(self, pool: Pool, rounds: Rounds) -> None:
        self.rotating: dict[object, Tracing] = {}
        self._pool = pool
        self._rounds = rounds
        self._deleting: Counter[tuple[Tracing, int]] = Counter()
        self._chunks: dict[tuple[Tracing, int], Chunk] = {}

    def find(self, tracing: Tracing, number: int) -> Chunk | None:
        """Return a chunk of a session; None if nothing refers to it."""
        return self._chunks.get((tracing, number))

    def make(
        self,
        tracing: Tracing,
        number: int,
        created: int,
        override: str,
        folder: PurePosixPath | None,
        is_there: bool = False,
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
            lambda chunk, rest: self._gone(tracing, chunk, rest),
            is_there,
        )
        self._chunks[tracing, number] = chunk
        return chunk

    def exists(self, tracing: Tracing, number: int) -> bool:
        """Tell whether anything refers to a chunk, or something of it is still to be deleted."""
        return (tracing, number) in self._chunks or (tracing, number) in self._deleting

    def _gone(self, tracing: Tracing, chunk: Chunk, rest: Iterator[None]) -> None:
        which = tracing, chunk.number
        del self._chunks[which]
        self._deleting[which] += 1
        self._rounds.do(self._delete(which, rest))

    def _delete(self, which: tuple[Tracing, int], rest: Iterator[None]) -> Iterator[None]:
        try:
            yield from rest
        except OSError as problem:
            self.log.error("Chunk {number} is not deleted: {problem}", number=which[1], problem=problem)
        finally:
            self._deleting[which] -= 1
            if not self._deleting[which]:
                del self._deleting[which]
