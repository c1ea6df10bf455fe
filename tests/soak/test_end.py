"""The daemon ends at once, whatever its peers still have to say."""

import os
import signal
import socket
import time

from lttngnet.wire import relay as wire
from lttngnet.wire.relay import Command, command
from tests.relayd.talking import PATH
from tests.soak.running import Producer, slowness
from tests.soak.test_soak import SoakTestCase
from tests.waiting import wait_until

SESSIONS = 50
MUCH = command(Command.ADD_STREAM, wire.AddStream("again", PATH).pack(13)) * 4000  # each makes a file
LONGEST_END = 3.0  # seconds that the daemon works from the signal to its end: one of them on what was said


class EndTests(SoakTestCase):
    def test_with_much_to_do(self):
        daemon = self.start()
        producers = [Producer(daemon, f"busy{number}", 1) for number in range(SESSIONS)]
        for producer in producers:
            self.addCleanup(producer.close)
        daemon.process.send_signal(signal.SIGSTOP)
        for producer in producers:  # as much as the socket takes
            producer.control.socket.send(MUCH, socket.MSG_DONTWAIT)
        daemon.process.send_signal(signal.SIGCONT)
        before = daemon.cpu()
        wait_until(lambda: daemon.cpu() > before + 0.2, "the daemon to be busy")
        before, began = daemon.cpu(), time.monotonic()
        daemon.process.send_signal(signal.SIGTERM)
        wait_until(lambda: self.has_ended(daemon), "the daemon to end")
        passed, worked = time.monotonic() - began, daemon.cpu() - before
        print(
            f"\n  the end of {SESSIONS} busy sessions: {worked:.2f} s of work, {passed:.2f} s passed", end=" "
        )
        self.assertEqual(daemon.process.wait(), 0)
        self.assertLess(worked, LONGEST_END * slowness())

    def has_ended(self, daemon):
        """Whether it has, and is still there to be asked how long it worked."""
        return os.waitid(os.P_PID, daemon.process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
