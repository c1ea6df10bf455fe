"""Genuine viewers read from our relay daemon what a genuine session daemon sends it, while it is traced."""

import re
import shutil
from pathlib import Path
from unittest import skipUnless

from twisted.trial.unittest import SynchronousTestCase

from tests.interop.genuine import Namespace, Ticker, build_application, missing
from tests.waiting import DEADLINE, wait_until

LTTNG = ("lttng", "--no-sessiond")
HERE = "net://localhost"
PAUSE = 5000  # microseconds between two events
EVENT = re.compile(r"demo:tick: { cpu_id = (\d+) }, { n = (\d+) }")
SESSION = re.compile(r"(net://localhost/host/\S+) \(timer = (\d+), (\d+) stream\(s\), (\d+) client\(s\)")


def events(text):
    """Return the events in a viewer's text: pairs of a CPU, whose stream each is in, and a number."""
    return [(int(cpu), int(number)) for cpu, number in EVENT.findall(text)]


class Viewer:
    """A viewer that is running."""

    def __init__(self, namespace, name, url, program="babeltrace2"):
        self.log = namespace.folder / f"{name}.txt"
        self.process = namespace.start(program, "--clock-seconds", "-i", "lttng-live", url, log=self.log.name)

    @property
    def numbers(self):
        """Return the numbers of the events that it has printed so far."""
        return [number for _, number in events(self.log.read_text())]

    def end(self):
        """Return its exit status and the numbers of the events, once the session is over."""
        return self.process.wait(DEADLINE), self.numbers


class LiveTests(SynchronousTestCase):
    skip = missing()

    def setUp(self):
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        self.application = build_application(self.folder)
        self.namespace = Namespace(self.folder)
        self.addCleanup(self.namespace.close)
        self.namespace.start_our_relayd(self.folder / "out")
        self.namespace.start_genuine_sessiond()

    def lttng(self, *words):
        return self.namespace.run(*LTTNG, *words)

    def begin(self, *channel):
        """Trace into a live session."""
        self.lttng("create", "alive", "--live=100000", "-U", "net://127.0.0.1")
        self.lttng("enable-channel", "-u", "ticks", *channel)
        self.lttng("enable-event", "-u", "-c", "ticks", "demo:tick")
        self.lttng("start")

    def end(self):
        self.lttng("stop")
        self.lttng("destroy")

    def listing(self, program="babeltrace2"):
        """Return URL, timer, streams and clients of the one session."""
        (found,) = SESSION.findall(self.namespace.run(program, "-i", "lttng-live", HERE))
        url, *numbers = found
        return url, *map(int, numbers)

    def attach(self, name, clients, program="babeltrace2"):
        """Return a viewer of the session, once it is attached; ``clients`` are then."""
        viewer = Viewer(self.namespace, name, self.listing()[0], program)
        wait_until(lambda: self.listing()[-1] == clients, f"{clients} clients are attached")
        return viewer

    def tick(self, name="application"):
        """Start an application that records events, some time apart, until it is told to end."""
        return Ticker(self.namespace, self.application, f"{name}.log", PAUSE)

    def check_all_from_somewhere_on(self, viewer):
        """A late viewer has seen all of each stream that came after some packet of it."""
        seen = events(viewer.log.read_text())
        self.assertEqual([number for _, number in seen], sorted({number for _, number in seen}))
        written = events(self.namespace.run("babeltrace2", self.folder / "out"))
        for cpu in {cpu for cpu, _ in seen}:
            of_stream = [event for event in seen if event[0] == cpu]
            self.assertEqual(of_stream, [event for event in written if event[0] == cpu][-len(of_stream) :])

    def test_one_early_and_one_late(self):
        """The first is attached before there is an application, and so before there are streams."""
        self.begin()
        self.assertEqual(self.listing()[1:], (100000, 0, 0))
        early = self.attach("early", 1)
        application = self.tick()
        wait_until(lambda: len(early.numbers) > 20, "events of the running application are seen")
        late = self.attach("late", 2)
        self.assertGreater(self.listing()[2], 1)
        application.go_on(50)
        count = application.end()
        self.end()
        self.assertEqual(early.end(), (0, list(range(count))))
        status, numbers = late.end()
        self.assertEqual((status, numbers[-1]), (0, count - 1))
        self.assertLess(len(numbers), count)
        self.check_all_from_somewhere_on(late)

    def test_a_viewer_that_leaves(self):
        self.begin()
        application = self.tick()
        first, second = self.attach("first", 1), self.attach("second", 2)
        wait_until(lambda: first.numbers, "events are seen")
        self.namespace.terminate(first.process)
        wait_until(lambda: self.listing()[-1] == 1, "one client is left")
        application.go_on(20)
        count = application.end()
        self.end()
        status, numbers = second.end()
        self.assertEqual((status, numbers[-1]), (0, count - 1))

    def test_applications_that_come_and_go(self):
        """Buffers per process: every application brings a trace of its own, and takes it away."""
        self.begin("--buffers-pid")
        viewer = self.attach("viewer", 1)
        first = self.tick("first")
        wait_until(lambda: viewer.numbers, "events of the first application are seen")
        second = self.tick("second")
        second.go_on(30)
        counts = [first.end(), second.end(), 50]
        self.namespace.run(self.application, 50)
        self.end()
        status, numbers = viewer.end()
        self.assertEqual(status, 0)
        self.assertEqual(sorted(numbers), sorted(number for count in counts for number in range(count)))

    def test_clear(self):
        """What was not read before is lost, nothing comes twice, and what comes after is complete."""
        self.begin()
        viewer = self.attach("viewer", 1)
        application = self.tick()
        for _ in range(2):
            seen = len(viewer.numbers)
            wait_until(lambda seen=seen: len(viewer.numbers) > seen, "events are seen")
            self.lttng("clear")
        cleared = wait_until(lambda: viewer.numbers[-1:], "events are seen")[0]
        application.go_on(50)
        count = application.end()
        self.end()
        status, numbers = viewer.end()
        self.assertEqual(status, 0)
        self.assertEqual(numbers, sorted(set(numbers)))
        self.assertEqual(numbers[-1], count - 1)
        wait_until(lambda: not list((self.folder / "out").rglob(".tmp*")), "what was cleared is gone")
        self.assertGreater(len([number for number in numbers if number > cleared]), 20)

    @skipUnless(shutil.which("babeltrace"), "babeltrace 1.5 is not installed")
    def test_babeltrace_1(self):
        self.begin()
        application = self.tick()
        wait_until(lambda: self.listing()[2], "there are streams")
        wait_until(lambda: self.listing("babeltrace") == self.listing(), "the same is listed")
        viewer = self.attach("viewer", 1, "babeltrace")
        application.go_on(20)
        count = application.end()
        self.end()
        status, numbers = viewer.end()
        self.assertEqual((status, numbers[-1]), (0, count - 1))
        self.check_all_from_somewhere_on(viewer)
