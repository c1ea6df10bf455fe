"""What a genuine session daemon does over a network: the same comes of it with both relay daemons."""

import os
import re
import shutil
import signal
from unittest import skipUnless

from tests.interop.twins import LTTNG, Bench, TwinTests, numbers_in, undated_event
from tests.waiting import DEADLINE, wait_until

SMALL = 100  # events that are recorded where it does not matter how many
PER_PROCESS = "--buffers-pid"
THROUGHPUT_EVENTS = int(os.environ.get("LTTNGNET_EVENTS", "2000000"))


class BufferTests(TwinTests):
    def test_per_user(self):
        self.begin()
        self.tick(1000)
        self.end()
        self.compare(1000)
        self.compare_packets()

    def test_per_process(self):
        self.begin(PER_PROCESS)
        self.tick(1000)
        self.end()
        self.compare(1000)
        self.compare_packets()

    def run_several(self, channel):
        self.begin(channel)
        runs = [self.namespace.start(self.bench.application, 500, 100, log=f"run-{n}.log") for n in range(4)]
        for run in runs:
            self.assertEqual(run.wait(DEADLINE), 0)
        self.end()
        self.compare_events(*[500] * 4)

    def test_several_applications_per_user(self):
        self.run_several("")

    def test_several_applications_per_process(self):
        self.run_several(PER_PROCESS)

    def test_three_sessions_at_once(self):
        for name in "abc":
            self.begin("" if name == "a" else PER_PROCESS, name)
        self.tick(SMALL)
        self.lttng("stop {session}", "a")
        self.tick(SMALL)
        self.lttng("destroy {session}", "a")
        for name in "bc":
            self.end(name)
        self.compare(*[SMALL] * 5)

    def test_nothing_recorded(self):
        self.begin()
        self.end()
        self.compare()

    def test_stopped_and_started(self):
        self.begin()
        for _ in range(3):
            self.tick(SMALL)
            self.lttng("stop {session}")
            self.compare_trees()
            self.tick(SMALL)
            self.lttng("start {session}")
        self.end()
        self.compare(*[SMALL] * 3)


class RotationTests(TwinTests):
    def test_stopped(self):
        self.begin()
        for _ in range(3):
            self.tick(SMALL)
            self.lttng("stop {session}")
            self.lttng("rotate {session}")
            self.lttng("start {session}")
        self.end()
        self.compare(*[SMALL] * 3)

    def test_stopped_and_not_started_again(self):
        self.begin()
        self.tick(SMALL)
        self.lttng("stop {session}")
        self.lttng("rotate {session}")
        self.assertNotEqual(self.twice("rotate {session}")[0], 0)  # there is nothing to rotate
        self.lttng("destroy {session}")
        self.compare(SMALL)

    def run_while(self, channel):
        self.begin(channel)
        self.tick(SMALL)
        with self.ticking() as run:
            for _ in range(3):
                self.lttng("rotate {session}")
        self.lttng("rotate {session}")
        self.tick(SMALL)
        self.end()
        self.compare_events(SMALL, run.events, SMALL)

    def test_running(self):
        self.run_while("")

    def test_running_per_process(self):
        self.run_while(PER_PROCESS)

    def test_timer(self):
        """There are archives though nobody asks for them."""
        self.begin()
        self.lttng("enable-rotation -s {session} --timer=500000")
        with self.ticking() as run:
            for relay in self.relays:
                wait_until(
                    lambda relay=relay: len(list(relay.output.glob("*/*/archives/*"))) >= 3, "archives"
                )
        self.lttng("disable-rotation -s {session} --timer")
        self.lttng("stop {session}")
        for status, _ in self.each("destroy {session}"):  # which tells the number of the last archive: chance
            self.assertEqual(status, 0)
        trees = []
        for relay in self.relays:
            self.check_all_there(self.traces(relay), run.events)
            tree = self.tree(relay)
            self.assertEqual([path for path in tree if ".tmp" in path], [])
            trees.append(
                {re.sub(r"DATE-\d+", "DATE-N", path) for path in tree}
            )  # how many they are is chance
        self.assertEqual(*trees)


