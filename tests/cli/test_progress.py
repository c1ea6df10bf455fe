"""What is shown while one waits for a trace to arrive, and of a session that is watched."""

import io

from rich.console import Console
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.cli.progress import PERIOD, Rate, followed, table
from lttngnet.errors import Code, CommandError
from tests.cli.test_states import BUSY
from tests.fake_daemon import facts


class Session:
    """Has less and less to deliver."""

    def __init__(self, *left):
        self.left = list(left)

    async def glance(self):
        if not self.left:
            raise CommandError(Code.SESSION_NOT_FOUND, "gone")
        return facts(facts=facts()["facts"] | {"waiting": self.left.pop(0), "spooled": 1 << 20})


class FollowedTests(SynchronousTestCase):
    def setUp(self):
        self.clock, self.shown, self.arrived = Clock(), [], Deferred()

    def follow(self, *left):
        async def arrive():
            return await self.arrived

        return Deferred.fromCoroutine(followed(arrive(), Session(*left), self.clock, self.shown.append))

    def test_what_is_left_and_how_fast_it_goes(self):
        following = self.follow(9 << 20, 4 << 20, 5 << 20)
        for _ in range(2):
            self.clock.advance(PERIOD)
        self.assertEqual(
            self.shown,
            [
                "Waiting for the trace to arrive: 10.0 MiB left, 0 bytes/s",
                "Waiting for the trace to arrive: 5.0 MiB left, 10.0 MiB/s",
                "Waiting for the trace to arrive: 6.0 MiB left, 0 bytes/s",
            ],
        )
        self.assertNoResult(following)
        self.arrived.callback("facts")
        self.assertEqual(self.successResultOf(following), "facts")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_session_that_is_gone(self):
        following = self.follow(1)
        self.clock.advance(PERIOD)
        self.arrived.callback("facts")
        self.assertEqual(self.successResultOf(following), "facts")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_what_fails(self):
        following = self.follow(1)
        self.arrived.errback(CommandError(Code.FATAL, "no"))
        self.assertEqual(self.failureResultOf(following, CommandError).value.sentence, "no")
        self.assertEqual(self.clock.getDelayedCalls(), [])


class TableTests(SynchronousTestCase):
    def test_channels(self):
        console = Console(file=io.StringIO(), width=150)
        console.print(table(BUSY, 2 << 20))
        text = console.file.getvalue()
        self.assertIn(
            "session1 [active, consumer disabled], 2 packets, 3.0 MiB, 2.0 MiB/s, 6.0 MiB left", text
        )
        self.assertRegex(text, r"kernel +channel0 +0 +0 bytes +1 +0 *\n")
        self.assertIn("host/session1-20261122-150000", text)

    def test_rate(self):
        rate = Rate()
        self.assertEqual([rate.at(*each) for each in ((1, 5), (1, 9), (3, 1))], [0, 0, -4])
