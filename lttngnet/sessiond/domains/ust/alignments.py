"""How the tracer aligns words in its buffers: what applications say of it, and what can be true on a machine.

A trace says it once, for all who write to it: one of them that lies would make all of it unreadable.
"""

import ctypes
import platform
import re

from lttngnet.sessiond.domains.ust.tsdl import Refused

Alignments = tuple[int, int, int, int, int]
"""Of u8, u16, u32, u64 and long, in bits."""

PACKED: Alignments = (8, 8, 8, 8, 8)
_ALWAYS_PACKED = re.compile(r"x86_64|i[3-6]86|ppc\w*", re.ASCII)
"""Machines on which the tracer of 2.13 never leaves gaps: lttng/ust-arch.h."""


def possible(machine: str) -> set[Alignments]:
    """Return the alignments that a tracer can have on a machine, as `platform.machine` calls it."""
    if _ALWAYS_PACKED.fullmatch(machine):
        return {PACKED}
    kinds = (ctypes.c_uint8, ctypes.c_uint16, ctypes.c_uint32, ctypes.c_uint64, ctypes.c_long)
    u8, u16, u32, u64, long = (8 * ctypes.alignment(kind) for kind in kinds)
    return {PACKED, (u8, u16, u32, u64, long)}


def check(said: Alignments, used: Alignments | None, machine: str | None = None) -> None:
    """See whether an application can write to a trace that it shares with others.

    Args:
        said: by the application.
        used: in that trace, or None if it is the first to write to it.
        machine: the one we are on, if None.

    Raises:
        Refused: it cannot.
    """
    allowed = possible(machine or platform.machine()) if used is None else {used}
    if said not in allowed:
        others = " or ".join(_text(each) for each in sorted(allowed))
        raise Refused(f"it aligns words to {_text(said)} bits, where others do to {others}")


def _text(alignments: Alignments) -> str:
    return ", ".join(map(str, alignments))
