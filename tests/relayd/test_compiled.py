"""The compiled plane and the one in Python are told the same: they answer, write and log the same."""

import os
import random
import re
import resource
import socket

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.ctf.index import read_index
from lttngnet.relayd.compiled import LIBRARY, load
from lttngnet.wire import relay as wire
from lttngnet.wire.relay import Command, DataHeader, command
from tests.captures import Capture
from tests.descriptors import open_files
from tests.relayd.replaying import utc
from tests.relayd.talking import CREATED, PATH, SESSIOND, Client, index, packet
from tests.relayd.test_any_talk import PACKETS, TALK
from tests.relayd.twins import SocketRelay, compiled_plane, python_plane

FOLDER = f"vm/walk-20261122-124548/{PATH}"
LONG = int(os.environ.get("LTTNGNET_FUZZ", "1"))  # so many times as many examples
NUMBERS = re.compile(r"port=\d+|:\d{4,5}\b")


def hello(name="walk", minor=13, chunk=0):
    """Return what comes before the first stream."""
    said = command(Command.VERSION, wire.Version(2, minor).pack())
    created = wire.CreateSession(name, "vm", sessiond=SESSIOND, created=CREATED)
    said += command(Command.CREATE_SESSION, created.pack(minor))
    if minor >= 11:
        said += command(Command.CREATE_TRACE_CHUNK, wire.CreateTraceChunk(chunk, CREATED).pack())
    return said


def add(name, size=0, count=0, minor=13, path=PATH):
    """Return an ADD_STREAM."""
    return command(Command.ADD_STREAM, wire.AddStream(name, path, size, count).pack(minor))


def told(handle, sequence, size=64, minor=13):
    """Return a SEND_INDEX."""
    return command(Command.SEND_INDEX, index(handle, sequence, size).pack(minor))


def outcome(make_plane, talk, ends=True):
    """Tell a relay daemon all of it; return what it answered, wrote and logged.

    Args:
        make_plane: of it.
        talk: pairs of a connection's name and what is sent there; None ends it.
        ends: whether the connections are closed in the end.
    """
    relay = SocketRelay(make_plane)
    connections = {}
    with capturedLogs() as log:
        for name, data in talk:
            if name not in connections:
                connections[name] = relay.connect(name.rstrip("0123456789"))
            if data is None:
                connections[name].close()
            else:
                connections[name].send(data)
        if ends:
            for connection in connections.values():
                connection.close()
        files = relay.files()
        relay.close()
    answers = {name: bytes(connection.answers) for name, connection in connections.items()}
    said = [
        NUMBERS.sub("", event["log_format"].format(**event))
        for event in log
        if event["log_level"] >= LogLevel.warn
    ]
    return answers, files, said


class TwinsTestCase(SynchronousTestCase):
    def setUp(self):
        utc(self)

    def check(self, talk):
        """Compare both planes, and return what came of it."""
        talk = list(talk)
        before = open_files()
        ours, theirs = outcome(compiled_plane, talk), outcome(python_plane, talk)
        for mine, its in zip(ours, theirs, strict=True):
            self.assertEqual(mine, its)
        self.assertEqual(open_files(), before)
        self.flushLoggedErrors()
        return ours


