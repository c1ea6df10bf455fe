"""The sink that is a relay daemon, against ours in memory; and what it does when that fails."""

import tempfile
from pathlib import Path
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.test.iosim import connectedServerAndClient
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from lttngnet.consumer.control import TOGETHER, ControlClient
from lttngnet.consumer.directory import DirectorySink
from lttngnet.consumer.relay import DataPath, RelaySession, RelaySink
from lttngnet.ctf.packet import Packet, Silence
from lttngnet.errors import RelayLost, RelayRefused
from lttngnet.interfaces import IPacketSink
from lttngnet.relayd.control import ControlChannel
from lttngnet.relayd.data import DataChannel
from lttngnet.relayd.store.store import Store
from lttngnet.sessiond.control import open_session
from lttngnet.wire.framing import Commands
from lttngnet.wire.relay import (
    METADATA_PART,
    OK,
    Command,
    CreateSession,
    SendIndex,
    Status,
    StreamAdded,
    Version,
)

WANTED = CreateSession("s1", "host", sessiond=UUID(int=5), created=1_800_000_000)


class Sources:
    """A push producer that notes whether it is paused."""

    paused = False

    def pauseProducing(self):
        self.paused = True

    def resumeProducing(self):
        self.paused = False

    def stopProducing(self):
        self.paused = True


def packet(content, sequence, padding=0):
    return Packet(content, padding, 8 * len(content), 10 * sequence, 10 * sequence + 9, 0, 0, 0, sequence)


class Pair:
    """A sink connected to a relay daemon of ours."""

    def __init__(self, folder):
        self.clock, self.lost = Clock(), []
        store = Store(Path(folder))
        self.client, self.control, self.control_pump = connectedServerAndClient(
            lambda: ControlChannel(store), lambda: ControlClient(self.clock, 60, self.lost.append)
        )
        self.path, self.data, self.data_pump = connectedServerAndClient(
            lambda: DataChannel(store), lambda: DataPath(self.lost.append)
        )
        self.session = self.do(open_session(self.client, WANTED))
        self.sink = RelaySink(self.clock, self.session, lambda: 1_800_000_001, self.lost.append)
        self.sink.connect(self.client, self.path, Sources())

    def do(self, coroutine):
        """Run a coroutine to its end, with all the talk it takes."""
        results = []
        Deferred.fromCoroutine(coroutine).addBoth(results.append)
        for _ in range(50):
            if results:
                break
            self.data_pump.flush()
            self.control_pump.flush()
            self.clock.advance(0.2)
        (result,) = results
        if hasattr(result, "raiseException"):
            result.raiseException()
        return result


async def send(sink, streams):
    """Send the packets of some streams through a sink, and close it."""
    await sink.begin()
    numbers = [await sink.add_stream("kernel", f"channel0_{n}") for n in range(len(streams))]
    metadata = await sink.add_stream("kernel", "metadata")
    await sink.publish()
    sink.write_metadata(metadata, b"/* CTF 1.8 */")
    for number, contents in zip(numbers, streams, strict=True):
        for sequence, (content, padding) in enumerate(contents):
            sink.write(number, packet(content, sequence, padding))
    await sink.quiesce()
    await sink.finish()


