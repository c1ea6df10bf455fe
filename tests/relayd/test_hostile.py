"""Hostile and unlucky peers: bounds, waiting that ends, disks that fail, and conversations gone wrong."""

import os
from errno import ENOSPC

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.ctf.index import read_index
from lttngnet.relayd.control import PATIENCE, REFUSALS
from lttngnet.relayd.peers import Peers, peers_limit
from lttngnet.relayd.store import files as files_module
from lttngnet.relayd.store import pairing, session, store, stream
from lttngnet.relayd.store.late import WAIT_FOR_DATA, WAIT_FOR_STRANGER
from lttngnet.relayd.turns import TURN
from lttngnet.wire import framing
from lttngnet.wire import relay as wire
from lttngnet.wire.framing import Commands
from lttngnet.wire.relay import METADATA_PART, Command, CommandHeader, MetadataHeader, command
from tests.captures import scenarios
from tests.relayd.hostility import WatchedRelay, defects
from tests.relayd.replaying import utc
from tests.relayd.talking import PATH, Client, packet

STEP = TURN * 0.6  # two looks at the clock are more than a turn
HUGE = (1 << 64) - 1


class HostileTestCase(SynchronousTestCase):
    def setUp(self):
        utc(self)
        self.folder = self.mktemp()
        self.relay = WatchedRelay(self.folder)
        self.client = Client(self.relay)

    def read(self, name, session="walk"):
        return (self.relay.output / f"vm/{session}-20261122-124548" / PATH / name).read_bytes()

    def leave(self, *clients):
        for client in clients or [self.client]:
            client.control.close()
            client.data.close()
        self.relay.settle()
        self.assertEqual(self.relay.left_over(), {})

    def other(self, name="other"):
        """Return another client, in the middle of its session, and a stream of it."""
        client = Client(self.relay)
        client.agree()
        client.create(name)
        client.chunk()
        client.packet(client.add("chan_1"), 0)
        return client, client.add("chan_0")

    def works(self, client, stream, number=0, session="other"):
        client.packet(stream, number)
        self.assertEqual(client.index(stream, number), 10)
        self.assertEqual(len(list(read_index(self.read("index/chan_0.idx", session)))), number + 1)


