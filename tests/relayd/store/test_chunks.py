"""Trace chunks: where they lie when, and who shares them. (The captures replay what one client does.)"""

from twisted.trial.unittest import SynchronousTestCase

from lttngnet.relayd.turns import TURN
from lttngnet.wire.relay import CloseCommand
from tests.descriptors import open_files
from tests.relayd.hostility import WatchedRelay
from tests.relayd.replaying import Relay, utc
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

    def watched(self, streams):
        """Let everything take long from now on; return the streams of a client."""
        self.relay = WatchedRelay(self.mktemp())
        self.client = Client(self.relay)
        handles = self.client.stream(*(f"chan_{number}" for number in range(streams)))
        self.relay.clock.step = TURN * 2
        return handles

    def test_a_chunk_of_many_files_is_deleted_in_turns(self):
        streams = self.watched(100)
        self.relay.clock.step = 0.0
        self.client.chunk(1)
        self.client.rotate(1, *((stream, 0) for stream in streams))
        self.relay.clock.step = TURN * 2
        self.client.close_chunk(0, DELETE)
        self.relay.clock.step = 0.0
        folder = self.relay.output / SESSION
        left = len([path for path in folder.glob(".tmp_deleted_*/**/*") if path.is_file()])
        self.assertTrue(0 < left < 100, left)
        self.assertTrue(self.relay.store.sessions[1].chunk_exists(0))
        self.relay.settle()
        self.assertFalse(self.client.exists(0))
        self.assertEqual(self.names(), ["ust"])
        self.assertEqual(len(list((folder / PATH).glob("chan_*"))), 100)

    def test_the_end_of_many_streams_is_in_turns(self):
        self.watched(100)
        session = self.relay.store.sessions[1]
        self.client.control.close()
        self.assertTrue(0 < len(session.streams) < 100)
        self.assertFalse(session.has_ended)
        self.relay.settle()
        self.assertTrue(session.has_ended)
        self.client.data.close()
        self.relay.settle()
        self.assertEqual(self.relay.left_over(), {})

    def test_the_streams_of_an_aborted_session_are_unknown_at_once(self):
        streams = self.watched(100)
        session = self.relay.store.sessions[1]
        session.abort()
        self.assertEqual(session.streams, {})
        self.assertGreater(self.relay.left_over()["files"], 0)
        self.relay.clock.step = 0.0
        self.assertEqual(self.client.index(streams[-1], 0), 11)
        self.relay.settle()
        self.client.control.close()
        self.client.data.close()
        self.relay.settle()
        self.assertEqual(self.relay.left_over(), {})

    def test_the_daemon_stops_in_the_middle_of_an_end(self):
        self.watched(100)
        self.client.control.close()
        self.relay.store.close()
        self.assertEqual(self.relay.store.sessions, {})
        self.client.data.close()
        self.assertEqual(self.relay.left_over(), {})

    def test_a_chunk_that_somebody_else_took_away(self):
        (stream,) = self.client.stream()
        self.client.chunk(1)
        (self.relay.output / SESSION / ".tmp_old_chunk").rename(self.relay.output / "elsewhere")
        self.client.rotate(1, (stream, 0))
        self.assertEqual(self.client.close_chunk(0, DELETE)[0], 10)

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
