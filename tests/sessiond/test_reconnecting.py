"""Coming back again and again, by a clock."""

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.errors import Code, CommandError
from lttngnet.sessiond.reconnecting import FIRST, JITTER, LONGEST, reconnect


class ReconnectTests(SynchronousTestCase):
    def setUp(self):
        self.clock, self.attempts = Clock(), []

    def begin(self, successes, chance=0.5):
        """Begin; the attempt of that number succeeds."""

        async def attempt():
            self.attempts.append(self.clock.seconds())
            if len(self.attempts) < successes:
                raise CommandError(Code.RELAYD_CONNECT_FAIL, "not yet")

        return Deferred.fromCoroutine(reconnect(self.clock, attempt, lambda: chance))

    def test_pauses_grow_up_to_a_limit(self):
        done = self.begin(9)
        self.clock.pump([FIRST / 4] * 2000)
        self.assertEqual(self.successResultOf(done), 9)
        pauses = [after - before for before, after in zip([0, *self.attempts], self.attempts, strict=False)]
        expected = [min(FIRST * 2**n, LONGEST) for n in range(9)]
        for pause, wanted in zip(pauses, expected, strict=True):
            self.assertLess(abs(pause - wanted), FIRST / 2)

    def test_they_differ_by_chance(self):
        for chance, pause in ((0.0, FIRST * (1 - JITTER)), (1.0, FIRST * (1 + JITTER))):
            self.setUp()
            done = self.begin(1, chance)
            self.clock.advance(pause - 0.001)
            self.assertNoResult(done)
            self.clock.advance(0.002)
            self.assertEqual(self.successResultOf(done), 1)

    def test_it_can_be_ended(self):
        done = self.begin(5)
        self.clock.advance(FIRST * 2)
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_defect_ends_it(self):
        async def attempt():
            raise ZeroDivisionError

        done = Deferred.fromCoroutine(reconnect(self.clock, attempt))
        self.clock.advance(1)
        self.failureResultOf(done, ZeroDivisionError)
