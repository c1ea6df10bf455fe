"""A bounded number of open files, for any number of streams.

Thousands of streams are written to under the 1024 descriptors that a process commonly may have. A file is
opened when something is written to it; where that makes too many, the one that was used least recently is
closed, and opened again when its turn comes. It is found again by its path, which its trace chunk knows
wherever the chunk has moved meanwhile, and known again by its inode.

A file that this daemon unlinks while a stream still writes to it (another stream of that name, an index
whose trace file begins anew) cannot be opened again: it stays open. At most a quarter of the pool is for
these. The oldest beyond that is let go, and what its stream writes from then on is dropped, which nobody
could have read.
"""

import os
import resource
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from errno import EINVAL, ESTALE
from pathlib import Path, PurePosixPath
from stat import S_ISREG

from lttngnet.relayd.store.tree import Tree

FEWEST = 16  # files, however few descriptors there are


def descriptor_limit() -> int:
    """Return how many descriptors this process may have."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 20 if soft == resource.RLIM_INFINITY else soft


def open_files_limit(wanted: int | None = None) -> int:
    """Return how many files may be open at once: as many as wanted, up to half of all descriptors.

    The other half is for connections.
    """
    half = descriptor_limit() // 2
    return max(FEWEST, half if wanted is None else min(wanted, half))


class Descriptor:
    """The descriptor of a file, there whenever it is asked for."""

    __slots__ = ("_pool", "inode", "is_deleted", "open", "problem", "recall", "where")

    def __init__(self, pool: "Pool", where: Callable[[], PurePosixPath], number: int) -> None:
        found = os.fstat(number)
        self.where = where
        self.open = number  # -1 while it is closed
        self.inode = (found.st_dev, found.st_ino)
        self.is_deleted = False
        self.problem: OSError | None = None  # met when it was closed to make room
        self.recall: Callable[[], None] | None = None  # for who uses the number
        self._pool = pool

    def number(self) -> int:
        """Return it, for use at once; -1 where nothing of the file is left. Raises OSError."""
        return self._pool.use(self)

    def close(self) -> None:
        """Let go of the file for good. Raises OSError where what was written is lost."""
        self._pool.drop(self)


class Pool:
    """The files of all streams.

    Args:
        root: the output folder.
        limit: files that are open at once.

    Attributes:
        tree: the output folder; its own descriptors take the place of files where there are too many.
    """

    def __init__(self, root: Path, limit: int) -> None:
        self.tree = Tree(root, self._make_room, self._deleting)
        self._limit = limit
        self._open: OrderedDict[Descriptor, None] = OrderedDict()  # least recently used first
        self._deleted: OrderedDict[Descriptor, None] = OrderedDict()  # open and unlinked, oldest first
        self._by_inode: dict[tuple[int, int], Descriptor] = {}

    def __len__(self) -> int:
        """Return how many files are open."""
        return len(self._open) + len(self._deleted)

    def create(self, where: Callable[[], PurePosixPath]) -> Descriptor:
        """Make an empty file. Raises OSError.

        Args:
            where: its path, now and whenever it is asked for.
        """
        self._keep_within(self._limit - 1)
        descriptor = Descriptor(self, where, self.tree.create(where()))
        self._open[descriptor] = None
        self._by_inode[descriptor.inode] = descriptor
        return descriptor

    def adopt(self, where: Callable[[], PurePosixPath]) -> Descriptor:
        """Open a file that is there, to go on with it. Raises OSError."""
        self._keep_within(self._limit - 1)
        number = self.tree.open(where())
        descriptor = Descriptor(self, where, number)
        is_regular = S_ISREG(os.fstat(number).st_mode)
        if not is_regular or descriptor.inode in self._by_inode:
            os.close(number)
            raise OSError(EINVAL, "it is no file of its own", str(where()))
        self._open[descriptor] = None
        self._by_inode[descriptor.inode] = descriptor
        return descriptor

    def use(self, descriptor: Descriptor) -> int:
        """Return the number of a descriptor, opened if need be; -1 if it cannot be. Raises OSError."""
        if descriptor.problem is not None:
            raise descriptor.problem
        if not descriptor.is_deleted:
            if descriptor.open < 0:
                self._reopen(descriptor)
            self._open.move_to_end(descriptor)
        return descriptor.open

    def drop(self, descriptor: Descriptor) -> None:
        """Let go of a file. Raises OSError where what was written is lost."""
        self._open.pop(descriptor, None)
        self._deleted.pop(descriptor, None)
        if self._by_inode.get(descriptor.inode) is descriptor:
            del self._by_inode[descriptor.inode]
        self._close(descriptor)
        if descriptor.problem is not None:
            raise descriptor.problem

    def close(self) -> None:
        """Close all files, for the daemon ends."""
        for descriptor in (*self._open, *self._deleted):
            self._close(descriptor)
        self._open.clear()
        self._deleted.clear()

    def _reopen(self, descriptor: Descriptor) -> None:
        self._keep_within(self._limit - 1)
        path = descriptor.where()
        number = self.tree.open(path)
        found = os.fstat(number)
        if (found.st_dev, found.st_ino) != descriptor.inode:
            os.close(number)
            raise OSError(ESTALE, "somebody put another file in its place", str(path))
        descriptor.open = number
        self._open[descriptor] = None

    def _deleting(self, found: os.stat_result) -> None:
        """Keep a file open that is about to be unlinked, if a stream writes to it."""
        descriptor = self._by_inode.pop((found.st_dev, found.st_ino), None)
        if descriptor is None:
            return
        with suppress(OSError):  # it is not where it was: somebody else's doing
            self.use(descriptor)
        descriptor.is_deleted = True
        if descriptor.open < 0:
            return
        del self._open[descriptor]
        self._deleted[descriptor] = None
        if len(self._deleted) > max(1, self._limit // 4):
            self._close(self._deleted.popitem(last=False)[0])

    def _keep_within(self, limit: int) -> None:
        while len(self) > limit and self._make_room():
            pass

    def _make_room(self) -> bool:
        """Close the file that was used least recently; return whether there was one."""
        if not self._open:
            return False
        self._close(self._open.popitem(last=False)[0])
        return True

    def _close(self, descriptor: Descriptor) -> None:
        recall, descriptor.recall = descriptor.recall, None
        if recall is not None:
            recall()
        number, descriptor.open = descriptor.open, -1
        if number >= 0:
            try:
                os.close(number)
            except OSError as problem:  # for its stream, whenever that writes again
                descriptor.problem = problem
