"""create, start, stop, destroy, set-session."""

import json
from pathlib import Path

from lttngnet.errors import Code, CommandError
from tests.cli.terminal import TerminalCase
from tests.fake_daemon import facts


class CreateTests(TerminalCase):
    def created(self, *arguments):
        """Create a session, and return what the daemon was asked."""
        self.succeeds("create", *arguments)
        return self.asked("CreateSession")[-1]

    def test_says_what_was_made(self):
        told = self.succeeds("create", "session1")
        self.assertEqual(told, "Session session1 created.\nIts trace will go to file:///traces/\n")
        told = self.succeeds("create", "bare", "--no-consumer")
        self.assertEqual(told, "Session bare created.\nIt has no output yet\n")

    def test_without_arguments(self):
        self.assertEqual(
            self.created(),
            {"name": "", "output": None, "no_consumer": False, "live": 0, "snapshot": False},
        )
        self.assertEqual((self.home / ".lttngnetrc").read_text(), "session=auto-20261122-150000\n")

    def test_output_folder(self):
        for option in "-o", "--output":
            self.assertEqual(self.created("x", option, "/tmp/y")["output"]["path"], "/tmp/y")
            self.assertEqual(self.created("x", option, "here/../z")["output"]["path"], f"{Path.cwd()}/z")

    def test_uri(self):
        for option in "-U", "--set-url", "--set-uri":
            output = self.created("x", option, "net://10.0.0.1:1:2/sub")["output"]
            self.assertEqual(output["control"], "tcp4://10.0.0.1:1/sub")
            self.assertEqual(output["data"], "tcp4://10.0.0.1:2/")

    def test_two_uris(self):
        for control in "-C", "--ctrl-url", "--control-uri", "--control-url", "--ctrl-uri":
            for data in "-D", "--data-url", "--data-uri":
                output = self.created("x", control, "tcp://10.0.0.1", data, "udp://10.0.0.1")["output"]
                self.assertEqual(output["control"], "tcp4://10.0.0.1:5342/")
                self.assertEqual(output["data"], "udp://10.0.0.1:5343/")

    def test_live(self):
        made = self.created("--live", "x", "-U", "net://10.0.0.1")
        self.assertEqual((made["name"], made["live"]), ("x", 1_000_000))
        self.assertEqual(self.created("x", "--live=200ms", "-U", "net://10.0.0.1")["live"], 200_000)
        self.assertEqual(self.created("x", "--live")["output"]["control"], "tcp4://127.0.0.1:5342/")
        self.assertIn("would send nothing", self.fails("create", "x", "--live=0"))

    def test_warnings(self):
        result = self.run_command("create", "x", "-U", "nett://host")
        self.assertEqual(result.exit_code, 0)
        self.assertTrue(result.stderr.startswith("Warning: "))

    def test_wrong_uris(self):
        self.assertIn("'0' is no port", self.fails("create", "-U", "net://h:0"))
        self.assertIn("hops are not supported yet", self.fails("create", "-C", "tcp://a,tcp://b"))
        self.assertEqual(self.daemon.asked, [])

    def test_one_output_only(self):
        sentence = "-o, -U, -C with -D, and --no-consumer exclude each other"
        self.assertEqual(self.fails("create", "-o", "/x", "-U", "/y"), sentence)
        self.assertEqual(self.fails("create", "-D", "tcp://h", "--no-consumer"), sentence)

    def test_a_refusal_changes_nothing(self):
        self.daemon.fail = CommandError(Code.SESSION_EXISTS, "session1 exists already")
        self.assertEqual(self.fails("create", "session1"), "session1 exists already")
        self.assertFalse((self.home / ".lttngnetrc").exists())

    def test_json(self):
        self.assertEqual(json.loads(self.succeeds("create", "session1", "--json")), facts())
        self.assertEqual(json.loads(self.succeeds("-q", "create", "session1", "--json")), facts())


