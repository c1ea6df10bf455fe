"""Data over UDP where networks lose, double and delay: what is written is whole, what is lost counted."""

import re
import socket
import struct
import sys
import time
from pathlib import Path
from unittest import SkipTest, skipIf
from uuid import uuid4

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import implementer

from lttngnet.consumer.process import connect
from lttngnet.consumer.relay import RelaySink
from lttngnet.ctf.builder import PacketBuilder
from lttngnet.ctf.index import read_index
from lttngnet.ctf.tsdl import preamble
from lttngnet.sessiond.link import establish
from lttngnet.uri import parse_pair
from lttngnet.wire.relay import CreateSession
from tests.interop import test_archives, test_our_live, test_snapshots
from tests.interop.genuine import Namespace, missing
from tests.interop.lossy import LossyNetwork
from tests.interop.ours import Stage, program, text_of
from tests.waiting import DEADLINE, PATIENCE, until

UNAVAILABLE = missing()
STREAMS = 3
PATIENCE_OF_RELAY = 0.5  # seconds
TSDL = """\
stream {
	id = 0;
	event.header := struct event_header_large;
	packet.context := struct packet_context;
};

event {
	name = "number";
	id = 0;
	stream_id = 0;
	fields := struct {
		integer { size = 32; align = 8; signed = 0; encoding = none; base = 10; } _n;
	};
};

"""
COUNTED = re.compile(r"over UDP: (\d+) packets, (\d+) lost; datagrams: (\d+) came twice or too late")
DISCARDED = re.compile(r"[Dd]iscarded (\d+) packets?\b")


@implementer(IPushProducer)
class Packets:
    """Sends packets of numbered events, as long as they are taken, and knows which are in which."""

    def __init__(self, sink, sizes):
        self.events = {}  # by stream and packet: their numbers
        self.done = Deferred()
        self._sink = sink
        self._sizes = iter(sizes)
        self._uuid = uuid4()
        self._number = 0
        self._is_paused = self._is_due = False

    async def begin(self):
        await self._sink.begin()
        self._streams = [await self._sink.add_stream("ust", f"channel_{cpu}") for cpu in range(STREAMS)]
        metadata = await self._sink.add_stream("ust", "metadata")
        await self._sink.publish()
        self._sink.write_metadata(metadata, (preamble(self._uuid, {}, 0) + TSDL).encode())
        self._builders = [PacketBuilder(self._uuid, 0, cpu) for cpu in range(STREAMS)]
        self.resumeProducing()

    def pauseProducing(self):
        self._is_paused = True

    def resumeProducing(self):
        self._is_paused = False
        if not self._is_due:
            self._is_due = True
            reactor.callLater(0, self._go_on)

    def stopProducing(self):
        self._is_paused = True

    def _go_on(self):
        self._is_due = False
        if self._is_paused or self.done.called:
            return
        size = next(self._sizes, None)
        if size is None:
            self.done.callback(None)
            return
        cpu = self._number % STREAMS
        builder = self._builders[cpu]
        numbers = range(self._number, self._number + size)
        self._number += size
        for number in numbers:
            builder.add(0, 1000 * (number + 1), struct.pack("=I", number))
        packet = builder.take()
        self.events[cpu, packet.sequence] = numbers
        self._sink.write(self._streams[cpu], packet)
        self.resumeProducing()


