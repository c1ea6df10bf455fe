"""Chunks of a trace: what a relay daemon has of them, and what a local folder has."""

import re
import tempfile
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.consumer.control import ControlClient
from lttngnet.consumer.directory import DirectorySink
from lttngnet.consumer.relay import DataPath, RelaySession, RelaySink
from lttngnet.ctf.index import read_index
from lttngnet.ctf.packet import UNLIMITED, Limit
from lttngnet.errors import Code, CommandError, RelayLost, RelayRefused
from lttngnet.wire.framing import Commands
from lttngnet.wire.relay import (
    OK,
    ChunkClosed,
    ChunkExists,
    CloseCommand,
    CloseTraceChunk,
    Command,
    CreateTraceChunk,
    RotateStreams,
    Status,
    StreamAdded,
)
from tests.consumer.test_relay import Pair, Sources, packet, tree

ACTIONS = ("write", "more metadata", "new metadata", "rotate", "clear", "stop and rotate", "stop and clear")


class Script:
    """What a session does with a sink."""

    def __init__(self, sink, limit=UNLIMITED):
        self.sink, self.limit, self.sequence = sink, limit, 0
        self.places = []

    async def begin(self):
        await self.sink.begin()
        self.busy = await self.sink.add_stream("ust/uid/0", "c_0", self.limit)
        self.idle = await self.sink.add_stream("ust/uid/0", "c_1", self.limit)
        self.metadata = await self.sink.add_stream("ust/uid/0", "metadata")
        await self.sink.publish()
        self.sink.write_metadata(self.metadata, b"/* CTF 1.8 */")

    async def act(self, action):
        match action:
            case "write":
                self.sink.write(self.busy, packet(b"%04d" % self.sequence, self.sequence, padding=4))
                self.sequence += 1
            case "more metadata":
                self.sink.write_metadata(self.metadata, b"event %d" % self.sequence)
            case "new metadata":
                self.sink.rewrite_metadata(self.metadata, b"/* CTF 1.8 */ written anew")
            case "rotate" | "clear":
                self.places.append(await self.sink.rotate(action == "rotate", True))
                await self.sink.archived()
            case _:
                await self.sink.quiesce()
                self.places.append(await self.sink.rotate(action == "stop and rotate", False))
                await self.sink.archived()
                await self.sink.begin()

    async def end(self):
        await self.sink.quiesce()
        await self.sink.finish()


class AlikeTests(SynchronousTestCase):
    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(st.sampled_from(ACTIONS), max_size=8), st.sampled_from([Limit(), Limit(16, 2), Limit(16)])
    )
    @example(["write", "rotate", "write", "stop and clear", "clear"], Limit())
    def test_the_relay_daemon_has_what_a_local_folder_has(self, actions, limit):
        with tempfile.TemporaryDirectory() as holder:
            there, here = Path(holder, "there"), Path(holder, "here")
            pair = Pair(there)
            local = DirectorySink(str(here), self.fail, lambda: 1_800_000_001)
            trees = []
            for sink, folder in ((pair.sink, there / pair.session.path), (local, here)):
                script = Script(sink, limit)
                pair.do(script.begin())
                for action in actions:
                    pair.do(script.act(action))
                pair.do(script.end())
                trees.append(tree(folder))
            self.assertEqual(trees[0], trees[1])
            self.assertEqual(pair.lost, [])


class FolderTests(SynchronousTestCase):
    def setUp(self):
        self.now = 1_800_000_000
        self.folder = Path(self.mktemp()).absolute()
        self.sink = DirectorySink(str(self.folder), self.fail, lambda: self.now)

    def do(self, *coroutines):
        return [self.successResultOf(Deferred.fromCoroutine(each)) for each in coroutines][-1]

    def names(self):
        """Return the paths of all files, without dates."""
        paths = (str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())
        return sorted(re.sub(r"\d{8}T\d{6}[+-]\d{4}", "DATE", path) for path in paths)

    def test_archives(self):
        script = Script(self.sink)
        self.do(script.begin(), script.act("write"), script.act("rotate"), script.act("write"))
        trace = ["c_0", "c_1", "index/c_0.idx", "metadata"]
        places = ("DATE-1", "archives/DATE-DATE-0")
        self.assertEqual(self.names(), [f"{place}/ust/uid/0/{name}" for place in places for name in trace])
        self.now += 60
        self.do(script.act("rotate"))
        first, second = map(Path, script.places)
        self.assertTrue(first.name.endswith("-0") and second.name.endswith("-1"))
        (entry,) = read_index((second / "ust/uid/0/index/c_0.idx").read_bytes())
        self.assertEqual((entry.offset, entry.packet_sequence), (0, 1))
        self.assertEqual((second / "ust/uid/0/metadata").read_bytes(), b"/* CTF 1.8 */")
        self.do(script.end())
        self.assertEqual({path.name for path in self.folder.iterdir()}, {"archives"})

    def test_what_others_have_there_stays(self):
        (self.folder / "ust").mkdir()
        (self.folder / "ust" / "notes").write_text("mine")
        script = Script(self.sink)
        self.do(script.begin(), script.act("write"), script.act("stop and clear"), script.end())
        self.assertIn("ust/notes", self.names())

    def test_nothing_is_written_between_stop_and_start(self):
        script = Script(self.sink)
        self.do(script.begin(), self.sink.rotate(True, False))
        before = self.names()
        self.sink.write_metadata(script.metadata, b" and more")
        self.assertEqual(self.names(), before)
        self.assertEqual(self.do(self.sink.rotate(True, False)), "")
        self.do(self.sink.begin())
        self.assertEqual(
            next(self.folder.glob("*-1/ust/uid/0/metadata")).read_bytes(), b"/* CTF 1.8 */ and more"
        )

    def test_files_that_give_way(self):
        script = Script(self.sink, Limit(16, 2))
        self.do(script.begin(), *(script.act("write") for _ in range(7)))
        folder = self.folder / "ust/uid/0"
        self.assertEqual(
            [(folder / f"c_0_{n}").read_bytes() for n in range(2)],
            [b"0004\0\0\0\0" + b"0005\0\0\0\0", b"0006\0\0\0\0"],
        )
        self.assertEqual(sorted(path.name for path in folder.glob("index/*")), ["c_0_0.idx", "c_0_1.idx"])
        (entry,) = read_index((folder / "index/c_0_1.idx").read_bytes())
        self.assertEqual((entry.offset, entry.packet_sequence), (0, 6))


