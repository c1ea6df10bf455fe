"""Viewers of a live session: what each status of the protocol means, and where each of them stands."""

import os
from uuid import UUID

from twisted.internet.testing import StringTransport
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.relayd import attachment
from lttngnet.relayd.live import PIECE
from lttngnet.relayd.store.store import CHUNKS_SINCE
from lttngnet.relayd.turns import TURN
from lttngnet.wire import viewer as wire
from lttngnet.wire.relay import NO_SEQUENCE, CloseCommand, Command, MetadataHeader, command
from lttngnet.wire.viewer import (
    AttachStatus,
    DetachStatus,
    Flags,
    IndexStatus,
    MetadataStatus,
    PacketStatus,
    RequestHeader,
    Seek,
    StreamsStatus,
    request,
)
from tests.descriptors import open_files
from tests.relayd.hostility import WatchedRelay
from tests.relayd.replaying import InSteps, Relay, utc
from tests.relayd.talking import Client
from tests.relayd.watching import Viewer

OK, RETRY, HUNG_UP, ERROR, INACTIVE = IndexStatus
NOTHING_NEW = MetadataStatus.NOTHING_NEW
NONE, NEW_METADATA, NEW_STREAMS = Flags.NONE, Flags.NEW_METADATA, Flags.NEW_STREAMS
DATA, METADATA = 1, 2  # the streams that `LiveCase.begin` makes


class LiveCase(SynchronousTestCase):
    def setUp(self):
        utc(self)
        self.relay = Relay(self.mktemp())
        self.client = Client(self.relay)

    def begin(self, live_timer=200000, **limits):
        """Make a session with a published trace: a stream and its metadata."""
        self.client.agree()
        self.client.create(live_timer=live_timer)
        if self.client.minor >= CHUNKS_SINCE:
            self.client.chunk()
        self.client.add(**limits)
        self.client.add("metadata")
        self.publish()

    def publish(self):
        self.client.status(Command.STREAMS_SENT)

    def viewer(self, seek=Seek.BEGINNING):
        """Return a viewer that is attached."""
        viewer = Viewer(self.relay).ready()
        self.assertEqual(viewer.attach(1, seek)[0], AttachStatus.OK)
        return viewer

    def send(self, sequence, stream=DATA, content=b"x" * 6, packet_sequence=None):
        """Send a packet of 8 bytes, and its index."""
        self.client.packet(stream, sequence, content)
        self.client.index(stream, sequence, packet_sequence=packet_sequence)

    def beacon(self, sequence=0):
        self.client.index(DATA, sequence, size=0)

    def leave(self):
        self.client.control.close()
        self.client.data.close()