class PathCase(TestCase):
    timeout = PATIENCE
    host = "://127.0.0.1"

    def setUp(self):
        self.stage = Stage(self.mktemp())
        self.addCleanup(self.stage.close)
        self.start_relayd()

    def start_relayd(self):
        self.stage.relayd("--data-udp-port", "udp://127.0.0.1:0")

    def network(self, **how):
        network = LossyNetwork(("127.0.0.1", self.stage.ports["datagrams"]), **how)
        self.addCleanup(network.close)
        return network

    async def send(self, sizes, port, query=""):
        """Send packets of so many events each; return which are in which."""
        tcp, udp = (scheme + self.host for scheme in ("tcp", "udp"))
        control = f"{tcp}:{self.stage.ports['control']}"
        output = parse_pair(control, f"{udp}:{port}{query}", "/")
        wanted = CreateSession("walk", "vm", sessiond=uuid4(), created=int(time.time()))
        self.link = await establish(reactor, output, wanted, 20.0)
        lost = []
        sink = RelaySink(reactor, self.link.session, time.time, lost.append)
        packets = Packets(sink, sizes)
        connect(reactor, sink, self.link.control, self.link.data, packets)
        await packets.begin()
        await packets.done
        await sink.quiesce()
        await sink.finish()
        self.assertEqual(lost, [])
        return packets.events

    async def check(self, events):
        """Compare what was sent with what is there; return how many packets are lost."""
        counted = await until(lambda: COUNTED.search(self.stage.log("relayd")), "the relay daemon counts")
        written, lost, self.late = map(int, counted.groups())
        folder = self.stage.output / self.link.session.path
        present, between = set(), 0
        for cpu in range(STREAMS):
            index = folder / "ust" / "index" / f"channel_{cpu}.idx"
            numbers = (
                [entry.packet_sequence for entry in read_index(index.read_bytes())] if index.exists() else []
            )
            self.assertEqual(numbers, sorted(set(numbers)))
            present |= {(cpu, number) for number in numbers}
            if numbers:
                between += numbers[-1] - numbers[0] + 1 - len(numbers)
        self.assertLessEqual(present, set(events))
        self.assertEqual((written, lost), (len(present), len(events) - len(present)))
        lines, said = text_of(folder)
        read = sorted(int(line.rpartition(" = ")[2].split()[0]) for line in lines)
        self.assertEqual(read, sorted(number for name in present for number in events[name]))
        in_lost = sum(len(numbers) for name, numbers in events.items() if name not in present)
        self.assertEqual(len(read) + in_lost, sum(map(len, events.values())))
        self.assertEqual(sum(map(int, DISCARDED.findall(said))), between, said[-2000:])
        return lost


def sizes(count):
    """Return how many events each packet has: such that they take from one datagram to some twenty."""
    return [30 + 400 * (number % 5) + 1500 * (number % 23 == 0) for number in range(count)]


class LossTests(PathCase):
    """Without repeating: every packet whole or absent."""

    async def lose(self, loss, **more):
        self.bad = network = self.network(loss=loss, **({"jitter": 0.05, "doubled": 0.1} | more))
        events = await self.send(sizes(150), network.port)
        lost = await self.check(events)
        self.assertGreater(self.late, 0)
        if loss:
            self.assertGreater(network.lost, 0)
        return lost

    async def test_none(self):
        """Unless the machine is so busy that the network cannot keep up."""
        lost = await self.lose(0.0)
        if not self.bad.overrun and self.bad.slowest < PATIENCE_OF_RELAY / 2:
            self.assertEqual(lost, 0)

    async def test_a_hundredth(self):
        await self.lose(0.01)

    async def test_a_twentieth(self):
        self.assertGreater(await self.lose(0.05), 0)

    async def test_a_fifth(self):
        self.assertGreater(await self.lose(0.2), 0)

    async def test_no_network_between(self):
        """As fast as it goes, in the largest datagrams and in those that Ethernet carries."""
        port = self.stage.ports["datagrams"]
        events = await self.send([6000] * 200, port)
        self.assertGreater(self.link.session.datagrams["largest"], 1 << 14)
        self.assertEqual(await self.check(events), 0)