class ClearTests(TwinTests):
    def run_stopped(self, channel):
        self.begin(channel)
        self.tick(SMALL)
        self.lttng("stop {session}")
        self.lttng("clear {session}")
        self.assertEqual(self.compare(), ["HOST", f"HOST/{self.session}-DATE"])
        self.lttng("start {session}")
        self.tick(10)
        self.end()
        self.compare(10)

    def test_stopped_per_user(self):
        self.run_stopped("")

    def test_stopped_per_process(self):
        self.run_stopped(PER_PROCESS)

    def test_to_the_end(self):
        """Nothing is left: per user an empty trace, per process an empty folder."""
        for session, channel in ("uid", ""), ("pid", PER_PROCESS):
            self.begin(channel, session)
            self.tick(SMALL)
            self.lttng("clear {session}", session)
            self.end(session)
        tree = self.compare()
        self.assertIn("HOST/uid-DATE/ust/uid/0/64-bit/metadata", tree)
        self.assertEqual([path for path in tree if "pid" in path], ["HOST/pid-DATE"])

    def run_running(self, channel, before=()):
        self.begin(channel)
        self.tick(SMALL)
        for line in before:
            self.lttng(line)
            self.tick(SMALL)
        with self.ticking() as run:
            for _ in range(2):
                self.lttng("clear {session}")
        self.tick(10)
        self.end()
        self.compare_trees()
        for relay in self.relays:
            numbers, kept = self.numbers(relay), SMALL * len(before)
            self.assertEqual(numbers[:kept], list(range(SMALL)) * len(before))
            self.assertEqual(numbers[-10:], list(range(10)))
            between = numbers[kept:-10]
            self.assertEqual(between, list(range(run.events - len(between), run.events)))
            self.assertLess(len(between), run.events)

    def test_running_per_user(self):
        self.run_running("")

    def test_running_per_process(self):
        self.run_running(PER_PROCESS)

    def test_after_a_rotation(self):
        self.run_running("", ["rotate {session}"])

    def test_after_a_rotation_per_process(self):
        self.run_running(PER_PROCESS, ["rotate {session}"])

    def test_disallowed(self):
        self.use(self.bench.pair("--disallow-clear"))
        self.begin()
        self.tick(SMALL)
        self.assertNotEqual(self.twice("clear {session}")[0], 0)
        self.end()
        self.compare(SMALL)


class SnapshotTests(TwinTests):
    def begin_snapshots(self, create):
        self.begin(create=create, url="")
        self.tick(SMALL)

    def test_default_output(self):
        self.begin_snapshots("create {session} --snapshot -U {url}")
        self.lttng("snapshot record -s {session}")
        self.tick(10)
        self.lttng("snapshot record -s {session}")
        self.end()
        self.compare(SMALL, SMALL, 10)

    def test_named(self):
        self.begin_snapshots("create {session} --snapshot -U {url}")
        self.lttng("snapshot record -s {session} -n holiday")
        self.lttng("snapshot record -s {session}")
        self.end()
        self.compare(SMALL, SMALL)

    def test_elsewhere(self):
        """To another URL with a path, once and as an output that stays."""
        self.begin_snapshots("create {session} --snapshot -U {url}")
        self.lttng("snapshot record -s {session} {url}/else/where")
        self.lttng("snapshot record -s {session} -n holiday {url}/a/beach")
        self.lttng("snapshot del-output -s {session} 1")
        self.lttng("snapshot add-output -s {session} -n stays {url}/stays")
        self.lttng("snapshot list-output -s {session}")
        self.lttng("snapshot record -s {session}")
        self.end()
        self.compare(*[SMALL] * 3)

    def test_per_process(self):
        self.begin("--buffers-pid", create="create {session} --snapshot -U {url}", url="")
        with self.ticking() as run:
            self.lttng("snapshot record -s {session}")
        self.end()
        self.compare_trees()
        for relay in self.relays:
            numbers = self.numbers(relay)
            self.assertEqual(numbers, list(range(len(numbers))))
            self.assertLess(len(numbers), run.events)