class SessionTests(LiveCase):
    def test_listing(self):
        watcher = Viewer(self.relay).ready()
        self.assertEqual(watcher.list(), ())
        self.begin()
        other = Client(self.relay)
        other.agree()
        other.create("other", "h" * 200)
        self.assertEqual(
            [tuple(session) for session in watcher.list()],
            [(1, 200000, 0, 2, "vm", "walk", 0), (2, 0, 0, 0, "h" * 63, "other", 0)],
        )
        viewers = [self.viewer() for _ in range(3)]
        self.assertEqual(watcher.list()[0].clients, 3)
        viewers.pop().connection.close()
        viewers.pop().detach()
        self.assertEqual(watcher.list()[0].clients, 1)
        new = Viewer(self.relay, 15).ready()
        self.assertEqual([session.hostname for session in new.list()], ["vm", "h" * 200])

    def test_attaching(self):
        self.begin()
        other = Client(self.relay)
        other.agree()
        other.create("other")
        viewer = Viewer(self.relay)
        viewer.connect()
        self.assertEqual(viewer.attach(1), (AttachStatus.NO_VIEWER_SESSION, []))
        viewer.create()
        self.assertEqual(viewer.attach(3), (AttachStatus.UNKNOWN, []))
        self.assertEqual(viewer.attach(2), (AttachStatus.NOT_LIVE, []))
        self.assertEqual(viewer.attach(1, 3), (AttachStatus.SEEK_ERROR, []))
        self.assertEqual(viewer.list()[0].clients, 0)
        self.assertEqual(viewer.attach(1), (AttachStatus.OK, [DATA, METADATA]))
        self.assertEqual(viewer.attach(1), (AttachStatus.ALREADY, []))

    def test_detaching(self):
        self.begin()
        viewer = self.viewer()
        self.assertEqual(viewer.detach(9), DetachStatus.UNKNOWN)
        self.assertEqual(viewer.detach(1), DetachStatus.OK)
        self.assertEqual(viewer.detach(1), DetachStatus.NOT_ATTACHED)
        self.assertEqual(viewer.attach(1), (AttachStatus.OK, [DATA, METADATA]))

    def test_several_sessions(self):
        self.begin()
        other = Client(self.relay)
        other.agree()
        other.create("other", live_timer=5, sessiond=UUID(int=9))
        other.chunk()
        streams = [other.add(), other.add("metadata")]
        other.status(Command.STREAMS_SENT)
        viewer = self.viewer()
        self.send(0)
        self.assertEqual(viewer.told(streams[0]), (ERROR, NONE))
        self.assertEqual(viewer.attach(2), (AttachStatus.OK, streams))
        self.assertEqual(viewer.told(streams[0]), (RETRY, NEW_METADATA))
        self.assertEqual(viewer.told(DATA), (OK, NEW_METADATA))
        self.assertEqual(viewer.detach(1), DetachStatus.OK)
        self.assertEqual(viewer.told(DATA), (ERROR, NONE))
        self.assertEqual(viewer.packet(DATA), PacketStatus.ERROR)
        self.assertEqual(viewer.told(streams[0]), (RETRY, NEW_METADATA))

    def test_streams_of_a_session_that_is_not_attached(self):
        self.begin()
        self.send(0)
        self.client.metadata(METADATA, b"text")
        self.viewer()
        stranger = Viewer(self.relay).ready()
        self.assertEqual(stranger.told(DATA), (ERROR, NONE))
        self.assertEqual(stranger.packet(DATA), PacketStatus.ERROR)
        self.assertEqual(stranger.metadata(METADATA), MetadataStatus.ERROR)
        self.assertEqual(stranger.new(1), (StreamsStatus.ERROR, []))

    def test_after_the_producer_has_left(self):
        self.begin()
        viewer, files = self.viewer(), open_files()
        for sequence in range(2):
            self.send(sequence)
        self.leave()
        self.assertEqual(self.relay.store.sessions, {})
        self.assertEqual(viewer.list(), ())
        self.assertEqual(Viewer(self.relay).ready().attach(1), (AttachStatus.UNKNOWN, []))
        self.assertEqual(viewer.new(), (StreamsStatus.OK, []))
        self.assertEqual(viewer.all(DATA), [1000, 1001])
        self.assertEqual(viewer.told(DATA), (ERROR, NONE))  # it was told that the stream hangs up
        self.assertEqual(viewer.new(), (StreamsStatus.HUNG_UP, []))
        self.assertEqual(viewer.detach(), DetachStatus.OK)
        self.assertLess(open_files(), files)


