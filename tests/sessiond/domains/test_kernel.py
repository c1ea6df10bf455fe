from twisted.internet.defer import Deferred, maybeDeferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from lttngnet.errors import Code, CommandError
from lttngnet.interfaces import ICourier, IDomain
from lttngnet.sessiond.domains.kernel import KernelDomain
from lttngnet.sources.ftrace.tracefs import Tracefs, TracefsUnavailable
from tests.sources.ftrace.made_up_tracefs import FILES, MadeUpTracefs


@implementer(ICourier)
class MemoryCourier:
    def __init__(self):
        self.added = []

    async def add_source(self, kind, config):
        self.added.append((kind, config))

    async def ask_source(self, kind, what, facts, descriptors=()):
        raise NotImplementedError


class KernelDomainTests(SynchronousTestCase):
    def setUp(self):
        self.tracefs = MadeUpTracefs.make(self)
        self.domain = self.make_domain("s1")

    def make_domain(self, session, find_tracefs=None):
        return KernelDomain(session, find_tracefs or (lambda: self.tracefs), maybeDeferred)

    def do(self, work):
        return self.successResultOf(Deferred.fromCoroutine(work))

    def refused(self, work, code):
        """Return the sentence of a refusal."""
        refusal = self.failureResultOf(Deferred.fromCoroutine(work), CommandError).value
        self.assertEqual(refusal.code, code)
        self.assertEqual(len(str(refusal).splitlines()), 1)
        return str(refusal)

    def enable(self, *names, channel="channel0", **options):
        return self.domain.enable_events(channel, names, options)

    def written(self, name="set_event", instance=0):
        return (self.tracefs.instances[instance] / name).read_text()

    def break_instances(self, missing):
        """Let the kernel refuse writes to a file."""
        self.tracefs.files = {name: text for name, text in FILES.items() if name != missing}

    def test_interfaces(self):
        verifyObject(IDomain, self.domain)
        verifyObject(ICourier, MemoryCourier())

    def test_enable(self):
        self.assertEqual(
            self.do(self.enable("sched_switch", "irq_softirq_entry")), ["sched_switch", "irq_softirq_entry"]
        )
        self.assertEqual(self.written(), "sched:sched_switch\nirq:softirq_entry\n")
        self.assertEqual(self.written("tracing_on"), "0")
        self.assertTrue(self.tracefs.instances[0].name.startswith("lttng-s1-channel0-"))

    def test_enable_more(self):
        self.do(self.enable("sched_switch"))
        self.do(self.enable("sched_*"))
        self.assertEqual(self.written(), "sched:sched_switch\nsched:sched_wakeup\n")
        self.assertEqual(len(self.tracefs.instances), 1)

    def test_all(self):
        self.assertEqual(self.do(self.enable(all=True)), ["*"])
        self.assertEqual(self.written(), "sched:*\nirq:*\nsyscalls:*\n")

    def test_all_tracepoints(self):
        self.do(self.enable(all=True, kind="tracepoint"))
        self.assertEqual(self.written(), "sched:*\nirq:*\n")

    def test_system_call(self):
        self.assertEqual(self.do(self.enable("openat", kind="syscall")), ["openat (syscall)"])
        self.assertEqual(self.written(), "syscalls:*\n")

    def test_unknown_event(self):
        sentence = self.refused(self.enable("sched_switch", "sched_wakup"), Code.NO_EVENT)
        self.assertEqual(
            sentence, "this kernel has no event sched_wakup; did you mean sched_wakeup or sched_switch?"
        )
        self.assertEqual(self.tracefs.instances, [])
        self.assertTrue(self.domain.is_empty())

    def test_unknown_system_call(self):
        sentence = self.refused(self.enable("zzz", kind="syscall"), Code.NO_EVENT)
        self.assertEqual(sentence, "this kernel has no system call zzz")

    def test_system_call_where_a_tracepoint_is_wanted(self):
        sentence = self.refused(self.enable("openat", kind="tracepoint"), Code.NO_EVENT)
        self.assertEqual(
            sentence, "this kernel has no tracepoint openat, but a system call of that name: say --syscall"
        )

    def test_unknown_kind(self):
        self.assertIn("function", self.refused(self.enable("sched_switch", kind="function"), Code.INVALID))

    def test_unknown_event_in_a_channel_that_is_there(self):
        self.do(self.enable("sched_switch"))
        self.refused(self.enable("sched_wakeup", "nonsense"), Code.NO_EVENT)
        self.assertEqual(self.written(), "sched:sched_switch\n")
        self.assertEqual(self.described(), ["sched_switch"])

    def described(self):
        """Return the names of the events in the first channel."""
        return [event["name"] for event in self.domain.describe()["channels"][0]["events"]]

    def test_no_event(self):
        self.refused(self.enable(), Code.INVALID)

    def test_unknown_option(self):
        self.assertIn(
            "filter", self.refused(self.enable("sched_switch", filter="prev_pid == 1"), Code.NOT_SUPPORTED)
        )

    def test_buffer(self):
        self.do(self.enable("sched_switch", subbuf_size=1 << 20, num_subbuf=8, overwrite=True))
        self.assertEqual((self.written("buffer_size_kb"), self.written("options/overwrite")), ("8192", "1"))

    def test_default_buffer(self):
        self.do(self.enable("sched_switch"))
        self.assertEqual((self.written("buffer_size_kb"), self.written("options/overwrite")), ("4096", "0"))

    def test_names_that_no_file_may_have(self):
        self.domain = self.make_domain("a/b")
        self.do(self.enable("sched_switch", channel="c d"))
        self.assertTrue(self.tracefs.instances[0].name.startswith("lttng-a%2Fb-c%20d-"))

    def test_channels_whose_streams_no_file_may_be_called_as(self):
        for name in ("", ".", "..", ".hidden", "a/b", "x" * 300):
            self.refused(self.domain.enable_channel(name, {}), Code.INVALID_CHANNEL_NAME)
            self.refused(self.enable("sched_switch", channel=name), Code.INVALID_CHANNEL_NAME)
        self.assertEqual(self.tracefs.instances, [])

    def test_kernel_refuses_the_instance(self):
        self.break_instances("trace_clock")
        self.assertIn("trace_clock", self.refused(self.enable("sched_switch"), Code.KERNEL_ENABLE_FAIL))
        self.assertEqual(self.tracefs.instances, [])

    def test_kernel_refuses_the_event(self):
        self.break_instances("set_event")
        self.assertIn("set_event", self.refused(self.enable("sched_switch"), Code.KERNEL_ENABLE_FAIL))
        self.assertEqual(self.tracefs.instances, [])
        self.assertTrue(self.domain.is_empty())

    def test_no_tracefs(self):
        def find():
            raise TracefsUnavailable("no tracefs here: mount it")

        self.domain = self.make_domain("s1", find)
        sentence = self.refused(self.enable("sched_switch"), Code.KERNEL_UNAVAILABLE)
        self.assertEqual(sentence, "no tracefs here: mount it")
        self.do(self.domain.start())
        self.do(self.domain.destroy())

    def test_disable(self):
        self.do(self.enable("sched_*"))
        self.do(self.enable("sched_switch", "irq_handler_entry"))
        self.assertEqual(self.do(self.domain.disable_events("channel0", ["sched_*"])), ["sched_*"])
        self.assertTrue(self.written().endswith("\n!sched:sched_wakeup\n"))
        self.assertEqual(self.described(), ["sched_switch", "irq_handler_entry"])

    def test_disable_all(self):
        self.do(self.enable("sched_*"))
        self.assertEqual(self.do(self.domain.disable_events("channel0", [])), ["sched_*"])
        self.assertEqual(self.domain.describe()["channels"], [{"name": "channel0", "events": []}])
        self.assertFalse(self.domain.is_empty())  # the channel may be recording
        self.assertTrue(self.written().endswith("\n!sched:*\n"))

    def test_disable_system_call(self):
        self.do(self.enable("openat", kind="syscall"))
        self.do(self.domain.disable_events("channel0", ["openat"]))
        self.assertTrue(self.written().endswith("\n!syscalls:*\n"))

    def test_disable_what_is_not_enabled(self):
        self.do(self.enable("sched_switch"))
        sentence = self.refused(self.domain.disable_events("channel0", ["sched_wakeup"]), Code.NO_EVENT)
        self.assertIn("sched_wakeup", sentence)
        self.refused(self.domain.disable_events("other", []), Code.CHANNEL_NOT_FOUND)

    def test_start_and_stop(self):
        self.do(self.enable("sched_switch"))
        self.do(self.enable("sched_switch", channel="other"))
        for work, text in ((self.domain.start, "1"), (self.domain.stop, "0")):
            self.do(work())
            self.assertEqual([self.written("tracing_on", instance) for instance in (0, 1)], [text, text])

    def test_kernel_refuses_to_start(self):
        self.do(self.enable("sched_switch"))
        (self.tracefs.instances[0] / "tracing_on").unlink()
        self.refused(self.domain.start(), Code.KERNEL_START_FAIL)

    def test_attach(self):
        self.do(self.enable("sched_switch"))
        courier = MemoryCourier()
        self.do(self.domain.attach(courier))
        config = {
            "events": str(self.tracefs.root / "events"),
            "session": "s1",
            "channels": [{"name": "channel0", "instance": str(self.tracefs.instances[0]), "limit": (0, 0)}],
        }
        self.assertEqual(courier.added, [("kernel", config)])

    def test_limits_of_files(self):
        limits = {"tracefile_size": 4096, "tracefile_count": 3}
        self.do(self.domain.enable_channel("limited", limits))
        courier = MemoryCourier()
        self.do(self.domain.attach(courier))
        self.assertEqual(courier.added[0][1]["channels"][0]["limit"], (4096, 3))
        self.refused(self.domain.enable_channel("c", {"tracefile_count": 3}), Code.INVALID)

    def test_nothing_to_attach(self):
        courier = MemoryCourier()
        self.do(self.domain.attach(courier))
        self.assertEqual(courier.added, [])

    def test_no_channel_after_the_start(self):
        self.do(self.enable("sched_switch"))
        self.do(self.domain.attach(MemoryCourier()))
        self.do(self.enable("sched_wakeup"))
        self.refused(self.enable("sched_wakeup", channel="other"), Code.TRACE_ALREADY_STARTED)
        self.assertEqual(len(self.tracefs.instances), 1)

    def test_destroy(self):
        self.do(self.enable("sched_switch"))
        self.do(self.enable("sched_switch", channel="other"))
        self.do(self.domain.destroy())
        self.assertEqual(self.tracefs.instances, [])
        self.assertEqual(self.domain.describe(), {"channels": []})

    def test_destroy_what_is_still_read(self):
        self.do(self.enable("sched_switch"))
        self.domain._tracefs = Tracefs(self.tracefs.root)  # whose folders are not removed with files in them
        self.refused(self.domain.destroy(), Code.KERNEL_CHANNEL_FAIL)

    def test_describe(self):
        self.do(self.enable("softirq_entry", "sched_*"))
        self.do(self.enable(all=True, kind="syscall", channel="calls"))
        self.assertEqual(
            self.domain.describe(),
            {
                "channels": [
                    {
                        "name": "channel0",
                        "events": [
                            {"name": "softirq_entry", "kind": "all"},
                            {"name": "sched_*", "kind": "all"},
                        ],
                    },
                    {"name": "calls", "events": [{"name": "*", "kind": "syscall"}]},
                ]
            },
        )
