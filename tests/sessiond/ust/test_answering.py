"""Questions of an application in memory: who answers them, when, and what of ones that nobody can answer."""

import struct

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.errors import Code, CommandError, WireError
from lttngnet.sessiond.ust import answering
from lttngnet.sessiond.ust.application import ApplicationGone
from lttngnet.wire.ust.commands import Command
from lttngnet.wire.ust.questions import ChannelAnswer
from tests.sessiond.ust.memory import Scene
from tests.wire.ust.test_questions import FIELD, channel, enum, event

SESSION = 101


class Recorder:
    """Who answers: at once, later, or not."""

    def __init__(self):
        self.asked = []
        self.answer = 7

    async def describe_channel(self, handle, context_fields):
        return ChannelAnswer(await self._answer("channel", handle, len(context_fields)))

    async def describe_event(self, handle, asked):
        return await self._answer("event", handle, asked.name)

    async def describe_enum(self, name, entries):
        return await self._answer("enum", name, len(entries))

    async def _answer(self, *asked):
        self.asked.append(asked)
        if isinstance(self.answer, Exception):
            raise self.answer
        return (await self.answer) if isinstance(self.answer, Deferred) else self.answer


class AnsweringTests(SynchronousTestCase):
    def setUp(self):
        self.scene = Scene().registered()
        self.notify = self.scene.notify
        self.recorder = Recorder()
        self.created = Deferred.fromCoroutine(self.scene.application.create_session())
        self.scene.peer.value = SESSION - 1
        self.scene.peer.answer()
        self.assertEqual(self.successResultOf(self.created), SESSION)

    def serve(self):
        self.scene.application.serve(SESSION, self.recorder)

    def answers(self):
        """Return what was answered: kind, error, number."""
        heard, self.notify.written = self.notify.written, []
        return [struct.unpack_from("=IiI", data) for data, _ in heard]

    def test_each_kind(self):
        self.serve()
        for data in (event(SESSION), channel(SESSION), enum(SESSION)):
            self.notify.say(data)
        self.assertEqual(self.answers(), [(0, 0, 7), (1, 0, 7), (2, 0, 7)])
        self.assertEqual(
            self.recorder.asked, [("event", 2, "demo:tick"), ("channel", 2, 1), ("enum", "state", 1)]
        )

    def test_several_at_once(self):
        self.serve()
        self.notify.say(event(SESSION) * 200)
        self.assertEqual(self.answers(), [(0, 0, 7)] * 200)

    def test_one_after_the_other(self):
        self.serve()
        self.recorder.answer = first = Deferred()
        self.notify.say(event(SESSION) + channel(SESSION) + enum(SESSION)[:100])
        self.assertTrue(self.notify.is_paused)
        self.assertEqual((len(self.recorder.asked), self.answers()), (1, []))
        self.recorder.answer = 8
        first.callback(7)
        self.assertEqual(self.answers(), [(0, 0, 7), (1, 0, 8)])
        self.assertFalse(self.notify.is_paused)
        self.notify.say(enum(SESSION)[100:])
        self.assertEqual(self.answers(), [(2, 0, 8)])

    def test_asked_before_anybody_serves(self):
        self.notify.say(event(SESSION) * 2)
        self.assertEqual(self.answers(), [])
        self.serve()
        self.assertEqual(self.answers(), [(0, 0, 7)] * 2)

    def test_who_does_not_exist(self):
        self.serve()
        self.notify.say(event(55) + channel(55) + enum(55))
        self.assertEqual(self.answers(), [(0, -22, 0), (1, -22, 0), (2, -22, 0)])

    def test_a_session_that_is_released(self):
        self.notify.say(event(SESSION))
        released = Deferred.fromCoroutine(self.scene.application.release(SESSION))
        self.scene.peer.answer()
        self.successResultOf(released)
        self.assertEqual(self.answers(), [(0, -22, 0)])

    def test_what_is_refused(self):
        self.serve()
        for refusal in (CommandError(Code.INVALID, "no such channel"), WireError("other contexts")):
            self.recorder.answer = refusal
            self.notify.say(event(SESSION))
            self.assertEqual(self.answers(), [(0, -22, 0)])

    def test_fields_that_nobody_understands(self):
        self.serve()
        self.notify.say(event(SESSION, fields=FIELD[:256] + b"\xff" * 664))
        self.assertEqual((self.answers(), self.recorder.asked), ([(0, -22, 0)], []))

    def test_the_log_is_not_filled(self):
        self.serve()
        self.recorder.answer = WireError("no")
        with capturedLogs() as events:
            self.notify.say(event(SESSION) * 100)
        self.assertEqual(len(events), answering.WARNINGS)

    def test_a_defect_of_ours(self):
        self.serve()
        self.recorder.answer = KeyError("oops")
        self.notify.say(event(SESSION))
        self.assertEqual(self.answers(), [(0, -22, 0)])
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_a_number_that_does_not_fit(self):
        self.serve()
        self.recorder.answer = -1
        self.notify.say(event(SESSION))
        self.assertEqual(self.answers(), [(0, -22, 0)])
        self.assertEqual(len(self.flushLoggedErrors(struct.error)), 1)

    def test_nobody_answers(self):
        self.serve()
        self.recorder.answer = late = Deferred()
        self.notify.say(event(SESSION) + enum(SESSION))
        self.recorder.answer = 8
        self.scene.clock.advance(answering.ANSWER_PATIENCE)
        self.assertEqual(self.answers(), [(0, -22, 0), (2, 0, 8)])
        late.callback(9)
        self.assertEqual(self.answers(), [])

    def test_too_much_is_described(self):
        self.patch(answering, "DESCRIPTIONS_LIMIT", 3 * len(event()))
        self.serve()
        self.notify.say(event(SESSION) * 4)
        self.assertEqual([error for _, error, _ in self.answers()], [0, 0, 0, -22])

    def test_what_makes_no_sense_ends_it(self):
        for data in (b"\xff" * 4, channel(SESSION)[:12] + b"\xff" * 36):
            scene = Scene().registered()
            scene.notify.say(data)
            self.assertTrue(scene.application.is_gone)
            self.assertFalse(scene.peer.socket.is_open)

    def test_what_makes_no_sense_behind_a_question_ends_it_too(self):
        self.serve()
        self.recorder.answer = first = Deferred()
        self.notify.say(event(SESSION) + b"\xff" * 4)
        self.assertFalse(self.scene.application.is_gone)
        first.callback(7)
        self.assertTrue(self.scene.application.is_gone)

    def test_it_leaves_while_it_is_answered(self):
        self.serve()
        self.recorder.answer = late = Deferred()
        self.notify.say(event(SESSION))
        self.scene.peer.socket.fail("it hung up")
        self.assertEqual(self.scene.clock.getDelayedCalls(), [])
        late.callback(7)
        self.assertEqual(self.answers(), [])

    def test_it_leaves_while_nobody_serves(self):
        self.notify.say(event(SESSION))
        self.scene.peer.socket.fail("it hung up")
        self.assertEqual((self.scene.clock.getDelayedCalls(), self.answers()), ([], []))


