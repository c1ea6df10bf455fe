"""Datagrams: sealed, cut, lost, doubled, disordered, forged."""

import hmac
from random import Random
from zlib import crc32

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.errors import WireError
from lttngnet.wire import datagram
from lttngnet.wire.datagram import FRAGMENT, OVERHEAD, Gathering, Head, Parts, Seal

TOKEN = bytes(range(16))
SEAL = Seal(TOKEN)


def where(head):
    """Return where a piece belongs."""
    return head.stream, head.sequence, head.offset, head.length, head.padding


def cut(content, largest=OVERHEAD + 10, sequence=0, padding=3, **more):
    """Return the datagrams of a packet."""
    pieces = datagram.fragments(SEAL, 7, 1, sequence, memoryview(content), padding, largest, **more)
    return [head + bytes(piece) for head, piece in pieces]


def take(gathering, one):
    """Let a gathering have a datagram; return the content if the packet is whole by it."""
    head = datagram.read(one)
    parts = gathering.add(*where(head), one[OVERHEAD:])
    return bytes(parts.content) if parts is not None and parts.is_whole else None


class SealTests(SynchronousTestCase):
    def test_it_is_the_hmac_of_rfc_2104(self):
        expected = hmac.digest(TOKEN, b"headpiece", "sha256")[:16]
        self.assertEqual(SEAL.of(b"headpiece"), expected)

    def test_hello(self):
        hello = datagram.hello(SEAL, 7, 2, 1400)
        self.assertEqual(len(hello), 1400)
        self.assertTrue(SEAL.is_on(hello))
        head = datagram.read(hello)
        self.assertEqual((head.kind, head.connection, head.stream), (datagram.HELLO, 7, 2))
        answer = datagram.acknowledgement(SEAL, head, len(hello))
        self.assertLessEqual(len(answer), len(hello))
        self.assertEqual(datagram.acknowledged(SEAL, 7, answer), 1400)
        self.assertIsNone(datagram.acknowledged(SEAL, 8, answer))
        self.assertIsNone(datagram.acknowledged(Seal(bytes(16)), 7, answer))
        self.assertIsNone(datagram.acknowledged(SEAL, 7, hello))
        self.assertIsNone(datagram.acknowledged(SEAL, 7, answer[:-1]))

    def test_what_is_none_of_ours(self):
        good = cut(b"content")[0]
        for bad in (b"", good[: OVERHEAD - 1], b"X" + good[1:], good[:4] + b"\2" + good[5:], good + b"more"):
            self.assertRaises(WireError, datagram.read, bad)


class ForgeryMixin:
    """Datagrams that nobody sent."""

    forgeries = 10_000

    def test_no_forgery_is_taken(self):
        """Datagrams with a byte changed, cut short, made longer, or made of two, and noise."""
        random = Random(5)
        good = [*cut(bytes(100), 90), *cut(b"x" * 40, sequence=1), datagram.hello(SEAL, 7, 0, 80)]
        for _ in range(self.forgeries):
            forged = bytearray(random.choice(good))
            kind = random.randrange(5)
            if kind == 0:
                at = random.randrange(len(forged))
                forged[at] ^= random.randrange(1, 256)
            elif kind == 1:
                del forged[random.randrange(len(forged)) :]
            elif kind == 2:
                forged += random.randbytes(random.randrange(1, 40))
            elif kind == 3:
                other = random.choice(good)
                forged = bytearray(forged[:OVERHEAD] + other[OVERHEAD:])
                if forged in good:
                    continue
            else:
                forged = bytearray(random.randbytes(random.randrange(200)))
            try:
                datagram.read(forged)
            except WireError:
                continue
            self.assertFalse(SEAL.is_on(forged))


class ForgeryTests(ForgeryMixin, SynchronousTestCase):
    pass