class Ipv6Tests(PathCase):
    host = "6://[::1]"

    def start_relayd(self):
        with socket.socket(socket.AF_INET6) as probe:
            try:
                probe.bind(("::1", 0))
            except OSError as problem:
                raise SkipTest(f"no IPv6 here: {problem}") from None
        self.stage.relayd("-C", "tcp6://[::1]:0", "--data-udp-port", "udp6://[::1]:0")

    async def test_all_arrives(self):
        events = await self.send(sizes(30), self.stage.ports["datagrams"], "?reliable=1")
        self.assertEqual(await self.check(events), 0)

    async def test_a_name(self):
        """Who is called so is asked in another thread, and has an address of that family."""
        self.host = "6://ip6-localhost"
        try:
            socket.getaddrinfo("ip6-localhost", 1, socket.AF_INET6)
        except OSError:
            raise SkipTest("no name has that address here") from None
        events = await self.send(sizes(30), self.stage.ports["datagrams"])
        self.assertEqual(await self.check(events), 0)


class RepeatTests(PathCase):
    """With ?reliable=1 nothing is lost."""

    async def repeat(self, loss, **more):
        network = self.network(loss=loss, **({"jitter": 0.05, "doubled": 0.1} | more))
        events = await self.send(sizes(150), network.port, "?reliable=1")
        self.assertEqual(await self.check(events), 0)

    async def test_none(self):
        await self.repeat(0.0, jitter=0.0, doubled=0.0)

    async def test_a_hundredth(self):
        await self.repeat(0.01)

    async def test_a_twentieth(self):
        await self.repeat(0.05)

    async def test_a_fifth(self):
        await self.repeat(0.2)


class CommandTests(SynchronousTestCase):
    """The same by the commands that a user gives."""

    def setUp(self):
        self.stage = Stage(self.mktemp())
        self.addCleanup(self.stage.close)

    def start(self, port, query=""):
        control = f"tcp://127.0.0.1:{self.stage.ports['control']}"
        self.stage.lttngnet(f"create walk -C {control} -D udp://127.0.0.1:{port}{query}")
        self.stage.lttngnet("enable-event -p -a")
        self.stage.lttngnet("start")

    def record(self, count):
        program = self.stage.traced_program()
        program.log(count)
        self.stage.lttngnet("stop")
        program.log(1)
        program.end()
        self.stage.lttngnet("destroy")
        (folder,) = self.stage.output.glob("*/walk-*")
        lines, _ = text_of(folder)
        return [int(number) for line in lines for number in re.findall(r'"message (\d+)"', line)]

    def test_all_that_is_recorded(self):
        self.stage.relayd("--data-udp-port", "udp://127.0.0.1:0")
        self.stage.sessiond()
        self.start(self.stage.ports["datagrams"])
        self.assertIn("[data: udp://127.0.0.1:", self.stage.lttngnet("list walk").output)
        self.assertEqual(self.record(5000), list(range(5000)))

    def test_all_that_is_recorded_over_a_bad_network(self):
        self.stage.relayd("--data-udp-port", "udp://127.0.0.1:0")
        self.stage.sessiond()
        network = LossyNetwork(
            ("127.0.0.1", self.stage.ports["datagrams"]), loss=0.05, doubled=0.1, jitter=0.02
        )
        self.addCleanup(network.close)
        self.start(network.port, "?reliable=1")
        self.assertEqual(self.record(5000), list(range(5000)))
        self.assertGreater(network.lost, 0)

    def test_a_relay_daemon_that_takes_none(self):
        self.stage.relayd("--data-udp-port", "none")
        self.stage.sessiond()
        self.stage.lttngnet("create walk --no-consumer")
        uris = f"-C tcp://127.0.0.1:{self.stage.ports['control']} -D udp://127.0.0.1:9"
        outcome = self.stage.run(*f"enable-consumer {uris} -e".split())
        self.assertNotEqual(outcome.status, 0)
        (line,) = outcome.error.splitlines()
        self.assertIn("the relay daemon takes no data over UDP", line)
        self.assertEqual(self.stage.received(), {})


PROGRAM = """
import logging
import lttngnet.logs
lttngnet.logs.install()
for number in range(3000):
    logging.warning("message %d", number)
"""


