"""No collection of garbage takes long, and peers leave none."""

import gc
import weakref

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.relayd import garbage
from lttngnet.relayd.garbage import LOOK, Garbage, freeze_survivors
from tests.relayd.hostility import WatchedRelay
from tests.relayd.replaying import utc
from tests.relayd.talking import Client
from tests.relayd.watching import Viewer


class Thing:
    pass


def ring():
    """Return a weak reference to a thing that refers to itself."""
    thing = Thing()
    thing.itself = thing
    return weakref.ref(thing)


class GarbageTests(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.service = Garbage(self.clock)
        self.service.startService()
        self.addCleanup(self.service.stopService)

    def test_survivors_are_frozen(self):
        thing = Thing()
        thing.itself = thing
        gc.collect()
        found = weakref.ref(thing)
        del thing
        gc.collect()
        self.assertIsNotNone(found())
        self.clock.advance(LOOK)
        self.assertIsNone(found())

    def test_what_is_new_is_collected(self):
        found = ring()
        gc.collect()
        self.assertIsNone(found())

    def test_while_there_is_much_nothing_looks_at_it(self):
        self.patch(garbage, "LITTLE", 1)
        frozen = gc.get_freeze_count()
        self.clock.advance(LOOK)
        self.assertGreater(gc.get_freeze_count(), frozen // 2)

    def test_collecting_begins(self):
        """The command has it off while it imports."""
        service = Garbage(self.clock)
        self.addCleanup(gc.enable)
        self.addCleanup(service.stopService)
        gc.disable()
        service.startService()
        self.assertTrue(gc.isenabled())

    def test_stopped(self):
        self.service.stopService()
        self.service.stopService()
        self.assertNotIn(freeze_survivors, gc.callbacks)
        self.assertEqual((gc.get_freeze_count(), self.clock.getDelayedCalls()), (0, []))


class PeersTests(SynchronousTestCase):
    """What peers leave is freed without the collector."""

    def setUp(self):
        utc(self)
        self.relay = WatchedRelay(self.mktemp())

    def session(self, ends_badly):
        client = Client(self.relay)
        client.agree()
        client.create(live_timer=1000)
        client.chunk()
        handles = client.add("metadata"), client.add("chan_0")
        client.say(16)  # STREAMS_SENT
        client.packet(handles[1], 0)
        client.index(handles[1], 0)
        viewer = Viewer(self.relay).ready()
        viewer.attach(next(iter(self.relay.store.sessions)))
        viewer.next(handles[1])
        (session,) = self.relay.store.sessions.values()
        channels = [each.channel for each in (client.control, client.data, viewer.connection)]
        found = [weakref.ref(thing) for thing in (session, session.streams[handles[1]], *channels)]
        if ends_badly:
            client.index(99, 0)
        for connection in (viewer.connection, client.control, client.data):
            connection.close()
            connection.transport.producer = None  # as a real one does when it is lost
        self.relay.settle()
        return found

    def test_nothing_is_left(self):
        for ends_badly in (False, True):
            gc.collect()
            gc.disable()
            self.addCleanup(gc.enable)
            found = self.session(ends_badly)
            self.assertEqual([each() for each in found], [None] * len(found))
            gc.enable()