class RelayTests(SynchronousTestCase):
    """What is said to a relay daemon, as in the capture of a genuine consumer that is rotated."""

    def setUp(self):
        self.clock = Clock()

    def sink(self, minor=13, clears=True):
        sink = RelaySink(self.clock, RelaySession(minor, 1, "host/s1", clears=clears), lambda: 7, self.fail)
        self.control, data = ControlClient(self.clock, 60, sink.lose), DataPath(sink.lose)
        self.control.makeConnection(StringTransport())
        data.makeConnection(StringTransport())
        sink.connect(self.control, data, Sources())
        return sink

    def begin(self):
        sink = self.sink()
        script = Script(sink)
        begun = Deferred.fromCoroutine(script.begin())
        self.answer(OK, StreamAdded(4, 10), StreamAdded(5, 10), StreamAdded(6, 10), OK)
        self.successResultOf(begun)
        self.successResultOf(Deferred.fromCoroutine(script.act("write")))
        self.answer(OK)
        self.said()
        return sink

    def answer(self, *messages):
        for message in messages:
            self.control.dataReceived(message.pack())

    def said(self):
        said = [
            (Command(head.command), data) for head, data in Commands().feed(self.control.transport.value())
        ]
        self.control.transport.clear()
        return said

    def test_rotate(self):
        sink = self.begin()
        rotated = Deferred.fromCoroutine(sink.rotate(True, True))
        self.answer(OK, OK)  # CREATE_TRACE_CHUNK, CLOSE_STREAM
        self.answer(OK, OK, StreamAdded(7, 10), OK)
        self.answer(ChunkClosed(10, "host/s1"))
        self.assertEqual(self.successResultOf(rotated), "host/s1")
        archived = Deferred.fromCoroutine(sink.archived())
        self.answer(ChunkExists(10, 1))
        self.assertNoResult(archived)
        self.clock.advance(0.2)
        self.answer(ChunkExists(10, 0), Status(0))
        self.successResultOf(archived)
        self.successResultOf(Deferred.fromCoroutine(sink.archived()))
        said = self.said()
        self.assertEqual(
            [command.name for command, _ in said],
            [
                *("CREATE_TRACE_CHUNK", "CLOSE_STREAM", "ROTATE_STREAMS", "ROTATE_STREAMS", "SEND_METADATA"),
                *("ADD_STREAM", "STREAMS_SENT", "CLOSE_TRACE_CHUNK"),
                *("TRACE_CHUNK_EXISTS", "TRACE_CHUNK_EXISTS", "DATA_PENDING"),
            ],
        )
        words = dict(said)
        self.assertEqual(CreateTraceChunk.unpack(words[Command.CREATE_TRACE_CHUNK]), CreateTraceChunk(1, 7))
        rotations = [RotateStreams.unpack(data) for command, data in said if command.name == "ROTATE_STREAMS"]
        self.assertEqual(rotations, [RotateStreams(1, ((4, 1),)), RotateStreams(1, ((6, 0),))])
        self.assertEqual(
            CloseTraceChunk.unpack(words[Command.CLOSE_TRACE_CHUNK]),
            CloseTraceChunk(0, 7, CloseCommand.MOVE_TO_COMPLETED),
        )

    def test_a_relay_daemon_that_refuses(self):
        sink = self.begin()
        rotated = Deferred.fromCoroutine(sink.rotate(True, True))
        self.answer(OK, OK, Status(153), OK)
        self.assertEqual(self.failureResultOf(rotated, RelayRefused).value.number, 153)

    def test_one_that_never_archives(self):
        sink = self.begin()
        rotated = Deferred.fromCoroutine(sink.rotate(False, False))
        self.answer(OK, OK, OK, ChunkClosed(10, "host/s1"))
        self.successResultOf(rotated)
        begun = self.clock.seconds()
        archived = Deferred.fromCoroutine(sink.archived())
        for _ in range(400):
            if archived.called:
                break
            self.answer(ChunkExists(10, 1))
            self.clock.advance(0.2)
        self.successResultOf(archived)
        self.assertGreater(self.clock.seconds() - begun, 59)

    def test_lost_while_it_archives(self):
        sink = self.begin()
        rotated = Deferred.fromCoroutine(sink.rotate(False, False))
        self.answer(OK, OK, OK, ChunkClosed(10, "host/s1"))
        self.successResultOf(rotated)
        archived = Deferred.fromCoroutine(sink.archived())
        sink._on_lost = lambda why: None
        sink.lose("the cable is out")
        self.failureResultOf(archived, RelayLost)

    def test_refusals(self):
        for minor, clears, keep, code in (
            (10, False, True, Code.ROTATION_NOT_AVAILABLE_RELAY),
            (11, False, False, Code.CLEAR_NOT_AVAILABLE_RELAY),
            (13, False, False, Code.CLEAR_RELAY_DISALLOWED),
        ):
            asked = Deferred.fromCoroutine(self.sink(minor, clears).rotate(keep, True))
            self.assertEqual(self.failureResultOf(asked, CommandError).value.code, code)
