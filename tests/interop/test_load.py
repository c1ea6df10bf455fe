"""Every byte of a load that thousands of packets make arrives where it belongs."""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests import once
from tests.interop.ours import CHECKOUT, Stage

try:
    from bench import load
except ImportError:  # installed without the checkout
    load = None


class LoadTests(SynchronousTestCase):
    if load is None or not CHECKOUT.joinpath("bench").is_dir():
        skip = "the load generator is not here"
    elif load.compiler() is None:
        skip = "no C compiler is installed"

    def setUp(self):
        folder = Path(self.mktemp()).absolute()
        self.stage = Stage(folder)
        self.addCleanup(self.stage.close)
        self.program = once.made("relayload", load.SOURCE.read_text(), make=load.build) / "relayload"
        self.stage.relayd()

    def verify(self, *arguments):
        ports = self.stage.ports
        where = [f"--{kind}-port={ports[kind]}" for kind in ("control", "data", "live")]
        measured = load.run(self.program, *where, f"--output={self.stage.output}", *arguments)
        self.assertIs(measured["verified"], True)
        self.assertEqual(self.stage.log("relayd").count("Hanging up"), 0)

    def test_sessions_at_once(self):
        self.verify("-p", "128K", "-b", "64M", "-s", "3", "-n", "5")

    def test_packets_of_odd_size_with_many_indexes_unanswered(self):
        self.verify("-p", "10001", "-b", "8M", "-n", "7", "-w", "32", "-B", "5")

    def test_one_packet_after_the_other(self):
        self.verify("-p", "4K", "-b", "2M")

    def test_packets_by_sendfile(self):
        self.verify("-p", "300000", "-b", "16M", "-n", "3", "-f")

    def test_old_peer(self):
        self.verify("-p", "20000", "-b", "4M", "-m", "4")

    def test_live(self):
        self.verify("-p", "64K", "-b", "16M", "-l", "1000000", "--viewers=3")

    def test_live_in_parts(self):
        self.verify("-p", "1M", "-b", "16M", "-l", "1000000", "-V", "--viewer-request=100000")