class StreamTests(LiveCase):
    def test_streams_that_nobody_may_know_of(self):
        """Neither those that are not published, nor those without metadata."""
        self.begin()
        viewer = self.viewer()
        third = self.client.add("chan_1")
        lonely = self.client.add("chan_0", "ust/uid/1/64-bit")
        self.assertEqual(viewer.told(DATA), (RETRY, NEW_METADATA))
        self.publish()
        self.assertEqual(viewer.told(DATA), (RETRY, NEW_METADATA | NEW_STREAMS))
        self.assertEqual(viewer.told(third), (ERROR, NONE))
        self.assertEqual(viewer.new(), (StreamsStatus.OK, [third]))
        self.assertEqual(viewer.new(), (StreamsStatus.OK, []))
        self.assertEqual(viewer.told(third), (RETRY, NEW_METADATA))
        described = self.client.add("metadata", "ust/uid/1/64-bit")
        self.publish()
        self.assertEqual(viewer.new(), (StreamsStatus.OK, [lonely, described]))
        answer = wire.StreamList.unpack(Viewer(self.relay).ready().ask(wire.Attach(1, 0, 1)))
        self.assertEqual(
            {stream.stream: (stream.trace, stream.is_metadata, stream.channel) for stream in answer.streams},
            {
                1: (1, 0, "chan_0"),
                2: (1, 1, "metadata"),
                third: (1, 0, "chan_1"),
                lonely: (2, 0, "chan_0"),
                described: (2, 1, "metadata"),
            },
        )

    def test_new_streams_that_close_before_they_are_told(self):
        self.begin()
        viewer = self.viewer(Seek.LAST)
        streams = [self.client.add(name, "ust/pid/a-1") for name in ("chan_0", "metadata")]
        self.publish()
        self.send(0, streams[0])
        self.client.metadata(streams[1], b"text")
        self.client.finish(streams[0], 0)
        self.client.finish(streams[1], NO_SEQUENCE)
        self.assertEqual(viewer.told(DATA), (RETRY, NEW_METADATA | NEW_STREAMS))
        self.assertEqual(viewer.new(), (StreamsStatus.OK, streams))
        self.assertEqual(viewer.metadata(streams[1]), b"text")
        self.assertEqual(viewer.all(streams[0]), [1000])

    def test_streams_that_are_never_asked_for(self):
        """Those that are closed are forgotten at some point, those that are open never."""
        self.patch(attachment, "UNTOLD_LIMIT", 4)
        self.begin()
        viewer = self.viewer()
        streams = []
        for number in range(4):
            streams += [self.client.add(name, f"ust/pid/{number}") for name in ("chan_0", "metadata")]
            self.publish()
            if number != 1:
                self.client.finish(streams[-2], NO_SEQUENCE)
        self.assertEqual(viewer.new(), (StreamsStatus.OK, [stream for stream in streams if stream != 3]))

    def test_many_streams_are_told_in_turns(self):
        self.relay = WatchedRelay(self.mktemp())
        self.client = Client(self.relay)
        self.begin()
        streams = [DATA, METADATA, *(self.client.add(f"more_{number}") for number in range(40))]
        self.publish()
        viewer, other = (Viewer(self.relay).ready() for _ in range(2))
        transport = viewer.connection.transport
        transport.clear()
        self.relay.clock.step = TURN / 2
        self.assertEqual(viewer.ask(wire.Attach(1, 0, Seek.BEGINNING)), b"")
        self.assertEqual(len(other.list()), 1)
        self.relay.settle()
        answer = wire.StreamList.unpack(transport.value())
        self.assertEqual([stream.stream for stream in answer.streams], streams)
        self.relay.clock.step = 0.0
        self.assertEqual(viewer.told(streams[-1]), (RETRY, NEW_METADATA))
        for connection in (viewer.connection, other.connection, self.client.control, self.client.data):
            connection.close()
        self.assertEqual(self.relay.left_over(), {})

    def test_long_names(self):
        self.begin()
        self.client.add("c" * 255)
        self.publish()
        answer = wire.StreamList.unpack(Viewer(self.relay).ready().ask(wire.Attach(1, 0, 1)))
        self.assertIn("c" * 254, [stream.channel for stream in answer.streams])


