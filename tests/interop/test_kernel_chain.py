"""The RFC's own example: our session daemon traces the kernel, for our and for the genuine relay daemon."""

import errno
import json
import re
import tempfile
import time
from collections import Counter
from pathlib import Path
from unittest import skipIf

from twisted.trial.unittest import SynchronousTestCase

from lttngnet.sources.ftrace.tracefs import Instance, Tracefs, TracefsUnavailable
from tests.interop.genuine import Namespace, missing, tree
from tests.interop.ours import program, text_of
from tests.waiting import wait_until

try:
    INSTANCES = Tracefs.find().root / "instances"
    UNAVAILABLE = missing()
except TracefsUnavailable as problem:
    UNAVAILABLE = str(problem)

EVENT = re.compile(r"\[(\d+)\.(\d+)\] (?:\S+ )?(\w+): \{ cpu_id = (\d+)")
WRITES = 3000


def has_marked(path):
    """Write into the kernel's buffer, and tell whether there was room."""
    try:
        (path / "trace_marker").write_text("a mark\n")
    except OSError as problem:
        if problem.errno != errno.EBADF:
            raise
        return False
    return True


class RfcMixin:
    """The example, word for word but for the address of the relay daemon."""

    def start_relayd(self):
        raise NotImplementedError

    def setUp(self):
        holder = tempfile.TemporaryDirectory()  # trial's own are too deep for the path of a socket
        self.addCleanup(holder.cleanup)
        self.folder = Path(holder.name)
        self.received = self.folder / "received"
        self.space = Namespace(self.folder)
        self.addCleanup(self.space.close)
        self.start_relayd()
        self.space.start_our_sessiond()
        self.addCleanup(lambda: self.leave())

    def leave(self):
        """Remove the instance of a test that failed, which would go on recording."""
        for path in self.instances():
            Tracefs.find().remove(Instance(path))

    def instances(self):
        """Return those of our session daemon: the kernel has one tracefs for all who run at the same time."""
        namespace = Path(f"/proc/{self.space.first_process}/ns/pid").stat().st_ino
        return list(INSTANCES.glob(f"lttng-session1-*.{namespace}"))

    def lttng(self, line):
        return self.space.run(program("lttngnet"), *line.split())

    def read(self):
        """Return what babeltrace2 reads: name, CPU, ns since the epoch, and the whole line of each event."""
        lines, _ = text_of(self.received, "--clock-seconds", "--no-delta")
        events = []
        for line in lines:
            seconds, nanoseconds, name, cpu = EVENT.match(line).groups()
            events.append((name, int(cpu), int(seconds) * 10**9 + int(nanoseconds), line))
        return events

    def test_the_example(self):
        for line in ("create session1", "enable-consumer net://127.0.0.1", "enable-event -a -k", "start"):
            self.lttng(line)
        (path,) = self.instances()
        self.space.run("dd", "if=/dev/zero", "of=/dev/null", "bs=1", f"count={WRITES}")
        before = time.time_ns()
        wait_until(lambda: has_marked(path), "room for a mark in the kernel's buffer")
        after = time.time_ns()
        self.lttng("stop")
        (session,) = json.loads(self.lttng("list --json"))
        stats = Instance(path).stats().values()
        self.lttng("destroy")

        facts, events = session["facts"], self.read()
        self.assertEqual(len(events), facts["events"])
        self.assertEqual(facts["events"] + facts["discarded"], sum(each.total for each in stats))
        names = Counter(name for name, *_ in events)
        if not facts["discarded"]:
            self.assertGreaterEqual(names["syscall_entry_write"], WRITES)
            self.assertIn("sched_switch", names)
            (mark,) = (stamp for name, _, stamp, line in events if name == "print")
            self.assertTrue(before - 10**6 <= mark <= after + 10**6, (before, mark, after))
        self.assertEqual(len(set(events)), len(events))
        for cpu in {cpu for _, cpu, *_ in events}:
            stamps = [stamp for _, of, stamp, _ in events if of == cpu]
            self.assertEqual(stamps, sorted(stamps))
        self.assertEqual(self.instances(), [])
        self.assertEqual(self.leaves(), self.expected())

    def leaves(self):
        host = self.space.run("hostname").strip()
        return [path.replace(host, "HOST") for path in tree(self.received)]

    def expected(self):
        cpus = sorted({path.name for path in self.received.rglob("channel0_*") if path.suffix != ".idx"})
        kernel = "HOST/session1-DATE/kernel"
        streams = [f"{kernel}/{cpu}" for cpu in cpus]
        indexes = [f"{kernel}/index/{path.name}" for path in self.received.rglob("*.idx")]
        folders = ["HOST", "HOST/session1-DATE", kernel, f"{kernel}/index"]
        return sorted([*folders, *streams, *indexes, f"{kernel}/metadata"])


@skipIf(UNAVAILABLE, UNAVAILABLE)
class OurRelayTests(RfcMixin, SynchronousTestCase):
    def start_relayd(self):
        self.space.start_our_relayd(self.received)


@skipIf(UNAVAILABLE, UNAVAILABLE)
class GenuineRelayTests(RfcMixin, SynchronousTestCase):
    def start_relayd(self):
        self.space.start_genuine_relayd(self.received)
