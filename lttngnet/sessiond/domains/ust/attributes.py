"""What a channel's buffers are like: the options of ``enable-channel``, checked, with LTTng's defaults."""

from dataclasses import dataclass
from mmap import PAGESIZE
from typing import Any, Literal, get_args

from lttngnet.errors import Code, CommandError

Scheme = Literal["uid", "pid"]
"""Whose buffers are shared: those of all processes of a user, or none."""

FOREVER = -1
"""A blocking timeout without an end."""

NAME_LIMIT = 240  # bytes: with ``_CPU``, a counter and ``.idx`` behind it, a file's name has at most 255

_DEFAULT_SIZES: dict[Scheme, int] = {"uid": 512 << 10, "pid": 16 << 10}
_LARGEST = 1 << 32  # bytes of a sub-buffer; and sub-buffers
_LONGEST = (1 << 32) - 1  # us of a timer
_KNOWN = frozenset(
    (
        "subbuf_size",
        "num_subbuf",
        "overwrite",
        "switch_timer",
        "read_timer",
        "monitor_timer",
        "tracefile_size",
        "tracefile_count",
        "buffers",
        "blocking_timeout",
        "output",
    )
)


@dataclass(frozen=True, slots=True)
class Attributes:
    """Of a channel.

    Attributes:
        subbuf_size: bytes of a sub-buffer, a power of two.
        num_subbuf: sub-buffers of each CPU, a power of two.
        overwrite: what is oldest, instead of discarding what is new.
        switch_timer: us after which what is recorded is handed on, 0 for never.
        read_timer: us after which full sub-buffers are looked for, 0 where the application tells of them.
        blocking_timeout: us that an application that permits it waits for room, -1 for ever.
        tracefile_size: bytes at which a new trace file begins, 0 for never.
        tracefile_count: trace files to keep of each stream, 0 for all.
    """

    subbuf_size: int
    num_subbuf: int
    overwrite: bool = False
    switch_timer: int = 0
    read_timer: int = 0
    blocking_timeout: int = 0
    tracefile_size: int = 0
    tracefile_count: int = 0


def scheme(options: dict[str, Any]) -> Scheme | None:
    """Return the buffering scheme that was asked for, if any was.

    Raises:
        CommandError: there is no such scheme.
    """
    wanted = options.get("buffers")
    if wanted is not None and wanted not in get_args(Scheme):
        raise CommandError(Code.INVALID, f"user space has no buffers {wanted}: there are uid and pid")
    return wanted


def attributes(options: dict[str, Any], buffers: Scheme) -> Attributes:
    """Return what the options of ``enable-channel`` mean.

    Sizes and numbers of sub-buffers are rounded up to powers of two, as LTTng does it.

    Args:
        options: see `lttngnet.interfaces.IDomain.enable_channel`; None is as if it were not there.
        buffers: the session's scheme.

    Raises:
        CommandError: one is not possible.
    """
    given = {name: value for name, value in options.items() if value is not None}
    for name in given:
        if name not in _KNOWN:
            raise CommandError(Code.NOT_SUPPORTED, f"a channel of user space has no option {name}")
    if given.get("output", "mmap") != "mmap":
        raise CommandError(Code.NOT_SUPPORTED, "user space has only channels with --output=mmap")
    size = _power_of_two(_number(given, "subbuf_size", _DEFAULT_SIZES[buffers], 1, _LARGEST))
    if size < PAGESIZE:
        raise CommandError(Code.INVALID, f"--subbuf-size has to be {PAGESIZE} bytes, a page, or more")
    number = _power_of_two(_number(given, "num_subbuf", 4, 1, _LARGEST))
    overwrite = bool(given.get("overwrite"))
    timeout = _number(given, "blocking_timeout", 0, FOREVER, (1 << 63) - 1)
    if overwrite and number < 2:
        raise CommandError(Code.INVALID, "--overwrite needs two sub-buffers or more: --num-subbuf=2")
    if overwrite and timeout:
        raise CommandError(Code.INVALID, "--overwrite and --blocking-timeout exclude each other")
    file_size = _number(given, "tracefile_size", 0, 0, (1 << 63) - 1)
    file_count = _number(given, "tracefile_count", 0, 0, _LONGEST)
    if file_count and not file_size:
        raise CommandError(Code.INVALID, "--tracefile-count needs a --tracefile-size as well")
    return Attributes(
        size,
        number,
        overwrite,
        _number(given, "switch_timer", 0, 0, _LONGEST),
        _number(given, "read_timer", 0, 0, _LONGEST),
        timeout,
        max(file_size, size) if file_size else 0,
        file_count,
    )


def check_name(channel: str) -> None:
    """See whether a channel can have this name.

    Raises:
        CommandError: it cannot.
    """
    size = len(channel.encode("utf-8", "surrogateescape"))
    if not channel or channel.startswith(".") or "/" in channel or "\0" in channel or size > NAME_LIMIT:
        raise CommandError(
            Code.INVALID_CHANNEL_NAME,
            f"{channel[:80]!r} cannot be the name of a channel: it needs at most {NAME_LIMIT} bytes, no '/', "
            "and no '.' in front",
        )


def _number(given: dict[str, Any], name: str, default: int, lowest: int, highest: int) -> int:
    value = given.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
        option = "--" + name.replace("_", "-")
        raise CommandError(Code.INVALID, f"{option} has to be a number from {lowest} to {highest}: {value}")
    return value


def _power_of_two(number: int) -> int:
    return 1 << (number - 1).bit_length()
