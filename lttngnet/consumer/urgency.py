"""To run soon after being woken: where what is traced has every CPU busy, its buffers overflow else.

Two things decide how soon. One is the weight (niceness), which needs a privilege to be raised. The other is
the slice: Linux 6.12 and later let who asks for short ones interrupt who is in the middle of a longer one.
That gives it no more of the processor, so anybody may ask. Earlier versions ignore it.

Source: sched_setattr(2); Documentation/scheduler/sched-eevdf.rst of Linux.
"""

import ctypes
import os
import platform
from struct import Struct
from typing import Final

NICENESS: Final = -10
SLICE: Final = 500_000  # ns; of others it is some 3 ms

_SETATTR: Final = {"x86_64": 314, "aarch64": 274, "riscv64": 274, "ppc64le": 355, "s390x": 345}
_ATTRIBUTES = Struct("=IIQiIQQQ")  # size, policy, flags, niceness, priority, runtime, deadline, period


def hurry() -> str:
    """Run soon from now on, as far as that can be had; return in words what was had."""
    try:
        os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
    except PermissionError:
        had = f"not permitted to run at niceness {NICENESS}"
    else:
        had = f"running at niceness {NICENESS}"
    return f"{had}, {'' if _shorten_slice() else 'not '}in slices of {SLICE // 1000} us"


def _shorten_slice() -> bool:
    number = _SETATTR.get(platform.machine())
    if number is None:
        return False
    niceness = os.getpriority(os.PRIO_PROCESS, 0)
    attributes = _ATTRIBUTES.pack(_ATTRIBUTES.size, os.SCHED_OTHER, 0, niceness, 0, SLICE, 0, 0)
    return not ctypes.CDLL(None, use_errno=True).syscall(number, 0, attributes, 0)
