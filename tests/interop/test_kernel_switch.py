"""The output of the kernel's events changes again and again while they come; each is in one part of it."""

import re
import subprocess
import sys
from itertools import cycle
from pathlib import Path
from unittest import skipIf

from lttngnet.sources.ftrace.tracefs import Instance, Tracefs, TracefsUnavailable
from tests.interop.genuine import missing
from tests.interop.ours import text_of
from tests.interop.test_switch import SWITCHES, SwitchCase

try:
    INSTANCES = Tracefs.find().root / "instances"
    UNAVAILABLE = missing()
except TracefsUnavailable as problem:
    UNAVAILABLE = str(problem)

MARK = re.compile(r"mark (\d+)\\n")
MARKER = """
import select, sys
number = 0
with open(sys.argv[1], "wb", buffering=0) as marker:
    print("marking", flush=True)
    while not select.select([0], [], [], 1e-4)[0]:
        try:
            marker.write(b"mark %d\\n" % number)
        except OSError:  # EBADF: there is no room in the buffer
            continue
        number += 1
print(number)
"""


@skipIf(UNAVAILABLE, UNAVAILABLE)
class KernelSwitchTests(SwitchCase):
    options = ("--no-ust",)

    def leave(self):
        """Remove the instance of a test that failed, which would go on recording."""
        for path in self.instances():
            Tracefs.find().remove(Instance(path))

    def instances(self):
        """Return those of our session daemon: the kernel has one tracefs for all who run at the same time."""
        namespace = Path(f"/proc/{self.space.first_process}/ns/pid").stat().st_ino
        return list(INSTANCES.glob(f"lttng-s1-*.{namespace}"))

    def mark(self, path):
        """Let a process write marks into the kernel's buffer, until its input ends."""
        command = [sys.executable, "-c", MARKER, str(path / "trace_marker")]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        marker = subprocess.Popen(command, **pipes)
        self.addCleanup(marker.wait)
        self.addCleanup(marker.stdout.close)
        self.addCleanup(marker.stdin.close)
        self.assertEqual(marker.stdout.readline(), "marking\n")
        return marker

    async def test_no_event_is_lost_and_none_comes_twice(self):
        """Among two relay daemons and folders, twenty times; each part is read by itself."""
        self.addCleanup(self.leave)
        self.session = await (await self.client()).create("s1", no_consumer=True)
        await self.session.enable_events(
            "kernel", ["sched_process_exit"]
        )  # seldom: what counts are the marks
        await self.switch("ours")
        await self.session.start()
        (path,) = self.instances()
        marker = self.mark(path)
        for _, output in zip(range(SWITCHES), cycle(self.outputs), strict=False):
            await self.until_more()
            await self.switch(output)
        await self.until_more()
        marker.stdin.close()
        emitted = int(marker.stdout.readline())
        facts = (await self.session.stop())["facts"]
        total = sum(each.total for each in Instance(path).stats().values())
        await self.session.destroy()

        read = [text_of(part, "--clock-seconds", "--no-delta")[0] for part in self.parts]
        self.assertEqual(len(set(self.parts)), SWITCHES + 1)
        self.assertTrue(all(read))
        events = [line for lines in read for line in lines]
        self.assertEqual(len(events), facts["events"])
        self.assertEqual(len(events), total - facts["discarded"])
        marks = [int(found[1]) for line in events if (found := MARK.search(line))]
        self.assertEqual(len(marks), len(set(marks)))
        if not facts["discarded"]:
            self.assertEqual(sorted(marks), list(range(emitted)))
        self.assertEqual((facts["lost"], facts["dropped"], facts["spooled"]), (0, 0, 0))
