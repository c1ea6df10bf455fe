"""Agents in memory, told what a session wants; the tracer is the real domain of applications, without any."""

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.test.iosim import connect, makeFakeClient, makeFakeServer
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from lttngnet.errors import Code, CommandError
from lttngnet.interfaces import IDomain
from lttngnet.sessiond.agents.agent import PATIENCE, Agents
from lttngnet.sessiond.domains.loggers.agents import ANSWER_TIMEOUT, AgentRecorder
from lttngnet.sessiond.domains.loggers.catalogue import available
from lttngnet.sessiond.domains.loggers.domain import LoggerDomain
from lttngnet.sessiond.domains.loggers.kinds import JUL, PYTHON
from lttngnet.sessiond.domains.ust.domain import UstDomain
from lttngnet.sessiond.ust.applications import Applications
from lttngnet.wire.agent import (
    Disable,
    DisableContext,
    Domain,
    Enable,
    EnableContext,
    RegistrationDone,
)
from tests.sessiond.agents.pretending import PretendedAgent

SHOP = Enable(10, 0, "shop", 'logger_name == "shop"')
ALL = Enable(10, 0, "*")


class Courier:
    """A consumer process that may lack the library."""

    def __init__(self, refusal=None):
        self.refusal = refusal
        self.sources = []

    async def add_source(self, kind, config):
        if self.refusal is not None:
            raise self.refusal
        self.sources.append(kind)


class RecorderTestCase(SynchronousTestCase):
    kind = PYTHON

    def setUp(self):
        self.clock = Clock()
        self.agents = Agents(self.clock)
        self.tracer = UstDomain("auto", Applications())
        self.domain = self.make(self.kind)
        self.pumps = []

    def make(self, kind):
        recorder = AgentRecorder(kind, self.agents, self.tracer, kind is PYTHON, self.clock)
        return LoggerDomain(kind, [recorder])

    def begin(self, work):
        begun = Deferred.fromCoroutine(work)
        for pump in self.pumps:
            pump.flush()
        return begun

    def wait(self, work):
        return self.successResultOf(self.begin(work))

    def refused(self, work):
        return self.failureResultOf(self.begin(work), CommandError).value.code

    def enable(self, *names, **options):
        return self.domain.enable_events("", names, options)

    def agent(self, domain=Domain.PYTHON):
        pretended = PretendedAgent(domain)
        ours = self.agents.buildProtocol(None)
        pump = connect(ours, makeFakeServer(ours), pretended, makeFakeClient(pretended), greet=True)
        self.pumps.append(pump)
        pump.flush()
        return pretended

    def lent(self):
        """Return the filters of the tracepoint, and whether they are looked at."""
        return [
            (channel.name, rule.name, rule.filter, enabled)
            for channel in self.tracer._channels
            for rule, enabled in channel.rules.items()
        ]


