"""When a session may be rotated and cleared, and when it is by itself."""

from twisted.internet.defer import Deferred

from lttngnet.errors import Code, CommandError
from lttngnet.sessiond.consumers import NOTHING
from lttngnet.sessiond.session import Session
from tests.sessiond.test_session import NETWORK, SessionCase


class ArchivesTests(SessionCase):
    def test_rotated_while_active(self):
        session = self.active()
        self.assertEqual(self.do(session.rotate()), ["archive"])
        self.assertEqual(self.result, "there")
        self.assertEqual(self.do(session.rotate()), ["archive"])
        self.assertEqual(self.successResultOf(session.describe())["rotated"], 2)

    def test_nobody_waits_for_an_archive_but_who_wants_it(self):
        """It may take the relay daemon a minute; meanwhile nothing else is rotated, either."""
        session = self.active()
        self.notes.archiving = archiving = Deferred()
        rotating = session.rotate()
        self.assertEqual(self.successResultOf(session.describe())["rotated"], 1)
        again, clearing = session.rotate(), session.clear()
        self.assertEqual(self.do(session.stop()), ["archive", "python stop", "end"])
        for waiting in (rotating, again, clearing):
            self.assertNoResult(waiting)
        self.notes.archiving = None
        archiving.callback(None)
        self.assertEqual(self.successResultOf(rotating), "there")
        self.assertEqual(self.successResultOf(again), "there")
        self.successResultOf(clearing)

    def test_destroyed_while_it_archives(self):
        session = self.active()
        self.notes.archiving = archiving = Deferred()
        rotating = session.rotate()
        self.successResultOf(session.destroy())
        archiving.errback(CommandError(Code.FATAL, "the consumer process 7 is gone"))
        self.assertEqual(self.successResultOf(rotating), "there")

    def test_lost_while_it_archives(self):
        session = self.active()
        self.notes.archiving = archiving = Deferred()
        rotating = session.rotate()
        archiving.errback(CommandError(Code.RELAYD_CONNECT_FAIL, "the relay daemon is gone"))
        self.refused(rotating, Code.RELAYD_CONNECT_FAIL)

    def test_rotated_once_while_stopped(self):
        session = self.active()
        self.do(session.stop())
        self.assertEqual(self.do(session.rotate()), ["archive"])
        self.refused(session.rotate(), Code.ROTATION_MULTIPLE_AFTER_STOP)
        self.assertEqual(self.do(session.clear()), [])
        self.do(session.start(), session.stop())
        self.assertEqual(self.do(session.rotate()), ["archive"])

    def test_cleared(self):
        session = self.active()
        self.assertEqual(self.do(session.clear(), session.clear()), ["delete", "delete"])
        self.do(session.stop())
        self.assertEqual(self.do(session.clear(), session.clear()), ["delete"])
        self.refused(session.rotate(), Code.ROTATION_AFTER_STOP_CLEAR)

    def test_what_fails_can_be_tried_again(self):
        session = self.active()
        self.do(session.stop())
        self.notes.fails = {"archive"}
        self.refused(session.rotate(), Code.RELAYD_CONNECT_FAIL)
        self.notes.fails = set()
        self.assertEqual(self.do(session.rotate())[-1:], ["archive"])

    def test_never_started(self):
        session = self.session()
        self.refused(session.rotate(), Code.START_SESSION_ONCE)
        self.assertEqual(self.do(session.clear()), [])

    def test_lost(self):
        session = self.active()
        self.consumer.lose("gone")
        for command in (session.rotate, session.clear):
            self.refused(command(), Code.NO_CONSUMER)

    def test_the_consumer_is_disabled(self):
        session = self.active()
        self.do(session.disable_consumer())
        for command in (session.rotate, session.clear):
            self.assertIn("enable it first", self.refused(command(), Code.ROTATION_NOT_AVAILABLE))

    def test_live(self):
        session = Session("s1", 3, 1000, NETWORK, self.surroundings(), live=1000)
        self.do(self.enable(session), session.start())
        self.refused(session.rotate(), Code.ROTATION_NOT_AVAILABLE)
        self.refused(session.enable_rotation("timer", 5), Code.ROTATION_NOT_AVAILABLE)
        self.assertEqual(self.do(session.clear()), ["delete"])

    def test_by_the_clock(self):
        session = self.session()
        self.do(session.enable_rotation("timer", 10_000_000), self.enable(session), session.start())
        self.refused(session.enable_rotation("timer", 1), Code.ROTATION_SCHEDULE_SET)
        self.notes.done.clear()
        self.clock.pump([5, 5, 9, 1])
        self.assertEqual(self.do(), ["archive", "archive"])
        self.notes.fails = {"archive"}
        self.clock.advance(10)
        self.notes.fails = set()
        self.clock.advance(10)
        self.assertEqual(self.do(), ["archive", "archive"])
        self.do(session.stop())
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.do(session.start(), session.disable_rotation("timer"))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.refused(session.disable_rotation("timer"), Code.ROTATION_SCHEDULE_NOT_SET)

    def test_by_size(self):
        session = self.active()
        self.do(session.enable_rotation("size", 100))
        for total, rotations in ((99, 0), (120, 1), (219, 0), (220, 1)):
            self.consumer.counted = NOTHING | {"bytes": total}
            self.clock.advance(1)
            self.assertEqual(self.do(), ["archive"] * rotations)
        facts = self.successResultOf(session.describe())
        self.assertEqual(facts["rotation"], {"timer": 0, "size": 100})
        self.do(session.destroy())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_wrong_amounts(self):
        session = self.session()
        self.refused(session.enable_rotation("timer", 0), Code.INVALID)
        self.refused(session.enable_rotation("size", -1), Code.INVALID)
        self.refused(session.enable_rotation("moon", 1), Code.INVALID)
