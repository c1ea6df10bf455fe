"""Data connections: packets and indexes in any order and any cut, whose stream it is, and disconnects."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.ctf.index import read_index
from lttngnet.wire.framing import Commands
from lttngnet.wire.relay import NO_SEQUENCE, Command, CreateTraceChunk, command
from tests.relayd.replaying import Relay, utc
from tests.relayd.talking import CREATED, PATH, Client, index, packet

FOLDER = f"vm/walk-20261122-124548/{PATH}"
CONTENTS = [b"", b"one", b"packets", b"of several sizes", b"!" * 70]


class DataTestCase(SynchronousTestCase):
    def setUp(self):
        utc(self)
        self.relay = Relay(self.mktemp())
        self.client = Client(self.relay)

    def read(self, name, relay=None):
        return ((relay or self.relay).output / FOLDER / name).read_bytes()

    def entries(self, relay=None):
        return list(read_index(self.read("index/chan_0.idx", relay)))


class PacketTests(DataTestCase):
    def test_padding_and_index(self):
        (stream,) = self.client.stream()
        for sequence in (0, 1):
            self.client.packet(stream, sequence, b"abc", 5)
            self.client.index(stream, sequence)
        self.assertEqual(self.read("chan_0"), b"abc\0\0\0\0\0" * 2)
        self.assertEqual(
            [tuple(entry) for entry in self.entries()],
            [(0, 64, 48, 1000, 2000, 0, 3, 4, 0), (8, 64, 48, 1001, 2001, 0, 3, 4, 1)],
        )

    def test_much_padding_is_a_hole(self):
        (stream,) = self.client.stream()
        self.client.packet(stream, 0, b"abc", 1 << 30)
        self.client.packet(stream, 1, b"def", 0)
        path = self.relay.output / FOLDER / "chan_0"
        self.assertEqual(path.stat().st_size, (1 << 30) + 6)
        self.assertLess(path.stat().st_blocks * 512, 1 << 20)

    def test_numbers_need_not_begin_at_0(self):
        (stream,) = self.client.stream()
        self.client.packet(stream, 7)
        self.client.index(stream, 7)
        self.assertEqual(len(self.entries()), 1)

    def test_beacons_are_not_written(self):
        (stream,) = self.client.stream()
        self.assertEqual(self.client.index(stream, 0, size=0), 10)
        self.client.packet(stream, 0)
        self.assertEqual(self.entries(), [])

    def test_metadata(self):
        _, stream = self.client.stream("chan_0", "metadata")
        self.client.metadata(stream, b"one", 1)
        self.client.metadata(stream, b"two")
        self.assertEqual(self.read("metadata"), b"one\0two")

    def test_trace_files(self):
        self.client.stream()
        stream = self.client.add("lim_0", size=10, count=2)
        for sequence in range(4):
            self.client.packet(stream, sequence, bytes([sequence]) * 6, 2)
            self.client.index(stream, sequence)
        self.assertEqual(self.read("lim_0_0"), b"\2\2\2\2\2\2\0\0")
        self.assertEqual(self.read("lim_0_1"), b"\3\3\3\3\3\3\0\0")

    def test_trace_files_without_a_count(self):
        self.client.stream()
        stream = self.client.add("lim_0", size=10)
        for sequence in range(3):
            self.client.packet(stream, sequence)
        self.assertEqual([len(self.read(f"lim_0_{number}")) for number in range(3)], [8, 8, 8])

    def test_an_index_that_comes_after_the_next_trace_file_began(self):
        self.client.stream()
        stream = self.client.add("lim_0", size=10)
        self.client.packet(stream, 0)
        self.client.packet(stream, 1)
        self.client.index(stream, 0)
        self.client.index(stream, 1)
        found = [len(list(read_index(self.read(f"index/lim_0_{number}.idx")))) for number in (0, 1)]
        self.assertEqual(found, [1, 1])


class AnyOrderTests(DataTestCase):
    """Control and data are two connections: nobody says which one is read first, or in which pieces."""

    @settings(max_examples=60, deadline=None)
    @given(
        turns=st.lists(st.tuples(st.booleans(), st.integers(0, 250)), max_size=12), data_first=st.booleans()
    )
    def test_the_files_are_the_same(self, turns, data_first):
        relay = Relay(self.mktemp())
        client = Client(relay)
        (stream,) = client.stream()
        packets = b"".join(packet(stream, n, content, 2) for n, content in enumerate(CONTENTS))
        indexes = b"".join(
            command(Command.SEND_INDEX, index(stream, n, (len(content) + 2) * 8).pack(13))
            for n, content in enumerate(CONTENTS)
        )
        for is_data, size in [*turns, (data_first, 10000), (not data_first, 10000)]:
            if is_data:
                client.data.send(packets[:size])
                packets = packets[size:]
            else:
                client.control.send(indexes[:size])
                indexes = indexes[size:]
        self.assertEqual(self.read("chan_0", relay), b"".join(c + b"\0\0" for c in CONTENTS))
        entries = self.entries(relay)
        self.assertEqual(sorted(entry.packet_sequence for entry in entries), list(range(len(CONTENTS))))
        for entry in entries:
            self.assertEqual(entry.offset, sum(len(c) + 2 for c in CONTENTS[: entry.packet_sequence]))
        self.assertEqual(client.pending(stream, len(CONTENTS) - 1), 0)
        client.control.close()
        self.assertEqual(relay.store.sessions, {})

    @settings(max_examples=60, deadline=None)
    @given(
        moment=st.integers(0, 2),  # a consumer asks before it sends an index of the new chunk
        sizes=st.lists(st.integers(0, 150), min_size=len(CONTENTS), max_size=len(CONTENTS)),
    )
    def test_rotation_at_any_moment(self, moment, sizes):
        """Packets 0 and 1 belong to the first chunk, the others to the second, whenever it is said."""
        relay = Relay(self.mktemp())
        client = Client(relay)
        (stream,) = client.stream()
        packets = b"".join(packet(stream, n, content, 2) for n, content in enumerate(CONTENTS))
        said = [
            command(Command.SEND_INDEX, index(stream, n, (len(content) + 2) * 8).pack(13))
            for n, content in enumerate(CONTENTS)
        ]
        for number, (words, size) in enumerate(zip(said, sizes, strict=True)):
            if number == moment:
                client.status(Command.CREATE_TRACE_CHUNK, CreateTraceChunk(1, CREATED + 1).pack())
                self.assertEqual(client.rotate(1, (stream, 2)), 10)
            client.data.send(packets[:size])
            packets = packets[size:]
            self.assertEqual(client.control.send(words)[-1:], b"\x0a")
        client.data.send(packets)
        client.close_chunk(0, 0)
        session = relay.output / "vm/walk-20261122-124548"
        found = []
        for chunk in ("archives/20261122T124548+0000-20261122T124550+0000-0", "20261122T124549+0000-1"):
            content = (session / chunk / PATH / "chan_0").read_bytes()
            entries = list(read_index((session / chunk / PATH / "index/chan_0.idx").read_bytes()))
            found.append((content, sorted((e.packet_sequence, e.offset) for e in entries)))
        padded = [content + b"\0\0" for content in CONTENTS]
        self.assertEqual(
            found,
            [
                (b"".join(padded[:2]), [(0, 0), (1, 2)]),
                (b"".join(padded[2:]), [(2, 0), (3, 9), (4, 27)]),
            ],
        )


class BelongingTests(DataTestCase):
    def test_an_unknown_stream(self):
        self.client.stream()
        self.client.packet(99, 0)
        self.assertTrue(self.client.data.is_closed)
        self.assertFalse(self.client.control.is_closed)

    def test_a_stream_of_another_session(self):
        (ours,) = self.client.stream()
        (theirs,) = Client(self.relay).stream("chan_1")
        self.client.packet(ours, 0)
        self.client.packet(theirs, 0)
        self.assertTrue(self.client.data.is_closed)
        self.assertEqual(self.client.index(ours, 0), 11)  # aborted
        self.assertEqual(self.read("chan_1"), b"")

    def test_two_connections_in_one_packet(self):
        (stream,) = self.client.stream()
        whole = packet(stream, 0)
        self.client.data.send(whole[:-1])
        other = self.relay.connect("data")
        other.send(whole)
        self.assertTrue(other.is_closed)

    def test_a_metadata_stream_takes_no_packets(self):
        (stream,) = self.client.stream("metadata")
        self.client.packet(stream, 0)
        self.assertTrue(self.client.data.is_closed)

    def test_a_stream_between_two_chunks(self):
        (stream,) = self.client.stream()
        self.client.rotate(None, (stream, 0))
        self.client.packet(stream, 0)
        self.assertTrue(self.client.data.is_closed)


class CloseTests(DataTestCase):
    def test_a_stream_waits_for_its_last_packet(self):
        (stream,) = self.client.stream()
        self.client.finish(stream, 1)
        for sequence in (0, 1):
            self.assertIsNotNone(self.relay.store.session_of(stream))
            self.client.packet(stream, sequence)
        self.assertIsNone(self.relay.store.session_of(stream))

    def test_a_stream_without_packets(self):
        (stream,) = self.client.stream()
        self.assertEqual(self.client.finish(stream, NO_SEQUENCE), 10)
        self.assertIsNone(self.relay.store.session_of(stream))

    def test_data_after_the_close(self):
        (stream,) = self.client.stream()
        self.client.packet(stream, 0)
        self.client.finish(stream, 0)
        self.client.packet(stream, 1)
        self.assertTrue(self.client.data.is_closed)
        self.assertEqual(len(self.read("chan_0")), 8)


class DisconnectTests(DataTestCase):
    def test_control_goes_before_the_data(self):
        (stream,) = self.client.stream()
        self.client.index(stream, 0)
        self.client.control.close()
        self.client.packet(stream, 0)
        self.assertEqual([entry.packet_sequence for entry in self.entries()], [0])
        self.assertEqual(self.relay.store.sessions, {})

    def test_both_go_before_the_data(self):
        first, second = self.client.stream("chan_0", "chan_1")
        self.client.packet(first, 0)
        self.client.index(second, 0)
        self.client.control.close()
        self.assertEqual(len(self.relay.store.sessions), 1)
        self.client.data.close()
        self.assertEqual(self.relay.store.sessions, {})

    def test_data_goes_before_the_control(self):
        first, second = self.client.stream("chan_0", "chan_1")
        self.client.packet(first, 0)
        self.client.data.close()
        self.client.index(second, 0)
        self.client.control.close()
        self.assertEqual(self.relay.store.sessions, {})

    def test_data_goes_alone(self):
        (stream,) = self.client.stream()
        self.client.packet(stream, 0)
        self.client.data.close()
        self.assertEqual(self.client.index(stream, 0), 10)
        again = self.relay.connect("data")
        again.send(packet(stream, 1))
        self.assertEqual(len(self.read("chan_0")), 16)

    def test_data_goes_within_a_packet(self):
        (stream,) = self.client.stream()
        self.client.data.send(packet(stream, 0, b"x" * 64)[:72])
        self.client.data.close()
        self.assertEqual(len(self.read("chan_0")), 40)
        self.assertEqual(self.client.index(stream, 0), 11)
        self.assertTrue(self.client.control.is_closed)

    def test_a_handshake_that_is_given_up_leaves_nothing(self):
        self.client.agree()
        self.client.create()
        self.assertEqual(self.relay.folders(), ["vm", "vm/walk-20261122-124548"])
        self.client.control.close()
        self.assertEqual(self.relay.folders(), [])

    def test_a_handshake_that_is_given_up_leaves_what_was_there(self):
        (self.relay.output / "vm").mkdir(parents=True)
        self.client.agree()
        self.client.create()
        self.client.control.close()
        self.assertEqual(self.relay.folders(), ["vm"])

    def test_the_daemon_stops(self):
        (stream,) = self.client.stream()
        self.client.data.send(packet(stream, 0) + packet(stream, 1)[:35])
        self.relay.store.close()
        self.assertEqual(self.relay.store.sessions, {})
        self.assertEqual(len(self.read("chan_0")), 11)
        self.client.control.close()
        self.client.data.close()

    def test_commands_are_cut_as_well(self):
        """The other tests send whole commands; here the genuine order of bytes matters alone."""
        self.client.agree()
        whole = command(Command.GET_CONFIGURATION, bytes(8))
        self.assertEqual(len(list(Commands().feed(whole))), 1)
        answers = [self.client.control.send(bytes([byte])) for byte in whole]
        self.assertEqual([len(answer) for answer in answers], [0] * 31 + [12])
