"""The health socket, and what it tells."""

import os
import shutil
import socket
import struct
import tempfile
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint, UNIXClientEndpoint, connectProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase, TestCase

from lttngnet.relayd.health import LATE, PATIENCE, TICK, HealthFactory, HealthSocket, Part, Pulse, health_path
from lttngnet.relayd.peers import Peers
from lttngnet.relayd.service import Listening, Options, makeService
from lttngnet.startup import CannotStart

QUESTION = bytes(4)


class PathTests(SynchronousTestCase):
    def test_places(self):
        file = f"health-{os.getpid()}"
        self.assertEqual(health_path({}, 0), Path("/run/lttng/relayd", file))
        self.assertEqual(health_path({"HOME": "/h"}, 5), Path("/h/.lttng/relayd", file))
        self.assertEqual(health_path({"HOME": "/h", "LTTNG_HOME": "/l"}, 5), Path("/l/.lttng/relayd", file))
        self.assertEqual(health_path({"LTTNG_RELAYD_HEALTH": "/x/y"}, 0), Path("/x/y"))


class ChannelTests(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.transport = StringTransport()
        self.channel = HealthFactory(self.clock, lambda: Part.WORKER | Part.LIVE_LISTENER).buildProtocol(None)
        self.channel.makeConnection(self.transport)

    def end(self):
        self.channel.connectionLost()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_answer(self):
        for byte in QUESTION:
            self.assertFalse(self.transport.disconnecting)
            self.channel.dataReceived(bytes([byte]))
        self.assertEqual(self.transport.value(), struct.pack("=Q", 0b100010))
        self.assertTrue(self.transport.disconnecting)
        self.end()

    def test_another_question(self):
        self.channel.dataReceived(struct.pack("=I", 1))
        self.assertEqual(self.transport.value(), b"")
        self.assertTrue(self.transport.disconnecting)
        self.end()

    def test_no_question(self):
        self.clock.advance(PATIENCE)
        self.assertTrue(self.transport.disconnecting)
        self.end()


class PulseTests(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.pulse = Pulse(self.clock)
        self.pulse.startService()

    def test_in_time(self):
        for _ in range(10):
            self.clock.advance(TICK)
            self.assertTrue(self.pulse.is_well())

    def test_late(self):
        self.clock.advance(TICK)
        self.clock.rightNow += TICK + LATE  # the reactor is elsewhere
        self.assertFalse(self.pulse.is_well())
        self.clock.advance(0)
        self.assertFalse(self.pulse.is_well(), "that was late")
        self.clock.advance(TICK)
        self.assertTrue(self.pulse.is_well())

    def test_end(self):
        self.pulse.stopService()
        self.pulse.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class Client(Protocol):
    def connectionMade(self):
        self.heard = b""
        self.ended = Deferred()
        self.transport.write(QUESTION)

    def dataReceived(self, data):
        self.heard += data

    def connectionLost(self, reason):
        self.ended.callback(self.heard)


class SocketTests(TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp())  # trial's own are too deep for a socket
        self.addCleanup(shutil.rmtree, self.folder)
        self.path = self.folder / "rundir/relayd/health"
        self.service = HealthSocket(reactor, lambda: self.path, "no such group", lambda: Part(0))

    async def test_from_start_to_end(self):
        self.service.privilegedStartService()
        self.service.startService()
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o660)
        client = await connectProtocol(UNIXClientEndpoint(reactor, str(self.path)), Client())
        self.assertEqual(await client.ended, bytes(8))
        await self.service.stopService()
        self.assertFalse(self.path.exists())

    async def test_left_behind(self):
        self.path.parent.mkdir(parents=True)
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(self.path))
        self.service.privilegedStartService()
        await self.service.stopService()
        self.assertFalse(self.path.exists())

    def test_something_else_is_there(self):
        self.path.parent.mkdir(parents=True)
        self.path.write_text("precious")
        self.assertIn("health", str(self.assertRaises(CannotStart, self.service.privilegedStartService)))
        self.assertEqual(self.path.read_text(), "precious")
        self.assertIsNone(self.service.stopService())


class DaemonTests(TestCase):
    """What the whole daemon tells of itself."""

    async def test_a_port_is_gone(self):
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        self.patch(os, "environ", os.environ | {"LTTNG_RELAYD_HEALTH": str(folder / "health")})
        options = Options()
        any_port = "tcp:0:interface=127.0.0.1"
        options.parseOptions(["-o", str(folder), "-C", any_port, "-D", any_port, "-L", any_port])
        daemon = makeService(options)
        self.assertEqual(daemon.ailing(), Part.LISTENER | Part.LIVE_LISTENER)
        daemon.privilegedStartService()
        self.assertEqual(daemon.ailing(), Part(0))
        await daemon.getServiceNamed("live").stopService()
        self.assertEqual(daemon.ailing(), Part.LIVE_LISTENER)
        await daemon.stopService()


class ListeningTests(TestCase):
    async def test_it_is_open_while_it_listens(self):
        listening = Listening("control", TCP4ServerEndpoint(reactor, 0), Factory(), Peers(9), reactor)
        self.assertFalse(listening.is_open)
        listening.privilegedStartService()
        self.assertTrue(listening.is_open)
        await listening.stopService()
        self.assertFalse(listening.is_open)

    async def test_options_are_inherited(self):
        """Every socket that is accepted has the options of the listening one."""
        options = [
            (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
            (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 77),
            (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1234),
        ]
        accepted = Deferred()

        class Channel(Protocol):
            def connectionMade(self):
                self.ended = Deferred()
                accepted.callback(self)

            def connectionLost(self, reason):
                self.ended.callback(None)

        endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        listening = Listening("control", endpoint, Factory.forProtocol(Channel), Peers(9), reactor, options)
        listening.privilegedStartService()
        with socket.create_connection(("127.0.0.1", listening.port), 60):
            channel = await accepted
            inherited = [channel.transport.getHandle().getsockopt(*option[:2]) for option in options]
        await channel.ended
        await listening.stopService()
        self.assertEqual(inherited, [1, 77, 1234])
