"""A relay daemon in memory with a clock, and what must hold of it whatever its peers did."""

from twisted.logger import LogLevel

from lttngnet.relayd.control import ControlFactory
from lttngnet.relayd.data import DataFactory
from lttngnet.relayd.live import ViewerFactory
from lttngnet.relayd.peers import NO_LIMIT, Peers
from lttngnet.relayd.store.store import Store
from tests.descriptors import open_files
from tests.relayd.replaying import HastyClock, Relay


class WatchedRelay(Relay):
    """Knows whether anything of a session is left."""

    def __init__(self, folder, open_files_limit=16):
        super().__init__(f"{folder}/out")
        self.output.mkdir(parents=True)
        self.clock = HastyClock()
        self.peers = Peers(NO_LIMIT)
        self.store = Store(self.output, clock=lambda: 0.0, open_files=open_files_limit, reactor=self.clock)
        self.control = ControlFactory(self.store, self.clock, self.peers)
        self.data = DataFactory(self.store, self.peers)
        self.live = ViewerFactory(self.store, self.peers)
        self._before = open_files(tidy=False)

    def settle(self):
        """Let all turns be taken that are due."""
        while any(call.getTime() <= self.clock.rightNow + 1 for call in self.clock.getDelayedCalls()):
            self.clock.advance(1)

    def left_over(self):
        """Return what is still there: nothing, once all peers are gone and were waited for."""
        found = {
            "sessions": self.store.sessions,
            "chunks": self.store._chunks._chunks,
            "deleted chunks": self.store._chunks._deleting,
            "files": len(self.store._pool),
            "descriptors": max(0, open_files(tidy=False) - self._before),  # others' garbage may have gone
            "calls": self.clock.getDelayedCalls(),
            "peers": len(self.peers),
            "elsewhere": [path.name for path in self.output.parent.iterdir() if path.name != "out"],
        }
        return {what: thing for what, thing in found.items() if thing}


def defects(log):
    """Return the events that tell of a defect."""
    return [event for event in log if event["log_level"] is LogLevel.critical]
