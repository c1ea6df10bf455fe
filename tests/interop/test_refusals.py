"""What goes wrong: one clear sentence, a non-zero exit status, and nothing half-made on either side."""

import contextlib
import signal
import socket
import threading

from twisted.trial.unittest import SynchronousTestCase

from lttngnet.wire.relay import Version
from tests.interop.ours import Stage, finish, program
from tests.waiting import DEADLINE


class Scripted:
    """A port that reads a question from each connection, and says what it was told to, or hangs up."""

    def __init__(self, answer=b"", hang_up=False):
        self.answer, self.hang_up = answer, hang_up
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.connections = []
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            if self.answer:
                with contextlib.suppress(ConnectionError):  # aborted, as it may be
                    connection.recv(4096)
                    connection.sendall(self.answer)
            if self.hang_up:
                connection.close()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connection in self.connections:
            connection.close()


class RefusalCase(SynchronousTestCase):
    """A stage with both daemons."""

    environment: dict = {}

    def setUp(self):
        self.stage = Stage(self.mktemp(), **self.environment)
        self.addCleanup(self.stage.close)
        self.stage.relayd()
        self.stage.sessiond("--no-kernel")

    def closed_port(self):
        """Return a port on which nobody listens, and nobody will while the test runs."""
        holder = socket.socket()
        self.addCleanup(holder.close)
        holder.bind(("127.0.0.1", 0))
        return holder.getsockname()[1]

    def scripted(self, **script):
        port = Scripted(**script)
        self.addCleanup(port.close)
        return port.port

    def refused(self, line, sentence):
        """Run a command that has to fail with one sentence that holds this one."""
        outcome = self.stage.run(*line.split())
        self.assertRegex(
            outcome.output, r"^((|Control |Data )URL \S+ set for session \S+\.\n)*$"
        )  # that part did succeed
        lines = outcome.error.splitlines()
        self.assertEqual(len(lines), 1, outcome.error)
        self.assertTrue(lines[0].startswith("Error: "), lines)
        self.assertIn(sentence, lines[0])
        self.assertNotEqual(outcome.status, 0)


class HandshakeCase(RefusalCase):
    """The network session is established whole, or not at all."""

    def not_established(self, control, data, sentence):
        self.stage.lttngnet("create session1 --no-consumer")
        self.refused(f"enable-consumer net://127.0.0.1:{control}:{data}", sentence)
        session = self.stage.session()
        self.assertEqual((session["state"], session["consumer"], session["path"]), ("prepared", None, ""))
        left = list(self.stage.output.rglob("*")) if self.stage.output.exists() else []
        self.assertEqual(left, [])
        # … and the way is free for a relay daemon that is in order.
        self.stage.lttngnet(f"enable-consumer {self.stage.url}")
        self.assertEqual(self.stage.session()["state"], "enabled")


class HandshakeTests(HandshakeCase):
    def test_control_port_refused(self):
        port = self.closed_port()
        self.not_established(port, self.stage.ports["data"], f"control connection to tcp4://127.0.0.1:{port}")

    def test_data_port_refused(self):
        port = self.closed_port()
        self.not_established(self.stage.ports["control"], port, f"data connection to tcp4://127.0.0.1:{port}")

    def test_wrong_major(self):
        port = self.scripted(answer=Version(3, 1).pack())
        self.not_established(port, self.stage.ports["data"], "speaks protocol 3.1")

    def test_hang_up_at_once(self):
        port = self.scripted(hang_up=True)
        self.not_established(port, self.stage.ports["data"], "control connection")

    def test_hang_up_in_the_middle(self):
        port = self.scripted(answer=Version(2, 13).pack(), hang_up=True)
        self.not_established(port, self.stage.ports["data"], "control connection")

    def test_data_hangs_up(self):
        control, data = self.scripted(answer=Version(2, 13).pack()), self.scripted(hang_up=True)
        self.not_established(control, data, "data connection")

    def test_something_else_answers(self):
        port = self.scripted(answer=b"HTTP/1.1 400 Bad Request\r\n\r\n")
        self.not_established(port, self.stage.ports["data"], "is no relay daemon")

    def test_a_host_that_is_not_known(self):
        self.stage.lttngnet("create session1")
        self.refused("enable-consumer net://no-such-host.invalid", "not known")


class SilenceTests(HandshakeCase):
    environment = {"LTTNG_NETWORK_SOCKET_TIMEOUT": "2000"}

    def test_no_answer(self):
        self.not_established(self.scripted(), self.stage.ports["data"], "did not answer VERSION within 2 s")

    def test_no_answer_in_the_middle(self):
        port = self.scripted(answer=Version(2, 13).pack())
        self.not_established(port, self.stage.ports["data"], "did not answer GET_CONFIGURATION within 2 s")


