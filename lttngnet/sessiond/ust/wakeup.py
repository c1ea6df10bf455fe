"""The page of shared memory on which applications sleep that found no session daemon.

It holds an int32: 1 while there is a daemon. An application that could not connect waits (futex) until that
changes, then connects.
"""

import ctypes
import mmap
import os
import platform
import stat
import struct
from pathlib import Path

FOLDER = Path("/dev/shm")
NAME = "lttng-ust-wait-8"
WORD = struct.Struct("=i")

_ROOT_MODE = 0o664  # everybody may read it, and so sleep on it; who can write it could wake or silence all
_ROOT_MODE_AT_FIRST = 0o666  # an application may be about to make it: it must be able to open ours
_USER_MODE = 0o660
_FUTEX_WAKE = 1
_EVERYBODY = 0x7FFFFFFF
_FUTEX = {
    "x86_64": 202,
    "aarch64": 98,
    "riscv64": 98,
    "s390x": 238,
    "ppc64le": 221,
    "i686": 240,
    "armv7l": 240,
}
"""Number of the system call: there is no function in C's library for it."""


def page_path(uid: int) -> Path:
    """Return the page that applications look at for the daemon of that user; root's is for all."""
    return FOLDER / (NAME if uid == 0 else f"{NAME}-{uid}")


class WakeupPage:
    """The page.

    Args:
        path: of it; it is made if it is not there.
        uid: of the daemon.

    Raises:
        OSError: it cannot be made or opened, or is somebody else's.
    """

    def __init__(self, path: Path, uid: int) -> None:
        self._descriptor = _open(path, _ROOT_MODE_AT_FIRST if uid == 0 else _USER_MODE)
        try:
            _take(self._descriptor, path, uid)
        except BaseException:
            self.close()
            raise

    def announce(self) -> None:
        """There is a daemon: wake everybody who waits for one."""
        self._store(1)
        # The memory is never touched here: whoever may write the file could cut it, which would kill us.
        with mmap.mmap(self._descriptor, mmap.PAGESIZE) as page:
            word = ctypes.c_int32.from_buffer(page)
            try:
                _wake(ctypes.addressof(word))
            finally:
                del word

    def withdraw(self) -> None:
        """There is no daemon any more: who comes from now on waits."""
        self._store(0)

    def close(self) -> None:
        """Let go of it. What it says stays."""
        os.close(self._descriptor)

    def _store(self, value: int) -> None:
        os.ftruncate(self._descriptor, mmap.PAGESIZE)
        os.pwrite(self._descriptor, WORD.pack(value), 0)


def _open(path: Path, mode: int) -> int:
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    umask = os.umask(0)
    try:
        return os.open(path, flags | os.O_CREAT, mode)
    except PermissionError:
        # fs.protected_regular: in a sticky folder not even root opens another's file with O_CREAT.
        return os.open(path, flags)
    finally:
        os.umask(umask)


def _take(descriptor: int, path: Path, uid: int) -> None:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(f"{path} is no file")
    if uid == 0:
        os.fchown(descriptor, 0, 0)
        os.fchmod(descriptor, _ROOT_MODE)
    elif status.st_uid != uid:
        raise OSError(f"{path} belongs to another user")
    else:
        os.fchmod(descriptor, _USER_MODE)


def _wake(address: int) -> None:
    """Wake all that sleep on a word of shared memory; where we cannot, they are up within 5 s or never."""
    number = _FUTEX.get(platform.machine())
    if number is None:
        return
    library = ctypes.CDLL(None, use_errno=True)
    library.syscall(ctypes.c_long(number), ctypes.c_void_p(address), _FUTEX_WAKE, _EVERYBODY, None, None, 0)
