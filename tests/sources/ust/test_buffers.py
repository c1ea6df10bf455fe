"""Channels and streams: what the library makes of them, and what a wicked application may do to them."""

import errno
import fcntl
import mmap
import os
import resource
import select
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.sources.ust.buffers import HEADER, Channel, Options
from lttngnet.wire.amp import close_all
from tests.descriptors import open_files
from tests.sources.ust import TRACE, library

PAGE = mmap.PAGESIZE
MAGIC = 0xC1FC1FC1


class BuffersTestCase(SynchronousTestCase):
    def setUp(self):
        self.library = library()

    def channel(self, **options):
        made = Channel(self.library, Options(**{**OPTIONS, **options}), TRACE)
        self.addCleanup(made.close)
        return made

    def given(self, channel):
        given = channel.give()
        self.addCleanup(close_all, given)
        return given


OPTIONS = {"name": "channel0", "stream_class": 3, "subbuf_size": PAGE, "num_subbuf": 4}


def take(stream):
    """Return all packets, with copies of what was lent."""
    packets = []
    while packet := stream.get():
        packet.content = bytes(packet.content)
        stream.put()
        packets.append(packet)
    return packets


class ChannelTests(BuffersTestCase):
    def test_what_applications_get(self):
        channel = self.channel()
        description, wakeup, *streams = self.given(channel)
        self.assertGreater(os.fstat(description).st_size, 500)
        self.assertFalse(select.select([wakeup], [], [], 0)[0])  # an end to write to
        self.assertEqual(len(streams), 2 * self.library.cpus)
        for stream, memory, pipe in zip(channel.streams, streams[::2], streams[1::2], strict=True):
            self.assertEqual(os.fstat(memory).st_size, stream.size)
            os.write(pipe, b"\0")
            self.assertEqual(select.select([stream], [], [], 0)[0], [stream])
        self.assertFalse(any(map(os.get_inheritable, [description, wakeup, *streams])))

    def test_nothing_is_left(self):
        before = open_files()
        for is_given in (False, True):
            channel = self.channel()
            given = channel.give() if is_given else []
            channel.close()
            close_all(given)
            self.assertEqual(open_files(), before)
        channel.close()  # again

    def test_sealed(self):
        """An application that has the memory cannot shorten it: reading that would kill us."""
        channel = self.channel()
        for memory in self.given(channel)[2::2]:
            for size in (0, 2**30):
                with self.assertRaises(PermissionError):
                    os.ftruncate(memory, size)
            with self.assertRaises(PermissionError):
                fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
        self.assertEqual(take(channel.streams[0]), [])

    def test_what_cannot_be(self):
        """The library refuses; nothing is left open."""
        before = open_files()
        for wrong in ({"subbuf_size": PAGE + 1}, {"num_subbuf": 3}, {"num_subbuf": 1, "overwrite": True}):
            with self.assertRaises(OSError):
                self.channel(**wrong)
            self.assertEqual(open_files(), before)

    def test_no_descriptors(self):
        """However few there are: an error, and all that was opened is closed."""
        before = open_files()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        taken = {int(each.name) for each in Path("/proc/self/fd").iterdir()}
        free = [number for number in range(soft) if number not in taken]
        made = 0
        for room in range(40):
            resource.setrlimit(resource.RLIMIT_NOFILE, (free[room], hard))
            try:
                channel = Channel(self.library, Options(**OPTIONS), TRACE)
                try:
                    close_all(channel.give())
                    made += 1
                finally:
                    channel.close()
            except OSError as problem:
                self.assertEqual(problem.errno, errno.EMFILE, problem)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            self.assertEqual(open_files(), before, room)
        self.assertGreater(made, 0)