class AgentRecorderTests(RecorderTestCase):
    def test_interface(self):
        verifyObject(IDomain, self.domain)

    def test_before_and_after(self):
        before = self.agent()
        self.wait(self.enable("shop"))
        self.wait(self.enable(all=True, loglevel="ERROR"))
        errors = Enable(40, 1, "*", "int_loglevel >= 40")
        self.assertEqual(before.told, [RegistrationDone(), SHOP, errors])
        after, other = self.agent(), self.agent(Domain.JUL)
        self.assertEqual(after.told, [SHOP, errors, RegistrationDone()])
        self.assertEqual(other.told, [RegistrationDone()])
        self.assertEqual(self.domain.describe()["agents"], 2)
        self.assertEqual(
            self.lent(),
            [
                ("lttng_python_channel", "lttng_python:event", 'logger_name == "shop"', True),
                ("lttng_python_channel", "lttng_python:event", "int_loglevel >= 40", True),
            ],
        )

    def test_disable(self):
        agent = self.agent()
        self.wait(self.enable("shop"))
        self.wait(self.enable(all=True))
        self.wait(self.domain.disable_events("", ["shop"]))
        self.assertEqual(agent.told[1:], [SHOP, ALL, Disable("shop")])
        self.assertEqual([enabled for *_, enabled in self.lent()], [False, True])
        self.assertFalse(self.tracer.is_empty())
        self.wait(self.domain.disable_events("", []))
        self.assertEqual(agent.told[-1], Disable("*"))
        self.assertTrue(self.tracer.is_empty())

    def test_destroy(self):
        agent = self.agent()
        self.wait(self.enable("shop"))
        self.wait(self.domain.destroy())
        self.assertEqual(agent.told[1:], [SHOP, Disable("shop")])
        self.assertEqual(self.agent().told, [RegistrationDone()])

    def test_two_sessions(self):
        """Agents count: what one session disables, the other one still has."""
        agent, other = self.agent(), self.make(self.kind)
        self.wait(self.enable("shop"))
        self.wait(other.enable_events("", ["shop"], {}))
        self.wait(self.domain.destroy())
        self.assertEqual(agent.told[1:], [SHOP, SHOP, Disable("shop")])

    def test_the_slow_keeps_nobody(self):
        slow, quick = self.agent(), self.agent()
        slow.is_silent = True
        enabling = self.begin(self.enable("shop"))
        self.assertEqual(quick.told[1:], [SHOP])
        self.assertNoResult(enabling)
        self.clock.advance(ANSWER_TIMEOUT)
        self.successResultOf(enabling)
        self.clock.advance(PATIENCE)
        self.assertEqual(self.domain.describe()["agents"], 1)

    def test_a_refusal_keeps_nobody(self):
        agent = self.agent()
        agent.status = 3
        with capturedLogs() as logged:
            self.wait(self.enable("shop"))
        self.assertTrue([event for event in logged if "answers 3" in event.get("refusal", "")])

    def test_tracing_was_started_without_the_channel(self):
        """Without an agent, our own Python programs are recorded all the same."""
        self.wait(self.tracer.enable_channel("other", {}))
        self.wait(self.tracer.attach(Courier()))
        self.wait(self.tracer.start())
        self.wait(self.enable("shop"))
        self.agent()
        refusal = self.failureResultOf(self.begin(self.enable("more")), CommandError).value
        self.assertEqual(refusal.code, Code.TRACE_ALREADY_STARTED)
        self.assertIn("session auto cannot get any more", str(refusal))
        self.assertIn("enable such events before the first start, or in another session", str(refusal))
        self.assertEqual(
            [event["name"] for event in self.domain.describe()["channels"][0]["events"]], ["shop"]
        )

    def test_the_channel_is_one_of_user_space(self):
        """It cannot be made or disabled here; doing what is said instead has the effect that was wanted."""
        for verb in (self.domain.enable_channel("c", {}), self.domain.disable_channel("c")):
            refusal = self.failureResultOf(self.begin(verb), CommandError).value
            self.assertEqual(refusal.code, Code.NOT_SUPPORTED)
            self.assertIn("able-channel -u lttng_python_channel", str(refusal))
        self.wait(self.tracer.enable_channel("lttng_python_channel", {"num_subbuf": 16}))
        self.wait(self.enable("shop"))
        (channel,) = self.tracer._channels
        self.assertEqual((channel.name, channel.attributes.num_subbuf), ("lttng_python_channel", 16))
        self.assertEqual(len(self.lent()), 1)
        self.wait(self.tracer.disable_channel("lttng_python_channel"))
        self.assertFalse(channel.enabled)

    def test_contexts(self):
        self.wait(self.domain.add_contexts("", ["vpid"]))
        self.assertEqual(
            self.refused(self.domain.add_contexts("", ["$app.shop:user"])), Code.UST_CONTEXT_INVAL
        )

    def test_catalogue(self):
        self.agent()
        refusing = self.agent()
        refusing.status = 2
        self.agent(Domain.JUL)
        found = self.wait(available(PYTHON, self.agents))
        self.assertEqual([(event["name"], event["pid"]) for event in found], [("root", 4242), ("été", 4242)])

    def test_no_library(self):
        self.wait(self.enable("shop"))
        missing = CommandError(Code.NO_UST, "install it")
        self.wait(self.tracer.attach(Courier(missing)))
        self.wait(self.tracer.start())
        self.wait(self.tracer.stop())
        self.wait(self.tracer.destroy())

    def test_no_library_for_those_who_need_it(self):
        self.wait(self.make(JUL).enable_events("", ["shop"], {}))
        self.assertEqual(
            self.refused(self.tracer.attach(Courier(CommandError(Code.NO_UST, "install it")))), Code.NO_UST
        )

    def test_other_failures(self):
        self.wait(self.enable("shop"))
        self.assertEqual(
            self.refused(self.tracer.attach(Courier(CommandError(Code.FATAL, "no")))), Code.FATAL
        )


class JavaTests(RecorderTestCase):
    kind = JUL

    def test_contexts_of_the_application(self):
        agent = self.agent(Domain.JUL)
        self.wait(self.domain.add_contexts("", ["vpid", "$app.shop:user"]))
        self.assertEqual(agent.told[1:], [EnableContext("shop", "user")])
        self.assertEqual(self.agent(Domain.JUL).told, [EnableContext("shop", "user"), RegistrationDone()])
        self.assertEqual(self.refused(self.domain.add_contexts("", ["vpid"])), Code.UST_CONTEXT_EXIST)
        self.wait(self.domain.destroy())
        self.assertEqual(agent.told[-1], DisableContext("shop", "user"))
