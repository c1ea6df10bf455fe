"""A genuine session daemon streams to the genuine relay daemon and to ours: the same comes of it."""

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.interop.genuine import Namespace, build_application, missing, tree

EVENTS = 1000


class GenuineSessionDaemonTests(SynchronousTestCase):
    skip = missing()

    def setUp(self):
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        self.application = build_application(self.folder)
        self.namespace = Namespace(self.folder)
        self.addCleanup(self.namespace.close)

    def trace(self, relayd, output, channel=(), between=()):
        """Trace a run of the application over a relay daemon, and return what is to be compared.

        Args:
            relayd: starts the daemon with that output folder.
            output: its name.
            channel: options of the channel.
            between: a command of lttng, between two runs of the application.
        """
        daemon = relayd(self.folder / output)
        lttng = ("lttng", "--no-sessiond")
        self.namespace.run(*lttng, "create", "walk", "-U", "net://127.0.0.1")
        self.namespace.run(*lttng, "enable-channel", "-u", "ticks", *channel)
        self.namespace.run(*lttng, "enable-event", "-u", "-c", "ticks", "demo:tick")
        self.namespace.run(*lttng, "start")
        self.namespace.run(self.application, EVENTS)
        if between:
            self.namespace.run(*lttng, *between)
            self.namespace.run(self.application, EVENTS)
        self.namespace.run(*lttng, "stop")
        at_stop = self.events(self.folder / output)
        self.namespace.run(*lttng, "destroy")
        self.assertEqual(self.namespace.terminate(daemon), 0)
        return tree(self.folder / output), at_stop, self.events(self.folder / output)

    def events(self, trace):
        """Return the text of every event, without time, host and CPU."""
        lines = self.namespace.text_of(trace)
        return [re.sub(r"^.*(demo:tick.*)\{ cpu_id = \d+ \}", r"\1", line) for line in lines]

    def compare(self, count=1, **options):
        self.namespace.start_genuine_sessiond()
        genuine = self.trace(self.namespace.start_genuine_relayd, "genuine", **options)
        ours = self.trace(self.namespace.start_our_relayd, "ours", **options)
        self.assertEqual(ours, genuine)
        expected = [f"demo:tick: , {{ n = {n} }}" for n in range(EVENTS)] * count
        self.assertEqual(ours[-1], expected)
        self.assertIn("Listening for data", (self.folder / "our-relayd.log").read_text())

    def test_buffers_per_user(self):
        self.compare()

    def test_buffers_per_process(self):
        self.compare(channel=["--buffers-pid"])

    def test_rotation(self):
        self.compare(2, between=["rotate"])
