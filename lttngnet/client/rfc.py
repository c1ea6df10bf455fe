# ruff: noqa: N801 - the names are the RFC's
"""The RFC *Network consumer* v0.3, section "Client API integration", under its own names.

The enumerations with the RFC's numbers, ``struct lttng_uri``, and the calls. A call opens a connection to the
session daemon and closes it, as those of liblttng-ctl do; where that returns a negative number, ours raise
`CommandError`, whose ``code`` is the number.

::

    await lttng_create_session("session1", None)
    handle = lttng_create_handle("session1")
    await lttng_set_consumer_uri(handle, "net://192.168.1.10")
    await lttng_enable_consumer(handle)
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from lttngnet.client.daemon import Daemon, connect
from lttngnet.errors import Code, CommandError
from lttngnet.uri import Destination, Family, Output, Protocol, StreamType, UriError, UriType, parse_pair
from lttngnet.uri.destination import normal_host


class lttng_dst_type(IntEnum):
    """What `lttng_uri.dst` holds."""

    LTTNG_DST_IPV4 = 0
    LTTNG_DST_IPV6 = 1
    LTTNG_DST_HOST = 2
    LTTNG_DST_PATH = 3


class lttng_uri_type(IntEnum):
    """Whether a URI is a proxy on the way, or the destination."""

    LTTNG_URI_HOP = 0
    LTTNG_URI_DST = 1


class lttng_stream_type(IntEnum):
    """What is sent there."""

    LTTNG_STREAM_CONTROL = 0
    LTTNG_STREAM_DATA = 1


class lttng_proto_type(IntEnum):
    """How it is sent. For a path it means nothing."""

    LTTNG_UDP = 0
    LTTNG_TCP = 1


LTTNG_DST_IPV4, LTTNG_DST_IPV6, LTTNG_DST_HOST, LTTNG_DST_PATH = lttng_dst_type
LTTNG_URI_HOP, LTTNG_URI_DST = lttng_uri_type
LTTNG_STREAM_CONTROL, LTTNG_STREAM_DATA = lttng_stream_type
LTTNG_UDP, LTTNG_TCP = lttng_proto_type


@dataclass(frozen=True)
class lttng_uri:
    """One destination, field by field as in the RFC; `dst` stands for the union of texts.

    Attributes:
        port: 1 to 65535, or 0 for the default: 5342 for control, 5343 for data.
        subdir: folder for the trace below the relay daemon's own; empty where the relay daemon chooses.
        dst: address, host name, or absolute path.
    """

    dtype: lttng_dst_type
    dst: str
    utype: lttng_uri_type = LTTNG_URI_DST
    stype: lttng_stream_type = LTTNG_STREAM_CONTROL
    proto: lttng_proto_type = LTTNG_TCP
    port: int = 0
    subdir: str = ""

    def destination(self) -> Destination:
        """Return what the fields mean. A host name stands for an IPv4 address: the struct does not say.

        Raises:
            UriError: they name no destination.
        """
        if self.dtype is LTTNG_DST_PATH:
            return Destination(Protocol.PATH, path=self.dst)
        family = Family.IPV6 if self.dtype is LTTNG_DST_IPV6 else Family.IPV4
        return Destination(
            Protocol.TCP if self.proto is LTTNG_TCP else Protocol.UDP,
            family,
            normal_host(self.dst, family),
            self.port or None,
            self.subdir,
            StreamType(self.stype),
            UriType.DESTINATION if self.utype is LTTNG_URI_DST else UriType.HOP,
        )


@dataclass(frozen=True)
class lttng_handle:
    """What the calls work on (``struct lttng_handle``).

    Attributes:
        session_name: of an existing session.
        domain: ``kernel``, ``python`` or None. The consumer of a session serves all its domains, so that the
            calls of the RFC do not look at it.
        rundir: the session daemon's run-time folder, or None: as in `lttngnet.client.connect`.
        reactor: None: Twisted's global one.
    """

    session_name: str
    domain: str | None = None
    rundir: str | None = None
    reactor: Any = None


def lttng_create_handle(session_name: str, domain: str | None = None) -> lttng_handle:
    """Return a handle for a session; whether it exists is seen when the handle is used."""
    return lttng_handle(session_name, domain)


async def lttng_create_session(
    name: str, path: str | None, *, rundir: str | None = None, reactor: Any = None
) -> None:
    """Create a session, whose trace goes to a local folder until a consumer URI is set.

    Args:
        name: of the session.
        path: of that folder, or a URI (lttng-tools 2.1); None: the default one.
        rundir: as in `lttng_handle`.
        reactor: as in `lttng_handle`.
    """
    async with _daemon(rundir, reactor) as daemon:
        await daemon.create(name, path)


async def lttng_set_consumer_uri(handle: lttng_handle, uri: str | lttng_uri | Destination | Output) -> None:
    """Set the URI in the consumer template of the session: of control, of data, or of both.

    Raises:
        CommandError: the URI names no destination, or a hop, which is not supported (INVALID); or the daemon
            refuses.
    """
    try:
        if isinstance(uri, lttng_uri):
            uri = uri.destination()
        if isinstance(uri, Destination):
            uri = _output(uri)
    except UriError as problem:
        raise CommandError(Code.INVALID, str(problem)) from None
    async with _daemon(handle.rundir, handle.reactor) as daemon:
        await daemon.handle(handle.session_name).set_consumer_uri(uri)


async def lttng_enable_consumer(handle: lttng_handle) -> None:
    """Enable the consumer template of the session. From then on no URI can be set for that consumer."""
    async with _daemon(handle.rundir, handle.reactor) as daemon:
        await daemon.handle(handle.session_name).enable_consumer()


async def lttng_disable_consumer(handle: lttng_handle) -> None:
    """Let the consumer stop consuming; it still exists, and `lttng_enable_consumer` enables it again."""
    async with _daemon(handle.rundir, handle.reactor) as daemon:
        await daemon.handle(handle.session_name).disable_consumer()


@asynccontextmanager
async def _daemon(rundir: str | None, reactor: Any) -> AsyncIterator[Daemon]:
    if reactor is None:
        from twisted.internet import reactor
    daemon = await connect(reactor, rundir)
    try:
        yield daemon
    finally:
        await daemon.close()


def _output(destination: Destination) -> Output:
    """Return the output, or the half of one, that a destination is; its port becomes known."""
    if destination.utype is UriType.HOP:
        raise UriError("hops are not supported yet")
    if destination.stream is StreamType.DATA:
        return parse_pair(None, str(destination), "/")
    return parse_pair(str(destination), None, "/")
