"""``twistd lttng-relayd``: the relay daemon as a service, and its options.

A daemon that cannot start says so in one line and exits with status 1.
"""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from twisted.application.service import MultiService, Service
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.python import usage
from twisted.python.failure import Failure

from lttngnet.endpoints import server_endpoint
from lttngnet.log import Logger
from lttngnet.relayd.control import ControlFactory
from lttngnet.relayd.data import DataFactory
from lttngnet.relayd.store.layout import Grouping
from lttngnet.relayd.store.store import Store
from lttngnet.relayd.store.tree import FOLDER_MODE
from lttngnet.rundir import home
from lttngnet.startup import CannotStart, end_by_signal
from lttngnet.wire.relay import MAJOR, MINOR

CONTROL_PORT, DATA_PORT = 5342, 5343
FEWEST_DESCRIPTORS = 100  # of the genuine daemon's --fd-pool-size


def cannot_start(why: object) -> CannotStart:
    """Return what to raise: one line, and status 1."""
    return CannotStart("lttng-relayd", why)


def listener(default_port: int) -> Callable[[str], str]:
    """Return what makes an endpoint string of the value of a port option."""

    def coerce(text: str) -> str:
        return server_endpoint(text, default_port)

    coerce.coerceDoc = "An LTTng URL or a Twisted server endpoint."  # type: ignore[attr-defined]
    return coerce


def pool_size(text: str) -> int:
    """Check the value of --fd-pool-size."""
    size = int(text)
    if size < FEWEST_DESCRIPTORS:
        raise ValueError(f"the pool needs at least {FEWEST_DESCRIPTORS} descriptors")
    return size


