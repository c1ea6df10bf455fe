"""What the user wants while there is no sink, and what becomes of what is held at the end."""

from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.consumer.carrier import Carrier
from lttngnet.consumer.directory import DirectorySink
from lttngnet.consumer.losing import Losing
from lttngnet.consumer.policy import Policy
from lttngnet.wire import amp
from tests.consumer.test_relay import packet


class LosingTests(SynchronousTestCase):
    def setUp(self):
        self.folder, self.told = Path(self.mktemp()).absolute(), []
        self.carrier = Carrier(lambda kind, config: None, Clock(), self.fail)
        self.route = self.carrier.route
        self.losing = Losing(self.carrier, lambda *told, **facts: self.told.append((told, facts)), self.fail)
        self.use("first")
        self.stream = self.do(self.route.add_stream("python", "c_0"))
        self.losing.set(Policy("hold", folder=str(self.folder / "local")))
        self.route.leave()

    def do(self, coroutine):
        return self.successResultOf(Deferred.fromCoroutine(coroutine))

    def use(self, name):
        return self.do(self.carrier.use(DirectorySink(str(self.folder / name), self.fail)))

    def write(self, *numbers):
        for number in numbers:
            self.route.write(self.stream, packet(b"%d" % number, number))

    def test_enabled_it_waits_for_a_sink(self):
        self.losing.disable(True)
        self.write(1)
        self.losing.enable()
        self.write(2)
        self.assertEqual(self.route.state, "holding")
        self.use("second")
        self.losing.back()
        self.write(3)
        self.assertEqual((self.folder / "second/python/c_0").read_bytes(), b"123")
        self.assertEqual(self.route.facts(), {"spooled": 0, "dropped": 0})

    def test_disabled_it_stays_so(self):
        for hold, state in ((False, "dropping"), (True, "holding")):
            self.losing.enable()
            self.losing.disable(hold)
            self.losing.back()
            self.assertEqual(self.route.state, state)

    def test_at_the_end_a_folder_has_what_is_held(self):
        self.losing.enable()
        self.write(1, 2)
        self.do(self.losing.finish())
        self.assertEqual((self.folder / "local/python/c_0").read_bytes(), b"12")
        ((told, facts),) = self.told
        self.assertEqual((told, facts["path"]), ((amp.SinkMoved,), str(self.folder / "local")))
        self.assertEqual(self.route.facts(), {"spooled": 0, "dropped": 0})

    def test_at_the_end_nothing_is_held(self):
        self.do(self.losing.finish())
        self.assertEqual((self.told, (self.folder / "local").exists()), ([], False))
