"""Where a daemon listens, as its options say it: LTTng URLs and Twisted's server endpoint strings.

As in LTTng 2.13, ``tcp`` means IPv4 and ``tcp6`` IPv6. For plain TCP, Twisted's endpoints are not imported.
"""

import re
from typing import Any

from twisted.internet.defer import Deferred, execute
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from zope.interface import implementer

from lttngnet.uri.destination import Destination, Family, Protocol, UriError
from lttngnet.uri.text import parse_listener, scheme

_PLAIN = re.compile(r"tcp6?:(\d+):interface=((?:[^\\:=]|\\.)*)")
_ESCAPED = re.compile(r"\\(.)")


def server_endpoint(where: str | Destination, default_port: int) -> str:
    """Return the endpoint string to listen with, for an option such as the relay daemon's ``--control-port``.

    Args:
        where: an LTTng URL (``tcp://0.0.0.0:5342``, ``tcp6://[::]``) or a destination, port 0 for any free
            one; or a Twisted server endpoint string (``ssl:…``, ``unix:…``, ``tcp:0``), returned as it is.
        default_port: the port of an LTTng URL without one.

    Raises:
        UriError: it is neither, or one cannot listen there.
    """
    if isinstance(where, str):
        if scheme(where) is None:
            if ":" not in where:
                raise UriError(
                    f"{where!r} is neither an LTTng URL (tcp://0.0.0.0:{default_port}) nor an endpoint"
                )
            return where
        where = parse_listener(where)
    if where.protocol is Protocol.UDP:
        raise UriError(f"{where}: only data may come over UDP, and has an option of its own for it")
    if where.protocol is Protocol.PATH:
        raise UriError(f"{where} is a file, which has no connections")
    if where.is_name and where.family is Family.IPV6:
        raise UriError(f"{where}: one listens at an address: no name is resolved as IPv6 here")
    kind = "tcp6" if where.family is Family.IPV6 else "tcp"
    port = default_port if where.port is None else where.port
    interface = where.host.replace("\\", "\\\\").replace(":", "\\:")
    return f"{kind}:{port}:interface={interface}"


def datagram_address(where: str, default_port: int) -> tuple[str, int]:
    """Return the address and the port to take datagrams at, for the option ``--data-udp-port``.

    Args:
        where: ``udp://0.0.0.0:5343``, ``udp6://[::]``; port 0 for any free one.
        default_port: the port of a URL without one.

    Raises:
        UriError: one cannot listen there.
    """
    destination = parse_listener(where)
    if destination.protocol is not Protocol.UDP:
        raise UriError(f"{where!r}: udp:// or udp6:// is wanted")
    if destination.is_name:
        raise UriError(f"{where!r}: one listens at an address, and no name is resolved here")
    return destination.host, default_port if destination.port is None else destination.port


def is_plain(string: str) -> bool:
    """Tell whether nobody needs TLS to listen at an endpoint string."""
    return string.startswith(("tcp:", "tcp6:", "unix:"))


def listening_endpoint(reactor: Any, string: str) -> IStreamServerEndpoint:
    """Return what listens at an endpoint string. Raises ValueError."""
    if found := _PLAIN.fullmatch(string):
        return _Tcp(reactor, int(found[1]), _ESCAPED.sub(r"\1", found[2]))

    from twisted.internet.endpoints import serverFromString

    endpoint: IStreamServerEndpoint = serverFromString(reactor, string)
    return endpoint


@implementer(IStreamServerEndpoint)
class _Tcp:
    """Listens at a port of an address."""

    def __init__(self, reactor: Any, port: int, interface: str) -> None:
        self._reactor = reactor
        self._port = port
        self._interface = interface

    def listen(self, factory: IProtocolFactory) -> "Deferred[IListeningPort]":
        """Listen."""
        return execute(self._reactor.listenTCP, self._port, factory, interface=self._interface)
