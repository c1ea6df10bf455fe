"""The machine of an agent's connection, walked."""

from twisted.trial.unittest import SynchronousTestCase

from lttngnet.sessiond.agents.conversation import Core, conversation_machine
from lttngnet.wire.agent import Registration
from tests.machines import WalkMixin

REGISTERED = ["introduce"]
REGISTRATION = Registration(5, 1)


class RememberingPeer:
    def __init__(self):
        self.did = []

    def welcome(self, registration):
        self.did.append(registration)

    def release(self):
        self.did.append("release")

    def leave(self):
        self.did.append("leave")

    def hang_up(self, why):
        self.did.append(why)


class ConversationTests(WalkMixin, SynchronousTestCase):
    inputs = {"introduce": (REGISTRATION,), "settle": (), "give_up": ("why",), "lost": ()}
    ways = {
        "connected": [],
        "registered": REGISTERED,
        "done": [*REGISTERED, "settle"],
        "closed": ["lost"],
    }
    table = {
        ("connected", "introduce"): "registered",
        ("connected", "give_up"): "closed",
        ("connected", "lost"): "closed",
        ("registered", "settle"): "done",
        ("registered", "give_up"): "closed",
        ("registered", "lost"): "closed",
        ("done", "give_up"): "closed",
        ("done", "lost"): "closed",
        ("closed", "settle"): "closed",
        ("closed", "give_up"): "closed",
        ("closed", "lost"): "closed",
    }

    def make(self):
        self.peer = RememberingPeer()
        return conversation_machine(Core(self.peer))

    def after(self, *names):
        machine = self.make()
        for name in names:
            self.feed(machine, name)
        return self.peer.did

    def test_outputs(self):
        self.assertEqual(self.after(*REGISTERED), [REGISTRATION])
        self.assertEqual(self.after(*REGISTERED, "settle"), [REGISTRATION, "release"])
        self.assertEqual(self.after("give_up"), ["why"])
        self.assertEqual(self.after("lost", "give_up"), [])
        for way in (REGISTERED, [*REGISTERED, "settle"]):
            self.assertEqual(self.after(*way, "give_up", "lost")[len(way) :], ["why", "leave"])
            self.assertEqual(self.after(*way, "lost", "settle", "lost")[len(way) :], ["leave"])
