"""The machine of a tracing session, walked."""

from twisted.trial.unittest import SynchronousTestCase

from lttngnet.sessiond.lifecycle import STATES, Memory, lifecycle_machine
from tests.machines import WalkMixin, state_of

PREPARED = ["prepare"]
ENABLED = [*PREPARED, "enable", "enabled"]
ACTIVE = [*ENABLED, "start", "started"]


class LifecycleTests(WalkMixin, SynchronousTestCase):
    inputs = {
        "prepare": (),
        "enable": (),
        "enabled": (),
        "refused": (),
        "propose": (),
        "switch": (),
        "switched": (),
        "mute": (),
        "unmute": (),
        "start": (),
        "started": (),
        "stop": (),
        "stopped": (),
        "lose": ("gone",),
        "destroy": (),
    }
    ways = {
        "created": [],
        "prepared": PREPARED,
        "enabling": [*PREPARED, "enable"],
        "enabled": ENABLED,
        "starting": [*ENABLED, "start"],
        "active": ACTIVE,
        "stopping": [*ACTIVE, "stop"],
        "stopped": [*ACTIVE, "stop", "stopped"],
        "lost": [*ACTIVE, "lose"],
        "destroyed": ["destroy"],
    }
    table = {
        ("created", "prepare"): "prepared",
        ("created", "lose"): "created",
        ("created", "destroy"): "destroyed",
        ("prepared", "prepare"): "prepared",
        ("prepared", "enable"): "enabling",
        ("prepared", "lose"): "prepared",
        ("prepared", "destroy"): "destroyed",
        ("enabling", "enabled"): "enabled",
        ("enabling", "refused"): "prepared",
        ("enabling", "lose"): "lost",
        ("enabling", "destroy"): "destroyed",
        ("enabled", "prepare"): "prepared",
        ("enabled", "propose"): "enabled",
        ("enabled", "switch"): "enabled",
        ("enabled", "switched"): "enabled",
        ("enabled", "mute"): "enabled",
        ("enabled", "unmute"): "enabled",
        ("enabled", "start"): "starting",
        ("enabled", "lose"): "lost",
        ("enabled", "destroy"): "destroyed",
        ("starting", "started"): "active",
        ("starting", "stopped"): "stopped",
        ("starting", "lose"): "lost",
        ("starting", "destroy"): "destroyed",
        ("active", "propose"): "active",
        ("active", "switch"): "active",
        ("active", "switched"): "active",
        ("active", "mute"): "active",
        ("active", "unmute"): "active",
        ("active", "stop"): "stopping",
        ("active", "lose"): "lost",
        ("active", "destroy"): "destroyed",
        ("stopping", "stopped"): "stopped",
        ("stopping", "lose"): "lost",
        ("stopping", "destroy"): "destroyed",
        ("stopped", "prepare"): "prepared",
        ("stopped", "propose"): "stopped",
        ("stopped", "switch"): "stopped",
        ("stopped", "switched"): "stopped",
        ("stopped", "mute"): "stopped",
        ("stopped", "unmute"): "stopped",
        ("stopped", "start"): "starting",
        ("stopped", "lose"): "lost",
        ("stopped", "destroy"): "destroyed",
        ("lost", "prepare"): "prepared",
        ("lost", "enable"): "enabling",
        ("lost", "enabled"): "lost",
        ("lost", "refused"): "lost",
        ("lost", "switched"): "lost",
        ("lost", "started"): "lost",
        ("lost", "stopped"): "lost",
        ("lost", "lose"): "lost",
        ("lost", "destroy"): "destroyed",
        ("destroyed", "enabled"): "destroyed",
        ("destroyed", "refused"): "destroyed",
        ("destroyed", "switched"): "destroyed",
        ("destroyed", "started"): "destroyed",
        ("destroyed", "stopped"): "destroyed",
        ("destroyed", "lose"): "destroyed",
    }

    def make(self):
        return lifecycle_machine(Memory())

    def test_all_states_are_walked(self):
        self.assertEqual({state.name for state in STATES}, set(self.ways))

    def test_name_is_the_state(self):
        for state in self.ways:
            self.assertEqual(self.at(state).name(), state)

    def test_a_new_consumer_has_a_clean_slate(self):
        memory = Memory()
        machine = lifecycle_machine(memory)
        for name in [*ACTIVE, "mute", "lose"]:
            self.feed(machine, name)
        self.assertEqual((memory.muted, memory.problem), (True, "gone"))
        machine.enable()
        machine.enabled()
        self.assertEqual((state_of(machine), memory.muted, memory.problem), ("enabled", False, ""))

    def test_a_template_beside_a_consumer(self):
        memory = Memory()
        machine = lifecycle_machine(memory)
        for name in [*ACTIVE, "propose", "switch"]:
            self.feed(machine, name)
        self.assertTrue(memory.proposed)
        machine.switched()
        self.assertFalse(memory.proposed)
