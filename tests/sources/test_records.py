"""The source of records: packets out of what programs send, whatever they send."""

import socket
import struct
import time

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from lttngnet.ctf.builder import PacketBuilder
from lttngnet.ctf.packet import UNLIMITED
from lttngnet.interfaces import IPacketSource
from lttngnet.sources.program import PACKET_LIMIT
from lttngnet.sources.records import FLUSH_PERIOD, RecordsSource
from lttngnet.wire import records

CONTEXT = struct.Struct("=QQQQQQI")
HEADER = 32
FACTS = {"pid": 42, "procname": "till"}


class MemorySink:
    """Keeps what it is given; announcing a stream may take its time."""

    def __init__(self):
        self.said = []
        self.packets = []
        self.metadata = b""
        self.gates = []
        self.publish_gates = []
        self.limits = []

    async def add_stream(self, path, name, limit=UNLIMITED):
        self.limits.append(limit)
        self.said.append(f"{path}/{name}")
        for gate in self.gates:
            await gate
        return len(self.said) - 1

    async def publish(self):
        self.said.append("publish")
        for gate in self.publish_gates:
            await gate

    def write_metadata(self, stream, text):
        self.metadata += text

    def rewrite_metadata(self, stream, text):
        self.metadata = text

    def write(self, stream, packet):
        self.packets.append((self.said[stream], packet, bytes(packet.content)))

    async def quiesce(self):
        """All is there."""

    async def close_stream(self, stream):
        self.said.append(f"close {self.said[stream]}")


def event(msg="sold", **other):
    fields = {
        "asctime": "now",
        "msg": msg,
        "logger_name": "shop",
        "func_name": "sell",
        "lineno": 1,
        "level": 20,
        "thread": 3,
        "thread_name": "main",
    }
    return records.event(**{**fields, **other})


def record(msg="sold", discarded=0, timestamp=None):
    return records.record(discarded, timestamp or time.monotonic_ns(), 43, event(msg))


