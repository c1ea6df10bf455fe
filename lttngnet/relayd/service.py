"""``twistd lttng-relayd``: the relay daemon as a service.

A daemon that cannot start says so in one line and exits with status 1.
"""

import json
import os
import socket
from functools import partial
from pathlib import Path
from typing import Any

from twisted.application.service import MultiService, Service
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IReactorTime, IStreamServerEndpoint
from twisted.python.failure import Failure

from lttngnet.accepting import Entrance
from lttngnet.listening import listening_endpoint
from lttngnet.log import ChannelLogger, Logger, set_verbosity
from lttngnet.relayd.configuration import SocketOptions, socket_options
from lttngnet.relayd.control import ControlFactory
from lttngnet.relayd.data import DataFactory
from lttngnet.relayd.datagrams import DatagramPort, Datagrams
from lttngnet.relayd.garbage import Garbage
from lttngnet.relayd.health import HealthSocket, Part, Pulse, health_path
from lttngnet.relayd.live import ViewerFactory
from lttngnet.relayd.options import NOWHERE, Options, cannot_start
from lttngnet.relayd.peers import Peers, peers_limit
from lttngnet.relayd.plane import Plane
from lttngnet.relayd.planes import plane_kind
from lttngnet.relayd.store.layout import Grouping
from lttngnet.relayd.store.pool import descriptor_limit, open_files_limit
from lttngnet.relayd.store.store import Store
from lttngnet.relayd.store.tree import FOLDER_MODE
from lttngnet.startup import callers_umask, end_by_signal

__all__ = ["Options", "makeService"]

