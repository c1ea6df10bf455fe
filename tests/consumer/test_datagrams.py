"""The sender's end of a data path over UDP: what is under way, what waits, what is sent again."""

import errno
import socket
from struct import unpack

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.consumer import datagrams
from lttngnet.consumer.datagrams import (
    LOOK,
    PERIOD,
    REPEAT_AFTER,
    REPEAT_FOR,
    SILENCE,
    WINDOW,
    DatagramPath,
    Terms,
)
from lttngnet.errors import Code, RelayLost
from lttngnet.wire.datagram import OVERHEAD, Gathering, Seal, read
from lttngnet.wire.relay import DataHeader, Status
from lttngnet.wire.relay.datagrams import ALL, Gap, LostPackets, Missing, MissingQuery
from lttngnet.wire.relay.extension import Extension

TOKEN = bytes(16)
LARGE = 1 << 20


def where(head):
    """Return where a piece belongs."""
    return head.stream, head.sequence, head.offset, head.length, head.padding


class Door:
    """A socket that takes what it is told to take."""

    family = socket.AF_INET

    def __init__(self):
        self.sent = []  # datagrams
        self.calls = []  # how many each call sent
        self.problems = []  # of the next calls; None is none
        self.mtu = 1500
        self.is_closed = False

    def setblocking(self, flag):
        assert not flag

    def sendmsg(self, pieces, extra):
        problem = self.problems.pop(0) if self.problems else None
        if problem is not None:
            raise problem
        data = b"".join(pieces)
        size = unpack("=H", extra[0][2])[0] if extra else len(data)
        some = [data[at : at + size] for at in range(0, len(data), size)]
        self.calls.append(len(some))
        self.sent += some

    def getsockopt(self, level, option):
        return self.mtu

    def fileno(self):
        return -1

    def close(self):
        self.is_closed = True


class Control:
    """The control connection: what was asked, to be answered."""

    def __init__(self):
        self.asked = []  # number, payload and Deferred of each

    def ask(self, number, payload, kind):
        answer = Deferred()
        self.asked.append((number, payload, answer))
        return answer


class Producer:
    """What is paused."""

    def __init__(self):
        self.said = []

    def pauseProducing(self):
        self.said.append("pause")

    def resumeProducing(self):
        self.said.append("resume")


