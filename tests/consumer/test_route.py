"""The way from sources to one sink after the other: what is lost is counted, nothing comes twice."""

import tempfile
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.internet import defer
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from lttngnet.consumer.carrier import PARTING, Carrier
from lttngnet.consumer.directory import DirectorySink
from lttngnet.consumer.route import Route
from lttngnet.consumer.spool import Spool
from lttngnet.ctf.packet import Silence
from lttngnet.errors import CommandError, RelayLost
from lttngnet.interfaces import IPacketSink
from tests.consumer.test_relay import Pair, Sources, packet

ACTIONS = ("write", "describe", "another", "close", "switch", "drop", "hold", "go on", "pause", "time")
SIZE = 8  # bytes of a packet
HEAD = b"/* CTF 1.8 */\n"


def content(stream, sequence):
    return b"%-4.4s%04d" % (stream.encode(), sequence)


class Script:
    """What sources and users do with a route whose sinks are folders.

    Attributes:
        parts: the folders, one after the other.
        made: how many packets were made of each stream.
        dropped: those of them that the route was to drop.
    """

    def __init__(self, case, folder, spool=None):
        self.case, self.folder = case, Path(folder)
        self.clock, self.sources = Clock(), Sources()
        self.route = Route(self.clock, self.sources, spool or Spool())
        self.parts, self.made, self.dropped, self.numbers = [], {}, set(), {}
        self.switch()
        self.do(self.route.begin())
        self.text = b""
        self.add("c_0"), self.add("c_1")
        self.metadata = self.do(self.route.add_stream("ust/uid/0", "metadata"))
        self.do(self.route.publish())
        self.describe(HEAD)

    def do(self, coroutine):
        return self.case.successResultOf(Deferred.fromCoroutine(coroutine))

    def add(self, name):
        self.numbers[name] = self.do(self.route.add_stream("ust/uid/0", name))
        self.made[name] = 0

    def describe(self, text):
        self.text += text
        self.route.write_metadata(self.metadata, text)

    def switch(self):
        self.parts.append(self.folder / str(len(self.parts)))
        self.valve = self.route.valve()
        sink = DirectorySink(str(self.parts[-1]), self.case.fail)
        before = self.do(self.route.use(sink, self.valve))
        if before is not None:
            self.do(before.finish())

    def write(self, name):
        sequence = self.made[name]
        self.made[name] += 1
        if self.route.state == "dropping":
            self.dropped.add((name, sequence))
        self.route.write(self.numbers[name], packet(content(name, sequence), sequence))

    def act(self, action, name):
        match action:
            case "write" if name in self.numbers and not self.sources.paused:
                self.write(name)
            case "describe":
                self.describe(b"event %d\n" % len(self.text))
            case "another" if name not in self.made:
                self.add(name)
            case "close" if name in self.numbers:
                self.do(self.route.close_stream(self.numbers.pop(name)))
            case "switch":
                self.switch()
            case "drop":
                self.route.drop()
            case "hold":
                self.route.hold()
            case "go on":
                self.route.go_on()
            case "pause" if self.valve.is_shut:
                self.valve.resumeProducing()
            case "pause":
                self.valve.pauseProducing()
            case "time":
                self.clock.advance(0)

    def finish(self):
        if self.valve.is_shut:
            self.valve.resumeProducing()
        finishing = Deferred.fromCoroutine(self.route.finish())
        self.clock.advance(0)
        self.case.successResultOf(finishing)

    def received(self, name):
        """Return the packets of a stream, part by part."""
        data = b"".join(file.read_bytes() for part in self.parts for file in part.rglob(name))
        return [data[at : at + SIZE] for at in range(0, len(data), SIZE)]

    def sent(self, name):
        """Return the packets that should be received."""
        return [content(name, n) for n in range(self.made[name]) if (name, n) not in self.dropped]


class WholeTests(SynchronousTestCase):
    def test_interface(self):
        verifyObject(IPacketSink, Route(Clock(), Sources()))

    @settings(max_examples=150, deadline=None)
    @given(st.lists(st.tuples(st.sampled_from(ACTIONS), st.sampled_from(["c_0", "c_1", "c_2"])), max_size=30))
    @example([("hold", ""), ("write", "c_0"), ("close", "c_0"), ("switch", ""), ("go on", "")])
    @example([("hold", ""), ("write", "c_0"), ("pause", ""), ("go on", ""), ("switch", ""), ("time", "")])
    def test_each_packet_arrives_once_and_in_order(self, actions):
        with tempfile.TemporaryDirectory() as folder:
            script = Script(self, folder)
            for action, name in actions:
                script.act(action, name)
            script.finish()
            for name in script.made:
                self.assertEqual(script.received(name), script.sent(name))
            self.assertEqual(script.route.facts(), {"spooled": 0, "dropped": len(script.dropped)})
            for part in script.parts:
                text = (part / "ust/uid/0/metadata").read_bytes()
                self.assertTrue(text.startswith(HEAD) and script.text.startswith(text))
            self.assertEqual(text, script.text)
            self.assertEqual(script.clock.getDelayedCalls(), [])


