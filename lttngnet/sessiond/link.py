"""The link: control and data connection both established, or the whole is aborted (RFC *Network consumer*).

The machine holds the rule; `establish` makes the connections and lets the machine decide. What comes of it is
two connected sockets that no transport of this process owns, ready to be passed to a consumer process.

Over UDP there is no data connection: the relay daemon knows whose datagrams are by what it said on the
control connection. So the session is created first, and the data path stands once a hello is acknowledged.
"""

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from math import ceil
from socket import gaierror
from typing import Any, Protocol

from automat import TypeMachineBuilder
from twisted.internet import error
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import connectProtocol
from twisted.internet.interfaces import IDelayedCall, ITransport
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from lttngnet.consumer.control import ControlClient, how_it_ended
from lttngnet.consumer.datagrams import Terms
from lttngnet.consumer.relay import RelaySession
from lttngnet.endpoints import endpoint
from lttngnet.errors import Code, CommandError, RelayLost, RelayRefused
from lttngnet.log import Logger
from lttngnet.sessiond.control import open_datagrams, open_session
from lttngnet.sessiond.greeting import Greeting
from lttngnet.uri import Destination, Output, UriError
from lttngnet.uri import Protocol as Transport
from lttngnet.wire.relay import CreateSession


class Link(Protocol):
    """What can happen while a link is made."""

    def over_datagrams(self) -> None:
        """Data is to go over UDP."""

    def control_up(self) -> None:
        """The control connection stands."""

    def data_up(self) -> None:
        """The data connection stands, or a hello over UDP was acknowledged."""

    def opened(self) -> None:
        """The relay daemon has created the session."""

    def failed(self, why: BaseException) -> None:
        """A connection was refused or lost, or the relay daemon does not want the session."""


@dataclass
class Ends:
    """What the machine can do.

    Attributes:
        open_session: create the session on the control connection.
        greet: say hello over UDP.
        hand_over: both are established; take them.
        abandon: close whatever is open, and tell the user.
    """

    open_session: Callable[[], None]
    greet: Callable[[], None]
    hand_over: Callable[[], None]
    abandon: Callable[[BaseException], None]


builder = TypeMachineBuilder(Link, Ends)

connecting = builder.state("connecting")
control_alone = builder.state("control alone")
data_alone = builder.state("data alone")
joined = builder.state("joined")
calling = builder.state("calling")
asking = builder.state("asking")
greeting = builder.state("greeting")
established = builder.state("established")
aborted = builder.state("aborted")

connecting.upon(Link.control_up).to(control_alone).returns(None)
connecting.upon(Link.data_up).to(data_alone).returns(None)
connecting.upon(Link.over_datagrams).to(calling).returns(None)


@control_alone.upon(Link.data_up).to(joined)
@data_alone.upon(Link.control_up).to(joined)
def join(link: Link, ends: Ends) -> None:
    """Both stand: only now the relay daemon is asked for anything."""
    ends.open_session()


@calling.upon(Link.control_up).to(asking)
def ask(link: Link, ends: Ends) -> None:
    """The relay daemon is asked for the session, which the data path will belong to."""
    ends.open_session()


@asking.upon(Link.opened).to(greeting)
def greet(link: Link, ends: Ends) -> None:
    """It gave a token: what is sealed by it is known to be ours."""
    ends.greet()


@joined.upon(Link.opened).to(established)
@greeting.upon(Link.data_up).to(established)
def hand_over(link: Link, ends: Ends) -> None:
    """The link is made."""
    ends.hand_over()


@connecting.upon(Link.failed).to(aborted)
@control_alone.upon(Link.failed).to(aborted)
@data_alone.upon(Link.failed).to(aborted)
@joined.upon(Link.failed).to(aborted)
@calling.upon(Link.failed).to(aborted)
@asking.upon(Link.failed).to(aborted)
@greeting.upon(Link.failed).to(aborted)
def abandon(link: Link, ends: Ends, why: BaseException) -> None:
    """One fails, all is aborted."""
    ends.abandon(why)


for over in (established, aborted):  # what was still under way comes too late to matter
    for late in (Link.over_datagrams, Link.control_up, Link.data_up, Link.opened, Link.failed):
        over.upon(late).loop().returns(None)

# A connection stands once, and the session is created after both stand: what is not said here is a defect.

link_machine = builder.build()


