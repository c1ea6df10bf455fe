"""Destinations as Twisted endpoints: what would be connected to, and listened at, on a reactor in memory."""

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP6ClientEndpoint, clientFromString
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.endpoints import client_endpoint, endpoint
from lttngnet.uri import UriError, parse, parse_listener

PLACES = {
    "tcp://127.1:5342": ("127.0.0.1", 5342),
    "tcp6://[::1]:5343": ("::1", 5343),
    "tcp6://[fe80::A]:1/subdir": ("fe80::A", 1),
    "tcp://relay.example:9": ("relay.example", 9),
}
NOWHERE = ["udp://127.0.0.1:1", "udp6://[::1]:1", "file:///x", "tcp://127.0.0.1"]


def destination(text):
    (found,) = parse(text)
    return found


class ClientTests(SynchronousTestCase):
    def connected(self, make):
        """Connect, and return host, port and timeout that the reactor was asked for."""
        reactor = MemoryReactorClock()
        make(reactor).connect(Factory())
        ((host, port, _, timeout, _),) = reactor.tcpClients
        return host, port, timeout

    def test_strings(self):
        for text, place in PLACES.items():
            string = client_endpoint(destination(text), timeout=7)
            found = self.connected(lambda reactor, string=string: clientFromString(reactor, string))
            self.assertEqual(found, (*place, 7), text)

    def test_text(self):
        string = client_endpoint(destination("tcp6://[::1]:5343"))
        self.assertEqual(string, r"tcp:host=\:\:1:port=5343:timeout=30")

    def test_endpoints(self):
        for text, place in PLACES.items():
            there = destination(text)
            found = self.connected(lambda reactor, there=there: endpoint(reactor, there, timeout=7))
            self.assertEqual(found, (*place, 7), text)

    def test_name_of_ipv6(self):
        """A name is resolved by who connects, as IPv6 alone; only a string cannot say so."""
        there = destination("tcp6://relay.example:9")
        self.assertRaises(UriError, client_endpoint, there)
        asked = []

        def resolve(host):
            asked.append(host)
            return Deferred()

        self.patch(TCP6ClientEndpoint, "_nameResolution", staticmethod(resolve))
        endpoint(MemoryReactorClock(), there).connect(Factory())
        self.assertEqual(asked, ["relay.example"])

    def test_nowhere(self):
        for text in NOWHERE:
            self.assertRaises(UriError, client_endpoint, destination(text))
            self.assertRaises(UriError, endpoint, MemoryReactorClock(), destination(text))
        self.assertRaises(UriError, client_endpoint, parse_listener("tcp://127.0.0.1:0"))
        problem = self.assertRaises(UriError, client_endpoint, destination("udp://127.0.0.1:1"))
        self.assertIn("over UDP there are no connections", str(problem))
