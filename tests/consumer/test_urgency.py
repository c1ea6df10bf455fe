"""How soon a process runs that is in a hurry; in one of its own, for what it asks for stays."""

import os
import re
import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from lttngnet.consumer import urgency

SCRIPT = """
import os
from pathlib import Path
from lttngnet.consumer.urgency import hurry
print(hurry())
print(os.getpriority(os.PRIO_PROCESS, 0))
sched = Path("/proc/self/sched")
print(sched.read_text() if sched.exists() else "")
"""


class UrgencyTests(SynchronousTestCase):
    def test_who_may(self):
        run = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
        words, niceness, known = run.stdout.split("\n", 2)
        if words.startswith("not permitted"):
            self.skipTest(words)
        self.assertIn("running at niceness -10", words)
        self.assertEqual(niceness, "-10")
        if slices := re.search(r"se\.slice +: +(\d+)", known):  # as of Linux 6.12, where that can be seen
            self.assertEqual(int(slices[1]), urgency.SLICE)
            self.assertIn("-10, in slices of 500 us", words)

    def test_others(self):
        def refuse(*arguments):
            raise PermissionError

        self.patch(os, "setpriority", refuse)
        self.patch(urgency, "_shorten_slice", lambda: False)
        self.assertEqual(urgency.hurry(), "not permitted to run at niceness -10, not in slices of 500 us")

    def test_an_unknown_machine(self):
        self.patch(urgency, "_SETATTR", {})
        self.assertFalse(urgency._shorten_slice())
