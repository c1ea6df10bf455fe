from twisted.trial.unittest import SynchronousTestCase

from lttngnet.sources.ftrace.names import Catalogue, KernelEvent, lttng_event_name, lttng_field_name

SWITCH, WAKEUP = KernelEvent("sched", "sched_switch"), KernelEvent("sched", "sched_wakeup")
SOFTIRQ, IRQ = KernelEvent("irq", "softirq_entry"), KernelEvent("irq", "irq_handler_entry")
ENTER, EXIT = KernelEvent("syscalls", "sys_enter_openat"), KernelEvent("syscalls", "sys_exit_openat")
RAW = KernelEvent("raw_syscalls", "sys_enter")
EVENTS = (SWITCH, WAKEUP, SOFTIRQ, IRQ, ENTER, EXIT, RAW)


class NameTests(SynchronousTestCase):
    def test_events(self):
        self.assertEqual(lttng_event_name(*SWITCH), "sched_switch")
        self.assertEqual(lttng_event_name(*SOFTIRQ), "irq_softirq_entry")
        self.assertEqual(lttng_event_name(*ENTER), "syscall_entry_openat")
        self.assertEqual(lttng_event_name(*EXIT), "syscall_exit_openat")
        self.assertEqual(lttng_event_name(*RAW), "sys_enter")

    def test_fields(self):
        self.assertEqual(lttng_field_name("sched", "prev_pid"), "prev_tid")
        self.assertEqual(lttng_field_name("task", "pid"), "tid")
        self.assertEqual(lttng_field_name("signal", "pid"), "pid")
        self.assertEqual(lttng_field_name("sched", "rapid"), "rapid")


class CatalogueTests(SynchronousTestCase):
    def setUp(self):
        self.catalogue = Catalogue(EVENTS)

    def select(self, pattern, which="all"):
        return self.catalogue.select(pattern, which)

    def test_either_name(self):
        for name in ("softirq_entry", "irq_softirq_entry", "irq:softirq_entry", "irq:irq_softirq_entry"):
            self.assertEqual(self.select(name), {SOFTIRQ})

    def test_globs(self):
        self.assertEqual(self.select("sched_*"), {SWITCH, WAKEUP})
        self.assertEqual(self.select("irq:*"), {SOFTIRQ, IRQ})
        self.assertEqual(self.select("sched_switc?"), {SWITCH})
        self.assertEqual(self.select("sched_[sw]*"), frozenset())

    def test_all_leaves_out_what_repeats_others(self):
        self.assertEqual(self.select("*"), frozenset(EVENTS) - {RAW})
        self.assertEqual(self.select("*", "tracepoint"), {SWITCH, WAKEUP, SOFTIRQ, IRQ})
        self.assertEqual(self.select("*", "syscall"), {ENTER, EXIT})
        self.assertEqual(self.select("raw_syscalls:*"), {RAW})
        self.assertEqual(self.select("sys_enter"), {RAW})

    def test_system_calls(self):
        for name in ("openat", "open*", "syscalls:openat"):
            self.assertEqual(self.select(name, "syscall"), {ENTER, EXIT})
        self.assertEqual(self.select("sys_enter_openat", "syscall"), {ENTER})
        self.assertEqual(self.select("syscall_entry_openat"), {ENTER})
        self.assertEqual(self.select("openat"), frozenset())
        self.assertEqual(self.select("sched_switch", "syscall"), frozenset())

    def test_near_names(self):
        self.assertEqual(self.catalogue.like("sched_swich", "all")[0], "sched_switch")
        self.assertEqual(list(self.catalogue.like("opnat", "syscall")), ["openat"])
        self.assertEqual(list(self.catalogue.like("zzz", "all")), [])

    def test_whole_systems_are_written_short(self):
        self.assertEqual(
            self.catalogue.compact(frozenset((SWITCH, WAKEUP, IRQ))), ["sched:*", "irq:irq_handler_entry"]
        )
        self.assertEqual(self.catalogue.compact(frozenset()), [])