class RouteTests(SynchronousTestCase):
    def setUp(self):
        self.script = Script(self, self.mktemp(), Spool(limit=1000))
        self.route, self.clock, self.sources = self.script.route, self.script.clock, self.script.sources

    def test_a_slow_sink_pauses_the_sources(self):
        valve = self.script.valve
        valve.pauseProducing()
        self.assertTrue(self.sources.paused)
        valve.resumeProducing()
        self.assertFalse(self.sources.paused)

    def test_one_that_was_left_does_not(self):
        old = self.script.valve
        old.pauseProducing()
        self.script.switch()
        self.assertFalse(self.sources.paused)
        old.stopProducing()
        self.assertFalse(self.sources.paused)

    def test_while_the_consumer_is_disabled_the_sources_go_on(self):
        self.script.valve.pauseProducing()
        for disable in (self.route.drop, self.route.hold):
            disable()
            self.assertFalse(self.sources.paused)

    def test_what_is_kept_has_a_limit(self):
        self.route.hold()
        for _ in range(20):
            self.script.write("c_0")
        self.assertFalse(self.sources.paused)
        self.assertEqual(self.route.facts(), {"spooled": 13 * 76, "dropped": 7})
        self.route.go_on()
        self.assertEqual(self.script.received("c_0"), [content("c_0", n) for n in range(7, 20)])

    def test_who_catches_up_loses_nothing(self):
        """The sources are paused when what is kept grows although the sink takes it."""
        self.route.hold()
        for _ in range(10):
            self.script.write("c_0")
        self.script.valve.pauseProducing()
        self.route.go_on()
        while not self.sources.paused:
            self.script.write("c_0")
        self.script.valve.resumeProducing()
        self.clock.advance(0)
        self.assertEqual((self.route.state, self.sources.paused), ("direct", False))
        self.assertEqual(self.script.received("c_0"), self.script.sent("c_0"))
        self.assertEqual(self.route.facts(), {"spooled": 0, "dropped": 0})

    def test_others_have_their_turn(self):
        class Busy(Clock):
            def seconds(self):
                self.rightNow += 0.003
                return self.rightNow

        self.clock.__class__ = Busy
        self.route.hold()
        for _ in range(10):
            self.script.write("c_0")
        self.route.go_on()
        self.assertEqual(self.route.state, "catching up")
        self.assertLess(len(self.script.received("c_0")), 10)
        quiesced = Deferred.fromCoroutine(self.route.quiesce())
        self.assertNoResult(quiesced)
        while self.route.state != "direct":
            self.clock.advance(0)
        self.successResultOf(quiesced)
        self.assertEqual(self.script.received("c_0"), self.script.sent("c_0"))

    def test_disabled_again_while_it_catches_up(self):
        self.script.valve.pauseProducing()
        self.route.hold()
        self.script.write("c_0")
        self.route.go_on()
        quiesced = Deferred.fromCoroutine(self.route.quiesce())
        self.assertNoResult(quiesced)
        self.route.hold()
        self.successResultOf(quiesced)
        self.script.valve.resumeProducing()
        self.clock.advance(0)
        self.assertEqual((self.route.state, self.script.received("c_0")), ("holding", []))

    def give_to_one_that_is_lost(self, leave):
        """Catch up with five packets; the sink is lost at the first. Return what the route tells then."""
        self.script.valve.pauseProducing()
        self.route.hold()
        for _ in range(5):
            self.script.write("c_0")
        self.route.go_on()
        given = []

        def fail(stream, packet):
            given.append(packet)
            leave()

        self.patch(self.route.sink, "write", fail)
        self.script.valve.resumeProducing()
        self.clock.advance(0)
        self.assertEqual(len(given), 1)
        return self.route.facts()

    def test_a_sink_that_is_lost_while_it_is_given_what_was_kept(self):
        """Nothing more is given to it; the rest stays kept."""
        self.assertEqual(self.give_to_one_that_is_lost(self.route.hold), {"spooled": 4 * 76, "dropped": 0})
        self.assertEqual(self.route.state, "holding")

    def test_the_last_sink_is_lost_while_it_is_given_what_was_kept(self):
        self.assertEqual(self.give_to_one_that_is_lost(self.route.end), {"spooled": 0, "dropped": 4})
        self.assertEqual(self.route.state, "over")

    def test_a_disabled_consumer_has_no_chunk_to_close(self):
        for disable in (self.route.drop, self.route.hold):
            disable()
            rotating = Deferred.fromCoroutine(self.route.rotate(True, True))
            self.assertIn("disabled", self.failureResultOf(rotating, CommandError).value.sentence)

    def test_what_is_kept_belongs_to_the_chunk_before(self):
        self.route.hold()
        self.script.write("c_0")
        self.route.go_on()
        place = self.script.do(self.route.rotate(True, True))
        self.script.write("c_0")
        self.assertEqual((Path(place) / "ust/uid/0/c_0").read_bytes(), content("c_0", 0))

    def test_silence(self):
        told = []
        self.patch(self.route.sink, "beacon", told.append)
        for state in (self.route.hold, self.route.drop, self.route.go_on):
            state()
            self.route.beacon(Silence(self.script.numbers["c_1"], 0, 7))
        self.route.beacon(Silence(99, 0, 7))
        self.assertEqual(told, [Silence(2, 0, 7)])

    def test_without_a_sink_streams_are_known_later(self):
        before = self.route.leave()
        self.route.hold()
        self.script.add("c_2")
        self.script.describe(b"event 7\n")
        self.script.write("c_2")
        self.script.switch()
        self.route.go_on()
        self.script.do(before.finish())
        self.script.finish()
        self.assertEqual(self.script.received("c_2"), self.script.sent("c_2"))

    def test_the_sink_is_lost_while_it_is_asked(self):
        async def lose(*args):
            self.route.leave()
            raise RelayLost("gone")

        for name, ask in (
            ("begin", lambda: self.route.begin()),
            ("add_stream", lambda: self.route.add_stream("ust/uid/0", "c_2")),
            ("publish", lambda: self.route.publish()),
            ("close_stream", lambda: self.route.close_stream(self.script.numbers["c_0"])),
        ):
            self.patch(self.route.sink, name, lose)
            self.script.do(ask())
            self.assertIsNone(self.route.sink)
            self.script.switch()
        self.assertEqual(
            sorted(path.name for path in self.script.parts[-1].rglob("*") if path.is_file()),
            ["c_1", "c_2", "metadata"],
        )

    def test_at_the_end_nothing_is_taken(self):
        self.route.hold()
        self.script.write("c_0")
        self.route.end()
        self.script.write("c_0")
        self.assertEqual(self.route.facts(), {"spooled": 0, "dropped": 1})