class BoundTests(HostileTestCase):
    def test_indexes_without_packets(self):
        self.patch(pairing, "WAITING_LIMIT", 3)
        first, second = self.client.stream("chan_0", "chan_1")
        other, stream = self.other()
        answers = [self.client.index(first, n) for n in (0, 1)] + [
            self.client.index(second, n) for n in (0, 1)
        ]
        self.assertEqual(answers, [10, 10, 10, 11])
        self.assertTrue(self.client.control.is_closed)
        self.works(other, stream)
        self.leave(self.client, other)

    def test_packets_without_indexes(self):
        self.patch(pairing, "WAITING_LIMIT", 3)
        (stream,) = self.client.stream()
        for number in range(3):
            self.client.packet(stream, number)
            self.client.packet(stream, number)  # said twice, it waits once
        self.assertFalse(self.client.data.is_closed)
        self.client.packet(stream, 3)
        self.assertTrue(self.client.data.is_closed)
        self.leave()

    def test_what_is_complete_waits_no_more(self):
        self.patch(pairing, "WAITING_LIMIT", 1)
        (stream,) = self.client.stream()
        for number in range(9):
            self.client.packet(stream, number)
            self.assertEqual(self.client.index(stream, number), 10)
        self.client.finish(stream, 8)
        self.leave()

    def test_streams(self):
        self.patch(session, "STREAMS_LIMIT", 2)
        self.client.stream("chan_0", "chan_1")
        self.assertEqual(self.client.add("chan_2"), -11)
        self.assertFalse(self.client.control.is_closed)
        self.leave()

    def test_sessions(self):
        self.patch(store, "SESSIONS_LIMIT", 1)
        self.client.stream()
        other = Client(self.relay)
        other.agree()
        self.assertEqual(wire.SessionCreated.unpack(other.create("other")).code, 25)
        self.client.control.close()
        self.assertEqual(wire.SessionCreated.unpack(other.create("other")).code, 10)
        self.client.data.close()
        self.leave(other)

    def test_refusals(self):
        self.client.stream()
        for _ in range(REFUSALS):
            self.assertFalse(self.client.control.is_closed)
            self.assertEqual(self.client.add("../out"), -11)
        self.assertTrue(self.client.control.is_closed)
        self.leave()

    def test_packets_that_would_move_along(self):
        self.patch(stream, "SURPLUS_LIMIT", 100)
        (handle,) = self.client.stream()
        self.client.packet(handle, 0, b"x" * 50, 51)
        self.client.chunk(1)
        self.assertEqual(self.client.rotate(1, (handle, 0)), 153)
        self.leave()

    def test_many_packets_that_would_move_along(self):
        self.patch(stream, "SURPLUS_PACKETS", 2)
        self.client.stream()
        handles = [self.client.add(f"chan_{number}") for number in (1, 2)]
        for handle, count in zip(handles, (2, 3), strict=True):
            for number in range(count):
                self.client.packet(handle, number)
        self.client.chunk(1)
        self.assertEqual(self.client.rotate(1, (handles[0], 0)), 10)
        self.assertEqual(self.client.rotate(1, (handles[1], 0)), 153)
        self.leave()

    def test_a_length_that_is_only_announced(self):
        for number in Command:
            with self.subTest(number=number.name):
                control = self.relay.connect("control")
                control.send(CommandHeader(0, HUGE, number).pack())
                self.assertTrue(control.is_closed)
                self.assertEqual(control.transport.value(), b"")
                control.close()
        self.leave()

    def test_numbers_that_no_real_peer_has(self):
        (handle,) = self.client.stream()
        other = Client(self.relay)
        other.agree()
        for created in (1 << 63, HUGE):
            self.assertEqual(wire.SessionCreated.unpack(other.create("other", created=created)).code, 25)
        for question, size in (
            (command(Command.CREATE_TRACE_CHUNK, wire.CreateTraceChunk(HUGE, HUGE).pack()), 4),
            (command(Command.ROTATE_STREAMS, wire.RotateStreams(HUGE, ((handle, 0),)).pack()), 4),
            (command(Command.ROTATE_STREAMS, b"\xff" * 32), 0),
            (command(Command.CLOSE_TRACE_CHUNK, wire.CloseTraceChunk(0, HUGE).pack()), 8),
            (command(Command.SEND_INDEX, b"\xff" * 80), 4),
        ):
            client, _ = self.other("more")
            self.assertEqual(len(client.control.send(question)), size)
            self.assertTrue(client.control.is_closed)
            client.control.close()
            client.data.close()
        self.leave(self.client, other)

    def test_padding_costs_no_disk(self):
        (handle,) = self.client.stream()
        for number in range(100):
            self.client.packet(handle, number, b"", (1 << 32) - 1)
        found = self.relay.output / f"vm/walk-20261122-124548/{PATH}/chan_0"
        self.assertEqual(found.stat().st_size, 100 * ((1 << 32) - 1))
        self.assertLess(found.stat().st_blocks * 512, 1 << 16)
        self.leave()


class MetadataTests(HostileTestCase):
    TEXT = bytes(range(256)) * 1024  # 256 KiB: four pieces

    def test_pieces(self):
        whole = command(Command.SEND_METADATA, MetadataHeader(7, 3).pack() + self.TEXT)
        for size in (1000, 65536, len(whole)):
            commands, found, most, numbers = Commands(), b"", 0, []
            for at in range(0, len(whole), size):
                for header, payload in commands.feed(whole[at : at + size]):
                    head = MetadataHeader.unpack(payload)
                    self.assertEqual((header.data_size, head.stream), (len(payload), 7))
                    numbers.append(header.command)
                    found += payload[MetadataHeader.layout.size :] + bytes(head.padding)
                most = max(most, len(commands._buffer))
            self.assertEqual(found, self.TEXT + bytes(3))
            self.assertEqual(numbers, [METADATA_PART] * 3 + [Command.SEND_METADATA])
            self.assertLessEqual(most, framing.METADATA_PIECE)

    def test_the_file_grows_as_it_comes(self):
        (handle,) = self.client.stream("metadata")
        whole = command(Command.SEND_METADATA, MetadataHeader(handle, 5).pack() + self.TEXT)
        self.client.control.send(whole[:150000])
        self.assertEqual(self.read("metadata"), self.TEXT[: 2 * framing.METADATA_PIECE])
        self.client.control.send(whole[150000:] + command(Command.STREAMS_SENT))
        self.assertEqual(self.read("metadata"), self.TEXT + bytes(5))
        self.assertEqual(self.client.control.transport.value()[-4:], wire.OK.pack())
        self.leave()