class CommandTests(RefusalCase):
    def test_no_such_session(self):
        for line in (
            "start nobody",
            "stop nobody",
            "destroy nobody",
            "list nobody",
            "enable-consumer net://127.0.0.1 -s nobody",
            "disable-consumer -s nobody",
            "enable-event -p -a -s nobody",
        ):
            self.refused(line, "there is no session 'nobody'")

    def test_a_second_enable_consumer(self):
        self.stage.traced_program()
        self.stage.lttngnet("create session1")
        self.stage.lttngnet(f"enable-consumer {self.stage.url}")
        self.refused("enable-consumer", "is enabled already")
        self.stage.lttngnet("enable-event -p -a")
        self.stage.lttngnet("start")
        self.refused("enable-consumer", "tracing is active in session session1")
        self.stage.lttngnet(f"enable-consumer {self.stage.url}")  # the trace goes on there
        self.refused("start", "tracing is active")
        self.stage.lttngnet("stop")
        self.refused("stop", "already stopped")

    def test_bad_uris(self):
        self.stage.lttngnet("create session1")
        for uri, sentence in (
            ("net://127.0.0.1:0", "port"),
            ("net://256.1.1.1", "256.1.1.1"),
            ("tcp6://127.0.0.1", "127.0.0.1"),
            ("net://hop,net://127.0.0.1", "hops are not supported yet"),
            ("net://127.0.0.1/a/../b", ".."),
            ("file://relative", "relative"),
        ):
            self.refused(f"enable-consumer {uri}", sentence)
        self.assertEqual(self.stage.session()["state"], "prepared")
        self.assertTrue(self.stage.session()["output"].startswith("file://"))

    def test_data_over_udp(self):
        self.stage.lttngnet("create session1")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
            nobody.bind(("127.0.0.1", 0))
            port = nobody.getsockname()[1]
        uris = f"-C tcp://127.0.0.1:{self.stage.ports['control']} -D udp://127.0.0.1:{port}"
        self.refused(f"enable-consumer {uris} -e", "nobody takes datagrams there")

    def test_half_an_output(self):
        self.stage.lttngnet("create session1 --no-consumer")
        self.stage.lttngnet(f"enable-consumer -C tcp://127.0.0.1:{self.stage.ports['control']}")
        self.refused("enable-consumer", "the data URI of session session1 is missing")
        self.stage.lttngnet(f"enable-consumer -D tcp://127.0.0.1:{self.stage.ports['data']}")
        self.stage.lttngnet("enable-consumer")

    def test_a_mistyped_uri_is_a_file_name_with_a_warning(self):
        self.stage.lttngnet("create session1")
        outcome = self.stage.lttngnet("enable-consumer nte://127.0.0.1")
        self.assertIn("Warning: ", outcome.error)
        self.assertIn("net", outcome.error)
        self.assertIn(f"{self.stage.folder}/nte://127.0.0.1", outcome.error)

    def test_nothing_to_trace(self):
        self.stage.lttngnet("create session1")
        self.refused("start", "enable an event first")
        self.refused("stop", "not enabled")

    def test_no_consumer(self):
        self.stage.traced_program()
        self.stage.lttngnet("create session1 --no-consumer")
        self.stage.lttngnet("enable-event -p -a")
        self.refused("start", "has no consumer")
        self.refused("enable-consumer", "has no consumer")
        self.refused("disable-consumer", "has no consumer")

    def test_names(self):
        self.stage.lttngnet("create session1")
        self.refused("create session1", "there is a session session1 already")
        self.refused("create a/b", "cannot be the name of a session")
        self.refused("create .hidden", "cannot be the name of a session")

    def test_no_kernel(self):
        self.stage.lttngnet("create session1")
        self.refused("enable-event -k -a", "no domain 'kernel'")

    def test_a_folder_that_cannot_be_made(self):
        (self.stage.folder / "file").write_text("")
        self.stage.lttngnet("create session1")
        self.refused(f"enable-consumer {self.stage.folder}/file/trace", "cannot make the trace's folder")
        self.assertEqual(self.stage.session()["state"], "prepared")


class DaemonTests(SynchronousTestCase):
    """A session daemon that cannot start says so in one line, and exits with status 1."""

    def setUp(self):
        self.stage = Stage(self.mktemp())
        self.addCleanup(self.stage.close)

    def cannot_start(self, sentence, *options):
        command = ("-n", "--pidfile=", "lttng-sessiond", "--no-ust", *options)
        process = self.stage.spawn("second", program("twistd"), *command)
        self.assertEqual(process.wait(DEADLINE), 1)
        (line,) = self.stage.log("second").splitlines()
        self.assertIn(sentence, line)

    def test_another_one_is_running(self):
        self.stage.sessiond()
        self.cannot_start("a session daemon is already running")

    def test_a_bad_option(self):
        self.cannot_start("nonsense", "--nonsense")

    def test_a_folder_that_cannot_be_used(self):
        (self.stage.folder / "file").write_text("")
        self.cannot_start("cannot use the run-time folder", "--rundir", f"{self.stage.folder}/file")

    def test_a_path_that_no_socket_can_have(self):
        self.cannot_start("path too long", "--rundir", str(self.stage.folder / ("x" * 120)))

    def test_no_daemon(self):
        outcome = self.stage.run("list")
        self.assertEqual(outcome.status, 1)
        self.assertIn("twistd lttng-sessiond", outcome.error)

    def test_a_socket_that_a_killed_daemon_left(self):
        finish(self.stage.sessiond(), signal.SIGKILL)
        self.stage.sessiond()
        self.stage.lttngnet("create session1")
