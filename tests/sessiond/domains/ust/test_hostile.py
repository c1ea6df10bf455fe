"""Applications that do not do as they should, over real sockets, in a session; the clock is the test's."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import mkdtemp

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase, TestCase

from lttngnet.sessiond.domains.ust import gaps
from lttngnet.sessiond.domains.ust.domain import UstDomain
from lttngnet.sessiond.ust.applications import Applications
from lttngnet.sessiond.ust.rendezvous import Listener, Rendezvous, listen
from lttngnet.wire.ust.commands import Command
from tests.sessiond.domains.ust.test_domain import JOIN, RULE, START, Courier
from tests.sessiond.ust.fake import FakeApplication
from tests.sessiond.ust.test_rendezvous import until
from tests.waiting import wait_until

ALMOST = 4.9  # seconds, of five
RULES = 10


class OurTime:
    """The reactor, but for its time."""

    def __init__(self):
        self.clock = Clock()
        self.callLater, self.seconds = self.clock.callLater, self.clock.seconds

    def __getattr__(self, name):
        return getattr(reactor, name)


class HostileTests(TestCase):
    def setUp(self):
        folder = Path(mkdtemp())  # a short path: it holds a socket
        self.addCleanup(shutil.rmtree, folder)
        self.reactor = OurTime()
        self.applications = Applications()
        self.domain = UstDomain("s", self.applications, lambda uid: True, self.reactor.seconds)
        self.path = folder / "socket"
        rendezvous = Rendezvous(self.reactor, self.applications, lambda: 7.0, os.geteuid(), 5.0)
        listener = Listener(self.reactor, listen(self.path), rendezvous.accept)
        listener.startReading()

        def close():
            listener.stopReading()
            listener.connectionLost()
            rendezvous.close()

        self.addCleanup(close)

    async def registered(self):
        """Return an application, and what the daemon makes of it."""
        before = set(self.applications)
        fake = FakeApplication(self.path)
        self.addCleanup(fake.close)
        await deferToThread(lambda: fake.register().answer_until(Command.REGISTER_DONE))
        await until(lambda: len(self.applications) > len(before), "it is known")
        fake.heard.clear()
        (application,) = set(self.applications) - before
        return fake, application

    async def test_one_that_takes_almost_too_long_for_each_answer(self):
        """It keeps the user waiting once, not as often as it is asked."""
        await self.domain.enable_events("c", [f"a:b{number}" for number in range(RULES)], {})
        await self.domain.attach(Courier())
        slow, application = await self.registered()
        well, other = await self.registered()
        starting = Deferred.fromCoroutine(self.domain.start())
        orders = [*JOIN, *RULE * RULES, *START]
        await deferToThread(lambda: [well.answer() for _ in orders])
        answers = 0
        with capturedLogs() as log:
            while not application.is_gone and answers < len(orders):
                self.reactor.clock.advance(ALMOST)
                if not application.is_gone:
                    asked = application._exchange._current
                    answers += await deferToThread(lambda: bool(slow.answer()))
                    await until(
                        lambda old=asked: application._exchange._current is not old, "the answer is heard"
                    )
        await starting
        self.assertLess(answers, 3)
        self.assertEqual(list(self.applications), [other])
        self.assertEqual(well.heard, orders)
        (line,) = [formatEvent(event) for event in log if "any more" in event.get("log_format", "")]
        self.assertRegex(line, r"^Not traced any more: application fake \(\d+\): it needed more than 6\.\d s")
        stopping = Deferred.fromCoroutine(self.domain.stop())
        await deferToThread(lambda: [well.answer() for _ in range(2)])
        await stopping

    async def test_one_that_hangs_up_and_comes_again(self):
        """What it recorded in between is lost; that this was so is said."""
        await self.domain.enable_events("c", ["a:b"], {})
        await self.domain.attach(Courier())
        await self.domain.start()
        fake, _ = await self.registered()
        self.assertNotIn("interruptions", self.domain.describe())
        fake.notify.close()
        await until(lambda: not len(self.applications), "it is gone")
        self.reactor.clock.advance(0.25)
        with capturedLogs() as log:
            await self.registered()
        self.assertEqual(self.domain.describe()["interruptions"], 1)
        (line,) = [formatEvent(event) for event in log if "no connection" in event.get("log_format", "")]
        self.assertRegex(line, r"^Process \d+ \(fake\) was not traced in session s for 0\.250 s, ")

    async def test_another_program_in_the_same_process(self):
        """It was never traced before: nothing is missing."""
        await self.domain.enable_events("c", ["a:b"], {})
        await self.domain.attach(Courier())
        await self.domain.start()
        fake, _ = await self.registered()
        fake.notify.close()
        await until(lambda: not len(self.applications), "it is gone")
        self.patch(gaps, "identity", lambda pid: (b"1", b"elsewhere"))
        await self.registered()
        self.assertNotIn("interruptions", self.domain.describe())


class IdentityTests(SynchronousTestCase):
    def test_a_process_that_becomes_another_program(self):
        script = "import os, sys; input(); os.execv(sys.executable, [sys.executable, '-c', 'input()'])"
        process = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, text=True)
        self.addCleanup(process.communicate)
        before = gaps.identity(process.pid)
        self.assertEqual(gaps.identity(process.pid), before)
        process.stdin.write("go\n")
        process.stdin.flush()
        wait_until(lambda: gaps.identity(process.pid) != before, "the process to become another program")

    def test_one_that_is_gone(self):
        process = subprocess.Popen([sys.executable, "-c", ""])
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        self.assertIsNone(gaps.identity(process.pid))
        process.wait()
        self.assertIsNone(gaps.identity(process.pid))
