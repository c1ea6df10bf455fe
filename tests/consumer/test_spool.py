"""Packets on disk: what comes out is what went in, but for what gave way, which is counted."""

import os
from collections import Counter
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.consumer import spool
from lttngnet.consumer.spool import Spool
from lttngnet.ctf.packet import Packet
from tests.descriptors import open_files

HEAD = 68  # bytes of a packet that are not its content

PACKETS = st.builds(
    Packet,
    st.binary(max_size=60),
    st.integers(0, 2**32 - 1),
    *[st.integers(0, 2**64 - 1)] * 7,
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 3), PACKETS),
        st.tuples(st.just("put first"), st.lists(st.tuples(st.integers(0, 3), PACKETS), max_size=3)),
        st.tuples(st.just("take")),
        st.tuples(st.just("clear")),
    ),
    max_size=40,
)


def small(sequence, content=b"x" * 32):
    """Return a packet that takes 100 bytes."""
    return Packet(content, 0, 8 * len(content), 0, 0, 0, 0, 0, sequence)


def rest(kept):
    """Return the sequence numbers of what is kept, by taking it."""
    numbers = []
    while (found := kept.take()) is not None:
        numbers.append(found[1].sequence)
    return numbers


class SpoolTests(SynchronousTestCase):
    def setUp(self):
        self.patch(spool, "SEGMENT", 400)
        self.folder = self.mktemp()
        Path(self.folder).mkdir()

    def make(self, **options):
        kept = Spool(folder=self.folder, **options)
        self.addCleanup(kept.close)
        return kept

    @settings(max_examples=200, deadline=None)
    @given(STEPS, st.sampled_from(["oldest", "newest"]), st.integers(0, 1500))
    def test_as_a_list_would(self, steps, drop, limit):
        kept = self.make(limit=limit, drop=drop)
        model, lost = [], Counter()

        def size(*packets):
            return sum(HEAD + len(packet.content) for _, packet in packets)

        for step in steps:
            match step:
                case "put", stream, packet:
                    kept.put(stream, packet)
                    new = (stream, packet)
                    if size(new) > limit or (drop == "newest" and size(*model, new) > limit):
                        lost[stream] += 1
                    else:
                        while size(*model, new) > limit:
                            lost[model.pop(0)[0]] += 1
                        model.append(new)
                case "put first", packets:
                    kept.put_first(packets)
                    model[:0] = packets
                case ("take",):
                    self.assertEqual(kept.take(), model.pop(0) if model else None)
                case ("clear",):
                    kept.clear()
                    lost.update(stream for stream, _ in model)
                    model.clear()
            self.assertEqual((kept.size, kept.is_empty, kept.lost), (size(*model), not model, lost))
        while model:
            self.assertEqual(kept.take(), model.pop(0))
        self.assertEqual((kept.take(), kept.size), (None, 0))

    def test_nothing_has_a_name(self):
        kept = self.make()
        for sequence in range(10):
            kept.put(1, small(sequence))
        self.assertEqual(list(Path(self.folder).iterdir()), [])
        self.assertEqual(rest(kept), list(range(10)))

    def test_files_are_let_go_of(self):
        before = open_files()
        kept = self.make()
        for sequence in range(40):
            kept.put(1, small(sequence))
        self.assertEqual(open_files() - before, 10)
        rest(kept)
        self.assertEqual(open_files(), before)

    def test_content_is_copied(self):
        kept, lent = self.make(), bytearray(b"abc")
        kept.put(1, small(0, memoryview(lent)))
        lent[:] = b"xyz"
        self.assertEqual(kept.take()[1].content, b"abc")

    def test_a_disk_that_takes_nothing(self):
        kept = self.make()
        kept.put(7, small(0))
        written = os.pwritev
        takes = [50, OSError(28, "No space left on device"), OSError(28, "No space left on device")]

        def pwritev(descriptor, pieces, at):
            if not takes:
                return written(descriptor, pieces, at)
            if isinstance(take := takes.pop(0), OSError):
                raise take
            return written(descriptor, [pieces[0][:take]], at)

        self.patch(os, "pwritev", pwritev)
        for sequence in (1, 2, 3):
            kept.put(7, small(sequence))
        self.assertEqual((kept.lost, rest(kept)), ({7: 2}, [0, 3]))

    def test_no_folder(self):
        kept = Spool(folder="/nonexistent")
        kept.put(7, small(0))
        kept.put_first([(7, small(0))])
        self.assertEqual((kept.lost, kept.is_empty), ({7: 2}, True))

    def test_a_disk_that_gives_nothing_back(self):
        kept = self.make()
        for sequence in range(6):
            kept.put(7, small(sequence))
        given_back = os.pread
        calls = []

        def pread(*arguments):
            calls.append(arguments)
            if len(calls) == 4:  # the content of the second packet
                raise OSError(5, "Input/output error")
            return given_back(*arguments)

        self.patch(os, "pread", pread)
        self.assertEqual(rest(kept), [0, 4, 5])  # the other file
        self.assertEqual((kept.lost, kept.size), ({-1: 1}, 0))
