"""The link machine, walked; and links made in memory, with one thing after the other going wrong."""

from twisted.internet import error
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.errors import Code, CommandError, RelayLost
from lttngnet.sessiond.link import Ends, establish, link_machine
from lttngnet.uri import parse_argument, parse_pair
from lttngnet.wire import relay
from lttngnet.wire.framing import Commands
from tests.machines import WalkMixin

INPUTS = {"control_up": (), "data_up": (), "opened": (), "failed": (RelayLost("gone"),)}


class LinkTests(WalkMixin, SynchronousTestCase):
    inputs = INPUTS
    ways = {
        "connecting": [],
        "control alone": ["control_up"],
        "data alone": ["data_up"],
        "joined": ["control_up", "data_up"],
        "established": ["data_up", "control_up", "opened"],
        "aborted": ["failed"],
    }
    table = {
        ("connecting", "control_up"): "control alone",
        ("connecting", "data_up"): "data alone",
        ("connecting", "failed"): "aborted",
        ("control alone", "data_up"): "joined",
        ("control alone", "failed"): "aborted",
        ("data alone", "control_up"): "joined",
        ("data alone", "failed"): "aborted",
        ("joined", "opened"): "established",
        ("joined", "failed"): "aborted",
        **{(over, late): over for over in ("established", "aborted") for late in INPUTS},
    }

    def make(self):
        self.done = []
        return link_machine(
            Ends(
                lambda: self.done.append("open session"),
                lambda: self.done.append("hand over"),
                lambda why: self.done.append(str(why)),
            )
        )

    def test_the_relay_is_asked_only_when_both_stand(self):
        for first, second in [("control_up", "data_up"), ("data_up", "control_up")]:
            machine = self.make()
            self.feed(machine, first)
            self.assertEqual(self.done, [])
            self.feed(machine, second)
            self.assertEqual(self.done, ["open session"])

    def test_one_fails_all_is_aborted_once(self):
        for state in ("connecting", "control alone", "data alone", "joined"):
            machine = self.at(state)
            del self.done[:]
            machine.failed(RelayLost("first"))
            machine.failed(RelayLost("second"))
            self.assertEqual(self.done, ["first"], state)


class Handle:
    """A socket as far as a link looks at one."""

    def __init__(self, number):
        self.number = number

    def detach(self):
        return self.number


class Transport(StringTransport):
    """A connection in memory whose socket can be taken out of it."""

    def __init__(self, number):
        super().__init__(peerAddress=IPv4Address("TCP", "127.0.0.1", 5342))
        self.number = number
        self.reading = self.aborted = False

    def stopReading(self):
        self.reading = False

    def stopWriting(self):
        pass

    def getHandle(self):
        return Handle(self.number)

    def abortConnection(self):
        self.aborted = True


WANTED = relay.CreateSession("s1", "host", created=1_800_000_000, sessiond=relay.NIL)