class DataPath(TwistedProtocol):
    """The data connection while the link is made: nothing may happen on it but its end."""

    transport: ITransport

    def __init__(self, on_lost: Callable[[str], None]) -> None:
        self._on_lost = on_lost

    def dataReceived(self, data: bytes) -> None:
        """Refuse a peer that is no relay daemon."""
        self._on_lost("something that is no relay daemon speaks on the data connection")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell."""
        self._on_lost(how_it_ended("data", reason))


@dataclass
class Established:
    """A link: descriptors of the two sockets, and what the relay daemon said. Whoever has it closes it."""

    control: int
    data: int
    session: RelaySession

    def close(self) -> None:
        """Close our copies of the sockets; a process that they were passed to keeps its own."""
        os.close(self.control)
        os.close(self.data)


class Establishing:
    """Makes one link."""

    log = Logger()

    def __init__(self, reactor: Any, output: Output, wanted: CreateSession, timeout: float) -> None:
        assert output.control is not None and output.data is not None
        self._reactor = reactor
        self._timeout = timeout
        self._wanted = wanted
        self._done: Deferred[Established] = Deferred()
        self._session: RelaySession | None = None
        self._where = output.data
        self._is_udp = output.data.protocol is Transport.UDP
        self._greeting: Greeting | None = None
        self._patience: IDelayedCall | None = None
        ends = Ends(self._open_session, self._greet, self._hand_over, self._abandon)
        self._link = link_machine(ends)
        self._control = ControlClient(reactor, timeout, lambda why: self._link.failed(RelayLost(why)))
        self._data = DataPath(lambda why: self._link.failed(RelayLost(why)))
        self._attempts: list[Deferred[None]] = []
        if self._is_udp:
            self._link.over_datagrams()
        self._connect("control", output.control, self._control, self._link.control_up)
        if not self._is_udp:
            self._connect("data", output.data, self._data, self._link.data_up)

    def result(self) -> Deferred[Established]:
        """Return what fires with the link, or fails with a `CommandError`."""
        return self._done

    def _connect(
        self, what: str, where: Destination, protocol: TwistedProtocol, up: Callable[[], None]
    ) -> None:
        def refused(failure: Failure) -> None:
            if not failure.check(CancelledError):
                self._link.failed(RelayLost(f"the {what} connection to {where} failed: {reason_of(failure)}"))

        attempt = connectProtocol(endpoint(self._reactor, where, ceil(self._timeout)), protocol)
        self._attempts.append(attempt.addCallbacks(lambda _: up(), refused))

    def _open_session(self) -> None:
        def opened(session: RelaySession) -> None:
            self._session = session
            self._link.opened()

        def failed(failure: Failure) -> None:
            assert failure.value is not None
            self._link.failed(failure.value)

        opening = Deferred.fromCoroutine(self._open())
        opening.addCallbacks(opened, failed)

    async def _open(self) -> RelaySession:
        session = await open_session(self._control, self._wanted, self._is_udp)
        if self._is_udp:
            self._opened = await open_datagrams(self._control, self._where.repeats)
        return session

    def _greet(self) -> None:
        def silent() -> None:
            self._patience = None
            self._link.failed(
                RelayLost(
                    f"nothing came back from {self._where} within {self._timeout:g} s: data over UDP does "
                    "not get through"
                )
            )

        self._patience = self._reactor.callLater(self._timeout, silent)
        self._greeting = Greeting(
            self._reactor,
            self._where,
            self._opened,
            self._acknowledged,
            lambda why: self._link.failed(RelayLost(why)),
        )

    def _acknowledged(self, largest: int) -> None:
        assert self._session is not None
        terms = Terms(
            self._opened.connection, self._opened.token.hex(), largest, self._opened.room, self._where.repeats
        )
        self._session.datagrams = asdict(terms)
        self._link.data_up()

    def _hand_over(self) -> None:
        assert self._session is not None
        self._stop_waiting()
        control = take_socket(self._control.transport)
        greeting = self._greeting
        data = take_socket(self._data.transport) if greeting is None else greeting.take_socket()
        self._done.callback(Established(control, data, self._session))

    def _stop_waiting(self) -> None:
        patience, self._patience = self._patience, None
        if patience is not None:
            patience.cancel()

    def _abandon(self, why: BaseException) -> None:
        self._stop_waiting()
        if self._greeting is not None:
            self._greeting.stop()
        for attempt in self._attempts:
            attempt.cancel()
        for protocol in (self._control, self._data):
            if protocol.transport is not None:
                protocol.transport.abortConnection()  # type: ignore[attr-defined]
        self._done.errback(why)


async def establish(reactor: Any, output: Output, wanted: CreateSession, timeout: float) -> Established:
    """Connect control and data to the output's destinations and create the session there.

    Args:
        reactor: to connect with.
        output: complete, over the network.
        wanted: the session.
        timeout: seconds for each connection, and for each answer.

    Raises:
        CommandError: nothing was established, and which part failed why.
    """
    try:
        return await Establishing(reactor, output, wanted, timeout).result()
    except UriError as problem:
        raise CommandError(Code.INVALID, str(problem)) from None
    except (RelayLost, RelayRefused) as failure:
        raise CommandError(Code.RELAYD_CONNECT_FAIL, f"{failure}; nothing was established") from None


def take_socket(transport: Any) -> int:
    """Take the socket out of a transport, which never learns of it, and return its descriptor.

    The peer sees nothing: the connection is neither shut down nor closed.
    """
    transport.stopReading()
    transport.stopWriting()
    descriptor: int = transport.getHandle().detach()
    return descriptor


def reason_of(failure: Failure) -> str:
    """Return in a few words why a connection could not be made."""
    if failure.check(error.ConnectionRefusedError):
        return "connection refused (is a relay daemon listening there?)"
    if failure.check(error.TimeoutError):
        return "no answer in time"
    if failure.check(error.DNSLookupError):
        return "the host name is not known"
    if isinstance(failure.value, gaierror):
        return "the host name is not known"
    if isinstance(failure.value, error.ConnectError) and isinstance(failure.value.osError, int):
        return os.strerror(failure.value.osError)
    return failure.getErrorMessage()
