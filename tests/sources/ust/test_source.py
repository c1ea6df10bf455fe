"""The source of applications' packets: what it hands on, when, and what it does about a busy sink."""

import mmap
import os
import resource
import select
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from lttngnet.ctf.packet import UNLIMITED, Limit
from lttngnet.errors import Code, CommandError
from lttngnet.interfaces import IPacketSource
from lttngnet.sources.ust.buffers import HEADER
from lttngnet.sources.ust.library import LibraryError
from lttngnet.sources.ust.source import UstSource
from lttngnet.wire.amp import close_all
from tests.descriptors import open_files
from tests.sources.test_records import MemorySink
from tests.sources.ust import TRACE, library

PAGE = mmap.PAGESIZE


def wanted(path, number=1):
    """Return the facts of a question for a trace with one channel, which is described already."""
    return {
        "trace": number,
        "path": path,
        "uuid": TRACE.hex,
        "metadata": "",
        "described": [0],
        "channels": [channel()],
    }


def channel(name="channel0", stream_class=0, **options):
    return {"name": name, "stream_class": stream_class, "subbuf_size": PAGE, "num_subbuf": 4, **options}


class BusySink(MemorySink):
    """Pauses who writes to it whenever it has got a packet more than it is meant to take."""

    takes = 1000

    def write(self, stream, packet):
        super().write(stream, packet)
        self.takes -= 1
        if not self.takes:
            self.source.pauseProducing()


