"""The port for agents and its file, with real sockets."""

import socket
from pathlib import Path
from stat import S_IMODE

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.trial.unittest import TestCase

from lttngnet.sessiond.agents.agent import Agents
from lttngnet.sessiond.agents.port import PORTS, AgentPort
from tests.sessiond.agents.pretending import PretendedAgent


class EndingAgent(PretendedAgent):
    def __init__(self):
        super().__init__()
        self.ended = Deferred()

    def connectionLost(self, reason):
        super().connectionLost(reason)
        self.ended.callback(None)


class PortTests(TestCase):
    def setUp(self):
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.file = self.folder / "agent.port"
        self.taken = socket.socket()
        self.addCleanup(self.taken.close)
        self.taken.bind(("127.0.0.1", 0))
        self.taken.listen()

    def start(self, *ports):
        self.agents = Agents(reactor)
        service = AgentPort(reactor, self.folder, self.agents, ports)
        service.privilegedStartService()
        service.startService()
        self.addCleanup(service.stopService)
        return service

    async def test_first_free_port(self):
        service = self.start(self.taken.getsockname()[1], 0)
        number = int(self.file.read_text())
        self.assertNotEqual(number, self.taken.getsockname()[1])
        self.assertEqual(S_IMODE(self.file.stat().st_mode), 0o644)
        agent = EndingAgent()
        await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", number), agent)
        await service.stopService()
        await agent.ended
        self.assertEqual(list(self.folder.iterdir()), [])

    async def test_no_free_port(self):
        service = self.start(self.taken.getsockname()[1])
        self.assertEqual(list(self.folder.iterdir()), [])
        self.assertIsNone(service.stopService())

    async def test_what_another_daemon_wrote_stays(self):
        self.file.write_text("1\n")
        service = self.start(0)
        self.assertNotEqual(self.file.read_text(), "1\n")
        self.file.write_text("2\n")
        await service.stopService()
        self.assertEqual(self.file.read_text(), "2\n")

    async def test_no_folder(self):
        self.folder.rmdir()
        await self.start(0).stopService()

    def test_ports(self):
        self.assertEqual((PORTS[0], PORTS[-1]), (5345, 5354))
