"""Twin sessions: a genuine session daemon streams the same to the genuine relay daemon and to ours at once.

All of it runs in one namespace, that of the `Bench`: every run of the application is recorded in both
sessions, so the same must come of both.
"""

import atexit
import itertools
import os
import re
import shutil
import socket
import time
from functools import cache
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from lttngnet.ctf.index import read_index
from tests.interop.genuine import Namespace, Ticker, build_application, missing, undated

LTTNG = ("lttng", "--no-sessiond")
PINNED = ("taskset", "-c", str(min(os.sched_getaffinity(0))))  # all events in the stream of one CPU
HOST = "127.0.0.1"
EVENT = re.compile(r"(demo:tick: ){ cpu_id = \d+ }, { n = (\d+) }")


class Relay:
    """A relay daemon in a namespace.

    Attributes:
        kind: ``genuine`` or ``our``.
        output: its folder.
        url: of a session that is streamed to it.
        ports: control, data, live.
        names: of sessions that could not be named as they are by default.
    """

    def __init__(self, namespace, kind, first_port, options=(), host=HOST):
        self.kind = kind
        self.output = namespace.folder / f"{kind}-{first_port}"
        self.log = namespace.folder / f"{kind}-{first_port}.log"
        self.ports = (first_port, first_port + 1, first_port + 2)
        self.url = f"{'net6' if ':' in host else 'net'}://{host}:{self.ports[0]}:{self.ports[1]}"
        self.names = {}
        self._namespace = namespace
        self._options = options
        self._host = host

    def start(self):
        """Start the daemon, and return when its ports are open."""
        start = getattr(self._namespace, f"start_{self.kind}_relayd")
        self._process = start(
            self.output, *self.ports, options=self._options, host=self._host, log=self.log.name
        )

    def stop(self):
        """End the daemon, and return its exit status."""
        return self._namespace.terminate(self._process)

    @property
    def runs(self):
        return self._process.poll() is None

    def words(self, session):
        """Return what stands in a line of a command for what is this daemon's alone."""
        control, data, _ = self.ports
        return {
            "session": self.names.get(session, f"{self.kind}_{session}"),
            "url": self.url,
            "control": f"tcp://{self._host}:{control}",
            "data": f"tcp://{self._host}:{data}",
        }

    def plain(self, text):
        """Return a text without what is this daemon's alone, without dates and without progress."""
        control, data, _ = self.ports
        text = undated(text).replace(f"{self.kind}_", "").replace(str(self.output), "OUTPUT")
        text = text.replace(str(control), "CONTROL").replace(str(data), "DATA")
        return re.sub(r"\.+(?=[A-Z\n])", "", text)


class Bench:
    """A namespace with the genuine session daemon, and with pairs of relay daemons: genuine and ours."""

    _ports = itertools.count(20000, 10)

    def __init__(self, folder, application=None):
        self.folder = Path(folder).absolute()
        self.folder.mkdir(parents=True)
        self.application = application or build_application(self.folder)
        self.namespace = Namespace(self.folder)
        self.namespace.start_genuine_sessiond()
        self._pairs = {}

    def make(self, *options, host=HOST):
        """Return a new pair of running relay daemons."""
        pair = [Relay(self.namespace, kind, next(self._ports), options, host) for kind in ("genuine", "our")]
        for relay in pair:
            relay.start()
        return pair

    def pair(self, *options):
        """Return a pair of relay daemons, which tests share that want the same options."""
        if options not in self._pairs:
            self._pairs[options] = self.make(*options)
        return self._pairs[options]


@cache
def shared_bench():
    """Return the bench that all tests of this process share, except those that kill a session daemon."""
    bench = Bench(Path("bench"))  # trial runs in a folder of its own
    atexit.register(bench.namespace.close)
    return bench


