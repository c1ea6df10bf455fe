"""``twistd lttng-sessiond``: options, and the service made of them."""

import os
import socket
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.python import usage

from lttngnet import __version__
from lttngnet.log import Logger, set_verbosity
from lttngnet.rundir import default_rundir, home
from lttngnet.sessiond.agents.agent import PATIENCE as AGENT_PATIENCE
from lttngnet.sessiond.agents.agent import Agents
from lttngnet.sessiond.agents.port import AgentPort
from lttngnet.sessiond.applications import Applications
from lttngnet.sessiond.consumers import ConsumerProcess
from lttngnet.sessiond.domains import kernel
from lttngnet.sessiond.domains.loggers.agents import AgentRecorder
from lttngnet.sessiond.domains.loggers.catalogue import available as list_loggers
from lttngnet.sessiond.domains.loggers.domain import LoggerDomain, Recorder
from lttngnet.sessiond.domains.loggers.kinds import KINDS, PYTHON, Kind
from lttngnet.sessiond.domains.loggers.programs import ProgramRecorder
from lttngnet.sessiond.domains.ust import catalogue
from lttngnet.sessiond.domains.ust.domain import UstDomain
from lttngnet.sessiond.link import establish
from lttngnet.sessiond.outlet import Surroundings
from lttngnet.sessiond.recording import Maker
from lttngnet.sessiond.server import ClientFactory
from lttngnet.sessiond.sessions import Sessions
from lttngnet.sessiond.sockets import SharedSocket, is_answered
from lttngnet.sessiond.ust.applications import Applications as UstApplications
from lttngnet.sessiond.ust.service import UstRendezvous, application_patience, ust_folder
from lttngnet.sources.ftrace.tracefs import Tracefs, TracefsUnavailable
from lttngnet.startup import CannotStart, DaemonOptions, callers_umask, end_by_signal, raise_descriptor_limit
from lttngnet.wire.amp import CLIENT_SOCKET
from lttngnet.wire.records import SOCKET as APPLICATION_SOCKET

NETWORK_TIMEOUT = 10.0  # seconds for a connection to a relay daemon, and for each answer of the handshake
FAREWELL = 1.5  # seconds that open sessions have to deliver what they hold when the daemon is told to end


