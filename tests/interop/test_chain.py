"""The whole chain as users see it: daemons and command as real processes, tracing a Python program."""

import os
import re
import shutil
import signal
import time
from collections import Counter
from datetime import datetime

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from lttngnet.ctf.index import read_index
from tests.interop.genuine import has_ended
from tests.interop.ours import Stage, finish, text_of
from tests.waiting import wait_until


class ChainCase(SynchronousTestCase):
    """A stage with both daemons."""

    def setUp(self):
        self.stage = Stage(self.mktemp())
        self.addCleanup(self.stage.close)
        self.relayd = self.stage.relayd()
        self.sessiond = self.stage.sessiond("--no-kernel")

    def start_tracing(self):
        """Have a session active that sends what a program logs to the relay daemon."""
        self.program = self.stage.traced_program()
        for line in (
            "create session1",
            f"enable-consumer {self.stage.url}",
            "enable-event -a -p",
            "start",
        ):
            self.stage.lttngnet(line)

    def received_events(self):
        """Return the messages in the received trace, in order."""
        if shutil.which("babeltrace2") is None:
            raise SkipTest("babeltrace2 is not installed")
        lines, warnings = text_of(self.stage.output)
        self.assertEqual(warnings, "")
        return [re.search(r'msg = "([^"]*)"', line)[1] for line in lines]


def messages(count):
    return [f"message {number}" for number in range(count)]


