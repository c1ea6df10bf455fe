"""How the metadata of the applications' traces begins, in LTTng's spelling: types, trace, clock, headers."""

from dataclasses import dataclass
from uuid import UUID

from lttngnet.ctf.tsdl import (
    SIGNATURE,
    clock_type,
    compact_header,
    describe_trace,
    large_header,
    packet_context,
)
from lttngnet.sessiond.domains.ust.tsdl import Refused, alignment_of

_TYPES = """\
typealias integer {{ size = 8; align = {u8}; signed = false; }} := uint8_t;
typealias integer {{ size = 16; align = {u16}; signed = false; }} := uint16_t;
typealias integer {{ size = 32; align = {u32}; signed = false; }} := uint32_t;
typealias integer {{ size = 64; align = {u64}; signed = false; }} := uint64_t;
typealias integer {{ size = {bits}; align = {long}; signed = false; }} := unsigned long;
typealias integer {{ size = 5; align = 1; signed = false; }} := uint5_t;
typealias integer {{ size = 27; align = 1; signed = false; }} := uint27_t;

"""


@dataclass(frozen=True)
class TraceFacts:
    """What the metadata says of the trace itself.

    Attributes:
        uuid: of the trace.
        session: its name.
        hostname: of this machine.
        scheme: of the buffers: ``uid``, shared by all applications of a user, or ``pid``, of one process.
        buffering_id: the user's number, or the process's.
        bits: 32 or 64, of the applications.
        byte_order: ``le`` or ``be``.
        alignments: of u8, u16, u32, u64 and long, in bits.
        tracer: version of the C tracer: major, minor, patch level.
        created: when the session was, as text; see `lttngnet.ctf.tsdl.creation_datetime`.
        procname: name of the process; this and what follows for ``pid`` only.
        vpid: its number.
        vpid_datetime: when it registered, as text.
    """

    uuid: UUID
    session: str
    hostname: str
    scheme: str
    buffering_id: int
    bits: int
    byte_order: str
    alignments: tuple[int, int, int, int, int]
    tracer: tuple[int, int, int]
    created: str
    procname: str = ""
    vpid: int = 0
    vpid_datetime: str = ""


def preamble(facts: TraceFacts, clock_offset: int) -> str:
    """Return how the metadata begins: all but streams and events.

    Raises:
        Refused: its words have sizes or alignments that no machine has.
    """
    if facts.bits not in (32, 64):
        raise Refused(f"a long of {facts.bits} bits")
    u8, u16, u32, u64, long = [alignment_of(bits) for bits in facts.alignments]
    return (
        SIGNATURE
        + _TYPES.format(u8=u8, u16=u16, u32=u32, u64=u64, long=long, bits=facts.bits)
        + describe_trace(facts.uuid, facts.byte_order, _env(facts), clock_offset)
        + clock_type(27, 1)
        + clock_type(32, u32)
        + clock_type(64, u64)
        + packet_context("unsigned long")
        + compact_header(u32)
        + large_header(u16)
    )


def _env(facts: TraceFacts) -> dict[str, str | int]:
    major, minor, patch = facts.tracer
    env: dict[str, str | int] = {
        "domain": "ust",
        "tracer_name": "lttng-ust",
        "tracer_major": major,
        "tracer_minor": minor,
        "tracer_buffering_scheme": facts.scheme,
        "tracer_buffering_id": facts.buffering_id,
        "architecture_bit_width": facts.bits,
        "trace_name": facts.session,
        "trace_creation_datetime": facts.created,
        "hostname": facts.hostname,
    }
    if facts.scheme == "pid":
        env |= {
            "tracer_patchlevel": patch,
            "vpid": facts.vpid,
            "procname": facts.procname,
            "vpid_datetime": facts.vpid_datetime,
        }
    return env