class IndexTests(LiveCase):
    def test_packets(self):
        self.begin()
        viewer = self.viewer()
        self.assertEqual(viewer.told(DATA), (RETRY, NEW_METADATA))
        self.send(0, content=b"first.")
        self.send(1, content=b"second")
        self.assertEqual(viewer.next(DATA), wire.NextIndex(0, 64, 48, 1000, 2000, 0, 3, OK, NEW_METADATA))
        self.assertEqual(viewer.packet(DATA, 0, 8), b"first.\0\0")
        self.client.metadata(METADATA, b"text")
        self.assertEqual(viewer.metadata(METADATA), b"text")
        self.assertEqual(viewer.next(DATA), wire.NextIndex(8, 64, 48, 1001, 2001, 0, 3, OK, NONE))
        self.assertEqual(viewer.packet(DATA, 8, 8), b"second\0\0")
        self.assertEqual(viewer.packet(DATA, 4, 6), b"t.\0\0se")
        self.assertEqual(viewer.told(DATA), (RETRY, NONE))
        self.assertEqual(viewer.told(METADATA), (HUNG_UP, NONE))
        self.assertEqual(viewer.told(99), (ERROR, NONE))

    def test_half_an_entry_is_none(self):
        self.begin()
        viewer = self.viewer()
        self.client.packet(DATA, 0)
        self.assertEqual(viewer.all(DATA), [])
        self.client.index(DATA, 0)
        self.assertEqual(viewer.all(DATA), [1000])
        self.client.index(DATA, 1)
        self.assertEqual(viewer.all(DATA), [])
        self.client.packet(DATA, 1)
        self.assertEqual(viewer.all(DATA), [1001])

    def test_entries_of_the_older_format(self):
        self.client = Client(self.relay, minor=5)
        self.begin()
        viewer = self.viewer()
        self.send(0)
        self.send(1)
        self.assertEqual(viewer.all(DATA), [1000, 1001])
        self.assertEqual(viewer.packet(DATA, 8), b"x" * 6 + b"\0\0")

    def test_every_viewer_at_its_own_place(self):
        self.begin()
        first = self.viewer()
        self.send(0)
        self.send(1)
        late, last = self.viewer(), self.viewer(Seek.LAST)
        self.assertEqual(first.next(DATA).timestamp_begin, 1000)
        self.assertEqual(last.told(DATA)[0], RETRY)
        self.send(2)
        self.assertEqual(last.all(DATA), [1002])
        self.assertEqual(late.all(DATA), [1000, 1001, 1002])
        self.assertEqual(first.all(DATA), [1001, 1002])

    def test_beacons(self):
        self.begin()
        viewer = self.viewer()
        self.beacon()
        self.assertEqual(viewer.next(DATA), wire.NextIndex(0, 0, 0, 0, 2000, 0, 3, INACTIVE, NEW_METADATA))
        self.send(0)
        self.assertEqual(viewer.all(DATA), [1000])
        self.assertEqual(viewer.told(DATA)[0], RETRY)
        self.send(1)
        self.beacon(5)
        self.assertEqual(viewer.all(DATA), [1001])  # what is unsent comes first
        self.assertEqual(viewer.next(DATA).timestamp_end, 2005)
        self.client.packet(DATA, 2)
        self.beacon(6)
        self.assertEqual(viewer.next(DATA).timestamp_end, 2005)  # a half waits: it says nothing
        self.client.index(DATA, 2)
        self.assertEqual(viewer.all(DATA), [1002])

    def test_the_end_of_a_stream(self):
        self.begin()
        viewer = self.viewer()
        self.send(0)
        self.beacon()
        self.client.finish(DATA, 0)
        self.assertEqual(viewer.told(DATA), (OK, NEW_METADATA))
        self.assertEqual(viewer.told(DATA), (HUNG_UP, NEW_METADATA))
        self.assertEqual(viewer.told(DATA), (ERROR, NONE))
        self.assertEqual(viewer.new(), (StreamsStatus.OK, []))

    def test_data_that_comes_after_the_control_connection_has_gone(self):
        self.begin()
        viewer = self.viewer()
        self.client.index(DATA, 0)
        self.client.control.close()
        self.assertEqual(viewer.told(DATA)[0], RETRY)
        self.client.packet(DATA, 0)
        self.assertEqual(viewer.all(DATA), [1000])
        self.assertEqual(viewer.new(), (StreamsStatus.HUNG_UP, []))

    def test_files_that_are_gone(self):
        self.begin()
        viewer = self.viewer()
        self.send(0)
        self.client.metadata(METADATA, b"text")
        for file in self.relay.output.rglob("*"):
            if file.is_file():
                file.unlink()
        with capturedLogs() as log:
            self.assertEqual(viewer.told(DATA)[0], ERROR)
            self.assertEqual(viewer.metadata(METADATA), MetadataStatus.ERROR)
        self.assertEqual([event["log_level"] for event in log], [LogLevel.error] * 2)

    def test_links_are_not_followed(self):
        self.begin()
        viewer = self.viewer()
        self.client.metadata(METADATA, b"text")
        (file,) = self.relay.output.rglob("metadata")
        file.unlink()
        file.symlink_to("/etc/passwd")
        self.assertEqual(viewer.metadata(METADATA), MetadataStatus.ERROR)

    def test_no_descriptors_for_one_more_file(self):
        self.begin()
        viewer = self.viewer()
        self.send(0)
        chunk = self.relay.store.sessions[1].streams[DATA].trail.last.chunk
        real = chunk.open

        def full(path):
            raise OSError(24, os.strerror(24))

        self.patch(chunk, "open", full)
        self.assertEqual(viewer.told(DATA)[0], RETRY)
        self.patch(chunk, "open", real)
        self.assertEqual(viewer.all(DATA), [1000])


