"""Sessions of the genuine tools: the answers and files of the genuine relay daemon, byte for byte."""

import json
from pathlib import Path

from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.relayd.store.layout import Grouping
from tests.captures import Capture
from tests.relayd.replaying import InSteps, Relay, plain, replay, utc

# What the genuine relay daemon 2.13.9 answered and wrote when it was sent the client's side of these,
# with the older minor in the client's VERSION.
OLD_CLIENTS = json.loads(Path(__file__).with_name("old_clients.json").read_text())


class ReplayTests(SynchronousTestCase):
    def setUp(self):
        utc(self)

    def check(self, name, races=(), **options):
        """Replay a capture.

        Args:
            name: of the capture.
            races: numbers of the answers to DATA_PENDING that came before the data was read: 1 then, 0 here.
            options: of the `Relay`.
        """
        capture, relay = Capture(name), Relay(self.mktemp(), **options)
        with capturedLogs() as log:
            answers = replay(capture, relay)
        self.assertEqual([event for event in log if event["log_level"] >= LogLevel.warn], [])
        for connection, answered in answers.items():
            expected = [
                bytes(4) if entry["i"] in races else bytes.fromhex(entry["hex"])
                for entry in capture.entries()
                if entry["connection"] == connection and entry["dir"] == "s2c"
            ]
            self.assertEqual(plain(answered), b"".join(expected), connection)
        self.assertEqual(relay.files(), capture.files())
        self.assertEqual(relay.store.sessions, {})

    def test_per_uid(self):
        self.check("01-uid-simple", races=[30])

    def test_per_pid(self):
        self.check("02-pid-buffers")

    def test_over_ipv6(self):
        self.check("08-ipv6")

    def test_base_path_and_rotation_while_stopped(self):
        self.check("09-basepath")

    def test_grouped_by_session(self):
        self.check("10-group-by-session", grouping=Grouping.SESSION)

    def test_clear_disallowed(self):
        self.check("12-disallow-clear", allows_clear=False)

    def test_session_daemon_killed(self):
        self.check("14-sessiond-killed")

    def test_rotation_while_running_and_while_stopped(self):
        self.check("04-rotate")

    def test_clear(self):
        self.check("05-clear", races=[51])

    def test_snapshots(self):
        self.check("06-snapshot")
        self.check("19-snapshot-default-net")

    def test_limited_trace_files(self):
        self.check("07-tracefile")

    def test_metadata_made_anew(self):
        self.check("13-regenerate-metadata")


class OldClientTests(SynchronousTestCase):
    """Clients of 2.4 to 2.11; the last one rotates while it runs, and limits its trace files."""

    def setUp(self):
        utc(self)

    def check(self, minor):
        name = f"18-client-vs-old-relay-2.{minor}"
        relay = Relay(self.mktemp())
        answers = replay(Capture(name), relay, minor=minor)
        expected = OLD_CLIENTS[name]
        self.assertEqual(
            {name: answer.hex() for name, answer in answers.items()},
            expected["replies"],
        )
        self.assertEqual(
            relay.files(), {file["path"]: (file["size"], file["sha256"]) for file in expected["files"]}
        )
        self.assertEqual(relay.store.sessions, {})

    def test_2_4(self):
        self.check(4)

    def test_2_8(self):
        self.check(8)

    def test_2_11(self):
        self.check(11)


class ReplayInStepsTests(InSteps, ReplayTests):
    """The same, with everybody's turns as short as they can be."""


class OldClientInStepsTests(InSteps, OldClientTests):
    """The same, with everybody's turns as short as they can be."""
