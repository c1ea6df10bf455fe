"""Counters of the processor and the kernel that a thread can have: their names, and whether they are here.

The numbers are the kernel's, from ``linux/perf_event.h``.
"""

import ctypes
import errno
import os
import platform
import re
from pathlib import Path
from struct import Struct

from lttngnet.wire.ust.commands import Context, ContextKind

PREFIX = "perf:thread:"

_HARDWARE, _SOFTWARE, _CACHE, _RAW = 0, 1, 3, 4
_HARDWARE_COUNTERS = {
    "cpu-cycles": 0,
    "cycles": 0,
    "instructions": 1,
    "cache-references": 2,
    "cache-misses": 3,
    "branch-instructions": 4,
    "branches": 4,
    "branch-misses": 5,
    "bus-cycles": 6,
    "stalled-cycles-frontend": 7,
    "idle-cycles-frontend": 7,
    "stalled-cycles-backend": 8,
    "idle-cycles-backend": 8,
}
_SOFTWARE_COUNTERS = {
    "cpu-clock": 0,
    "task-clock": 1,
    "page-fault": 2,
    "faults": 2,
    "context-switches": 3,
    "cs": 3,
    "cpu-migrations": 4,
    "migrations": 4,
    "minor-faults": 5,
    "major-faults": 6,
    "alignment-faults": 7,
    "emulation-faults": 8,
}
_CACHES = {"L1-dcache": 0, "L1-icache": 1, "LLC": 2, "dTLB": 3, "iTLB": 4, "branch": 5}
_ACCESSES = {"load": 0, "store": 1, "prefetch": 2}
_ONLY_LOADED = ("iTLB", "branch")


def _caches() -> dict[str, int]:
    """Return the counters of caches, by name."""
    found = {}
    for cache, number in _CACHES.items():
        for access, operation in _ACCESSES.items():
            plural = access + ("es" if access == "prefetch" else "s")
            config = number | operation << 8
            if access == "load" or cache not in _ONLY_LOADED:
                found[f"{cache}-{plural}"] = config
                found[f"{cache}-{access}-misses"] = config | 1 << 16
    return found


COUNTERS: dict[str, tuple[int, int]] = {
    **{name: (_HARDWARE, config) for name, config in _HARDWARE_COUNTERS.items()},
    **{name: (_CACHE, config) for name, config in _caches().items()},
    **{name: (_SOFTWARE, config) for name, config in _SOFTWARE_COUNTERS.items()},
}
"""The kernel's ``type`` and ``config`` of each counter, by LTTng's name without ``perf:thread:``."""

_RAW_NAME = re.compile(r"raw:r([0-9a-fA-F]{1,16}):([^:]+)")
_SYSCALL = {"x86_64": 298, "aarch64": 241, "riscv64": 241}
_ATTRIBUTES = Struct("=IIQQQQQ")  # type, size, config, period, what is sampled, what is read, flags
_ATTRIBUTES_SIZE = 64  # bytes of the oldest structure, which every kernel takes
_DISABLED, _EXCLUDE_KERNEL, _EXCLUDE_HYPERVISOR = 1 << 0, 1 << 5, 1 << 6
_PARANOID = Path("/proc/sys/kernel/perf_event_paranoid")


def context(name: str) -> Context | None:
    """Return the context that a name such as ``perf:thread:instructions`` means, None if it means none."""
    counter = name.removeprefix(PREFIX)
    if raw := _RAW_NAME.fullmatch(counter):
        kind, config = _RAW, int(raw[1], 16)
    elif counter in COUNTERS:
        kind, config = COUNTERS[counter]
    else:
        return None
    field = re.sub("[:-]", "_", name)
    return Context(ContextKind.PERF_THREAD_COUNTER, perf_type=kind, perf_config=config, name=field)


def obstacle(kind: int, config: int) -> str:
    """Return why this machine does not let a thread have a counter, or nothing if it does.

    Args:
        kind: the kernel's ``type`` of the counter.
        config: and its ``config``.
    """
    if platform.machine() not in _SYSCALL:
        return ""  # the applications will see
    flags = _DISABLED | _EXCLUDE_KERNEL | _EXCLUDE_HYPERVISOR
    attributes = _ATTRIBUTES.pack(kind, _ATTRIBUTES_SIZE, config, 0, 0, 0, flags).ljust(
        _ATTRIBUTES_SIZE, b"\0"
    )
    libc = ctypes.CDLL(None, use_errno=True)
    number, here, anywhere, no_group = (ctypes.c_long(n) for n in (_SYSCALL[platform.machine()], 0, -1, -1))
    descriptor = libc.syscall(number, attributes, here, anywhere, no_group, ctypes.c_long(0))
    if descriptor >= 0:
        os.close(descriptor)
        return ""
    match ctypes.get_errno():
        case errno.EACCES | errno.EPERM:
            return f"not permitted: kernel.perf_event_paranoid is {_paranoid()}"
        case errno.ENOSYS:
            return "this kernel has no performance counters"
        case errno.ENOENT | errno.ENODEV | errno.EOPNOTSUPP | errno.EINVAL | errno.ENXIO:
            return "this machine has no such counter"
        case errno.EMFILE | errno.ENFILE | errno.EBUSY | errno.ENOMEM:
            return ""  # they are there
        case other:
            return os.strerror(other)


def _paranoid() -> str:
    try:
        return _PARANOID.read_text().strip()
    except OSError:
        return "unknown"
