"""The Python API and the RFC's names, over a real socket to a daemon that remembers what it was asked."""

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.endpoints import UNIXServerEndpoint
from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase, TestCase

from lttngnet import client
from lttngnet.client import Code, CommandError, rfc
from lttngnet.uri import RFC, Output, UriError, parse, parse_argument
from lttngnet.wire.amp import CLIENT_SOCKET
from tests.fake_daemon import FakeDaemon, Memory, facts

NETWORK = "net://192.168.1.10"


class DaemonCase(TestCase):
    """Gives each test a fake daemon in a run-time folder of its own."""

    async def setUp(self):
        self.rundir = os.path.relpath(self.mktemp())  # short: a socket's path has but 108 bytes
        Path(self.rundir).mkdir(parents=True)
        self.fake = Memory()
        self.fake.sessions["session1"] = facts()
        endpoint = UNIXServerEndpoint(reactor, f"{self.rundir}/{CLIENT_SOCKET}")
        port = await endpoint.listen(Factory.forProtocol(lambda: FakeDaemon(self.fake)))
        self.addCleanup(port.stopListening)

    async def connect(self):
        daemon = await client.connect(reactor, self.rundir)
        self.addCleanup(daemon.close)
        return daemon

    async def failure(self, awaitable):
        """Wait for a CommandError, and return it."""
        try:
            await awaitable
        except CommandError as error:
            return error
        raise self.failureException("nothing was refused")


class DaemonTests(DaemonCase):
    async def test_version(self):
        daemon = await self.connect()
        self.assertEqual((await daemon.version())["domains"], ["kernel", "python"])

    async def test_create(self):
        daemon = await self.connect()
        self.assertEqual((await daemon.create()).name, "auto-20261122-150000")
        self.assertEqual((await daemon.create("mine", NETWORK)).name, "mine")
        await daemon.create("bare", no_consumer=True)
        asked = [
            (arguments["name"], arguments["output"], arguments["no_consumer"])
            for _, arguments in self.fake.asked
        ]
        network = parse_argument(NETWORK, "/").to_dict()
        self.assertEqual(asked, [("", None, False), ("mine", network, False), ("bare", None, True)])

    async def test_sessions(self):
        daemon = await self.connect()
        self.assertEqual(await daemon.sessions(), [facts()])
        self.assertEqual((await daemon.session("session1")).name, "session1")

    async def test_no_such_session(self):
        daemon = await self.connect()
        self.assertIs((await self.failure(daemon.session("other"))).code, Code.SESSION_NOT_FOUND)

    async def test_a_session_from_first_to_last(self):
        session = (await self.connect()).handle("session1")
        template = await session.set_consumer_uri(Output(path="/tmp/x"))
        self.assertEqual(template, "tcp4://192.168.1.10:5342/ [data: 5343]")
        self.assertEqual(await session.enable_consumer(), "host/session1-20261122-150000")
        self.assertEqual(await session.enable_events("kernel", [], all=True, kind="all"), ["*"])
        await session.disable_events("kernel", ["sched_switch"], "channel1")
        await session.start()
        await session.disable_consumer()
        for told in await session.stop(), await session.describe(), await session.destroy():
            self.assertEqual(told, facts())
        self.assertEqual(
            [(command, arguments) for command, arguments in self.fake.asked if command.endswith("Events")],
            [
                (
                    "EnableEvents",
                    {
                        "session": "session1",
                        "domain": "kernel",
                        "channel": "channel0",
                        "names": [],
                        "options": {"all": True, "kind": "all"},
                    },
                ),
                (
                    "DisableEvents",
                    {
                        "session": "session1",
                        "domain": "kernel",
                        "channel": "channel1",
                        "names": ["sched_switch"],
                    },
                ),
            ],
        )

    async def test_a_path_is_read_in_the_working_directory(self):
        await (await self.connect()).handle("session1").set_consumer_uri("traces/of today")
        self.assertEqual(self.fake.asked[0][1]["output"]["path"], f"{Path.cwd()}/traces/of today")