class ScriptTests(TwinsTestCase):
    """What is special, one thing after the other."""

    def packets(self, numbers, sizes=(6,), handle=1, minor=13):
        """Yield packets and their indexes, one by one."""
        for number in numbers:
            size = sizes[number % len(sizes)]
            yield "data", packet(handle, number, bytes([number % 256]) * size, 2)
            yield "control", told(handle, number, (size + 2) * 8, minor)

    def test_packets_and_indexes(self):
        talk = [("control", hello() + add("chan_0")), *self.packets(range(20))]
        _, files, _ = self.check(talk)
        self.assertEqual(len(files[f"{FOLDER}/chan_0"]), 160)
        self.assertEqual(len(list(read_index(files[f"{FOLDER}/index/chan_0.idx"]))), 20)

    def test_no_event_for_what_is_common(self):
        relay = SocketRelay(compiled_plane)
        self.addCleanup(relay.close)
        client = Client(relay)
        streams = client.stream("chan_0", "chan_1")
        for number in range(3):
            for stream in streams:
                client.packet(stream, number)
                client.index(stream, number)
        self.assertEqual(len(relay.plane.writers), 2)
        self.patch(relay.plane, "_happened", self.fail)
        for number in range(3, 9):
            for stream in streams:
                client.packet(stream, number, b"longer than before", 200)
                self.assertEqual(client.index(stream, number), 10)
        self.assertEqual(
            [stream.arrived for stream in relay.store.sessions[1].streams.values()], [(8, 1332)] * 2
        )

    def test_answers_that_cannot_be_sent(self):
        relay = SocketRelay(compiled_plane)
        self.addCleanup(relay.close)
        client = Client(relay)
        (stream,) = client.stream()
        for number in range(3):
            client.packet(stream, number)
            client.index(stream, number)
        client.packet(stream, 3)
        client.control.channel.transport.socket.shutdown(socket.SHUT_WR)
        client.control.send(told(stream, 3))
        self.assertFalse(client.control.channel.transport.is_lent)  # and so the transport found out
        self.assertEqual(len(list(read_index(relay.files()[f"{FOLDER}/index/chan_0.idx"]))), 4)

    def test_handed_over_in_the_middle_of_a_command(self):
        relay = SocketRelay(compiled_plane)
        self.addCleanup(relay.close)
        client = Client(relay)
        (stream,) = client.stream()
        client.packet(stream, 0)
        client.packet(stream, 1)
        client.control.send(told(stream, 0) + told(stream, 1)[:60])
        self.assertIn(client.control.channel.transport.number, relay.plane._handed)
        self.assertEqual(client.control.send(told(stream, 1)[60:]), b"\0\0\0\n")
        client.control.send(told(stream, 2)[:30])
        client.control.channel.transport.pauseProducing()
        client.control.channel.transport.resumeProducing()
        self.assertEqual(client.control.send(told(stream, 2)[30:]), b"\0\0\0\n")

    def test_handed_over_when_what_it_brought_is_done(self):
        relay = SocketRelay(compiled_plane)
        self.addCleanup(relay.close)
        client = Client(relay)
        (stream,) = client.stream()
        client.control.channel.transport.pauseProducing()
        client.control.channel.dataReceived(told(stream, 0))
        client.control.channel.transport.resumeProducing()
        self.assertIn(client.control.channel.transport.number, relay.plane._handed)

    def test_old_peers(self):
        for minor in (4, 7, 8, 10):
            path = f"/vm/walk-20261122-124548//{PATH}"
            talk = [("control", hello(minor=minor) + add("chan_0", minor=minor, path=path))]
            self.check([*talk, *self.packets(range(5), minor=minor)])

    def test_large_packets(self):
        sizes = (1 << 20, 5000, 300_000, 70_000, 1_500_000)
        self.check([("control", hello() + add("chan_0")), *self.packets(range(12), sizes)])

    def test_indexes_first(self):
        talk = [("control", hello() + add("chan_0")), *self.packets(range(3))]
        talk += [("control", told(1, number)) for number in range(3, 40)]
        talk += [("data", packet(1, number)) for number in range(3, 40)]
        self.check(talk)

    def test_many_halves(self):
        talk = [("control", hello() + add("chan_0")), *self.packets(range(3))]
        talk += [("data", b"".join(packet(1, number) for number in range(3, 2000)))]
        talk += [("control", b"".join(told(1, number) for number in range(3, 2000)))]
        self.check([*talk, *self.packets(range(2000, 2005))])

    def test_numbers_that_are_far_from_each_other(self):
        numbers = [0, 1, 256, 512, 2, 1 << 40, (1 << 63) + 1, (1 << 64) - 3000]
        talk = [("control", hello() + add("chan_0")), *self.packets(range(5, 8))]
        talk += [("data", packet(1, number)) for number in numbers]
        self.check([*talk, *(("control", told(1, number)) for number in numbers)])

    def test_empty_packets_and_much_padding(self):
        talk = [("control", hello() + add("chan_0")), *self.packets(range(3))]
        for number, (size, padding) in enumerate([(0, 0), (0, 9), (10, 5), (5, 10), (3, 1 << 22)], 3):
            talk += [("data", packet(1, number, b"?" * size, padding)), ("control", told(1, number))]
        self.check(talk)

    def test_padding_is_a_hole(self):
        relay = SocketRelay(compiled_plane)
        self.addCleanup(relay.close)
        client = Client(relay)
        (stream,) = client.stream()
        for number in range(3):
            client.packet(stream, number, b"abc", 1 << 30)
        path = relay.output / FOLDER / "chan_0"
        self.assertEqual(path.stat().st_size, 3 * (1 << 30) + 9)
        self.assertLess(path.stat().st_blocks * 512, 1 << 20)

    def test_beacons(self):
        talk = [("control", hello() + add("chan_0")), *self.packets(range(3))]
        talk += [("control", told(1, 2, size=0)), *self.packets(range(3, 5))]
        self.check(talk)

    def test_trace_files(self):
        for count in (0, 2):
            talk = [("control", hello() + add("lim_0", 50, count)), *self.packets(range(30), (6, 20, 70))]
            self.check(talk)

    def test_pipelined_over_trace_files(self):
        talk = [("control", hello() + add("lim_0", 50, 3)), *self.packets(range(3))]
        for start in range(3, 60, 19):
            numbers = range(start, start + 19)
            talk.append(("data", b"".join(packet(1, number) for number in numbers)))
            talk.append(("control", b"".join(told(1, number) for number in numbers)))
        self.check(talk)

    def test_rotation(self):
        for ahead in (0, 3):
            talk = [("control", hello() + add("chan_0") + add("chan_1"))]
            talk += [*self.packets(range(6)), *self.packets(range(5), handle=2)]
            talk += [("data", packet(1, number)) for number in range(6, 6 + ahead)]
            talk += [("data", packet(1, 6 + ahead, b"half of it", 0)[:-4])]
            positions = ((1, 6 + 1), (2, 5))
            rotate = wire.RotateStreams(1, positions).pack()
            chunk = wire.CreateTraceChunk(1, CREATED).pack()
            talk += [("control", command(Command.CREATE_TRACE_CHUNK, chunk))]
            talk += [("control", command(Command.ROTATE_STREAMS, rotate)), ("data", b"f it")]
            talk += [("control", told(1, number)) for number in range(6, 7 + ahead)]
            talk += [*self.packets(range(7 + ahead, 12)), *self.packets(range(5, 9), handle=2)]
            self.check(talk)

    def test_a_stream_is_closed(self):
        finish = command(Command.CLOSE_STREAM, wire.StreamPosition(1, 4).pack())
        pending = command(Command.DATA_PENDING, wire.StreamPosition(1, 3).pack())
        talk = [("control", hello() + add("chan_0")), *self.packets(range(4)), ("control", pending + finish)]
        self.check([*talk, ("data", packet(1, 4)), ("control", told(1, 4)), ("data", packet(1, 5))])

    def test_what_is_not_theirs(self):
        both = [("control", hello() + add("chan_0")), ("control2", hello("other") + add("chan_0"))]
        both += [*self.packets(range(4)), ("data2", packet(2, 0)), ("control2", told(2, 0))]
        self.check([*both, ("data", packet(2, 1)), *self.packets(range(4, 6))])
        self.check([*both, ("control", told(2, 1)), ("control", told(1, 5))])
        self.check([*both, ("data", packet(77, 1)), ("control", told(1, 5))])

    def test_a_second_index(self):
        talk = [("control", hello() + add("chan_0")), *self.packets(range(4))]
        self.check([*talk, ("control", told(1, 9) + told(1, 9)), ("control", told(1, 10))])

    def test_the_end_in_the_middle(self):
        talk = [("control", hello() + add("chan_0")), *self.packets(range(4))]
        for cut in (10, 31, 32, 35):
            self.check([*talk, ("data", packet(1, 4)[:cut]), ("data", None), ("control", told(1, 4))])
        for cut in (10, 24, 50, 103):
            self.check([*talk, ("control", told(1, 4)[:cut]), ("control", None), ("data", packet(1, 4))])

    def test_odd_lengths(self):
        talk = [("control", hello() + add("chan_0")), *self.packets(range(4)), ("data", packet(1, 4))]
        longer = command(Command.SEND_INDEX, index(1, 4).pack(13) + b"more")
        self.check([*talk, ("control", longer), *self.packets(range(5, 7))])
        shorter = command(Command.SEND_INDEX, index(1, 4).pack(13)[:-1])
        self.check([*talk, ("control", shorter), *self.packets(range(5, 7))])

    def test_the_disk_is_full(self):
        _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_FSIZE, before)
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, most))
        other = [("control2", hello("other") + add("chan_0"))]
        for number in range(3):
            other += [("data2", packet(2, number)), ("control2", told(2, number))]
        talk = [("control", hello() + add("chan_0")), *other, *self.packets(range(6), (9_000,))]
        _, files, said = self.check(talk)
        self.assertEqual(len(files[f"{FOLDER}/chan_0"]), 40_000)
        self.assertIn("File too large", said[0])
        self.assertEqual(len(list(read_index(files[f"vm/other-20261122-124548/{PATH}/index/chan_0.idx"]))), 3)


