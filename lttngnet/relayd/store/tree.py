"""The output folder: every path below it is walked without following a symbolic link.

Each step from one folder into the next is an ``openat`` with ``O_NOFOLLOW``, so that no link that lies in
the output folder, whoever put it there and whenever, leads a write out of it. (Comparing resolved paths
beforehand would leave a moment between the look and the use.) The output folder itself may be a link: it
is the administrator's choice. No descriptor of a folder is kept, so the output folder may be removed
while the daemon runs.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from errno import EMFILE, ENFILE
from pathlib import Path, PurePosixPath

FOLDER_MODE = 0o770  # less the umask, as the genuine relay daemon's
FILE_MODE = 0o660

_INTO = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_AGAIN = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = _AGAIN | os.O_CREAT | os.O_EXCL


class Tree:
    """The files and folders below ``root``; all paths are relative to it. Everything raises OSError.

    Args:
        root: see above.
        make_room: lets go of a descriptor where there are too many; returns whether it could.
        deleting: told of each file that is about to be unlinked.
    """

    def __init__(
        self,
        root: Path,
        make_room: Callable[[], bool] = lambda: False,
        deleting: Callable[[os.stat_result], None] = lambda found: None,
    ) -> None:
        self.root = root
        self._make_room = make_room
        self._deleting = deleting

    def make(self, path: PurePosixPath) -> list[PurePosixPath]:
        """Make a folder and those on the way to it; return the ones that were missing, outermost first."""
        made: list[PurePosixPath] = []
        with self._folder(path, made):
            return made

    def create(self, path: PurePosixPath) -> int:
        """Make an empty file, with the folders on the way to it, and return its descriptor.

        A file that had the name before is unlinked: who reads it keeps it.
        """
        with self._folder(path.parent, []) as folder:
            self._unlink(path.name, folder)
            return self._open(path.name, _CREATE, folder)

    def require(self, path: PurePosixPath) -> None:
        """See that a folder is there."""
        with self._folder(path):
            pass

    def open(self, path: PurePosixPath) -> int:
        """Open a file that is there, and return its descriptor."""
        with self._folder(path.parent) as folder:
            return self._open(path.name, _AGAIN, folder)

    def rename(self, old: PurePosixPath, new: PurePosixPath) -> None:
        """Move a file or folder; the folders on the way to its new place are made."""
        with self._folder(old.parent) as source, self._folder(new.parent, []) as target:
            os.rename(old.name, new.name, src_dir_fd=source, dst_dir_fd=target)

    def unlink(self, path: PurePosixPath, names: Iterable[str]) -> None:
        """Remove files of a folder; that one is gone already is no error."""
        with suppress(FileNotFoundError), self._folder(path) as folder:
            for name in names:
                self._unlink(name, folder)

    def remove_empty(self, path: PurePosixPath) -> None:
        """Remove a folder if nothing is in it; that it is not so, or gone, is no error."""
        with suppress(OSError), self._folder(path.parent) as folder:
            os.rmdir(path.name, dir_fd=folder)

    @contextmanager
    def _folder(self, path: PurePosixPath, made: list[PurePosixPath] | None = None) -> Iterator[int]:
        """Walk to a folder; where ``made`` is a list, make what is missing and note it there."""
        if made is not None:
            self.root.mkdir(FOLDER_MODE, parents=True, exist_ok=True)
        here = self._open(self.root, _INTO & ~os.O_NOFOLLOW)
        try:
            for depth, name in enumerate(path.parts, 1):
                if made is not None:
                    with suppress(FileExistsError):
                        os.mkdir(name, FOLDER_MODE, dir_fd=here)
                        made.append(PurePosixPath(*path.parts[:depth]))
                above, here = here, self._open(name, _INTO, here)
                os.close(above)
            yield here
        finally:
            os.close(here)

    def _open(self, name: str | Path, flags: int, folder: int | None = None) -> int:
        while True:
            try:
                return os.open(name, flags, FILE_MODE, dir_fd=folder)
            except OSError as problem:
                if problem.errno not in (EMFILE, ENFILE) or not self._make_room():
                    raise

    def _unlink(self, name: str, folder: int) -> None:
        with suppress(FileNotFoundError):
            self._deleting(os.stat(name, dir_fd=folder, follow_symlinks=False))
            os.unlink(name, dir_fd=folder)
