"""Whose turn it is, and who waits for whom."""

from twisted.internet.testing import StringTransport
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.relayd.turns import FEW, LAST, ROUND, TURN, Rounds, Turns
from tests.relayd.hostility import HastyClock

STEP = TURN * 0.6  # two looks at the clock are more than a turn


class Reactor(HastyClock):
    """Does nothing but calls."""

    def iterate(self):
        """Do what is due now, and not what that leaves for the next iteration."""
        due, self.calls = self.calls, []
        for call in due:
            call.called = 1
            call.func(*call.args, **call.kw)


class TurnsTestCase(SynchronousTestCase):
    def setUp(self):
        self.transport, self.clock, self.done = StringTransport(), Reactor(STEP), []
        self.rounds = Rounds(self.clock)
        self.turns = Turns(self.rounds, self.transport)

    def settle(self):
        while self.clock.getDelayedCalls():
            self.clock.iterate()

    def steps(self, *names):
        for name in names:
            self.done.append(name)
            yield


class OneConnectionTests(TurnsTestCase):
    def test_a_short_job_is_done_at_once(self):
        self.turns.do(self.steps("a"))
        self.assertEqual((self.done, self.transport.producerState), (["a"], "producing"))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nothing_is_read_before_a_long_job_is_done(self):
        self.turns.do(self.steps(*range(9)))
        self.assertEqual((len(self.done), self.transport.producerState), (2, "paused"))
        self.turns.do(self.steps("next"))
        self.settle()
        self.assertEqual((self.done, self.transport.producerState), ([*range(9), "next"], "producing"))

    def test_the_end_comes_after_all_that_was_said(self):
        self.turns.do(self.steps(*range(9)))
        self.turns.end(self.steps("end"))
        self.settle()
        self.assertEqual(self.done, [*range(9), "end"])
        self.assertEqual(self.transport.producerState, "paused")  # it is gone: nobody touches it

    def test_held(self):
        self.turns.hold()
        self.turns.do(self.steps("a"))
        self.settle()
        self.assertEqual((self.done, self.transport.producerState), ([], "paused"))
        self.turns.go_on()
        self.assertEqual((self.done, self.transport.producerState), (["a"], "producing"))

    def test_held_in_the_middle_of_a_job(self):
        def holding():
            self.done.append("before")
            self.turns.hold()
            yield
            self.done.append("after")
            yield

        self.turns.do(holding())
        self.settle()
        self.assertEqual(self.done, ["before"])
        self.turns.go_on()
        self.settle()
        self.assertEqual((self.done, self.transport.producerState), (["before", "after"], "producing"))

    def test_the_end_of_who_is_held(self):
        self.turns.hold()
        self.turns.do(self.steps("a"))
        self.turns.end(self.steps("end"))
        self.settle()
        self.assertEqual(self.done, ["a", "end"])

    def test_a_transport_that_is_being_closed(self):
        self.turns.leave_alone()
        self.turns.do(self.steps(*range(9)))
        self.assertEqual(self.transport.producerState, "producing")