class TraceTests(ChainCase):
    def test_the_commands_of_the_rfc(self):
        self.start_tracing()
        self.program.log(1000)
        self.stage.lttngnet("stop")
        session = self.stage.session()
        self.assertEqual((session["state"], session["facts"]["events"]), ("stopped", 1000))
        self.stage.lttngnet("destroy")
        self.assertEqual(self.stage.lttngnet("list --json").json(), [])
        host, folder, *_ = next(iter(self.stage.received())).split("/")
        self.assertEqual(host, os.uname().nodename)
        self.assertRegex(folder, r"^session1-\d{8}-\d{6}$")
        self.assertEqual(
            {path.partition(f"{folder}/")[2] for path in self.stage.received()},
            {"python/metadata", "python/lttng_python_channel_0", "python/index/lttng_python_channel_0.idx"},
        )
        self.assertEqual(self.received_events(), messages(1000))

    def test_everything_is_on_disk_when_stop_returns(self):
        self.start_tracing()
        self.program.log(500)
        self.stage.lttngnet("stop")
        self.assertEqual(self.received_events(), messages(500))

    def test_times_are_those_of_the_wall_clock(self):
        self.start_tracing()
        before = time.time_ns()
        self.program.log(1)
        after = time.time_ns()
        self.stage.lttngnet("stop")
        self.received_events()
        (line,), _ = text_of(self.stage.output, "--clock-seconds", "--no-delta")
        seconds, nanoseconds = re.match(r"\[(\d+)\.(\d{9})\]", line).groups()
        stamp = int(seconds) * 10**9 + int(nanoseconds)
        self.assertTrue(before - 10**6 <= stamp <= after + 10**6, (before, stamp, after))

    def test_stop_and_start_again(self):
        self.start_tracing()
        for _ in range(3):
            self.program.log(10)
            self.stage.lttngnet("stop")
            self.program.log(5)  # nobody wants these
            self.stage.lttngnet("start")
        self.stage.lttngnet("destroy")
        self.assertEqual(self.received_events(), messages(10) * 3)

    def test_a_program_that_starts_later(self):
        self.start_tracing()
        other = self.stage.traced_program()
        other.log(7)
        other.end()
        self.stage.lttngnet("destroy")
        self.assertEqual(self.received_events(), messages(7))

    def test_a_disabled_consumer_consumes_nothing_and_goes_on_when_enabled(self):
        self.start_tracing()
        self.program.log(3)
        wait_until(lambda: self.stage.session()["facts"]["events"] == 3, "three events were carried")
        self.stage.lttngnet("disable-consumer --hold")
        self.assertTrue(self.stage.session()["muted"])
        self.program.log(4)
        wait_until(lambda: self.stage.session()["facts"]["spooled"], "the rest is kept")
        self.stage.lttngnet("enable-consumer")
        wait_until(lambda: not self.stage.session()["facts"]["spooled"], "the rest was carried")
        self.stage.lttngnet("disable-consumer --hold")
        self.program.log(5)
        self.stage.lttngnet("stop")
        self.stage.lttngnet("destroy")
        self.assertEqual(self.received_events(), messages(3) + messages(4) + messages(5))

    def test_a_local_folder(self):
        program = self.stage.traced_program()
        for line in ("create session1 -o trace", "enable-event -a -p", "start"):
            self.stage.lttngnet(line)
        program.log(20)
        self.stage.lttngnet("stop")
        trace = self.stage.folder / "trace" / "python"
        entries = list(read_index((trace / "index" / "lttng_python_channel_0.idx").read_bytes()))
        size = (trace / "lttng_python_channel_0").stat().st_size
        self.assertEqual(sum(e.packet_size for e in entries), 8 * size)
        self.stage.lttngnet("destroy")
        self.assertEqual(self.stage.received(), {})

    def test_another_relay_for_a_session_that_was_stopped(self):
        self.start_tracing()
        self.program.log(5)
        self.stage.lttngnet("stop")
        self.stage.lttngnet("enable-consumer there")
        self.stage.lttngnet("start")
        self.program.log(6)
        self.stage.lttngnet("destroy")
        self.assertEqual(self.received_events(), messages(5))
        lines, _ = text_of(self.stage.folder / "there")
        self.assertEqual(len(lines), 6)

    def test_the_same_relay_again_spoils_nothing(self):
        self.start_tracing()
        self.program.log(5)
        self.stage.lttngnet("stop")
        self.stage.lttngnet(f"enable-consumer {self.stage.url}")
        self.stage.lttngnet("start")
        self.program.log(6)
        self.stage.lttngnet("destroy")
        self.assertEqual(sorted(self.received_events()), sorted(messages(5) + messages(6)))

    def test_the_same_path_again_spoils_nothing(self):
        self.start_tracing()
        for count in (2, 3, 4):
            self.stage.lttngnet("stop")
            self.stage.lttngnet(f"enable-consumer {self.stage.url}/some/where")
            self.stage.lttngnet("start")
            self.program.log(count)
        self.stage.lttngnet("destroy")
        host = os.uname().nodename
        found = {path for path in self.stage.received() if path.endswith("where/python/metadata")}
        self.assertEqual(found, {f"{host}/some/where/python/metadata"})
        self.assertIn(f"{host}/some/where-3/python/metadata", self.stage.received())
        self.assertEqual(len(self.received_events()), 9)

    def test_the_same_folder_again_is_refused(self):
        self.stage.traced_program()
        for line in ("create session1 -o trace", "enable-event -a -p", "start", "destroy", "create session1"):
            self.stage.lttngnet(line)
        outcome = self.stage.run("enable-consumer", "trace")
        self.assertEqual(outcome.status, 1)
        self.assertIn("holds a trace already (python)", outcome.error)

    def test_two_sessions_at_once(self):
        self.start_tracing()
        for line in ("create other", f"enable-consumer {self.stage.url}", "enable-event app -p", "start"):
            self.stage.lttngnet(line)
        self.program.log(50)
        self.stage.lttngnet("destroy --all")
        self.assertEqual(sorted(self.received_events()), sorted(messages(50) * 2))

    def test_the_creation_time_is_in_the_folder_once(self):
        self.stage.traced_program()
        for line in ("create", f"enable-consumer {self.stage.url}", "enable-event -a -p", "start", "destroy"):
            self.stage.lttngnet(line)
        _, folder, *_ = next(iter(self.stage.received())).split("/")
        datetime.strptime(folder, "auto-%Y%m%d-%H%M%S")

    def test_events_that_change_while_tracing(self):
        self.start_tracing()
        self.program.log(3)
        self.stage.lttngnet("disable-event -a -p")
        self.program.log(4)
        self.stage.lttngnet("enable-event app -p")
        self.program.log(5)
        self.stage.lttngnet("disable-event -a -p")
        self.stage.lttngnet("stop")
        self.stage.lttngnet("enable-event app -p")
        self.program.log(6)  # tracing is stopped
        self.stage.lttngnet("destroy")
        self.assertEqual(self.received_events(), messages(3) + messages(5))

    def test_a_path_in_the_url(self):
        self.stage.traced_program()
        for line in (
            "create session1",
            f"enable-consumer {self.stage.url}/some/where",
            "enable-event -a -p",
            "start",
            "destroy",
        ):
            self.stage.lttngnet(line)
        self.assertIn(f"{os.uname().nodename}/some/where/python/metadata", self.stage.received())