class UstSourceTests(SynchronousTestCase):
    def setUp(self):
        self.cpus = library().cpus
        self.reactor = MemoryReactorClock()
        self.sink = BusySink()
        self.source = self.sink.source = UstSource(library(), self.reactor)
        self.addCleanup(self.source.close)

    def begin(self, coroutine):
        return Deferred.fromCoroutine(coroutine)

    def wait(self, coroutine):
        """Run a coroutine to its end, with as many turns of the reactor as it takes."""
        waiting = self.begin(coroutine)
        for _ in range(100):
            self.reactor.advance(0)
        return self.successResultOf(waiting)

    def refused(self, coroutine):
        return self.failureResultOf(self.begin(coroutine), CommandError).value

    def make(self, number=0, *channels, path="ust/uid/0/64-bit"):
        facts = wanted(path, number) | {
            "metadata": f"head {number};",
            "described": [0, 1, 2, 3],
            "channels": list(channels or [channel()]),
        }
        answer, given = self.wait(self.source.ask("make-trace", facts, []))
        self.addCleanup(close_all, given)
        return answer, given

    def start(self):
        self.wait(self.source.start(self.sink))

    def streams(self, number=0):
        return list(self.source._traces[number].streams())

    def read(self):
        """Let the reactor attend once to every stream that has something to say."""
        for reader in list(self.reactor.getReaders()):
            if reader in self.reactor.getReaders() and select.select([reader], [], [], 0)[0]:
                reader.doRead()

    def fill(self, stream, packets=1):
        """Do as an application that has filled sub-buffers."""
        for _ in range(packets):
            stream.flush()
        stream.remind()

    def numbers(self, name="ust/uid/0/64-bit/channel0_0"):
        return [packet.sequence for to, packet, _ in self.sink.packets if to == name]

    def names(self, path="ust/uid/0/64-bit", *channels):
        names = [f"{path}/{name}_{cpu}" for name in channels or ["channel0"] for cpu in range(self.cpus)]
        return [*names, f"{path}/metadata", "publish"]

    def test_interface(self):
        verifyObject(IPacketSource, self.source)

    def test_snapshots(self):
        self.make()
        self.wait(self.source.start(None))
        self.wait(self.source.ask("describe", {"trace": 0, "text": "event;", "described": []}, []))
        for stream in self.streams():
            self.fill(stream, 2)
        self.read()
        self.assertEqual(self.sink.packets, [])
        self.wait(self.source.snapshot(self.sink))
        self.assertEqual(self.numbers(), [0, 1, 2])
        self.assertEqual(self.sink.metadata, b"head 0;event;")
        self.wait(self.source.stop())
        again = BusySink()
        self.wait(self.source.snapshot(again))
        self.assertEqual(len(again.packets), 4 * self.cpus)
        self.source.clear()
        self.wait(self.source.snapshot(empty := BusySink()))
        self.assertEqual(len(empty.packets), self.cpus)

    def test_a_snapshot_of_limited_size(self):
        """As many packets of every stream as fit in, the newest; none of them empty."""
        self.make(0, channel(num_subbuf=4), channel("large", 1, subbuf_size=2 * PAGE, num_subbuf=2))
        self.wait(self.source.start(None))
        self.wait(self.source.ask("describe", {"trace": 0, "text": "", "described": [0, 1]}, []))
        for stream in self.streams():
            self.fill(stream, 2)
        one = self.cpus * 3 * PAGE  # of each stream

        def recorded(size):
            self.wait(self.source.snapshot(sink := BusySink(), size))
            packets = [packet for _, packet, _ in sink.packets]
            self.assertLessEqual(sum(packet.packet_size // 8 for packet in packets), size)
            return sorted(packet.sequence for packet in packets)

        failure = self.failureResultOf(
            Deferred.fromCoroutine(self.source.snapshot(BusySink(), one - 1)), CommandError
        )
        self.assertEqual(failure.value.code, Code.MAX_SIZE_INVALID)
        self.assertIn(f"that takes {one}", str(failure.value))
        self.assertEqual(recorded(one), 2 * self.cpus * [1])
        self.assertEqual(recorded(2 * one - 1), 2 * self.cpus * [1])
        self.assertEqual(recorded(2 * one), sorted(2 * self.cpus * [0, 1]))
        self.assertEqual(recorded(10 * one), sorted(2 * self.cpus * [0, 1]))

    def test_limits_of_files(self):
        self.make(0, channel(tracefile_size=PAGE, tracefile_count=3))
        self.start()
        self.assertEqual(self.sink.limits, [*self.cpus * [Limit(PAGE, 3)], UNLIMITED])

    def test_what_applications_get(self):
        answer, given = self.make(0, channel(), channel("other", 1, subbuf_size=4 * PAGE))
        self.assertEqual([each["kind"] for each in answer["channels"]], [0, 0])
        at = 0
        for each in answer["channels"]:
            self.assertEqual([stream["cpu"] for stream in each["streams"]], list(range(self.cpus)))
            sizes = [os.fstat(memory).st_size for memory in given[at + 2 : at + 2 + 2 * self.cpus : 2]]
            self.assertEqual([stream["size"] for stream in each["streams"]], sizes)
            at += 2 + 2 * self.cpus
        self.assertEqual(at, len(given))

    def test_announced(self):
        """Traces that were made before tracing starts are announced then; others at once."""
        self.make(0, channel(), channel("other", 1))
        self.wait(self.source.ask("describe", {"trace": 0, "text": "event 0;", "described": []}, []))
        self.assertEqual(self.sink.said, [])
        self.start()
        self.assertEqual(self.sink.said, self.names("ust/uid/0/64-bit", "channel0", "other"))
        self.assertEqual(self.sink.metadata, b"head 0;event 0;")
        del self.sink.said[:]
        self.make(1, path="ust/pid/a-1")
        self.assertEqual(self.sink.said, self.names("ust/pid/a-1"))
        self.wait(self.source.ask("describe", {"trace": 0, "text": "event 1;", "described": []}, []))
        self.assertEqual(self.sink.metadata, b"head 0;event 0;head 1;event 1;")

    def test_handed_on(self):
        self.make()
        self.start()
        self.fill(self.streams()[0], 3)
        self.read()
        self.assertEqual(self.numbers(), [0, 1, 2])
        (_, packet, content) = self.sink.packets[0]
        self.assertEqual(HEADER.unpack(content)[1], TRACE.bytes)
        self.assertEqual(packet.packet_size, 8 * PAGE)
        self.fill(self.streams()[0], 3)  # the sub-buffers were given back
        self.read()
        self.assertEqual(self.numbers(), [0, 1, 2, 3, 4, 5])
        counters = {"events": 0, "packets": 6, "bytes": 6 * PAGE, "discarded": 0, "lost": 0}
        self.assertEqual(self.source.facts(), counters | {"channels": {"channel0": counters}})

    def test_one_at_a_time(self):
        """Of large sub-buffers a few are handed on, then others have their turn; nothing needs a wake-up."""
        self.make(0, channel(subbuf_size=4 << 20, num_subbuf=8))
        self.start()
        for stream in self.streams():
            self.fill(stream, 8)
        for turn in range(1, 5):
            self.read()
            self.assertEqual(self.numbers(), list(range(2 * turn)))
        self.assertEqual(len(self.sink.packets), 8 * self.cpus)
        self.read()
        self.read()
        self.assertFalse(select.select(list(self.reactor.getReaders()), [], [], 0)[0])

    def test_paused(self):
        """A busy sink is given nothing more, at once; when it takes again all goes on by itself."""
        self.make()
        self.start()
        self.sink.takes = 2
        self.fill(self.streams()[0], 4)
        self.read()
        self.assertEqual(self.numbers(), [0, 1])
        self.assertEqual(list(self.reactor.getReaders()), [])
        before = self.source.waiting()
        self.source.resumeProducing()
        self.read()
        self.assertEqual(self.numbers(), [0, 1, 2, 3])
        self.assertGreater(before, self.source.waiting())

    def test_stop(self):
        """All is handed on, also what no wake-up told of; afterwards nothing is, until the next start."""
        self.make()
        self.start()
        self.wait(self.source.stop())
        self.assertEqual(len(self.sink.packets), self.cpus)
        self.fill(self.streams()[0])
        self.assertEqual(list(self.reactor.getReaders()), [])
        self.start()
        self.read()
        self.assertEqual(self.numbers(), [0, 1])

    def test_no_packet_before_its_stream_is_described(self):
        """Readers could not look it up; there is no event in it either."""
        self.make(0, channel("known"), channel("later", stream_class=7))  # 0 is described
        self.start()
        self.wait(self.source.flush())
        self.assertEqual({packet.stream_class for _, packet, _ in self.sink.packets}, {0})
        self.wait(self.source.ask("describe", {"trace": 0, "text": "stream;", "described": [0, 7]}, []))
        self.wait(self.source.flush())
        self.assertEqual({packet.stream_class for _, packet, _ in self.sink.packets}, {0, 7})

    def test_stop_waits_for_the_sink(self):
        self.make()
        self.start()
        for _ in range(3):
            self.streams()[0].flush()
        self.sink.takes = 1
        stopping = self.begin(self.source.stop())
        self.reactor.pump([0] * 20)
        self.assertNoResult(stopping)
        self.assertEqual(self.numbers(), [0])
        self.source.resumeProducing()
        self.reactor.pump([0] * 20)
        self.successResultOf(stopping)
        self.assertEqual(self.numbers(), [0, 1, 2, 3])

    def test_stop_though_somebody_writes_on(self):
        """Who does not stop gets no more than what the buffer holds out of us."""
        self.make()
        self.start()
        stream = self.streams()[0]
        write = self.sink.write

        def write_and_flush(number, packet):
            write(number, packet)
            stream.flush()

        self.sink.write = write_and_flush
        self.wait(self.source.stop())
        self.assertEqual(self.numbers(), [0, 1, 2, 3])

    def test_closed_while_it_waits(self):
        """The sink is lost while the rest is being handed on."""
        self.make()
        self.start()
        self.sink.takes = 1
        stopping = self.begin(self.source.stop())
        self.source.close()
        self.reactor.pump([0] * 20)
        self.successResultOf(stopping)
        self.source.close()
        self.assertEqual(self.source.facts()["packets"], 1)

    def test_closed_by_the_sink(self):
        """The disk is full: that ends everything while a packet is being written."""
        self.make()
        self.start()
        for stream in self.streams():
            self.fill(stream, 3)
        self.sink.write = lambda number, packet: self.source.close()
        self.read()
        self.assertEqual(self.source.facts()["packets"], 1)

    def test_closed_by_the_sink_in_a_full_turn(self):
        """Nothing is written to a pipe that is closed: the number may be somebody else's file by now."""
        self.make(0, channel(subbuf_size=4 << 20, num_subbuf=2))
        self.start()
        self.fill(self.streams()[0])
        self.sink.write = lambda number, packet: self.source.close()
        self.read()
        self.assertEqual(self.source.facts()["packets"], 1)

    def test_closed_by_the_sink_in_a_tick(self):
        self.make(0, channel(switch_timer=500_000))
        self.start()
        self.sink.write = lambda number, packet: self.source.close()
        self.reactor.advance(0.5)
        self.assertEqual(self.source.facts()["packets"], 1)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_close_trace(self):
        """What is left of one trace is handed on, and its streams closed; others go on."""
        self.make(0)
        self.make(1, path="ust/pid/a-1")
        self.start()
        before = open_files()
        del self.sink.said[:0]
        self.wait(self.source.ask("close-trace", {"trace": 1}, []))
        self.assertLess(open_files(), before)
        self.assertEqual(self.numbers("ust/pid/a-1/channel0_0"), [0])
        closed = [said for said in self.sink.said if said.startswith("close ")]
        self.assertEqual(
            sorted(closed), sorted(f"close {name}" for name in self.names("ust/pid/a-1") if name != "publish")
        )
        self.assertEqual(len(self.reactor.getReaders()), self.cpus)
        self.assertEqual(self.refused(self.source.ask("close-trace", {"trace": 1}, [])).code, Code.INVALID)

    def test_close_trace_while_the_sink_is_busy(self):
        """A process that ends keeps nobody from beginning, or from stopping."""
        self.make(0)
        self.make(1, path="ust/pid/a-1")
        self.start()
        self.fill(self.streams(1)[0])
        self.source.pauseProducing()
        closing = self.begin(self.source.ask("close-trace", {"trace": 1}, []))
        self.make(2, path="ust/pid/b-2")
        self.assertIn("ust/pid/b-2/metadata", self.sink.said)
        stopping = self.begin(self.source.stop())
        self.source.resumeProducing()
        self.reactor.pump([0] * 100)
        self.successResultOf(closing)
        self.successResultOf(stopping)
        self.assertEqual(self.numbers("ust/pid/a-1/channel0_0"), [0, 1, 2])
        self.assertEqual(self.numbers("ust/pid/b-2/channel0_0"), [0])
        self.assertIn("close ust/pid/a-1/channel0_0", self.sink.said)

    def test_close_trace_after_the_sink_was_busy_at_the_end(self):
        """Who has stopped does not hear that the sink takes packets again."""
        self.make()
        self.start()
        stream = self.streams()[-1]
        self.sink.write = lambda number, packet: packet.sequence < 3 or self.source.pauseProducing()
        self.fill(stream, 3)
        self.wait(self.source.stop())
        self.assertEqual(stream.positions()[0], 4 * PAGE)
        self.wait(self.source.ask("close-trace", {"trace": 0}, []))

    def test_close_trace_that_nobody_heard_of(self):
        self.make()
        self.wait(self.source.ask("close-trace", {"trace": 0}, []))
        self.start()
        self.assertEqual(self.sink.said, [])

    def test_counters_outlive_a_trace(self):
        self.make(0, channel(overwrite=True))
        self.start()
        self.fill(self.streams()[0], 9)
        self.read()
        lost = self.source.facts()["lost"]
        self.assertEqual(lost, self.numbers()[0])
        self.assertGreater(lost, 0)
        self.wait(self.source.ask("close-trace", {"trace": 0}, []))
        self.assertEqual(self.source.facts()["lost"], lost)

    def test_counters_of_channels(self):
        """Each is counted by itself, in all traces together."""
        self.make(0, channel(overwrite=True), channel("other", 1))
        self.make(1, channel(overwrite=True), channel("other", 1), path="ust/pid/a-1")
        self.start()
        for number in (0, 1):
            self.fill(self.streams(number)[0], 9)
            self.fill(self.streams(number)[self.cpus], 2)
        self.read()
        facts = self.source.facts()
        channels = facts["channels"]
        self.assertEqual(list(channels), ["channel0", "other"])
        self.assertEqual(channels["other"]["packets"], 4)
        self.assertEqual(channels["other"]["lost"], 0)
        self.assertEqual(channels["channel0"]["lost"], facts["lost"])
        self.assertEqual(channels["channel0"]["packets"], facts["packets"] - 4)

    def test_switch_timer(self):
        """What has not filled a sub-buffer is handed on in time; empty sub-buffers are not."""
        self.make(0, channel(switch_timer=500_000))
        self.start()
        self.reactor.advance(0.4)
        self.assertEqual(self.sink.packets, [])
        self.reactor.advance(0.1)
        self.assertEqual(self.numbers(), [0])  # the first has never been flushed
        self.reactor.advance(0.5)
        self.assertEqual(self.numbers(), [0])
        self.wait(self.source.stop())
        self.assertEqual(self.numbers(), [0, 1])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_read_timer(self):
        """Nobody waits to be woken."""
        self.make(0, channel(read_timer=200_000))
        self.start()
        self.assertEqual(list(self.reactor.getReaders()), [])
        self.streams()[0].flush()
        self.reactor.advance(0.2)
        self.assertEqual(self.numbers(), [0])

    def test_timers_while_paused(self):
        self.make(0, channel(switch_timer=1))
        self.start()
        self.source.pauseProducing()
        self.reactor.advance(0.1)
        self.assertEqual(self.sink.packets, [])
        self.source.resumeProducing()
        self.reactor.advance(0.1)
        self.assertEqual(self.numbers(), [0])

    def test_one_stream_fails(self):
        """It is left alone; the others go on."""
        self.make()
        self.start()
        write = self.sink.write

        def fail(number, packet):
            if packet.stream_instance == 0:
                raise RuntimeError("made up")
            write(number, packet)

        self.sink.write = fail
        for stream in self.streams():
            self.fill(stream, 2)
        self.read()
        self.read()
        self.assertEqual(len(self.sink.packets), 2 * (self.cpus - 1))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.wait(self.source.stop())
        self.assertEqual(self.numbers(), [])

    def test_made_while_it_is_about_to_start(self):
        """Whoever comes first announces a trace; nobody does it again."""
        self.make(0)
        self.start()
        self.source.pauseProducing()
        stopping = self.begin(self.source.stop())
        starting = self.begin(self.source.start(self.sink))
        facts = wanted("p")
        making = self.begin(self.source.ask("make-trace", facts, []))
        self.source.resumeProducing()
        self.reactor.pump([0] * 20)
        self.successResultOf(stopping)
        self.successResultOf(starting)
        close_all(self.successResultOf(making)[1])
        self.assertEqual(self.sink.said.count("p/metadata"), 1)

    def test_a_stream_that_cannot_be_flushed(self):
        """That is said once, not at every tick."""
        self.make(0, channel(switch_timer=500_000))
        self.start()

        def fail(only_if_used):
            raise LibraryError(22, "made up")

        self.streams()[0].flush = fail
        self.reactor.pump([0.5] * 3)
        self.assertEqual(len(self.flushLoggedErrors(LibraryError)), 1)
        self.assertEqual(len(self.sink.packets), self.cpus - 1)

    def test_closed_while_a_trace_is_announced(self):
        """The sink is lost just then: the asker hears why, and gets no files."""
        self.start()
        before = open_files()

        async def fail(path, name, limit):
            self.source.close()
            raise OSError("made up")

        self.sink.add_stream = fail
        facts = wanted("p")
        failure = self.failureResultOf(self.begin(self.source.ask("make-trace", facts, [])))
        self.assertEqual(str(failure.value), "made up")
        self.assertEqual(open_files(), before)

    def test_announcing_fails(self):
        """The asker is told, and nothing stays open."""
        self.make()
        self.start()
        before = open_files()

        async def fail(path, name, limit):
            raise OSError("made up")

        self.sink.add_stream = fail
        facts = wanted("x")
        self.failureResultOf(self.begin(self.source.ask("make-trace", facts, [])), OSError)
        self.assertEqual(open_files(), before)

    def test_no_room(self):
        """Too few descriptors: one clear sentence, and what is there goes on."""
        self.make()
        self.start()
        before = open_files()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        facts = wanted("ust/pid/a-1")
        taken = {int(each.name) for each in Path("/proc/self/fd").iterdir()}
        free = [number for number in range(soft) if number not in taken]
        for room in (0, 5):
            resource.setrlimit(resource.RLIMIT_NOFILE, (free[room], hard))
            error = self.refused(self.source.ask("make-trace", facts, []))
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            self.assertEqual(error.code, Code.UST_CHAN_FAIL)
            self.assertIn("ust/pid/a-1", error.sentence)
            self.assertIn("Too many open files", error.sentence)
            self.assertEqual(open_files(), before)
        self.fill(self.streams()[0])
        self.read()
        self.assertEqual(self.numbers(), [0])

    def test_refused(self):
        self.make()
        facts = {"trace": 0, "path": "x", "uuid": TRACE.hex, "metadata": "", "described": [0], "channels": []}
        self.assertEqual(self.refused(self.source.ask("make-trace", facts, [])).code, Code.INVALID)
        for what in ("describe", "close-trace"):
            error = self.refused(self.source.ask(what, {"trace": 7, "text": ""}, []))
            self.assertEqual(error.code, Code.INVALID)
        given = os.dup(0)
        self.assertEqual(self.refused(self.source.ask("what", {}, [given])).code, Code.NOT_SUPPORTED)
        with self.assertRaises(OSError):
            os.fstat(given)
