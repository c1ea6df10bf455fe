"""enable-consumer, disable-consumer: the rules of the RFC and of lttng 2.1."""

import json

from lttngnet.errors import Code, CommandError
from tests.cli.terminal import TerminalCase

NET = "net://192.168.1.10"
ENABLED = "Consumer enabled successfully\nThe trace goes to host/session1-20261122-150000\n"
NOT_YET = "Not enabled yet: `lttngnet enable-consumer` does it.\n"


class ConsumerTests(TerminalCase):
    def setUp(self):
        super().setUp()
        self.succeeds("create", "session1")
        self.daemon.asked.clear()

    def outputs(self):
        """Return what was set, control and data, in order."""
        return [
            (asked["output"]["control"], asked["output"]["data"]) for asked in self.asked("SetConsumerUri")
        ]

    def commands(self):
        return [command for command, _ in self.daemon.asked]

    def test_a_uri_sets_and_enables(self):
        self.assertEqual(
            self.succeeds("enable-consumer", NET), f"URL {NET} set for session session1.\n{ENABLED}"
        )
        self.assertEqual(self.outputs(), [("tcp4://192.168.1.10:5342/", "tcp4://192.168.1.10:5343/")])
        self.assertEqual(self.commands(), ["SetConsumerUri", "EnableConsumer"])

    def test_nothing_enables(self):
        self.assertEqual(self.succeeds("enable-consumer"), ENABLED)
        self.assertEqual(self.commands(), ["EnableConsumer"])

    def test_options_only_set(self):
        told = self.succeeds("enable-consumer", "-C", "tcp://10.0.0.1", "-D", "udp://10.0.0.1:7")
        self.assertEqual(
            told,
            "Control URL tcp://10.0.0.1 set for session session1.\n"
            f"Data URL udp://10.0.0.1:7 set for session session1.\n{NOT_YET}",
        )
        self.assertEqual(self.outputs(), [("tcp4://10.0.0.1:5342/", "udp://10.0.0.1:7/")])
        self.assertEqual(self.commands(), ["SetConsumerUri"])

    def test_what_is_done_when_the_relay_daemon_is_gone(self):
        self.succeeds("enable-consumer", NET, "--on-relay-loss=hold", "--spool-size=4M")
        self.succeeds("enable-consumer", "--spool-drop", "newest")
        self.succeeds("create", "other", "--on-relay-loss", "local")
        asked = [(each["session"], each["policy"]) for each in self.asked("SetPolicy")]
        nothing = {"on_loss": None, "spool_size": None, "spool_drop": None}
        self.assertEqual(
            asked,
            [
                ("session1", nothing | {"on_loss": "hold", "spool_size": 4 << 20}),
                ("session1", nothing | {"spool_drop": "newest"}),
                ("other", nothing | {"on_loss": "local"}),
            ],
        )
        self.assertEqual(self.commands()[:3], ["SetPolicy", "SetConsumerUri", "EnableConsumer"])

    def test_a_half(self):
        self.succeeds("enable-consumer", "--control-uri", "tcp://10.0.0.1")
        self.succeeds("enable-consumer", "--data-uri", "tcp://10.0.0.1")
        self.assertEqual(self.outputs(), [("tcp4://10.0.0.1:5342/", None), (None, "tcp4://10.0.0.1:5343/")])

    def test_enable_flag(self):
        for flag in "-e", "--enable":
            told = self.succeeds("enable-consumer", "-U", NET, flag)
            self.assertEqual(told, f"URL {NET} set for session session1.\n{ENABLED}")

    def test_everything_in_the_order_of_lttng(self):
        self.succeeds("enable-consumer", "-D", "tcp://c", "-C", "tcp://c", "-U", "net://b", "net://a")
        hosts = [control.split(":")[1] for control, _ in self.outputs()]
        self.assertEqual(hosts, ["//a", "//b", "//c"])
        self.assertEqual(self.commands()[-1], "EnableConsumer")

    def test_spellings(self):
        for option in "-U", "--set-uri", "--set-url":
            self.succeeds("enable-consumer", option, NET)
        for option in "-C", "--control-uri", "--control-url", "--ctrl-uri", "--ctrl-url":
            self.succeeds("enable-consumer", option, "tcp://h")
        for option in "-D", "--data-uri", "--data-url":
            self.succeeds("enable-consumer", f"{option}=tcp://h" if option != "-D" else "-Dtcp://h")
        self.assertEqual(len(self.outputs()), 11)

    def test_another_session(self):
        for option in "-s", "--session":
            self.succeeds("enable-consumer", NET, option, "other")
        self.assertEqual(self.asked("EnableConsumer"), [{"session": "other"}] * 2)

    def test_domains_are_taken_and_ignored(self):
        for flag in "-k", "-u", "-p":
            self.succeeds("enable-consumer", flag)
            self.succeeds("disable-consumer", flag)

    def test_json(self):
        self.assertEqual(
            json.loads(self.succeeds("enable-consumer", NET, "--json")),
            {
                "name": "session1",
                "output": "tcp4://192.168.1.10:5342/ [data: 5343]",
                "enabled": True,
                "path": "host/session1-20261122-150000",
            },
        )
        facts = json.loads(self.succeeds("enable-consumer", "-U", NET, "--json"))
        self.assertEqual((facts["enabled"], facts["path"]), (False, ""))

    def test_what_the_daemon_warns_of(self):
        self.daemon.warning = "not all that was recorded before has arrived where it went: gone"
        result = self.run_command("enable-consumer", "/traces")
        self.assertEqual(result.exit_code, 0)
        self.assertIn(f"Warning: {self.daemon.warning}", result.output)
        self.daemon.template_warnings = ["control and data part"]
        result = self.run_command("enable-consumer", "-C", "tcp://10.0.0.1", "-D", "tcp://10.0.0.2")
        self.assertEqual(result.stderr.count("Warning: control and data part\n"), 1)
        self.assertEqual(result.stderr.count("Warning: "), 2)

    def test_disable(self):
        self.assertEqual(self.succeeds("disable-consumer"), "Consumer disabled successfully\n")
        self.succeeds("disable-consumer", "-s", "other")
        self.succeeds("disable-consumer", "--hold")
        asked = [("session1", False), ("other", False), ("session1", True)]
        self.assertEqual(
            self.asked("DisableConsumer"), [{"session": name, "hold": hold} for name, hold in asked]
        )

    def test_what_was_set_is_told_though_enabling_fails(self):
        self.daemon.refuse["EnableConsumer"] = CommandError(Code.RELAYD_CONNECT_FAIL, "192.168.1.10 refuses")
        result = self.run_command("enable-consumer", NET)
        self.assertEqual(result.exit_code, 1)
        self.assertEqual(result.stdout, f"URL {NET} set for session session1.\n")
        self.assertEqual(result.stderr, "Error: 192.168.1.10 refuses\n")

    def test_refusals(self):
        self.daemon.fail = CommandError(Code.NO_CONSUMER, "session1 has no consumer")
        self.assertEqual(self.fails("enable-consumer"), "session1 has no consumer")
        self.assertEqual(self.fails("disable-consumer"), "session1 has no consumer")

    def test_wrong_uris(self):
        for arguments, reason in (
            (["net://"], "the host is missing"),
            (["net://::1"], "an IPv6 address is written in brackets"),
            (["-C", "udp://h"], "UDP carries data only"),
            (["-D", "net://h"], "cannot stand for data alone"),
            (["tcp://a,tcp://b"], "hops are not supported yet"),
        ):
            self.assertIn(reason, self.fails("enable-consumer", *arguments))
        self.assertEqual(self.daemon.asked, [])

    def test_no_session(self):
        self.succeeds("destroy")
        self.assertIn("no session is named and none is current", self.fails("enable-consumer", NET))
        self.assertIn("no session is named and none is current", self.fails("disable-consumer"))
