"""The machine of a route, walked."""

from twisted.trial.unittest import SynchronousTestCase

from lttngnet.consumer.routing import STATES, Ways, routing_machine
from tests.machines import WalkMixin


class RoutingTests(WalkMixin, SynchronousTestCase):
    inputs = {"drop": (), "hold": (), "go_on": (), "caught_up": (), "end": ()}
    ways = {
        "direct": [],
        "dropping": ["drop"],
        "holding": ["hold"],
        "catching up": ["hold", "go_on"],
        "over": ["end"],
    }
    table = {
        ("direct", "drop"): "dropping",
        ("direct", "hold"): "holding",
        ("direct", "go_on"): "direct",
        ("direct", "end"): "over",
        ("dropping", "drop"): "dropping",
        ("dropping", "hold"): "holding",
        ("dropping", "go_on"): "catching up",
        ("dropping", "end"): "over",
        ("holding", "drop"): "dropping",
        ("holding", "hold"): "holding",
        ("holding", "go_on"): "catching up",
        ("holding", "end"): "over",
        ("catching up", "drop"): "dropping",
        ("catching up", "hold"): "holding",
        ("catching up", "go_on"): "catching up",
        ("catching up", "caught_up"): "direct",
        ("catching up", "end"): "over",
        ("over", "drop"): "over",
        ("over", "hold"): "over",
        ("over", "go_on"): "over",
        ("over", "end"): "over",
    }

    def make(self):
        self.done = []
        names = ("send", "lose", "keep", "ignore", "deliver", "rest")
        return routing_machine(Ways(*(lambda name=name: self.done.append(name) for name in names)))

    def test_all_states_are_walked(self):
        self.assertEqual({state.name for state in STATES}, set(self.ways))

    def test_name_is_the_state(self):
        for state in self.ways:
            self.assertEqual(self.at(state).name(), state)

    def test_what_is_done(self):
        for steps, done in (
            (["drop"], ["rest", "lose"]),
            (["hold"], ["rest", "keep"]),
            (["hold", "go_on"], ["rest", "keep", "keep", "deliver"]),
            (["drop", "go_on", "caught_up"], ["rest", "lose", "keep", "deliver", "send"]),
            (["end", "go_on", "hold", "drop"], ["rest", "ignore"]),
        ):
            machine = self.make()
            for name in steps:
                self.feed(machine, name)
            self.assertEqual(self.done, done)