class PathTests(SynchronousTestCase):
    def setUp(self):
        self.make()

    def make(self, largest=1000, repeats=False):
        self.reactor = MemoryReactorClock()
        self.door, self.control, self.producer = Door(), Control(), Producer()
        self.lost = []
        terms = Terms(7, TOKEN.hex(), largest, LARGE, repeats)
        self.path = DatagramPath(self.reactor, self.door, terms, self.control, self.lost.append)
        self.path.register(self.producer)
        self.told = []
        self.number = 0

    def send(self, size=100, content=None):
        """Send a packet, and tell of it."""
        content = b"%d" % self.number * size if content is None else content
        header = DataHeader(0, 3, self.number, len(content), 2).pack()
        self.path.send(header, content)
        self.path.behind(lambda number=self.number: self.told.append(number))
        self.number += 1

    def answer(self, taken=None, window=LARGE, gaps=(), is_all=True, lost=0, code=Code.OK):
        """Answer the first question that has no answer."""
        at = next(
            i for i, (number, _, _) in enumerate(self.control.asked) if number == Extension.DATAGRAMS_MISSING
        )
        _, payload, answer = self.control.asked.pop(at)
        taken = sum(map(len, self.door.sent)) if taken is None else taken
        answer.callback(Missing(code, taken, lost, window, is_all, tuple(gaps)))
        return MissingQuery.unpack(payload).wanted

    def came(self):
        """Return the packets that all datagrams together make, as content by number; they are sealed."""
        gathering, found = Gathering(1 << 30), {}
        for one in self.door.sent:
            self.assertTrue(Seal(TOKEN).is_on(one))
            head = read(one)
            parts = gathering.add(*where(head), one[OVERHEAD:])
            if parts is not None and parts.is_whole:
                found[head.sequence] = bytes(parts.content)
        return found

    def test_packets(self):
        self.send(100)
        self.send(content=b"")
        self.send(5000)
        self.assertEqual(self.came(), {0: b"0" * 100, 1: b"", 2: b"2" * 5000})
        self.assertEqual(self.told, [0, 1, 2])
        self.assertEqual(self.producer.said, [])
        self.assertTrue(all(len(one) <= 1000 for one in self.door.sent))

    def test_the_system_cuts(self):
        self.send(5000)
        self.assertEqual(self.door.calls, [6])
        self.send(50000)
        self.assertEqual(self.came()[1], b"1" * 50000)
        self.assertEqual(sum(self.door.calls), len(self.door.sent))
        self.assertLessEqual(max(self.door.calls), datagrams.MOST_SEGMENTS)

    def test_the_system_does_not_cut(self):
        self.door.problems = [OSError(errno.EINVAL, "Invalid argument")]
        self.send(5000)
        self.send(5000)
        self.assertEqual(set(self.door.calls), {1})
        self.assertEqual(self.came(), {0: b"0" * 5000, 1: b"1" * 5000})

    def test_a_window(self):
        """What is beyond it waits, and nobody is told of it before; the sources are paused."""
        self.send(WINDOW + 5000)
        self.send(10)
        self.assertEqual((self.came(), self.told, self.producer.said), ({}, [], ["pause"]))
        self.assertLess(sum(map(len, self.door.sent)), WINDOW + 1000)
        self.reactor.advance(0)
        self.answer()
        self.assertEqual(self.came(), {0: b"0" * (WINDOW + 5000), 1: b"1" * 10})
        self.assertEqual((self.told, self.producer.said), ([0, 1], ["pause", "resume"]))

    def test_a_relay_daemon_without_room(self):
        self.send(10)
        self.reactor.advance(LOOK)
        self.answer(window=0)
        self.assertEqual(self.producer.said, ["pause"])
        self.reactor.advance(LOOK)
        self.answer(window=0)
        self.send(10)
        self.assertEqual((len(self.door.sent), self.told), (1, [0]))
        self.reactor.advance(LOOK)
        self.answer(window=LARGE)
        self.assertEqual((len(self.door.sent), self.told), (2, [0, 1]))
        self.assertEqual(self.producer.said, ["pause", "resume"])

    def test_questions(self):
        """A while after the last that was sent; none when there is nothing to know."""
        self.send(10)
        self.assertEqual(self.control.asked, [])
        self.reactor.advance(LOOK)
        self.assertEqual(len(self.control.asked), 1)
        self.assertEqual(self.answer(), 0)
        self.reactor.advance(10 * LOOK)
        self.assertEqual((self.control.asked, self.reactor.getDelayedCalls()), ([], []))
        self.send(WINDOW // 4)
        self.assertEqual(self.control.asked, [])
        self.reactor.advance(0)  # behind the index of the packet
        self.assertEqual(len(self.control.asked), 1)

    def test_a_socket_that_is_full(self):
        self.door.problems = [None, BlockingIOError()]
        self.send(100)
        self.send(100)
        self.assertEqual((len(self.door.sent), self.told), (1, [0]))
        self.assertEqual(self.reactor.getWriters(), [self.path])
        self.send(100)
        self.assertEqual(self.producer.said, ["pause"])
        self.path.doWrite()
        self.assertEqual((len(self.door.sent), self.told), (3, [0, 1, 2]))
        self.assertEqual((self.reactor.getWriters(), self.producer.said), ([], ["pause", "resume"]))

    def test_a_device_that_is_full(self):
        self.door.problems = [OSError(errno.ENOBUFS, "No buffer space available")]
        self.send(100)
        self.assertEqual((self.door.sent, self.told), ([], []))
        self.reactor.advance(0.001)
        self.assertEqual((len(self.door.sent), self.told), (1, [0]))

    def test_what_was_refused_before(self):
        self.door.problems = [ConnectionRefusedError()]
        self.send(100)
        self.assertEqual((len(self.door.sent), self.told, self.lost), (1, [0], []))
        self.path.connectionLost(Failure(ConnectionLost()))
        self.send(100)
        self.assertEqual((len(self.door.sent), self.lost), (2, []))

    def test_a_way_that_carries_less_than_before(self):
        """The datagram is lost; the next ones are shorter."""
        self.door.mtu = 628
        self.door.problems = [OSError(errno.EMSGSIZE, "Message too long")]
        self.send(900)
        self.assertEqual((self.door.sent, self.told), ([], [0]))
        self.send(900)
        self.assertEqual([len(one) for one in self.door.sent], [600, 900 + 2 * OVERHEAD - 600])
        self.door.problems = [OSError(errno.EMSGSIZE, "Message too long")] * 2
        self.send(900)
        self.send(900)
        self.assertEqual(len(self.door.sent[-2]), datagrams.SMALLEST)

    def test_much_that_does_not_arrive(self):
        """Less is under way, and more again when it does."""
        self.answer_all(0.5)
        least = self.path._window
        self.assertLess(least, LARGE // 4)
        self.answer_all(1.0, 100)
        self.assertGreater(self.path._window, 4 * least)

    def answer_all(self, part, times=30):
        """Send, and let that part of it arrive."""
        taken, seen = self.path._taken, len(self.door.sent)
        for _ in range(times):
            self.send(20000)
            self.reactor.advance(PERIOD / 2)
            while self.control.asked:
                taken += int(part * sum(map(len, self.door.sent[seen:])))
                seen = len(self.door.sent)
                self.answer(taken=taken)

    def test_nothing_arrives(self):
        for _ in range(int(SILENCE / LOOK) + 10):
            self.send(10)
            self.reactor.advance(LOOK)
            while self.control.asked:
                self.answer(taken=0)
        self.assertEqual(len(self.lost), 1)
        self.assertIn("nothing that is sent over UDP has arrived for 10 s", self.lost[0])
        self.assertTrue(self.door.is_closed)
        self.send(10)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_long_silence_is_none(self):
        """Where nothing is sent, nothing arrives."""
        self.send(10)
        self.reactor.advance(LOOK)
        self.answer()
        self.reactor.advance(10 * SILENCE)
        self.send(10)
        self.reactor.advance(LOOK)
        self.answer(taken=len(self.door.sent[0]))
        self.assertEqual(self.lost, [])

    def test_a_few_that_are_lost_are_no_silence(self):
        for _ in range(10):
            self.send(10)
            self.reactor.advance(SILENCE)
            while self.control.asked:
                self.answer(taken=0)
        self.assertEqual(self.lost, [])

    def test_refused(self):
        self.send(10)
        self.reactor.advance(LOOK)
        self.answer(code=Code.INVALID_PROTOCOL)
        self.assertEqual(self.lost, ["the relay daemon takes no more data over UDP"])

    def test_the_control_connection_is_lost(self):
        self.send(10)
        self.reactor.advance(LOOK)
        self.control.asked[0][2].errback(RelayLost("gone"))
        self.assertEqual(self.lost, [])  # whose it is tells
        self.path.close()

    def test_close(self):
        self.send(10)
        self.send(2 * WINDOW)
        self.reactor.advance(LOOK)
        self.path.close()
        self.assertTrue(self.door.is_closed)
        self.answer()
        self.path.close()
        self.path.doWrite()
        self.path.connectionLost(Failure(ConnectionLost()))
        self.assertEqual((self.lost, self.reactor.getDelayedCalls()), ([], []))

    # ------------------------------------------------------------ what is repeated

    def test_repeats_what_is_missing(self):
        self.make(repeats=True)
        self.send(content=bytes(range(250)) * 10)
        self.send(100)
        self.send(100)
        before = len(self.door.sent)
        self.reactor.advance(LOOK)
        gaps = [Gap(3, 0, ((10, 20), (2490, 2500))), Gap(3, 1, ((0, ALL),))]
        self.assertGreater(self.answer(gaps=gaps), 0)
        sent = [(read(one).sequence, read(one).offset, one[OVERHEAD:]) for one in self.door.sent[before:]]
        self.assertEqual(
            sent, [(0, 10, bytes(range(10, 20))), (0, 2490, bytes(range(240, 250))), (1, 0, b"1" * 100)]
        )
        before = len(self.door.sent)
        self.reactor.advance(LOOK)
        self.answer(gaps=gaps[1:])
        self.assertEqual([read(one).sequence for one in self.door.sent[before:]], [1])
        self.reactor.advance(LOOK)
        self.answer()
        self.assertEqual((self.path._kept, self.path._kept_size), ({}, 0))
        self.reactor.advance(10 * LOOK)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_not_at_once(self):
        """What was sent a moment ago may still come."""
        self.make(repeats=True)
        self.send(WINDOW // 4)
        self.reactor.advance(0)
        before = len(self.door.sent)
        self.answer(gaps=[Gap(3, 0, ((0, ALL),))])
        self.assertEqual(len(self.door.sent), before)
        self.reactor.advance(max(LOOK, REPEAT_AFTER))
        self.answer(gaps=[Gap(3, 0, ((0, ALL),))])
        self.assertEqual(len(self.door.sent), 2 * before)

    def test_what_was_not_told_of_is_kept(self):
        """An answer says nothing of a packet whose index came behind the question."""
        self.make(repeats=True)
        self.send(10)
        self.reactor.advance(LOOK)
        self.send(10)
        self.answer()
        self.assertEqual(list(self.path._kept), [(3, 1)])

    def test_not_all_is_told(self):
        self.make(repeats=True)
        self.send(10)
        self.send(10)
        self.reactor.advance(LOOK)
        self.answer(gaps=[Gap(3, 1, ((0, ALL),))], is_all=False)
        self.assertEqual(list(self.path._kept), [(3, 0), (3, 1)])

    def test_too_much_is_kept(self):
        self.patch(datagrams, "KEPT", 1000)
        self.make(repeats=True)
        self.send(999)
        self.assertEqual(self.producer.said, [])
        self.send(1)
        self.assertEqual(self.producer.said, ["pause"])
        self.reactor.advance(LOOK)
        self.answer(gaps=[Gap(3, 0, ((0, ALL),))])
        self.assertEqual(self.producer.said, ["pause", "resume"])

    def test_given_up(self):
        """What cannot be repeated any more is said to be lost."""
        self.make(repeats=True)
        self.send(10)
        end = self.reactor.seconds() + REPEAT_FOR + 10 * LOOK
        gaps = [Gap(3, 0, ((0, ALL),)), Gap(9, 9, ((0, ALL),))]
        while self.reactor.seconds() < end and self.path._kept:
            self.reactor.advance(LOOK)
            while any(number == Extension.DATAGRAMS_MISSING for number, _, _ in self.control.asked):
                self.answer(gaps=gaps)
        told = [
            LostPackets.unpack(payload).packets
            for number, payload, _ in self.control.asked
            if number == Extension.DATAGRAMS_LOST
        ]
        self.assertEqual(told[0], ((9, 9),))
        self.assertIn((3, 0), told[-1])
        self.control.asked[0][2].callback(Status(Code.OK))


class SocketTests(SynchronousTestCase):
    def test_a_real_one(self):
        """The system cuts into what arrives."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.bind(("127.0.0.1", 0))
            peer.settimeout(10)
            door = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            door.connect(peer.getsockname())
            terms = Terms(7, TOKEN.hex(), 1000, LARGE)
            path = DatagramPath(MemoryReactorClock(), door, terms, Control(), self.fail)
            content = bytes(range(256)) * 40
            path.send(DataHeader(0, 3, 0, len(content), 0).pack(), content)
            gathering, parts = Gathering(LARGE), None
            while parts is None or not parts.is_whole:
                one = peer.recv(1 << 16)
                self.assertLessEqual(len(one), 1000)
                parts = gathering.add(*where(read(one)), one[OVERHEAD:])
            self.assertEqual(bytes(parts.content), content)
            path.close()
