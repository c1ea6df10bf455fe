"""What stands in the metadata of a kernel trace before its event classes: where and when, clock, streams.

Source: CTF 1.8, section 7 and appendix C (TSDL).
"""

import os
from uuid import UUID

from lttngnet.ctf.tsdl import creation_datetime, preamble

EVENT_ALIGNMENT = 32  # bits: the kernel's records begin at multiples of it

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

_TYPES = """\
typealias integer { size = 64; align = 8; signed = false; base = 16; } := pointer_t;
typealias integer { size = 8; align = 8; signed = false; base = 16; } := flags_t;
typealias integer { size = 8; align = 8; signed = false; encoding = UTF8; } := utf8_t;

"""


def describe_trace(trace: UUID, session: str, hostname: str, channels: int, offset: int) -> str:
    """Return what stands before the event classes of a trace with that many channels (stream classes).

    The trace calls itself one of lttng-modules, because analyses choose by that name how to read events whose
    layout is the same; ``tracer_backend`` says who really recorded it.

    Args:
        trace: identity of the trace.
        session: by name.
        hostname: of the machine that is traced.
        channels: each is a stream class.
        offset: ns from the epoch to 0 of CLOCK_MONOTONIC.
    """
    system = os.uname()
    environment: dict[str, str | int] = {
        "hostname": hostname,
        "domain": "kernel",
        "sysname": system.sysname,
        "kernel_release": system.release,
        "kernel_version": system.version,
        "tracer_name": "lttng-modules",
        "tracer_major": 2,
        "tracer_minor": 13,
        "tracer_patchlevel": 0,
        "tracer_backend": "tracefs",
        "trace_buffering_scheme": "global",
        "trace_name": session,
        "trace_creation_datetime": creation_datetime(),
    }
    streams = (_STREAM.format(stream_class=channel) for channel in range(channels))
    return preamble(trace, environment, offset, EVENT_ALIGNMENT) + _TYPES + "".join(streams)
