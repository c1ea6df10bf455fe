"""The output folder: every path below it is walked without following a symbolic link.

Each step from one folder into the next is an ``openat`` with ``O_NOFOLLOW``, so that no link that lies in
the output folder, whoever put it there and whenever, leads a write out of it. (Comparing resolved paths
beforehand would leave a moment between the look and the use.) The output folder itself may be a link: it
is the administrator's choice. No descriptor of a folder is kept, so the output folder may be removed
while the daemon runs.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from errno import EMFILE, ENFILE
from pathlib import Path, PurePosixPath

FOLDER_MODE = 0o770  # less the umask, as the genuine relay daemon's
FILE_MODE = 0o660

_INTO = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
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
        os.close(self._walk(path.parts, made))
        return made

    def create(self, path: PurePosixPath) -> int:
        """Make an empty file, with the folders on the way to it, and return its descriptor.

        A file that had the name before is unlinked: who reads it keeps it.
        """
        *above, name = path.parts
        folder = self._walk(above, [])
        try:
            try:
                return self._open(name, _CREATE, folder)
            except FileExistsError:
                self._unlink(name, folder)
                return self._open(name, _CREATE, folder)
        finally:
            os.close(folder)

    def require(self, path: PurePosixPath) -> None:
        """See that a folder is there."""
        os.close(self._walk(path.parts))

    def open(self, path: PurePosixPath) -> int:
        """Open a file that is there, and return its descriptor."""
        folder = self._walk(path.parent.parts)
        try:
            return self._open(path.name, _AGAIN, folder)
        finally:
            os.close(folder)

    def names(self, path: PurePosixPath) -> list[str]:
        """Return what lies in a folder; nothing where there is none."""
        try:
            folder = self._walk(path.parts)
        except FileNotFoundError:
            return []
        try:
            readable = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
        finally:
            os.close(folder)
        try:
            return os.listdir(readable)  # noqa: PTH208, by its descriptor
        finally:
            os.close(readable)

    def has(self, path: PurePosixPath) -> bool:
        """Tell whether there is a file or folder of that name."""
        try:
            folder = self._walk(path.parent.parts)
        except (FileNotFoundError, NotADirectoryError):
            return False
        try:
            os.stat(path.name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return False
        finally:
            os.close(folder)
        return True

    def rename(self, old: PurePosixPath, new: PurePosixPath) -> None:
        """Move a file or folder; the folders on the way to its new place are made."""
        source = self._walk(old.parent.parts)
        try:
            target = self._walk(new.parent.parts, [])
            try:
                os.rename(old.name, new.name, src_dir_fd=source, dst_dir_fd=target)
            finally:
                os.close(target)
        finally:
            os.close(source)

    def replace(self, folder: PurePosixPath, old: str, new: str) -> None:
        """Give a file another name in its folder, which another one may have had: who reads that keeps it."""
        where = self._walk(folder.parts)
        try:
            with suppress(FileNotFoundError):
                self._deleting(os.stat(new, dir_fd=where, follow_symlinks=False))
            os.replace(old, new, src_dir_fd=where, dst_dir_fd=where)
        finally:
            os.close(where)

    def unlink(self, path: PurePosixPath, names: Iterable[str]) -> None:
        """Remove files of a folder; that one is gone already is no error."""
        with suppress(FileNotFoundError):
            folder = self._walk(path.parts)
            try:
                for name in names:
                    self._unlink(name, folder)
            finally:
                os.close(folder)

    def remove_empty(self, path: PurePosixPath) -> None:
        """Remove a folder if nothing is in it; that it is not so, or gone, is no error."""
        with suppress(OSError):
            folder = self._walk(path.parent.parts)
            try:
                os.rmdir(path.name, dir_fd=folder)
            finally:
                os.close(folder)

    def _walk(self, names: Sequence[str], made: list[PurePosixPath] | None = None) -> int:
        """Walk to a folder, and return a descriptor of it, which the caller closes.

        Where ``made`` is a list, what is missing is made, and noted there.
        """
        try:
            here = self._open(self.root, _INTO & ~os.O_NOFOLLOW)
        except FileNotFoundError:
            if made is None:
                raise
            self.root.mkdir(FOLDER_MODE, parents=True, exist_ok=True)
            here = self._open(self.root, _INTO & ~os.O_NOFOLLOW)
        try:
            for depth, name in enumerate(names, 1):
                above = here
                try:
                    here = self._open(name, _INTO, above)
                except FileNotFoundError:
                    if made is None:
                        raise
                    with suppress(FileExistsError):  # somebody else made it meanwhile
                        os.mkdir(name, FOLDER_MODE, dir_fd=above)
                        made.append(PurePosixPath(*names[:depth]))
                    here = self._open(name, _INTO, above)
                os.close(above)
        except BaseException:
            os.close(above)
            raise
        return here

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
