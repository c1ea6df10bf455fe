"""The text of a URI ↔ destinations: one URI, a list of hops, a place to listen.

::

    net-uri  = ("net" / "net4" / "net6") "://" host [":" [port] [":" [port]]] ["/" subdir]
    tcp-uri  = ("tcp" / "tcp4" / "tcp6") "://" host [":" [port]] ["/" subdir]
    udp-uri  = ("udp" / "udp6") "://" host [":" [port]] ["/" subdir] ["?reliable=" ("0" / "1")]  ; RFC only
    file-uri = "file://" path                                               ; the path is absolute
    host     = "[" address "]" / IPv4 address / host name                   ; IPv6 always in brackets
    port     = 1..65535 in decimal digits                                   ; empty: the default
    subdir   = the rest, verbatim                                           ; no %-decoding
    hops     = uri *("," uri)                                               ; the last one is the destination

A scheme may be in either case. ``net`` names two destinations: its ports are for control and for data.
``?`` is a character as any other, except with ``udp``.
"""

import re
from dataclasses import dataclass, replace
from itertools import zip_longest

from lttngnet.uri.destination import (
    Destination,
    Family,
    Protocol,
    StreamType,
    UriError,
    UriType,
    is_ipv6,
    normal_host,
)

MAX_HOPS = 8
"""The longest way we read."""


@dataclass(frozen=True, slots=True)
class _Scheme:
    """What a scheme says of the URIs that begin with it."""

    protocol: Protocol
    family: Family
    streams: tuple[StreamType, ...]  # those it may carry
    both: bool = False  # one URI names them all


