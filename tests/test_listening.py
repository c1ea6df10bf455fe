"""Where the relay daemon listens: LTTng URLs and endpoint strings of Twisted."""

from dataclasses import replace

from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.listening import is_plain, listening_endpoint, server_endpoint
from lttngnet.uri import UriError, parse_listener


class ServerTests(SynchronousTestCase):
    def listening(self, string):
        """Listen, and return port and interface that the reactor was asked for, by Twisted and by us."""
        asked = set()
        for make in (serverFromString, listening_endpoint):
            reactor = MemoryReactorClock()
            make(reactor, string).listen(Factory())
            ((port, _, _, interface),) = reactor.tcpServers
            asked.add((port, interface))
        self.assertEqual(len(asked), 1)
        return asked.pop()

    def test_urls(self):
        for text, place in {
            "tcp://0.0.0.0:5342": (5342, "0.0.0.0"),
            "tcp4://127.0.0.1": (5344, "127.0.0.1"),
            "tcp://localhost:0": (0, "127.0.0.1"),
            "tcp6://[::]:5342": (5342, "::"),
            "tcp6://[::1]:0": (0, "::1"),
            "TCP6://localhost/": (5344, "::1"),
            "tcp://relay.example:7": (7, "relay.example"),
        }.items():
            self.assertEqual(self.listening(server_endpoint(text, 5344)), place, text)
            self.assertEqual(self.listening(server_endpoint(parse_listener(text), 5344)), place, text)

    def test_strings_pass(self):
        for text in (
            "tcp:0",
            "unix:/run/relay",
            "ssl:5342:privateKey=k.pem",
            "systemd:domain=INET:index=0",
            "tcp6:1",
        ):
            self.assertEqual(server_endpoint(text, 5342), text)

    def test_nowhere(self):
        schemes = ["udp://127.0.0.1:1", "file:///x", "net://0.0.0.0", "net://0.0.0.0:1:2"]
        rests = ["tcp6://relay.example:1", "tcp://0.0.0.0:5342/x", "tcp://0.0.0.0:65536", "tcp://"]
        for text in *schemes, *rests, "5342", "", "/run/relay":
            self.assertRaises(UriError, server_endpoint, text, 5342)
        there = replace(parse_listener("tcp://127.0.0.1"), port=0)
        self.assertEqual(server_endpoint(there, 5342), "tcp:0:interface=127.0.0.1")

    def test_who_needs_tls(self):
        for string in ("tcp:1", "tcp6:1:interface=\\:\\:", "unix:/run/relay"):
            self.assertTrue(is_plain(string), string)
        for string in ("ssl:5342:privateKey=k.pem", "systemd:domain=INET:index=0", "tls:1"):
            self.assertFalse(is_plain(string), string)