class FailureTests(DaemonCase):
    async def test_a_wrong_uri_is_not_sent(self):
        daemon = await self.connect()
        for attempt in daemon.create("x", "net://h:0"), daemon.handle("session1").set_consumer_uri("net://"):
            self.assertIs((await self.failure(attempt)).code, Code.INVALID)
        self.assertEqual(self.fake.asked, [])

    async def test_a_refusal(self):
        self.fake.fail = CommandError(Code.TRACE_ALREADY_STARTED, "session1 is already active")
        error = await self.failure((await self.connect()).handle("session1").start())
        self.assertEqual((error.code, str(error)), (Code.TRACE_ALREADY_STARTED, "session1 is already active"))

    async def test_a_defect_of_the_daemon(self):
        self.fake.fail = ZeroDivisionError()
        error = await self.failure((await self.connect()).version())
        self.assertIs(error.code, Code.UNKNOWN)
        self.assertIn("its log says why", str(error))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    async def test_a_daemon_of_another_version(self):
        self.patch(FakeDaemon, "locateResponder", lambda *_: None)
        error = await self.failure((await self.connect()).version())
        self.assertIs(error.code, Code.UNDEFINED_COMMAND)
        self.assertIn("another version", str(error))

    async def test_the_connection_is_lost(self):
        daemon = await self.connect()
        self.fake.gone = True
        for _ in range(2):  # while it waits, and from then on
            error = await self.failure(daemon.version())
            self.assertIs(error.code, Code.NO_SESSIOND)
            self.assertIn("ended the connection", str(error))

    async def test_too_long_a_name(self):
        error = await self.failure((await self.connect()).create("x" * 70_000))
        self.assertIs(error.code, Code.INVALID)

    async def test_what_is_not_utf_8(self):
        daemon = await self.connect()
        for attempt in daemon.create("\udcff"), daemon.create("x", Output(path="/\udcff")):
            error = await self.failure(attempt)
            self.assertEqual(
                (error.code, str(error)), (Code.INVALID, "what CreateSession was told is not UTF-8")
            )
        self.assertEqual(self.fake.asked, [])

    async def test_no_daemon(self):
        error = await self.failure(client.connect(reactor, "/nowhere"))
        self.assertIs(error.code, Code.NO_SESSIOND)
        self.assertIn("/nowhere: start one with `twistd lttng-sessiond --rundir /nowhere`", str(error))

    async def test_a_path_too_long_for_a_socket(self):
        error = await self.failure(client.connect(reactor, "/" + "x" * 200))
        self.assertIs(error.code, Code.NO_SESSIOND)

    async def test_the_own_daemon_is_looked_for(self):
        self.patch(os, "environ", {"LTTNG_RUNDIR": self.rundir})
        daemon = await client.connect(reactor)
        self.addCleanup(daemon.close)
        self.assertEqual((await daemon.version())["pid"], 42)

    async def test_a_socket_of_somebody_else(self):
        Path(self.rundir).chmod(0)
        self.addCleanup(Path(self.rundir).chmod, 0o700)
        if os.geteuid() == 0:  # whom nothing stops
            os.seteuid(65534)
            self.addCleanup(os.seteuid, 0)
        error = await self.failure(client.connect(reactor, self.rundir))
        self.assertIs(error.code, Code.PERMISSION)
        self.assertIn(f"{self.rundir}/{CLIENT_SOCKET}", str(error))


class RfcCallTests(DaemonCase):
    def handle(self):
        return rfc.lttng_handle("session1", rundir=self.rundir, reactor=reactor)

    async def sent(self, uri):
        """Return the output that the daemon is told for a URI."""
        await rfc.lttng_set_consumer_uri(self.handle(), uri)
        return Output.from_dict(self.fake.asked[-1][1]["output"])

    async def test_the_calls(self):
        await rfc.lttng_create_session("session1", None, rundir=self.rundir)
        await rfc.lttng_set_consumer_uri(self.handle(), NETWORK)
        await rfc.lttng_enable_consumer(self.handle())
        await rfc.lttng_disable_consumer(self.handle())
        self.assertEqual(
            [command for command, _ in self.fake.asked],
            ["CreateSession", "SetConsumerUri", "EnableConsumer", "DisableConsumer"],
        )

    async def test_a_path(self):
        uri = rfc.lttng_uri(rfc.LTTNG_DST_PATH, "/traces")
        self.assertEqual(await self.sent(uri), Output(path="/traces"))

    async def test_control(self):
        uri = rfc.lttng_uri(rfc.LTTNG_DST_HOST, "relay.example", subdir="lab")
        self.assertEqual(str(await self.sent(uri)), "tcp4://relay.example:5342/lab [no data]")

    async def test_data_over_udp(self):
        stream = rfc.LTTNG_STREAM_DATA
        uri = rfc.lttng_uri(rfc.LTTNG_DST_IPV6, "::1", stype=stream, proto=rfc.LTTNG_UDP, port=7)
        self.assertEqual(str(await self.sent(uri)), "udp6://[::1]:7/ [no control]")

    async def test_a_destination(self):
        self.assertEqual((await self.sent(parse("tcp://localhost:9")[0])).control.port, 9)

    async def test_hops_and_nonsense_are_refused(self):
        hop = rfc.lttng_uri(rfc.LTTNG_DST_IPV4, "10.0.0.1", utype=rfc.LTTNG_URI_HOP)
        for uri in hop, rfc.lttng_uri(rfc.LTTNG_DST_IPV4, "::1"), "net://":
            error = await self.failure(rfc.lttng_set_consumer_uri(self.handle(), uri))
            self.assertIs(error.code, Code.INVALID)
        self.assertEqual(self.fake.asked, [])

    async def test_a_handle_is_not_checked(self):
        self.assertEqual(rfc.lttng_create_handle("x", "kernel"), rfc.lttng_handle("x", "kernel"))


class RfcStructTests(SynchronousTestCase):
    @given(
        st.sampled_from(rfc.lttng_dst_type),
        st.sampled_from(rfc.lttng_uri_type),
        st.sampled_from(rfc.lttng_stream_type),
        st.sampled_from(rfc.lttng_proto_type),
        st.integers(0, 65535),
    )
    def test_the_numbers_are_those_of_the_packed_struct(self, dtype, utype, stype, proto, port):
        dst = {0: "10.0.0.1", 1: "fe80::1", 2: "relay.example", 3: "/traces"}[dtype]
        try:
            packed = RFC.pack(rfc.lttng_uri(dtype, dst, utype, stype, proto, port).destination())
        except UriError:  # UDP for control
            self.assertEqual((stype, proto), (rfc.LTTNG_STREAM_CONTROL, rfc.LTTNG_UDP))
            return
        if dtype is not rfc.LTTNG_DST_PATH:  # all else means nothing to a path
            self.assertEqual(RFC.struct.unpack(packed)[:5], (dtype, utype, stype, proto, port))
        else:
            self.assertEqual(RFC.struct.unpack(packed)[0], dtype)
