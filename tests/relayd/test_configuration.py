"""Configuration files and the environment."""

import os
import socket
from pathlib import Path

from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.relayd import configuration
from lttngnet.relayd.configuration import ConfigurationError, socket_options, switch, words
from lttngnet.relayd.options import Options
from lttngnet.startup import CannotStart

LONG_OPTIONS = ["output=", "live-port=", "disallow-clear", "config=", "help"]


class FilesTests(SynchronousTestCase):
    def setUp(self):
        self.folder = Path(self.mktemp()).absolute()
        (self.folder / ".lttng").mkdir(parents=True)
        self.system, self.user = self.folder / "system.conf", self.folder / ".lttng/lttng.conf"
        self.chosen = self.folder / "chosen.conf"
        self.environ = {"HOME": "/nowhere", "LTTNG_HOME": str(self.folder)}
        self.patch(configuration, "SYSTEM_FILE", str(self.system))

    def words(self, chosen=None):
        return words(self.environ, chosen and str(chosen), LONG_OPTIONS)

    def refused(self):
        return str(self.assertRaises(ConfigurationError, self.words, self.chosen))

    def test_none(self):
        self.assertEqual(self.words(), [])

    def test_the_later_one_wins(self):
        self.system.write_text("[relayd]\noutput=/system\nlive-port=tcp://a\ndisallow-clear=yes\n")
        self.assertEqual(self.words(), ["--output=/system", "--live-port=tcp://a", "--disallow-clear"])
        self.user.write_text("[relayd]\noutput=/user\nlive-port=tcp://b\n")
        self.assertEqual(self.words(), ["--output=/user", "--live-port=tcp://b", "--disallow-clear"])
        self.chosen.write_text("[relayd]\noutput=/chosen\ndisallow-clear=off\n")
        self.assertEqual(self.words(self.chosen), ["--output=/chosen", "--live-port=tcp://b"])

    def test_the_way_it_is_written(self):
        self.chosen.write_text(
            "; first\n# second\n[sessiond]\noutput=/theirs\n\n[relayd]\n  output : /a=b # c\n"
            "live-port = tcp6://[::]:5 ; anywhere\ndisallow-clear=no\ndisallow-clear = ON\n"
        )
        expected = ["--output=/a=b # c", "--live-port=tcp6://[::]:5", "--disallow-clear"]
        self.assertEqual(self.words(self.chosen), expected)

    def test_names_that_are_not_utf8(self):
        self.chosen.write_bytes(b"[relayd]\noutput=/\xff\n")
        self.assertEqual(os.fsencode(self.words(self.chosen)[0]), b"--output=/\xff")

    def test_no_such_option(self):
        self.chosen.write_text("[relayd]\nnonsense=1\nconfig=/x\nhelp=yes\nDisallow-Clear=yes\noutput=/x\n")
        with capturedLogs() as events:
            self.assertEqual(self.words(self.chosen), ["--output=/x"])
        self.assertEqual(
            [event["name"] for event in events], ["nonsense", "config", "help", "Disallow-Clear"]
        )
        self.assertEqual({event["log_level"].name for event in events}, {"warn"})

    def test_unreadable(self):
        self.assertIn("there is no configuration file", self.refused())
        self.chosen.mkdir()
        self.assertIn("Is a directory", self.refused())

    def test_not_understood(self):
        for text in ("output=/x\n", "[relayd\n", "[relayd]\nnonsense\n", "[relayd]\ndisallow-clear=maybe\n"):
            self.chosen.write_text(text)
            self.assertNotIn("\n", self.refused())


