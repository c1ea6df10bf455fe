"""Recording through agents: they switch their log handlers on, and lttng-ust, which filters, records."""

import re
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, TimeoutError
from twisted.internet.interfaces import IReactorTime

from lttngnet.errors import Code, CommandError
from lttngnet.interfaces import ICourier
from lttngnet.log import Logger
from lttngnet.sessiond.agents.agent import Agent, AgentGone, AgentRefused, Agents
from lttngnet.sessiond.domains.loggers.kinds import Kind
from lttngnet.sessiond.domains.loggers.rules import LoggerRule
from lttngnet.sessiond.domains.ust.domain import UstDomain
from lttngnet.wire.agent import Domain

ANSWER_TIMEOUT = 1.0
"""Seconds that a command waits for the agents; those that need longer do as they are told a little later."""

_OWN = re.compile(r"\$app\.([^:]+):(.+)", re.DOTALL)


class AgentRecorder:
    """The agents of one kind, for one session.

    Args:
        kind: of their loggers.
        agents: the daemon's.
        tracer: the applications of the session, in which the records become events.
        is_optional: there is another way of recording, where lttng-ust is missing.
        clock: for the time that agents have to answer.
    """

    log = Logger()

    def __init__(
        self, kind: Kind, agents: Agents, tracer: UstDomain, is_optional: bool, clock: IReactorTime
    ) -> None:
        self._kind = kind
        self._agents = agents
        self._tracer = tracer
        self._is_optional = is_optional
        self._clock = clock
        self._rules: tuple[LoggerRule, ...] = ()
        self._contexts: dict[tuple[str, str], None] = {}
        self._told: dict[Agent, dict[LoggerRule, None]] = {}

    async def want(self, rules: tuple[LoggerRule, ...]) -> None:
        """See `Recorder`. Agents know of rules from now on, whether tracing is active or not."""
        try:
            await self._borrow(rules)
        except CommandError as problem:
            if not self._is_optional or any(self._mine()):
                raise
            self.log.warn(
                "Of {kind} programs, agents would not be recorded: {problem}",
                kind=self._kind.name,
                problem=str(problem),
            )
        self._rules = rules
        self._agents.watch(self)
        await self._tell_all()

    async def add_contexts(self, names: Sequence[str]) -> None:
        """See `Recorder`. Of contexts of their own, ``$app.PROVIDER:NAME``, Java's agents are told."""
        own = [(found[1], found[2]) for name in names if (found := _OWN.fullmatch(name))]
        if own and self._kind.domain is Domain.PYTHON:
            raise CommandError(Code.UST_CONTEXT_INVAL, "Python programs have no contexts of their own")
        await self._borrow(self._rules)
        await self._tracer.add_contexts(self._kind.channel, names)
        fresh = [pair for pair in own if pair not in self._contexts]
        self._contexts.update(dict.fromkeys(fresh))
        self._agents.watch(self)
        await self._all(agent.enable_context(*pair) for agent in self._mine() for pair in fresh)

    async def attach(self, courier: ICourier) -> None:
        """See `Recorder`: the tracer has a source of its own."""

    async def start(self) -> None:
        """See `Recorder`: the tracer is started itself."""

    async def stop(self) -> None:
        """See `Recorder`: the tracer is stopped itself."""

    async def destroy(self) -> None:
        """See `Recorder`."""
        self._agents.unwatch(self)
        self._rules = ()
        contexts, self._contexts = self._contexts, {}
        gone = [agent.disable_context(*pair) for agent in self._mine() for pair in contexts]
        await DeferredList([self._all(gone), self._tell_all()])
        self._told.clear()

    async def regenerate_metadata(self) -> None:
        """See `Recorder`: the events are in the traces of the domain that is borrowed, which does that."""

    def describe(self) -> dict[str, Any]:
        """See `Recorder`: ``agents``, the number of those that are there."""
        return {"agents": sum(1 for _ in self._mine())}

    async def joined(self, agent: Agent) -> None:
        """See `Watcher`."""
        if agent.domain is self._kind.domain:
            contexts = [agent.enable_context(*pair) for pair in self._contexts]
            await DeferredList([self._all(contexts, None), self._all(self._news(agent), None)])

    def left(self, agent: Agent) -> None:
        """See `Watcher`."""
        self._told.pop(agent, None)

    async def _borrow(self, rules: tuple[LoggerRule, ...]) -> None:
        expressions = list(dict.fromkeys(rule.expression for rule in rules))
        channel, event = self._kind.channel, self._kind.event
        await self._tracer.lend(channel, event, expressions, is_optional=self._is_optional)

    def _mine(self) -> Iterable[Agent]:
        return (agent for agent in self._agents if agent.domain is self._kind.domain)

    def _tell_all(self) -> "Deferred[Any]":
        return self._all(news for agent in self._mine() for news in self._news(agent))

    def _news(self, agent: Agent) -> list[Coroutine[Any, Any, None]]:
        """Return the orders that bring an agent in line; it counts what is enabled, whatever that is."""
        told, wanted = self._told.get(agent, {}), dict.fromkeys(self._rules)
        self._told[agent] = wanted
        orders = [agent.enable(rule.to_agent(self._kind)) for rule in wanted if rule not in told]
        return orders + [agent.disable(rule.name) for rule in told if rule not in wanted]

    def _all(
        self, orders: Iterable[Coroutine[Any, Any, None]], timeout: float | None = ANSWER_TIMEOUT
    ) -> "Deferred[Any]":
        """Give all orders at once; an agent that does not do as it is told keeps nobody."""
        doing = DeferredList([self._one(each) for each in orders], consumeErrors=True)
        if timeout is None:
            return doing
        waiting: Deferred[Any] = Deferred()
        doing.chainDeferred(waiting)
        waiting.addTimeout(timeout, self._clock)
        return waiting.addErrback(self._slow)

    def _slow(self, failure: Any) -> None:
        failure.trap(TimeoutError)
        self.log.warn("Not every {kind} agent answers in time.", kind=self._kind.name)

    def _one(self, order: Coroutine[Any, Any, None]) -> "Deferred[None]":
        return Deferred.fromCoroutine(order).addErrback(self._failed)

    def _failed(self, failure: Any) -> None:
        if failure.check(AgentRefused):
            self.log.warn("{refusal}", refusal=str(failure.value))
        elif not failure.check(AgentGone):
            self.log.failure("An agent could not be told", failure)
