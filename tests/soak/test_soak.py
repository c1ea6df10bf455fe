"""The real daemon, over real sockets, with peers in numbers: afterwards everything is as it was.

How long it takes is scaled by the environment variable LTTNGNET_SOAK (1: some 25 seconds); ``make soak`` is
longer.
"""

import contextlib
import os
import random
import select
import shutil
import signal
import socket
import struct
import tempfile
import time
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from lttngnet.ctf.index import read_index
from lttngnet.wire import relay as wire
from lttngnet.wire.relay import Command, command
from tests.relayd.talking import PATH, index, packet
from tests.relayd.test_hostile import CAPTURED, EVERYTHING, mutate
from tests.soak.running import HELLO, Bystander, Daemon, Producer, Wait, scaled, slowness
from tests.waiting import DEADLINE, wait_until

TRIES_AGAIN = struct.Struct("=100xI")  # tcpi_total_retrans of struct tcp_info
MEMORY_GROWTH = 10 << 20  # bytes
LONGEST_WAIT = 0.1  # seconds that the daemon works until it answers a peer that asks for little
TOLERANCE = 0.15  # seconds in which neither works, on a busy machine: it waits for a disk, or is another's
SPARE = 4  # descriptors that the daemon may begin to need
HOW = ("flip", "truncate", "repeat", "drop", "splice", "insert")


class SoakTestCase(SynchronousTestCase):
    def start(self, **options):
        daemon = Daemon(self.mktemp(), **options)
        self.addCleanup(daemon.stop)
        return daemon

    def entries(self, daemon, producer, stream=0):
        file = daemon.output / producer.path / PATH / f"index/chan_{stream}.idx"
        return len(list(read_index(file.read_bytes()))) if file.exists() else 0

    def has_entries(self, daemon, producer, count, streams=1):
        """Wait for the index entries: data may still be on its way when control says the last word."""
        for stream in range(streams):
            wait_until(lambda: self.entries(daemon, producer, stream) == count, f"entries of {stream}")  # noqa: B023

    def says_no_defect(self, daemon):
        said = daemon.said()
        for sign in ("Traceback", "Defect"):
            self.assertNotIn(sign, said, f"the log says: {said[max(0, said.find(sign) - 300) :][:2000]}")
        self.assertIsNone(daemon.process.poll(), said[-2000:])

    def waited_at_most(self, longest, waits):
        """See that no answer took longer than so many seconds.

        What counts is how long the daemon works until it answers: that is the same on every machine, however
        many others want the processor. Of the time on the clock, what both sides waited for one is left out.
        """
        longest_of_all = Wait.longest(waits)
        longest *= slowness()
        self.assertLess(longest_of_all.worked, longest, longest_of_all)
        self.assertLess(longest_of_all.own, longest + TOLERANCE, longest_of_all)

    def settled(self, daemon, descriptors):
        """Wait until the daemon rests; return how much memory it has then."""
        wait_until(lambda: daemon.descriptors() <= descriptors + SPARE, "the descriptors to be back")
        wait_until(daemon.rests, "the daemon to rest")
        self.says_no_defect(daemon)
        return daemon.memory()


class ManyTests(SoakTestCase):
    def test_sessions_one_after_the_other_and_at_once(self):
        daemon = self.start()
        descriptors = daemon.descriptors()
        for number in range(100):  # until the daemon has all that it ever needs
            self.session(daemon, f"warm{number}")
        memory = self.settled(daemon, descriptors)
        for number in range(scaled(200)):
            self.session(daemon, f"one{number}")
        producers = [Producer(daemon, f"all{number}", 2) for number in range(200)]
        for producer in producers:
            self.assertEqual(producer.packet(0), wire.OK.pack() * 2)
        for producer in producers:
            producer.finish(0)
            self.has_entries(daemon, producer, 1)
        grown = self.settled(daemon, descriptors) - memory
        print(
            f"\n  {scaled(200)} + 200 sessions: descriptors {descriptors} -> {daemon.descriptors()},",
            end=" ",
        )
        print(f"memory {memory >> 10} + {grown >> 10} KiB")
        self.assertLess(grown, MEMORY_GROWTH)

    def session(self, daemon, name):
        producer = Producer(daemon, name, 2)
        producer.text(b"/* CTF 1.8 */")
        self.assertEqual(producer.packet(0), wire.OK.pack() * 2)
        self.assertEqual(producer.finish(0), wire.OK.pack() * 3)

    def test_more_streams_than_descriptors(self):
        daemon = self.start(descriptors=256)
        producer = Producer(daemon, "wide", 1000)
        for number in range(2):
            self.assertEqual(producer.packet(number), wire.OK.pack() * 1000)
        self.assertLess(daemon.descriptors(), 200)
        self.assertEqual(len(producer.finish(1)), 4 * 1001)
        self.has_entries(daemon, producer, 2, streams=1000)
        self.says_no_defect(daemon)


