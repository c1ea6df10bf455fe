"""The journal of a session that outlives its connection: a line for each record of `Kept`.

It lies in `FOLDER` of the output folder, and is gone with the session. A line is whole or it does not count,
so a daemon may be killed at any moment. That the machine is, is another thing: nothing is forced to the disk.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from re import compile as regex

from lttngnet.log import Logger
from lttngnet.relayd.store.files import File
from lttngnet.relayd.store.kept import BadRecord, Kept, Record
from lttngnet.relayd.store.pool import Pool

FOLDER = PurePosixPath(".lttngnet-sessions")
NAME = regex(r"[0-9a-f]{32}")
LIMIT = 1 << 26  # bytes that are read again
REWRITTEN = 1 << 20  # bytes from which on a journal is written anew, if that makes it much shorter
DRAFT = ".new"


class Journal:
    """Writes down what changes.

    Args:
        pool: of open files.
        name: of the file.
        kept: what is known so far.

    Attributes:
        kept: what the journal says.
    """

    log = Logger()

    def __init__(self, pool: Pool, name: str, kept: Kept) -> None:
        self.kept = kept
        self._pool = pool
        self._path = FOLDER / name
        self._pending = bytearray()  # lines that are not written
        self._is_gathering = False
        self._limit = REWRITTEN
        self._file = self._anew()

    @property
    def identity(self) -> str:
        """Of the session, in hexadecimal digits."""
        return str(self.kept.head[1])

    @property
    def digest(self) -> str:
        """Of the secret that a peer has to know."""
        return str(self.kept.head[2])

    def note(self, *record: object) -> None:
        """Write a record down, now or with those that `gather` gathers. Raises OSError.

        One that cannot be written now goes before the next one.
        """
        self.kept.apply(list(record))
        self._pending += _line(list(record))
        if not self._is_gathering:
            self.flush()

    def gather(self) -> None:
        """Let the records that come be written together, by `flush`."""
        self._is_gathering = True

    def flush(self) -> None:
        """Write what was gathered. Raises OSError."""
        self._is_gathering = False
        if self._file.size + len(self._pending) > self._limit:
            old, self._file = self._file, self._anew()
            old.close()
            self._pending.clear()
            self._limit = max(REWRITTEN, 4 * self._file.size)
        elif self._pending:
            self._file.append(bytes(self._pending))
            self._pending.clear()

    def done(self, number: int, answer: bytes) -> None:
        """A numbered command was carried out, with all that was gathered. Raises OSError."""
        self.note("done", number, answer.hex())
        self.flush()

    def close(self) -> None:
        """Let go of the file, which stays. Raises OSError."""
        self._file.close()

    def remove(self) -> None:
        """Let go of the file, and remove it: the session cannot be resumed any more. Raises OSError."""
        self._pool.tree.unlink(FOLDER, [self._path.name])
        self._file.close()
        self._pool.tree.remove_empty(FOLDER)

    def _anew(self) -> File:
        """Write all that is known to a file that takes the place of the present one."""
        where = [FOLDER / f"{self._path.name}{DRAFT}"]
        file = File(self._pool.create(lambda: where[0]))
        try:
            piece = bytearray()
            for record in self.kept.records():
                piece += _line(record)
                if len(piece) > 1 << 16:
                    file.append(bytes(piece))
                    piece.clear()
            file.append(bytes(piece))
            self._pool.tree.rename(where[0], self._path)
            where[0] = self._path
        except OSError:
            file.close()
            raise
        return file


def _line(record: Record) -> bytes:
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"


def found(pool: Pool, note: Callable[[str, Exception], None]) -> Iterator[tuple[str, Kept]]:
    """Yield the journals in the output folder: name, and what it says.

    Args:
        pool: of open files.
        note: told of each that cannot be understood, which stays as it is.
    """
    for name in sorted(pool.tree.names(FOLDER)):
        if not NAME.fullmatch(name):
            continue
        path = FOLDER / name
        try:
            file = File(pool.adopt(lambda path=path: path))  # type: ignore[misc]
            try:
                size = file.measure()
                if size > LIMIT:
                    raise BadRecord(f"it has {size} bytes, the limit is {LIMIT}")
                yield name, read(file.read(0, size))
            finally:
                file.close()
        except (BadRecord, OSError) as problem:
            note(name, problem)


def read(data: bytes) -> Kept:
    """Return what a journal says.

    Raises:
        BadRecord: a line is none of ours.
    """
    kept, at = Kept(), 0
    while (end := data.find(b"\n", at)) >= 0:
        try:
            record = json.loads(data[at:end])
        except (ValueError, RecursionError):
            raise BadRecord(f"{data[at:end][:80]!r} is no record") from None
        kept.apply(record)
        at = end + 1
    if not kept.head:
        raise BadRecord("there is no session in it")
    return kept
