"""The machine of a viewer's connection: every state, told everything."""

from itertools import count

from twisted.trial.unittest import SynchronousTestCase

from lttngnet.relayd.viewer import Guest, live_viewer
from lttngnet.relayd.viewing import NO_METADATA, NO_PACKET, Viewing, index
from lttngnet.wire import viewer as wire
from lttngnet.wire.listing import SessionList
from lttngnet.wire.viewer import (
    AttachStatus,
    DetachStatus,
    IndexStatus,
    Kind,
    Status,
    StreamsHead,
    StreamsStatus,
)
from tests.machines import WalkMixin, state_of

CONNECT = wire.Connect(wire.NO_SESSION, 2, 4, Kind.COMMAND)
TOLD = object()  # what the fake tells of streams


INPUTS = {
    "connect": [CONNECT],
    "list_sessions": [],
    "create_session": [],
    "attach": [wire.Attach(1, 0, 2)],
    "detach": [wire.Detach(1)],
    "new_streams": [wire.GetNewStreams(1)],
    "next_index": [wire.GetNextIndex(1)],
    "packet": [wire.GetPacket(1, 0, 8)],
    "metadata": [wire.GetMetadata(1)],
    "hung_up": [],
    "lost": [],
}
WAYS = {
    "fresh": [],
    "connected": ["connect"],
    "ready": ["connect", "create_session"],
    "attached": ["connect", "create_session", "attach"],
    "closed": ["lost"],
}
TABLE = (
    {(state, end): "closed" for state in WAYS for end in ("hung_up", "lost")}
    | {
        (state, name): state
        for state in ("connected", "ready", "attached")
        for name in INPUTS.keys() - {"connect", "hung_up", "lost"}
    }
    | {("closed", name): "closed" for name in INPUTS}
    | {
        ("fresh", "connect"): "connected",
        ("connected", "create_session"): "ready",
        ("ready", "attach"): "attached",
        ("attached", "detach"): "ready",
    }
)


class FakeViewing(Viewing):
    """Knows one session, to which a viewer can attach."""

    def __init__(self):
        self.minor = 0
        self.attached = set()
        self.has_left = False

    @property
    def is_attached(self):
        return bool(self.attached)

    def sessions(self):
        return SessionList((), self.minor)

    def attach(self, question):
        if question.session > 2:
            return AttachStatus.UNKNOWN, TOLD
        self.attached.add(question.session)
        return AttachStatus.OK, TOLD

    def detach(self, question):
        self.attached.discard(question.session)
        return DetachStatus.OK

    def new_streams(self, question):
        return TOLD

    def next_index(self, question):
        return TOLD

    def packet(self, question):
        return TOLD, None

    def metadata(self, question):
        return TOLD, None

    def leave(self):
        self.has_left = True


class Peer:
    def __init__(self):
        self.replies, self.said, self.viewing = [], [], FakeViewing()
        self.viewer = live_viewer(Guest(self.reply, self.reply, self.hang_up, self.viewing, count(1)))

    def reply(self, answer, body=None):
        self.replies.append(answer)

    def hang_up(self, why):
        self.said.append(why)
        self.viewer.hung_up()


class WalkTests(WalkMixin, SynchronousTestCase):
    inputs = INPUTS
    ways = WAYS
    table = TABLE

    def make(self):
        return Peer().viewer

    def replies(self, state, name):
        """Return what is answered to an input in a state."""
        peer = Peer()
        for step in self.ways[state]:
            getattr(peer.viewer, step)(*self.inputs[step])
        peer.replies.clear()
        getattr(peer.viewer, name)(*self.inputs[name])
        return peer.replies

    def test_before_the_viewer_session(self):
        for state, name, answer in (
            ("connected", "create_session", Status(1)),
            ("connected", "attach", StreamsHead(AttachStatus.NO_VIEWER_SESSION)),
            ("connected", "detach", Status(DetachStatus.NOT_ATTACHED)),
            ("ready", "create_session", Status(2)),
            ("attached", "create_session", Status(2)),
        ):
            self.assertEqual(self.replies(state, name), [answer])

    def test_before_a_session_is_attached(self):
        for state in ("connected", "ready"):
            for name, answer in (
                ("list_sessions", SessionList((), 4)),
                ("new_streams", StreamsHead(StreamsStatus.ERROR)),
                ("next_index", index(IndexStatus.ERROR)),
                ("packet", NO_PACKET),
                ("metadata", NO_METADATA),
            ):
                self.assertEqual(self.replies(state, name), [answer])

    def test_attached(self):
        for name in ("new_streams", "next_index", "packet", "metadata"):
            self.assertEqual(self.replies("attached", name), [TOLD])

    def test_silence_at_the_end(self):
        for name in self.inputs:
            self.assertEqual(self.replies("closed", name), [])

    def test_attaching_in_vain_changes_nothing(self):
        machine = self.at("ready")
        machine.attach(wire.Attach(3, 0, 2))
        self.assertEqual(state_of(machine), "ready")

    def test_the_last_one_to_be_detached(self):
        machine = self.at("attached")
        machine.attach(wire.Attach(2, 0, 2))
        machine.detach(wire.Detach(1))
        self.assertEqual(state_of(machine), "attached")
        machine.detach(wire.Detach(2))
        self.assertEqual(state_of(machine), "ready")

    def test_everything_is_left_at_the_end(self):
        for end in ("hung_up", "lost"):
            peer = Peer()
            for name in (*self.ways["attached"], end):
                getattr(peer.viewer, name)(*self.inputs[name])
            self.assertTrue(peer.viewing.has_left)


class ConnectTests(SynchronousTestCase):
    def connect(self, major=2, minor=4, kind=Kind.COMMAND):
        peer = Peer()
        peer.viewer.connect(wire.Connect(5, major, minor, kind))
        return peer

    def test_versions(self):
        for theirs, said, used in ((4, 13, 4), (13, 13, 13), (14, 13, 13), (15, 15, 15), (99, 15, 15)):
            peer = self.connect(minor=theirs)
            self.assertEqual(peer.replies, [wire.Connect(1, 2, said, Kind.RELAY)])
            self.assertEqual(peer.viewing.minor, used)

    def test_notifications_have_no_number(self):
        self.assertEqual(self.connect(kind=Kind.NOTIFICATION).replies, [wire.Connect(0, 2, 13, Kind.RELAY)])

    def test_strangers_are_not_answered(self):
        for peer in (self.connect(major=3), self.connect(kind=0), self.connect(kind=3)):
            self.assertEqual((peer.replies, state_of(peer.viewer)), ([], "closed"))
            self.assertEqual(len(peer.said), 1)
