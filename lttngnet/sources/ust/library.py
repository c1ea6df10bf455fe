"""liblttng-ust-ctl, the library with which LTTng's own consumer daemon reads ring buffers.

Only the half that makes and reads buffers is used. Its functions are bound as they stand (cffi, ABI mode): no
compiler is needed, but nobody checks that our declarations are right. So the library is loaded by its exact
soname, which is LTTng 2.13's, and the one structure that we pass is checked for its size.

None of the library's own timers is used, so it starts no thread and sends no signal.
"""

import ctypes
import errno
import os
import signal
from functools import cache
from typing import Any, Final

from lttngnet.sources.ust.shim import shared_object

SONAME: Final = "liblttng-ust-ctl.so.5"
NEEDED: Final = "liburcu.so.8"
"""Used by the library, which does not say so."""

PACKAGES: Final = {SONAME: "liblttng-ust-ctl5", NEEDED: "liburcu8"}
"""What they are in, on Debian and Ubuntu."""

_DECLARATIONS = """
    int lttng_ust_ctl_get_nr_stream_per_channel(void);
    void *lttng_ust_ctl_create_channel(struct attributes *, const int *fds, int count);
    void lttng_ust_ctl_destroy_channel(void *channel);
    int lttng_ust_ctl_send_channel_to_sessiond(int socket, void *channel);
    int lttng_ust_ctl_channel_close_wakeup_fd(void *channel);
    int lttng_ust_ctl_channel_close_wait_fd(void *channel);

    void *lttng_ust_ctl_create_stream(void *channel, int cpu);
    void lttng_ust_ctl_destroy_stream(void *stream);
    int lttng_ust_ctl_stream_get_wait_fd(void *stream);
    int lttng_ust_ctl_stream_get_wakeup_fd(void *stream);

    void *lttng_ust_ctl_get_mmap_base(void *stream);
    int lttng_ust_ctl_get_mmap_len(void *stream, unsigned long *);
    int lttng_ust_ctl_get_max_subbuf_size(void *stream, unsigned long *);
    int lttng_ust_ctl_get_mmap_read_offset(void *stream, unsigned long *);
    int lttng_ust_ctl_get_padded_subbuf_size(void *stream, unsigned long *);
    int lttng_ust_ctl_get_next_subbuf(void *stream);
    int lttng_ust_ctl_put_next_subbuf(void *stream);

    int lttng_ust_ctl_flush_buffer(void *stream, int producer_active);
    int lttng_ust_ctl_clear_buffer(void *stream);
    int lttng_ust_ctl_get_current_timestamp(void *stream, uint64_t *);
    int lttng_ust_ctl_snapshot(void *stream);
    int lttng_ust_ctl_snapshot_sample_positions(void *stream);
    int lttng_ust_ctl_snapshot_get_consumed(void *stream, unsigned long *);
    int lttng_ust_ctl_snapshot_get_produced(void *stream, unsigned long *);
    int lttng_ust_ctl_get_subbuf(void *stream, unsigned long *);
    int lttng_ust_ctl_put_subbuf(void *stream);

    ssize_t lttng_ust_ctl_write_one_packet_to_channel(void *channel, const char *, size_t);
"""
_ATTRIBUTES = """
    struct attributes {
        int type;                   /* 0: data, a stream for each CPU; 1: metadata, one stream */
        uint64_t subbuf_size;
        uint64_t num_subbuf;
        int overwrite;
        unsigned int switch_timer;
        unsigned int read_timer;
        int output;                 /* 0: memory is mapped */
        uint32_t stream_class;
        unsigned char uuid[16];
        int64_t blocking_timeout;   /* us; -1: for ever */
    };
"""
_ATTRIBUTES_SIZE = 64

_ERRORS = {
    1024: "an error",
    1025: "no such entry",
    1026: "it exists",
    1027: "an argument is invalid",
    1028: "not permitted",
    1029: "not implemented",
}


class LibraryMissing(Exception):
    """What is needed to read ring buffers is not installed; the text says in a sentence what is."""


class LibraryError(OSError):
    """A function of the library failed."""


class Library:
    """The library, loaded.

    Attributes:
        ffi: to make what its functions are called with.
        cpus: number of streams of a data channel: as many CPUs as the machine may have.
    """

    def __init__(self, ffi: Any, binary: Any) -> None:
        self.ffi = ffi
        self._binary = binary
        self.cpus: int = self.call("get_nr_stream_per_channel")

    def function(self, name: str) -> Any:
        """Return a function, to be called as it stands."""
        return getattr(self._binary, f"lttng_ust_ctl_{name}")

    def call(self, name: str, *arguments: Any) -> int:
        """Call a function and return its result.

        Raises:
            LibraryError: that is negative.
        """
        result: int = self.function(name)(*arguments)
        if result < 0:
            raise LibraryError(-result, f"{name}: {_ERRORS.get(-result) or os.strerror(-result)}")
        return result

    def number(self, name: str, stream: Any, kind: str = "unsigned long *") -> int:
        """Return what a function tells of a stream.

        Raises:
            LibraryError: it fails.
        """
        value = self.ffi.new(kind)
        self.call(name, stream, value)
        return int(value[0])

    def made(self, name: str, *arguments: Any) -> Any:
        """Return what a function makes.

        Raises:
            LibraryError: it cannot; the library does not always say why.
        """
        self.ffi.errno = 0
        pointer = self.function(name)(*arguments)
        if pointer == self.ffi.NULL:
            why = self.ffi.errno or errno.ENOMEM
            raise LibraryError(why, f"{name}: {os.strerror(why)}")
        return pointer


@cache
def load(soname: str = SONAME, needed: str = NEEDED) -> Library:
    """Load the library, once.

    Raises:
        LibraryMissing: it is not installed, or not for this machine.
    """
    try:
        import cffi
    except ImportError:
        raise LibraryMissing(
            "user-space tracing needs Python's cffi: install lttngnet[ust], or on Debian python3-cffi"
        ) from None
    ffi = cffi.FFI()
    ffi.cdef(_ATTRIBUTES, packed=True)
    ffi.cdef(_DECLARATIONS)
    if ffi.sizeof("struct attributes") != _ATTRIBUTES_SIZE:
        raise LibraryMissing("user-space tracing needs a 64-bit machine")
    signals = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        _load(needed, ctypes.RTLD_GLOBAL)
        _load_shim()
        _load(soname, ctypes.RTLD_LOCAL)  # cffi, where it is missing, would run a compiler to look for it
        return Library(ffi, ffi.dlopen(soname))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, signals)  # the library blocks those of its timers


def _load(name: str, mode: int) -> None:
    try:
        ctypes.CDLL(name, mode=mode)
    except OSError as problem:
        package = PACKAGES.get(name)
        advice = f"; on Debian, install {package}" if package else ""
        raise LibraryMissing(f"user-space tracing needs {name} ({problem}){advice}") from None


@cache
def _load_shim() -> None:
    try:
        binary = shared_object()
    except KeyError as machine:
        raise LibraryMissing(
            f"user-space tracing is not possible on this kind of machine: {machine}"
        ) from None
    descriptor = os.memfd_create("lttngnet-tls.so", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, binary)
        _load(f"/proc/self/fd/{descriptor}", ctypes.RTLD_GLOBAL)
    finally:
        os.close(descriptor)