class RunTests(TerminalCase):
    def setUp(self):
        super().setUp()
        self.succeeds("create", "session1")

    def test_start(self):
        self.assertEqual(self.succeeds("start"), "Tracing started for session session1.\n")
        self.succeeds("start", "other")
        self.assertEqual(self.asked("Start"), [{"session": "session1"}, {"session": "other"}])

    def test_stop(self):
        self.daemon.sessions["session1"]["facts"] |= {"events": 1, "packets": 2, "bytes": 4096}
        self.assertEqual(
            self.succeeds("stop"),
            "Tracing stopped for session session1.\nRecorded: 1 event in 2 packets, 4.0 KiB; 0 discarded\n",
        )

    def test_stop_where_events_are_not_counted(self):
        self.daemon.sessions["session1"]["facts"] |= {"packets": 2, "bytes": 4096, "lost": 1}
        result = self.run_command("stop")
        recorded = "Recorded: 2 packets, 4.0 KiB; 0 discarded, 1 packet overwritten\n"
        self.assertEqual(result.stdout, "Tracing stopped for session session1.\n" + recorded)
        self.assertEqual(
            result.stderr, "Warning: newer packets have overwritten 1 packet of session session1\n"
        )

    def test_stop_tells_of_losses(self):
        self.daemon.sessions["session1"]["facts"]["discarded"] = 3
        self.daemon.sessions["session1"]["problem"] = "the relay daemon is gone"
        result = self.run_command("stop")
        self.assertEqual(result.exit_code, 0)
        self.assertEqual(
            result.stderr,
            "Warning: the relay daemon is gone\n"
            "Warning: 3 events of session session1 had no room and were discarded\n",
        )

    def test_stop_tells_what_is_kept(self):
        session = self.daemon.sessions["session1"]
        session |= {"state": "stopped"}
        session["facts"]["spooled"] = 1 << 20
        self.assertEqual(
            self.run_command("stop").stderr,
            "Warning: 1.0 MiB of session session1 are kept until the consumer is enabled\n",
        )
        session["connection"] = {"away": "the relay daemon closed", "fallback": ""}
        self.assertIn("are kept until the relay daemon is back", self.run_command("stop").stderr)
        session["connection"]["fallback"] = "/traces/local"
        for verb in "stop", "destroy":
            self.assertEqual(
                self.run_command(verb).stderr,
                "Warning: the relay daemon closed: what it has not confirmed is in /traces/local\n",
            )

    def test_stop_as_json(self):
        self.assertEqual(json.loads(self.succeeds("stop", "--json")), facts())

    def test_a_refusal(self):
        self.daemon.fail = CommandError(Code.TRACE_ALREADY_STARTED, "session1 is active already")
        for verb in "start", "stop", "destroy":
            self.assertEqual(self.fails(verb), "session1 is active already")

    def test_destroy(self):
        self.assertEqual(self.succeeds("destroy"), "Session session1 destroyed.\n")
        for verb in "start", "stop", "destroy", "status", "view":
            self.assertIn("no session is named and none is current", self.fails(verb))

    def test_destroy_another_one(self):
        self.daemon.sessions["other"] = facts("other")
        self.assertEqual(json.loads(self.succeeds("destroy", "other", "--json")), facts("other"))
        self.succeeds("start")

    def test_destroy_all(self):
        self.daemon.sessions["other"] = facts("other")
        told = self.succeeds("destroy", "-a")
        self.assertEqual(told, "Session session1 destroyed.\nSession other destroyed.\n")
        self.assertEqual(self.asked("Destroy"), [{"session": "session1"}, {"session": "other"}])
        self.fails("start")

    def test_destroy_all_of_none(self):
        self.daemon.sessions.clear()
        self.assertEqual(self.succeeds("destroy", "--all"), "There is no session.\n")
        self.assertEqual(json.loads(self.succeeds("destroy", "--all", "--json")), [])

    def test_destroy_all_or_one(self):
        self.assertIn("not both", self.fails("destroy", "-a", "session1"))

    def test_set_session(self):
        self.daemon.sessions["other"] = facts("other")
        self.assertEqual(self.succeeds("set-session", "other"), "Session set to other.\n")
        self.succeeds("start")
        self.assertEqual(self.asked("Start"), [{"session": "other"}])

    def test_set_session_that_is_not_there(self):
        self.assertEqual(self.fails("set-session", "nosuch"), "there is no session nosuch")
        self.succeeds("start")
        self.assertEqual(self.asked("Start"), [{"session": "session1"}])
