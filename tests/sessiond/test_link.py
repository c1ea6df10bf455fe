"""The link machine, walked; and links made in memory, with one thing after the other going wrong."""

import socket

from twisted.internet import error
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.errors import Code, CommandError, RelayLost
from lttngnet.sessiond.link import Ends, establish, link_machine
from lttngnet.uri import parse_argument, parse_pair
from lttngnet.wire import datagram, relay
from lttngnet.wire.framing import Commands
from lttngnet.wire.relay.datagrams import REPEATS, DatagramsOpened, OpenDatagrams
from lttngnet.wire.relay.extension import EXTENDED, Extension
from tests.machines import WalkMixin

INPUTS = {
    "over_datagrams": (),
    "control_up": (),
    "data_up": (),
    "opened": (),
    "failed": (RelayLost("gone"),),
}


class LinkTests(WalkMixin, SynchronousTestCase):
    inputs = INPUTS
    ways = {
        "connecting": [],
        "control alone": ["control_up"],
        "data alone": ["data_up"],
        "joined": ["control_up", "data_up"],
        "calling": ["over_datagrams"],
        "asking": ["over_datagrams", "control_up"],
        "greeting": ["over_datagrams", "control_up", "opened"],
        "established": ["data_up", "control_up", "opened"],
        "aborted": ["failed"],
    }
    table = {
        ("connecting", "control_up"): "control alone",
        ("connecting", "data_up"): "data alone",
        ("connecting", "failed"): "aborted",
        ("connecting", "over_datagrams"): "calling",
        ("calling", "control_up"): "asking",
        ("calling", "failed"): "aborted",
        ("asking", "opened"): "greeting",
        ("asking", "failed"): "aborted",
        ("greeting", "data_up"): "established",
        ("greeting", "failed"): "aborted",
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
                lambda: self.done.append("greet"),
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

    def test_over_datagrams_the_session_is_first(self):
        machine = self.make()
        for name in ("over_datagrams", "control_up", "opened", "data_up"):
            self.feed(machine, name)
        self.assertEqual(self.done, ["open session", "greet", "hand over"])

    def test_one_fails_all_is_aborted_once(self):
        for state in ("connecting", "control alone", "data alone", "joined", "calling", "asking", "greeting"):
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


NAMES = {number.value: number.name for number in (*relay.Command, *Extension)}
WANTED = relay.CreateSession("s1", "host", created=1_800_000_000, sessiond=relay.NIL)


class EstablishTestCase(SynchronousTestCase):
    """A session daemon's side of the handshake, answered by hand."""

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
        self.asked = list(Commands().feed(self.said.value()))
        self.said.clear()
        return [NAMES[header.command] for header, _ in self.asked]

    def answer(self, *messages):
        self.control.dataReceived(b"".join(message.pack() for message in messages))

    def failure(self):
        return self.failureResultOf(self.result, CommandError).value


class EstablishTests(EstablishTestCase):
    def setUp(self):
        self.reactor = MemoryReactorClock()
        output = parse_argument("net://127.0.0.1", "/")
        self.result = Deferred.fromCoroutine(establish(self.reactor, output, WANTED, 5.0))

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


class Pool:
    """Threads that are no others."""

    def callInThreadWithCallback(self, told, act, *of):
        try:
            answer = act(*of)
        except Exception:
            told(False, Failure())
        else:
            told(True, answer)


class DatagramTests(EstablishTestCase):
    """The same over UDP: what answers there is a socket of the test's."""

    TOKEN = bytes(range(16))

    def setUp(self):
        self.peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(self.peer.close)
        self.peer.bind(("127.0.0.1", 0))
        self.peer.setblocking(False)
        self.begin()

    def begin(self, host="127.0.0.1", query=""):
        self.reactor = MemoryReactorClock()
        self.reactor.getThreadPool = Pool
        self.reactor.callFromThread = lambda act, *of: act(*of)
        port = self.peer.getsockname()[1]
        output = parse_pair("tcp://127.0.0.1", f"udp://{host}:{port}{query}", "/")
        self.result = Deferred.fromCoroutine(establish(self.reactor, output, WANTED, 5.0))

    def open(self, largest=datagram.LARGEST):
        """Let the session and its data path be opened."""
        self.connect(0)
        self.answer(relay.Version(2, 13))
        self.answer(relay.Configuration(10, 1 | EXTENDED))
        self.answer(relay.SessionCreated(3, 10, "host/s1-x"))
        self.answer(DatagramsOpened(10, 77, self.TOKEN, 5343, largest, 1 << 20))

    def greeted(self):
        """Return the hello that came, and who sent it."""
        hello, sender = self.peer.recvfrom(1 << 16)
        self.assertEqual(datagram.read(hello).kind, datagram.HELLO)
        self.assertTrue(datagram.Seal(self.TOKEN).is_on(hello))
        return hello, sender

    def acknowledge(self, hello, sender, seal=TOKEN):
        head = datagram.read(hello)
        answer = datagram.acknowledgement(datagram.Seal(seal), head, len(hello))
        self.peer.sendto(answer, sender)
        for reader in self.reactor.getReaders():
            reader.doRead()

    def test_all_goes_well(self):
        self.open()
        self.assertEqual(
            self.commands(), ["VERSION", "GET_CONFIGURATION", "CREATE_SESSION", "OPEN_DATAGRAMS"]
        )
        hello, sender = self.greeted()
        self.assertGreater(len(hello), 1 << 14)  # the loopback interface carries that
        self.assertNoResult(self.result)
        self.acknowledge(hello, sender, seal=bytes(16))
        self.assertNoResult(self.result)
        self.acknowledge(hello, sender)
        link = self.successResultOf(self.result)
        self.assertEqual(link.control, 100)
        self.assertEqual(
            link.session.datagrams,
            {
                "connection": 77,
                "token": self.TOKEN.hex(),
                "largest": len(hello),
                "room": 1 << 20,
                "repeats": False,
            },
        )
        with socket.socket(fileno=link.data) as data:
            self.assertEqual(data.getpeername(), self.peer.getsockname())
        self.assertEqual((self.reactor.getReaders(), self.reactor.getDelayedCalls()), ([], []))

    def test_repeats(self):
        self.begin(query="?reliable=1")
        self.open()
        self.commands()
        header, payload = self.asked[-1]
        self.assertEqual(header.command, Extension.OPEN_DATAGRAMS)
        self.assertEqual(OpenDatagrams.unpack(payload).flags, REPEATS)
        self.acknowledge(*self.greeted())
        self.assertTrue(self.successResultOf(self.result).session.datagrams["repeats"])

    def test_shorter_ones(self):
        """What the way does not carry is not acknowledged."""
        self.open(largest=9000)
        sizes = []
        for _ in range(20):
            hello, sender = self.greeted()
            sizes.append(len(hello))
            self.reactor.advance(0.1)
        self.assertEqual(sizes[:10], [9000] * 3 + [1452] * 3 + [1232] * 3 + [512])
        self.acknowledge(hello, sender)
        self.assertEqual(self.successResultOf(self.result).session.datagrams["largest"], 512)

    def test_nobody_is_there(self):
        self.peer.close()
        self.open()
        for reader in self.reactor.getReaders():
            reader.doRead()
        self.assertRegex(str(self.failure()), r"^the data path to udp://\S+ failed: nobody takes datagrams")
        self.assertTrue(self.said.aborted)
        self.assertEqual((self.reactor.getReaders(), self.reactor.getDelayedCalls()), ([], []))

    def test_nothing_comes_back(self):
        self.open()
        self.reactor.pump([0.1] * 52)
        self.assertIn("within 5 s: data over UDP does not get through", str(self.failure()))
        self.assertTrue(self.said.aborted)
        self.assertEqual((self.reactor.getReaders(), self.reactor.getDelayedCalls()), ([], []))

    def test_a_genuine_relay_daemon(self):
        """It is not asked for a session."""
        self.connect(0)
        self.answer(relay.Version(2, 13))
        self.answer(relay.Configuration(10, 1))
        self.assertEqual(self.commands(), ["VERSION", "GET_CONFIGURATION"])
        failure = self.failure()
        self.assertEqual(failure.code, Code.NOT_SUPPORTED)
        self.assertIn("knows no data over UDP", str(failure))
        self.assertTrue(self.said.aborted)

    def test_an_old_relay_daemon(self):
        self.connect(0)
        self.answer(relay.Version(2, 4))
        self.assertEqual(self.commands(), ["VERSION"])
        self.assertIn("knows no data over UDP", str(self.failure()))

    def test_it_takes_none(self):
        self.connect(0)
        self.answer(relay.Version(2, 13))
        self.answer(relay.Configuration(10, 1 | EXTENDED))
        self.answer(relay.SessionCreated(3, 10, "host/s1-x"))
        self.answer(DatagramsOpened(15, 0, bytes(16), 0, 0, 0))
        self.assertIn("takes no data over UDP", str(self.failure()))
        self.assertTrue(self.said.aborted)

    def test_control_is_lost_meanwhile(self):
        self.open()
        self.control.connectionLost(Failure(error.ConnectionDone()))
        self.assertIn("closed the control connection", str(self.failure()))
        self.assertEqual((self.reactor.getReaders(), self.reactor.getDelayedCalls()), ([], []))

    def test_a_name(self):
        """It is asked for in another thread, in its family."""
        asked = []

        def found(*of):
            asked.append(of)
            return [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", self.peer.getsockname())]

        self.patch(socket, "getaddrinfo", found)
        self.begin(host="relay.example")
        self.open()
        port = self.peer.getsockname()[1]
        self.assertEqual(asked, [("relay.example", port, socket.AF_INET, socket.SOCK_DGRAM)])
        self.acknowledge(*self.greeted())
        self.assertEqual(self.successResultOf(self.result).session.datagrams["connection"], 77)

    def test_an_unknown_name(self):
        def unknown(*of):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        self.patch(socket, "getaddrinfo", unknown)
        self.begin(host="relay.example")
        self.open()
        self.assertIn("the data path to udp://relay.example:", str(self.failure()))