class Options(DaemonOptions):
    """What can be said on the command line."""

    version = f"lttng-sessiond (lttngnet) {__version__}"
    synopsis = "[options]"
    longdesc = (
        "Holds tracing sessions, lets the tracers record, and streams what they record over the network to a "
        "relay daemon, or into a local folder. The command lttngnet tells it what to do."
    )
    optParameters = [
        ["rundir", None, None, "Folder for sockets [default: /run/lttng for root, else ~/.lttng]"],
        ["group", "g", "tracing", "Group whose members may use the daemon that root started"],
    ]
    optFlags = [
        ["no-kernel", None, "Do not trace the kernel"],
        ["no-ust", None, "Do not trace applications that use the C tracer"],
    ]
    compData = usage.Completions(optActions={"rundir": usage.CompleteDirs()})

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Parse; every mistake of the user is one line."""
        try:
            super().parseOptions(options)
        except usage.UsageError as mistake:
            raise CannotStart("lttng-sessiond", mistake) from None

    def postOptions(self) -> None:
        """Make the run-time folder, and see that nobody else lives there.

        Raises:
            UsageError: this daemon cannot start, and why.
        """
        rundir = Path(self["rundir"] or default_rundir(os.environ, os.geteuid())).absolute()
        self["rundir"] = rundir
        try:
            rundir.mkdir(mode=0o755 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
            occupied = is_answered(rundir / CLIENT_SOCKET)
        except OSError as problem:
            why = problem.strerror or problem
            raise usage.UsageError(f"cannot use the run-time folder {rundir}: {why}") from None
        if occupied:
            raise usage.UsageError(f"a session daemon is already running in {rundir}")


def network_timeout() -> float:
    """Return the seconds to wait for a relay daemon: ``$LTTNG_NETWORK_SOCKET_TIMEOUT`` ms, if set."""
    try:
        milliseconds = int(os.environ.get("LTTNG_NETWORK_SOCKET_TIMEOUT", ""))
    except ValueError:
        return NETWORK_TIMEOUT
    return milliseconds / 1000 if milliseconds > 0 else NETWORK_TIMEOUT


class SessionDaemon(MultiService):
    """The daemon: at its end, every session delivers what it holds, within `FAREWELL` seconds.

    Args:
        clock: to measure that time.
        sessions: that live in it.
        umask: to write local traces with; None leaves it as it is.
    """

    log = Logger()

    def __init__(self, clock: IReactorTime, sessions: Sessions, umask: int | None) -> None:
        super().__init__()
        self._clock = clock
        self._sessions = sessions
        self._umask = umask

    def privilegedStartService(self) -> None:
        """Write as the caller would, open as many files as may be, then listen."""
        raise_descriptor_limit()
        if self._umask is not None:
            os.umask(self._umask)
        super().privilegedStartService()

    async def _farewell(self) -> None:
        names = list(self._sessions.names())
        endings = [Deferred.fromCoroutine(self._sessions.destroy(name)) for name in names]
        all_ended: Deferred[Any] = DeferredList(endings, consumeErrors=True)
        # A list that is cancelled has an outcome as well: the sessions that had not ended were cancelled.
        outcomes = await all_ended.addTimeout(FAREWELL, self._clock)
        for name, (has_ended, problem) in zip(names, outcomes, strict=True):
            if not has_ended:
                why = "there was no time left" if problem.check(CancelledError) else problem.getErrorMessage()
                self.log.warn("Session {name} could not end in order: {why}", name=name, why=why)

    def stopService(self) -> Deferred[None]:
        """End all sessions, then stop listening."""
        ended = Deferred.fromCoroutine(self._farewell())
        stop = super().stopService
        return ended.addCallback(lambda _: stop())


def tidy_tracefs() -> None:
    """Remove what a session daemon that was killed left recording in the kernel."""
    with suppress(TracefsUnavailable):
        Tracefs.find().remove_leftovers()


def makeService(options: Options) -> MultiService:
    """Make the session daemon."""
    from twisted.internet import reactor

    set_verbosity(options["verbose"])
    rundir: Path = options["rundir"]
    hostname = socket.gethostname() or "localhost"
    applications = Applications()
    domains: dict[str, Maker] = {}
    available: dict[str, Callable[[bool], Awaitable[list[dict[str, Any]]]]] = {}
    if not options["no-kernel"]:
        domains["kernel"] = lambda session, other: kernel.KernelDomain(session)
        available["kernel"] = lambda fields: kernel.available()
        tidy_tracefs()
    patience = application_patience(os.environ)
    tracers, agents = UstApplications(), Agents(reactor, patience or AGENT_PATIENCE)

    def loggers(kind: Kind, session: str, other: Callable[[str], Any]) -> LoggerDomain:
        recorders: list[Recorder] = []
        if "userspace" in domains:
            recorders.append(AgentRecorder(kind, agents, other("userspace"), kind is PYTHON, reactor))
        if kind is PYTHON:
            recorders.append(ProgramRecorder(session, applications, reactor))
        return LoggerDomain(kind, recorders)

    for kind in (PYTHON,) if options["no-ust"] else KINDS:
        domains[kind.name] = partial(loggers, kind)
        available[kind.name] = partial(list_loggers, kind, agents)
    if not options["no-ust"]:
        domains["userspace"] = lambda session, other: UstDomain(session, tracers)
        available["userspace"] = lambda fields: catalogue.available(tracers, fields, reactor)
    timeout = network_timeout()
    surroundings = Surroundings(
        hostname,
        uuid.uuid4(),
        domains,
        lambda name, on_lost: ConsumerProcess(reactor, name, on_lost),
        lambda output, wanted: establish(reactor, output, wanted, timeout),
        time.time,
        reactor,
    )
    sessions = Sessions(surroundings, Path(home(os.environ), "lttng-traces"), time.time)

    def about() -> dict[str, Any]:
        return {"version": __version__, "pid": os.getpid(), "rundir": str(rundir), "domains": sorted(domains)}

    daemon = SessionDaemon(reactor, sessions, callers_umask(options))
    places = ((CLIENT_SOCKET, ClientFactory(sessions, about, available)), (APPLICATION_SOCKET, applications))
    for name, factory in places:
        factory.noisy = options["verbose"] > 1
        SharedSocket(reactor, rundir / name, factory, options["group"]).setServiceParent(daemon)
    if not options["no-ust"]:
        folder = ust_folder(os.environ, os.geteuid())
        UstRendezvous(reactor, folder, tracers, patience).setServiceParent(daemon)
        AgentPort(reactor, folder, agents).setServiceParent(daemon)
    end_by_signal(reactor)
    return daemon
