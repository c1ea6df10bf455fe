"""What stands before the verb, and what the command says of itself."""

import subprocess
import sys

from tests.cli.terminal import TerminalCase


class MainTests(TerminalCase):
    def test_help_teaches_the_five_lines_of_the_rfc(self):
        for flag in "-h", "--help":
            told = self.succeeds(flag)
            for line in (
                "lttngnet create session1",
                "lttngnet enable-consumer net://192.168.1.10",
                "lttngnet enable-event -a -k",
                "lttngnet start",
                "lttngnet stop",
            ):
                self.assertIn(f"      {line}\n", told)

    def test_every_verb_has_help_in_the_order_of_use(self):
        told = self.succeeds("--help")
        verbs = [line.split()[0] for line in told.partition("Commands:\n")[2].splitlines()]
        self.assertEqual(
            " ".join(verbs),
            "create enable-consumer disable-consumer enable-channel disable-channel enable-event"
            " disable-event add-context track untrack start stop rotate enable-rotation"
            " disable-rotation clear snapshot regenerate destroy list status view"
            " set-session version",
        )
        for verb in verbs:
            self.assertIn(f"Usage: main {verb}", self.succeeds(verb, "-h"))

    def test_version(self):
        self.assertEqual(self.succeeds("--version"), self.succeeds("-V"))

    def test_no_such_verb(self):
        self.assertIn("No such command 'enable'.", self.fails("enable", status=2))

    def test_rundir(self):
        self.succeeds("--rundir", "/tmp/here", "list")
        self.assertEqual(self.machine.address, "/tmp/here/client-lttngnet")

    def test_quiet(self):
        self.assertEqual(self.succeeds("-q", "create", "x"), "")
        self.assertEqual(self.succeeds("-q", "start"), "")
        self.assertEqual(self.succeeds("-q", "list").count("\n"), 2)  # that was asked for

    def test_no_daemon(self):
        self.start_daemon(None)
        sentence = (
            "no session daemon listens in /tmp/x: start one with `twistd lttng-sessiond --rundir /tmp/x`"
        )
        self.assertEqual(self.fails("--rundir", "/tmp/x", "list"), sentence)

    def test_a_home_that_cannot_be_written(self):
        self.home.rmdir()
        result = self.run_command("create")
        self.assertEqual(result.exit_code, 1)
        self.assertIn("No such file or directory", result.stderr)
        self.assertNotIn("Traceback", result.stderr)

    def test_interrupted(self):
        self.patch(self.machine, "memory", self.daemon)
        self.patch(sys.modules["twisted.internet.task"], "react", lambda main: sys.exit(0))
        result = self.run_command("list")
        self.assertEqual((result.exit_code, result.stderr), (1, "Aborted!\n"))


class ProcessTests(TerminalCase):
    """The command as a process of its own."""

    def run_process(self, *arguments):
        return subprocess.run(
            arguments, capture_output=True, text=True, check=False, env={"HOME": str(self.home)}
        )

    def test_help_loads_no_twisted(self):
        program = "import sys, lttngnet.cli\nlttngnet.cli.main(['--help'], standalone_mode=False)\n"
        program += "sys.exit(any(name.split('.')[0] in ('twisted', 'rich') for name in sys.modules))"
        self.assertEqual(self.run_process(sys.executable, "-c", program).returncode, 0)

    def test_a_real_reactor(self):
        program = "from lttngnet.cli import main; main()"
        ended = self.run_process(sys.executable, "-c", program, "--rundir", "/nowhere", "list")
        self.assertEqual((ended.returncode, ended.stdout), (1, ""))
        self.assertTrue(ended.stderr.startswith("Error: no session daemon listens in "), ended.stderr)
        self.assertEqual(ended.stderr.count("\n"), 1)
