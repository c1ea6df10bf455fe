"""One destination: what a URI names, checked once, when it is made."""

import re
from dataclasses import dataclass
from enum import Enum, IntEnum
from ipaddress import IPv6Address
from socket import inet_aton, inet_ntoa
from unicodedata import category

CONTROL_PORT = 5342
DATA_PORT = 5343
LIVE_PORT = 5344

PATH_MAX = 4096
"""Bytes of a path or subdir in ``struct lttng_uri``, the NUL at its end included."""


class UriError(ValueError):
    """A URI, or a pair of them, that names no place a trace can go to: one sentence that says why."""


class StreamType(IntEnum):
    """What a destination carries; the numbers are those of ``enum lttng_stream_type``, RFC and 2.13."""

    CONTROL = 0
    DATA = 1


class UriType(Enum):
    """Whether a destination is the last one or a proxy on the way (RFC, "list of hops")."""

    DESTINATION = "destination"
    HOP = "hop"


class Protocol(Enum):
    """How the bytes travel. UDP is the RFC's, for data alone; lttng-tools never built it."""

    PATH = "path"
    TCP = "tcp"
    UDP = "udp"


class Family(Enum):
    """The address family, which the scheme decides: ``tcp`` and ``net`` mean IPv4 alone, as in LTTng 2.13."""

    IPV4 = "IPv4"
    IPV6 = "IPv6"


_SCHEMES = {
    (Protocol.TCP, Family.IPV4): "tcp4",
    (Protocol.TCP, Family.IPV6): "tcp6",
    (Protocol.UDP, Family.IPV4): "udp",
    (Protocol.UDP, Family.IPV6): "udp6",
}
_LOOPBACK = {Family.IPV4: "127.0.0.1", Family.IPV6: "::1"}
_LABEL = r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)"
_HOST_NAME = re.compile(rf"(?=.{{1,253}}\Z)(?:{_LABEL}\.)*{_LABEL}\.?")
_ENDS_IN_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0[xX][0-9A-Fa-f]*)\.?")


@dataclass(frozen=True, slots=True)
class Destination:
    """A path, or an address with the port and the folder on the other side: ``struct lttng_uri`` as Python.

    Attributes:
        protocol: PATH, TCP or UDP.
        family: of the address; None for a path.
        host: numeric address as it was typed (short IPv4 forms written out), or a host name, which whoever
            connects resolves in `family` alone. Empty for a path.
        port: 1 to 65535; 0, any free port, only where one listens; None where the default is meant.
        subdir: folder for the trace below the relay's own; empty where the relay chooses.
        stream: what is carried.
        utype: last destination, or hop on the way.
        path: absolute, for PATH alone.
        repeats: whether what is lost on the way is sent again, for UDP alone: ``?reliable=1``.

    Raises:
        UriError: the fields name no destination.
    """

    protocol: Protocol
    family: Family | None = None
    host: str = ""
    port: int | None = None
    subdir: str = ""
    stream: StreamType = StreamType.CONTROL
    utype: UriType = UriType.DESTINATION
    path: str = ""
    repeats: bool = False

    def __post_init__(self) -> None:
        if self.protocol is Protocol.PATH:
            self._check_path()
        else:
            self._check_address()

    def __str__(self) -> str:
        """Return the URI that `parse`, told the stream, reads as this destination (a hop as a last one)."""
        if self.family is None:
            return f"file://{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port is None else f":{self.port}"
        query = "?reliable=1" if self.repeats else ""
        return f"{_SCHEMES[self.protocol, self.family]}://{host}{port}/{self.subdir}{query}"

    @property
    def is_name(self) -> bool:
        """Whether the host is a name, which somebody must resolve, and no address."""
        return bool(self.host) and ":" not in self.host and not _ENDS_IN_NUMBER.fullmatch(self.host)

    def same_host(self, other: "Destination") -> bool:
        """Tell whether both name the same address, as far as their texts say: no name is resolved."""
        return _comparable(self.host) == _comparable(other.host)

    def _check_path(self) -> None:
        if self.family or self.host or self.port is not None or self.subdir or self.repeats:
            raise UriError("a path has no address, no port and no subdir")
        if self.stream is not StreamType.CONTROL or self.utype is not UriType.DESTINATION:
            raise UriError("a path stands by itself: it is neither for data alone nor a hop")
        if not self.path.startswith("/"):
            raise UriError(f"the path {self.path!r} is not absolute")
        _check_file_name("path", self.path)

    def _check_address(self) -> None:
        if self.family is None or self.path:
            raise UriError("a network destination has an address family and no path")
        if normal_host(self.host, self.family) != self.host:
            raise UriError(f"the address {self.host!r} is not in its normal form")
        if self.port is not None and not 0 <= self.port <= 65535:
            raise UriError(f"the port {self.port} is not between 1 and 65535")
        if self.protocol is Protocol.UDP and self.stream is not StreamType.DATA:
            raise UriError("UDP carries data only: control goes over TCP")
        if self.repeats and self.protocol is not Protocol.UDP:
            raise UriError("only what goes over UDP is sent again")
        if self.protocol is Protocol.UDP and "?" in self.subdir:
            raise UriError(f"the subdir {self.subdir!r} has a '?', which has a meaning with UDP")
        if self.subdir.startswith("/"):
            raise UriError(f"the subdir {self.subdir!r} is absolute")
        _check_file_name("subdir", self.subdir)


def normal_host(host: str, family: Family) -> str:
    """Return a host as a `Destination` keeps it, without asking a resolver.

    An address stays as typed, a short IPv4 form (``127.1``) is written out as `inet_aton` reads it,
    ``localhost`` is the loopback address, any other name stays.

    Raises:
        UriError: neither a host name nor an address of that family.
    """
    if not host:
        raise UriError("the host is missing")
    if host.lower() == "localhost":
        return _LOOPBACK[family]
    if ":" in host:
        _check_ipv6(host)
        actual = Family.IPV6
    elif not _HOST_NAME.fullmatch(host):
        raise UriError(f"{host!r} is neither a host name nor an address")
    elif _ENDS_IN_NUMBER.fullmatch(host):  # no name ends in a number: it is, or was to be, an IPv4 address
        host = _written_out(host)
        actual = Family.IPV4
    else:
        return host
    if actual is not family:
        raise UriError(f"{host} is an {actual.value} address, and the scheme asks for {family.value}")
    return host


def is_ipv6(text: str) -> bool:
    """Tell whether a text is an IPv6 address, with or without a zone."""
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True


def _check_ipv6(text: str) -> None:
    if "%" in text:
        raise UriError(f"the address {text!r} has a zone, which LTTng cannot carry")
    if not is_ipv6(text):
        raise UriError(f"{text!r} is no IPv6 address")


def _written_out(text: str) -> str:
    try:
        return inet_ntoa(inet_aton(text))
    except OSError:
        raise UriError(f"{text!r} is no IPv4 address") from None


def _comparable(host: str) -> str:
    return IPv6Address(host).compressed if ":" in host else host.lower()


def _check_file_name(what: str, text: str) -> None:
    if any(category(character) == "Cc" for character in text):
        raise UriError(f"the {what} {text!r} has a control character in it")
    if ".." in text.split("/"):
        raise UriError(f"the {what} {text!r} climbs with '..'")
    try:
        size = len(text.encode(errors="surrogateescape"))
    except UnicodeEncodeError:
        raise UriError(f"the {what} {text!r} is not text that a file can be named by") from None
    if size >= PATH_MAX:
        raise UriError(f"the {what} is {size} bytes long, and at most {PATH_MAX - 1} fit")