class TraceFileTests(TwinTests):
    CHANNEL = "--subbuf-size=4096 --num-subbuf=16 --tracefile-size=8192"

    def run_limited(self, channel):
        self.begin(channel)
        for _ in range(20):
            self.tick(200)
        self.end()

    def test_size_and_count(self):
        self.run_limited(f"{self.CHANNEL} --tracefile-count=3")
        tree = self.compare_trees()
        self.assertEqual({path[-1] for path in tree if re.search(r"/ticks_\d+_\d+$", path)}, set("012"))
        genuine, ours = map(self.numbers, self.relays)
        self.assertEqual(ours, genuine)
        self.assertLess(len(ours), 4000)

    def test_count_of_one(self):
        self.run_limited(f"{self.CHANNEL} --tracefile-count=1")
        self.compare_trees()
        genuine, ours = map(self.numbers, self.relays)
        self.assertEqual(ours, genuine)

    def test_rotation(self):
        """Each archive begins with the first file again."""
        self.begin(f"{self.CHANNEL} --tracefile-count=4")
        for _ in range(3):
            for _ in range(8):
                self.tick(200)
            self.lttng("rotate {session}")
        self.end()
        self.compare_trees()
        genuine, ours = map(self.numbers, self.relays)
        self.assertEqual(ours, genuine)

    def test_size_alone(self):
        """The genuine relay daemon ends with SIGFPE: what it is to be is told by a trace on this machine."""
        our = self.relays[1]
        local = f"local_{self.session}"
        words = our.words(self.session)
        for session, where in (
            (local, ["-o", our.output.with_name("local")]),
            (words["session"], ["-U", our.url]),
        ):
            for line in (
                ["create", session, *where],
                ["enable-channel", "-s", session, "-u", "ticks", *self.CHANNEL.split()],
                ["enable-event", "-s", session, "-u", "-c", "ticks", "demo:tick"],
                ["start", session],
            ):
                self.namespace.run(*LTTNG, *line)
        for _ in range(20):
            self.tick(200)
        for session in local, words["session"]:
            self.namespace.run(*LTTNG, "stop", session)
            self.namespace.run(*LTTNG, "destroy", session)
        (folder,) = our.output.glob("*/*")
        found = [
            sorted(str(path.relative_to(top)) for path in top.rglob("*"))
            for top in (folder, our.output.with_name("local"))
        ]
        self.assertEqual(*found)
        self.assertEqual(self.numbers(our), list(range(200)) * 20)


class MetadataTests(TwinTests):
    def test_made_anew(self):
        self.begin()
        self.tick(SMALL)
        self.lttng("regenerate metadata -s {session}")
        self.tick(SMALL)
        self.end()
        self.compare(SMALL, SMALL)


class PlaceTests(TwinTests):
    def run_short(self, **options):
        self.begin(**options)
        self.tick(SMALL)
        self.end()
        self.compare(SMALL)
        self.compare_packets()

    def test_path(self):
        self.run_short(url="{url}/some/path")

    def test_separate_urls(self):
        self.run_short(create="create {session} -C {control} -D {data}", url="")

    def test_separate_urls_with_a_path(self):
        self.run_short(create="create {session} -C {control}/a/path -D {data}/a/path", url="")

    def test_grouped_by_session(self):
        for option in "-s", "-p":
            self.use(self.bench.pair(option))
            self.run_short()
            self.use(self.relays)
            self.run_short(url="{url}/a/path")

    def test_auto_named(self):
        """The name has the time in it, and so the folder's has it only once."""

        def create(relay):
            text = self.namespace.run(*LTTNG, "create", "-U", relay.url)
            relay.names[self.session] = name = re.search(r"auto\d*-\d{8}-\d{6}", text)[0]
            if name.startswith("auto-"):
                return relay.plain(text)
            self.namespace.run(*LTTNG, "destroy", name)  # two of one second: it is named auto1-…
            return None

        said = [wait_until(lambda relay=relay: create(relay), "a session") for relay in self.relays]
        self.assertEqual(*said)
        self.begin(create="list {session}", url="")
        self.tick(SMALL)
        self.end()
        tree = self.compare(SMALL)
        self.assertIn("HOST/auto-DATE/ust", tree)

    def test_ipv6(self):
        self.use(self.bench.make(host="[::1]"))
        self.run_short()
        for relay in self.relays:
            self.assertEqual(relay.stop(), 0)


