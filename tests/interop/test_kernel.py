"""The real kernel, traced through the domain and the source, read with babeltrace2."""

import os
import re
import subprocess
import tempfile
from collections import Counter
from pathlib import Path
from shutil import which
from unittest import skipIf

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from lttngnet.sessiond.domains.kernel import KernelDomain
from lttngnet.sources.ftrace import convert as with_stdlib
from lttngnet.sources.ftrace.source import KernelSource
from lttngnet.sources.ftrace.tracefs import Instance, Tracefs, TracefsUnavailable

try:
    Tracefs.find()
except TracefsUnavailable as problem:
    UNAVAILABLE = str(problem)
else:
    UNAVAILABLE = ""

EVENT = re.compile(r"^\[\S+\] (?:\(\S+\) )?(?:\S+ )?(\w+): \{ cpu_id", re.MULTILINE)
LOST = re.compile(r"Tracer (?:discarded (\d+)|may have discarded) events")
COPY = ["if=/dev/zero", "of=/dev/null", "bs=1"]


def run(*command):
    """Run a command in a thread. Not as a process of the reactor: under pytest that has no signals."""
    return deferToThread(subprocess.run, command, capture_output=True, check=True)


class FolderSink:
    """Writes each stream to a file."""

    def __init__(self, folder):
        self._folder = folder
        self._files = []

    async def add_stream(self, path, name, limit=None):
        file = self._folder / path / name
        file.parent.mkdir(exist_ok=True)
        self._files.append(file.open("wb", buffering=0))
        return len(self._files) - 1

    async def publish(self):
        """See `IPacketSink`."""

    def write_metadata(self, stream, text):
        self._files[stream].write(text)

    def write(self, stream, packet):
        self._files[stream].write(packet.content)
        self._files[stream].write(bytes(packet.padding))

    def close(self):
        for file in self._files:
            file.close()


class Courier:
    """Makes the source in this very process."""

    async def add_source(self, kind, config):
        self.source = KernelSource.from_config(config, reactor)


@skipIf(UNAVAILABLE, UNAVAILABLE)
@skipIf(which("babeltrace2") is None, "babeltrace2 is not installed")
class KernelTests(TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = Path(holder.name)
        self.domain = KernelDomain(f"test-{os.getpid()}")
        self.addCleanup(lambda: Deferred.fromCoroutine(self.domain.destroy()))
        self.sink = FolderSink(self.folder)
        self.addCleanup(self.sink.close)

    async def attach(self):
        courier = Courier()
        await self.domain.attach(courier)
        self.source = courier.source
        self.addCleanup(self.source.close)

    async def trace(self, *command):
        """Trace while a command runs."""
        await self.source.start(self.sink)
        await self.domain.start()
        await run(*command)
        await self.domain.stop()
        await self.source.stop()

    def instances(self):
        folder = Tracefs.find().root / "instances"
        return [Instance(path) for path in folder.glob(f"lttng-test-{os.getpid()}-*")]

    def read(self):
        """Return how often babeltrace2 meets each event, and how many it says were lost."""
        run = subprocess.run(["babeltrace2", self.folder], capture_output=True, text=True, errors="replace")
        self.assertEqual(run.returncode, 0, run.stderr)
        complaints = [line for line in run.stderr.splitlines() if not LOST.search(line)]
        self.assertEqual(complaints, [])
        names = Counter(EVENT.findall(run.stdout))
        self.assertEqual(names.total(), len(run.stdout.splitlines()))
        return names, sum(int(number or 0) for number in LOST.findall(run.stderr))

    def check_counts(self):
        """What was read and what was lost is what the kernel counted; return the names."""
        stats = [each for instance in self.instances() for each in instance.stats().values()]
        facts = self.source.facts()
        names, lost = self.read()
        self.assertEqual(names.total(), facts["events"])
        self.assertEqual(facts["discarded"], sum(each.discarded for each in stats))
        self.assertEqual(facts["events"] + facts["discarded"], sum(each.total for each in stats))
        self.assertLessEqual(lost, facts["discarded"])  # it has no number for what the first packet tells
        return names

    async def test_everything(self):
        await self.domain.enable_events("channel0", [], {"all": True})
        await self.attach()
        await self.trace("ls", "-lR", "/usr/share/doc")
        names = self.check_counts()
        for name in ("sched_switch", "syscall_entry_openat", "syscall_exit_openat"):
            self.assertIn(name, names)
        self.assertNotIn("sys_enter", names)

    async def test_nothing_before_the_start(self):
        await self.domain.enable_events("channel0", ["sched_switch"], {})
        await self.attach()
        await run("true")
        self.assertEqual({each.total for each in self.instances()[0].stats().values()}, {0})

    async def test_chosen_events_in_two_channels(self):
        await self.domain.enable_events("calls", ["write"], {"kind": "syscall"})
        await self.domain.enable_events("scheduler", ["sched_switch", "sched_w*"], {"kind": "tracepoint"})
        await self.attach()
        await self.trace("dd", *COPY, "count=1000")
        names = self.check_counts()
        self.assertGreaterEqual(names["syscall_entry_write"], 1000)
        self.assertIn("sched_switch", names)
        self.assertTrue(all(name.startswith(("sched_", "syscall_e")) for name in names), names)

    async def check_loss(self, **options):
        """More happens than the smallest buffer holds, while nobody reads."""
        await self.domain.enable_events(
            "channel0", ["write"], {"kind": "syscall", "subbuf_size": 65536, **options}
        )
        await self.attach()
        self.source.pauseProducing()
        await self.source.start(self.sink)
        await self.domain.start()
        await run("dd", *COPY, "count=40000")
        await self.domain.stop()
        self.source.resumeProducing()
        await self.source.stop()
        self.check_counts()
        self.assertGreater(self.source.facts()["discarded"], 0)

    async def test_loss(self):
        await self.check_loss()

    async def test_loss_of_the_oldest(self):
        await self.check_loss(overwrite=True)

    async def test_started_again(self):
        await self.domain.enable_events("channel0", ["write"], {"kind": "syscall"})
        await self.attach()
        for times in (1, 2):
            await self.trace("dd", *COPY, "count=1000")
            self.assertGreaterEqual(self.check_counts()["syscall_entry_write"], 1000 * times)

    async def test_standard_library_keeps_up_with_little(self):
        self.patch(KernelSource.__init__, "__defaults__", (with_stdlib.convert, None))
        await self.domain.enable_events("channel0", [], {"all": True})
        await self.attach()
        await self.trace("ls", "/")
        self.assertIn("syscall_entry_openat", self.check_counts())

    async def test_wall_clock(self):
        """What is written into the trace is there at the time at which it was written."""
        await self.domain.enable_events("channel0", ["sched_process_exit"], {})
        await self.attach()
        before = reactor.seconds()
        await self.trace("true")
        after = reactor.seconds()
        run = subprocess.run(
            ["babeltrace2", self.folder, "--clock-seconds", "--no-delta"], capture_output=True, text=True
        )
        times = [float(each) for each in re.findall(r"^\[(\d+\.\d+)\]", run.stdout, re.MULTILINE)]
        self.assertTrue(times)
        self.assertTrue(all(before - 0.01 < each < after + 0.01 for each in times), (before, times, after))

    async def test_destroyed(self):
        await self.domain.enable_events("channel0", ["sched_switch"], {})
        await self.attach()
        await self.trace("true")
        self.source.close()
        await self.domain.destroy()
        self.assertEqual(self.instances(), [])