class PartsTests(SynchronousTestCase):
    @given(st.binary(max_size=300), st.integers(1, 50), st.randoms(use_true_random=False))
    def test_any_order_any_doubles(self, content, size, random):
        pieces = cut(content, OVERHEAD + size)
        pieces += random.choices(pieces, k=5)
        pieces += cut(content, OVERHEAD + size + 3)
        random.shuffle(pieces)
        parts, came = None, None
        gathering = Gathering(1 << 20)
        for piece in pieces:
            taken = take(gathering, piece)
            came = taken if taken is not None else came
        self.assertEqual(came, content)
        parts = gathering.take(1, 0)
        self.assertEqual((bytes(parts.content), parts.padding, parts.missing), (content, 3, []))
        self.assertEqual((gathering.used, len(gathering)), (0, 0))

    @given(
        st.integers(1, 60).flatmap(
            lambda size: st.tuples(
                st.just(size), st.lists(st.tuples(st.integers(0, size), st.integers(0, size)), max_size=30)
            )
        )
    )
    def test_what_is_missing(self, drawn):
        size, spans = drawn
        content = bytes(range(1, size + 1))
        parts, here = Parts(size, 0), set()
        for begin, end in map(sorted, spans):
            wanted = set(range(begin, end))
            self.assertEqual(parts.add(begin, content[begin:end]), not wanted <= here)
            here |= wanted
        missing = {at for begin, end in parts.missing for at in range(begin, end)}
        self.assertEqual(missing, set(range(size)) - here)
        self.assertEqual(parts.is_whole, not missing)
        for at in here:
            self.assertEqual(parts.content[at], content[at])
        for piece in cut(content, OVERHEAD + 4, ranges=parts.missing):
            parts.add(datagram.read(piece).offset, piece[OVERHEAD:])
        self.assertTrue(parts.is_whole)
        self.assertEqual(bytes(parts.content), content)

    def test_what_is_here_stays(self):
        parts = Parts(4, 0)
        parts.add(1, b"bc")
        self.assertTrue(parts.add(0, b"ayy"))
        self.assertEqual(bytes(parts.content), b"abc\0")
        self.assertFalse(parts.add(0, b"zzz"))
        self.assertRaises(WireError, parts.add, 2, b"dea")

    def test_a_packet_without_content(self):
        parts = Parts(0, 8)
        self.assertEqual((parts.is_whole, parts.missing), (False, [(0, 0)]))
        self.assertTrue(parts.add(0, b""))
        self.assertEqual((parts.is_whole, parts.missing, parts.add(0, b"")), (True, [], False))
        self.assertEqual(len(cut(b"")), 1)
        self.assertEqual(cut(b"", ranges=[(0, 0)]), cut(b""))

    def test_holes_have_an_end(self):
        parts = Parts(3 * datagram.PARTS_LIMIT, 0)
        for number in range(datagram.PARTS_LIMIT):
            parts.add(2 * number, b"x")
        self.assertRaises(WireError, parts.add, len(parts.content) - 1, b"x")
        self.assertTrue(parts.add(1, b"x"))


class GatheringTests(SynchronousTestCase):
    def test_room(self):
        gathering = Gathering(25)
        for number in (0, 1):
            gathering.add(*where(datagram.read(cut(bytes(12), sequence=number)[0])), bytes(10))
        third = cut(bytes(12), sequence=2)
        self.assertRaises(WireError, take, gathering, third[0])
        self.assertEqual(gathering.used, 24)
        self.assertIsNotNone(take(gathering, cut(bytes(12))[1]))
        gathering.take(1, 0)
        self.assertIsNone(take(gathering, third[0]))
        self.assertEqual(gathering.names(), [(1, 1), (1, 2)])
        gathering.clear()
        self.assertEqual((gathering.used, len(gathering), gathering.get(1, 1)), (0, 0, None))

    def test_number_of_packets(self):
        self.patch(datagram, "PACKETS_LIMIT", 3)
        gathering = Gathering(1 << 20)
        for number in range(3):
            take(gathering, cut(b"", sequence=number)[0])
        self.assertRaises(WireError, take, gathering, cut(b"", sequence=3)[0])

    def test_contradiction(self):
        gathering = Gathering(1 << 20)
        take(gathering, cut(bytes(20))[0])
        self.assertRaises(WireError, take, gathering, cut(bytes(21))[1])
        self.assertRaises(WireError, take, gathering, cut(bytes(20), padding=4)[1])

    def test_memory_that_is_used_again(self):
        self.patch(datagram, "SPARE_LEAST", 1)
        gathering = Gathering(1 << 20)
        take(gathering, cut(b"x" * 20)[0])
        taken = gathering.take(1, 0)
        gathering.reuse(taken)
        for one in cut(b"y" * 20, sequence=1):
            content = take(gathering, one)
        self.assertEqual(content, b"y" * 20)
        self.assertIs(gathering.get(1, 1).content, taken.content)
        gathering.reuse(gathering.take(1, 1))
        gathering.reuse(Parts(datagram.SPARE, 0))
        take(gathering, cut(b"z" * 20, sequence=2)[0])
        self.assertIsNot(gathering.get(1, 2).content, taken.content)

    def test_a_fragment_that_was_here(self):
        gathering = Gathering(1 << 20)
        one = cut(bytes(20))[0]
        self.assertIsNotNone(gathering.add(*where(datagram.read(one)), one[OVERHEAD:]))
        self.assertIsNone(gathering.add(*where(datagram.read(one)), one[OVERHEAD:]))

    def test_head(self):
        head = datagram.read(cut(b"content", 2000, sequence=9)[0])
        self.assertEqual(head, Head(datagram.MAGIC, 1, FRAGMENT, 0, 0, 7, 1, 9, 0, 7, 3, crc32(b"content")))