class PacketTests(LiveCase):
    def test_refused(self):
        self.begin()
        viewer = self.viewer()
        self.send(0)
        self.assertEqual(viewer.packet(DATA), PacketStatus.ERROR)  # no index was asked for
        viewer.next(DATA)
        self.assertEqual(len(viewer.packet(DATA)), 8)
        for offset, length in ((0, 9), (8, 1), (1 << 63, 8), ((1 << 64) - 8, 8), (0, (1 << 32) - 1)):
            self.assertEqual(viewer.packet(DATA, offset, length), PacketStatus.ERROR)
        self.assertEqual(viewer.packet(METADATA, 0, 0), PacketStatus.ERROR)
        self.assertEqual(viewer.packet(99), PacketStatus.ERROR)

    def test_a_file_that_gets_shorter(self):
        """The announced bytes cannot be sent any more: the connection ends, and no other."""
        self.begin()
        content = bytes(range(256)) * (PIECE // 64)
        self.send(0, content=content)
        viewer = self.viewer()
        viewer.next(DATA)
        channel, transport = viewer.connection.channel, viewer.connection.transport
        viewer.connection.channel.pauseProducing()
        viewer.ask(wire.GetPacket(DATA, 0, len(content)))
        write = transport.write

        def write_and_pause(data):
            write(data)
            channel.pauseProducing()

        self.patch(transport, "write", write_and_pause)
        channel.resumeProducing()  # the head …
        channel.resumeProducing()  # … and a piece
        self.assertFalse(viewer.is_closed)
        (file,) = self.relay.output.rglob("chan_0")
        os.truncate(file, PIECE)
        channel.resumeProducing()
        self.assertTrue(viewer.is_closed)


class MetadataTests(LiveCase):
    def test_statuses(self):
        self.begin()
        viewer = self.viewer()
        self.assertEqual(viewer.metadata(METADATA), NOTHING_NEW)
        self.client.metadata(METADATA, b"one", 2)
        self.client.metadata(METADATA, b"two")
        self.assertEqual(viewer.told(DATA), (RETRY, NEW_METADATA))
        self.assertEqual(viewer.metadata(METADATA), b"one\0\0two")
        self.assertEqual(viewer.metadata(METADATA), NOTHING_NEW)
        self.assertEqual(viewer.told(DATA), (RETRY, NONE))
        self.client.metadata(METADATA, b"three")
        self.client.finish(METADATA, NO_SEQUENCE)
        self.assertEqual(viewer.metadata(METADATA), b"three")
        self.assertEqual(viewer.metadata(METADATA), NOTHING_NEW)
        self.assertEqual(viewer.metadata(METADATA), MetadataStatus.ERROR)
        self.assertEqual(viewer.metadata(DATA), MetadataStatus.ERROR)
        self.assertEqual(viewer.metadata(99), MetadataStatus.ERROR)

    def test_never_a_part(self):
        self.begin()
        viewer = self.viewer()
        self.client.metadata(METADATA, b"text")
        (file,) = self.relay.output.rglob("metadata")
        os.truncate(file, 2)
        self.assertEqual(viewer.metadata(METADATA), NOTHING_NEW)

    def test_never_a_part_of_what_is_just_coming(self):
        self.begin()
        viewer = self.viewer()
        text = b"x" * (200 << 10)
        said = command(Command.SEND_METADATA, MetadataHeader(METADATA, 0).pack() + text)
        self.client.control.send(said[:-1])
        self.assertEqual(viewer.metadata(METADATA), NOTHING_NEW)
        self.client.control.send(said[-1:])
        self.assertEqual(viewer.metadata(METADATA), text)

    def test_sent_anew_after_a_rotation(self):
        self.begin()
        viewer = self.viewer()
        self.client.metadata(METADATA, b"one")
        self.assertEqual(viewer.metadata(METADATA), b"one")
        self.client.chunk(1)
        self.client.rotate(1, (METADATA, 0))
        self.client.close_chunk(0, CloseCommand.DELETE)
        self.assertEqual(viewer.told(DATA), (RETRY, NEW_METADATA))  # none was received in this chunk
        self.assertEqual(viewer.metadata(METADATA), NOTHING_NEW)
        self.client.metadata(METADATA, b"one")
        self.assertEqual(viewer.told(DATA), (RETRY, NONE))
        self.client.metadata(METADATA, b"two")
        self.assertEqual(viewer.metadata(METADATA), b"two")


class ChunkTests(LiveCase):
    def rotate(self, number, position, command):
        """Go to another chunk, as ``lttng clear`` or ``lttng rotate`` do."""
        self.client.chunk(number)
        self.client.rotate(number, (DATA, position), (METADATA, 0))
        self.client.close_chunk(number - 1, command)

    def test_in_the_middle(self):
        self.begin()
        self.send(0)
        viewer = self.viewer()
        self.client.chunk(1)
        self.assertEqual(viewer.told(DATA)[0], RETRY)
        self.assertEqual(viewer.new(), (StreamsStatus.NONE, []))
        other = Viewer(self.relay).ready()
        self.assertEqual(other.attach(1), (AttachStatus.OK, []))
        self.client.rotate(1, (DATA, 5), (METADATA, 0))
        self.client.close_chunk(0, CloseCommand.MOVE_TO_COMPLETED)
        self.assertEqual(other.new(), (StreamsStatus.OK, [DATA, METADATA]))
        self.assertEqual(viewer.told(DATA)[0], RETRY)  # the stream has not moved yet
        for sequence in range(1, 6):
            self.send(sequence)
        self.assertEqual(viewer.all(DATA), [1000, 1001, 1002, 1003, 1004, 1005])

    def test_the_other_part_of_the_session(self):
        """A session daemon has a connection for each of its consumers: while one rotates, all do."""
        self.begin()
        self.send(0)
        viewer = self.viewer()
        other = Client(self.relay)
        other.agree()
        other.create(chunk=0)
        other.chunk(1)
        self.assertEqual(viewer.told(DATA)[0], RETRY)
        other.control.close()
        self.assertEqual(viewer.told(DATA)[0], OK)

    def test_clear(self):
        """What was not read is lost; the first packet after it lies at 0 again."""
        self.begin()
        viewer = self.viewer()
        self.send(0)
        self.send(1)
        self.assertEqual(viewer.next(DATA).timestamp_begin, 1000)
        self.rotate(1, 2, CloseCommand.DELETE)
        self.assertEqual(viewer.packet(DATA), b"x" * 6 + b"\0\0")  # it was told of that one
        self.assertEqual(viewer.told(DATA)[0], RETRY)
        self.send(2)
        answer = viewer.next(DATA)
        self.assertEqual((answer.offset, answer.timestamp_begin, answer.status), (0, 1002, OK))
        self.assertEqual(len(viewer.packet(DATA)), 8)
        self.assertEqual(viewer.all(DATA), [])

    def test_clear_while_stopped(self):
        self.begin()
        viewer, files = self.viewer(), open_files()
        self.send(0)
        self.send(1)
        viewer.next(DATA)
        self.client.rotate(None, (DATA, 2), (METADATA, 0))
        self.client.close_chunk(0, CloseCommand.DELETE)
        self.assertFalse(self.client.exists(0))
        self.assertEqual(viewer.all(DATA), [])
        self.client.chunk(1)
        self.client.rotate(1, (DATA, 2), (METADATA, 0))
        self.assertEqual(viewer.all(DATA), [])
        self.send(2)
        self.assertEqual(viewer.all(DATA), [1002])
        self.leave()
        self.assertEqual(viewer.all(DATA), [])
        self.assertLess(open_files(), files)

    def test_rotation_loses_nothing(self):
        """Nor do two of them, for who has read nothing yet."""
        self.begin()
        viewer = self.viewer()
        for number in range(3):
            if number:
                self.rotate(number, 2 * number, CloseCommand.MOVE_TO_COMPLETED)
            self.send(2 * number)
            self.send(2 * number + 1)
        self.assertEqual(viewer.all(DATA), [1000, 1001, 1002, 1003, 1004, 1005])
        self.assertEqual(self.viewer().all(DATA), [1004, 1005])  # a new one begins in the present chunk

    def test_the_rest_after_the_last_chunk(self):
        self.begin()
        viewer = self.viewer()
        self.send(0)
        self.client.rotate(None, (DATA, 1), (METADATA, 0))
        self.client.close_chunk(0)
        self.client.finish(DATA, 0)
        self.leave()
        self.assertEqual(viewer.all(DATA), [1000])


class TraceFileTests(LiveCase):
    def test_wrap(self):
        """As the genuine relay daemon: on to the oldest entry that is kept."""
        self.begin(size=16, count=3)
        viewer = self.viewer()
        self.send(0)
        self.assertEqual(viewer.all(DATA), [1000])
        for sequence in range(1, 12):
            self.send(sequence)
        found = []
        while (answer := viewer.next(DATA)).status == OK:
            self.assertEqual(len(viewer.packet(DATA, answer.offset)), 8)
            found.append((answer.offset, answer.timestamp_begin))
        kept = [1006, 1007, 1008, 1009, 1010, 1011]
        self.assertEqual(found, list(zip([0, 8] * 3, kept, strict=True)))
        self.assertEqual(self.viewer().all(DATA), kept)
        self.assertEqual(self.viewer(Seek.LAST).all(DATA), [])

    def test_one_file(self):
        self.begin(size=16, count=1)
        viewer = self.viewer()
        for sequence in range(5):
            self.send(sequence)
        self.assertEqual(viewer.all(DATA), [1004])

    def test_from_file_to_file(self):
        self.begin(size=16)
        viewer = self.viewer()
        for sequence in range(7):
            self.send(sequence)
        self.assertEqual(viewer.all(DATA), list(range(1000, 1007)))

    def test_an_index_that_comes_late(self):
        """The file before is not complete: nothing is passed over."""
        self.begin(size=16)
        viewer = self.viewer()
        for sequence in range(4):
            self.client.packet(DATA, sequence)
        self.client.index(DATA, 0)
        self.client.index(DATA, 2)
        self.assertEqual(viewer.all(DATA), [1000])
        self.client.index(DATA, 1)
        self.assertEqual(viewer.all(DATA), [1001, 1002])


class ConnectionTests(LiveCase):
    def test_order(self):
        for question in (wire.ListSessions(), wire.CreateSession(), wire.Attach(1, 0, 1)):
            viewer = Viewer(self.relay)
            self.assertEqual(viewer.ask(question), b"")
            self.assertTrue(viewer.is_closed)
        viewer = Viewer(self.relay).ready()
        self.assertIsNone(viewer.connect())
        self.assertTrue(viewer.is_closed)

    def test_unknown_command(self):
        viewer = Viewer(self.relay).ready()
        answer = viewer.connection.send(RequestHeader(0, 10).pack() + request(wire.ListSessions()))
        self.assertEqual(wire.Status.unpack(answer), wire.Status(11))
        self.assertEqual(len(answer), 4)
        self.assertTrue(viewer.is_closed)

    def test_numbers(self):
        viewers = [Viewer(self.relay) for _ in range(2)]
        self.assertEqual([viewer.connect().viewer for viewer in viewers], [1, 2])

    def test_many_questions_at_once(self):
        self.begin()
        for sequence in range(3):
            self.send(sequence)
        viewer = self.viewer()
        answers = viewer.connection.send(request(wire.GetNextIndex(DATA)) * 3)
        starts = [wire.NextIndex.unpack(answers[at:]).timestamp_begin for at in (0, 64, 128)]
        self.assertEqual(starts, [1000, 1001, 1002])

    def test_a_viewer_that_does_not_read(self):
        """Nothing more is answered, nor read, until what was answered is on its way."""
        self.begin()
        content = bytes(range(256)) * (3 * PIECE // 256)
        self.client.packet(DATA, 0, content, 0)
        self.client.index(DATA, 0)
        viewer = self.viewer()
        viewer.next(DATA)
        channel, transport = viewer.connection.channel, viewer.connection.transport
        written = []

        def write(data):
            written.append(bytes(data))
            if len(data) >= PIECE:
                channel.pauseProducing()

        self.patch(transport, "write", write)
        channel.dataReceived(request(wire.GetPacket(DATA, 0, len(content))) + request(wire.ListSessions()))
        for pieces in (1, 2, 3):
            self.assertEqual(transport.producerState, "paused")
            self.assertEqual(b"".join(written[1:]), content[: pieces * PIECE])
            channel.resumeProducing()
        self.assertEqual(transport.producerState, "producing")
        self.assertEqual(len(written), 5)

    def test_the_end_while_an_answer_is_sent(self):
        self.begin()
        self.send(0)
        before = open_files()
        viewer = self.viewer()
        viewer.next(DATA)
        self.assertEqual(open_files(), before + 2)
        viewer.connection.channel.stopProducing()
        viewer.connection.close()
        viewer.connection.channel.dataReceived(request(wire.ListSessions()))
        self.assertEqual(open_files(), before)

    def test_a_defect_ends_one_connection(self):
        self.begin()
        viewer = self.viewer()
        self.patch(self.relay.store, "sessions", None)
        viewer.ask(wire.ListSessions())
        self.assertTrue(viewer.is_closed)
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)

    def test_transport(self):
        """The channel is the producer of its own answers."""
        channel, transport = self.relay.live.buildProtocol(None), StringTransport()
        channel.makeConnection(transport)
        self.assertIs(transport.producer, channel)
        self.assertTrue(transport.streaming)


class IndexInStepsTests(InSteps, IndexTests):
    """The same, with everybody's turns as short as they can be."""


class MetadataInStepsTests(InSteps, MetadataTests):
    """The same, with everybody's turns as short as they can be."""


class ChunkInStepsTests(InSteps, ChunkTests):
    """The same, with everybody's turns as short as they can be."""


class TraceFileInStepsTests(InSteps, TraceFileTests):
    """The same, with everybody's turns as short as they can be."""