class SilentPeerTests(HostileTestCase):
    def test_a_handshake_takes_no_longer_than_a_minute(self):
        self.client.agree()
        silent = self.relay.connect("control")
        self.relay.clock.advance(PATIENCE)
        self.assertTrue(self.client.control.transport.disconnected and silent.transport.disconnected)
        silent.close()
        self.leave()

    def test_a_session_may_be_silent_for_days(self):
        self.client.stream()
        self.relay.clock.advance(1e6)
        self.assertFalse(self.client.control.transport.disconnected)
        self.leave()

    def test_answers_that_nobody_reads(self):
        self.client.stream()
        channel, transport = self.client.control.channel, self.client.control.transport
        self.assertIs(transport.producer, channel)
        before = transport.value()
        channel.pauseProducing()  # what the transport does above its mark
        self.assertEqual(transport.producerState, "paused")
        channel.dataReceived(command(Command.STREAMS_SENT) * 2)
        self.assertEqual(transport.value(), before)
        channel.resumeProducing()
        self.assertEqual(transport.value(), before + wire.OK.pack() * 2)
        self.assertEqual(transport.producerState, "producing")
        self.relay.clock.advance(PATIENCE)
        self.assertFalse(transport.disconnected)
        channel.pauseProducing()
        self.relay.clock.advance(PATIENCE)
        self.assertTrue(transport.disconnected)
        self.leave()

    def test_a_last_answer_that_nobody_reads(self):
        self.client.stream()
        self.client.index(99, 0)
        self.assertTrue(self.client.control.transport.disconnecting)
        self.relay.clock.advance(PATIENCE)
        self.assertTrue(self.client.control.transport.disconnected)
        self.leave()


class WaitingSessionTests(HostileTestCase):
    def test_data_that_never_comes(self):
        (handle,) = self.client.stream()
        self.client.index(handle, 0)
        self.client.control.close()
        self.relay.clock.advance(WAIT_FOR_STRANGER)
        self.relay.clock.advance(WAIT_FOR_DATA - 1)
        self.assertEqual(len(self.relay.store.sessions), 1)
        self.relay.clock.advance(1)
        self.assertEqual(self.relay.store.sessions, {})
        self.client.data.close()
        self.assertEqual(self.relay.left_over(), {})

    def test_nobody_is_left_to_bring_it(self):
        (handle,) = self.client.stream()
        self.client.index(handle, 0)
        later = self.relay.connect("data")
        self.client.control.close()
        stranger = self.relay.connect("data")
        self.relay.clock.advance(WAIT_FOR_STRANGER)
        self.client.data.close()
        later.close()
        self.assertEqual(len(self.relay.store.sessions), 1)  # that one may have been on its way
        with capturedLogs() as log:
            stranger.close()
        self.assertEqual([event["why"] for event in log if "why" in event], ["it has no data connection"])
        self.assertEqual(self.relay.left_over(), {})

    def test_somebody_elses_data_are_not_waited_for(self):
        other, (handle,) = Client(self.relay), self.client.stream()
        other.agree()
        other.create("other")
        other.chunk()
        stream = other.add()
        self.client.index(handle, 0)
        self.client.data.close()
        self.client.control.close()
        self.assertEqual(len(self.relay.store.sessions), 2)
        self.relay.clock.advance(WAIT_FOR_STRANGER)
        self.assertEqual(len(self.relay.store.sessions), 2)  # the other one may bring them yet …
        other.packet(stream, 0)
        self.assertEqual(len(self.relay.store.sessions), 1)  # … and does not
        other.index(stream, 0)
        self.leave(other)

    def test_a_data_connection_that_is_not_let_in(self):
        (handle,) = self.client.stream()
        self.client.index(handle, 0)
        self.client.data.close()
        self.relay.store.strangers.stopReading()
        self.client.control.close()
        for _ in range(10):
            self.relay.clock.advance(WAIT_FOR_STRANGER)
        self.relay.store.strangers.startReading()
        data = self.relay.connect("data")
        self.relay.clock.advance(WAIT_FOR_STRANGER)
        data.send(packet(handle, 0))
        self.assertEqual(self.relay.store.sessions, {})
        self.assertEqual(len(list(read_index(self.read("index/chan_0.idx")))), 1)
        data.close()
        self.assertEqual(self.relay.left_over(), {})

    def test_data_that_comes_slowly(self):
        (handle,) = self.client.stream()
        self.client.index(handle, 0)
        self.client.control.close()
        whole = packet(handle, 0)
        for piece in (whole[:33], *(bytes([byte]) for byte in whole[33:])):
            self.client.data.send(piece)
            self.relay.clock.advance(WAIT_FOR_DATA / 3)
        self.assertEqual(self.relay.left_over(), {"peers": 1})
        self.client.data.close()
        self.assertEqual(len(list(read_index(self.read("index/chan_0.idx")))), 1)


