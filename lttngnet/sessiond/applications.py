"""The Python programs that let themselves be traced (`lttngnet.logs`), as the session daemon knows them."""

import socket
from collections.abc import Iterator
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, connectionDone
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.python.failure import Failure

from lttngnet.errors import WireError
from lttngnet.log import Logger
from lttngnet.wire.records import (
    ANSWER_LIMIT,
    PROTOCOL,
    Done,
    Forget,
    Frames,
    Message,
    Ready,
    Register,
    Rule,
    Want,
    hear,
    say,
)

MOST_UNANSWERED = 100
"""Questions that a program may leave unanswered before it is taken for dead."""


class Watcher(Protocol):
    """Who is interested in programs."""

    def joined(self, application: "Application") -> None:
        """Say to a program that has just registered what is wanted of it."""

    def left(self, application: "Application") -> None:
        """Forget a program."""


class Application(TwistedProtocol):
    """A program: the connection over which it is told what is wanted of it.

    Attributes:
        facts: ``{"pid": …, "procname": …}``, once it has registered.
    """

    log = Logger()
    transport: Any  # IUNIXTransport, with abortConnection

    def __init__(self, applications: "Applications") -> None:
        self.facts: dict[str, Any] = {}
        self._applications = applications
        self._frames = Frames(ANSWER_LIMIT)
        self._serial = 0
        self._unanswered: dict[int, tuple[Deferred[None], socket.socket | None]] = {}

    async def want(self, session: str, rules: tuple[Rule, ...], channel: socket.socket | None = None) -> None:
        """Say which records a session wants, and perhaps over which socket; return when the program does so.

        The socket is closed here as soon as the program has its own copy, or is gone.

        Raises:
            ConnectionLost: the program is gone.
        """
        await self._ask(Want(self._next(), session, rules, channel is not None), channel)

    async def forget(self, session: str) -> None:
        """Say that a session is over; return when the program has closed its socket.

        Raises:
            ConnectionLost: the program is gone.
        """
        await self._ask(Forget(self._next(), session))

    def dataReceived(self, data: bytes) -> None:
        """Hear what the program says; what makes no sense ends its connection, and no other."""
        try:
            for content in self._frames.feed(data):
                self._heard(hear(content))
        except WireError as problem:
            self._drop(str(problem))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Forget the program."""
        if self.facts:
            self._applications.left(self)
        while self._unanswered:
            self._take(min(self._unanswered)).errback(ConnectionLost("the program is gone"))

    def _heard(self, message: Message) -> None:
        match message:
            case Register(pid, procname, protocol) if not self.facts:
                if protocol != PROTOCOL:
                    raise WireError(f"it speaks protocol {protocol}, we {PROTOCOL}")
                self.facts = {"pid": pid, "procname": procname}
                self._applications.joined(self)
                self.transport.write(say(Ready()))
            case Done(serial) if serial in self._unanswered:
                self._take(serial).callback(None)
            case _:
                raise WireError(f"unexpected: {message}")

    def _next(self) -> int:
        self._serial += 1
        return self._serial

    def _ask(self, question: Want | Forget, channel: socket.socket | None = None) -> Deferred[None]:
        answer: Deferred[None] = Deferred()
        self._unanswered[question.serial] = answer, channel
        if channel is not None:
            self.transport.sendFileDescriptor(channel.fileno())
        self.transport.write(say(question))
        if len(self._unanswered) > MOST_UNANSWERED:
            self._drop("it does not answer")
        return answer

    def _take(self, serial: int) -> Deferred[None]:
        """Close the socket that came with a question: the program has it, or never will."""
        answer, channel = self._unanswered.pop(serial)
        if channel is not None:
            channel.close()
        return answer

    def _drop(self, why: str) -> None:
        self.log.warn(
            "Dropping program {name} ({pid}): {why}",
            name=self.facts.get("procname", "unregistered"),
            pid=self.facts.get("pid", "?"),
            why=why,
        )
        self.transport.abortConnection()


class Applications(Factory):
    """All programs that are registered; made once for the daemon, watched by the sessions' domains."""

    noisy = False

    def __init__(self) -> None:
        self._members: dict[Application, None] = {}  # in the order in which they came
        self._watchers: list[Watcher] = []

    def __iter__(self) -> Iterator[Application]:
        return iter(list(self._members))

    def __len__(self) -> int:
        return len(self._members)

    def buildProtocol(self, addr: IAddress | None) -> Application:
        """Return what serves a program that has just connected."""
        return Application(self)

    def watch(self, watcher: Watcher) -> None:
        """Tell somebody from now on about programs that come and go."""
        if watcher not in self._watchers:
            self._watchers.append(watcher)

    def unwatch(self, watcher: Watcher) -> None:
        """Tell him no more."""
        if watcher in self._watchers:
            self._watchers.remove(watcher)

    def joined(self, application: Application) -> None:
        """Know a program that has registered."""
        self._members[application] = None
        for watcher in list(self._watchers):
            watcher.joined(application)

    def left(self, application: Application) -> None:
        """Know no more of a program."""
        del self._members[application]
        for watcher in list(self._watchers):
            watcher.left(application)
