"""enable-event, disable-event."""

import json

from lttngnet.errors import Code, CommandError
from tests.cli.terminal import TerminalCase

NO_TRACER = "Please specify a tracer (-k/--kernel, -u/--userspace, -p/--python, -j/--jul, -l/--log4j)"


class EventTests(TerminalCase):
    def setUp(self):
        super().setUp()
        self.succeeds("create", "session1")

    def options(self, *arguments):
        """Enable events, and return names and options as the daemon is told them."""
        self.succeeds("enable-event", *arguments)
        asked = self.asked("EnableEvents")[-1]
        return asked["names"], asked["options"]

    def test_all_of_the_kernel(self):
        told = self.succeeds("enable-event", "-a", "-k")
        self.assertEqual(told, "All kernel events are enabled in channel channel0.\n")
        self.assertEqual(
            self.asked("EnableEvents"),
            [
                {
                    "session": "session1",
                    "domain": "kernel",
                    "channel": "channel0",
                    "names": [],
                    "options": {"all": True, "kind": "all"},
                }
            ],
        )

    def test_some_of_the_kernel(self):
        told = self.succeeds("enable-event", "--kernel", "sched_switch,sched_wakeup")
        self.assertEqual(
            told,
            "kernel event sched_switch enabled in channel channel0.\n"
            "kernel event sched_wakeup enabled in channel channel0.\n",
        )

    def test_kinds_of_the_kernel(self):
        self.assertEqual(self.options("-k", "x"), (["x"], {"all": False, "kind": "all"}))
        self.assertEqual(
            self.options("-k", "x", "--tracepoint"), (["x"], {"all": False, "kind": "tracepoint"})
        )
        self.assertEqual(
            self.options("-k", "x,y", "--syscall"), (["x", "y"], {"all": False, "kind": "syscall"})
        )
        self.assertEqual(self.options("-k", "-a", "--syscall"), ([], {"all": True, "kind": "syscall"}))

    def test_python(self):
        level = {"all": False, "loglevel": None, "loglevel_only": False}
        self.assertEqual(self.options("-p", "app.*"), (["app.*"], level))
        self.assertEqual(self.options("--python", "-a"), ([], level | {"all": True}))
        self.assertEqual(self.options("-p", "a", "--loglevel", "INFO"), (["a"], level | {"loglevel": "INFO"}))
        self.assertEqual(
            self.options("-p", "a", "--loglevel-only", "30"),
            (["a"], level | {"loglevel": 30, "loglevel_only": True}),
        )

    def test_session_and_channel(self):
        self.succeeds("enable-event", "-k", "x", "-s", "other", "-c", "mine")
        self.succeeds("disable-event", "-k", "x", "--session", "other", "--channel", "mine")
        for command in "EnableEvents", "DisableEvents":
            asked = self.asked(command)[0]
            self.assertEqual((asked["session"], asked["channel"]), ("other", "mine"))

    def test_json(self):
        self.assertEqual(
            json.loads(self.succeeds("enable-event", "-p", "a,b", "--json")),
            {"name": "session1", "domain": "python", "channel": "channel0", "events": ["a", "b"]},
        )

    def test_disable(self):
        told = self.succeeds("disable-event", "-k", "a,b")
        self.assertEqual(told, "kernel event a, b disabled in channel channel0.\n")
        told = self.succeeds("disable-event", "-p", "-a")
        self.assertEqual(told, "All python events disabled.\n")
        self.assertEqual([asked["names"] for asked in self.asked("DisableEvents")], [["a", "b"], []])

    def test_one_tracer(self):
        for verb in "enable-event", "disable-event":
            self.assertEqual(self.fails(verb, "-a"), NO_TRACER)
            self.assertEqual(self.fails(verb, "-a", "-k", "-p"), NO_TRACER)

    def test_userspace(self):
        told = {"all": False, "loglevel": None, "loglevel_only": False}
        names, options = self.options("-u", "p:*", "--exclude", "p:a,p:b", "--filter", "x > 1")
        self.assertEqual(names, ["p:*"])
        self.assertEqual(options, told | {"exclude": ["p:a", "p:b"], "filter": "x > 1"})
        self.assertEqual(self.options("-u", "p:*", "--tracepoint"), (["p:*"], told))

    def test_java(self):
        for flag, domain in (("-j", "jul"), ("-l", "log4j")):
            self.options(flag, "app", "--loglevel", "INFO")
            self.assertEqual(self.asked("EnableEvents")[-1]["domain"], domain)

    def test_names_or_all(self):
        for verb in "enable-event", "disable-event":
            for arguments in [], ["-a", "x"], [","]:
                sentence = "Please name the events (NAME,…), or all of them (-a)"
                self.assertEqual(self.fails(verb, "-k", *arguments), sentence)

    def test_options_of_the_other_domain(self):
        self.assertIn("have no log levels", self.fails("enable-event", "-k", "x", "--loglevel", "INFO"))
        for flag in "-p", "-u":
            self.assertEqual(
                self.fails("enable-event", flag, "x", "--syscall"), "--syscall is for the kernel: -k"
            )
        self.assertIn("cannot be filtered", self.fails("enable-event", "-k", "x", "--filter", "y == 1"))
        self.assertIn("--filter is for", self.fails("enable-event", "-k", "x", "--filter", ""))

    def test_what_a_variable_that_is_not_set_leaves(self):
        for domain in ("-u", "-p", "-j", "-l"):
            self.assertIn("needs an expression", self.fails("enable-event", domain, "x", "--filter", ""))
        for names in ("", ","):
            self.assertIn("needs names", self.fails("enable-event", "-u", "x*", "--exclude", names))
        self.options("-p", "x", "--loglevel", "")
        self.assertEqual(self.asked("EnableEvents")[-1]["options"]["loglevel"], "")  # there is no such level

    def test_a_number_that_nothing_can_have(self):
        level = "9" * 5000
        self.assertEqual(self.options("-j", "x", "--loglevel", level)[1]["loglevel"], level)
        self.assertIn(
            "exclude each other", self.fails("enable-event", "-p", "x", "--loglevel=1", "--loglevel-only=2")
        )

    def test_refusals(self):
        self.daemon.fail = CommandError(
            Code.NEED_ROOT_SESSIOND, "the session daemon of root can trace the kernel"
        )
        for verb in "enable-event", "disable-event":
            self.assertEqual(self.fails(verb, "-k", "-a"), "the session daemon of root can trace the kernel")