class MovingTests(HostileTestCase):
    """Packets that have come too early move to the next trace chunk, a byte at a time."""

    PACKETS = [bytes([number]) * 8 for number in range(6)]

    def begin(self, told, size=0):
        """Have four packets here and the next chunk made; let everything take long from now on."""
        self.patch(files_module, "COPY", 1)
        self.client.stream()
        self.stream = self.client.add("slow", size=size)
        for number in range(4):
            self.client.packet(self.stream, number, self.PACKETS[number], 0)
        for number in range(told):
            self.client.index(self.stream, number)
        self.client.chunk(1)
        self.relay.clock.step = TURN / 2

    def tell(self, *numbers):
        """Let time pass, and send the indexes of these packets."""
        self.relay.settle()
        self.relay.clock.step = 0.0
        for number in numbers:
            self.client.index(self.stream, number)

    def send(self, *numbers):
        for number in numbers:
            self.client.packet(self.stream, number, self.PACKETS[number], 0)

    def found(self):
        """Return all files: the numbers of their packets, and of the packets that their index tells."""
        found = []
        for path in sorted(self.relay.output.rglob("slow*")):
            if path.suffix != ".idx":
                entries = read_index((path.parent / f"index/{path.name}.idx").read_bytes())
                data = path.read_bytes()
                told = [(entry.packet_sequence, data[entry.offset]) for entry in entries]
                self.assertEqual([sequence for sequence, _ in told], [number for _, number in told])
                found.append((data[::8], [sequence for sequence, _ in told]))
        return sorted(found)

    def test_rotate_is_answered_when_all_is_there(self):
        self.begin(told=1)
        self.assertIsNone(self.client.rotate(1, (self.stream, 1)))
        self.send(4, 5)
        self.tell(1, 2, 3, 4, 5)
        self.assertEqual(self.client.control.transport.value()[-24:], wire.OK.pack() * 6)
        self.leave()
        self.assertEqual(self.found(), [(b"\0", [0]), (b"\1\2\3\4\5", [1, 2, 3, 4, 5])])

    def test_an_index_lets_them_move(self):
        self.begin(told=0)
        self.client.rotate(1, (self.stream, 1))
        self.client.index(self.stream, 0)
        self.send(4)
        self.client.index(self.stream, 1)
        self.tell(2, 3, 4)
        self.leave()
        self.assertEqual(self.found(), [(b"\0", [0]), (b"\1\2\3\4", [1, 2, 3, 4])])

    def test_one_that_is_told_of_late_stays(self):
        """It lies before one that was told of, and so do the packets of the old chunk."""
        self.begin(told=0)
        self.client.index(self.stream, 1)
        self.client.rotate(1, (self.stream, 2))
        self.tell(0, 2, 3)
        self.leave()
        old, new = sorted(path for path in self.relay.output.rglob("slow.idx"))
        told = [
            [(entry.packet_sequence, entry.offset) for entry in read_index(path.read_bytes())]
            for path in (old, new)
        ]
        self.assertEqual(sorted(told), [[(1, 8), (0, 0)], [(2, 0), (3, 8)]])

    def test_another_trace_file_is_begun_meanwhile(self):
        self.begin(told=1, size=32)
        self.client.rotate(1, (self.stream, 1))
        self.send(4, 5)
        self.tell(1, 2, 3, 4, 5)
        self.leave()
        self.assertEqual(self.found(), [(b"\0", [0]), (b"\1\2\3\4", [1, 2, 3, 4]), (b"\5", [5])])

    def test_another_rotation_follows(self):
        self.begin(told=1)
        self.client.rotate(1, (self.stream, 1))
        self.send(4)
        self.client.rotate(1, (self.stream, 1))
        self.tell(1, 2, 3, 4)
        self.leave()
        self.assertEqual(self.found(), [(b"\0", [0]), (b"\1\2\3\4", [1, 2, 3, 4])])

    def test_the_peer_leaves_meanwhile(self):
        self.begin(told=1)
        self.client.rotate(1, (self.stream, 1))
        self.client.data.close()
        self.client.control.close()
        self.tell()
        self.assertEqual(self.relay.left_over(), {})
        self.assertEqual(self.found(), [(b"\0", [0]), (b"\1\2\3", [])])

    def test_the_disk_fails(self):
        self.begin(told=1)
        self.relay.clock.step = 0.0
        FullDiskTests.fail(self, "pread")
        self.assertEqual(self.client.rotate(1, (self.stream, 1)), 11)
        self.assertTrue(self.client.control.is_closed)
        self.leave()


