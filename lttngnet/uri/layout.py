"""``struct lttng_uri`` as bytes: the RFC's layout, and the two that lttng-tools had.

========  =====  ===========  ============================================================================
layout    bytes  subdir, dst  where
========  =====  ===========  ============================================================================
`RFC`      8244  50, 4146     RFC *Network consumer* v0.3: more padding, a HOST type, numbers of its own
`PADDED`   8212  18, 4114     lttng-tools 2.1 to 2.10, as a compiler for x86-64 aligns it
`PACKED`   8210  18, 4114     lttng-tools 2.11 and later
========  =====  ===========  ============================================================================

Integers are in the byte order of the machine, which the struct never leaves. That goes for the port too: the
RFC gives it the type ``in_port_t`` and is silent on its order, lttng-tools always had a plain integer there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from struct import Struct
from typing import TypeVar

from lttngnet.errors import WireError
from lttngnet.uri.destination import (
    PATH_MAX,
    Destination,
    Family,
    Protocol,
    StreamType,
    UriError,
    UriType,
    normal_host,
)

_Meaning = TypeVar("_Meaning", bound=Enum)


class _Kind(Enum):
    """What the union ``dst`` holds (``enum lttng_dst_type``)."""

    IPV4 = "IPv4"
    IPV6 = "IPv6"
    HOST = "host"
    PATH = "path"


_ROOM = {_Kind.IPV4: 16, _Kind.IPV6: 46, _Kind.HOST: PATH_MAX, _Kind.PATH: PATH_MAX}  # bytes, with the NUL
_STREAMS = {stream: stream.value for stream in StreamType}
_NETWORK = (Protocol.TCP, Protocol.UDP)


@dataclass(frozen=True, eq=False)
class Layout:
    """One way to lay out ``struct lttng_uri``, and the numbers of its enums."""

    struct: Struct
    kinds: Mapping[_Kind, int]
    utypes: Mapping[UriType, int]
    protocols: Mapping[Protocol, int]

    @property
    def size(self) -> int:
        """Size of the struct in bytes."""
        return self.struct.size

    def pack(self, destination: Destination) -> bytes:
        """Return a destination as the struct; no port is port 0, as in lttng-tools.

        Raises:
            UriError: the struct has no place for it: a host name in lttng-tools' layouts, the name of an IPv6
                address in the RFC's, the port 0 of a listener and ``?reliable=1`` in any.
        """
        if destination.repeats:
            raise UriError(f"{destination}: struct lttng_uri has no place for ?reliable=1")
        if destination.port == 0:
            raise UriError(f"{destination}: struct lttng_uri takes port 0 for no port at all")
        return self.struct.pack(
            self.kinds[self._kind(destination)],
            self.utypes[destination.utype],
            destination.stream,
            self.protocols[destination.protocol],
            destination.port or 0,
            destination.subdir.encode(errors="surrogateescape"),
            (destination.path or destination.host).encode(errors="surrogateescape"),
        )

    def unpack(self, data: bytes | bytearray | memoryview) -> Destination:
        """Return the destination that a struct holds. What follows the NUL of a text is ignored.

        The RFC's HOST is taken for the name of an IPv4 address: the struct does not say.

        Raises:
            WireError: the bytes are not one struct, or it holds no destination.
        """
        if len(data) != self.size:
            raise WireError(f"struct lttng_uri is {self.size} bytes, got {len(data)}")
        dtype, utype, stype, proto, port, subdir, dst = self.struct.unpack(data)
        kind = _meaning("destination type", dtype, self.kinds)
        where = _text("destination", dst[: _ROOM[kind]])
        folder = _text("subdir", subdir)
        stream = _meaning("stream type", stype, _STREAMS)
        last = _meaning("URI type", utype, self.utypes)
        try:
            if kind is _Kind.PATH:
                protocol = _meaning("protocol", proto, {Protocol.PATH: self.protocols[Protocol.PATH]})
                return Destination(protocol, None, "", port or None, folder, stream, last, where)
            protocol = _meaning("protocol", proto, {each: self.protocols[each] for each in _NETWORK})
            family = Family.IPV6 if kind is _Kind.IPV6 else Family.IPV4
            host = normal_host(where, family) if kind is _Kind.HOST else where
            destination = Destination(protocol, family, host, port or None, folder, stream, last)
        except UriError as problem:
            raise WireError(f"struct lttng_uri: {problem}") from None
        if destination.is_name and kind is not _Kind.HOST:
            raise WireError(f"struct lttng_uri: {where!r} is no {kind.value} address")
        return destination

    def _kind(self, destination: Destination) -> _Kind:
        if destination.family is None:
            return _Kind.PATH
        if not destination.is_name:
            return _Kind(destination.family.value)
        if _Kind.HOST in self.kinds and destination.family is Family.IPV4:
            return _Kind.HOST
        raise UriError(f"{destination}: struct lttng_uri has no place for this host name")


def _meaning(what: str, number: int, numbers: Mapping[_Meaning, int]) -> _Meaning:
    for meaning, known in numbers.items():
        if known == number:
            return meaning
    raise WireError(f"struct lttng_uri: {number} is no {what}")


def _text(what: str, field: bytes) -> str:
    text, end, _ = field.partition(b"\0")
    if not end:
        raise WireError(f"struct lttng_uri: the {what} does not end within {len(field)} bytes")
    return text.decode(errors="surrogateescape")


RFC = Layout(
    Struct(f"=IIIIH32x{PATH_MAX}s{PATH_MAX}s2x"),
    {_Kind.IPV4: 0, _Kind.IPV6: 1, _Kind.HOST: 2, _Kind.PATH: 3},
    {UriType.HOP: 0, UriType.DESTINATION: 1},
    {Protocol.UDP: 0, Protocol.TCP: 1, Protocol.PATH: 0},
)
"""The RFC's struct and numbers. It has no protocol number for a path: 0, what a zeroed struct says."""

PADDED = Layout(
    Struct(f"=IIIIH{PATH_MAX}s{PATH_MAX}s2x"),
    {_Kind.IPV4: 1, _Kind.IPV6: 2, _Kind.PATH: 3},
    {UriType.DESTINATION: 0, UriType.HOP: 1},
    {Protocol.PATH: 0, Protocol.TCP: 1, Protocol.UDP: 2},
)
"""The struct of lttng-tools 2.1 to 2.10. It never sends hops or UDP: planned numbers."""

PACKED = replace(PADDED, struct=Struct(f"=IIIIH{PATH_MAX}s{PATH_MAX}s"))
"""The struct of lttng-tools 2.11 and later: the same without the padding at its end."""
