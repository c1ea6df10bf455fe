"""The machine of an application, walked."""

from twisted.trial.unittest import SynchronousTestCase

from lttngnet.sessiond.ust.handshake import Steps, registering
from tests.machines import WalkMixin

INPUTS = {"welcome": (), "spare": (), "ready": (), "released": (), "lost": ("it hung up",), "name": ()}
STATES = ("greeting", "joining", "releasing", "registered", "excused", "gone")


class RegisteringTests(WalkMixin, SynchronousTestCase):
    inputs = INPUTS
    ways = {
        "greeting": [],
        "joining": ["welcome"],
        "releasing": ["welcome", "ready"],
        "registered": ["welcome", "ready", "released"],
        "excused": ["spare"],
        "gone": ["lost"],
    }
    table = {
        ("greeting", "welcome"): "joining",
        ("greeting", "spare"): "excused",
        ("joining", "ready"): "releasing",
        ("releasing", "released"): "registered",
        ("releasing", "ready"): "releasing",
        ("registered", "ready"): "registered",
        ("excused", "released"): "excused",
        **{(state, "lost"): "gone" for state in STATES},
        **{(state, "name"): state for state in STATES},
        **{("gone", late): "gone" for late in INPUTS},
    }

    def make(self):
        self.done = []
        return registering(
            Steps(
                lambda: self.done.append("join"),
                lambda: self.done.append("release"),
                lambda why: self.done.append(f"leave: {why}"),
                lambda why: self.done.append(f"forget: {why}"),
            )
        )

    def test_the_way_of_most(self):
        machine = self.make()
        for name in ("welcome", "ready", "released", "lost", "lost"):
            self.feed(machine, name)
        self.assertEqual(self.done, ["join", "release", "leave: it hung up"])

    def test_only_who_heard_of_it_hears_that_it_is_gone(self):
        for state, last in (
            ("greeting", "forget: it hung up"),
            ("excused", "forget: it hung up"),
            ("joining", "leave: it hung up"),
            ("releasing", "leave: it hung up"),
            ("registered", "leave: it hung up"),
        ):
            machine = self.at(state)
            self.feed(machine, "lost")
            self.assertEqual(self.done[-1], last, state)

    def test_it_is_released_once(self):
        machine = self.at("registered")
        self.feed(machine, "ready")
        self.assertEqual(self.done.count("release"), 1)

    def test_the_name_of_the_state(self):
        for state in STATES:
            self.assertEqual(self.at(state).name(), state)