class OptionsTests(SynchronousTestCase):
    """What the files and the environment make of the options."""

    def setUp(self):
        self.patch(configuration, "SYSTEM_FILE", os.devnull)
        self.patch(os, "environ", {"HOME": "/nowhere"})
        self.file = Path(self.mktemp())

    def parse(self, *given, **environ):
        os.environ.update(environ)
        options = Options()
        options.parseOptions(given)
        return options

    def refused(self, *given, **environ):
        return str(self.assertRaises(CannotStart, self.parse, *given, **environ))

    def test_the_command_line_wins(self):
        self.file.write_text("[relayd]\noutput=/file\ngroup-output-by-session=yes\nverbose=on\ngroup=staff\n")
        options = self.parse("-v", "--output", "/line", f"-f{self.file}")
        self.assertEqual((options["output"], options["group"], options["verbose"]), ("/line", "staff", 2))
        self.assertTrue(options["group-output-by-session"])
        options = self.parse("--conf", str(self.file))
        self.assertEqual((options["output"], options["verbose"]), ("/file", 1))

    def test_mistakes_in_files(self):
        for text in ("output=relative", "fd-pool-size=99", "control-port=udp://0.0.0.0"):
            self.file.write_text(f"[relayd]\n{text}\n")
            self.assertIn(text.partition("=")[2].removesuffix("99"), self.refused("-f", str(self.file)))
        self.file.write_text("[relayd]\ngroup-output-by-host=yes\n")
        self.assertIn("not both", self.refused("-s", "-f", str(self.file)))
        self.assertIn("nowhere.conf", self.refused("-f", "nowhere.conf"))

    def test_help_needs_no_configuration(self):
        for word in ("-h", "--help", "--version"):
            with self.assertRaises(SystemExit) as caught:
                self.parse("-f", "nowhere.conf", word)
            self.assertFalse(caught.exception.code)

    def test_clear(self):
        for text, disallowed in (("1", True), ("yes", True), ("0", False), ("", False)):
            self.assertEqual(self.parse(LTTNG_RELAYD_DISALLOW_CLEAR=text)["disallow-clear"], disallowed, text)
        self.assertTrue(self.parse("-x", LTTNG_RELAYD_DISALLOW_CLEAR="0")["disallow-clear"])
        self.assertIn("maybe", self.refused(LTTNG_RELAYD_DISALLOW_CLEAR="maybe"))

    def test_pool(self):
        self.assertIsNone(self.parse()["fd-pool-size"])
        self.assertEqual(self.parse("--fd-pool-size=100")["fd-pool-size"], 100)
        self.assertIn("100 descriptors", self.refused("--fd-pool-size=99"))

    def test_words_that_are_no_options(self):
        self.assertIn("'start'", self.refused("start"))


class SwitchTests(SynchronousTestCase):
    def test_values(self):
        for text in ("true", "YES", " on ", "1"):
            self.assertIs(switch(text, "it"), True)
        for text in ("False", "no", "off", "0"):
            self.assertIs(switch(text, "it"), False)
        for text in ("", "2", "y"):
            self.assertIn("it is", str(self.assertRaises(ConfigurationError, switch, text, "it")))


class SocketOptionsTests(SynchronousTestCase):
    def options(self, **environ):
        return socket_options({f"LTTNG_{name}": value for name, value in environ.items()})

    def test_none(self):
        self.assertEqual(self.options(), [])
        self.assertEqual(
            self.options(RELAYD_TCP_KEEP_ALIVE="0", RELAYD_TCP_KEEP_ALIVE_IDLE_TIME="7"),
            [],
        )

    def test_keep_alive(self):
        options = self.options(
            RELAYD_TCP_KEEP_ALIVE="1",
            RELAYD_TCP_KEEP_ALIVE_IDLE_TIME="7",
            RELAYD_TCP_KEEP_ALIVE_PROBE_INTERVAL="-1",
            RELAYD_TCP_KEEP_ALIVE_MAX_PROBE_COUNT="3",
        )
        expected = [
            (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
            (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 7),
            (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
        ]
        self.assertEqual(options, expected)

    def test_timeout(self):
        self.assertEqual(
            self.options(NETWORK_SOCKET_TIMEOUT="1500"), [(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1500)]
        )
        for text in ("0", "-1", str(1 << 40)):
            self.assertEqual(self.options(NETWORK_SOCKET_TIMEOUT=text), [])

    def test_nonsense(self):
        with capturedLogs() as events:
            options = self.options(RELAYD_TCP_KEEP_ALIVE="maybe", NETWORK_SOCKET_TIMEOUT="soon")
        self.assertEqual((options, len(events)), ([], 2))
