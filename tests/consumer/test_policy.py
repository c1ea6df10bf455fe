"""What may be said about a relay daemon that goes away."""

from twisted.trial.unittest import SynchronousTestCase

from lttngnet.consumer.policy import Policy, changed
from lttngnet.errors import Code, CommandError


class PolicyTests(SynchronousTestCase):
    def test_what_is_not_said_stays(self):
        policy = changed(Policy(), {"on_loss": "hold", "spool_size": 5, "spool_drop": None}, "/tmp/local")
        self.assertEqual(policy, Policy("hold", 5, "oldest", "/tmp/local"))
        self.assertEqual(
            changed(policy, {"spool_drop": "newest"}, "/tmp/local"), Policy("hold", 5, "newest", "/tmp/local")
        )

    def test_what_cannot_be(self):
        for wanted in (
            {"on_loss": "pray"},
            {"spool_drop": "all"},
            {"spool_size": 0},
            {"spool_size": "many"},
            {"spool_size": 1 << 63},
            {"folder": "/etc"},
        ):
            refused = self.assertRaises(CommandError, changed, Policy(), wanted, "")
            self.assertEqual(refused.code, Code.INVALID)
