"""Metadata text (TSDL) that is the same for all traces we make ourselves, in LTTng's spelling."""

import re
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from uuid import UUID

SIGNATURE = "/* CTF 1.8 */\n\n"

BYTE_ORDER = "le" if sys.byteorder == "little" else "be"

_TYPES = """\
typealias integer { size = 8; align = 8; signed = false; } := uint8_t;
typealias integer { size = 16; align = 8; signed = false; } := uint16_t;
typealias integer { size = 32; align = 8; signed = false; } := uint32_t;
typealias integer { size = 64; align = 8; signed = false; } := uint64_t;
typealias integer { size = 8; align = 8; signed = true; } := int8_t;
typealias integer { size = 16; align = 8; signed = true; } := int16_t;
typealias integer { size = 32; align = 8; signed = true; } := int32_t;
typealias integer { size = 64; align = 8; signed = true; } := int64_t;

"""

_TRACE = """\
trace {{
	major = 1;
	minor = 8;
	uuid = "{uuid}";
	byte_order = {byte_order};
	packet.header := struct {{
		uint32_t magic;
		uint8_t  uuid[16];
		uint32_t stream_id;
		uint64_t stream_instance_id;
	}};
}};

env {{
{env}}};

clock {{
	name = "monotonic";
	uuid = "{boot_id}";
	description = "Monotonic Clock";
	freq = 1000000000; /* Frequency, in Hz */
	/* clock value offset from Epoch is: offset * (1/freq) */
	offset = {offset};
}};

"""

_CLOCK_TYPE = """\
typealias integer {{
	size = {size}; align = {align}; signed = false;
	map = clock.monotonic.value;
}} := uint{size}_clock_monotonic_t;

"""

_PACKET_CONTEXT = """\
struct packet_context {{
	uint64_clock_monotonic_t timestamp_begin;
	uint64_clock_monotonic_t timestamp_end;
	uint64_t content_size;
	uint64_t packet_size;
	uint64_t packet_seq_num;
	{count} events_discarded;
	uint32_t cpu_id;
}};

"""

_HEADER = """\
struct event_header_{name} {{
	enum : {small} {{ compact = 0 ... {last}, extended = {extended} }} id;
	variant <id> {{
		struct {{
			{time} timestamp;
		}} compact;
		struct {{
			uint32_t id;
			uint64_clock_monotonic_t timestamp;
		}} extended;
	}} v;
}} align({align});

"""


def preamble(uuid: UUID, env: Mapping[str, str | int], offset: int, event_alignment: int = 8) -> str:
    """Return how the metadata of a trace begins: all but its streams and events (CTF 1.8, section 7).

    Args:
        uuid: of the trace.
        env: facts about where the trace comes from, as readers show them.
        offset: ns from the epoch to 0 of CLOCK_MONOTONIC; see `clock_offset`.
        event_alignment: bits; an event's header begins at a multiple of it.
    """
    return (
        SIGNATURE
        + _TYPES
        + describe_trace(uuid, BYTE_ORDER, env, offset)
        + clock_type(32, 8)
        + clock_type(64, 8)
        + packet_context("uint64_t")
        + large_header(event_alignment)
    )


def describe_trace(uuid: UUID, byte_order: str, env: Mapping[str, str | int], offset: int) -> str:
    """Return the description of a trace in a byte order (``le``, ``be``) and its clock; see `preamble`."""
    facts = "".join(
        f"\t{name} = {quote(value) if isinstance(value, str) else value};\n" for name, value in env.items()
    )
    return _TRACE.format(uuid=uuid, byte_order=byte_order, env=facts, boot_id=boot_id(), offset=offset)


def clock_type(size: int, align: int) -> str:
    """Return the type of a point in time, ``uint<size>_clock_monotonic_t``; both are in bits."""
    return _CLOCK_TYPE.format(size=size, align=align)


def packet_context(count: str) -> str:
    """Return what stands in every packet before its events; discarded ones are counted in that type."""
    return _PACKET_CONTEXT.format(count=count)


def large_header(align: int) -> str:
    """Return the header of an event where there may be many kinds; ``align`` is in bits."""
    return _HEADER.format(
        name="large",
        small="uint16_t",
        last=65534,
        extended=65535,
        time="uint32_clock_monotonic_t",
        align=align,
    )


def compact_header(align: int) -> str:
    """Return the header of an event where there are fewer than 31 kinds; ``align`` is in bits."""
    return _HEADER.format(
        name="compact", small="uint5_t", last=30, extended=31, time="uint27_clock_monotonic_t", align=align
    )


def quote(text: str) -> str:
    """Return a string literal. What cannot stand in one, such as NUL, is written as ``?``."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return '"' + re.sub(r"[\0-\x1f\x7f\ud800-\udfff]", "?", escaped) + '"'


def clock_offset(
    wall: Callable[[], int] = time.time_ns,
    monotonic: Callable[[], int] = time.monotonic_ns,
    samples: int = 10,
) -> int:
    """Return the ns from the epoch to 0 of CLOCK_MONOTONIC: the sample that took the least time."""
    _, offset = min(_sample(wall, monotonic) for _ in range(samples))
    return offset


def creation_datetime() -> str:
    """Return the present moment as LTTng writes it into ``trace_creation_datetime``, in local time."""
    return time.strftime("%Y%m%dT%H%M%S%z")


def _sample(wall: Callable[[], int], monotonic: Callable[[], int]) -> tuple[int, int]:
    before, now, after = monotonic(), wall(), monotonic()
    return after - before, now - (before + after) // 2


def boot_id() -> UUID:
    """Return the UUID of the clock: it is the same as long as the machine runs."""
    try:
        return UUID(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    except (OSError, ValueError):
        return UUID(int=0)
