"""The python domain and the programs' connections, in memory: no program, no reactor."""

import os
import socket

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from lttngnet.errors import Code, CommandError
from lttngnet.interfaces import IDomain
from lttngnet.sessiond.applications import MOST_UNANSWERED, Applications
from lttngnet.sessiond.domains.loggers.domain import LoggerDomain
from lttngnet.sessiond.domains.loggers.kinds import PYTHON
from lttngnet.sessiond.domains.loggers.programs import ANSWER_TIMEOUT, ProgramRecorder
from lttngnet.wire.records import (
    TALK_LIMIT,
    Done,
    Forget,
    Frames,
    Ready,
    Register,
    Rule,
    Want,
    frame,
    hear,
    say,
)

ALL = (Rule("*"),)


class UNIXTransport(StringTransport):
    """Keeps duplicates of the descriptors that are sent."""

    def __init__(self):
        super().__init__()
        self.connected = True
        self.sent = []

    def sendFileDescriptor(self, descriptor):
        self.sent.append(socket.socket(fileno=os.dup(descriptor)))


class Program:
    """The far end of a program's connection."""

    def __init__(self, applications):
        self.transport = UNIXTransport()
        self.protocol = applications.buildProtocol(None)
        self.protocol.makeConnection(self.transport)
        self.frames = Frames(TALK_LIMIT)

    def say(self, message):
        self.protocol.dataReceived(say(message))

    def heard(self):
        data = self.transport.value()
        self.transport.clear()
        return [hear(content) for content in self.frames.feed(data)]

    def answered(self):
        """Answer all that was heard, and return it."""
        heard = self.heard()
        for message in heard:
            if not isinstance(message, Ready):
                self.say(Done(message.serial))
        return heard

    def leave(self):
        if self.transport.connected:
            self.transport.connected = False
            self.protocol.connectionLost(Failure(ConnectionDone()))
        for sent in self.transport.sent:
            sent.close()


class Courier:
    """Stands for a consumer process."""

    def __init__(self):
        self.sources = []
        self.handed = []
        self.refusal = None

    async def add_source(self, kind, config):
        self.sources.append((kind, config))

    async def ask_source(self, kind, what, facts, descriptors=()):
        if self.refusal is not None:
            raise self.refusal
        (descriptor,) = descriptors
        self.handed.append((kind, socket.socket(fileno=os.dup(descriptor)), facts))
        return {}, []