class FullDiskTests(HostileTestCase):
    """The disk fails for one session."""

    def fail(self, call="pwritev"):
        """Let all writes to streams fail that are open now."""
        failing = set(self.relay.store._pool._by_inode)
        genuine = getattr(os, call)

        def full(number, *arguments):
            found = os.fstat(number)
            if (found.st_dev, found.st_ino) in failing:
                raise OSError(ENOSPC, "No space left on device")
            return genuine(number, *arguments)

        self.patch(files_module.os, call, full)

    def test_data(self):
        (handle,) = self.client.stream()
        self.fail()
        other, stream = self.other()
        with capturedLogs() as log:
            self.client.packet(handle, 0)
        self.assertTrue(self.client.data.is_closed)
        (event,) = log
        self.assertEqual(
            event["why"], "session 1 (walk of vm) ends: [Errno 28] No space left on device", event
        )
        self.assertEqual(self.client.index(handle, 0), 11)
        self.works(other, stream)
        self.leave(self.client, other)

    def test_metadata(self):
        (handle,) = self.client.stream("metadata")
        self.fail()
        other, stream = self.other()
        self.assertEqual(self.client.metadata(handle, b"text"), b"")
        self.assertTrue(self.client.control.is_closed)
        self.works(other, stream)
        self.leave(self.client, other)

    def test_an_index(self):
        (handle,) = self.client.stream()
        self.client.packet(handle, 0)
        self.fail()
        other, stream = self.other()
        self.assertEqual(self.client.index(handle, 0), 11)
        self.works(other, stream)
        self.leave(self.client, other)

    def test_a_new_stream(self):
        self.client.stream()
        before = self.relay.left_over()["files"]
        self.patch(files_module.Files, "_create", lambda files, path: os.close(-1))
        self.assertEqual(self.client.add("chan_1"), -11)
        self.assertEqual(self.relay.left_over()["files"], before)
        self.assertFalse(self.client.control.is_closed)
        self.leave()


class DefectTests(HostileTestCase):
    """A session ends all the same, and the log tells why."""

    def ends(self, place, name, of_a_packet=0):
        """Let a thing fail as nobody thought it would, when the peer leaves: its session ends, no other."""

        def fail(*arguments):
            raise ValueError("a defect")

        handles = self.client.stream("chan_0", "chan_1", "metadata")
        other, stream = self.other()
        patch = self.patch(place, name, fail)
        self.client.data.send(packet(handles[0], 0)[:of_a_packet])
        self.client.data.close()
        self.client.control.close()
        self.relay.settle()
        self.assertEqual([session.facts.name for session in self.relay.store.sessions.values()], ["other"])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), len(handles))
        patch.restore()
        self.works(other, stream)

    def test_when_a_stream_is_finished(self):
        self.ends(stream.Stream, "finish")

    def test_when_what_waits_is_dropped(self):
        self.ends(pairing.Pairing, "drop_packets")

    def test_when_a_stream_is_closed(self):
        self.ends(pairing.Pairing, "close")

    def test_when_a_session_is_aborted(self):
        self.ends(pairing.Pairing, "close", of_a_packet=42)


