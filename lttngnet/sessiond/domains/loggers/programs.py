"""Recording through the Python programs that installed `lttngnet.logs`."""

import socket
from collections.abc import Coroutine, Sequence
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, TimeoutError
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IReactorTime

from lttngnet.errors import Code, CommandError
from lttngnet.interfaces import ICourier
from lttngnet.log import Logger
from lttngnet.sessiond.applications import Application, Applications
from lttngnet.sessiond.domains.loggers.kinds import PYTHON
from lttngnet.sessiond.domains.loggers.rules import LoggerRule
from lttngnet.wire.records import Rule

ANSWER_TIMEOUT = 1.0
"""Seconds that a command waits for the programs to do as they are told."""

SOCKET_BUFFER = 1 << 20
"""Bytes of each program's records that may wait to be read; ``net.core.wmem_max`` may allow less."""

CONTEXTS = ("vpid", "vtid", "procname")
"""What every record carries."""


class ProgramRecorder:
    """The programs that installed `lttngnet.logs`, for one session: they need no lttng-ust.

    Args:
        session: by name.
        applications: the daemon's.
        clock: for the time that programs have to answer.
    """

    log = Logger()

    def __init__(self, session: str, applications: Applications, clock: IReactorTime) -> None:
        self._session = session
        self._applications = applications
        self._clock = clock
        self._rules: tuple[Rule, ...] = ()
        self._courier: Any = None  # ICourier
        self._linked: set[Application] = set()  # those whose records go to the courier
        self._is_active = False

    async def want(self, rules: tuple[LoggerRule, ...]) -> None:
        """See `Recorder`."""
        self._rules = tuple(rule.to_program() for rule in rules)
        await self._tell()

    async def add_contexts(self, names: Sequence[str]) -> None:
        """See `Recorder`: their records have some contexts, and can have no others."""
        if others := [name for name in names if name not in CONTEXTS]:
            raise CommandError(
                Code.NOT_SUPPORTED, f"records of Python programs have no context {', '.join(others)}"
            )

    async def attach(self, courier: ICourier) -> None:
        """See `Recorder`; from now on records go to this process, and to no other."""
        self._courier = courier
        self._linked.clear()
        config = {
            "session": self._session,
            "hostname": socket.gethostname(),
            "channel": PYTHON.channel,
        }
        await courier.add_source(PYTHON.name, config)
        await self._tell()

    async def start(self) -> None:
        """See `Recorder`; when this returns, the programs record, and so will those that come later."""
        self._is_active = True
        self._applications.watch(self)
        await self._tell()

    async def stop(self) -> None:
        """See `Recorder`; when this returns, the last record is in the sockets of the consumer process."""
        self._is_active = False
        await self._tell()

    async def destroy(self) -> None:
        """See `Recorder`."""
        self._applications.unwatch(self)
        self._is_active = False
        self._rules = ()
        self._linked.clear()
        if self._courier is not None:
            self._courier = None
            await self._all(self._applications, lambda application: application.forget(self._session))

    async def regenerate_metadata(self) -> None:
        """See `Recorder`."""
        if self._courier is not None:
            await self._courier.ask_source(PYTHON.name, "regenerate-metadata", {})

    def describe(self) -> dict[str, Any]:
        """See `Recorder`: ``applications``, the number of those that are there."""
        return {"applications": len(self._applications)}

    def joined(self, application: Application) -> None:
        """See `Watcher`."""
        if self._is_active and self._courier is not None:
            self._in_background(self._all([application], self._want))

    def left(self, application: Application) -> None:
        """See `Watcher`."""
        self._linked.discard(application)

    async def _tell(self) -> None:
        """Let every program know what is wanted now, and wait until they do so."""
        if self._is_active and self._courier is not None:
            await self._all(self._applications, self._want)
        else:
            await self._all(self._linked, lambda application: application.want(self._session, ()))

    async def _want(self, application: Application) -> None:
        rules = self._rules
        if application in self._linked:
            await application.want(self._session, rules)
        elif rules:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER)
            self._linked.add(application)
            self._in_background(self._hand_over(self._courier, ours, application))
            await application.want(self._session, rules, theirs)

    async def _hand_over(self, courier: ICourier, channel: socket.socket, application: Application) -> None:
        """Pass the consumer process its end of a program's socket, in which records may wait already."""
        with channel:
            try:
                await courier.ask_source(PYTHON.name, "adopt", dict(application.facts), [channel.fileno()])
            except CommandError as problem:
                self.log.warn("Process {pid} is not traced: {problem}", problem=problem, **application.facts)

    async def _all(self, applications: Any, act: Any) -> None:
        """Ask all programs at once; those that do not answer in time, or are gone, keep nobody."""
        asking = [Deferred.fromCoroutine(self._one(act(each), each)) for each in list(applications)]
        await DeferredList(asking, consumeErrors=True)

    async def _one(self, asking: Coroutine[Deferred[Any], Any, None], application: Application) -> None:
        try:
            await Deferred.fromCoroutine(asking).addTimeout(ANSWER_TIMEOUT, self._clock)
        except ConnectionLost:
            pass
        except TimeoutError:
            self.log.warn("Process {pid} does not answer.", pid=application.facts["pid"])
        except OSError as problem:
            self.log.warn(
                "Process {pid} is not traced: {problem}", pid=application.facts["pid"], problem=problem
            )

    def _in_background(self, work: Coroutine[Deferred[Any], Any, None]) -> None:
        working = Deferred.fromCoroutine(work)
        working.addErrback(lambda failure: self.log.failure("Session {name}", failure, name=self._session))
