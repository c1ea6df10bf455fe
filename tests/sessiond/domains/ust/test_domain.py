"""The domain between applications in memory and a consumer process in memory: who is asked what, and when."""

import gc
import os
import re
import resource
from dataclasses import replace
from weakref import ref

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.errors import Code, CommandError
from lttngnet.sessiond.domains.ust import catalogue, traces
from lttngnet.sessiond.domains.ust import member as of_member
from lttngnet.sessiond.domains.ust.channels import Channel
from lttngnet.sessiond.domains.ust.domain import UstDomain
from lttngnet.sessiond.domains.ust.traces import trace_path
from lttngnet.sessiond.ust import room
from lttngnet.sessiond.ust.application import Application
from lttngnet.sessiond.ust.applications import Applications
from lttngnet.wire.ust.commands import Command, Failure
from lttngnet.wire.ust.questions import EventQuestion
from tests.descriptors import open_files
from tests.sessiond.ust.memory import FACTS, Peer, Socket

CPUS = 2
EVENT = EventQuestion(0, 0, "a:b", 6, "", (), "")
JOIN = [Command.CREATE_SESSION, Command.CHANNEL, *[Command.STREAM] * CPUS]
RULE = [Command.EVENT, Command.ENABLE]
START, STOP = [Command.ENABLE], [Command.DISABLE, Command.WAIT_QUIESCENT]


class Courier:
    """A consumer process: it answers at once, or when the test says so; or refuses."""

    def __init__(self):
        self.asked = []
        self.waiting = None  # a list: answers wait there
        self.refusal = None

    async def add_source(self, kind, config):
        self.asked.append((kind, config))

    async def ask_source(self, kind, what, facts, descriptors=()):
        self.asked.append((what, facts))
        if self.waiting is not None:
            self.waiting.append(Deferred())
            await self.waiting[-1]
        if self.refusal is not None:
            raise self.refusal
        if what != "make-trace":
            return {}, []
        given, channels = [], []
        for _ in facts["channels"]:
            description = os.memfd_create("description")
            os.write(description, b"a channel")
            given += [description, *(os.memfd_create("x") for _ in range(1 + 2 * CPUS))]
            channels.append({"kind": 0, "streams": [{"cpu": cpu, "size": 4096} for cpu in range(CPUS)]})
        return {"channels": channels}, given

    def questions(self, what):
        return [facts for name, facts in self.asked if name == what]


