"""The real kernel's events, rotated, cleared and in files of limited size; babeltrace2 reads all."""

import contextlib
import re
from pathlib import Path
from unittest import skipIf

from lttngnet.client import Code
from lttngnet.sources.ftrace.tracefs import Instance, Tracefs, TracefsError, TracefsUnavailable
from tests.interop.genuine import missing
from tests.interop.ours import text_of
from tests.interop.test_ust import Case, RelayCase
from tests.waiting import until, wait_until

try:
    INSTANCES = Tracefs.find().root / "instances"
    UNAVAILABLE = missing()
except TracefsUnavailable as problem:
    UNAVAILABLE = str(problem)

SIZE = 128 << 10  # bytes of a file: less than is read at once where there is no limit
FILLING = 900 * "."
MARK = re.compile(r"mark (\d+) of the test")


def marks(folder):
    """Return the numbers of the marks in a trace, in their order."""
    lines, errors = text_of(folder)
    assert not errors, errors
    return [int(found[1]) for line in lines if (found := MARK.search(line))]


class WhereverMixin:
    """What is archived, what is deleted and what gives way is the same wherever it goes."""

    options = ("-v",)
    written = 0

    namespace = None

    def setUp(self):
        self.addCleanup(self.clean_up)  # thus when all processes are gone, which may have an instance open
        super().setUp()
        self.namespace = Path(f"/proc/{self.space.first_process}/ns/pid").stat().st_ino

    def instances(self):
        """Return those of our session daemon: the kernel has one tracefs for all who run at the same time."""
        return list(INSTANCES.glob(f"lttng-s1-*.{self.namespace}"))

    def clean_up(self):
        """Remove the instance of a test that failed, which would go on recording."""

        def removed():
            for path in self.instances():
                with contextlib.suppress(TracefsError):
                    Tracefs.find().remove(Instance(path))
            return not self.instances()

        wait_until(removed, "the instances to be removed")

    async def traced(self, **options):
        session = await (await self.client()).create("s1", self.output("s1"))
        if options:
            await session.enable_channel("kernel", "c", **options)
        await session.enable_events("kernel", ["sched_process_exec"], channel="c")
        await session.start()
        (path,) = self.instances()
        self.marker = path / "trace_marker"
        return session

    def mark(self, count, more=""):
        """Have the kernel record so many marks; return their numbers."""
        first, self.written = self.written, self.written + count
        numbers = list(range(first, self.written))
        for number in numbers:
            self.marker.write_text(f"mark {number} of the test{more}\n")
        return numbers

    async def archived(self, count):
        """Return the archives once there are so many: a genuine relay daemon does not say when they are."""

        def archives():
            found = [path for folder in self.traces.rglob("archives") for path in folder.iterdir()]
            return found if len(found) == count else None

        found = await until(archives, f"{count} archives")
        return sorted(found, key=lambda path: int(path.name.rpartition("-")[2]))

    async def test_rotate(self):
        session = await self.traced()
        wanted = []
        for count in (300, 1, 50):
            wanted.append(self.mark(count))
            await session.rotate()
        wanted.append(self.mark(20))
        await session.stop()
        await session.rotate()
        await self.assert_refused(Code.ROTATION_MULTIPLE_AFTER_STOP, session.rotate())
        await session.start()
        wanted.append(self.mark(7))
        facts = await session.destroy()
        self.assertEqual(facts["facts"]["discarded"], 0)
        self.assertEqual([marks(path) for path in await self.archived(5)], wanted)
        self.assertEqual(self.instances(), [])

    async def test_clear(self):
        session = await self.traced()
        self.mark(100)
        await session.clear()
        wanted = self.mark(20)
        await session.stop()
        self.assertEqual(marks(self.traces), wanted)
        await session.clear()
        self.assertEqual(list(self.traces.rglob("metadata")), [])
        await self.assert_refused(Code.ROTATION_AFTER_STOP_CLEAR, session.rotate())
        await session.start()
        wanted = [self.mark(5)]
        await session.rotate()
        self.mark(5)
        await session.clear()
        wanted.append(self.mark(6))
        await session.destroy()
        self.assertEqual([marks(path) for path in await self.archived(2)], wanted)

    async def test_files_that_give_way(self):
        session = await self.traced(tracefile_size=SIZE, tracefile_count=3)
        while self.written * len(FILLING) < 10 * SIZE:
            wanted = self.mark(200, FILLING)
            await session.describe()  # the consumer process has its turn
        await session.stop()
        await session.destroy()
        (trace,) = (path.parent for path in self.traces.rglob("metadata"))
        files = [path for path in trace.iterdir() if path.name.startswith("c_") and path.stat().st_size]
        self.assertLessEqual({path.name.rpartition("_")[2] for path in files}, set("012"))
        self.assertLessEqual(max(path.stat().st_size for path in files), SIZE)
        found = marks(self.traces)
        self.assertEqual(found, sorted(found))
        self.assertEqual(found[-1], wanted[-1])
        self.assertLess(len(found), self.written)


@skipIf(UNAVAILABLE, UNAVAILABLE)
class FolderTests(WhereverMixin, Case):
    pass


@skipIf(UNAVAILABLE, UNAVAILABLE)
class OurRelayTests(WhereverMixin, RelayCase):
    def start_relayd(self):
        self.space.start_our_relayd(self.traces)


@skipIf(UNAVAILABLE, UNAVAILABLE)
class GenuineRelayTests(WhereverMixin, RelayCase):
    def start_relayd(self):
        self.space.start_genuine_relayd(self.traces)