class RecordsSourceTests(SynchronousTestCase):
    def setUp(self):
        self.reactor = MemoryReactorClock()
        self.sink = MemorySink()
        config = {"session": "auto", "hostname": "hal", "channel": "channel0"}
        self.source = RecordsSource.from_config(config, self.reactor)
        self.addCleanup(self.source.close)

    def wait(self, coroutine):
        return self.successResultOf(Deferred.fromCoroutine(coroutine))

    def program(self):
        ours, theirs = socket.socketpair()
        self.addCleanup(theirs.close)
        theirs.setblocking(False)
        self.wait(self.source.adopt(ours.detach(), FACTS))
        return theirs

    def started(self):
        self.wait(self.source.start(self.sink))
        return self.program()

    def read(self):
        for reader in list(self.reactor.getReaders()):
            reader.doRead()

    def messages(self):
        return [
            part for *_, content in self.sink.packets for part in content.split(b"\0") if part[:4] == b"sold"
        ]

    def test_interface(self):
        verifyObject(IPacketSource, self.source)

    def test_announcement(self):
        """The first program brings the metadata with it; each later one is published, too."""
        self.started()
        self.program()
        first = ["python/channel0_0", "python/metadata", "publish"]
        self.assertEqual(self.sink.said, [*first, "python/channel0_1", "publish"])
        self.assertTrue(self.sink.metadata.startswith(b"/* CTF 1.8 */"))
        self.assertIn(b'hostname = "hal";', self.sink.metadata)

    def test_before_start(self):
        """A program that comes before tracing starts is announced then, and what it sent is not lost."""
        self.program().send(record())
        self.assertEqual(self.sink.said, [])
        self.wait(self.source.start(self.sink))
        self.read()
        self.wait(self.source.stop())
        self.assertEqual(self.messages(), [b"sold"])

    def test_one_after_the_other(self):
        """Programs that come at the same time are announced one after the other; stop waits for them."""
        self.wait(self.source.start(self.sink))
        gate = Deferred()
        self.sink.gates.append(gate)
        pairs = [socket.socketpair() for _ in range(2)]
        adopting = []
        for ours, theirs in pairs:
            self.addCleanup(theirs.close)
            theirs.send(record())
            adopting.append(Deferred.fromCoroutine(self.source.adopt(ours.detach(), FACTS)))
        stopping = Deferred.fromCoroutine(self.source.stop())
        self.assertEqual(self.sink.said, ["python/channel0_0"])
        self.sink.gates.clear()
        gate.callback(None)
        for waiting in (*adopting, stopping):
            self.successResultOf(waiting)
        self.assertEqual([name for name, *_ in self.sink.packets], ["python/channel0_0", "python/channel0_1"])

    def test_metadata_is_wanted_anew_before_it_was_written(self):
        gate = Deferred()
        self.sink.publish_gates.append(gate)
        self.wait(self.source.start(self.sink))
        ours, theirs = socket.socketpair()
        self.addCleanup(theirs.close)
        adopting = Deferred.fromCoroutine(self.source.adopt(ours.detach(), FACTS))
        self.wait(self.source.ask("regenerate-metadata", {}, []))
        self.assertEqual(self.sink.metadata, b"")
        gate.callback(None)
        self.successResultOf(adopting)
        self.assertEqual(self.sink.metadata.count(b"trace {"), 1)
        self.wait(self.source.ask("regenerate-metadata", {}, []))
        self.assertEqual(self.sink.metadata.count(b"trace {"), 1)

    def test_packet(self):
        program = self.started()
        before = time.monotonic_ns()
        program.send(record("sold 1"))
        program.send(record("sold 2", discarded=7))
        self.read()
        self.assertEqual(self.sink.packets, [])
        self.reactor.advance(FLUSH_PERIOD)
        ((name, packet, content),) = self.sink.packets
        self.assertEqual(name, "python/channel0_0")
        self.assertEqual((packet.packet_size, packet.content_size), (8 * len(content), 8 * len(content)))
        self.assertEqual((packet.events_discarded, packet.sequence, packet.stream_instance), (7, 0, 0))
        self.assertTrue(before <= packet.timestamp_begin <= packet.timestamp_end <= time.monotonic_ns())
        begin, end, bits, _, sequence, discarded, cpu = CONTEXT.unpack_from(content, HEADER)
        self.assertEqual((begin, end), (packet.timestamp_begin, packet.timestamp_end))
        self.assertEqual((bits, sequence, discarded, cpu), (8 * len(content), 0, 7, 0))
        self.assertIn(struct.pack("=II17s", 42, 43, b"till") + event("sold 2"), content)
        counters = {"events": 2, "packets": 1, "bytes": len(content), "discarded": 7, "lost": 0}
        self.assertEqual(self.source.facts(), counters | {"channels": {"channel0": counters}})

    def test_full_packets(self):
        """A packet that is full is handed on at once; none is longer than it may be."""
        program = self.started()
        for _ in range(12):
            program.send(record("sold" + "x" * 30_000))
            self.read()
        self.assertEqual(len(self.sink.packets), 5)
        self.wait(self.source.stop())
        self.assertEqual([packet.sequence for _, packet, _ in self.sink.packets], list(range(6)))
        for _, packet, content in self.sink.packets:
            self.assertEqual(packet.content_size, 8 * len(content))
            self.assertLessEqual(len(content), PACKET_LIMIT)
        self.assertEqual(len(self.messages()), 12)

    def test_stop(self):
        """Stop reads what is there, hands it on, and reads no more until the next start."""
        program = self.started()
        for number in range(200):
            program.send(record(f"sold {number}"))
        self.wait(self.source.stop())
        self.assertEqual(self.messages(), [b"sold %d" % number for number in range(200)])
        self.assertEqual((self.reactor.getReaders(), self.reactor.getDelayedCalls()), ([], []))
        program.send(record("sold again"))
        self.wait(self.source.start(self.sink))
        self.read()
        self.reactor.advance(FLUSH_PERIOD)
        self.assertEqual(self.messages()[-1], b"sold again")
        self.assertEqual(self.sink.said.count("python/channel0_0"), 1)

    def test_pause(self):
        program = self.started()
        program.send(record())
        self.read()
        self.source.pauseProducing()
        self.reactor.advance(FLUSH_PERIOD)
        self.assertEqual((self.sink.packets, self.reactor.getReaders()), ([], []))
        self.assertEqual(self.source.waiting(), 0)
        program.send(bytes(3))
        self.assertEqual(self.source.waiting(), 3)
        self.source.resumeProducing()
        self.assertEqual(len(self.reactor.getReaders()), 1)
        self.reactor.advance(FLUSH_PERIOD)
        self.assertEqual(self.messages(), [b"sold"])

    def test_flush(self):
        """Nothing waits for its packet to be full; of a program that said nothing that is told."""
        program, idle = self.started(), self.program()
        program.send(record())
        self.assertEqual(self.wait(self.source.flush()), [])
        self.assertEqual([packet.sequence for _, packet, _ in self.sink.packets], [0, 0])
        self.assertEqual(self.messages(), [b"sold"])
        silent = self.wait(self.source.flush())
        self.assertEqual(
            [self.sink.said[each.stream] for each in silent], ["python/channel0_0", "python/channel0_1"]
        )
        self.assertLess(silent[0].until, time.monotonic_ns())
        idle.send(record(timestamp=1))
        self.wait(self.source.flush())
        self.assertGreaterEqual(self.sink.packets[-1][1].timestamp_begin, silent[1].until)

    def test_gone(self):
        program = self.started()
        program.send(record())
        program.close()
        self.read()
        self.read()
        self.assertEqual(self.messages(), [b"sold"])
        self.assertEqual(self.sink.said[-1], "close python/channel0_0")
        self.assertEqual(self.reactor.getReaders(), [])

    def test_gone_amid_a_record(self):
        program = self.started()
        program.send(record()[:-1])
        program.close()
        self.read()
        self.read()
        self.assertEqual(self.source.facts()["discarded"], 1)

    def test_only_lost(self):
        """The news that records were lost makes a packet of its own."""
        program = self.started()
        program.send(records.record(3, time.monotonic_ns(), 43, b""))
        self.wait(self.source.stop())
        ((_, packet, _),) = self.sink.packets
        self.assertEqual((packet.events_discarded, self.source.facts()["events"]), (3, 0))

    def test_times(self):
        """No record is older than the one before, or newer than now."""
        program = self.started()
        now = time.monotonic_ns()
        for timestamp in (now, now - 1000, 2**64 - 1, 1):
            program.send(record(timestamp=timestamp))
        self.wait(self.source.stop())
        ((_, packet, _),) = self.sink.packets
        self.assertEqual(packet.timestamp_begin, now)
        self.assertTrue(now <= packet.timestamp_end <= time.monotonic_ns())

    @settings(max_examples=50, deadline=None)
    @given(garbage=st.binary(min_size=1, max_size=200), whole=st.booleans())
    def test_garbage(self, garbage, whole):
        """A program that sends garbage ends its own stream, at most; what it sent before is kept."""
        self.setUp()
        bad, good = self.started(), self.program()
        bad.send(record("sold by bad") + (records.frame(garbage) if whole else garbage))
        good.send(record("sold by good"))
        self.read()
        bad.close()
        self.read()
        good.send(record("sold by good"))
        self.wait(self.source.stop())
        self.assertEqual(self.messages().count(b"sold by good"), 2)
        self.assertIn(b"sold by bad", self.messages())
        self.assertIn("close python/channel0_0", self.sink.said)
        self.source.close()
        good.close()

    def test_descriptor_that_cannot_be_read(self):
        """The end of a program is told once, whoever finds out."""
        program = self.started()
        (reader,) = self.reactor.getReaders()
        program.close()
        reader.doRead()
        reader.connectionLost(None)
        self.assertEqual(self.sink.said.count("close python/channel0_0"), 1)


class PacketBuilderTests(SynchronousTestCase):
    @given(st.lists(st.integers(0, 2**40), min_size=1, max_size=20))
    def test_times(self, steps):
        """A reader that knows only 32 bits of a time finds the whole time again."""
        builder = PacketBuilder(RecordsSource("", "", "", None)._uuid, 0, 0)
        times = [sum(steps[: n + 1]) for n in range(len(steps))]
        for moment in times:
            builder.add(5, moment, b"")
        packet = builder.take()
        clock, at, found = packet.timestamp_begin, HEADER + CONTEXT.size, []
        while at < len(packet.content):
            number, low = struct.unpack_from("=HI", packet.content, at)
            if number == 0xFFFF:
                number, clock = struct.unpack_from("=IQ", packet.content, at + 2)
                at += 14
            else:
                clock += (low - clock) % 2**32
                at += 6
            self.assertEqual(number, 5)
            found.append(clock)
        self.assertEqual(found, times)
        self.assertEqual((packet.timestamp_begin, packet.timestamp_end), (times[0], times[-1]))