def tree(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


CONTENTS = st.lists(st.tuples(st.binary(min_size=1, max_size=60), st.integers(0, 9)), max_size=4)


class AgainstOursTests(SynchronousTestCase):
    def test_interface(self):
        sink = RelaySink(Clock(), RelaySession(13, 1, ""), lambda: 0, self.fail)
        verifyObject(IPacketSink, sink)

    @settings(max_examples=30, deadline=None)
    @given(st.lists(CONTENTS, min_size=1, max_size=3))
    def test_the_relay_daemon_has_what_a_local_folder_would_have(self, streams):
        with tempfile.TemporaryDirectory() as holder:
            there, here = Path(holder, "there"), Path(holder, "here")
            pair = Pair(there)
            pair.do(send(pair.sink, streams))
            local = DirectorySink(str(here), self.fail)
            pair.do(send(local, streams))
            self.assertEqual(tree(there / pair.session.path), tree(here))
            self.assertEqual(pair.lost, [])

    def test_a_stream_that_ends_early(self):
        with tempfile.TemporaryDirectory() as holder:
            pair = Pair(holder)

            async def talk():
                await pair.sink.begin()
                stream = await pair.sink.add_stream("python", "channel0_0")
                pair.sink.write(stream, packet(b"abc", 0))
                await pair.sink.close_stream(stream)
                await pair.sink.quiesce()

            pair.do(talk())
            self.assertEqual(len(tree(Path(holder))), 2)


class AloneTests(SynchronousTestCase):
    """Answered by hand."""

    def setUp(self):
        self.clock, self.lost, self.sources = Clock(), [], Sources()
        self.sink = RelaySink(self.clock, RelaySession(13, 1, "host/s1"), lambda: 0, self.lost.append)
        self.control = ControlClient(self.clock, 60, self.sink.lose)
        self.data = DataPath(self.sink.lose)
        self.control.makeConnection(StringTransport())
        self.data.makeConnection(StringTransport())
        self.sink.connect(self.control, self.data, self.sources)
        beginning = Deferred.fromCoroutine(self.sink.begin())
        self.answer(OK)  # CREATE_TRACE_CHUNK
        self.successResultOf(beginning)
        adding = Deferred.fromCoroutine(self.sink.add_stream("kernel", "channel0_0"))
        self.answer(StreamAdded(4, 10))
        self.stream = self.successResultOf(adding)

    def answer(self, *messages):
        self.control.dataReceived(b"".join(message.pack() for message in messages))

    def said(self):
        return [(header.command, data) for header, data in Commands().feed(self.control.transport.value())]

    def test_an_index_does_not_wait_for_the_one_before(self):
        for sequence in range(3):
            self.sink.write(self.stream, packet(b"abc", sequence))
        self.clock.advance(TOGETHER)
        sent = [SendIndex.unpack(data, 13) for command, data in self.said() if command == Command.SEND_INDEX]
        self.assertEqual([index.net_sequence for index in sent], [0, 1, 2])
        self.assertEqual({index.stream for index in sent}, {4})

    def test_quiesce_waits_for_every_index_and_every_packet(self):
        self.sink.write(self.stream, packet(b"abc", 0))
        quiet = Deferred.fromCoroutine(self.sink.quiesce())
        self.assertNoResult(quiet)
        self.answer(OK)  # the index
        self.answer(OK)  # BEGIN_DATA_PENDING
        self.answer(Status(1))  # DATA_PENDING: not there yet
        self.assertNoResult(quiet)
        self.clock.advance(0.2)
        self.answer(OK, Status(0), Status(0))
        self.successResultOf(quiet)

    def test_a_refused_index_loses_the_sink(self):
        self.sink.write(self.stream, packet(b"abc", 0))
        quiet = Deferred.fromCoroutine(self.sink.quiesce())
        self.answer(Status(11))
        self.failureResultOf(quiet, RelayLost)
        self.assertEqual(self.lost, [str(RelayRefused("SEND_INDEX", 11))])
        self.assertTrue(self.data.transport.disconnecting)

    def test_a_beacon(self):
        """It is an index without a packet, as in the captures of a genuine consumer."""
        self.sink.beacon(Silence(self.stream, 2, 50))
        self.sink.write(self.stream, packet(b"abc", 0))
        end = packet(b"abc", 0).timestamp_end
        self.sink.beacon(Silence(self.stream, 2, end))  # the packet has told as much
        self.sink.beacon(Silence(self.stream, 2, end + 1))
        self.clock.advance(TOGETHER)
        sent = [SendIndex.unpack(data, 13) for command, data in self.said() if command == Command.SEND_INDEX]
        self.assertEqual([index.timestamp_end for index in sent], [50, end, end + 1])
        self.assertEqual(sent[0], SendIndex(4, 0, 0, 0, 0, 50, 0, 2, 0, 0))

    def test_a_refused_stream(self):
        adding = Deferred.fromCoroutine(self.sink.add_stream("kernel", "channel0_1"))
        self.answer(StreamAdded(0, 11))
        self.failureResultOf(adding, RelayRefused)

    def test_lost_it_takes_packets_and_drops_them(self):
        self.sink.lose("the cable is out")
        self.sink.lose("as well")
        self.sink.write(self.stream, packet(b"abc", 0))
        self.failureResultOf(Deferred.fromCoroutine(self.sink.quiesce()), RelayLost)
        self.assertEqual(self.lost, ["the cable is out"])
        self.assertEqual(self.data.transport.value(), b"")

    def test_a_slow_relay_daemon_pauses_the_sources(self):
        self.assertIs(self.data.transport.producer, self.sources)
        self.assertTrue(self.data.transport.streaming)

    def test_metadata_of_any_length(self):
        adding = Deferred.fromCoroutine(self.sink.add_stream("kernel", "metadata"))
        self.answer(StreamAdded(5, 10))
        self.sink.write_metadata(self.successResultOf(adding), b"x" * (2 << 20))
        kinds = (METADATA_PART, Command.SEND_METADATA)
        pieces = [len(data) for command, data in self.said() if command in kinds]
        self.assertEqual(sum(pieces), (2 << 20) + 12 * len(pieces))
        self.assertGreater(len(pieces), 1)

    def test_metadata_of_a_live_session(self):
        """It waits until streams are described; pieces begin with the signature, and end with a line."""
        self.sink.session = RelaySession(13, 1, "host/s1", live=1000)
        adding = Deferred.fromCoroutine(self.sink.add_stream("ust", "metadata"))
        self.answer(StreamAdded(5, 10))
        number = self.successResultOf(adding)
        self.control.transport.clear()
        self.sink.write_metadata(number, b"/* CTF 1.8 */\nbegin\n")
        self.assertEqual(self.control.transport.value(), b"")
        self.sink.write_metadata(number, b"\nstream {\n};\n")
        self.sink.write_metadata(number, b"event {\n};\n")
        self.sink.write_metadata(number, b"y" * 1000 + b"\n" + b"x" * ((1 << 20) - 500) + b"\n")
        kinds = (METADATA_PART, Command.SEND_METADATA)
        pieces = [data[12:] for command, data in self.said() if command in kinds]
        signature = b"/* CTF 1.8 */\n"
        self.assertEqual(pieces[0], signature + b"begin\n\nstream {\n};\n")
        self.assertEqual(pieces[1], signature + b"event {\n};\n")
        self.assertEqual(pieces[2], signature + b"y" * 1000 + b"\n")
        self.assertTrue(pieces[3].startswith(signature + b"x"))

    def test_an_old_relay_daemon_wants_the_whole_path(self):
        self.sink.session = RelaySession(4, 1, "host/s1", "/host/s1//")
        begun = Deferred.fromCoroutine(self.sink.begin())
        self.successResultOf(begun)
        Deferred.fromCoroutine(self.sink.add_stream("kernel", "channel0_1"))
        command, data = self.said()[-1]
        self.assertEqual((command, len(data)), (Command.ADD_STREAM, 4376))
        self.assertIn(b"/host/s1//kernel\0", data)

    def test_versions(self):
        self.assertEqual(Version(2, 13).pack(), bytes.fromhex("000000020000000d"))