class MutatedTests(SoakTestCase):
    """What the genuine client says, spoiled, while a session of somebody else goes on."""

    def test_conversations(self):
        daemon, chance = self.start(), random.Random(4)
        good, number, count = Bystander(daemon), 0, scaled(1000)
        good.ask()
        descriptors = daemon.descriptors()
        self.converse(daemon, chance, 200)
        memory = self.settled(daemon, descriptors)
        while number < count:
            self.converse(daemon, chance, 50)
            number += 50
            self.assertEqual(good.ask(), wire.OK.pack() * 2)
        good.finish()
        self.has_entries(daemon, good.producer, number // 50 + 1)
        grown = self.settled(daemon, descriptors) - memory
        print(f"\n  {number} mutated conversations: {Wait.longest(good.waits)},", end=" ")
        print(
            f"descriptors {descriptors} -> {daemon.descriptors()}, memory {memory >> 10} + {grown >> 10} KiB"
        )
        self.waited_at_most(LONGEST_WAIT, good.waits)
        self.assertLess(grown, MEMORY_GROWTH)
        self.assertEqual([path.name for path in daemon.output.parent.iterdir() if path.is_dir()], ["out"])

    def converse(self, daemon, chance, count):
        for _ in range(count):
            said = list(chance.choice(CAPTURED)[: chance.randrange(4, 40)])
            for _ in range(chance.randrange(1, 4)):
                place = chance.randrange(len(said))
                kind, message = said[place]
                spoiled = mutate(
                    message,
                    chance.choice(HOW),
                    chance.randrange(300),
                    chance.randrange(256),
                    chance.choice(EVERYTHING)[1],
                )
                said[place] = kind, spoiled
            peers = {kind: daemon.connect(kind) for kind in ("control", "data")}
            for kind, peer in peers.items():
                with contextlib.suppress(ConnectionError):  # it hung up before all was sent
                    peer.send(b"".join(message for whose, message in said if whose == kind))
            for peer in peers.values():
                peer.close()


class FullTests(SoakTestCase):
    def test_no_descriptors_left(self):
        daemon = self.start(descriptors=256)
        producer = Producer(daemon, "early")
        producer.packet(0)
        crowd = []
        self.addCleanup(lambda: [peer.close() for peer in crowd])
        for _ in range(300):  # more than may be connected; the rest waits in the queue of the system
            peer = socket.socket()
            peer.setblocking(False)
            peer.connect_ex(("127.0.0.1", daemon.ports["control"]))
            crowd.append(peer)
        wait_until(lambda: "no more until" in daemon.said(), "the daemon to let nobody in")
        for number in range(1, 50):
            self.assertEqual(producer.packet(number), wire.OK.pack() * 2)
        before = daemon.cpu()
        time.sleep(0.5)
        self.assertLess(daemon.cpu() - before, 0.2, "it spins")
        for peer in crowd:
            peer.close()
        with daemon.connect() as late:
            self.assertEqual(late.ask(HELLO, 8), wire.Version(2, 13).pack())
        producer.finish(49)
        self.has_entries(daemon, producer, 50)
        self.says_no_defect(daemon)

    def test_no_descriptors_left_for_connections(self):
        """As above, but there are fewer descriptors than connections may be."""
        folder = Path(tempfile.mkdtemp())  # trial's own are too deep for a socket
        self.addCleanup(shutil.rmtree, folder)
        daemon = self.start(descriptors=32, live=f"unix:{folder}/live")
        control, data = (("127.0.0.1", daemon.ports[kind]) for kind in ("control", "data"))
        live = f"{folder}/live"
        crowd = [self.visit(socket.AF_INET, control) for _ in range(40)]
        waiting = self.visit(socket.AF_INET, control)
        self.is_short(daemon, "control")  # before that, one of these could have the last descriptor
        # More than one for each: the daemon may have closed a file since.
        others = [self.visit(*place) for place in ((socket.AF_INET, data), (socket.AF_UNIX, live)) * 4]
        self.is_short(daemon, "data")
        self.is_short(daemon, "live")
        said, worked = daemon.said(), daemon.cpu()
        time.sleep(1)
        self.assertLess(daemon.cpu() - worked, 0.2, "it spins")
        self.assertEqual(daemon.said(), said)
        for peer in crowd:
            peer.close()
        for what in ("control", "data", "live"):
            again = f"Connections for {what} are accepted again"
            wait_until(lambda: again in daemon.said(), again)  # noqa: B023
        waiting.settimeout(DEADLINE)
        waiting.sendall(HELLO)
        self.assertEqual(waiting.recv(8), wire.Version(2, 13).pack())
        for peer in others:  # nobody was turned away
            self.assertRaises(BlockingIOError, peer.recv, 1)
        producer = Producer(daemon, "late")
        self.assertEqual(producer.packet(0), wire.OK.pack() * 2)
        producer.finish(0)
        self.has_entries(daemon, producer, 1)
        self.says_no_defect(daemon)

    def is_short(self, daemon, what):
        short = f"No connection for {what} can be accepted now: Too many open files"
        wait_until(lambda: short in daemon.said(), short)

    def test_many_arrive_while_it_is_busy(self):
        """They wait in the queue of the operating system; nobody has to try again, a second later."""
        daemon = self.start()
        daemon.process.send_signal(signal.SIGSTOP)
        self.addCleanup(daemon.process.send_signal, signal.SIGCONT)
        address = "127.0.0.1", daemon.ports["control"]
        crowd = [self.visit(socket.AF_INET, address) for _ in range(300)]
        wait_until(lambda: len(select.select([], crowd, [], 0)[1]) == len(crowd), "all are connected")
        told = [peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256) for peer in crowd]
        self.assertEqual({TRIES_AGAIN.unpack_from(each) for each in told}, {(0,)})

    def visit(self, family, address):
        """Connect, or wait in the queue to be let in."""
        peer = socket.socket(family)
        self.addCleanup(peer.close)
        peer.setblocking(False)
        peer.connect_ex(address)
        return peer

    def test_no_disk_left(self):
        if os.geteuid() or not shutil.which("unshare"):
            raise SkipTest("needs root, for a small file system")
        daemon = self.start(disk="4m")
        first, second = Producer(daemon, "greedy"), Producer(daemon, "modest")
        self.assertEqual(second.packet(0), wire.OK.pack() * 2)
        with contextlib.suppress(ConnectionError):
            first.data.send(packet(first.streams[0], 0, bytes(8 << 20), 0))
        wait_until(lambda: "greedy of vm) ends" in daemon.said(), "the session to end")
        self.assertIn("No space left on device", daemon.said())
        refused = first.control.ask(command(Command.SEND_INDEX, index(first.streams[0], 0).pack(13)), 4)
        self.assertEqual(refused, wire.Status(11).pack())
        (daemon.seen_output / first.path / PATH / "chan_0").unlink()
        self.assertEqual(second.packet(1), wire.OK.pack() * 2)
        again = Producer(daemon, "again")
        self.assertEqual(again.packet(0), wire.OK.pack() * 2)
        index_file = daemon.seen_output / second.path / PATH / "index/chan_0.idx"
        wait_until(lambda: len(list(read_index(index_file.read_bytes()))) == 2, "both packets")
        for producer in (first, second, again):
            producer.close()
        self.says_no_defect(daemon)

    def test_killed_and_started_again(self):
        folder = Path(self.mktemp())
        daemon = Daemon(folder)
        producer = Producer(daemon, "first")
        for number in range(5):
            producer.packet(number)
        self.has_entries(daemon, producer, 5)
        producer.data.send(packet(producer.streams[0], 5, b"z" * 100)[:80])
        daemon.kill()
        producer.close()
        self.assertEqual(self.entries(daemon, producer), 5)
        daemon = Daemon(folder)
        self.addCleanup(daemon.stop)
        late = Producer(daemon, "second")
        self.assertEqual(late.packet(0), wire.OK.pack() * 2)
        late.finish(0)
        self.has_entries(daemon, producer, 5)
        self.has_entries(daemon, late, 1)
        self.assertEqual(daemon.stop(), 0)
