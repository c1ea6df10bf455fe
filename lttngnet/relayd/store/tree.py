"""The output folder: every path below it is walked without following a symbolic link.

Each step from one folder into the next is an ``openat`` with ``O_NOFOLLOW``, so that no link that lies in
the output folder, whoever put it there and whenever, leads a write out of it. (Comparing resolved paths
beforehand would leave a moment between the look and the use.) The output folder itself may be a link: it
is the administrator's choice. No descriptor of a folder is kept, so the output folder may be removed
while the daemon runs.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

FOLDER_MODE = 0o770  # less the umask, as the genuine relay daemon's
FILE_MODE = 0o660

_INTO = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Tree:
    """The files and folders below ``root``; all paths are relative to it. Everything raises OSError."""

    def __init__(self, root: Path) -> None:
        self.root = root

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
            with suppress(FileNotFoundError):
                os.unlink(path.name, dir_fd=folder)
            return os.open(path.name, _CREATE, FILE_MODE, dir_fd=folder)

    def rename(self, old: PurePosixPath, new: PurePosixPath) -> None:
        """Move a file or folder; the folders on the way to its new place are made."""
        with self._folder(old.parent) as source, self._folder(new.parent, []) as target:
            os.rename(old.name, new.name, src_dir_fd=source, dst_dir_fd=target)

    def unlink(self, path: PurePosixPath) -> None:
        """Remove a file; that it is gone already is no error."""
        with suppress(FileNotFoundError), self._folder(path.parent) as folder:
            os.unlink(path.name, dir_fd=folder)

    def remove_empty(self, path: PurePosixPath) -> None:
        """Remove a folder if nothing is in it; that it is not so, or gone, is no error."""
        with suppress(OSError), self._folder(path.parent) as folder:
            os.rmdir(path.name, dir_fd=folder)

    @contextmanager
    def _folder(self, path: PurePosixPath, made: list[PurePosixPath] | None = None) -> Iterator[int]:
        """Walk to a folder; where ``made`` is a list, make what is missing and note it there."""
        if made is not None:
            self.root.mkdir(FOLDER_MODE, parents=True, exist_ok=True)
        here = os.open(self.root, _INTO & ~os.O_NOFOLLOW)
        try:
            for depth, name in enumerate(path.parts, 1):
                if made is not None:
                    with suppress(FileExistsError):
                        os.mkdir(name, FOLDER_MODE, dir_fd=here)
                        made.append(PurePosixPath(*path.parts[:depth]))
                above, here = here, os.open(name, _INTO, dir_fd=here)
                os.close(above)
            yield here
        finally:
            os.close(here)