class AwayTests(ChainCase):
    """The relay daemon ends and does not come back; what is recorded is held."""

    def away(self):
        """Have a session whose relay daemon is away, and 200 messages that it never saw."""
        if shutil.which("babeltrace2") is None:
            raise SkipTest("babeltrace2 is not installed")
        self.program = self.stage.traced_program()
        create = f"create session1 -U {self.stage.url} --on-relay-loss=hold"
        for line in (create, "enable-event -a -p", "start"):
            self.stage.lttngnet(line)
        self.program.log(300)
        wait_until(lambda: self.stage.session()["facts"]["events"] == 300, "all was carried")
        finish(self.relayd)
        wait_until(lambda: self.stage.session()["connection"]["away"], "the relay daemon is away")
        self.program.log(200)
        wait_until(lambda: self.stage.session()["facts"]["spooled"], "what comes is held")

    def test_destroyed_meanwhile(self):
        """What the relay daemon may not have is in a local folder then, and the user is told where."""
        self.away()
        self.assertIn("are kept until the relay daemon is back", self.stage.lttngnet("stop").error)
        (folder,) = re.findall(r"confirmed is in (\S+)", self.stage.lttngnet("destroy").error)
        lines, _ = text_of(folder)
        local = [re.search(r'msg = "([^"]*)"', line)[1] for line in lines]
        self.assertEqual(local[-200:], messages(200))
        self.assertEqual(Counter(messages(300) + messages(200)) - Counter(local + self.received_events()), {})

    def test_disabled_and_enabled_meanwhile(self):
        """Enabled, the consumer goes on when there is somewhere to go to; disabled, it does not then."""
        self.away()
        self.stage.lttngnet("disable-consumer --hold")
        self.stage.lttngnet("enable-consumer")
        facts = self.stage.session()["facts"]
        self.assertGreater(facts["spooled"], 0)
        self.stage.lttngnet(f"enable-consumer {self.stage.folder / 'there'}")
        wait_until(lambda: not self.stage.session()["facts"]["spooled"], "all goes to the folder")
        self.program.log(100)
        self.stage.lttngnet("stop")
        self.assertEqual(self.stage.session()["facts"]["dropped"], 0)
        self.stage.lttngnet("destroy")
        lines, _ = text_of(self.stage.folder / "there")
        found = [re.search(r'msg = "([^"]*)"', line)[1] for line in lines]
        self.assertEqual(found[-300:], messages(200) + messages(100))


class EndTests(ChainCase):
    """Processes that end, or are killed, with a session active."""

    def test_sigterm_for_the_session_daemon(self):
        self.start_tracing()
        self.program.log(300)
        self.assertEqual(finish(self.sessiond), 0, self.stage.log("sessiond"))
        self.assertEqual(self.received_events(), messages(300))
        self.program.log(1)  # and the program goes on

    def test_sigkill_for_the_session_daemon(self):
        self.start_tracing()
        self.program.log(300)
        consumer = self.stage.session()["consumer"]
        finish(self.sessiond, signal.SIGKILL)
        wait_until(lambda: has_ended(consumer), "the consumer process delivers and ends")
        self.assertEqual(self.received_events(), messages(300))

    def test_sigterm_for_the_relay_daemon(self):
        self.start_tracing()
        self.program.log(300)
        wait_until(lambda: self.stage.session()["facts"]["events"] == 300, "all was carried")
        self.assertEqual(finish(self.relayd), 0, self.stage.log("relayd"))
        self.assertEqual(self.received_events(), messages(300))
        session = wait_until(lambda: self.lost(), "the session says that it lost its relay daemon")
        self.assertEqual(session["facts"]["events"], 300)
        self.assertRegex(session["problem"], "relay daemon closed|connection was cut off")
        outcome = self.stage.run("start")
        self.assertEqual((outcome.status, outcome.output), (1, ""))
        self.assertIn("has lost its consumer", outcome.error)
        self.stage.lttngnet("destroy")

    def test_sigkill_for_the_consumer_process(self):
        self.start_tracing()
        self.program.log(300)
        wait_until(lambda: self.stage.session()["facts"]["events"] == 300, "all was carried")
        consumer = self.stage.session()["consumer"]
        os.kill(consumer, signal.SIGKILL)
        session = wait_until(lambda: self.lost(), "the session says that it lost its consumer")
        self.assertIn(f"the consumer process {consumer} was killed by signal 9", session["problem"])
        self.assertIn("was killed by signal 9", self.stage.lttngnet("list session1").output)
        self.assertEqual(self.received_events(), messages(300))
        self.program.log(5)
        self.stage.lttngnet("destroy")
        self.stage.lttngnet("create session2")  # the daemon goes on

    def lost(self):
        session = self.stage.session()
        return session if session["state"] == "lost" else None