class Options(usage.Options):
    """Options of ``twistd lttng-relayd``, named as the genuine daemon's."""

    synopsis = "[options]"
    longdesc = (
        "Receives LTTng traces over the network and writes them as CTF. A URL is an LTTng URL such as "
        "tcp://0.0.0.0:5342 or tcp6://[::]:5342, or a Twisted server endpoint string; port 0 is any free one."
    )
    optFlags = [
        ["group-output-by-session", "s", "Write to SESSION/HOST-DATETIME instead of HOST/SESSION-DATETIME."],
        ["group-output-by-host", "p", "Write to HOST/SESSION-DATETIME (the default)."],
        ["disallow-clear", "x", "Let no peer delete what it sent before."],
    ]
    optParameters = [
        ["output", "o", None, "Folder for traces, absolute (default: $LTTNG_HOME or $HOME, lttng-traces)."],
        [
            "control-port",
            "C",
            f"tcp:{CONTROL_PORT}:interface=0.0.0.0",
            "URL for control.",
            listener(CONTROL_PORT),
        ],
        ["data-port", "D", f"tcp:{DATA_PORT}:interface=0.0.0.0", "URL for data.", listener(DATA_PORT)],
        ["live-port", "L", None, "URL for live viewers; not served yet."],
        ["working-directory", "w", None, "Folder to work in."],
        ["fd-pool-size", None, None, "Files to hold open at most (accepted, not needed).", pool_size],
        [
            "ports-file",
            None,
            None,
            'File to write the ports to that are listened on: {"control": 5342, "data": 5343}.',
        ],
    ]

    def __init__(self) -> None:
        super().__init__()
        self["verbose"] = 0

    def opt_verbose(self) -> None:
        """Say more in the log; may be given more than once."""
        self["verbose"] += 1

    opt_v = opt_verbose

    def opt_version(self) -> NoReturn:
        """Print the version of the relay protocol and exit."""
        print(f"lttng-relayd {MAJOR}.{MINOR} (lttngnet)")
        raise SystemExit(0)

    opt_V = opt_version

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Parse; every mistake of the user is one line."""
        try:
            super().parseOptions(options)
        except usage.UsageError as mistake:
            raise cannot_start(mistake) from None

    def postOptions(self) -> None:
        """Fill in what the environment says. Raises UsageError."""
        if self["group-output-by-session"] and self["group-output-by-host"]:
            raise usage.UsageError("output is grouped by session or by host, not both")
        if self["output"] is None:
            self["output"] = str(Path(home(os.environ), "lttng-traces").absolute())
        if not Path(self["output"]).is_absolute():
            raise usage.UsageError(f"the output folder {self['output']!r} is not absolute")
        self["disallow-clear"] = self["disallow-clear"] or "LTTNG_RELAYD_DISALLOW_CLEAR" in os.environ
        self["working-directory"] = self["working-directory"] or os.environ.get(
            "LTTNG_RELAYD_WORKING_DIRECTORY"
        )


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


class Listening(Service):
    """Listens at one endpoint while it runs.

    Attributes:
        port: the number of the port; None before, and where the endpoint has none.
    """

    log = Logger()

    def __init__(self, what: str, endpoint: IStreamServerEndpoint, factory: IProtocolFactory) -> None:
        self.setName(what)
        self.port: int | None = None
        self._endpoint = endpoint
        self._factory = factory
        self._listening: IListeningPort | None = None

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
        return self._listening.stopListening() if self._listening else None

    def _opened(self, listening: IListeningPort) -> None:
        self._listening = listening
        where: object = listening.getHost()
        if isinstance(where, IPv4Address | IPv6Address):
            self.port = where.port
            where = url_of(where)
        self.log.info("Listening for {what} on {where}", what=self.name, where=where)


class RelayDaemon(MultiService):
    """The daemon: its listeners, its store, and what it changes of the process it runs in.

    Args:
        reactor: is stopped by SIGTERM and SIGINT.
        options: as parsed.
        store: is closed when the daemon stops.
        umask: to write with; None leaves it as it is.
    """

    log = Logger()

    def __init__(self, reactor: Any, options: Options, store: Store, umask: int | None) -> None:
        super().__init__()
        self._reactor = reactor
        self._options = options
        self._store = store
        self._umask = umask

    def privilegedStartService(self) -> None:
        """Make the process ours, then listen. Raises CannotStart."""
        if self._umask is not None:
            os.umask(self._umask)
        try:
            if self._options["working-directory"]:
                os.chdir(self._options["working-directory"])
            Path(self._options["output"]).mkdir(FOLDER_MODE, parents=True, exist_ok=True)
        except OSError as problem:
            raise cannot_start(problem) from None
        super().privilegedStartService()
        if self._options["live-port"]:
            self.log.warn(
                "Nothing listens on {url}: live viewing is not served yet", url=self._options["live-port"]
            )

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
        return super().stopService()

    def _write_ports(self, path: Path) -> None:
        """Write all at once, for who waits for the file to appear."""
        ports = {listening.name: listening.port for listening in self if isinstance(listening, Listening)}
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.write_text(json.dumps(ports) + "\n")
        draft.replace(path)


def callers_umask(options: Options) -> int | None:
    """Return the umask that twistd would replace by its own when it detaches; None if the user chose one."""
    if options.parent is not None and options.parent["umask"] is not None:
        return None
    umask = os.umask(0)  # there is no other way to read it
    os.umask(umask)
    return umask


def makeService(options: Options) -> RelayDaemon:
    """Make the daemon of its options."""
    from twisted.internet import reactor

    grouping = Grouping.SESSION if options["group-output-by-session"] else Grouping.HOST
    store = Store(Path(options["output"]), grouping, not options["disallow-clear"])
    daemon = RelayDaemon(reactor, options, store, callers_umask(options))
    for what, factory in (("control", ControlFactory(store)), ("data", DataFactory(store))):
        factory.noisy = options["verbose"] > 0
        endpoint = serverFromString(reactor, options[f"{what}-port"])
        Listening(what, endpoint, factory).setServiceParent(daemon)
    return daemon
