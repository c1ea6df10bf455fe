"""What stands in the metadata of a kernel trace before its event classes: where and when, clock, streams.

Source: CTF 1.8, section 7 and appendix C (TSDL).
"""

import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

_HEAD = """\
/* CTF 1.8 */

typealias integer {{ size = 8; align = 8; signed = false; }} := uint8_t;
typealias integer {{ size = 16; align = 8; signed = false; }} := uint16_t;
typealias integer {{ size = 32; align = 8; signed = false; }} := uint32_t;
typealias integer {{ size = 64; align = 8; signed = false; }} := uint64_t;
typealias integer {{ size = 8; align = 8; signed = true; }} := int8_t;
typealias integer {{ size = 16; align = 8; signed = true; }} := int16_t;
typealias integer {{ size = 32; align = 8; signed = true; }} := int32_t;
typealias integer {{ size = 64; align = 8; signed = true; }} := int64_t;
typealias integer {{ size = 64; align = 8; signed = false; base = 16; }} := pointer_t;
typealias integer {{ size = 8; align = 8; signed = false; base = 16; }} := flags_t;
typealias integer {{ size = 8; align = 8; signed = false; encoding = UTF8; }} := utf8_t;

trace {{
	major = 1;
	minor = 8;
	uuid = "{uuid}";
	byte_order = le;
	packet.header := struct {{
		uint32_t magic;
		uint8_t  uuid[16];
		uint32_t stream_id;
		uint64_t stream_instance_id;
	}};
}};

env {{
{environment}
}};

clock {{
	name = "monotonic";
	uuid = "{boot_id}";
	description = "Monotonic Clock";
	freq = 1000000000; /* Frequency, in Hz */
	/* clock value offset from Epoch is: offset * (1/freq) */
	offset = {clock_offset};
}};

typealias integer {{
	size = 32; align = 8; signed = false;
	map = clock.monotonic.value;
}} := uint32_clock_monotonic_t;

typealias integer {{
	size = 64; align = 8; signed = false;
	map = clock.monotonic.value;
}} := uint64_clock_monotonic_t;

struct packet_context {{
	uint64_clock_monotonic_t timestamp_begin;
	uint64_clock_monotonic_t timestamp_end;
	uint64_t content_size;
	uint64_t packet_size;
	uint64_t packet_seq_num;
	uint64_t events_discarded;
	uint32_t cpu_id;
}};

struct event_header_large {{
	enum : uint16_t {{ compact = 0 ... 65534, extended = 65535 }} id;
	variant <id> {{
		struct {{
			uint32_clock_monotonic_t timestamp;
		}} compact;
		struct {{
			uint32_t id;
			uint64_clock_monotonic_t timestamp;
		}} extended;
	}} v;
}} align(32);

"""

_STREAM = """\
stream {{
	id = {stream_class};
	event.header := struct event_header_large;
	packet.context := struct packet_context;
	event.context := struct {{
		flags_t _trace_flags;
		flags_t _preempt_count;
		int32_t _tid;
	}};
}};

"""


@dataclass(frozen=True)
class Origin:
    """Where and when a trace was recorded."""

    trace: UUID
    session: str
    hostname: str
    sysname: str
    release: str
    version: str
    boot_id: str
    clock_offset: int
    """Nanoseconds from the epoch to the zero of CLOCK_MONOTONIC."""
    created: str

    @classmethod
    def here(cls, trace: UUID, session: str, hostname: str | None = None) -> "Origin":
        """Describe this machine, now."""
        system = os.uname()
        return cls(
            trace,
            session,
            hostname or socket.gethostname(),
            system.sysname,
            system.release,
            system.version,
            Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
            measure_clock_offset(),
            time.strftime("%Y%m%dT%H%M%S%z"),
        )


def measure_clock_offset(
    monotonic: Callable[[], int] = time.monotonic_ns, wall: Callable[[], int] = time.time_ns, tries: int = 20
) -> int:
    """Return wall clock minus monotonic clock in ns: of some brackets, the middle of the tightest."""
    brackets = [(monotonic(), wall(), monotonic()) for _ in range(tries)]
    before, between, after = min(brackets, key=lambda bracket: bracket[2] - bracket[0])
    return between - (before + after) // 2


def describe_trace(origin: Origin, channels: int) -> str:
    """Return what stands before the event classes of a trace with that many channels (stream classes).

    The trace calls itself one of lttng-modules, because analyses choose by that name how to read events whose
    layout is the same; ``tracer_backend`` says who really recorded it.
    """
    environment: dict[str, str | int] = {
        "hostname": origin.hostname,
        "domain": "kernel",
        "sysname": origin.sysname,
        "kernel_release": origin.release,
        "kernel_version": origin.version,
        "tracer_name": "lttng-modules",
        "tracer_major": 2,
        "tracer_minor": 13,
        "tracer_patchlevel": 0,
        "tracer_backend": "tracefs",
        "trace_buffering_scheme": "global",
        "trace_name": origin.session,
        "trace_creation_datetime": origin.created,
    }
    head = _HEAD.format(
        uuid=origin.trace,
        boot_id=origin.boot_id,
        clock_offset=origin.clock_offset,
        environment="\n".join(f"\t{key} = {_literal(value)};" for key, value in environment.items()),
    )
    return head + "".join(_STREAM.format(stream_class=channel) for channel in range(channels))


def _literal(value: str | int) -> str:
    if isinstance(value, int):
        return str(value)
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