class RelayTests(SynchronousTestCase):
    """From a relay daemon to another one, in memory."""

    def test_each_has_its_part(self):
        folders = [Path(self.mktemp()) for _ in range(3)]
        clock = Clock()
        route = Route(clock, Sources())
        before = None
        for number, folder in enumerate(folders):
            pair = Pair(folder)
            after = pair.do(route.use(pair.sink))
            if before is None:
                pair.do(route.begin())
                stream, metadata = (pair.do(route.add_stream("kernel", name)) for name in ("c_0", "metadata"))
                pair.do(route.publish())
                route.write_metadata(metadata, HEAD)
            else:
                self.assertIs(after, before.sink)
                before.do(after.finish())
            for sequence in (2 * number, 2 * number + 1):
                route.write(stream, packet(content("c_0", sequence), sequence))
            route.write_metadata(metadata, b"event %d\n" % number)
            before = pair
        before.do(route.finish())
        text = HEAD
        for number, folder in enumerate(folders):
            (trace,) = folder.rglob("kernel")
            text += b"event %d\n" % number
            self.assertEqual((trace / "metadata").read_bytes(), text)
            packets = content("c_0", 2 * number) + content("c_0", 2 * number + 1)
            self.assertEqual((trace / "c_0").read_bytes(), packets)


class FailingSink(DirectorySink):
    """Fails at what it is told to."""

    def __init__(self, folder, fails):
        super().__init__(str(folder), lambda why: None)
        self.is_abandoned = False

        async def fail(*args):
            raise RelayLost("the control connection was cut off")

        for name in fails:
            setattr(self, name, fail)

    def abandon(self):
        super().abandon()
        self.is_abandoned = True


