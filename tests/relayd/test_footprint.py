"""What sessions that do nothing cost in memory, measured from outside."""

from tests import once
from tests.relayd.test_processes import HOST, ProcessTests

try:
    from bench import load
except ImportError:  # installed without the checkout
    load = None

SESSIONS = 200  # few enough for a process that may have 1024 descriptors
MOST = 32  # KiB for each


class FootprintTests(ProcessTests):
    if load is None:
        skip = "the load generator is not here"
    elif load.compiler() is None:
        skip = "no C compiler is installed"

    def test_idle_sessions(self):
        """A thousand of them, of three streams each, would cost 32 MiB at most; they do 20."""
        program = once.made("relayload", load.SOURCE.read_text(), make=load.build) / "relayload"
        process = self.start()
        ports = [f"--{name}-port={port}" for name, port in self.ports().items()]
        where = (f"--host={HOST}", f"--pid={process.pid}", f"--output={self.output}")
        measured = load.run(program, *where, *ports, "-n", "2", f"--idle={SESSIONS}")
        self.assertLess(measured["rss_growth_kib"], SESSIONS * MOST)
