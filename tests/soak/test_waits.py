"""Nobody waits for what the daemon does for others.

One peer asks for little, again and again, while a process of its own makes the load.
"""

import os
import socket
import time

from lttngnet.wire import relay as wire
from lttngnet.wire import viewer
from lttngnet.wire.relay import CloseCommand, Command, command
from tests.relayd.talking import CREATED, PATH, index, packet
from tests.soak.running import HELLO, SCALE, Bystander, Producer, Wait, scaled
from tests.soak.test_soak import LONGEST_WAIT, MEMORY_GROWTH, SoakTestCase
from tests.waiting import wait_until

WAIT_FOR_A_CROWD = 0.2  # … where 400 peers send much at the same moment: the reactor reads from all of them
KEPT = 30 << 20  # bytes that Python keeps of a crowd for the next one, which adds …
ADDED = 1 << 20  # … no more than this


class WaitTestCase(SoakTestCase):
    """Starts a daemon, and peers that make a load in processes of their own."""

    def setUp(self):
        self.daemon = self.start()
        self.bystander = Bystander(self.daemon)
        self.addCleanup(self.bystander.close)
        self.bystander.ask()
        self.children = []
        self.addCleanup(self.kill)
        self.descriptors, self.memory = self.daemon.descriptors(), self.daemon.memory()

    def load(self, act, *arguments):
        """Let a process do something to the daemon."""
        child = os.fork()
        if child == 0:
            status = 1
            try:
                act(*arguments)
                status = 0
            finally:
                os._exit(status)
        self.children.append(child)

    def kill(self):
        for child in self.children:
            os.kill(child, 9)
            os.waitpid(child, 0)
        self.children.clear()

    def watch(self, seconds):
        """Ask for so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.ask()

    def watch_children(self):
        """Ask until every load is done."""
        while self.children:
            self.ask()
            done, status = os.waitpid(self.children[0], os.WNOHANG)
            if done:
                self.children.pop(0)
                self.assertEqual(status, 0)

    def ask(self):
        self.assertEqual(self.bystander.ask(), wire.OK.pack() * 2)
        time.sleep(0.002)  # so that the load has the processor, too

    def nobody_waited(self, what, longest=LONGEST_WAIT):
        waits, self.bystander.waits = self.bystander.waits, []
        print(f"\n  {what}: {len(waits)} answers, {Wait.longest(waits)}", end=" ")
        self.waited_at_most(longest, waits)

    def all_is_back(self, growth=MEMORY_GROWTH):
        grown = self.settled(self.daemon, self.descriptors) - self.memory
        print(f"memory + {grown >> 10} KiB", end=" ")
        self.assertLess(grown, growth)


class FloodTests(WaitTestCase):
    def test_floods(self):
        for what in (self.flood_data, self.flood_metadata, self.flood_packets):
            for number in range(2):
                self.load(lambda: what(Producer(self.daemon, f"{what.__name__}{number}", 4)))  # noqa: B023
            self.watch(0.6 * SCALE)
            self.kill()
            self.nobody_waited(what.__name__)
        self.all_is_back()

    def flood_data(self, producer):
        while True:
            producer.packet(producer.sent, bytes(1 << 18))
            producer.sent += 1

    def flood_metadata(self, producer):
        again = command(Command.RESET_METADATA, wire.ResetMetadata(producer.metadata, 1).pack())
        while True:
            producer.text(bytes(1 << 22))
            producer.control.ask(again, 4)

    def flood_packets(self, producer):
        stream = producer.streams[0]
        while True:
            those = range(producer.sent, producer.sent + 1000)
            producer.data.send(b"".join(packet(stream, number, b"", 0) for number in those))
            asked = [command(Command.SEND_INDEX, index(stream, number).pack(13)) for number in those]
            producer.control.ask(b"".join(asked), 4 * len(asked))
            producer.sent += 1000

    def test_peers_that_do_not_read_or_do_not_speak(self):
        self.load(self.be_silent)
        self.load(self.be_deaf)
        self.watch(scaled(1))
        self.assertLess(self.daemon.memory() - self.memory, MEMORY_GROWTH)
        self.kill()
        self.nobody_waited("silent and deaf peers")
        self.all_is_back()

    def be_silent(self):
        slow = [self.daemon.connect() for _ in range(200)]
        for byte in HELLO[:-1]:
            for peer in slow:
                peer.send(bytes([byte]))
        time.sleep(60)

    def be_deaf(self):
        deaf = self.daemon.connect()
        deaf.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        while True:
            deaf.send(command(Command.START_DATA) * 2000)


class CrowdTests(WaitTestCase):
    def test_many_sessions_at_once(self):
        self.load(self.crowd, 20, 100)
        self.watch_children()
        self.nobody_waited("20 sessions of 100 streams at once")
        self.all_is_back(KEPT)

    def crowd(self, sessions, streams):
        """Say everything that can be said at once, in each session."""
        peers = [self.daemon.connect() for _ in range(sessions)]
        adding = self.adding(streams)
        for number, peer in enumerate(peers):
            peer.send(HELLO + self.beginning(f"crowd{number}") + adding)
        handles = [self.handles(peer, streams) for peer in peers]
        feeds = [self.daemon.connect("data") for _ in peers]
        for feed, streams_of_one in zip(feeds, handles, strict=True):
            feed.send(b"".join(packet(stream, 0) for stream in streams_of_one))
        for peer, streams_of_one in zip(peers, handles, strict=True):
            told = [command(Command.SEND_INDEX, index(stream, 0).pack(13)) for stream in streams_of_one]
            ends = [
                command(Command.CLOSE_STREAM, wire.StreamPosition(stream, 0).pack())
                for stream in streams_of_one
            ]
            peer.send(b"".join([*told, *ends]))
        for peer in peers:
            assert peer.read(8 * streams) == wire.OK.pack() * 2 * streams
        for peer in (*peers, *feeds):
            peer.close()

    def beginning(self, name):
        wanted = wire.CreateSession(name, "vm", created=CREATED, sessiond=Producer.SESSIOND)
        chunk = wire.CreateTraceChunk(0, CREATED)
        return command(Command.CREATE_SESSION, wanted.pack(13)) + command(
            Command.CREATE_TRACE_CHUNK, chunk.pack()
        )

    def adding(self, streams):
        names = (f"chan_{number}" for number in range(streams))
        return b"".join(command(Command.ADD_STREAM, wire.AddStream(name, PATH).pack(13)) for name in names)

    def handles(self, peer, streams):
        answer = peer.read(8 + wire.SessionCreated.head.size)
        peer.read(wire.SessionCreated.head.unpack(answer[8:])[2] + 4)
        added = peer.read(12 * streams)
        return [wire.StreamAdded.unpack(added[at : at + 12]).handle for at in range(0, len(added), 12)]

    def test_all_ask_at_the_same_moment(self):
        for questions in (1, 50):
            self.load(self.ask_all, 400, questions, scaled(2))
            self.watch_children()
            longest = LONGEST_WAIT if questions == 1 else WAIT_FOR_A_CROWD
            self.nobody_waited(f"400 connections with {questions} questions each", longest)
        self.all_is_back(KEPT)

    def ask_all(self, connections, questions, times):
        peers, handles = [], []
        while len(peers) < connections:  # to accept one is no turn of anybody
            some = [self.daemon.connect() for _ in range(20)]
            for number, peer in enumerate(some, len(peers)):
                peer.send(HELLO + self.beginning(f"asks{number}") + self.adding(1))
            handles += [self.handles(peer, 1)[0] for peer in some]
            peers += some
        for number in range(0, questions * times, questions):
            for peer, handle in zip(peers, handles, strict=True):
                those = range(number, number + questions)
                peer.send(b"".join(command(Command.SEND_INDEX, index(handle, n).pack(13)) for n in those))
            for peer in peers:
                assert peer.read(4 * questions) == wire.OK.pack() * questions
        for peer in peers:
            peer.close()

    def test_what_is_kept_of_a_crowd_serves_the_next_one(self):
        """`KEPT` is no leak: after some crowds, which find memory in other pieces each, one adds nothing."""
        grown = []
        while not grown or grown[-1] >= ADDED:
            self.assertLess(len(grown), 6, f"every crowd adds memory: {grown}")
            before = self.settled(self.daemon, self.descriptors)
            self.load(self.crowd, 20, 50)
            self.load(self.ask_all, 200, 20, 1)
            self.watch_children()
            grown.append(self.settled(self.daemon, self.descriptors) - before)
        print(f"\n  crowds add {', '.join(str(size >> 10) for size in grown)} KiB", end=" ")
        self.all_is_back(KEPT)

    def test_the_deletion_of_a_trace_chunk(self):
        self.load(self.rotate_and_clear, 1000)
        self.watch_children()
        self.nobody_waited("1,000 streams, and their trace chunk is deleted")
        self.all_is_back(KEPT)

    def rotate_and_clear(self, streams):
        producer = Producer(self.daemon, "clear", streams)
        producer.packet(0)
        ask = producer.control.ask
        ask(command(Command.CREATE_TRACE_CHUNK, wire.CreateTraceChunk(1, CREATED).pack()), 4)
        positions = ((producer.metadata, 0), *((stream, 1) for stream in producer.streams))
        ask(command(Command.ROTATE_STREAMS, wire.RotateStreams(1, positions).pack()), 4)
        closing = wire.CloseTraceChunk(0, CREATED + 2, CloseCommand.DELETE)
        length = ask(command(Command.CLOSE_TRACE_CHUNK, closing.pack()), 8)[4:]
        producer.control.read(int.from_bytes(length, "big"))
        exists = command(Command.TRACE_CHUNK_EXISTS, wire.ChunkQuery(0).pack())
        wait_until(lambda: not wire.ChunkExists.unpack(ask(exists, 5)).exists, "the chunk to be deleted")
        producer.finish(0)

    def test_packets_that_move_to_another_chunk(self):
        self.load(self.move, 128)
        self.watch_children()
        self.nobody_waited("128 MiB move to another trace chunk")
        self.all_is_back()

    def move(self, packets):
        """Rotate before the first packet, although all of them are here."""
        producer = Producer(self.daemon, "early", 1)
        (stream,) = producer.streams
        for number in range(packets):
            producer.data.send(packet(stream, number, bytes(1 << 20), 0))
        wait_until(lambda: self.has_arrived(producer, packets << 20), "the packets")
        ask = producer.control.ask
        ask(command(Command.CREATE_TRACE_CHUNK, wire.CreateTraceChunk(1, CREATED).pack()), 4)
        rotate = wire.RotateStreams(1, ((producer.metadata, 0), (stream, 0)))
        assert ask(command(Command.ROTATE_STREAMS, rotate.pack()), 4) == wire.OK.pack()
        producer.finish(packets - 1)

    def has_arrived(self, producer, size):
        return (self.daemon.output / producer.path / PATH / "chan_0").stat().st_size == size

    def test_many_files_whose_index_is_not_complete(self):
        self.load(self.break_off, 2000)
        self.watch_children()
        wait_until(self.has_ended, "the session to end")
        self.nobody_waited("the end of a stream with 2,000 indexes")
        self.all_is_back(KEPT)

    def break_off(self, files):
        """Begin a trace file with each packet, and tell of none."""
        producer = Producer(self.daemon, "late", 0)
        adding = wire.AddStream("small", PATH, 1, 0).pack(13)
        stream = wire.StreamAdded.unpack(producer.control.ask(command(Command.ADD_STREAM, adding), 12)).handle
        producer.data.send(b"".join(packet(stream, number) for number in range(files)))
        last = self.daemon.output / producer.path / PATH / f"index/small_{files - 1}.idx"
        wait_until(last.exists, "the last file")
        producer.close()

    def test_the_end_of_a_session_of_many_streams(self):
        self.load(self.add_and_leave, scaled(3000))
        self.watch_children()
        wait_until(self.has_ended, "the session to end")
        self.nobody_waited(f"the end of {scaled(3000)} streams")
        self.all_is_back(KEPT)

    def has_ended(self):
        """Ask until the daemon rests."""
        before = self.daemon.cpu()
        self.watch(0.1)
        return self.daemon.cpu() - before < 0.06

    def add_and_leave(self, streams):
        producer = Producer(self.daemon, "wide", 0)
        for _ in range(streams // 500):
            producer.control.send(self.adding(500))
            producer.control.read(12 * 500)
        producer.close()


class ViewerTests(WaitTestCase):
    def test_viewers_of_many_streams(self):
        self.load(self.watch_many, 2000)
        self.watch_children()
        self.nobody_waited("3 viewers attach to 2,000 streams")
        self.all_is_back(KEPT)

    def watch_many(self, streams):
        producer = Producer(self.daemon, "seen", streams, data=False, live_timer=1000)
        producer.control.ask(command(Command.STREAMS_SENT), 4)
        viewers = [self.daemon.connect("live") for _ in range(3)]
        hello = [viewer.Connect(viewer.NO_SESSION, 2, 4, viewer.Kind.COMMAND), viewer.CreateSession()]
        for peer in viewers:
            peer.ask(b"".join(map(viewer.request, hello)), viewer.Connect.layout.size + 4)
            peer.send(viewer.request(viewer.Attach(producer.number, 0, viewer.Seek.BEGINNING)))
        size = viewer.StreamRecord.layout.size * (streams + 1)
        for peer in viewers:
            head = viewer.StreamsHead.unpack(peer.read(viewer.StreamsHead.layout.size))
            assert head == viewer.StreamsHead(viewer.AttachStatus.OK, streams + 1), head
            assert len(peer.read(size)) == size
            peer.close()
        producer.close()