class TwinTests(SynchronousTestCase):
    """What tests of twin sessions have in common.

    Attributes:
        relays: a pair; `use` another one where it is to have options.
    """

    skip = missing()

    def setUp(self):
        self.session = self.id().rpartition(".test_")[2]
        self.work_on(shared_bench())

    def work_on(self, bench):
        """Do all from now on in that namespace."""
        self.bench = bench
        self.namespace = bench.namespace
        self.addCleanup(self.namespace.run_together, [*LTTNG, "destroy", "--all", "--no-wait"])
        self.use(bench.pair())

    def use(self, relays):
        """Stream to these from now on."""
        self.relays = relays
        for relay in relays:
            shutil.rmtree(relay.output, ignore_errors=True)  # they have to put up with that

    # ------------------------------------------------------------ what is done

    def each(self, line, session=None):
        """Run a command of lttng for both sessions as `twice`, and return exit status and text of each."""
        words = [relay.words(session or self.session) for relay in self.relays]
        done = self.namespace.run_together(*([*LTTNG, *line.format(**each).split()] for each in words))
        return [(status, relay.plain(text)) for relay, (status, text) in zip(self.relays, done, strict=True)]

    def twice(self, line, session=None):
        """Run a command of lttng for both sessions, and return the exit status and what it says, the same.

        Args:
            line: the words; those of `Relay.words` are put in.
            session: the session's name, if a test has more than one.
        """
        genuine, ours = self.each(line, session)
        self.assertEqual(ours, genuine, line)
        return ours

    def lttng(self, line, session=None):
        """Run a command of lttng for both sessions as `twice`; it must succeed. Return what it says."""
        status, text = self.twice(line, session)
        self.assertEqual(status, 0, text)
        return text

    def begin(self, channel="", session=None, url="{url}", create="create {session}"):
        """Begin to trace; with options of the channel, if any."""
        self.lttng(f"{create} -U {url}" if url else create, session)
        self.lttng(f"enable-channel -s {{session}} -u ticks {channel}", session)
        self.lttng("enable-event -s {session} -u -c ticks demo:tick", session)
        self.lttng("start {session}", session)

    def end(self, session=None):
        """Stop and destroy, and return what the commands say."""
        return self.lttng("stop {session}", session) + self.lttng("destroy {session}", session)

    def tick(self, events):
        """Run the application to its end."""
        self.namespace.run(*PINNED, self.bench.application, events)

    def ticking(self):
        """Run the application during a block."""
        return Ticking(self)

    # ------------------------------------------------------------ what is compared

    def events(self, folder):
        """Return the exit status of babeltrace2 and the text of every event, without time, host and CPU."""
        ((status, text),) = self.namespace.run_together(["babeltrace2", folder])
        return status, [undated_event(line) for line in text.splitlines()] if status == 0 else []

    def numbers(self, relay):
        """Return the numbers of the events that a relay daemon wrote, in the order of their times."""
        status, lines = self.events(relay.output)
        self.assertEqual(status, 0)
        return numbers_in(lines)

    def traces(self, relay):
        """Return each trace that a relay daemon wrote: its path, and the events in it."""
        folders = sorted(path.parent for path in relay.output.rglob("metadata"))
        return [(relay.plain(folder.relative_to(relay.output)), self.events(folder)) for folder in folders]

    def packets(self, relay):
        """Return what the index files say of each packet, times aside."""
        return [
            (relay.plain(path.relative_to(relay.output)), entry._replace(timestamp_begin=0, timestamp_end=0))
            for path in sorted(relay.output.rglob("*.idx"))
            for entry in read_index(path.read_bytes())
        ]

    def tree(self, relay):
        """Return the paths of all that a relay daemon wrote."""
        found = (relay.plain(path.relative_to(relay.output)) for path in relay.output.rglob("*"))
        host = socket.gethostname()
        return sorted(re.sub(rf"(?<![^/]){re.escape(host)}(?![^/-])", "HOST", path) for path in found)

    def compare_trees(self):
        """Names are the same; return them."""
        genuine, ours = map(self.tree, self.relays)
        self.assertEqual(ours, genuine)
        for relay in self.relays:
            self.assertTrue(relay.runs)
            self.assertNotRegex(relay.log.read_text(), "#(error|critical)")
        return ours

    def compare(self, *runs):
        """Trees and the events of every trace are the same; return the tree.

        Args:
            runs: how many events the application recorded each time, of which every one is there once.
        """
        tree = self.compare_trees()
        genuine, ours = map(self.traces, self.relays)
        self.assertEqual(ours, genuine)
        self.check_all_there(ours, *runs)
        return tree

    def compare_packets(self):
        """All that the index files say is the same, times aside, where there was one run of events."""
        genuine, ours = map(self.packets, self.relays)
        self.assertEqual(ours, genuine)

    def compare_events(self, *runs):
        """Trees are the same, and all events are there: it is chance in which packets and traces they are."""
        self.compare_trees()
        for relay in self.relays:
            self.check_all_there(self.traces(relay), *runs)

    def check_all_there(self, traces, *runs):
        """Every event is there once. (All at once, babeltrace2 shows no event of two snapshots twice.)"""
        found = [number for _, (_, lines) in traces for number in numbers_in(lines)]
        self.assertEqual(sorted(found), sorted(number for run in runs for number in range(run)))

    def discarded(self, relay):
        """Return how many events the application could not record, as the index files say."""
        total = 0
        for path in relay.output.rglob("*.idx"):
            total += max((entry.events_discarded for entry in read_index(path.read_bytes())), default=0)
        return total


class Ticking:
    """The application while a block is executed.

    Attributes:
        events: how many it recorded, once the block is left.
    """

    def __init__(self, test):
        self._test = test

    def __enter__(self):
        log = f"{self._test.session}-{time.monotonic_ns()}.log"
        self._ticker = Ticker(self._test.namespace, self._test.bench.application, log)
        return self

    def __exit__(self, *problem):
        if not any(problem):
            self._ticker.go_on()
        self.events = self._ticker.end()


def undated_event(line):
    """Return the text of an event from its name on."""
    found = EVENT.search(line)
    return f"{found[1]}{found[2]}" if found else line


def numbers_in(lines):
    """Return the numbers of the events; other lines are of packets that the tracer discarded."""
    return [int(line.rpartition(" ")[2]) for line in lines if line.startswith("demo:tick: ")]