AT_ONCE = (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
"""An answer does not wait for the peer to acknowledge the one before, which may take 40 ms."""

QUEUE = 1024
"""Connections that may wait to be accepted: whoever finds no room tries again a second later."""

log = ChannelLogger("lttngnet.relayd.service")


def url_of(address: IPv4Address | IPv6Address) -> str:
    """Return the address as an LTTng URL."""
    if isinstance(address, IPv6Address):
        return f"tcp6://[{address.host}]:{address.port}"
    return f"tcp://{address.host}:{address.port}"


def reason(failure: Failure) -> str:
    """Return where one could not listen and why. What is neither taken nor forbidden is raised again."""
    problem = failure.value
    if isinstance(problem, CannotListenError) and isinstance(problem.socketError, OSError):
        return f" on {problem.interface}:{problem.port}: {problem.socketError.strerror}"
    failure.trap(CannotListenError, OSError, ValueError)
    return f": {problem}"


def set_socket_options(descriptor: int, options: SocketOptions) -> None:
    """Set options of a TCP socket that somebody else owns."""
    with socket.socket(fileno=os.dup(descriptor)) as same:
        for option in options:
            same.setsockopt(*option)


class Listening(Service):
    """Listens at one endpoint while it runs.

    Args:
        what: its name, for people.
        endpoint: where to listen.
        factory: of what serves the connections.
        peers: counts them, and says when nobody is let in.
        clock: the reactor.
        socket_options: to set on the socket, whence those that are accepted inherit them.

    Attributes:
        address: of the port; None before, and where the endpoint has none.
        port: its number; None as well.
    """

    log = Logger()

    def __init__(
        self,
        what: str,
        endpoint: IStreamServerEndpoint,
        factory: IProtocolFactory,
        peers: Peers,
        clock: IReactorTime,
        socket_options: SocketOptions = (),
    ) -> None:
        self.setName(what)
        self.address: IPv4Address | IPv6Address | None = None
        self.port: int | None = None
        self._endpoint = endpoint
        self._factory = factory
        self._peers = peers
        self._clock = clock
        self._socket_options = socket_options
        self._listening: Any = None
        self._entrance: Entrance | None = None

    @property
    def is_open(self) -> bool:
        """Whether it listens."""
        return self._listening is not None and bool(self._listening.connected)

    def privilegedStartService(self) -> None:
        """Listen. Raises CannotStart."""
        failures: list[Failure] = []
        self._endpoint.listen(self._factory).addCallbacks(self._opened, failures.append)
        for failure in failures:
            raise cannot_start(f"cannot listen for {self.name}{reason(failure)}") from None
        super().privilegedStartService()

    def stopService(self) -> "Deferred[None] | None":
        """Stop to listen."""
        super().stopService()
        if self._listening is None or self._entrance is None:
            return None
        listening, self._listening = self._listening, None
        self._peers.leave_alone(self._entrance)
        self._entrance.leave()
        stopping: Deferred[None] | None = listening.stopListening()
        return stopping

    def _opened(self, listening: IListeningPort) -> None:
        self._listening = listening
        with socket.socket(fileno=os.dup(self._listening.fileno())) as queue:
            queue.listen(QUEUE)
        self._entrance = Entrance(str(self.name), listening, self._clock)
        self._peers.watch(self._entrance)
        where: object = listening.getHost()
        if isinstance(where, IPv4Address | IPv6Address):
            self.address, self.port = where, where.port
            where = url_of(where)
            set_socket_options(self._listening.fileno(), self._socket_options)
        self.log.info("Listening for {what} on {where}", what=self.name, where=where)


class RelayDaemon(MultiService):
    """The daemon: its listeners, its store, and what it changes of the process it runs in.

    Args:
        reactor: is stopped by SIGTERM and SIGINT.
        options: as parsed.
        store: is closed when the daemon stops.
        plane: is closed with it.
        umask: to write with; None leaves it as it is.
    """

    log = Logger()

    def __init__(self, reactor: Any, options: Options, store: Store, plane: Plane, umask: int | None) -> None:
        super().__init__()
        self._reactor = reactor
        self._options = options
        self._store = store
        self._plane = plane
        self._umask = umask

    def ailing(self) -> Part:
        """Return what is not well."""
        parts = Part(0)
        for service in self:
            if isinstance(service, Listening) and not service.is_open:
                parts |= Part.LIVE_LISTENER if service.name == "live" else Part.LISTENER
            elif isinstance(service, Pulse) and not service.is_well():
                parts |= Part.WORKER
        return parts

    def privilegedStartService(self) -> None:
        """Make the process ours, then listen. Raises CannotStart."""
        if self._umask is not None:
            os.umask(self._umask)
        if folder := self._options["working-directory"]:
            change_folder(folder)
        try:
            Path(self._options["output"]).mkdir(FOLDER_MODE, parents=True, exist_ok=True)
        except OSError as problem:
            raise cannot_start(problem) from None
        self._store.recover()
        super().privilegedStartService()

    def startService(self) -> None:
        """Say which ports are listened on. Raises CannotStart."""
        super().startService()
        end_by_signal(self._reactor)
        if self._options["ports-file"]:
            try:
                self._write_ports(Path(self._options["ports-file"]))
            except OSError as problem:
                raise cannot_start(problem) from None

    def stopService(self) -> Any:
        """End every session, then stop to listen."""
        self._store.close()
        self._plane.close()
        return super().stopService()

    def _write_ports(self, path: Path) -> None:
        """Write all at once, for who waits for the file to appear."""
        ports = {listening.name: listening.port for listening in self if isinstance(listening, Listening)}
        if self._options["data-udp-port"]:  # else it has the number of the one for data
            ports |= {each.name: each.port for each in self if isinstance(each, DatagramPort)}
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.write_text(json.dumps(ports) + "\n")
        draft.replace(path)


def change_folder(folder: str) -> None:
    """Work in a folder from now on. Raises CannotStart."""
    try:
        os.chdir(folder)
    except OSError as problem:
        raise cannot_start(f'Failed to change working directory to "{folder}": {problem.strerror}') from None
    if not os.access(".", os.W_OK):
        log.info('Working directory "{folder}" is not writable', folder=folder)


def makeService(options: Options) -> RelayDaemon:
    """Make the daemon of its options."""
    from twisted.internet import reactor

    set_verbosity(options["verbose"])
    grouping = Grouping.SESSION if options["group-output-by-session"] else Grouping.HOST
    open_files = open_files_limit(options["fd-pool-size"])
    store = Store(
        Path(options["output"]),
        grouping,
        not options["disallow-clear"],
        open_files=open_files,
        reactor=reactor,
        resume_within=options["resume-within"],
    )
    peers = Peers(peers_limit(descriptor_limit(), open_files))
    peers.watch(store.strangers)
    kind = plane_kind(os.environ)
    log.info("Packets go through the plane in {name}", name=kind.name)
    plane = kind(reactor, store.rounds, reactor.seconds)
    daemon = RelayDaemon(reactor, options, store, plane, callers_umask(options))
    factories = {
        "control": ControlFactory(store, reactor, peers, plane),
        "data": DataFactory(store, peers, plane),
        "live": ViewerFactory(store, peers, plane),
    }
    for what, factory in factories.items():
        factory.noisy = options["verbose"] > 1
        endpoint = listening_endpoint(reactor, options[f"{what}-port"])
        options_of_peers = [AT_ONCE, *(() if what == "live" else socket_options(os.environ))]
        Listening(what, endpoint, factory, peers, reactor, options_of_peers).setServiceParent(daemon)
    _take_datagrams(reactor, options["data-udp-port"], store, daemon)
    Pulse(reactor).setServiceParent(daemon)
    Garbage(reactor).setServiceParent(daemon)
    health = partial(health_path, os.environ, os.geteuid())
    HealthSocket(reactor, health, options["group"], daemon.ailing).setServiceParent(daemon)
    return daemon


def _take_datagrams(
    reactor: Any, wanted: tuple[str, int] | str | None, store: Store, daemon: RelayDaemon
) -> None:
    """Let data come over UDP, where it is wanted; by default beside TCP."""

    def where() -> tuple[str, int] | None:
        if isinstance(wanted, tuple):
            return wanted
        beside: Any = daemon.getServiceNamed("data")
        return None if beside.address is None else (beside.address.host, beside.address.port)

    if wanted == NOWHERE:
        return
    store.datagrams = datagrams = Datagrams(store.rounds, reactor)
    port = DatagramPort(reactor, datagrams, where, wanted is not None, cannot_start, reactor.seconds)
    port.setServiceParent(daemon)
