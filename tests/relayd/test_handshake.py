"""The machine of a control connection: every state, told everything."""

import itertools
from types import SimpleNamespace

from automat import NoTransition
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.errors import Code
from lttngnet.relayd.handshake import OURS, Relay, relay_control
from lttngnet.relayd.refusal import Refusal
from lttngnet.relayd.store.session import Session
from lttngnet.wire.relay import (
    OK,
    Configuration,
    CreateSession,
    GetConfiguration,
    SessionCreated,
    SessionCreated24,
    Version,
)
from lttngnet.wire.relay.extension import EXTENDED, ResumeSession, SessionResumed

WANTED = CreateSession("walk", "host")


class FakeSession(Session):
    """What the machine uses of a session."""

    def __init__(self):
        self.facts = SimpleNamespace(number=7, tracing=SimpleNamespace(path="host/walk"))
        self.journal = SimpleNamespace(kept=SimpleNamespace(commands=3))
        self.told = []

    def leave(self, is_fault):
        self.told.append("fault" if is_fault else "leave")

    def resume(self):
        self.told.append("resume")


class Peer:
    """A machine, and what it does."""

    def __init__(self, state="fresh", minor=13, problem=None):
        self.replies, self.said, self.served = [], [], []
        self.session, self.problem = FakeSession(), problem
        self.relay = Relay(
            self.replies.append,
            self.hang_up,
            self.said.append,
            self.new_session,
            lambda *command: self.served.append(command),
            self.old_session,
        )
        self.control = relay_control(self.relay)
        if state in ("agreed", "streaming"):
            self.control.version(Version(2, minor))
        if state == "streaming":
            self.control.create_session(WANTED)
        if state == "closed":
            self.control.lost()
        self.replies.clear()

    def hang_up(self, why):
        self.said.append(why)
        self.control.hung_up()

    def new_session(self, wanted, minor):
        if self.problem:
            raise self.problem
        return self.session

    def old_session(self, wanted):
        if self.problem:
            raise self.problem
        return self.session

    @property
    def state(self):
        return self.control.__automat_transitioner__._state.name


TELL = (11, b"payload")
SAID = {
    "version": lambda control: control.version(Version(2, 13)),
    "other major": lambda control: control.version(Version(3, 0)),
    "get_configuration": lambda control: control.get_configuration(GetConfiguration(0)),
    "start_data": lambda control: control.start_data(),
    "create_session": lambda control: control.create_session(WANTED),
    "create_unreadable": lambda control: control.create_unreadable("too short"),
    "resume_session": lambda control: control.resume_session(ResumeSession(bytes(16), bytes(32))),
    "displaced": lambda control: control.displaced(),
    "tell": lambda control: control.tell(*TELL),
    "hung_up": lambda control: control.hung_up(),
    "lost": lambda control: control.lost(),
}
ALLOWED = Configuration(Code.OK, EXTENDED | 1)
# (state, said): (new state, replies). What is not here has no transition; when closed nothing is heard.
WALK = {
    ("fresh", "version"): ("agreed", [OURS]),
    ("fresh", "other major"): ("closed", [OURS]),
    ("fresh", "get_configuration"): ("fresh", [ALLOWED]),
    ("fresh", "start_data"): ("fresh", [OK]),
    ("fresh", "hung_up"): ("closed", []),
    ("fresh", "displaced"): ("closed", []),
    ("fresh", "lost"): ("closed", []),
    ("agreed", "get_configuration"): ("agreed", [ALLOWED]),
    ("agreed", "start_data"): ("agreed", [OK]),
    ("agreed", "create_session"): ("streaming", [SessionCreated(7, Code.OK, "host/walk")]),
    ("agreed", "create_unreadable"): ("agreed", [SessionCreated(0, Code.FATAL)]),
    ("agreed", "resume_session"): ("streaming", [SessionResumed(7, Code.OK, 3)]),
    ("agreed", "hung_up"): ("closed", []),
    ("agreed", "displaced"): ("closed", []),
    ("agreed", "lost"): ("closed", []),
    ("streaming", "get_configuration"): ("streaming", [ALLOWED]),
    ("streaming", "start_data"): ("streaming", [OK]),
    ("streaming", "tell"): ("streaming", []),
    ("streaming", "hung_up"): ("closed", []),
    ("streaming", "lost"): ("closed", []),
    ("streaming", "displaced"): ("closed", []),
} | {("closed", said): ("closed", []) for said in SAID}


class WalkTests(SynchronousTestCase):
    def test_every_state_and_input(self):
        for state, said in itertools.product(("fresh", "agreed", "streaming", "closed"), SAID):
            with self.subTest(state=state, said=said):
                peer = Peer(state)
                self.assertEqual(peer.state, state)
                if (state, said) in WALK:
                    SAID[said](peer.control)
                    self.assertEqual((peer.state, peer.replies), WALK[state, said])
                else:
                    with self.assertRaises(NoTransition):
                        SAID[said](peer.control)
                    self.assertEqual((peer.state, peer.replies), (state, []))

    def test_commands_reach_the_session(self):
        peer = Peer("streaming")
        peer.control.tell(*TELL)
        self.assertEqual(peer.served, [(peer.session, *TELL)])

    def test_a_mistake_is_a_fault(self):
        peer = Peer("streaming")
        peer.control.hung_up()
        peer.control.lost()
        self.assertEqual(peer.session.told, ["fault"])

    def test_a_lost_connection_is_none(self):
        peer = Peer("streaming")
        peer.control.lost()
        self.assertEqual(peer.session.told, ["leave"])


class AnswerTests(SynchronousTestCase):
    def test_the_lower_minor_counts(self):
        self.assertEqual([Peer("agreed", minor).relay.minor for minor in (4, 13, 99)], [4, 13, 13])

    def test_old_peers_are_told_no_path(self):
        peer = Peer("agreed", 10)
        peer.control.create_session(WANTED)
        self.assertEqual(peer.replies, [SessionCreated24(7, Code.OK)])

    def test_peers_too_old_are_refused(self):
        peer = Peer("agreed", 3)
        peer.control.create_session(WANTED)
        self.assertEqual((peer.state, peer.replies), ("agreed", [SessionCreated24(0, Code.FATAL)]))

    def test_a_refused_session_can_be_asked_for_again(self):
        for problem in (Refusal(Code.INVALID, "no"), OSError("disk full")):
            peer = Peer("agreed", problem=problem)
            peer.control.create_session(WANTED)
            self.assertEqual((peer.state, peer.replies), ("agreed", [SessionCreated(0, Code.FATAL)]))
            self.assertEqual(peer.said, [str(problem)])
            peer.problem = None
            peer.control.create_session(WANTED)
            self.assertEqual(peer.state, "streaming")

    def test_configuration(self):
        peer = Peer()
        peer.control.get_configuration(GetConfiguration(4))
        peer.relay.allows_clear = False
        peer.control.get_configuration(GetConfiguration())
        self.assertEqual(
            peer.replies, [Configuration(Code.INVALID_PROTOCOL, 0), Configuration(Code.OK, EXTENDED)]
        )
