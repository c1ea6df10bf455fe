"""The options of ``lttng-relayd-tx``, and how a process takes its name and leaves its terminal."""

import os
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from lttngnet.relayd import command, configuration
from lttngnet.relayd.foreground import CommandOptions
from lttngnet.startup import CannotStart


class OptionsTests(SynchronousTestCase):
    def setUp(self):
        self.patch(configuration, "SYSTEM_FILE", os.devnull)
        self.patch(os, "environ", {"HOME": "/nowhere"})

    def parse(self, *given):
        options = CommandOptions()
        options.parseOptions(given)
        return options

    def test_grammar(self):
        """As getopt has it: clusters, glued arguments, unique prefixes, an equals sign or none."""
        options = self.parse("-dvvv", "-o/out", "--working-dir", "/tmp", "--live=tcp://0.0.0.0:7", "-xs")
        self.assertEqual((options["verbose"], options["output"]), (3, "/out"))
        self.assertEqual(options["working-directory"], "/tmp")
        self.assertEqual(options["live-port"], "tcp:7:interface=0.0.0.0")
        self.assertTrue(options["daemonize"] and options["disallow-clear"])
        self.assertTrue(options["group-output-by-session"])

    def test_mistakes(self):
        for given in (["--v"], ["--output"], ["-y"], ["--disallow-clear=yes"], ["here"]):
            line = str(self.assertRaises(CannotStart, self.parse, *given))
            self.assertTrue(line.startswith("lttng-relayd: "), line)
            self.assertNotIn("\n", line)

    def test_where_it_works(self):
        self.assertIsNone(self.parse()["working-directory"])
        self.assertEqual(self.parse("-d")["working-directory"], "/")
        self.assertEqual(self.parse("-b")["working-directory"], "/")
        self.assertEqual(self.parse("-d", "-w", "here")["working-directory"], str(Path("here").absolute()))
        os.environ["LTTNG_RELAYD_WORKING_DIRECTORY"] = "/srv"
        self.assertEqual(self.parse("-d")["working-directory"], "/srv")
        self.assertEqual(self.parse("-d", "-w", "/tmp")["working-directory"], "/tmp")

    def test_help(self):
        text = str(self.parse())
        for word in ("--daemonize", "-b, --background", "-h, --help", "[relayd]", "LTTNG_RELAYD_HEALTH"):
            self.assertIn(word, text)
        self.assertTrue(text.startswith("Usage: lttng-relayd-tx [options]"), text)


class NameTests(SynchronousTestCase):
    def setUp(self):
        self.executed = []
        self.patch(os, "execv", lambda *of: self.executed.append(of))
        self.patch(command, "OWN_NAME", os.devnull)
        self.patch(sys, "executable", "/venv/bin/python3")

    def test_another_name(self):
        self.patch(sys, "orig_argv", ["python3", "/elsewhere/lttng-relayd-tx", "-d"])
        command.take_name()
        words = ["/venv/bin/lttng-relayd-tx", "/elsewhere/lttng-relayd-tx", "-d"]
        self.assertEqual(self.executed, [("/venv/bin/python3", words)])

    def test_the_right_name(self):
        self.patch(sys, "orig_argv", ["/venv/bin/lttng-relayd-tx", "/elsewhere/lttng-relayd-tx", "-d"])
        command.take_name()
        self.assertEqual(self.executed, [])
