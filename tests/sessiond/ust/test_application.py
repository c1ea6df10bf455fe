"""An application in memory: its registration, its commands, and everything that may end it."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.errors import WireError
from lttngnet.sessiond.ust import application
from lttngnet.sessiond.ust.application import ApplicationGone, ApplicationRefused
from lttngnet.wire.ust.commands import (
    Command,
    Context,
    ContextKind,
    EventRule,
    Failure,
    FieldType,
    Reply,
    Tracepoint,
    TracepointField,
)
from lttngnet.wire.ust.registration import HOST
from tests.sessiond.ust.memory import FACTS, VERSION, Scene

FOREIGN = "be" if HOST == "le" else "le"


def start(coroutine):
    return Deferred.fromCoroutine(coroutine)


class RegistrationTests(SynchronousTestCase):
    def test_the_way_of_most(self):
        scene = Scene()
        self.assertEqual(scene.peer.answer(), Command.TRACER_VERSION)
        self.assertEqual(scene.home.told, [("joined", scene.application)])
        self.assertEqual(scene.application.facts.tracer, (2, 13, 5))
        self.assertEqual(scene.peer.socket.written, [])
        scene.home.waiting.pop().callback(None)
        self.assertEqual(scene.peer.answer(), Command.REGISTER_DONE)
        self.assertEqual(scene.state(), "registered")
        self.assertFalse(scene.application.is_gone)
        self.assertEqual(scene.clock.getDelayedCalls(), [])

    def test_who_takes_too_long_to_set_up(self):
        scene = Scene()
        scene.peer.answer()
        scene.clock.advance(5)
        self.assertEqual(scene.peer.answer(), Command.REGISTER_DONE)
        scene.home.waiting.pop().callback(None)
        self.assertEqual(scene.state(), "registered")
        self.assertEqual(scene.peer.socket.written, [])

    def test_who_fails_to_set_up(self):
        scene = Scene()
        scene.peer.answer()
        scene.home.waiting.pop().errback(ApplicationRefused("EVENT", 1024))
        self.assertEqual(scene.peer.answer(), Command.REGISTER_DONE)

    def test_what_cannot_be_traced_is_let_go(self):
        for facts in (replace(FACTS, bits=96 - FACTS.bits), replace(FACTS, byte_order=FOREIGN)):
            scene = Scene(facts)
            for command in (Command.TRACER_VERSION, Command.REGISTER_DONE):
                data, _ = scene.peer.socket.written.pop(0)
                order = "little" if facts.byte_order == "le" else "big"
                self.assertEqual(int.from_bytes(data[4:8], order), command)
                content = VERSION if facts.byte_order == HOST else bytes(276)
                scene.peer.socket.say(Reply(0, command, 0, 0, content).pack(facts.byte_order))
            self.assertEqual(scene.state(), "excused")
            scene.peer.socket.fail("it hung up")
            self.assertEqual((scene.state(), scene.home.told), ("gone", []))

    def test_a_tracer_that_does_not_say_its_version(self):
        scene = Scene()
        scene.peer.answer(error=-Failure.NOT_IMPLEMENTED)
        self.assertEqual((scene.state(), scene.home.told), ("gone", []))

    def test_no_answer(self):
        for steps in (0, 1):
            scene = Scene()
            if steps:
                scene.peer.answer()
                scene.home.waiting.pop().callback(None)
            scene.clock.advance(5)
            self.assertEqual(scene.state(), "gone")
            self.assertFalse(scene.peer.socket.is_open or scene.notify.is_open)
            self.assertEqual([what for what, _ in scene.home.told], ["joined", "left"] if steps else [])
            self.assertEqual(scene.clock.getDelayedCalls(), [])

    def test_for_ever(self):
        scene = Scene(patience=None)
        scene.clock.advance(1e6)
        scene.peer.answer()
        scene.clock.advance(1e6)
        self.assertEqual(scene.state(), "joining")

    def test_either_socket_ends_it(self):
        for which in ("peer", "notify"):
            scene = Scene().registered()
            (scene.notify if which == "notify" else scene.peer.socket).fail("it hung up")
            self.assertEqual(scene.state(), "gone")
            self.assertEqual([what for what, _ in scene.home.told], ["joined", "left"])
            self.assertFalse(scene.peer.socket.is_open or scene.notify.is_open)

    def test_it_leaves_while_it_is_set_up(self):
        scene = Scene()
        scene.peer.answer()
        asked = start(scene.application.create_session())
        scene.peer.socket.fail("it hung up")
        self.failureResultOf(asked, ApplicationGone)
        self.assertEqual(scene.clock.getDelayedCalls(), [])
        scene.home.waiting.pop().callback(None)
        self.assertEqual(scene.state(), "gone")

    def test_its_end_is_told_to_who_made_it(self):
        for way in ([], ["registered"]):
            scene, ends = Scene(), []
            scene.application.on_gone = ends.append
            if way:
                scene.registered()
            scene.application.drop("because")
            scene.application.drop("because")
            self.assertEqual(ends, [scene.application])


class CommandTests(SynchronousTestCase):
    def setUp(self):
        self.scene = Scene().registered()
        self.peer = self.scene.peer
        self.application = self.scene.application

    def test_all_of_a_session(self):
        async def set_up():
            session = await self.application.create_session()
            channel = await self.application.send_channel(session, b"description", 0, 11)
            stream = await self.application.send_stream(channel, 4096, 0, 12, 13)
            await self.application.add_context(channel, Context(ContextKind.VPID))
            event = await self.application.create_event(channel, EventRule("demo:*"))
            await self.application.set_filter(event, b"code", 4, 0)
            await self.application.set_exclusions(event, ["demo:tick"])
            await self.application.enable(event)
            await self.application.enable(session)
            await self.application.regenerate_statedump(session)
            await self.application.disable(session)
            await self.application.wait_quiescent()
            await self.application.register_done()
            await self.application.release(session)
            return session, channel, stream, event

        handles = start(set_up())
        asked = []
        while self.peer.socket.written:
            ((_, descriptors),) = self.peer.socket.written
            asked.append((self.peer.answer(), descriptors))
        self.assertEqual(len(set(self.successResultOf(handles))), 4)
        self.assertEqual(
            asked,
            [
                (Command.CREATE_SESSION, ()),
                (Command.CHANNEL, (11,)),
                (Command.STREAM, (12, 13)),
                (Command.CONTEXT, ()),
                (Command.EVENT, ()),
                (Command.FILTER, ()),
                (Command.EXCLUSION, ()),
                (Command.ENABLE, ()),
                (Command.ENABLE, ()),
                (Command.STATEDUMP, ()),
                (Command.DISABLE, ()),
                (Command.WAIT_QUIESCENT, ()),
                (Command.REGISTER_DONE, ()),
                (Command.RELEASE, ()),
            ],
        )

    def test_one_at_a_time_in_their_order(self):
        first, second = start(self.application.enable(1)), start(self.application.disable(2))
        self.assertEqual(len(self.peer.socket.written), 1)
        self.assertNoResult(first)
        self.peer.answer()
        self.assertNoResult(second)
        self.peer.answer()
        self.successResultOf(first)
        self.successResultOf(second)
        self.assertEqual(self.peer.heard[-2:], [Command.ENABLE, Command.DISABLE])

    def test_a_refusal_ends_nothing(self):
        asked, other = start(self.application.enable(1)), start(self.application.enable(2))
        self.peer.answer(error=-Failure.EXISTS)
        refusal = self.failureResultOf(asked, ApplicationRefused).value
        self.assertEqual(refusal.code, Failure.EXISTS)
        self.assertEqual(str(refusal), "the application refused ENABLE: EXISTS (1026)")
        self.assertIn("unknown error", str(ApplicationRefused("ENABLE", 22)))
        self.peer.answer()
        self.successResultOf(other)

    def test_what_ends_it(self):
        good = Reply(1, Command.ENABLE, 0, 0, b"").pack()
        for problem in (
            lambda scene: scene.clock.advance(5),
            lambda scene: scene.peer.socket.fail("it hung up"),
            lambda scene: scene.peer.answer(error=-Failure.EXITING),
            lambda scene: scene.peer.answer(handle=2),
            lambda scene: scene.peer.answer(command=Command.DISABLE),
            lambda scene: scene.peer.socket.say(good + b"!"),
            lambda scene: scene.peer.socket.say(bytes(1000)),
        ):
            scene = Scene().registered()
            asked = [start(scene.application.enable(1)) for _ in range(3)]
            problem(scene)
            for each in asked:
                self.failureResultOf(each, ApplicationGone)
            self.failureResultOf(start(scene.application.create_session()), ApplicationGone)
            self.assertEqual([what for what, _ in scene.home.told], ["joined", "left"])
            self.assertEqual(scene.clock.getDelayedCalls(), [])

    def test_who_speaks_unasked(self):
        self.peer.socket.say(b"!")
        self.assertTrue(self.application.is_gone)

    def test_an_answer_in_pieces(self):
        asked = start(self.application.enable(1))
        for byte in Reply(1, Command.ENABLE, 0, 0, b"").pack():
            self.assertNoResult(asked)
            self.peer.socket.say(bytes([byte]))
        self.successResultOf(asked)

    def test_each_command_has_its_own_time(self):
        asked = [start(self.application.enable(1)) for _ in range(4)]
        for _ in asked:
            self.scene.clock.advance(4.9)
            self.peer.answer()
        for each in asked:
            self.successResultOf(each)

    def test_hundreds_that_wait_are_failed_without_deep_recursion(self):
        asked = [start(self.application.enable(1)) for _ in range(3000)]
        self.peer.socket.fail("it hung up")
        for each in asked:
            self.failureResultOf(each, ApplicationGone)

    def test_what_cannot_be_said_is_not(self):
        self.failureResultOf(start(self.application.create_event(1, EventRule("x" * 256))), WireError)
        self.assertEqual(self.peer.socket.written, [])
        self.assertFalse(self.application.is_gone)

    def test_tracepoints(self):
        listed = start(self.application.tracepoints())
        self.peer.answer()
        for name in (b"demo:tick", b"demo:tock"):
            self.peer.answer(
                content=name.ljust(256, b"\0") + (13).to_bytes(4, "little" if HOST == "le" else "big")
            )
        self.peer.answer(error=-Failure.NO_ENTRY)
        self.assertEqual(self.peer.answer(), Command.RELEASE)
        self.assertEqual(
            self.successResultOf(listed), [Tracepoint("demo:tick", 13), Tracepoint("demo:tock", 13)]
        )

    def test_fields(self):
        listed = start(self.application.fields())
        self.peer.answer()
        entry = b"demo:tick".ljust(256, b"\0") + b"n".ljust(256, b"\0") + bytes(808 - 512)
        self.peer.answer(rest=entry)
        self.peer.answer(error=-Failure.NO_ENTRY)
        self.peer.answer()
        self.assertEqual(
            self.successResultOf(listed), [TracepointField("demo:tick", "n", FieldType.OTHER, 0, False)]
        )

    def test_a_list_without_an_end(self):
        self.patch(application, "LIST_LIMIT", 10)
        listed = start(self.application.tracepoints())
        while self.peer.socket.written and self.peer.socket.is_open:
            self.peer.answer()
        self.failureResultOf(listed, ApplicationGone)
        self.assertLess(len(self.peer.heard), 20)

    def test_a_list_that_is_refused(self):
        listed = start(self.application.fields())
        self.peer.answer()
        self.peer.answer(error=-Failure.INVALID)
        self.failureResultOf(listed, ApplicationRefused)


class GarbageTests(SynchronousTestCase):
    """Whatever comes, on either socket, in any state: it is understood, waited for, or the end of it."""

    @given(
        states=st.integers(0, 3), said=st.lists(st.tuples(st.booleans(), st.binary(max_size=700)), max_size=6)
    )
    def test_anything(self, states, said):
        scene = Scene()
        asked = []
        if states > 0:
            scene.peer.answer()
        if states > 1:
            scene.home.waiting.pop().callback(None)
        if states > 2:
            scene.peer.answer()
            asked = [start(scene.application.enable(1)), start(scene.application.fields())]
        for is_question, data in said:
            socket = scene.notify if is_question else scene.peer.socket
            if socket.is_open:
                socket.say(data)
        scene.clock.pump([10.0] * 4)
        told = [what for what, _ in scene.home.told]
        if scene.application.is_gone:
            self.assertIn(told, ([], ["joined", "left"]))
            self.assertFalse(scene.peer.socket.is_open or scene.notify.is_open)
            self.assertEqual(scene.clock.getDelayedCalls(), [])
            for each in asked:
                self.failureResultOf(each)
        else:
            self.assertEqual((states, told), (3, ["joined"]))
