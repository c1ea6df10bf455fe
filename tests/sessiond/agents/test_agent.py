"""Agents in memory: what they are told, and those that are slow, silent, hostile, or too many."""

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.test.iosim import connect, makeFakeClient, makeFakeServer
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.sessiond.agents import agent as agents_module
from lttngnet.sessiond.agents.agent import PATIENCE, AgentGone, AgentRefused, Agents
from lttngnet.wire.agent import (
    Disable,
    Domain,
    Enable,
    EnableContext,
    ListLoggers,
    Loggers,
    Registration,
    RegistrationDone,
)
from tests.sessiond.agents.pretending import PretendedAgent

RULE = Enable(30, 1, "shop", 'logger_name == "shop"')


class RememberingWatcher:
    def __init__(self):
        self.members = []
        self.telling = None
        self.rules = ()

    async def joined(self, agent):
        self.members.append(agent)
        for rule in self.rules:
            await agent.enable(rule)
        if self.telling is not None:
            await self.telling

    def left(self, agent):
        self.members.remove(agent)


class AgentTests(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.agents = Agents(self.clock)
        self.watcher = RememberingWatcher()
        self.agents.watch(self.watcher)

    def enter(self, pretended=None):
        pretended = pretended or PretendedAgent()
        ours = self.agents.buildProtocol(None)
        self.pump = connect(
            ours, makeFakeServer(ours), pretended, makeFakeClient(pretended), greet=True, debug=False
        )
        self.pump.flush()
        return ours, pretended

    def ask(self, question, flush=True):
        asked = Deferred.fromCoroutine(question)
        if flush:
            self.pump.flush()
        return asked

    def test_registration(self):
        ours, pretended = self.enter()
        self.assertEqual(list(self.agents), [ours])
        self.assertEqual((ours.domain, ours.pid, len(self.agents)), (Domain.PYTHON, 4242, 1))
        self.assertEqual(pretended.told, [RegistrationDone()])
        pretended.transport.loseConnection()
        self.pump.flush()
        self.assertEqual((list(self.agents), self.watcher.members), ([], []))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_what_is_enabled_is_told_at_once(self):
        self.watcher.rules = (RULE, Enable(10, 0, "*"))
        _, pretended = self.enter()
        self.assertEqual(pretended.told, [*self.watcher.rules, RegistrationDone()])

    def test_its_program_waits_until_all_is_told(self):
        self.watcher.telling = Deferred()
        ours, pretended = self.enter()
        self.ask(ours.enable(RULE))
        self.assertEqual(pretended.told, [RULE])
        self.watcher.telling.callback(None)
        self.pump.flush()
        self.assertEqual(pretended.told, [RULE, RegistrationDone()])

    def test_orders(self):
        ours, pretended = self.enter()
        self.successResultOf(self.ask(ours.enable(RULE)))
        self.successResultOf(self.ask(ours.disable("shop")))
        self.successResultOf(self.ask(ours.enable_context("provider", "name")))
        self.assertEqual(pretended.told[1:], [RULE, Disable("shop"), EnableContext("provider", "name")])
        self.assertEqual(self.successResultOf(self.ask(ours.loggers())), ["root", "été"])

    def test_one_order_at_a_time(self):
        ours, pretended = self.enter()
        pretended.is_silent = True
        first, second = self.ask(ours.enable(RULE)), self.ask(ours.loggers())
        self.assertEqual(pretended.told[1:], [RULE])
        pretended.is_silent = False
        pretended.transport.write(b"\0\0\0\1")
        self.pump.flush()
        self.successResultOf(first)
        self.assertEqual(self.successResultOf(second), ["root", "été"])

    def test_refusal(self):
        ours, pretended = self.enter()
        pretended.status = 3
        self.failureResultOf(self.ask(ours.enable(RULE)), AgentRefused)
        self.failureResultOf(self.ask(ours.loggers()), AgentRefused)
        pretended.status = 1
        self.successResultOf(self.ask(ours.disable("shop")))

    def test_an_order_that_cannot_be_said(self):
        ours, pretended = self.enter()
        self.failureResultOf(self.ask(ours.disable("x" * 256)), AgentRefused)
        self.successResultOf(self.ask(ours.disable("shop")))
        self.assertEqual(pretended.told[1:], [Disable("shop")])

    def test_silent_after_an_order(self):
        ours, pretended = self.enter()
        other, _ = self.enter()
        pretended.is_silent = True
        first, second = self.ask(ours.enable(RULE)), self.ask(ours.loggers())
        self.clock.advance(PATIENCE - 0.1)
        self.assertNoResult(first)
        self.clock.advance(0.2)
        self.failureResultOf(first, AgentGone)
        self.failureResultOf(second, AgentGone)
        self.failureResultOf(self.ask(ours.loggers()), AgentGone)
        self.assertEqual(list(self.agents), [other])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_silent_from_the_beginning(self):
        pretended = PretendedAgent()
        pretended.registration = None
        self.enter(pretended)
        self.clock.advance(PATIENCE + 0.1)
        self.pump.flush()
        self.assertTrue(pretended.closed)
        self.assertEqual(list(self.agents), [])

    def test_gone_with_an_order(self):
        ours, pretended = self.enter()
        pretended.is_silent = True
        asked = self.ask(ours.enable(RULE))
        pretended.transport.loseConnection()
        self.pump.flush()
        self.failureResultOf(asked, AgentGone)

    def test_gone_while_it_is_told(self):
        self.watcher.telling = Deferred()
        _, pretended = self.enter()
        pretended.transport.loseConnection()
        self.pump.flush()
        self.watcher.telling.callback(None)
        self.assertEqual(list(self.agents), [])

    def test_hostile(self):
        for said in (
            Registration(9, 1).pack(),
            Registration(5, 1, 3).pack(),
            b"GET / HTTP/1.1\r\n\r\n",
            Registration(5, 1).pack() + b"\0",
        ):
            pretended = PretendedAgent()
            pretended.registration = None
            self.enter(pretended)
            pretended.transport.write(said)
            self.pump.flush()
            self.assertTrue(pretended.closed, said)
            self.assertEqual(list(self.agents), [])

    def test_answers_too_much(self):
        ours, pretended = self.enter()
        pretended.is_silent = True
        asked = self.ask(ours.enable(RULE))
        pretended.transport.write(b"\0\0\0\1\0")
        self.pump.flush()
        self.successResultOf(asked)
        self.assertEqual(list(self.agents), [])
        asked = self.ask(ours.loggers())
        self.failureResultOf(asked, AgentGone)

    def test_a_watcher_that_fails(self):
        self.watcher.telling = Deferred()
        _, pretended = self.enter()
        self.watcher.telling.errback(ZeroDivisionError())
        self.pump.flush()
        self.assertEqual(pretended.told, [RegistrationDone()])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_too_many(self):
        self.patch(agents_module, "MOST_AGENTS", 2)
        (_, first), _ = self.enter(), self.enter()
        self.assertIsNone(self.agents.buildProtocol(None))
        self.assertIsNone(self.agents.buildProtocol(None))
        self.agents.close()
        self.pump.flush()
        first.transport.loseConnection()
        self.assertIsNotNone(self.agents.buildProtocol(None))

    def test_unwatch(self):
        self.agents.unwatch(self.watcher)
        self.agents.unwatch(self.watcher)
        self.enter()
        self.assertEqual(self.watcher.members, [])

    def test_list_of_nothing(self):
        ours, pretended = self.enter()
        pretended.names = ()
        self.assertEqual(self.successResultOf(self.ask(ours.loggers())), [])
        self.assertIn(ListLoggers(), pretended.told)
        self.assertEqual(Loggers(1).pack(), b"\0\0\0\1" + bytes(8))
