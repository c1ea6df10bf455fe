"""One agent: the connection over which it is given orders, and the roster of all that are there."""

from collections import deque
from collections.abc import Awaitable, Iterator
from typing import Any, Protocol

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.internet.protocol import Factory, connectionDone
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.python.failure import Failure

from lttngnet.errors import WireError
from lttngnet.log import Logger
from lttngnet.sessiond.agents.conversation import Core, conversation_machine
from lttngnet.wire.agent import (
    Answer,
    Answers,
    Disable,
    DisableContext,
    Domain,
    Enable,
    EnableContext,
    ListLoggers,
    Loggers,
    Order,
    Registration,
    RegistrationDone,
    Status,
    order,
)

PATIENCE = 5.0
"""Seconds that an agent has to introduce itself, and for each answer, unless something else is said."""

MOST_AGENTS = 1024
"""Connections of agents at a time; who comes later is turned away, and tries again in a few seconds."""


class AgentGone(Exception):
    """The agent did not live, or did not have the patience, to answer."""


class AgentRefused(Exception):
    """The agent answered that it does not do that."""


class Watcher(Protocol):
    """Who is interested in agents."""

    def joined(self, agent: "Agent") -> Awaitable[None]:
        """Say to an agent that has just registered what is enabled; its program waits meanwhile."""

    def left(self, agent: "Agent") -> None:
        """Forget an agent."""