@skipIf(UNAVAILABLE, UNAVAILABLE)
class NamespaceTests(SynchronousTestCase):
    """In a network of their own."""

    def setUp(self):
        folder = Path(self.mktemp())
        folder.mkdir()
        self.space = Namespace(folder)
        self.space.environment |= {"LTTNG_NETWORK_SOCKET_TIMEOUT": f"{DEADLINE * 1000:.0f}"}
        self.addCleanup(self.space.close)
        self.traces = self.space.folder / "traces"

    def lttngnet(self, line):
        return self.space.run(program("lttngnet"), *line.split())

    def test_a_genuine_relay_daemon(self):
        self.space.start_genuine_relayd(self.traces)
        self.space.start_our_sessiond("--no-ust")
        self.lttngnet("create walk --no-consumer")
        words = ["enable-consumer", "-C", "tcp://127.0.0.1", "-D", "udp://127.0.0.1", "-e"]
        ((status, said),) = self.space.run_together([program("lttngnet"), *words])
        self.assertNotEqual(status, 0)
        self.assertIn("knows no data over UDP, which only lttngnet's does: use tcp:// for data", said)
        self.assertEqual([path for path in self.traces.rglob("*") if path.is_file()], [])

    def record(self, loss, query):
        """Record over a network that does all this to TCP as well; return the numbers that were read."""
        rule = f"loss {loss}% delay 50ms 50ms duplicate 5%"
        ((status, said),) = self.space.run_together(
            ["tc", "qdisc", "add", "dev", "lo", "root", "netem", *rule.split()]
        )
        if status:
            raise SkipTest(f"no netem here: {said.strip()}")
        self.space.start_our_relayd(self.traces)
        self.space.start_our_sessiond("--no-ust")
        self.lttngnet(f"create walk -C tcp://127.0.0.1 -D udp://127.0.0.1{query}")
        self.lttngnet("enable-event -p -a")
        self.lttngnet("start")
        self.space.run(sys.executable, "-c", PROGRAM)
        self.lttngnet("stop")
        self.lttngnet("destroy")
        (trace,) = self.traces.glob("*/walk-*")
        lines, _ = text_of(trace)
        return [int(number) for line in lines for number in re.findall(r'"message (\d+)"', line)]

    def test_netem(self):
        self.assertEqual(self.record(5, "?reliable=1"), list(range(3000)))

    def test_netem_without_repeating(self):
        numbers = self.record(5, "")
        self.assertEqual(numbers, sorted(set(numbers)))
        self.assertLessEqual(set(numbers), set(range(3000)))


class UdpMixin:
    """A session of ours that writes to our relay daemon, data over UDP."""

    query = ""

    def start_relayd(self, *options):
        where = ("--data-udp-port", "udp://127.0.0.1:5343")
        self.relayd = self.space.start_our_relayd(self.traces, options=(*where, *options))

    def output(self, name):
        return parse_pair(f"tcp://127.0.0.1/{name}", f"udp://127.0.0.1{self.query}", "/")


@skipIf(UNAVAILABLE, UNAVAILABLE)
class ArchiveTests(
    UdpMixin, test_archives.WhereverMixin, test_archives.AtRelayMixin, test_archives.RelayCase
):
    """Rotation and clear are as they are over TCP."""

    def start_relayd(self):
        super().start_relayd(*self.relay_options)


@skipIf(UNAVAILABLE, UNAVAILABLE)
class RepeatedSnapshotTests(UdpMixin, test_snapshots.WhereverMixin, test_snapshots.RelayCase):
    """Snapshots are as they are over TCP; what is lost would be repeated."""

    query = "?reliable=1"


@skipIf(UNAVAILABLE, UNAVAILABLE)
class LiveTests(UdpMixin, test_our_live.ApplicationsMixin, test_our_live.LiveCase):
    """Live viewers see what they see over TCP, as soon."""

    async def live_session(self):
        return await (await self.client()).create("s1", self.output(""), live=int(test_our_live.PERIOD * 1e6))
