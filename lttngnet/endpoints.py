"""Destinations as Twisted endpoints, to connect to one.

As in LTTng 2.13, ``net`` and ``tcp`` mean IPv4, ``net6`` and ``tcp6`` IPv6, also where a name is resolved.
"""

from typing import Any

from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, quoteStringArgument
from twisted.internet.interfaces import IStreamClientEndpoint

from lttngnet.uri.destination import Destination, Family, Protocol, UriError

TIMEOUT = 30
"""Seconds until an attempt to connect is given up."""


def endpoint(reactor: Any, destination: Destination, timeout: int = TIMEOUT) -> IStreamClientEndpoint:
    """Return the endpoint that connects to a destination; a host name is resolved then, in its family alone.

    Args:
        reactor: provides `IReactorTCP`.
        destination: over TCP, with its port.
        timeout: in seconds.

    Raises:
        UriError: nothing can connect there: a path, data over UDP, or no port.
    """
    _check_tcp(destination)
    make = TCP6ClientEndpoint if destination.family is Family.IPV6 else TCP4ClientEndpoint
    return make(reactor, destination.host, _port(destination), timeout)


def client_endpoint(destination: Destination, timeout: int = TIMEOUT) -> str:
    """Return the destination as a client endpoint string, ``tcp:host=127.0.0.1:port=5342:timeout=30``.

    Raises:
        UriError: as for `endpoint`; or a host name is to be resolved as IPv6, which no string can ask for
            (Twisted's ``tcp:`` looks for IPv4 addresses) and `endpoint` can.
    """
    _check_tcp(destination)
    if destination.is_name and destination.family is Family.IPV6:
        raise UriError(f"{destination}: no endpoint string resolves a name as IPv6")
    return f"tcp:host={quoteStringArgument(destination.host)}:port={_port(destination)}:timeout={timeout}"


def _check_tcp(destination: Destination) -> None:
    if destination.protocol is Protocol.UDP:
        raise UriError(f"{destination}: over UDP there are no connections")
    if destination.protocol is Protocol.PATH:
        raise UriError(f"{destination} is a file, which has no connections")


def _port(destination: Destination) -> int:
    if not destination.port:
        raise UriError(f"{destination} has no port to connect to")
    return destination.port
