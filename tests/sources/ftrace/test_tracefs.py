import os
from pathlib import Path
from unittest import skipIf

from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.sources.ftrace.names import KernelEvent
from lttngnet.sources.ftrace.tracefs import (
    BufferOptions,
    Instance,
    Stats,
    Tracefs,
    TracefsError,
    TracefsUnavailable,
    process_namespace,
)
from tests.sources.ftrace.made_up_tracefs import FILES, MadeUpTracefs, make_instance, set_stats

DEAD = 1 << 22  # above the highest process id that a kernel gives


class InstanceTests(SynchronousTestCase):
    def setUp(self):
        self.tracefs = MadeUpTracefs.make(self)

    def text(self, instance, name):
        return (instance.path / name).read_text()

    def test_made_ready(self):
        instance = self.tracefs.create("s1-channel0", BufferOptions(size_kib=8192, overwrite=True))
        self.assertEqual(instance.path.name, f"lttng-s1-channel0-{os.getpid()}.{process_namespace()}")
        for name, text in (
            ("tracing_on", "0"),
            ("trace_clock", "mono"),
            ("buffer_size_kb", "8192"),
            ("buffer_subbuf_size_kb", "64"),
            ("options/overwrite", "1"),
            ("buffer_percent", "25"),
        ):
            self.assertEqual(self.text(instance, name), text)
        self.assertEqual(instance.subbuffer_size, 1 << 16)
        self.assertEqual(instance.cpus, [0, 1])

    def test_older_kernel(self):
        self.tracefs.files = {
            name: text
            for name, text in FILES.items()
            if name not in ("buffer_subbuf_size_kb", "buffer_percent")
        }
        instance = self.tracefs.create("s1", BufferOptions())
        self.assertEqual(instance.subbuffer_size, os.sysconf("SC_PAGESIZE"))

    def test_events(self):
        instance = self.tracefs.create("s1", BufferOptions())
        instance.enable(["sched:*", "irq:softirq_entry"])
        instance.disable(["sched:*"])
        self.assertEqual(self.text(instance, "set_event"), "sched:*\nirq:softirq_entry\n!sched:*\n")

    def test_recording(self):
        instance = self.tracefs.create("s1", BufferOptions())
        instance.record(True)
        self.assertEqual(self.text(instance, "tracing_on"), "1")

    def test_refused(self):
        instance = self.tracefs.create("s1", BufferOptions())
        (instance.path / "tracing_on").unlink()
        refused = self.assertRaises(TracefsError, instance.record, True)
        self.assertIn("'1'", str(refused))
        self.assertIn("tracing_on: No such file", str(refused))

    def test_stats(self):
        instance = self.tracefs.create("s1", BufferOptions())
        set_stats(instance.path, 1, entries=3, overrun=4, dropped=5)
        self.assertEqual(instance.stats()[1], Stats(3, 0, 4, 0, 5))
        self.assertEqual((instance.stats()[1].discarded, instance.stats()[1].total), (9, 12))


class TracefsTests(SynchronousTestCase):
    def setUp(self):
        self.tracefs = MadeUpTracefs.make(self)
        self.root = self.tracefs.root

    def test_found(self):
        self.assertEqual(Tracefs.find([self.root / "nothing", self.root]).root, self.root)

    def test_not_mounted(self):
        missing = self.assertRaises(TracefsUnavailable, Tracefs.find, [self.root / "events"])
        self.assertIn("mount -t tracefs", str(missing))

    @skipIf(os.getuid() == 0, "root may read everything")
    def test_not_for_us(self):
        self.root.chmod(0)
        self.addCleanup(self.root.chmod, 0o700)
        refused = self.assertRaises(TracefsUnavailable, Tracefs.find, [self.root])
        self.assertIn("root", str(refused))

    def test_available_events(self):
        self.assertIn(KernelEvent("sched", "sched_switch"), self.tracefs.available_events())

    def test_same_name_twice(self):
        self.tracefs.create("s1", BufferOptions())
        refused = self.assertRaises(TracefsError, self.tracefs.create, "s1", BufferOptions())
        self.assertIn("File exists", str(refused))

    def test_none_left_where_the_kernel_refuses(self):
        self.tracefs.files = {name: text for name, text in FILES.items() if name != "trace_clock"}
        self.assertRaises(TracefsError, self.tracefs.create, "s1", BufferOptions())
        self.assertEqual(self.tracefs.instances, [])

    def test_remove(self):
        instance = self.tracefs.create("s1", BufferOptions())
        self.tracefs.remove(instance)
        self.assertEqual(self.tracefs.instances, [])
        self.tracefs.remove(instance)

    def test_still_read(self):
        instance = self.tracefs.create("s1", BufferOptions())
        refused = self.assertRaises(
            TracefsError, Tracefs(self.root).remove, instance
        )  # a folder that is not empty
        self.assertIn(str(instance.path), str(refused))

    def test_patience(self):
        instance = self.tracefs.create("s1", BufferOptions())
        answers = iter((OSError(16, "busy"), OSError(16, "busy"), None))

        def remove(path):
            if problem := next(answers):
                raise problem

        self.tracefs._remove_directory = remove
        self.tracefs.remove(instance, (0, 0))
        self.assertEqual(list(answers), [])

    def test_leftovers(self):
        folder = self.root / "instances"
        here = process_namespace()
        ours, alive = f"lttng-s1-{DEAD}.{here}", f"lttng-s1-{os.getppid()}.{here}"
        theirs, elsewhere = "trace-cmd", f"lttng-s1-{DEAD}.{here + 1}"
        for name in (ours, alive, theirs, elsewhere):
            make_instance(folder / name)
        self.tracefs.remove_leftovers()
        self.assertEqual({path.name for path in self.tracefs.instances}, {alive, theirs, elsewhere})

    def test_leftover_that_is_still_read(self):
        make_instance(self.root / f"instances/lttng-s1-{DEAD}.{process_namespace()}")
        with capturedLogs() as logs:
            Tracefs(self.root).remove_leftovers()
        self.assertEqual([event["log_level"].name for event in logs], ["warn"])
        self.assertEqual(len(self.tracefs.instances), 1)

    def test_instance_is_a_path(self):
        self.assertEqual(Instance(Path("/nowhere")).cpus, [])