_CONTROL, _DATA = StreamType.CONTROL, StreamType.DATA
_NET4 = _Scheme(Protocol.TCP, Family.IPV4, (_CONTROL, _DATA), both=True)
_NET6 = _Scheme(Protocol.TCP, Family.IPV6, (_CONTROL, _DATA), both=True)
_TCP4 = _Scheme(Protocol.TCP, Family.IPV4, (_CONTROL, _DATA))
_TCP6 = _Scheme(Protocol.TCP, Family.IPV6, (_CONTROL, _DATA))
_UDP4 = _Scheme(Protocol.UDP, Family.IPV4, (_DATA,))
_UDP6 = _Scheme(Protocol.UDP, Family.IPV6, (_DATA,))
_NETWORK = {
    "net": _NET4,
    "net4": _NET4,
    "net6": _NET6,
    "tcp": _TCP4,
    "tcp4": _TCP4,
    "tcp6": _TCP6,
    "udp": _UDP4,
    "udp6": _UDP6,
}
KNOWN_SCHEMES = ", ".join(f"{name}://" for name in (*_NETWORK, "file"))
_NAMES = "|".join((*_NETWORK, "file"))
_SCHEME = re.compile(rf"({_NAMES})://", re.IGNORECASE | re.ASCII)
_HOP_COMMA = re.compile(
    rf",(?=(?:{_NAMES})://)", re.IGNORECASE | re.ASCII
)  # any other comma belongs to a subdir
_PORT = re.compile(r"0*([0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class HopList:
    """A list of hops read left to right: the way to a destination (RFC ``-C [HOP1,]URI``).

    Each element of the way is a tuple: of two destinations, control and data, where ``net://`` was written.
    """

    hops: tuple[tuple[Destination, ...], ...]
    destination: tuple[Destination, ...]


def scheme(text: str) -> str | None:
    """Return the known scheme that a text begins with, in lower case: what follows must then be right."""
    found = _SCHEME.match(text)
    return found[1].lower() if found else None


def is_pair(text: str) -> bool:
    """Tell whether a text begins with ``net://``, ``net4://`` or ``net6://``, which name control and data."""
    return scheme(text) in ("net", "net4", "net6")


def parse(text: str, role: StreamType | None = None) -> list[Destination]:
    """Read one URI.

    Args:
        text: the URI; no hops, and no file name without ``file://``.
        role: what a URI that names one destination is for. Without it, data for UDP and else control.

    Returns:
        Control and data for ``net://``, else one destination. Ports that are not in the text stay None; the
        subdir stays with the first (lttng-tools 2.13 behaviour).

    Raises:
        UriError: the text is no such URI, or not for that role.
    """
    return _explained(text, role, lowest_port=1)


def parse_listener(text: str) -> Destination:
    """Read the URI of a place to listen at: one port, which may be 0 (any free one), and no subdir.

    Raises:
        UriError: the text is no such URI.
    """
    destination, *more = _explained(text, None, lowest_port=0)
    if more:
        raise UriError(f"{text!r} names two places to listen at, and one is wanted: tcp:// or tcp6://")
    if destination.subdir or destination.repeats:
        raise UriError(f"{text!r}: a place to listen at has no subdir")
    return destination


def parse_hops(text: str, role: StreamType | None = None) -> HopList:
    """Read a list of URIs as the RFC's ``[HOP1,]URI``; a single URI is a list without hops.

    Raises:
        UriError: a URI of the list is wrong, a file is among several, only some are ``net://``, or there are
            more than `MAX_HOPS` hops.
    """
    elements = [tuple(parse(part, role)) for part in _HOP_COMMA.split(text)]
    *hops, last = elements
    if hops and any(element[0].protocol is Protocol.PATH for element in elements):
        raise UriError(f"{text!r}: a file cannot be among hops")
    if any(len(hop) != len(last) for hop in hops):
        raise UriError(f"{text!r}: net:// and other schemes do not mix among hops")
    if len(hops) > MAX_HOPS:
        raise UriError(f"{text!r}: {len(hops)} hops are more than {MAX_HOPS}")
    return HopList(tuple(tuple(replace(each, utype=UriType.HOP) for each in hop) for hop in hops), last)


def _explained(text: str, role: StreamType | None, lowest_port: int) -> list[Destination]:
    """Read one URI; what is wrong with it is said after the URI itself."""
    name = scheme(text)
    try:
        if name is None:
            raise UriError(f"a URI begins with one of {KNOWN_SCHEMES}")
        rest = text[len(name) + len("://") :]
        if name == "file":
            return [_file(rest, role)]
        return _network(_NETWORK[name], rest, role, lowest_port)
    except UriError as problem:
        raise UriError(f"{text!r}: {problem}") from None


def _file(path: str, role: StreamType | None) -> Destination:
    if role is StreamType.DATA:
        raise UriError("data cannot go to a path of its own")
    return Destination(Protocol.PATH, path=path)


def _network(known: _Scheme, rest: str, role: StreamType | None, lowest_port: int) -> list[Destination]:
    if known.both and role is StreamType.DATA:
        raise UriError("net:// names control and data, and cannot stand for data alone")
    if role is not None and role not in known.streams:
        raise UriError("UDP carries data only: control goes over TCP")
    first = known.streams[0] if role is None else role
    streams = known.streams if known.both else (first,)
    rest, repeats = _query(rest) if known.protocol is Protocol.UDP else (rest, False)
    authority, _, subdir = rest.partition("/")
    host, ports = _split(authority)
    if len(ports) > len(streams):
        raise UriError("there are more ports than destinations")
    host = normal_host(host, known.family)
    numbers = [_port(port, lowest_port) for port in ports]
    return [
        Destination(known.protocol, known.family, host, port, folder or "", stream, repeats=repeats)
        for stream, port, folder in zip_longest(streams, numbers, [subdir])
    ]


def _query(rest: str) -> tuple[str, bool]:
    """Split what ``?reliable=1`` says from what stands before it."""
    rest, mark, query = rest.partition("?")
    if mark and query not in ("reliable=0", "reliable=1"):
        raise UriError(f"{query!r} is neither 'reliable=1' nor 'reliable=0'")
    return rest, query == "reliable=1"


def _split(authority: str) -> tuple[str, list[str]]:
    """Split ``host:port:port`` or ``[host]:port:port`` into the host and the texts of its ports."""
    if authority.startswith("["):
        host, bracket, tail = authority[1:].partition("]")
        if not bracket:
            raise UriError("a closing bracket is missing")
        if tail and not tail.startswith(":"):
            raise UriError(f"{tail!r} follows the closing bracket")
        return host, tail.split(":")[1:]
    if is_ipv6(authority):
        raise UriError(f"an IPv6 address is written in brackets: [{authority}]")
    host, *ports = authority.split(":")
    return host, ports


def _port(text: str, lowest: int) -> int | None:
    if not text:
        return None
    if not (digits := _PORT.fullmatch(text)) or not lowest <= (port := int(digits[1])) <= 65535:
        raise UriError(f"{text!r} is no port between {lowest} and 65535")
    return port