class RoundsTests(TurnsTestCase):
    def others(self, count, steps):
        """Let other connections begin jobs."""
        for number in range(count):
            Turns(self.rounds, StringTransport()).do(self.steps(*[number] * steps))

    def test_all_share_a_round(self):
        self.others(500, 9)
        for _ in range(9):
            self.assertTrue(0 < len(self.done) * STEP < ROUND, len(self.done))
            self.done.clear()
            self.clock.iterate()

    def test_the_allowance_is_renewed(self):
        self.others(500, 1)
        self.settle()
        before = len(self.done)
        self.turns.do(self.steps("a"))
        self.assertEqual(self.done[before:], ["a"])

    def test_what_is_new_comes_before_what_is_long(self):
        self.others(50, 9)
        while len(set(self.done)) < 50:  # until all had a turn
            self.clock.iterate()
        before = len(self.done)
        self.turns.do(self.steps("little"))
        self.clock.iterate()
        self.assertIn("little", self.done[before : before + 3])

    def test_who_asks_for_little_again_and_again_comes_before_a_crowd(self):
        self.turns.do(self.steps("little"))
        for steps in (1, 9):
            self.others(200, steps)
            before = len(self.done)
            self.turns.do(self.steps("little"))
            self.clock.iterate()
            self.assertIn("little", self.done[before : before + 5])
            self.settle()

    def test_who_asks_for_little_may_lose_a_turn(self):
        """To another process, for one: it does not wait for a crowd because of that."""
        self.turns.do(self.steps("little"))
        self.others(200, 99)
        for _ in range(200):  # all of them are long
            self.clock.iterate()
        before = len(self.done)
        few = FEW * 2 - 1  # a turn is two steps
        self.turns.do(self.steps(*["little"] * few))
        self.clock.iterate()
        self.assertEqual(self.done[before:].count("little"), few)
        self.turns.do(self.steps(*["much"] * 99))
        self.clock.iterate()
        self.assertEqual(self.done.count("much"), FEW * 2)

    def test_who_asks_for_little_does_not_wait_for_turns_that_take_long(self):
        """Each of those ends a round."""

        def slow():
            while True:
                self.clock.rightNow += ROUND
                self.done.append("slow")
                yield

        self.turns.do(self.steps("little"))
        for _ in range(50):
            Turns(self.rounds, StringTransport()).do(slow())
        for _ in range(3):
            before = len(self.done)
            self.turns.do(self.steps("little"))
            self.clock.iterate()
            self.assertEqual(self.done[before], "little")

    def test_who_asked_for_much_is_one_of_the_crowd(self):
        self.turns.do(self.steps(*["much"] * 20))
        self.settle()
        self.others(50, 1)
        before = len(self.done)
        self.turns.do(self.steps("little"))
        self.settle()
        self.assertEqual(self.done[-1], "little")
        self.assertGreater(len(self.done), before + 9)

    def test_a_crowd_goes_on_beside_who_asks_for_little(self):
        quick = [Turns(self.rounds, StringTransport()) for _ in range(50)]
        for turns in quick:
            turns.do(self.steps("little"))
        self.settle()
        self.others(50, 1)
        self.turns.do(self.steps("new"))
        for _ in range(51):
            for turns in quick:
                turns.do(self.steps("little"))
            self.clock.iterate()
        self.assertIn("new", self.done)

    def test_a_long_job_goes_on_beside_a_flood_of_little_ones(self):
        self.turns.do(self.steps(*["long"] * 40))
        for _ in range(100):
            self.others(50, 1)
            self.clock.iterate()
        self.assertEqual(self.done.count("long"), 40)

    def test_long_jobs_go_on_side_by_side(self):
        self.others(3, 9)
        self.settle()
        begins = [self.done.index(number) for number in range(3)]
        ends = [len(self.done) - self.done[::-1].index(number) for number in range(3)]
        self.assertLess(max(begins), min(ends))
        self.assertEqual(sorted(self.done), sorted([*range(3)] * 9))

    def test_what_no_connection_waits_for(self):
        self.rounds.do(self.steps(*range(9)))
        self.assertLess(len(self.done), 9)
        self.settle()
        self.assertEqual(self.done, [*range(9)])

    def test_a_defect_stops_nothing_else(self):
        def broken():
            yield
            yield
            raise ValueError

        self.turns.do(broken())
        self.turns.do(self.steps(*range(9)))
        self.settle()
        self.assertEqual((self.done, self.transport.producerState), ([*range(9)], "producing"))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_finish(self):
        self.turns.do(self.steps(*range(9)))
        self.others(50, 9)
        self.rounds.finish()
        self.assertEqual((len(self.done), self.clock.getDelayedCalls()), (51 * 9, []))
        self.turns.do(self.steps("late"))
        self.rounds.do(self.steps(*["rest"] * 9))
        self.turns.end(self.steps("end"))
        self.assertEqual(self.done[51 * 9 :], ["rest"] * 9 + ["end"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_finish_with_more_than_there_is_time_for(self):
        """What connections say is dropped; what none waits for is done, and so is the end of each."""
        more_than_enough = round(2 * LAST / STEP)
        self.others(50, 9)
        self.turns.do(self.steps(*["much"] * more_than_enough))
        left = Turns(self.rounds, StringTransport())
        left.do(self.steps(*["left"] * 999))
        left.end(self.steps("end"))
        deaf = Turns(self.rounds, StringTransport())
        deaf.hold()
        deaf.do(self.steps("unheard"))
        self.rounds.do(self.steps(*["rest"] * more_than_enough))
        with capturedLogs() as log:
            self.rounds.finish()
        self.assertEqual(self.done.count("rest"), more_than_enough)
        self.assertIn("end", self.done)
        self.assertTrue(0 < self.done.count("much") * STEP < LAST)
        (event,) = log
        self.assertIn("what 1 connections had still to say is dropped", formatEvent(event))
        deaf.end(self.steps("bye"))
        self.assertEqual((self.done[-1], self.done.count("unheard")), ("bye", 0))

    def test_without_a_clock_all_is_done_at_once(self):
        Turns(Rounds(), self.transport).do(self.steps(*range(99)))
        self.assertEqual(len(self.done), 99)