class AnyTests(TwinsTestCase):
    """Anything in any order."""

    @settings(max_examples=15 * LONG, deadline=None, derandomize=LONG == 1)
    @given(seed=st.integers(0, 1 << 32), cuts=st.lists(st.integers(1, 400), min_size=1, max_size=4))
    def test_sessions(self, seed, cuts):
        self.check(cut_up(conversation(random.Random(seed)), cuts))

    @settings(max_examples=15 * LONG, deadline=None, derandomize=LONG == 1)
    @given(
        turns=st.lists(st.one_of(TALK, PACKETS.map(lambda data: (data,))), max_size=25),
        cut=st.integers(0, 12),
    )
    def test_talk(self, turns, cut):
        talk = [("control", hello() + add("a_0", path="ust") + add("a_1", path="ust"))]
        for number in range(3):
            talk += [("data", packet(1, number)), ("control", told(1, number))]
        for turn in turns:
            kind, data = ("data", turn[0]) if isinstance(turn, tuple) else ("control", turn)
            talk += [(kind, data[:cut]), (kind, data[cut:])]
        self.check(talk)

    @settings(max_examples=4 * LONG, deadline=None, derandomize=LONG == 1)
    @given(
        name=st.sampled_from(["01-uid-simple", "02-pid-buffers", "04-rotate", "07-tracefile", "05-clear"]),
        seed=st.integers(0, 1 << 32),
        changes=st.integers(0, 3),
    )
    def test_changed_captures(self, name, seed, changes):
        chance, talk = random.Random(seed), []
        for entry in Capture(name).entries():
            if entry["dir"] != "c2s" or entry["msg"] == "TCP-CONNECT":
                continue
            data = None if entry["msg"] == "TCP-FIN" else bytes.fromhex(entry["hex"])
            talk.append((entry["connection"], data))
        for _ in range(changes):
            place = chance.randrange(len(talk))
            who, data = talk[place]
            if data:
                at = chance.randrange(min(len(data), 60))
                talk[place] = who, data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]
        self.check(talk)