class Agent(TwistedProtocol):
    """An agent. It is given one order at a time; one that keeps us waiting for an answer is dismissed.

    Every order raises `AgentGone` or `AgentRefused`.

    Args:
        agents: the roster.
        clock: measures how long it takes.
        patience: seconds that it may take.

    Attributes:
        domain: whose loggers it serves.
        pid: what it claims to be the number of its process; nobody has checked that.
    """

    log = Logger()
    transport: Any  # ITCPTransport, with abortConnection

    def __init__(self, agents: "Agents", clock: IReactorTime, patience: float) -> None:
        self.domain: Domain | None = None
        self.pid = 0
        self._agents = agents
        self._clock = clock
        self._patience = patience
        self._answers = Answers()
        self._orders: deque[tuple[Order, Deferred[Answer]]] = deque()  # the first one was given
        self._deadline: IDelayedCall | None = None
        self._talk = conversation_machine(Core(self))
        self._is_member = False

    async def enable(self, rule: Enable) -> None:
        """Let it record, too, what a logger logs."""
        await self._give(rule)

    async def disable(self, name: str) -> None:
        """Take back one `enable` of that name."""
        await self._give(Disable(name))

    async def enable_context(self, provider: str, name: str) -> None:
        """Let it provide a context of the application."""
        await self._give(EnableContext(provider, name))

    async def disable_context(self, provider: str, name: str) -> None:
        """Let it provide a context no more."""
        await self._give(DisableContext(provider, name))

    async def loggers(self) -> list[str]:
        """Return the names of the loggers that its program has now."""
        answer = await self._give(ListLoggers())
        assert isinstance(answer, Loggers)
        return list(answer.names)

    def connectionMade(self) -> None:
        """Wait, but not for ever, until it says who it is."""
        self.transport.setTcpNoDelay(True)
        self._agents.connected(self)
        self._expect("does not say who it is")

    def dataReceived(self, data: bytes) -> None:
        """Hear what it says; what makes no sense ends its connection, and no other."""
        try:
            for message in self._answers.feed(data):
                if isinstance(message, Registration):
                    self._expected()
                    self._talk.introduce(message)
                else:
                    self._answered(message)
        except WireError as problem:
            self._talk.give_up(str(problem))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Forget it."""
        self._expected()
        self._agents.disconnected(self)
        self._talk.lost()

    def welcome(self, registration: Registration) -> None:
        """See `Peer`."""
        self.domain = Domain(registration.domain)
        self.pid = registration.pid
        self._is_member = True
        settling = self._agents.joined(self)
        settling.addCallback(lambda _: self._talk.settle())
        settling.addErrback(lambda failure: self.log.failure("Agent of process {pid}", failure, pid=self.pid))

    def release(self) -> None:
        """See `Peer`."""
        self.transport.write(order(RegistrationDone()))

    def leave(self) -> None:
        """See `Peer`."""
        self._is_member = False
        self._agents.left(self)
        orders, self._orders = self._orders, deque()
        for _, answer in orders:
            answer.errback(AgentGone(f"the agent of process {self.pid} is gone"))

    def hang_up(self, why: str) -> None:
        """See `Peer`."""
        self._expected()
        self.log.warn(
            "Dismissing the {domain} agent of process {pid}: {why}",
            domain="unknown" if self.domain is None else self.domain.name.lower(),
            pid=self.pid or "?",
            why=why,
        )
        self.transport.abortConnection()

    def _give(self, what: Order) -> Deferred[Answer]:
        answer: Deferred[Answer] = Deferred()
        if not self._is_member:
            answer.errback(AgentGone(f"the agent of process {self.pid} is gone"))
            return answer
        self._orders.append((what, answer))
        if len(self._orders) == 1:
            self._begin()
        return answer

    def _begin(self) -> None:
        """Give the next order; one that cannot be said fails alone."""
        while self._orders:
            what, answer = self._orders[0]
            try:
                data = order(what)
            except WireError as problem:
                self._orders.popleft()
                answer.errback(AgentRefused(str(problem)))
                continue
            self._answers.expect(what)
            self._expect("does not answer")
            self.transport.write(data)
            return

    def _answered(self, message: Answer) -> None:
        self._expected()
        if not self._orders:  # dismissed meanwhile
            return
        what, answer = self._orders.popleft()
        self._begin()
        if message.status == Status.SUCCESS:
            answer.callback(message)
        else:
            answer.errback(
                AgentRefused(f"the agent of process {self.pid} answers {message.status} to {what}")
            )

    def _expect(self, otherwise: str) -> None:
        self._expected()
        self._deadline = self._clock.callLater(self._patience, self._too_late, f"it {otherwise}")

    def _expected(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_late(self, why: str) -> None:
        self._deadline = None
        self._talk.give_up(why)


class Agents(Factory):
    """All agents that have registered; made once for the daemon, watched by the sessions' domains.

    Args:
        clock: measures how long agents take …
        patience: … to say who they are, and to answer; in seconds.
    """

    noisy = False
    log = Logger()

    def __init__(self, clock: IReactorTime, patience: float = PATIENCE) -> None:
        self._clock = clock
        self._patience = patience
        self._connections: set[Agent] = set()
        self._members: dict[Agent, None] = {}  # in the order in which they came
        self._watchers: list[Watcher] = []
        self._is_full = False

    def __iter__(self) -> Iterator[Agent]:
        return iter(list(self._members))

    def __len__(self) -> int:
        return len(self._members)

    def buildProtocol(self, addr: IAddress | None) -> Agent | None:
        """Return what serves an agent that has just connected; nothing if there are too many."""
        if len(self._connections) >= MOST_AGENTS:
            if not self._is_full:
                self.log.warn("There are {count} agents: no more are let in.", count=MOST_AGENTS)
            self._is_full = True
            return None
        self._is_full = False
        return Agent(self, self._clock, self._patience)

    def watch(self, watcher: Watcher) -> None:
        """Tell somebody from now on about agents that come and go."""
        if watcher not in self._watchers:
            self._watchers.append(watcher)

    def unwatch(self, watcher: Watcher) -> None:
        """Tell him no more."""
        if watcher in self._watchers:
            self._watchers.remove(watcher)

    def close(self) -> None:
        """End all connections: the daemon is about to end."""
        for agent in list(self._connections):
            agent.transport.loseConnection()

    def connected(self, agent: Agent) -> None:
        """Count a connection."""
        self._connections.add(agent)

    def disconnected(self, agent: Agent) -> None:
        """Count it no more."""
        self._connections.discard(agent)

    def joined(self, agent: Agent) -> "Deferred[Any]":
        """Know an agent; return when everybody has told it what he wants of it."""
        self._members[agent] = None
        telling = [self._in_background(watcher.joined(agent)) for watcher in list(self._watchers)]
        return DeferredList(telling)

    def left(self, agent: Agent) -> None:
        """Know no more of an agent."""
        del self._members[agent]
        for watcher in list(self._watchers):
            watcher.left(agent)

    def _in_background(self, telling: Awaitable[None]) -> "Deferred[Any]":
        async def tell() -> None:
            await telling

        told = Deferred.fromCoroutine(tell())
        return told.addErrback(lambda failure: self.log.failure("An agent could not be told", failure))
