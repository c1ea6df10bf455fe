"""A shared object that defines one thread-local variable and nothing else.

liblttng-ust-ctl uses the thread-local ``lttng_ust_sigbus_state`` and expects the executable to define it, as
LTTng's consumer daemon does. Where the executable is Python, a library that is loaded before does as well; it
is so small that it is put together here: no compiler is needed. What is in it, and in which form, is laid
down in the ELF specification and its supplement on thread-local storage.
"""

import platform
from struct import Struct

SYMBOL = "lttng_ust_sigbus_state"

_MACHINES = {"x86_64": 62, "aarch64": 183, "riscv64": 243}  # e_machine
_SIZE = 512  # bytes: more than the variable has anywhere, most of which is a sigjmp_buf
_ALIGN = 16

_HEADER = Struct("<4s5B7x2HI3QI6H")
_SEGMENT = Struct("<2I6Q")
_SYMBOL = Struct("<I2BH2Q")
_DYNAMIC = Struct("<qQ")
_HASH = Struct("<5I")

_PT_LOAD, _PT_DYNAMIC, _PT_TLS, _PT_GNU_STACK = 1, 2, 7, 0x6474E551
_PF_W, _PF_R = 2, 4
_DT_HASH, _DT_STRTAB, _DT_SYMTAB, _DT_STRSZ, _DT_SYMENT, _DT_SONAME = 4, 5, 6, 10, 11, 14
_ET_DYN, _EV_CURRENT, _CLASS64, _LITTLE_ENDIAN = 3, 1, 2, 1
_GLOBAL_TLS = 1 << 4 | 6  # STB_GLOBAL, STT_TLS


def shared_object(symbol: str = SYMBOL, machine: str | None = None) -> bytes:
    """Return the file: a zeroed thread-local variable, and what the dynamic linker needs to find it.

    Raises:
        KeyError: the machine (as `platform.machine` names it) is not a 64-bit one that we know.
    """
    number = _MACHINES[machine or platform.machine()]
    strings = b"\0" + symbol.encode() + b"\0lttngnet-tls.so\0"
    soname = len(symbol) + 2

    hashes_at = _HEADER.size + 4 * _SEGMENT.size
    hashes = _HASH.pack(1, 2, 1, 0, 0)  # one bucket; it begins with symbol 1, behind which there is none
    symbols_at = _aligned(hashes_at + len(hashes))
    symbols = _SYMBOL.pack(0, 0, 0, 0, 0, 0) + _SYMBOL.pack(1, _GLOBAL_TLS, 0, 1, 0, _SIZE)
    strings_at = symbols_at + len(symbols)
    dynamic_at = _aligned(strings_at + len(strings))
    dynamic = b"".join(
        _DYNAMIC.pack(tag, value)
        for tag, value in (
            (_DT_SONAME, soname),
            (_DT_HASH, hashes_at),
            (_DT_STRTAB, strings_at),
            (_DT_SYMTAB, symbols_at),
            (_DT_STRSZ, len(strings)),
            (_DT_SYMENT, _SYMBOL.size),
            (0, 0),
        )
    )
    end = dynamic_at + len(dynamic)

    identity = (b"\x7fELF", _CLASS64, _LITTLE_ENDIAN, _EV_CURRENT, 0, 0)
    kind = (_ET_DYN, number, _EV_CURRENT)
    sizes = (_HEADER.size, _SEGMENT.size, 4, 64, 0, 0)
    header = _HEADER.pack(*identity, *kind, 0, _HEADER.size, 0, 0, *sizes)
    segments = (
        _segment(_PT_LOAD, _PF_R | _PF_W, 0, end, end, 4096)
        + _segment(_PT_DYNAMIC, _PF_R | _PF_W, dynamic_at, len(dynamic), len(dynamic), 8)
        + _segment(_PT_TLS, _PF_R, 0, 0, _SIZE, _ALIGN)
        + _segment(_PT_GNU_STACK, _PF_R | _PF_W, 0, 0, 0, 16)  # without it the stack is made executable
    )
    file = bytearray(end)
    for at, part in (
        (0, header + segments),
        (hashes_at, hashes),
        (symbols_at, symbols),
        (strings_at, strings),
        (dynamic_at, dynamic),
    ):
        file[at : at + len(part)] = part
    return bytes(file)


def _segment(kind: int, flags: int, at: int, in_file: int, in_memory: int, align: int) -> bytes:
    return _SEGMENT.pack(kind, flags, at, at, at, in_file, in_memory, align)


def _aligned(at: int) -> int:
    return at + -at % 8