class DomainTestCase(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.applications = Applications()
        self.domain = LoggerDomain(PYTHON, [ProgramRecorder("auto", self.applications, self.clock)])
        self.courier = Courier()
        self.addCleanup(lambda: [handed.close() for _, handed, _ in self.courier.handed])

    def begin(self, work):
        return Deferred.fromCoroutine(work)

    def wait(self, work):
        return self.successResultOf(self.begin(work))

    def refused(self, work):
        return self.failureResultOf(self.begin(work), CommandError).value.code

    def enable(self, *names, **options):
        return self.domain.enable_events("channel0", names, options)

    def program(self, pid=42):
        program = Program(self.applications)
        self.addCleanup(program.leave)
        program.say(Register(pid, "till"))
        return program

    def started(self, *names, **options):
        self.wait(self.enable(*names, **(options or {"all": not names})))
        self.wait(self.domain.attach(self.courier))
        self.wait(self.domain.start())


class PythonDomainTests(DomainTestCase):
    def test_interface(self):
        verifyObject(IDomain, self.domain)

    def test_events(self):
        self.assertTrue(self.domain.is_empty())
        self.assertEqual(self.wait(self.enable(all=True)), ["*"])
        self.wait(self.enable("shop", "bar.*", loglevel="INFO"))
        self.wait(self.enable("shop", loglevel="PYTHON_ERROR", loglevel_only=True, filter="lineno > 5"))
        self.assertEqual(self.wait(self.domain.disable_events("channel0", ["bar.*"])), ["bar.*"])
        everything = {"name": "*", "loglevel": None, "loglevel_only": False, "filter": ""}
        self.assertEqual(
            self.domain.describe(),
            {
                "channels": [
                    {
                        "name": "lttng_python_channel",
                        "sources": ["python", "userspace"],
                        "events": [
                            everything,
                            everything | {"name": "shop", "loglevel": "INFO"},
                            {
                                "name": "shop",
                                "loglevel": "ERROR",
                                "loglevel_only": True,
                                "filter": "lineno > 5",
                            },
                        ],
                    }
                ],
                "applications": 0,
            },
        )
        self.assertEqual(self.wait(self.domain.disable_events("channel0", [])), ["*", "shop"])
        self.assertTrue(self.domain.is_empty())
        self.assertEqual(self.domain.describe()["channels"], [])

    def test_refusals(self):
        self.assertEqual(
            self.refused(self.domain.disable_events("channel0", ["bar"])), Code.UST_EVENT_NOT_FOUND
        )
        self.wait(self.enable("shop"))
        self.assertEqual(self.refused(self.enable("shop")), Code.UST_EVENT_ENABLED)
        self.wait(self.enable("shop", "more"))
        self.assertEqual(self.refused(self.domain.enable_channel("more", {})), Code.NOT_SUPPORTED)

    def test_contexts(self):
        self.wait(self.domain.add_contexts("", ["vpid", "procname"]))
        self.assertEqual(self.refused(self.domain.add_contexts("", ["vpid", "ip"])), Code.NOT_SUPPORTED)

    def test_attach(self):
        self.wait(self.enable(all=True))
        self.wait(self.domain.attach(self.courier))
        config = {"session": "auto", "hostname": socket.gethostname(), "channel": "lttng_python_channel"}
        self.assertEqual(self.courier.sources, [("python", config)])

    def test_before_and_after(self):
        """Programs that are there and programs that come are told what is wanted, and given a way to it."""
        before = self.program(1)
        self.assertEqual(before.heard(), [Ready()])
        self.wait(self.enable(all=True))
        self.wait(self.domain.attach(self.courier))
        starting = self.begin(self.domain.start())
        self.assertNoResult(starting)
        self.assertEqual(before.answered(), [Want(1, "auto", ALL, True)])
        self.successResultOf(starting)
        after = self.program(2)
        self.assertEqual(after.answered(), [Want(1, "auto", ALL, True), Ready()])
        self.assertEqual([facts["pid"] for *_, facts in self.courier.handed], [1, 2])
        for program, (_, ours, _) in zip((before, after), self.courier.handed, strict=True):
            (theirs,) = program.transport.sent
            theirs.send(b"record")
            theirs.close()
            self.assertEqual([ours.recv(10), ours.recv(10)], [b"record", b""], "no copy is left open")
        self.assertEqual(self.domain.describe()["applications"], 2)

    def test_rules_change(self):
        self.started("shop")
        program = self.program()
        program.answered()
        enabling = self.begin(self.enable("bar", loglevel=30))
        self.assertEqual(program.answered(), [Want(2, "auto", (Rule("shop"), Rule("bar", 30)))])
        self.successResultOf(enabling)
        self.begin(self.domain.disable_events("channel0", []))
        self.assertEqual(program.answered(), [Want(3, "auto", ())])

    def test_stop_waits(self):
        """Stop waits for the programs' last records, and start uses the same socket again."""
        self.started()
        program = self.program()
        program.answered()
        stopping = self.begin(self.domain.stop())
        self.assertNoResult(stopping)
        self.assertEqual(program.answered(), [Want(2, "auto", ())])
        self.successResultOf(stopping)
        self.assertEqual(self.program(2).heard(), [Ready()])
        self.begin(self.domain.start())
        self.assertEqual(program.answered(), [Want(3, "auto", ALL)])

    def test_stop_does_not_wait_for_ever(self):
        self.started()
        slow, gone = self.program(1), self.program(2)
        stopping = self.begin(self.domain.stop())
        gone.leave()
        self.assertNoResult(stopping)
        self.clock.advance(ANSWER_TIMEOUT)
        self.successResultOf(stopping)
        slow.answered()
        self.assertEqual(self.domain.describe()["applications"], 1)

    def test_destroy(self):
        self.started()
        program = self.program()
        program.answered()
        destroying = self.begin(self.domain.destroy())
        self.assertEqual(program.answered(), [Forget(2, "auto")])
        self.successResultOf(destroying)
        self.assertTrue(self.domain.is_empty())
        self.assertEqual(self.program(2).heard(), [Ready()])

    def test_another_consumer(self):
        """Programs are given new sockets for a new consumer process."""
        self.started()
        program = self.program()
        program.answered()
        self.courier = Courier()
        self.begin(self.domain.attach(self.courier))
        self.assertEqual(program.answered(), [Want(2, "auto", ALL, True)])
        self.assertEqual(len(self.courier.handed), 1)

    def test_consumer_refuses(self):
        self.started()
        self.courier.refusal = CommandError(Code.RELAYD_CONNECT_FAIL, "the relay is gone")
        with capturedLogs() as logged:
            self.program()
        self.assertIn("the relay is gone", [str(event.get("problem")) for event in logged])


class ApplicationTests(DomainTestCase):
    def test_other_protocol(self):
        program = Program(self.applications)
        program.say(Register(42, "till", 99))
        self.assertTrue(program.transport.disconnected)
        self.assertEqual(len(self.applications), 0)

    @settings(deadline=None)
    @given(st.binary(max_size=50).map(frame) | st.binary(min_size=4, max_size=50))
    def test_garbage(self, garbage):
        """A program that talks nonsense is dropped; half a message waits, in bounded room."""
        self.setUp()
        good, bad = self.program(1), self.program(2)
        bad.protocol.dataReceived(garbage)
        if not bad.transport.disconnected:
            self.assertTrue(bad.protocol._frames.is_amid)
        self.assertFalse(good.transport.disconnected)

    def test_out_of_turn(self):
        for message in (Register(42, "till"), Done(7), Ready(), Forget(1, "auto")):
            program = self.program()
            program.say(message)
            self.assertTrue(program.transport.disconnected, message)

    def test_never_answers(self):
        program = self.program()
        for _ in range(MOST_UNANSWERED + 1):
            self.begin(program.protocol.want("auto", ())).addErrback(lambda failure: None)
        self.assertTrue(program.transport.disconnected)