class EstablishTests(SynchronousTestCase):
    """A session daemon's side of the handshake, answered by hand."""

    def setUp(self):
        self.reactor = MemoryReactorClock()
        output = parse_argument("net://127.0.0.1", "/")
        self.result = Deferred.fromCoroutine(establish(self.reactor, output, WANTED, 5.0))

    def connect(self, which):
        """Let the control (0) or the data (1) connection stand."""
        _, port, factory = self.reactor.tcpClients[which][:3]
        self.assertEqual(port, 5342 + which)
        protocol = factory.buildProtocol(None)
        transport = Transport(100 + which)
        protocol.makeConnection(transport)
        if which == 0:
            self.control, self.said = protocol, transport
        else:
            self.data, self.data_transport = protocol, transport
        return protocol

    def refuse(self, which):
        factory = self.reactor.tcpClients[which][2]
        factory.clientConnectionFailed(
            self.reactor.connectors[which], Failure(error.ConnectionRefusedError())
        )

    def commands(self):
        asked = [relay.Command(header.command).name for header, _ in Commands().feed(self.said.value())]
        self.said.clear()
        return asked

    def answer(self, *messages):
        self.control.dataReceived(b"".join(message.pack() for message in messages))

    def failure(self):
        return self.failureResultOf(self.result, CommandError).value

    def test_all_goes_well(self):
        self.connect(1)
        self.connect(0)
        self.assertEqual(self.commands(), ["VERSION"])
        self.answer(relay.Version(2, 13))
        self.assertEqual(self.commands(), ["GET_CONFIGURATION"])
        self.answer(relay.Configuration(10, 1))
        self.assertEqual(self.commands(), ["CREATE_SESSION"])
        self.answer(relay.SessionCreated(3, 10, "host/s1-x"))
        link = self.successResultOf(self.result)
        self.assertEqual((link.control, link.data), (100, 101))
        self.assertEqual((link.session.session, link.session.minor, link.session.path), (3, 13, "host/s1-x"))
        self.assertFalse(self.said.disconnecting or self.said.aborted)

    def test_an_old_relay_daemon(self):
        self.connect(0)
        self.connect(1)
        self.answer(relay.Version(2, 4))
        self.assertEqual(self.commands(), ["VERSION", "CREATE_SESSION"])
        self.answer(relay.SessionCreated24(3, 10))
        session = self.successResultOf(self.result).session
        self.assertEqual((session.minor, session.prefix), (4, f"/{session.path}//"))
        self.assertRegex(session.path, r"^host/s1-20270115-\d{6}$")

    def test_nothing_is_asked_before_both_stand(self):
        self.connect(0)
        self.assertEqual(self.commands(), [])

    def test_control_is_refused(self):
        self.connect(1)
        self.refuse(0)
        failure = self.failure()
        self.assertEqual(failure.code, Code.RELAYD_CONNECT_FAIL)
        self.assertRegex(
            str(failure), r"^the control connection to tcp\S*:5342\S* failed: connection refused"
        )
        self.assertTrue(self.data_transport.aborted)

    def test_no_way_to_the_host(self):
        self.connect(1)
        factory = self.reactor.tcpClients[0][2]
        problem = error.getConnectError((113, "No route to host"))
        factory.clientConnectionFailed(self.reactor.connectors[0], Failure(problem))
        self.assertRegex(str(self.failure()), r" failed: No route to host; nothing was established$")

    def test_data_is_refused(self):
        self.connect(0)
        self.refuse(1)
        self.assertRegex(
            str(self.failure()), r"^the data connection to tcp\S*:5343\S* failed: connection refused"
        )
        self.assertTrue(self.said.aborted)
        self.assertEqual(self.commands(), [])

    def test_data_is_lost_during_the_handshake(self):
        self.connect(0)
        self.connect(1)
        self.data.connectionLost(Failure(error.ConnectionDone()))
        self.assertIn("closed the data connection", str(self.failure()))
        self.assertTrue(self.said.aborted)

    def test_a_data_connection_that_speaks(self):
        self.connect(0)
        self.connect(1)
        self.data.dataReceived(b"220 smtp")
        self.assertIn("no relay daemon", str(self.failure()))

    def test_another_major(self):
        self.connect(0)
        self.connect(1)
        self.answer(relay.Version(3, 0))
        failure = self.failure()
        self.assertEqual(failure.code, Code.RELAYD_VERSION_FAIL)
        self.assertIn("3.0", str(failure))
        self.assertTrue(self.said.aborted and self.data_transport.aborted)

    def test_too_old_a_minor(self):
        self.connect(0)
        self.connect(1)
        self.answer(relay.Version(2, 3))
        self.assertEqual(self.failure().code, Code.RELAYD_VERSION_FAIL)

    def test_it_hangs_up_in_the_middle(self):
        self.connect(0)
        self.connect(1)
        self.answer(relay.Version(2, 13))
        self.control.connectionLost(Failure(error.ConnectionDone()))
        self.assertIn("closed the control connection", str(self.failure()))
        self.assertTrue(self.data_transport.aborted)

    def test_it_never_answers(self):
        self.connect(0)
        self.connect(1)
        self.answer(relay.Version(2, 13))
        self.reactor.advance(5.1)
        self.assertIn("did not answer GET_CONFIGURATION within 5 s", str(self.failure()))
        self.assertTrue(self.said.aborted and self.data_transport.aborted)

    def test_it_answers_nonsense(self):
        self.connect(0)
        self.connect(1)
        self.answer(relay.Version(2, 13))
        self.answer(relay.Configuration(10, 1))
        self.control.dataReceived(relay.SessionCreated.head.pack(1, 10, 5000))
        self.assertIn("nonsense", str(self.failure()))

    def test_it_is_no_relay_daemon(self):
        self.connect(0)
        self.connect(1)
        self.control.dataReceived(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        self.assertIn("no relay daemon", str(self.failure()))

    def test_it_refuses_the_session(self):
        self.connect(0)
        self.connect(1)
        self.answer(relay.Version(2, 13))
        self.answer(relay.Configuration(10, 1))
        self.answer(relay.SessionCreated(0, 25))
        self.assertIn("refused CREATE_SESSION: FATAL (25)", str(self.failure()))

    def test_data_over_udp(self):
        output = parse_pair("tcp://127.0.0.1", "udp://127.0.0.1", "/")
        result = Deferred.fromCoroutine(establish(self.reactor, output, WANTED, 5.0))
        failure = self.failureResultOf(result, CommandError).value
        self.assertEqual(failure.code, Code.INVALID)
        self.assertIn("UDP is not supported yet", str(failure))