class DomainTests(SynchronousTestCase):
    def setUp(self):
        self.applications, self.courier, self.clock = Applications(), Courier(), Clock()
        self.domain = UstDomain("s", self.applications, lambda uid: uid != 7)
        self.open = open_files()
        self.peers = {}

    def pump(self):
        """Let every application answer all that it is asked."""
        while any(peer.socket.written and peer.socket.is_open for peer in self.peers.values()):
            for peer in self.peers.values():
                peer.answer_all()

    def do(self, asking):
        """Ask the domain for something, and let the applications answer."""
        doing = Deferred.fromCoroutine(asking)
        self.pump()
        return self.successResultOf(doing)

    def application(self, answers=True, **facts):
        """Return an application that registers."""
        peer = Peer()
        application = Application(
            replace(FACTS, **facts), peer.socket, Socket(), self.applications, self.clock, 5.0
        )
        self.peers[application] = peer
        application.greet()
        if answers:
            self.pump()
        return application

    def heard(self, application):
        """Return what an application was asked since the last time, but for its registration."""
        heard, self.peers[application].heard = self.peers[application].heard, []
        return [each for each in heard if each not in (Command.TRACER_VERSION, Command.REGISTER_DONE)]

    def start(self, **options):
        """Start tracing, with one rule in one channel."""
        self.do(self.domain.enable_channel("c", options))
        self.do(self.domain.enable_events("c", ["a:*"], {}))
        self.do(self.domain.attach(self.courier))
        self.do(self.domain.start())

    def leave(self, application):
        application.drop("it hung up")

    def test_all_that_can_be_asked(self):
        self.do(self.domain.add_contexts("", ["vpid"]))
        self.do(self.domain.enable_events("channel0", ["a:*"], {"filter": "n > 1", "exclude": ["a:b"]}))
        self.do(self.domain.attach(self.courier))
        self.do(self.domain.start())
        application = self.application()
        self.assertEqual(self.peers[application].heard[-1], Command.REGISTER_DONE)
        rule = [Command.EVENT, Command.FILTER, Command.EXCLUSION, Command.ENABLE]
        self.assertEqual(self.heard(application), [*JOIN, Command.CONTEXT, *rule, *START])
        self.do(self.domain.regenerate("statedump"))
        self.assertEqual(self.heard(application), [Command.STATEDUMP])
        self.do(self.domain.stop())
        self.assertEqual(self.heard(application), STOP)
        self.do(self.domain.start())
        self.assertEqual(self.heard(application), START)
        self.do(self.domain.destroy())
        self.assertEqual(self.heard(application), [*STOP, *[Command.RELEASE] * 3])
        self.assertEqual(open_files(), self.open)
        self.application()
        self.assertEqual(len(self.courier.questions("make-trace")), 1)

    def test_applications_of_a_user_share_buffers(self):
        early = self.application()
        self.start()
        late, other, hidden = (self.application(uid=uid) for uid in (1000, 1001, 7))
        for application in (early, late, other):
            self.assertEqual(self.heard(application), [*JOIN, *RULE, *START])
        self.assertEqual(self.heard(hidden), [])
        paths = [facts["path"] for facts in self.courier.questions("make-trace")]
        self.assertEqual(paths, ["ust/uid/1000/64-bit", "ust/uid/1001/64-bit"])
        self.leave(late)
        self.assertEqual(self.courier.questions("close-trace"), [])
        self.assertEqual(self.domain.describe()["applications"], 2)
        self.assertEqual(open_files(), self.open + 2 * (1 + 2 * CPUS))
        self.do(self.domain.detach())
        self.assertEqual(open_files(), self.open)

    def test_one_that_lies_about_alignments_does_not_spoil_the_trace_of_others(self):
        """Nor does it keep tracing from being started."""
        liar = self.application(alignments=(8, 16, 32, 64, 64))
        self.start()
        honest = self.application(pid=43)
        self.assertEqual(self.heard(liar), [])
        self.assertEqual(self.heard(honest), [*JOIN, *RULE, *START])
        self.assertEqual(len(self.courier.questions("make-trace")), 1)

    def test_a_process_has_its_own_buffers(self):
        early = self.application(name="a/b")
        self.start(buffers="pid")
        late = self.application(pid=43)
        one, two = self.courier.questions("make-trace")
        self.assertRegex(one["path"], r"^ust/pid/a_b-42-\d{8}-\d{6}$")
        self.assertNotEqual(one["uuid"], two["uuid"])
        self.assertEqual(open_files(), self.open)
        self.leave(early)
        self.assertEqual(self.courier.questions("close-trace"), [{"trace": one["trace"]}])
        self.do(self.domain.stop())
        self.assertEqual(self.heard(late)[-2:], STOP)

    def test_a_process_that_becomes_another_at_once(self):
        self.start(buffers="pid")
        self.leave(self.application())
        self.application()
        one, two = (facts["path"] for facts in self.courier.questions("make-trace"))
        self.assertEqual(two, f"{one}-2")

    def test_only_so_many_paths_are_remembered(self):
        """A session may see processes come and go for years."""
        self.patch(traces, "RECENT", 2)
        self.start(buffers="pid")
        for pid in (42, 43, 43, 44, 42):
            self.leave(self.application(pid=pid))
        paths = [facts["path"] for facts in self.courier.questions("make-trace")]
        self.assertEqual(paths[2], f"{paths[1]}-2")
        self.assertEqual(paths[4], paths[0])

    def test_one_that_leaves_while_its_buffers_are_made(self):
        self.start(buffers="pid")
        self.courier.waiting = []
        application = self.application()
        self.leave(application)
        while self.courier.waiting:
            self.courier.waiting.pop(0).callback(None)
        self.assertEqual(len(self.courier.questions("close-trace")), 1)
        self.assertEqual(open_files(), self.open)

    def test_ends_while_nothing_is_consumed(self):
        """Its trace is closed when the consumer goes on. Who begins is traced; stopping waits for nothing."""
        self.start(buffers="pid")
        applications = [self.application(pid=pid) for pid in (43, 44)]
        self.courier.waiting = []
        for application in applications:
            self.leave(application)
        closing, self.courier.waiting = self.courier.waiting, None
        self.assertEqual(len(self.courier.questions("close-trace")), 2)
        self.assertEqual(self.heard(self.application(pid=45)), [*JOIN, *RULE, *START])
        self.do(self.domain.stop())
        for each in closing:
            each.callback(None)
        self.do(self.domain.destroy())

    def test_changes_while_tracing(self):
        self.start()
        application = self.application()
        self.heard(application)
        for asking, commands in (
            (self.domain.disable_events("c", []), [Command.DISABLE]),
            (self.domain.enable_events("c", ["a:*"], {}), [Command.ENABLE]),
            (self.domain.disable_channel("c"), [Command.DISABLE]),
            (self.domain.enable_channel("c", {}), [Command.ENABLE]),
            (self.domain.enable_events("c", ["d:e"], {}), RULE),
            (self.domain.track("vpid", [99]), STOP),
            (self.domain.track("vpid", [42]), START),
            (self.domain.untrack("vpid", []), STOP),
        ):
            self.do(asking)
            self.assertEqual(self.heard(application), commands)
        self.application(pid=44)
        self.assertEqual(len(self.courier.questions("make-trace")), 1)

    def test_many_rules_in_many_applications(self):
        """Nobody goes through all rules because of one, and each application is told only what is new."""
        looked_at = []
        news = Channel.news

        def counted(channel, since):
            rules, now = news(channel, since)
            looked_at.extend(rules)
            return rules, now

        self.patch(Channel, "news", counted)
        self.start()
        early = [self.application() for _ in range(10)]
        for application in early:
            self.heard(application)
        looked_at.clear()
        for number in range(50):
            self.do(self.domain.enable_events("c", [f"a:b{number}"], {}))
            for application in early:
                self.assertEqual(self.heard(application), RULE)
        self.assertEqual(len(looked_at), 10 * 50)
        late = self.application()
        self.assertEqual(self.heard(late), [*JOIN, *RULE * 51, *START])
        self.assertEqual(len(looked_at), 10 * 50 + 51)
        self.do(self.domain.disable_events("c", ["a:b7"]))
        for application in (late, *early):
            self.assertEqual(self.heard(application), [Command.DISABLE])
        self.assertEqual(len(looked_at), 10 * 50 + 51 + 11)

    def test_a_rule_that_is_switched_again_and_again(self):
        self.start()
        application = self.application()
        self.heard(application)
        for _ in range(200):
            self.do(self.domain.disable_events("c", ["a:*"]))
            self.do(self.domain.enable_events("c", ["a:*"], {}))
        self.assertEqual(self.heard(application), [Command.DISABLE, Command.ENABLE] * 200)
        self.assertEqual(self.heard(self.application()), [*JOIN, *RULE, *START])

    def test_what_an_application_refuses(self):
        self.start()
        application = self.application(answers=False)
        peer = self.peers[application]
        peer.replies[Command.EVENT] = {"error": -Failure.INVALID}
        self.pump()
        self.assertEqual(self.heard(application), [*JOIN, Command.EVENT, *START])
        self.do(self.domain.stop())
        self.do(self.domain.start())
        self.assertEqual(self.heard(application), [*STOP, *START])
        peer.replies[Command.STREAM] = {"error": -Failure.ERROR}
        other = self.application(answers=False, pid=43)
        self.peers[other].replies[Command.STREAM] = {"error": -Failure.ERROR}
        self.pump()
        self.assertEqual(
            self.heard(other),
            [Command.CREATE_SESSION, Command.CHANNEL, Command.STREAM, *[Command.RELEASE] * 2],
        )
        self.do(self.domain.enable_events("c", ["d:e"], {}))
        self.assertEqual(self.heard(other), [])

    def test_buffers_that_are_refused(self):
        """A process that does not take its own buffers keeps no descriptors of ours open while it lives."""
        self.start(buffers="pid")
        application = self.application(answers=False)
        self.peers[application].replies[Command.STREAM] = {"error": -Failure.ERROR}
        self.pump()
        self.assertFalse(application.is_gone)
        self.assertEqual(open_files(), self.open)

    def test_one_that_does_not_answer_harms_nobody(self):
        silent, well = self.application(), self.application(pid=43)
        self.heard(silent), self.heard(well)
        self.do(self.domain.enable_events("c", ["a:*"], {}))
        self.do(self.domain.attach(self.courier))
        starting = Deferred.fromCoroutine(self.domain.start())
        self.peers[well].answer_all()
        self.assertEqual(self.heard(well), [*JOIN, *RULE, *START])
        self.assertNoResult(starting)
        self.clock.advance(5)
        self.successResultOf(starting)
        self.assertTrue(silent.is_gone)

    def test_buffers_that_cannot_be_had(self):
        application = self.application()
        self.courier.refusal = CommandError(Code.UST_CHAN_FAIL, "no memory")
        self.do(self.domain.enable_events("c", ["a:*"], {}))
        self.do(self.domain.attach(self.courier))
        failure = self.failureResultOf(Deferred.fromCoroutine(self.domain.start()), CommandError)
        self.assertEqual(str(failure.value), "no memory")
        self.do(self.domain.stop())
        self.assertEqual(self.heard(application), [])

    def test_no_descriptors_left(self):
        self.application()
        self.do(self.domain.enable_events("c", ["a:*"], {}))
        self.do(self.domain.attach(self.courier))
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.patch(resource, "getrlimit", lambda which: (self.open + 8, most))
        failure = self.failureResultOf(Deferred.fromCoroutine(self.domain.start()), CommandError)
        self.assertIn("open files", str(failure.value))
        self.assertEqual(self.courier.questions("make-trace"), [])

    def test_another_consumer_process(self):
        self.start()
        application = self.application()
        self.do(self.domain.stop())
        self.heard(application)
        self.courier = Courier()
        self.do(self.domain.attach(self.courier))
        self.assertEqual(self.heard(application), [Command.RELEASE] * 3)
        self.assertEqual(open_files(), self.open)
        self.do(self.domain.start())
        self.assertEqual(self.heard(application), [*JOIN, *RULE, *START])
        self.assertEqual(len(self.courier.questions("make-trace")), 1)

    def test_nobody_is_told_a_number_before_it_is_written(self):
        self.start()
        self.application()
        self.application(pid=43)
        one, two = self.domain._members.values()
        (channel,) = (sent.handle for sent in one._sent)
        self.successResultOf(Deferred.fromCoroutine(one.describe_channel(channel, ())))
        self.courier.waiting = []
        first = Deferred.fromCoroutine(one.describe_event(channel, EVENT))
        (channel,) = (sent.handle for sent in two._sent)
        second = Deferred.fromCoroutine(two.describe_event(channel, EVENT))
        self.assertNoResult(first)
        self.assertNoResult(second)
        self.courier.waiting.pop().callback(None)
        self.assertEqual((self.successResultOf(first), self.successResultOf(second)), (0, 0))
        self.assertEqual(len(self.courier.questions("describe")), 2)

    def describe(self, member, count, size=1000):
        """Let an application describe so many events; return how many of them were written down."""
        (channel,) = (sent.handle for sent in member._sent)
        written = 0
        for number in range(count):
            event = replace(EVENT, name=f"a:b{number}", uri=(size * "x"))
            describing = Deferred.fromCoroutine(member.describe_event(channel, event))
            describing.addErrback(self.refusals.append)
            written += self.successResultOf(describing) is not None
        return written

    def test_one_that_describes_without_end(self):
        """It leaves room to others of its trace, and a user to other users."""
        self.refusals = []
        self.patch(of_member, "OF_APPLICATION", 10_000)
        self.patch(room, "OF_USER", 15_000)
        self.start()
        for uid, pid in ((1000, 1), (1000, 2), (1001, 3)):
            self.application(uid=uid, pid=pid)
        one, two, other = self.domain._members.values()
        for member in (one, two, other):
            (channel,) = (sent.handle for sent in member._sent)
            self.successResultOf(Deferred.fromCoroutine(member.describe_channel(channel, ())))
        of_one = self.describe(one, 20)
        self.assertLess(of_one, 10)
        self.assertIn("application demo (1) cannot describe more", self.refusals[-1].getErrorMessage())
        self.assertEqual(self.describe(two, of_one), of_one)  # which are the same
        self.assertLess(self.describe(two, 20, 1001), of_one)
        self.assertIn(
            "the applications of user 1000, in all sessions, cannot describe more",
            self.refusals[-1].getErrorMessage(),
        )
        self.assertEqual(self.describe(other, 20), of_one)
        self.do(self.domain.destroy())
        self.assertEqual(self.applications.rooms.of(1000).taken, 0)

    def test_processes_without_end(self):
        """What was described in traces that are closed is not kept, even if the consumer process is busy."""
        self.refusals = []
        self.start(buffers="pid")
        for pid in range(1, 10):
            application = self.application(pid=pid)
            self.assertEqual(self.describe(self.domain._members[application], 3), 3)
            self.assertGreater(self.applications.rooms.of(1000).taken, 0)
            registry = ref(self.domain._members[application]._trace._registry)
            self.courier.waiting = []
            self.leave(application)
            gc.collect()
            self.assertIsNone(registry())
            self.assertEqual(self.applications.rooms.of(1000).taken, 0)
            self.courier.waiting.pop().callback(None)
            self.courier.waiting = None

    def test_metadata_is_written_anew(self):
        self.start()
        self.application()
        (made,) = self.courier.questions("make-trace")
        self.do(self.domain.regenerate("metadata"))
        (rewritten,) = self.courier.questions("rewrite")
        texts = [re.sub("offset = -?[0-9]+", "", each) for each in (made["metadata"], rewritten["text"])]
        self.assertEqual(texts[0], texts[1])
        failure = self.failureResultOf(Deferred.fromCoroutine(self.domain.regenerate("weather")))
        self.assertEqual(failure.value.code, Code.NOT_SUPPORTED)

    def test_metadata_of_single_processes_stays(self):
        self.start(buffers="pid")
        failure = self.failureResultOf(Deferred.fromCoroutine(self.domain.regenerate("metadata")))
        self.assertEqual(failure.value.code, Code.PER_PID_SESSION)

    def test_what_could_be_recorded(self):
        application = self.application()
        listing = Deferred.fromCoroutine(catalogue.available(self.applications, False, self.clock))
        peer = self.peers[application]
        peer.answer()
        peer.answer(content=b"a:b".ljust(256, b"\0") + (6).to_bytes(4, "little"))
        peer.answer(error=-Failure.NO_ENTRY)
        self.pump()
        event = {"name": "a:b", "loglevel": "TRACE_INFO", "pid": 42, "procname": "demo"}
        self.assertEqual(self.successResultOf(listing), [event])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_lists_without_end(self):
        """Of who has too much to tell, or takes too long to tell it, nothing is listed: the others are."""
        self.patch(catalogue, "ROOM", 10_000)
        well, long, slow = (self.peers[self.application(pid=pid)] for pid in (1, 2, 3))
        listing = Deferred.fromCoroutine(catalogue.available(self.applications, False, self.clock))
        for peer in (well, long, slow):
            peer.answer()
        for number in range(200):
            name = b"a:%d" % number
            for peer in (well, long) if number < 50 else (long,):
                peer.answer(content=name.ljust(256, b"\0") + (6).to_bytes(4, "little"))
        for peer in (well, long):
            peer.answer(error=-Failure.NO_ENTRY)
            peer.answer_all()
        for _ in range(15):
            self.assertNoResult(listing)
            self.clock.advance(4)
            slow.answer(content=b"a:b".ljust(256, b"\0") + (6).to_bytes(4, "little"))
        self.assertEqual([event["pid"] for event in self.successResultOf(listing)], [1] * 50)

    def test_described(self):
        self.start()
        told = self.domain.describe()
        self.assertEqual((told["buffers"], told["tracked"], told["applications"]), ("uid", {}, 0))
        ((channel,), (event,)) = told["channels"], told["channels"][0]["events"]
        self.assertEqual((channel["name"], channel["enabled"], channel["contexts"]), ("c", True, []))
        self.assertEqual((event["name"], event["enabled"]), ("a:*", True))

    def test_a_name_is_no_path(self):
        self.assertRegex(trace_path("pid", replace(FACTS, name="../x")), r"^ust/pid/\.\._x-42-")
