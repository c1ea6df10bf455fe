"""The domain ``python`` of a tracing session: log records of the programs that installed `lttngnet.logs`."""

import socket
from collections.abc import Coroutine, Sequence
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, TimeoutError
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from lttngnet.errors import Code, CommandError
from lttngnet.interfaces import ICourier, IDomain
from lttngnet.log import Logger
from lttngnet.sessiond.applications import Application, Applications
from lttngnet.sessiond.domains.plain import Plain
from lttngnet.wire.records import NAME_LIMIT, Rule

DEFAULT_CHANNEL = "channel0"

ANSWER_TIMEOUT = 1.0
"""Seconds that a command waits for the programs to do as they are told."""

SOCKET_BUFFER = 1 << 20
"""Bytes of each program's records that may wait to be read; ``net.core.wmem_max`` may allow less."""

LEVELS = {"CRITICAL": 50, "ERROR": 40, "WARNING": 30, "WARN": 30, "INFO": 20, "DEBUG": 10, "NOTSET": 0}


@implementer(IDomain)
class PythonDomain(Plain):
    """What a session wants of Python programs, and the programs that were told so.

    There is one channel, under any name. An event is the name of a logger; ``*`` in it stands for any text.

    Args:
        session: by name.
        applications: the daemon's.
        clock: for the time that programs have to answer.
    """

    log = Logger()
    name = "python"

    def __init__(self, session: str, applications: Applications, clock: IReactorTime) -> None:
        self._session = session
        self._applications = applications
        self._clock = clock
        self._channel: str | None = None
        self._rules: dict[str, Rule] = {}
        self._courier: Any = None  # ICourier
        self._linked: set[Application] = set()  # those whose records go to the courier
        self._is_active = False

    async def enable_events(self, channel: str, names: Sequence[str], options: dict[str, Any]) -> list[str]:
        """See `IDomain`. An event that is there already gets the new level.

        Args:
            channel: the only one that there is, or will be.
            names: of loggers.
            options: ``all``: all loggers; ``loglevel``: the lowest level wanted, as a name or a number;
                ``loglevel_only``: no other level than that.
        """
        if self._channel not in (None, channel):
            raise CommandError(Code.NOT_SUPPORTED, f"the python domain has one channel: {self._channel}")
        names = ["*"] if options.get("all") else names
        if not names:
            raise CommandError(Code.INVALID, "no python event was named")
        for name in names:
            if not name or len(name) > NAME_LIMIT:
                raise CommandError(Code.INVALID_EVENT_NAME, f"not the name of a logger: {name[:40]!r}")
        level = _level(options.get("loglevel"))
        only = bool(options.get("loglevel_only")) and options.get("loglevel") is not None
        self._channel = channel
        self._rules.update((name, Rule(name, level, only)) for name in names)
        await self._tell()
        return list(names)

    async def disable_events(self, channel: str, names: Sequence[str]) -> list[str]:
        """See `IDomain`; names are those that were enabled."""
        if channel != self._channel:
            raise CommandError(Code.CHANNEL_NOT_FOUND, f"there is no python channel {channel}")
        for name in names:
            if name not in self._rules:
                raise CommandError(Code.UST_EVENT_NOT_FOUND, f"python event {name} is not enabled")
        gone = list(names or self._rules)
        for name in gone:
            self._rules.pop(name, None)
        await self._tell()
        return gone

    def is_empty(self) -> bool:
        """See `IDomain`."""
        return not self._rules

    async def attach(self, courier: ICourier) -> None:
        """See `IDomain`; from now on records go to this process, and to no other."""
        self._courier = courier
        self._linked.clear()
        config = {
            "session": self._session,
            "hostname": socket.gethostname(),
            "channel": self._channel or DEFAULT_CHANNEL,
        }
        await courier.add_source(self.name, config)
        await self._tell()

    async def start(self) -> None:
        """See `IDomain`; when this returns, the programs record, and so will those that come later."""
        self._is_active = True
        self._applications.watch(self)
        await self._tell()

    async def stop(self) -> None:
        """See `IDomain`; when this returns, the last record is in the sockets of the consumer process."""
        self._is_active = False
        await self._tell()

    async def destroy(self) -> None:
        """See `IDomain`."""
        self._applications.unwatch(self)
        self._is_active = False
        self._rules.clear()
        self._linked.clear()
        self._channel = None
        if self._courier is not None:
            self._courier = None
            await self._all(self._applications, lambda application: application.forget(self._session))

    def describe(self) -> dict[str, Any]:
        """See `IDomain`; also ``applications``, the number of programs that could be traced."""
        events = [
            {"name": rule.name, "loglevel": rule.level, "loglevel_only": rule.only}
            for rule in self._rules.values()
        ]
        channels = [] if self._channel is None else [{"name": self._channel, "events": events}]
        return {"channels": channels, "applications": len(self._applications)}

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
        rules = tuple(self._rules.values())
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
                await courier.ask_source(self.name, "adopt", dict(application.facts), [channel.fileno()])
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


def _level(level: str | int | None) -> int:
    """Return the number of a level; None is the lowest.

    Raises:
        CommandError: there is no such level.
    """
    if level is None:
        return 0
    if isinstance(level, int) and level >= 0:
        return level
    text = str(level).upper().removeprefix("PYTHON_")
    if text in LEVELS:
        return LEVELS[text]
    if text.isdecimal():
        return int(text)
    raise CommandError(Code.INVALID, f"no log level of Python's: {level}")
