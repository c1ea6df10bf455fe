import tempfile
import time
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from lttngnet.interfaces import IPacketSink, IPacketSource
from lttngnet.sources.ftrace.source import KernelSource
from lttngnet.sources.ftrace.stream import ReadBuffer
from tests.sources.ftrace.made_up import (
    LAYOUTS,
    Page,
    Record,
    Writer,
    agree,
    format_text,
    read_classes,
    read_packet,
)
from tests.sources.ftrace.made_up_tracefs import make_instance, record, set_stats

FULL = ReadBuffer(4096).pages


@implementer(IPacketSink)
class MemorySink:
    """Keeps what it is given; pauses the source, where told so, with the next packet."""

    def __init__(self):
        self.names, self.metadata, self.packets, self.published = [], b"", [], 0
        self.pause = None
        self.refusal = None

    async def begin(self):
        """See `IPacketSink`."""

    async def add_stream(self, path, name, limit=None):
        if self.refusal:
            raise self.refusal
        self.names.append(f"{path}/{name}")
        return len(self.names) - 1

    async def publish(self):
        self.published = len(self.names)

    def rewrite_metadata(self, stream, text):
        """See `IPacketSink`."""

    async def rotate(self, keep, go_on):
        """See `IPacketSink`."""

    def write_metadata(self, stream, text):
        assert self.names[stream] == "kernel/metadata"
        self.metadata += text

    def write(self, stream, packet):
        content = bytes(packet.content).ljust(packet.packet_size // 8, b"\0")
        packet.content = content
        self.packets.append((self.names[stream], packet, read_packet(content, self.classes())))
        if self.pause:
            self.pause()

    def beacon(self, silence):
        """See `IPacketSink`."""

    async def archived(self):
        """See `IPacketSink`."""

    async def close_stream(self, stream):
        """See `IPacketSink`."""

    async def quiesce(self):
        """See `IPacketSink`."""

    lost = ""
    is_away = False

    def waiting(self):
        """See `IPacketSink`."""
        return 0

    async def finish(self):
        """See `IPacketSink`."""

    def classes(self):
        return read_classes(self.metadata.decode())

    def events(self, name):
        return [event for each, _, events in self.packets if each == name for event in events]


class KernelSourceTests(SynchronousTestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.root = Path(holder.name)
        for layout in LAYOUTS.values():
            folder = self.root / "events/test" / layout.name
            folder.mkdir(parents=True)
            fields = [("u64 a", 8, 8, 0)] if layout.name == "wide" else []
            (folder / "format").write_text(format_text(layout.name, layout.id, *fields))
        self.instance = self.root / "instances/lttng-s1-channel0-1"
        make_instance(self.instance)
        self.reactor, self.sink, self.kernel = MemoryReactorClock(), MemorySink(), Writer()
        self.source = self.make_source("channel0")

    def make_source(self, *channels):
        config = {
            "events": str(self.root / "events"),
            "channels": [
                {"name": name, "instance": str(self.root / f"instances/lttng-s1-{name}-1")}
                for name in channels
            ],
            "session": "s1",
            "hostname": "host",
        }
        source = KernelSource.from_config(config, self.reactor)
        self.addCleanup(source.close)
        return source

    def start(self):
        self.successResultOf(Deferred.fromCoroutine(self.source.start(self.sink)))

    def stop(self):
        return Deferred.fromCoroutine(self.source.stop())

    def record(self, pages=1, cpu=0, events=1, instance=None):
        page = Page(10, [Record(100, 5, (), 0)] * events, "")
        record(instance or self.instance, cpu, self.kernel.write([page] * pages))

    def watchers(self):
        return sorted(self.reactor.getReaders(), key=lambda watcher: watcher.logPrefix())

    def flush(self):
        return self.successResultOf(Deferred.fromCoroutine(self.source.flush()))

    def test_flush(self):
        """A stream's first packet goes out though it is empty; a stream that has nothing says so."""
        self.start()
        self.record(events=3)
        self.assertEqual(self.flush(), [])
        self.assertEqual([len(events) for _, _, events in self.sink.packets], [3, 0])
        before = time.monotonic_ns()
        silent = {silence.stream: silence for silence in self.flush()}
        self.assertEqual(
            sorted(self.sink.names[number] for number in silent), ["kernel/channel0_0", "kernel/channel0_1"]
        )
        idle = silent[self.sink.names.index("kernel/channel0_1")]
        self.assertGreater(idle.until, before - 1_000_000_000)
        self.assertGreaterEqual(idle.until, self.sink.packets[1][1].timestamp_end)
        self.record()
        self.assertEqual([self.sink.names[silence.stream] for silence in self.flush()], ["kernel/channel0_1"])

    def test_packets_fit_into_files_of_limited_size(self):
        """But for those of a single sub-buffer."""
        for size, limit, pages in (
            (4096, 0, FULL),
            (4096, 1 << 30, FULL),
            (4096, 16384, 3),
            (65536, 4096, 1),
        ):
            buffer = ReadBuffer(size, limit)
            self.assertEqual(buffer.pages, pages)
            self.assertTrue(len(buffer.data) <= limit or limit in (0, 4096))

    def test_interfaces(self):
        verifyObject(IPacketSource, self.source)
        verifyObject(IPushProducer, self.source)
        verifyObject(IPacketSink, self.sink)

    def test_streams_are_announced(self):
        self.start()
        self.assertEqual(self.sink.names, ["kernel/channel0_0", "kernel/channel0_1", "kernel/metadata"])
        self.assertEqual(self.sink.published, 3)
        self.assertIn(b'trace_name = "s1";', self.sink.metadata)
        self.assertIn(b'hostname = "host";', self.sink.metadata)

    def test_a_readable_buffer_is_read(self):
        self.start()
        self.record(events=3)
        self.assertEqual(
            [watcher.logPrefix() for watcher in self.watchers()], ["kernel, CPU 0", "kernel, CPU 1"]
        )
        self.watchers()[0].doRead()
        [(name, packet, events)] = self.sink.packets
        self.assertEqual(name, "kernel/channel0_0")
        self.assertTrue(agree(self.kernel.events, events))
        self.assertEqual((packet.sequence, packet.stream_class, packet.stream_instance), (0, 0, 0))
        self.assertEqual(packet.timestamp_end, self.kernel.time)

    def test_the_timer_takes_the_rest(self):
        self.start()
        self.record(cpu=1)
        self.reactor.advance(0.1)
        self.assertEqual(self.sink.packets, [])
        self.reactor.advance(0.1)
        self.assertEqual(len(self.sink.events("kernel/channel0_1")), 1)

    def test_pages_make_one_packet(self):
        self.start()
        self.record(pages=5)
        self.reactor.advance(0.2)
        self.assertEqual(len(self.sink.packets), 1)
        self.assertTrue(agree(self.kernel.events, self.sink.events("kernel/channel0_0")))

    def test_reading_stops_at_the_first_short_read(self):
        self.start()
        self.record(pages=FULL + 1)
        sink_write = self.sink.write

        def write(stream, packet):
            sink_write(stream, packet)
            self.record()  # the kernel goes on

        self.sink.write = write
        self.watchers()[0].doRead()
        self.assertEqual(len(self.sink.packets), 2)

    def test_others_have_their_turn(self):
        self.start()
        self.record(pages=20 * FULL)
        self.watchers()[0].doRead()
        self.assertEqual(len(self.sink.packets), 8)

    def test_description_before_packet(self):
        self.start()
        self.assertEqual(self.sink.classes(), {})
        self.record()
        self.reactor.advance(0.2)
        self.assertEqual(list(self.sink.classes()), [100])
        self.assertEqual(self.sink.metadata.count(b"event {"), 1)

    def test_sequence(self):
        self.start()
        for _ in range(3):
            self.record()
            self.reactor.advance(0.2)
        self.assertEqual([packet.sequence for _, packet, _ in self.sink.packets], [0, 1, 2])

    def test_what_was_lost_is_told(self):
        self.start()
        set_stats(self.instance, 0, overrun=3, dropped=4, bytes=5)
        self.assertEqual(self.source.waiting(), 5)
        self.record()
        self.reactor.advance(0.2)
        self.assertEqual([packet.events_discarded for _, packet, _ in self.sink.packets], [7])
        counters = {"events": 1, "packets": 1, "bytes": 104, "discarded": 7, "lost": 0}
        self.assertEqual(self.source.facts(), counters | {"channels": {"channel0": counters}})

    def test_loss_behind_the_last_packet(self):
        self.start()
        self.record()
        self.reactor.advance(0.2)
        set_stats(self.instance, 0, dropped=4)
        self.successResultOf(self.stop())
        (_, first, _), (_, last, events) = self.sink.packets
        self.assertEqual((last.events_discarded, last.sequence, events), (4, 1, []))
        self.assertGreaterEqual(last.timestamp_begin, first.timestamp_end)

    def test_paused(self):
        self.start()
        self.source.pauseProducing()
        self.record()
        self.assertEqual(self.watchers(), [])
        self.reactor.advance(1)
        self.assertEqual(self.sink.packets, [])
        self.source.resumeProducing()
        self.assertEqual(len(self.watchers()), 2)
        self.reactor.advance(0.2)
        self.assertEqual(len(self.sink.packets), 1)

    def test_paused_between_reads(self):
        self.start()
        self.record(pages=4 * FULL)
        self.sink.pause = self.source.pauseProducing
        self.watchers()[0].doRead()
        self.assertEqual(len(self.sink.packets), 1)

    def test_stop_hands_on_everything(self):
        self.start()
        self.record(pages=20 * FULL + 3)
        self.record(cpu=1)
        self.successResultOf(self.stop())
        self.assertEqual(self.source.facts()["events"], len(self.kernel.events))
        self.assertEqual(self.watchers(), [])
        self.reactor.advance(10)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_stop_waits_for_a_busy_sink(self):
        self.start()
        self.record(pages=2 * FULL + 1)
        self.sink.pause = self.source.pauseProducing
        stopped = self.stop()
        for packets in (1, 2, 3):
            self.assertNoResult(stopped)
            self.assertEqual(len(self.sink.packets), packets)
            self.source.resumeProducing()
        self.successResultOf(stopped)

    def test_close_ends_the_waiting(self):
        self.start()
        self.source.stopProducing()
        stopped = self.stop()
        self.source.close()
        self.successResultOf(stopped)
        self.source.close()

    def test_started_again(self):
        self.start()
        self.record()
        self.successResultOf(self.stop())
        self.record()
        self.start()
        self.reactor.advance(0.2)
        self.assertEqual([packet.sequence for _, packet, _ in self.sink.packets], [0, 1])
        self.assertEqual(len(self.sink.names), 3)
        self.assertEqual(len(self.watchers()), 2)

    def test_channels_are_stream_classes(self):
        other = self.root / "instances/lttng-s1-other-1"
        make_instance(other, cpus=1)
        self.source = self.make_source("channel0", "other")
        self.start()
        self.record()
        self.record(instance=other)
        self.reactor.advance(0.2)
        self.assertEqual([packet.stream_class for _, packet, _ in self.sink.packets], [0, 1])
        self.assertEqual(self.sink.names[2:], ["kernel/other_0", "kernel/metadata"])
        for line in (b"\tstream_id = 0;\n", b"\tstream_id = 1;\n"):
            self.assertEqual(self.sink.metadata.count(line), 1)

    def test_announcement_refused(self):
        self.sink.refusal = OSError("no room")
        self.failureResultOf(Deferred.fromCoroutine(self.source.start(self.sink)), OSError)
        self.assertEqual(self.watchers(), [])

    def test_unreadable_buffer_is_logged(self):
        self.start()
        with capturedLogs() as logs:
            self.watchers()[0].connectionLost(Failure(OSError("gone")))
        self.assertEqual([event["cpu"] for event in logs], [0])
        self.flushLoggedErrors(OSError)