class PatienceTests(SynchronousTestCase):
    """While the application waits for us, its own time does not run."""

    def setUp(self):
        self.scene = Scene().registered()
        created = Deferred.fromCoroutine(self.scene.application.create_session())
        self.scene.peer.value = SESSION - 1
        self.scene.peer.answer()
        self.successResultOf(created)
        self.recorder = Recorder()
        self.scene.application.serve(SESSION, self.recorder)
        self.enabled = Deferred.fromCoroutine(self.scene.application.enable(SESSION))

    def test_our_time_is_not_its(self):
        self.scene.clock.advance(3)
        self.recorder.answer = slow = Deferred()
        self.scene.notify.say(event(SESSION))
        self.scene.clock.advance(9)
        slow.callback(7)
        self.scene.clock.advance(1.9)
        self.assertEqual(self.scene.peer.answer(), Command.ENABLE)
        self.successResultOf(self.enabled)

    def test_what_it_has_used_is_used(self):
        for _ in range(3):
            self.scene.clock.advance(1.5)
            self.scene.notify.say(event(SESSION))
        self.scene.clock.advance(0.4)
        self.assertFalse(self.scene.application.is_gone)
        self.scene.clock.advance(0.2)
        self.assertTrue(self.scene.application.is_gone)
        self.failureResultOf(self.enabled, ApplicationGone)

    def test_a_command_that_is_sent_while_it_waits(self):
        self.scene.peer.answer()
        self.recorder.answer = slow = Deferred()
        self.scene.notify.say(event(SESSION))
        asked = Deferred.fromCoroutine(self.scene.application.wait_quiescent())
        self.scene.clock.advance(9)
        self.assertNoResult(asked)
        slow.callback(7)
        self.scene.clock.advance(5)
        self.failureResultOf(asked, ApplicationGone)