def conversation(chance):
    """Yield what the peers of one or two sessions say, most of it well."""
    size, count = chance.choice([(0, 0), (0, 0), (0, 0), (300, 2), (300, 0)])
    streams = chance.randrange(1, 4)
    yield "control", hello() + b"".join(add(f"chan_{n}", size, count) for n in range(streams))
    told_of, sent, late = [0] * streams, [0] * streams, []
    chunk, strange = 0, chance.random() < 0.3
    for _ in range(chance.randrange(5, 60)):
        which = chance.randrange(streams)
        handle = which + 1
        kind = chance.choices(
            ["packet", "index", "both", "beacon", "rotate", "strange", "pending", "batch"],
            [4, 4, 12, 1, 1, 1 if strange else 0, 1, 2],
        )[0]
        if kind in ("packet", "both", "batch"):
            said = b""
            for _ in range(chance.choice([1, 9, 30]) if kind == "batch" else 1):
                length = chance.choice([0, 1, 6, 100, 1000])
                said += packet(
                    handle, sent[which], bytes([sent[which] % 256]) * length, chance.choice([0, 2, 400])
                )
                sent[which] += 1
            yield "data", said
        if kind in ("index", "both", "batch"):
            said = b""
            for _ in range(chance.choice([1, 9, 30]) if kind == "batch" else 1):
                said += told(handle, told_of[which])
                told_of[which] += 1
            yield "control", said
        if kind == "beacon":
            yield "control", told(handle, 0, size=0)
        if kind == "pending":
            yield "control", command(Command.DATA_PENDING, wire.StreamPosition(handle, sent[which]).pack())
        if kind == "rotate":
            chunk += 1
            yield "control", command(Command.CREATE_TRACE_CHUNK, wire.CreateTraceChunk(chunk, CREATED).pack())
            positions = tuple((n + 1, max(0, told_of[n] + chance.randrange(-1, 3))) for n in range(streams))
            yield "control", command(Command.ROTATE_STREAMS, wire.RotateStreams(chunk, positions).pack())
            close = wire.CloseTraceChunk(
                chunk - 1, CREATED + 1, chance.choice([None, wire.CloseCommand.MOVE_TO_COMPLETED])
            )
            yield "control", command(Command.CLOSE_TRACE_CHUNK, close.pack())
        if kind == "strange":
            late = [
                ("control", told(handle, told_of[which] + 3)),
                ("control", told(chance.randrange(6), sent[which])),
                ("control", command(Command.CLOSE_STREAM, wire.StreamPosition(handle, sent[which]).pack())),
                ("data", packet(chance.randrange(6), sent[which])),
                ("data", DataHeader(0, handle, 1, 50, 0).pack() + b"short"),
                ("control", chance.randbytes(30)),
                ("data", None),
                ("control", None),
            ]
            who, data = chance.choice(late)
            yield who, data
            if data is None:
                return


def cut_up(talk, cuts):
    """Yield the same in pieces of these lengths, in turn."""
    number = 0
    for who, data in talk:
        if data is None:
            yield who, None
        while data:
            length = cuts[number % len(cuts)] if number % 3 else len(data)
            number += 1
            yield who, data[:length]
            data = data[length:]


class LibraryTests(SynchronousTestCase):
    def test_no_library(self):
        self.assertRaises(OSError, load, LIBRARY.with_name("none.so"))
