"""Trace chunks: where they lie when, and who shares them. (The captures replay what one client does.)"""

from twisted.trial.unittest import SynchronousTestCase

from lttngnet.wire.relay import CloseCommand
from tests.relayd.replaying import Relay, open_files, utc
from tests.relayd.talking import PATH, Client

SESSION = "vm/walk-20261122-124548"
BEGAN, ENDED = "20261122T124548+0000", "20261122T124550+0000"
MOVE, DELETE = CloseCommand.MOVE_TO_COMPLETED, CloseCommand.DELETE


class ChunkTests(SynchronousTestCase):
    def setUp(self):
        utc(self)
        self.relay = Relay(self.mktemp())
        self.client = Client(self.relay)

    def files(self):
        return sorted(path.removeprefix(f"{SESSION}/") for path in self.relay.files())

    def names(self, folder=""):
        return sorted(path.name for path in (self.relay.output / SESSION / folder).iterdir())

    def send(self, client, stream, sequence):
        client.packet(stream, sequence)
        client.index(stream, sequence)

    def test_rotation(self):
        (stream,) = self.client.stream()
        self.send(self.client, stream, 0)
        self.client.chunk(1)
        self.client.rotate(1, (stream, 1))
        self.assertEqual(
            [self.client.exists(0), self.client.close_chunk(0, MOVE), self.client.exists(0)],
            [True, (10, SESSION), False],
        )
        self.send(self.client, stream, 1)
        archived, current = f"archives/{BEGAN}-{ENDED}-0/{PATH}", f"{BEGAN}-1/{PATH}"
        self.assertEqual(
            self.files(),
            [f"{current}/{name}" for name in ("chan_0", "index/chan_0.idx")]
            + [f"{archived}/{name}" for name in ("chan_0", "index/chan_0.idx")],
        )
        self.client.rotate(None, (stream, 2))
        self.assertEqual(self.client.close_chunk(1, MOVE), (10, f"{SESSION}/archives/{BEGAN}-{ENDED}-1"))
        self.assertEqual(self.names(), ["archives"])

    def test_a_chunk_exists_until_its_last_stream_left(self):
        (stream,) = self.client.stream()
        self.send(self.client, stream, 0)
        self.client.chunk(1)
        self.client.rotate(1, (stream, 2))  # packet 1 is on its way
        self.client.close_chunk(0, MOVE)
        before = self.client.exists(0)
        self.send(self.client, stream, 1)
        self.assertEqual([before, self.client.exists(0)], [True, False])

    def test_clear(self):
        (stream,) = self.client.stream()
        self.send(self.client, stream, 0)
        self.client.chunk(1)
        self.client.rotate(1, (stream, 1))
        self.client.close_chunk(0, DELETE)
        self.assertEqual(self.files(), [f"{PATH}/chan_0"])
        self.assertEqual(self.names(), ["ust"])

    def test_packets_without_a_chunk_to_go_to(self):
        (stream,) = self.client.stream()
        self.send(self.client, stream, 0)
        self.client.packet(stream, 1)
        self.assertEqual(self.client.rotate(None, (stream, 1)), 153)

    def test_two_connections_share_the_chunks(self):
        (first,) = self.client.stream("chan_0")
        other = Client(self.relay)
        other.agree()
        other.create(chunk=0)
        other.chunk(1)  # as to all connections of the session
        second = other.add("kern_0", "kernel")
        self.client.chunk(1)
        self.client.rotate(1, (first, 0))
        for client in (self.client, other):
            self.assertEqual(client.close_chunk(0, MOVE), (10, SESSION))
        self.send(self.client, first, 0)
        self.send(other, second, 0)
        self.assertEqual(self.names(), [f"{BEGAN}-1", "archives"])
        self.assertEqual(self.names(f"{BEGAN}-1"), ["kernel", "ust"])

    def test_a_chunk_of_another_session_cannot_be_joined(self):
        self.client.stream()
        stranger = Client(self.relay)
        stranger.agree()
        self.assertEqual(len(stranger.create("other", chunk=0)), 16)

    def test_snapshots_have_no_index(self):
        self.client.agree()
        self.client.create(snapshot=True)
        self.client.chunk(0, "snapshot-1")
        stream = self.client.add()
        self.client.packet(stream, 5)
        self.client.finish(stream, 5)
        self.assertEqual(self.client.close_chunk(0), (10, f"{SESSION}/snapshot-1"))
        self.assertEqual(self.files(), [f"snapshot-1/{PATH}/chan_0"])

    def test_no_descriptor_is_lost(self):
        before = open_files()
        self.test_rotation()
        self.client.packet(2, 0)
        self.client.control.close()
        self.client.data.close()
        self.assertEqual(open_files(), before)
