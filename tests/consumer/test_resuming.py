"""A sink whose relay daemon goes away and comes back, against ours in memory."""

import shutil
from pathlib import Path

from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.test.iosim import connectedServerAndClient
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.consumer.control import ControlClient
from lttngnet.consumer.relay import DataPath, RelaySink
from lttngnet.errors import CommandError, RelayLost
from lttngnet.relayd.control import ControlChannel
from lttngnet.relayd.data import DataChannel
from lttngnet.relayd.store.store import Store
from lttngnet.sessiond.control import LastingSession, NotResumed, open_session
from tests.consumer.test_relay import WANTED, Sources, packet, tree

QUICK = (Phase.explicit, Phase.reuse, Phase.generate)
LASTING = LastingSession(**vars(WANTED), identity=b"i" * 16, secret=b"s" * 32)


class World:
    """A relay daemon that may be killed, and a sink that comes back to it."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.clock, self.lost, self.away, self.sources = Clock(), [], [], Sources()
        self.store = Store(self.folder)
        self.open()
        self.session = self.do(open_session(self.client, LASTING))
        self.sink = RelaySink(
            self.clock, self.session, lambda: 1_800_000_001, self.lost.append, self.away.append
        )
        self.sink.connect(self.client, self.path, self.sources)

    def open(self):
        """Have two connections."""
        self.client, self.control, self.control_pump = connectedServerAndClient(
            lambda: ControlChannel(self.store), lambda: ControlClient(self.clock, 60, lambda why: None)
        )
        self.path, self.data, self.data_pump = connectedServerAndClient(
            lambda: DataChannel(self.store), lambda: DataPath(lambda why: None)
        )

    def flush(self):
        self.data_pump.flush()
        self.control_pump.flush()

    def begin(self, coroutine):
        """Let a coroutine begin; return where its result will be."""
        results = []
        Deferred.fromCoroutine(coroutine).addBoth(results.append)
        return results

    def wait_for(self, results):
        for _ in range(50):
            if results:
                break
            self.flush()
            self.clock.advance(0.2)
        (result,) = results
        if hasattr(result, "raiseException"):
            result.raiseException()
        return result

    def do(self, coroutine):
        return self.wait_for(self.begin(coroutine))

    def kill(self):
        """Kill the relay daemon; another one begins where it was."""
        self.store._pool.close()
        self.store = Store(self.folder)
        self.store.recover()
        self.sink.lose("it was killed")

    def cut(self):
        """Cut the connections."""
        self.sink.lose("it was cut")
        self.flush()

    def come_back(self, wanted=None):
        self.open()
        wanted = wanted or LastingSession(**(vars(LASTING) | {"resumes": True}))
        session = self.do(open_session(self.client, wanted))
        self.do(self.sink.resume(self.client, self.path, session.session, session.commands))

    def close(self):
        self.store._pool.close()


class ResumingTests(SynchronousTestCase):
    def world(self):
        world = World(self.mktemp())
        self.addCleanup(world.close)
        return world

    def undisturbed(self, counts):
        world = self.world()
        self.run_through(world, counts, lambda: None)
        return tree(world.folder)

    def run_through(self, world, counts, disturb):
        """Send so many packets to two streams in each turn, with a rotation in the middle."""
        sink = world.sink
        world.do(sink.begin())
        keys = [world.do(sink.add_stream("kernel", f"channel0_{n}")) for n in range(2)]
        text = world.do(sink.add_stream("kernel", "metadata"))
        world.do(sink.publish())
        sink.write_metadata(text, b"/* CTF 1.8 */\n")
        disturb()
        sent = [0, 0]
        for turn, pair in enumerate(counts):
            for stream, count in enumerate(pair):
                for _ in range(count):
                    sink.write(keys[stream], packet(b"%d.%d " % (stream, sent[stream]) * 9, sent[stream]))
                    sent[stream] += 1
            if turn == len(counts) // 2:
                sink.write_metadata(text, b"more\n")
            disturb()
            if turn == len(counts) // 2:
                world.do(sink.quiesce())
                world.do(sink.rotate(True, True))
                disturb()
        world.do(sink.quiesce())
        world.do(sink.finish())
        world.flush()
        self.assertEqual(world.lost, [])

    @settings(max_examples=30, deadline=None, phases=QUICK, derandomize=True)
    @given(st.data())
    def test_the_files_are_those_of_an_undisturbed_run(self, data):
        counts = data.draw(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=4))
        world = self.world()

        def disturb():
            for _ in range(data.draw(st.integers(0, 2))):
                if data.draw(st.booleans()):
                    world.flush()
                if data.draw(st.booleans()):
                    world.data_pump.flush()
                data.draw(st.sampled_from([world.kill, world.cut]))()
                world.come_back()

        self.run_through(world, counts, disturb)
        self.assertEqual(tree(world.folder), self.undisturbed(counts))
        world.close()

    def test_a_question_that_is_on_its_way_is_answered_later(self):
        world = self.world()
        world.do(world.sink.begin())
        asked = world.begin(world.sink.add_stream("kernel", "channel0_0"))
        world.kill()
        self.assertEqual(asked, [])
        world.come_back()
        self.assertIsInstance(world.wait_for(asked), int)
        self.assertEqual(world.away, ["it was killed"])

    def test_while_it_is_away(self):
        world = self.world()
        world.do(world.sink.begin())
        stream = world.do(world.sink.add_stream("kernel", "channel0_0"))
        world.cut()
        self.assertTrue(world.sink.is_away)
        self.assertTrue(world.sources.paused)
        world.sink.write(stream, packet(b"abc", 0))
        self.assertRaises(RelayLost, world.do, world.sink.quiesce())
        world.come_back()
        self.assertFalse(world.sources.paused)
        world.do(world.sink.quiesce())
        world.do(world.sink.finish())
        self.assertEqual(world.store.sessions, {})

    def test_a_relay_daemon_that_does_not_know_the_session(self):
        world = self.world()
        world.do(world.sink.begin())
        world.store._pool.close()
        shutil.rmtree(world.folder)
        world.kill()
        self.assertRaises(NotResumed, world.come_back)
        asked = world.begin(world.sink.add_stream("kernel", "channel0_0"))
        world.sink.abandon()
        self.assertRaises(RelayLost, world.wait_for, asked)

    def test_the_window_is_emptied_when_it_is_half_full(self):
        world = self.world()
        window = world.sink.window
        window.limit = 100
        world.do(world.sink.begin())
        stream = world.do(world.sink.add_stream("kernel", "channel0_0"))
        for number in range(11):
            world.sink.write(stream, packet(b"x" * 10, number))
        self.assertTrue(window.is_full)
        for _ in range(5):
            world.flush()
            world.clock.advance(0.2)
        self.assertEqual((len(window), world.sources.paused), (0, False))

    def test_one_that_keeps_no_session(self):
        world = self.world()
        world.store = Store(world.folder / "other", resume_within=0)
        world.open()
        session = world.do(open_session(world.client, LASTING))
        self.assertEqual((session.identity, session.is_windowed), ("", True))
        world.open()
        wanted = LastingSession(**(vars(LASTING) | {"resumes": True}))
        self.assertRaises(CommandError, world.do, open_session(world.client, wanted))