class PeersTests(SynchronousTestCase):
    class Door:
        is_open = True

        def stopReading(self):
            self.is_open = False

        def startReading(self):
            self.is_open = True

    def test_doors(self):
        peers, doors = Peers(2), [self.Door(), self.Door()]
        for door in doors:
            peers.watch(door)
        seen = []
        for act in (peers.enter, peers.enter, peers.enter, peers.leave, peers.leave, peers.leave):
            act()
            seen.append([door.is_open for door in doors])
        yes, no = [True] * 2, [False] * 2
        self.assertEqual(seen, [yes, no, no, no, yes, yes])

    def test_a_door_that_is_taken_away(self):
        peers, door = Peers(1), self.Door()
        peers.watch(door)
        peers.leave_alone(door)
        peers.enter()
        self.assertTrue(door.is_open)

    def test_everybody_counts(self):
        relay = WatchedRelay(self.mktemp())
        connections = [relay.connect(kind) for kind in ("control", "data", "live")]
        self.assertEqual(len(relay.peers), 3)
        for connection in connections:
            connection.close()
        self.assertEqual(len(relay.peers), 0)

    def test_limit(self):
        self.assertEqual([peers_limit(1024, 512), peers_limit(100, 90)], [464, 48])


def messages():
    """Return what the genuine clients said: for each capture, pairs of a connection and a message."""
    return [
        [
            (entry["connection"].rstrip("0123456789"), bytes.fromhex(entry["hex"]))
            for entry in capture.entries()
            if entry["dir"] == "c2s" and entry["hex"]
        ]
        for capture in scenarios()
    ]


CAPTURED = messages()
EVERYTHING = [message for capture in CAPTURED for message in capture]


def mutate(message, how, place, byte, other):
    """Return a message changed in one way."""
    place %= max(1, len(message))
    return {
        "flip": message[:place] + bytes([byte]) + message[place + 1 :],
        "truncate": message[:place],
        "repeat": message * 2,
        "drop": b"",
        "splice": message[:place] + other[place:],
        "insert": message[:place] + other + message[place:],
    }[how]


HOW = st.sampled_from(["flip", "truncate", "repeat", "drop", "splice", "insert"])
MUTATIONS = st.lists(
    st.tuples(
        st.integers(0, 200),
        HOW,
        st.integers(0, 300),
        st.integers(0, 255),
        st.integers(0, len(EVERYTHING) - 1),
    ),
    max_size=5,
)


class MutatedCaptureTests(HostileTestCase):
    """What the genuine client says, spoiled, while a session of somebody else goes on."""

    @settings(max_examples=120, deadline=None)
    @given(number=st.integers(0, len(CAPTURED) - 1), mutations=MUTATIONS, step=st.sampled_from([0.0, STEP]))
    def test_survives(self, number, mutations, step):
        self.relay = WatchedRelay(self.mktemp())
        other, stream = self.other()
        self.relay.clock.step = step
        said = list(CAPTURED[number])
        for place, how, *rest, other_message in mutations:
            place %= len(said)
            kind, message = said[place]
            said[place] = kind, mutate(message, how, *rest, EVERYTHING[other_message][1])
        connections = {kind: self.relay.connect(kind) for kind in ("control", "data")}
        with capturedLogs() as log:
            for kind, message in said:
                if not connections[kind].is_closed:
                    connections[kind].send(message)
                    self.relay.settle()
            self.relay.clock.step = 0.0
            self.works(other, stream)
            for connection in connections.values():
                connection.close()
            self.relay.settle()
            self.relay.clock.advance(WAIT_FOR_DATA)
            self.leave(other)
        self.assertEqual(defects(log), [])
        self.assertEqual(len(list(read_index(self.read("index/chan_0.idx", "other")))), 1)


