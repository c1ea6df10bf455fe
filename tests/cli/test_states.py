"""list, status, version."""

import json
from datetime import datetime

from lttngnet.errors import Code, CommandError
from tests.cli.terminal import TerminalCase
from tests.fake_daemon import facts

NOTHING = {"events": 0, "packets": 0, "bytes": 0, "discarded": 0, "lost": 0}
BUSY = facts(
    state="active",
    muted=True,
    output="tcp4://192.168.1.10:5342/ [data: 5343]",
    network=True,
    path="host/session1-20261122-150000",
    consumer=77,
    problem="the disk of the relay daemon is full",
    domains=[
        {
            "name": "kernel",
            "channels": [
                {
                    "name": "channel0",
                    "events": [
                        {"name": "sched_switch", "kind": "tracepoint"},
                        {"name": "irq", "kind": "all"},
                    ],
                    "facts": NOTHING | {"discarded": 1},
                }
            ],
        },
        {
            "name": "python",
            "applications": 3,
            "channels": [{"name": "lttng_python_channel", "events": [{"name": "*", "loglevel": None}]}],
        },
    ],
    template="file:///trace/",
    facts=NOTHING
    | {"events": 12, "packets": 2, "bytes": 3 << 20, "discarded": 1}
    | {"waiting": 1 << 20, "spooled": 5 << 20, "dropped": 4},
)
TOLD = """\
Tracing session session1 (tcp4://192.168.1.10:5342/ [data: 5343]) [active, consumer disabled]
    Trace: host/session1-20261122-150000, below the relay daemon's output folder
    When enabled: file:///trace/
    Consumer: process 77
    Recorded: 12 events in 2 packets, 3.0 MiB; 1 discarded
    Kept, to be handed on later: 5.0 MiB
    Lost packets: 4
    Problem: the disk of the relay daemon is full

Domain kernel

    Channel channel0 [enabled]
        Discarded events:  1
        Events:
            sched_switch (type: tracepoint) [enabled]
            irq [enabled]

Domain python
    Applications:      3

    Channel lttng_python_channel [enabled]
        Events:
            * [enabled]
"""


class ListTests(TerminalCase):
    def test_none(self):
        self.assertEqual(self.succeeds("list"), "There is no tracing session.\n")
        self.assertEqual(json.loads(self.succeeds("list", "--json")), [])

    def test_some(self):
        self.daemon.sessions.update(session1=BUSY, bare=facts("bare", output=""))
        self.assertEqual(
            self.succeeds("list"),
            "Available tracing sessions:\n"
            "  1) session1 (tcp4://192.168.1.10:5342/ [data: 5343]) [active, consumer disabled]\n"
            "  2) bare (no output) [created]\n",
        )
        self.assertEqual(json.loads(self.succeeds("list", "--json")), list(self.daemon.sessions.values()))

    def test_one(self):
        self.daemon.sessions["session1"] = BUSY
        self.assertEqual(self.succeeds("list", "session1"), TOLD)
        self.assertEqual(json.loads(self.succeeds("list", "session1", "--json")), BUSY)

    def test_a_relay_daemon_that_goes_away(self):
        connection = {"since": 0.0, "reconnects": 0, "away": "", "fallback": "", "on_loss": "hold"}
        for changes, told in (
            (
                {"since": 1e9, "reconnects": 2},
                f"Connected since {datetime.fromtimestamp(1e9)}, come back to 2 times",
            ),
            ({"away": "it was cut"}, "The relay daemon is away: it was cut; what is recorded is held"),
            (
                {"away": "it was cut", "fallback": "/home/x-local"},
                "The relay daemon is gone: it was cut; the trace goes on in that local folder",
            ),
        ):
            self.daemon.sessions["session1"] = BUSY | {"connection": connection | changes}
            self.assertIn(f"    {told}\n", self.succeeds("list", "session1"))
        self.assertNotIn("below the relay", self.succeeds("list", "session1"))

    def test_no_such_one(self):
        self.assertEqual(self.fails("list", "nosuch"), "there is no session nosuch")


class WatchTests(TerminalCase):
    def test_a_line_each_second_without_a_terminal(self):
        self.succeeds("create", "session1")
        self.daemon.glances = [BUSY, facts(state="stopped", facts=BUSY["facts"] | {"bytes": 4 << 20})]
        self.assertEqual(
            self.succeeds("status", "--watch").splitlines(),
            [
                "session1 [active, consumer disabled], 2 packets, 3.0 MiB, 0 bytes/s, 6.0 MiB left, "
                "1 event discarded, 4 packets lost",
                "session1 [stopped], 2 packets, 4.0 MiB, 1.0 MiB/s, 6.0 MiB left, "
                "1 event discarded, 4 packets lost",
                "Session session1 is no more.",
            ],
        )

    def test_json(self):
        self.succeeds("create", "session1")
        self.daemon.glances = [BUSY, BUSY]
        lines = self.succeeds("--quiet", "status", "-w", "--json").splitlines()
        self.assertEqual([json.loads(line) for line in lines], [BUSY, BUSY])

    def test_no_such_one(self):
        self.assertEqual(self.fails("status", "nosuch", "--watch"), "there is no session nosuch")


class StatusTests(TerminalCase):
    def test_of_the_current_session(self):
        self.succeeds("create", "session1")
        self.daemon.sessions["session1"] = BUSY
        self.assertEqual(self.succeeds("status"), TOLD)
        self.assertEqual(json.loads(self.succeeds("status", "--json")), BUSY)

    def test_of_none(self):
        self.assertIn("no session is named and none is current", self.fails("status"))


class VersionTests(TerminalCase):
    def test_both(self):
        told = "lttngnet 0.1.0\nsession daemon 0.1.0\n    pid: 42\n    domains: kernel, python\n"
        self.assertEqual(self.succeeds("version"), told)
        self.assertEqual(
            json.loads(self.succeeds("version", "--json")),
            {"client": "0.1.0", "daemon": {"version": "0.1.0", "pid": 42, "domains": ["kernel", "python"]}},
        )

    def test_no_daemon(self):
        self.start_daemon(None)
        self.assertEqual(self.succeeds("version"), "lttngnet 0.1.0\nsession daemon: not running\n")
        self.assertIsNone(json.loads(self.succeeds("version", "--json"))["daemon"])

    def test_a_refusal(self):
        self.daemon.fail = CommandError(Code.PERMISSION, "not for you")
        self.assertEqual(self.fails("version"), "not for you")