class StreamTests(BuffersTestCase):
    def test_empty(self):
        stream = self.channel().streams[0]
        self.assertIsNone(stream.get())
        stream.flush()
        self.assertEqual(len(take(stream)), 1)
        stream.flush(only_if_used=True)
        self.assertIsNone(stream.get())
        stream.flush()
        self.assertEqual(len(take(stream)), 1)

    def test_flushed(self):
        """A packet of nothing but its header, stamped with the clock of the trace."""
        stream = self.channel().streams[-1]
        before = stream.now()
        stream.flush()
        (packet,) = take(stream)
        header = HEADER.unpack(packet.content)
        self.assertEqual(header[:4], (MAGIC, TRACE.bytes, 3, stream.cpu))
        self.assertEqual(header[-1], stream.cpu)
        self.assertEqual(packet.content_size, 8 * HEADER.size)
        self.assertEqual(packet.packet_size, 8 * PAGE)
        self.assertLessEqual(before, packet.timestamp_end)
        self.assertLessEqual(packet.timestamp_begin, packet.timestamp_end)
        self.assertEqual((packet.stream_class, packet.stream_instance), (3, stream.cpu))
        self.assertEqual((packet.sequence, packet.events_discarded), (0, 0))

    def test_full(self):
        """What has no room while nobody reads is not written over; the rest comes in order."""
        stream = self.channel().streams[0]
        for _ in range(9):
            stream.flush()
        self.assertEqual([packet.sequence for packet in take(stream)], [0, 1, 2, 3])
        stream.flush()
        self.assertEqual([packet.sequence for packet in take(stream)], [4])
        self.assertEqual(stream.lost, 0)

    def test_overwritten(self):
        """The oldest packets give way, and are missed."""
        stream = self.channel(overwrite=True).streams[0]
        for _ in range(9):
            stream.flush()
        packets = take(stream)
        self.assertEqual(stream.lost, packets[0].sequence)
        self.assertGreater(stream.lost, 0)
        self.assertEqual([packet.sequence for packet in packets], list(range(packets[0].sequence, 9)))

    def test_positions_and_clear(self):
        stream = self.channel().streams[0]
        stream.flush()
        consumed, produced = stream.positions()
        self.assertEqual(produced - consumed, PAGE)
        stream.clear()
        consumed, produced = stream.positions()
        self.assertEqual(produced, consumed)
        self.assertIsNone(stream.get())

    def test_reminded(self):
        stream = self.channel().streams[0]
        for _ in range(70_000):
            stream.remind()  # the pipe is full in the end
        self.assertTrue(select.select([stream], [], [], 0)[0])
        stream.forget()
        self.assertFalse(select.select([stream], [], [], 0)[0])
        stream.forget()

    def test_closed(self):
        channel = self.channel()
        (stream, *_) = channel.streams
        stream.flush()
        channel.close()
        self.assertIsNone(stream.get())

    def test_a_tracer_that_forgets(self):
        """Where another process than the one that lost events ends a sub-buffer, it may say that none are."""
        channel = self.channel()
        stream, given = channel.streams[0], self.given(channel)
        for discarded, known in ((7, 7), (0, 7), (9, 9)):
            stream.flush()
            with mmap.mmap(given[2], stream.size) as memory:
                at = memory.find(TRACE.bytes)
                while at >= 0:
                    memory[at + 68 : at + 76] = discarded.to_bytes(8, "little")
                    at = memory.find(TRACE.bytes, at + 1)
            (packet,) = take(stream)
            self.assertEqual((packet.events_discarded, stream.discarded), (discarded, known))

    @settings(max_examples=60, deadline=None)
    @given(st.integers(0, 2**64 - 1) | st.integers(0, 40), st.integers(0, 2**64 - 1) | st.integers(0, 40))
    def test_a_wicked_place(self, at, size):
        """What the library tells of a sub-buffer stands where applications write, too: it may be anything.

        Packets as long as it says would have the sink write zeros until the disk is full.
        """
        channel = Channel(self.library, Options(**OPTIONS), TRACE)
        try:
            stream = channel.streams[0]
            stream.flush()
            stream._offset = lambda pointer, number: number.__setitem__(0, at * 1000 % 2**64)
            stream._padded = lambda pointer, number: number.__setitem__(0, size * 1000 % 2**64)
            try:
                packet = stream.get()
            except OSError:
                return
            self.assertEqual(len(packet.content) + packet.padding, PAGE)
        finally:
            channel.close()

    @settings(max_examples=60, deadline=None)
    @given(st.binary(min_size=HEADER.size, max_size=HEADER.size) | st.tuples(st.integers(0, 2**64 - 1)))
    def test_a_wicked_header(self, said):
        """Whatever an application writes into a packet's header, nothing is read from outside the packet."""
        channel = Channel(self.library, Options(**OPTIONS), TRACE)
        given = channel.give()
        try:
            stream = channel.streams[0]
            stream.flush()
            with mmap.mmap(given[2], stream.size) as memory:
                at = memory.find(TRACE.bytes) - 4
                if isinstance(said, bytes):
                    memory[at : at + HEADER.size] = said
                else:
                    memory[at + 48 : at + 56] = said[0].to_bytes(8, "little")  # content_size
            (packet,) = take(stream)
            self.assertGreaterEqual(len(packet.content), HEADER.size)
            self.assertEqual(len(packet.content) + packet.padding, PAGE)
            self.assertEqual(packet.content_size, 8 * len(packet.content))
        finally:
            channel.close()
            close_all(given)