class Conversation(RuleBasedStateMachine):
    """Several sessions at once; what a good one wrote must stand in its files whatever the bad ones do."""

    test = None  # that it runs in

    def __init__(self):
        super().__init__()
        self.relay = WatchedRelay(self.test.mktemp())
        self.good = []  # (client, stream, what is sent, what is indexed)
        self.bad = []
        self.numbers = iter(range(1000))

    @rule(minor=st.sampled_from([10, 13]), streams=st.integers(1, 3))
    def begin(self, minor, streams):
        client, name = Client(self.relay, minor), f"s{next(self.numbers)}"
        client.agree()
        client.create(name)
        if minor >= 11:
            client.chunk()
        path = PATH if minor >= 11 else f"/vm/{name}/{PATH}"
        for number in range(streams):
            handle = client.add(f"chan_{number}", path)
            self.good.append((name, client, handle, number, [], []))
        self.pack(self.good[-1], b"first", 0)

    @rule()
    def begin_badly(self):
        client = Client(self.relay)
        client.agree()
        client.create(f"s{next(self.numbers)}")
        client.chunk()
        self.bad.append((client, client.add("chan_0")))

    @precondition(lambda self: self.good)
    @rule(data=st.data(), content=st.binary(max_size=20), padding=st.integers(0, 40))
    def send(self, data, content, padding):
        self.pack(data.draw(st.sampled_from(self.good)), content, padding)

    def pack(self, stream, content, padding):
        _, client, handle, _, sent, _ = stream
        client.packet(handle, len(sent), content, padding)
        sent.append(content + bytes(padding))

    @precondition(lambda self: self.good)
    @rule(data=st.data())
    def tell(self, data):
        _, client, handle, _, _, told = data.draw(st.sampled_from(self.good))
        assert client.index(handle, len(told)) == 10
        told.append(len(told))

    @precondition(lambda self: self.bad)
    @rule(
        data=st.data(),
        which=st.integers(0, len(EVERYTHING) - 1),
        place=st.integers(0, 300),
        byte=st.integers(0, 255),
    )
    def babble(self, data, which, place, byte):
        client, _ = data.draw(st.sampled_from(self.bad))
        kind, message = EVERYTHING[which]
        connection = client.control if kind == "control" else client.data
        if not connection.is_closed:
            connection.send(mutate(message, "flip", place, byte, b""))

    @precondition(lambda self: self.bad)
    @rule(data=st.data(), length=st.integers(0, 60))
    def break_off(self, data, length):
        client, handle = self.bad.pop(data.draw(st.integers(0, len(self.bad) - 1)))
        if not client.data.is_closed:
            client.data.send(packet(handle, 0, b"y" * 30)[:length])
        client.data.close()
        client.control.close()

    def teardown(self):
        for client, _ in self.bad:
            client.control.close()
            client.data.close()
        found = {path.name: path for path in (self.relay.output / "vm").glob("*")}
        for name, client, _, number, sent, told in self.good:
            assert not client.control.is_closed
            folder = next(path for key, path in found.items() if key.partition("-")[0] == name) / PATH
            assert (folder / f"chan_{number}").read_bytes() == b"".join(sent)
            if sent:
                entries = list(read_index((folder / f"index/chan_{number}.idx").read_bytes()))
                both = range(min(len(sent), len(told)))
                starts = [sum(map(len, sent[:sequence])) for sequence in both]
                assert sorted(entry.offset for entry in entries) == starts
        for _, client, handle, _, sent, _ in self.good:
            client.finish(handle, len(sent) - 1 if sent else HUGE)
        for client in {client for _, client, *_ in self.good}:
            client.control.close()
            client.data.close()
        self.relay.settle()
        self.relay.clock.advance(WAIT_FOR_DATA)
        assert self.relay.left_over() == {}, self.relay.left_over()


class ConversationTests(SynchronousTestCase):
    def test_any(self):
        utc(self)
        from hypothesis.stateful import run_state_machine_as_test

        machine = type("Machine", (Conversation,), {"test": self})
        with capturedLogs() as log:
            run_state_machine_as_test(
                machine, settings=settings(max_examples=40, stateful_step_count=25, deadline=None)
            )
        self.assertEqual(defects(log), [])