class MisfortuneTests(TwinTests):
    def run_short(self, session):
        self.begin(session=session)
        self.tick(SMALL)
        self.end(session)
        self.compare(SMALL)

    def test_output_removed_between_sessions(self):
        self.run_short("first")
        for relay in self.relays:
            shutil.rmtree(relay.output)
        self.run_short("second")

    def test_output_removed_while_tracing(self):
        """What is open is lost, nothing more than that, and destroy says so."""
        self.begin(session="first")
        self.tick(SMALL)
        for relay in self.relays:
            shutil.rmtree(relay.output)
        self.lttng("stop {session}", "first")
        for status, _ in self.each("destroy {session}", "first"):
            self.assertNotEqual(status, 0)
        for relay in self.relays:
            shutil.rmtree(relay.output, ignore_errors=True)
        self.run_short("second")

    def test_session_daemon_killed(self):
        """What its consumer daemon still sends is kept, if the metadata came before."""
        bench = Bench(self.mktemp(), self.bench.application)
        self.addCleanup(bench.namespace.close)
        self.work_on(bench)
        self.begin()
        self.tick(SMALL)
        self.lttng("stop {session}")
        self.lttng("start {session}")
        with self.ticking() as run:
            self.namespace.end_genuine_sessiond(signal.SIGKILL)
            for port in [port for relay in self.relays for port in relay.ports[:2]]:
                wait_until(lambda port=port: not self.namespace.is_connected(port), "the end of the session")
        self.compare_trees()
        for relay in self.relays:
            numbers = self.numbers(relay)
            self.assertEqual(numbers[:SMALL], list(range(SMALL)))
            self.assertEqual(numbers[SMALL:], list(range(len(numbers) - SMALL)))
            self.assertLessEqual(len(numbers), SMALL + run.events)
            self.assertEqual(relay.stop(), 0)

    def test_relay_daemon_restarted(self):
        """On the same ports, while a session is still there."""
        self.use(self.bench.make())
        self.run_short("first")
        self.begin(session="second")
        self.tick(SMALL)
        for relay in self.relays:
            self.assertEqual(relay.stop(), 0)
            relay.start()
        self.tick(SMALL)
        self.assertNotEqual(self.twice("rotate {session}", "second")[0], 0)
        self.end("second")
        for relay in self.relays:
            shutil.rmtree(relay.output)
        self.run_short("third")
        for relay in self.relays:
            self.assertEqual(relay.stop(), 0)


class ThroughputTests(TwinTests):
    def count(self, relay):
        text = self.namespace.run("babeltrace2", "-c", "sink.utils.counter", relay.output)
        return int(re.findall(r"(\d+) Event messages", text)[-1])

    def run_fast(self, channel, events):
        """Two applications record at once; return how many events were discarded of each session."""
        self.begin(channel)
        done = self.namespace.run_together(*[[self.bench.application, events // 2]] * 2)
        self.assertEqual([status for status, _ in done], [0, 0])
        for line in ("stop {session}", "destroy {session}"):
            for status, text in self.each(line):
                self.assertEqual(status, 0, text)
        self.compare_trees()
        discarded = [self.discarded(relay) for relay in self.relays]
        for relay, lost in zip(self.relays, discarded, strict=True):
            self.assertEqual(self.count(relay) + lost, events // 2 * 2, relay.kind)
        return discarded

    def test_big_buffers(self):
        self.run_fast("--subbuf-size=4M --num-subbuf=4", THROUGHPUT_EVENTS)

    def test_small_buffers(self):
        """The application is faster than what reads them: what could not be recorded is counted."""
        self.assertNotIn(0, self.run_fast("--subbuf-size=4096 --num-subbuf=2", 200000))


class OlderReaderTests(TwinTests):
    @skipUnless(shutil.which("babeltrace"), "babeltrace 1.5 is not installed")
    def test_babeltrace_1(self):
        self.begin()
        self.tick(SMALL)
        self.lttng("rotate {session}")
        self.tick(SMALL)
        self.end()
        for relay in self.relays:
            lines = self.namespace.run("babeltrace", relay.output).splitlines()
            self.assertEqual(
                numbers_in(map(undated_event, lines)), [*range(SMALL), *range(SMALL)], relay.kind
            )