class ChangeTests(SynchronousTestCase):
    """The carrier changes the sink."""

    def setUp(self):
        self.folder, self.clock = Path(self.mktemp()), Clock()
        self.told = []
        self.carrier = Carrier(lambda kind, config: None, self.clock, self.told.append)
        self.route = self.carrier.route
        self.first = FailingSink(self.folder / "first", [])
        self.use(self.first)
        self.stream = self.do(self.route.add_stream("kernel", "c_0"))

    def do(self, coroutine):
        return self.successResultOf(Deferred.fromCoroutine(coroutine))

    def use(self, sink):
        return self.do(self.carrier.use(sink))

    def test_one_that_fails_changes_nothing(self):
        for fails in ("begin", "add_stream", "publish"):
            other = FailingSink(self.folder / fails, [fails])
            refused = Deferred.fromCoroutine(self.carrier.use(other))
            self.assertIn("cut off", self.failureResultOf(refused, CommandError).value.sentence)
            self.assertTrue(other.is_abandoned)
            self.assertIs(self.route.sink, self.first)
            self.route.write(self.stream, packet(b"x", 0))
        self.assertEqual((self.folder / "first/kernel/c_0").read_bytes(), b"xxx")

    def test_one_that_fails_at_the_last_moment(self):
        """Such as a disk that is full: the metadata does not fit."""
        self.route.write_metadata(self.do(self.route.add_stream("kernel", "metadata")), HEAD)
        other = FailingSink(self.folder / "second", [])

        def fail(stream, text):
            other.lost = "the disk is full"
            self.carrier.lose(other, other.lost)

        self.patch(other, "write_metadata", fail)
        refused = Deferred.fromCoroutine(self.carrier.use(other))
        self.assertIn("disk is full", self.failureResultOf(refused, CommandError).value.sentence)
        self.route.write(self.stream, packet(b"x", 0))
        self.assertEqual((self.folder / "first/kernel/c_0").read_bytes(), b"x")
        self.assertEqual(self.told, [])

    def change_while_the_present_one_is_lost(self, disable=lambda route: None):
        """Begin to change; return the other sink, what lets it go on, and the result of the change."""
        other, gate = FailingSink(self.folder / "second", []), Deferred()

        async def begin():
            await gate

        self.patch(other, "begin", begin)
        using = Deferred.fromCoroutine(self.carrier.use(other))
        disable(self.route)
        self.first.lost = "the control connection was cut off"
        self.carrier.lose(self.first, self.first.lost)
        self.assertEqual(self.told, [])
        self.route.write(self.stream, packet(b"x", 0))
        return gate, using

    def test_the_present_one_is_lost_meanwhile(self):
        """What comes until the other one is there goes to that."""
        gate, using = self.change_while_the_present_one_is_lost()
        gate.callback(None)
        self.successResultOf(using)
        self.assertEqual((self.folder / "second/kernel/c_0").read_bytes(), b"x")
        self.assertEqual((self.route.state, self.told), ("direct", []))

    def test_the_present_one_is_lost_and_the_other_one_fails(self):
        gate, using = self.change_while_the_present_one_is_lost()
        gate.errback(RelayLost("no"))
        self.failureResultOf(using, CommandError)
        self.assertEqual((self.route.state, self.told), ("over", [self.first.lost]))

    def test_the_present_one_is_lost_while_the_consumer_is_disabled(self):
        """It stays disabled."""
        for disable, state in ((Route.drop, "dropping"), (Route.hold, "holding")):
            self.setUp()
            gate, using = self.change_while_the_present_one_is_lost(disable)
            gate.callback(None)
            self.successResultOf(using)
            self.assertEqual((self.route.state, self.told), (state, []))

    def test_one_that_is_left_fails(self):
        self.use(last := FailingSink(self.folder / "second", ["finish"]))
        problem = self.use(FailingSink(self.folder / "third", []))
        self.assertIn("has arrived where it went: the control connection was cut off", problem)
        self.assertTrue(last.is_abandoned)
        self.do(self.carrier.finish())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_one_that_is_left_has_a_defect(self):
        self.use(last := FailingSink(self.folder / "second", []))
        self.patch(last, "finish", lambda: defer.fail(ValueError("made up")))
        self.assertIn("has arrived where it went: made up", self.use(FailingSink(self.folder / "third", [])))
        self.assertTrue(last.is_abandoned)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_one_that_takes_long(self):
        slow = Deferred()

        async def finish():
            await slow

        self.patch(self.first, "finish", finish)
        using = Deferred.fromCoroutine(self.carrier.use(FailingSink(self.folder / "second", [])))
        self.assertNoResult(using)
        self.route.write(self.stream, packet(b"x", 0))  # goes on meanwhile
        self.clock.advance(PARTING)
        self.assertIn("still on its way", self.successResultOf(using))
        finishing = Deferred.fromCoroutine(self.carrier.finish())
        self.assertNoResult(finishing)
        slow.callback(None)
        self.successResultOf(finishing)
        self.assertEqual((self.folder / "second/kernel/c_0").read_bytes(), b"x")
