"""Real applications, with the C tracer, traced by our session daemon; babeltrace2 reads every event."""

import contextlib
import os
import re
import signal
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from unittest import skipIf

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from lttngnet.client import Code, CommandError, connect
from tests.interop import programs
from tests.interop.genuine import Namespace, child_of, missing
from tests.interop.ours import text_of
from tests.waiting import PATIENCE, until, wait_until

UNAVAILABLE = missing()
LINE = re.compile(r" (\w+:\w+): ")
NUMBER = re.compile(r"\{ n = (-?\d+) \}")
VPID = re.compile(r"vpid = (\d+)")
ROUNDS = 3


class Steps:
    """The program ``steps``, running."""

    def __init__(self, space, *command):
        self.process = space.converse(*command)
        self.expect("ready")
        self.steps = 0

    @property
    def pid(self):
        """Its number as we see it."""
        return child_of(self.process)

    @property
    def vpid(self):
        """Its number as it sees itself, and the session daemon as well."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"NSpid:.*\s(\d+)\n", status)[1])

    def has_buffers(self):
        """Tell whether it has the memory of any session."""
        return "memfd:" in Path(f"/proc/{self.pid}/maps").read_text()

    def expect(self, word):
        line = self.process.stdout.readline()
        assert line == f"{word}\n", line

    def step(self, count):
        """Let it record the next events; return their numbers."""
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        self.expect("done")
        first, self.steps = self.steps, self.steps + count
        return list(range(first, self.steps))

    def signal(self, number):
        os.kill(self.pid, number)
        if number == signal.SIGCONT:
            self.process.send_signal(number)  # nsenter stops with what it has started

    def end(self):
        """Let it end."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


class Case(TestCase):
    """A namespace with our session daemon, and programs to trace."""

    timeout = PATIENCE
    environment: dict = {}
    options = ("--no-kernel", "-v")
    connection = None

    def setUp(self):
        holder = tempfile.TemporaryDirectory()  # trial's own are too deep for the path of a socket
        self.addCleanup(holder.cleanup)
        self.folder = Path(holder.name)
        self.folder.chmod(0o755)
        self.traces = self.folder / "traces"
        self.space = Namespace(self.folder)
        self.space.environment |= self.environment
        self.addCleanup(self.space.close)
        self.run = Path(f"/proc/{self.space.first_process}/root/run/lttng")
        self.sessiond = self.space.start_our_sessiond(*self.options)

    async def client(self):
        """Return a connection with the daemon, always the same."""
        if self.connection is None:
            self.connection = await connect(reactor, str(self.run))
            self.addCleanup(self.hang_up)
        return self.connection

    async def hang_up(self):
        await self.connection.close()
        await deferLater(reactor, 0)

    async def until_state(self, session, state):
        """Wait until a session is in a state; return all about it."""

        async def reached():
            facts = await session.describe()
            return facts if facts["state"] == state else None

        return await until(reached, f"the session to be {state}")

    def output(self, name):
        """Return where a session is to write to."""
        return f"file://{self.traces / name}"

    async def session(self, name="s1", **options):
        """Return a new session that writes to a folder of its name, with a channel that has these options."""
        session = await (await self.client()).create(name, self.output(name))
        await session.enable_channel("userspace", "c", **options)
        return session

    def steps(self, user=None, prefix=()):
        """Start the program ``steps``, as a user, or with something before the command."""
        if user is not None:
            prefix = ("setpriv", f"--reuid={user}", "--clear-groups")
        running = Steps(self.space, *prefix, programs.build("steps", self.folder))
        self.addCleanup(running.end)
        return running

    def log(self):
        return (self.folder / "sessiond.log").read_text()

    def lines(self, name="s1"):
        """Return the lines of a trace, which is whole."""
        lines, errors = text_of(self.traces / name)
        self.assertEqual(errors, "")
        return lines

    def names(self, name="s1"):
        """Return how often each event is in a trace."""
        return Counter(LINE.search(line)[1] for line in self.lines(name))

    def read(self, name="s1"):
        """Return the numbers of each event of ``steps``, by name, and by process if it is there."""
        found = defaultdict(list)
        for line in self.lines(name):
            event, number, process = LINE.search(line)[1], int(NUMBER.search(line)[1]), VPID.search(line)
            found[(int(process[1]), event) if process else event].append(number)
        return {key: sorted(numbers) for key, numbers in found.items()}

    def descriptors(self):
        """Return how many files our session daemon has open."""
        return len(list(Path(f"/proc/{child_of(self.sessiond)}/fd").iterdir()))

    async def assert_refused(self, code, asking):
        try:
            await asking
        except CommandError as refusal:
            self.assertEqual(refusal.code, code, refusal)
            self.assertNotIn("\n", str(refusal))
        else:
            self.fail(f"not refused: {code}")


class WhereverMixin:
    """What is traced is the same wherever it goes."""

    async def test_applications_of_users(self):
        before = self.steps()
        before.step(5)
        session = await self.session()
        await session.add_contexts("userspace", ["vpid", "procname"])
        await session.enable_events("userspace", ["steps:step"], channel="c")
        before.step(5)
        await session.start()
        early = before.step(100)
        after, foreign = self.steps(), self.steps(user=65534)
        wanted = {after: after.step(50), foreign: foreign.step(10)}
        await session.stop()
        before.step(7)
        await session.start()
        wanted[before] = early + before.step(3)
        wanted = {(each.vpid, "steps:step"): numbers for each, numbers in wanted.items()}
        await session.stop()
        await session.destroy()
        self.assertEqual(self.read(), wanted)
        self.assertIn('procname = "steps"', self.lines()[0])
        paths = {str(path.parent.relative_to(self.traces)) for path in self.traces.rglob("metadata")}
        self.assertEqual(
            {path[path.index("ust/") :] for path in paths}, {"ust/uid/0/64-bit", "ust/uid/65534/64-bit"}
        )

    async def test_applications_one_by_one(self):
        session = await self.session(buffers="pid")
        await session.add_contexts("userspace", ["vpid"])
        await session.enable_events("userspace", ["steps:*"], channel="c")
        one = self.steps()
        await session.start()
        two, killed = self.steps(), self.steps()
        wanted = {}
        for each in (one, two, killed):
            numbers = each.step(20)
            wanted |= {(each.vpid, name): numbers for name in ("steps:step", "steps:warning")}
        killed.signal(signal.SIGKILL)
        one.end()
        await session.stop()
        await session.destroy()
        self.assertEqual(self.read(), wanted)
        self.assertEqual(sum(1 for _ in self.traces.rglob("ust/pid/*")), 3)


@skipIf(UNAVAILABLE, UNAVAILABLE)
class FolderTests(WhereverMixin, Case):
    pass


class RelayCase(Case):
    def setUp(self):
        super().setUp()
        self.start_relayd()

    def start_relayd(self):
        raise NotImplementedError

    def output(self, name):
        return f"net://127.0.0.1/{name}"

    def lines(self, name="s1"):
        lines, errors = text_of(self.traces)
        self.assertEqual(errors, "")
        return lines


@skipIf(UNAVAILABLE, UNAVAILABLE)
class OurRelayTests(WhereverMixin, RelayCase):
    def start_relayd(self):
        self.space.start_our_relayd(self.traces)


@skipIf(UNAVAILABLE, UNAVAILABLE)
class GenuineRelayTests(WhereverMixin, RelayCase):
    def start_relayd(self):
        self.space.start_genuine_relayd(self.traces)


@skipIf(UNAVAILABLE, UNAVAILABLE)
class WhatIsRecordedTests(Case):
    async def test_rules_change_while_tracing(self):
        running = self.steps()
        session = await self.session()
        await session.enable_events("userspace", ["steps:step"], channel="c")
        await session.start()
        wanted = running.step(10)
        await session.disable_events("userspace", ["steps:step"], channel="c")
        running.step(10)
        await session.enable_events("userspace", ["steps:step"], channel="c")
        wanted += running.step(10)
        await session.disable_channel("userspace", "c")
        running.step(10)
        await session.enable_channel("userspace", "c")
        wanted += running.step(10)
        await session.enable_events("userspace", ["steps:w*"], channel="c", filter="(n & 1) == 0 && n != 54")
        warnings = running.step(10)
        await session.destroy()
        even = [number for number in warnings if number % 2 == 0 and number != 54]
        self.assertEqual(self.read(), {"steps:step": wanted + warnings, "steps:warning": even})

    async def test_processes_are_tracked_while_tracing(self):
        root, other = self.steps(), self.steps(user=65534)
        session = await self.session()
        await session.add_contexts("userspace", ["vpid"])
        await session.enable_events("userspace", ["steps:step"], channel="c")
        await session.track("userspace", "vuid", ["root"])
        await session.start()
        wanted = {root: root.step(5), other: []}
        other.step(5)
        await session.track("userspace", "uid", [65534])
        for each in (root, other):
            wanted[each] += each.step(5)
        await session.track("userspace", "vpid", [other.vpid])
        root.step(5)
        wanted[other] += other.step(5)
        await session.untrack("userspace", "vuid", ["nobody"])
        other.step(5)
        await session.track("userspace", "vuid")
        await session.track("userspace", "vpid")
        for each in (root, other):
            wanted[each] += each.step(5)
        wanted = {(each.vpid, "steps:step"): numbers for each, numbers in wanted.items()}
        await session.destroy()
        self.assertEqual(self.read(), wanted)

    async def test_conditions(self):
        rules = {
            "excluding": (["kinds:*"], {"exclude": ["kinds:debug*", "kinds:e*"]}),
            "grave": (["kinds:*"], {"loglevel": "NOTICE"}),
            "only": (["kinds:*"], {"loglevel": "TRACE_WARNING", "loglevel_only": True}),
            "filtered": (["kinds:*"], {"filter": 'n == 2 && $ctx.procname == "kin*"'}),
            "everything": ([], {"all": True}),
        }
        sessions = {name: await self.session(name) for name in rules}
        for name, (names, options) in rules.items():
            await sessions[name].enable_events("userspace", names, channel="c", **options)
            await sessions[name].start()
        self.space.run(programs.build("kinds", self.folder), str(ROUNDS))
        found = {}
        for name, session in sessions.items():
            await session.destroy()
            found[name] = self.names(name)
        everything = found["everything"]
        ours = {name: times for name, times in everything.items() if name.startswith("kinds:")}
        self.assertGreater(len(ours), 20)
        self.assertEqual(everything["lttng_ust_tracef:event"], 2 * ROUNDS)
        self.assertEqual(everything["lttng_ust_statedump:end"], 1)
        grave = ("emergency", "alert", "critical", "error", "warning", "notice", "old_spelling")
        self.assertEqual(found["grave"], {f"kinds:{name}": ROUNDS for name in grave})
        self.assertEqual(found["only"], {f"kinds:{name}": ROUNDS for name in ("warning", "old_spelling")})
        self.assertEqual(
            found["excluding"],
            {name: times for name, times in ours.items() if not re.match("kinds:(debug|e)", name)},
        )
        self.assertEqual(set(found["filtered"].values()), {1})
        self.assertIn("kinds:debug", found["filtered"])
        self.assertNotIn("kinds:floats", found["filtered"])  # has no field n

    async def test_contexts(self):
        session = await self.session()
        names = ["vpid", "vtid", "pthread_id", "procname", "ip", "cpu_id", "vuid", "veuid", "vsuid"]
        names += ["vgid", "vegid", "vsgid"]
        names += [f"{kind}_ns" for kind in ("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts")]
        await session.add_contexts("userspace", [*names, "perf:thread:page-fault", "$app.nobody:provides"])
        await session.enable_events("userspace", ["steps:step"], channel="c")
        await session.start()
        self.steps().step(1)
        await session.destroy()
        (line,) = self.lines()
        for name in (*names, "perf_thread_page_fault"):
            self.assertRegex(line, rf"[{{ ]{name} = ")
        self.assertRegex(line, r"vuid = 0,")

    async def test_several_channels(self):
        session = await self.session(subbuf_size=5000, num_subbuf=3)
        await session.enable_channel("userspace", "d", overwrite=True)
        await session.enable_channel("userspace", "e")
        await session.enable_events("userspace", ["steps:step"], channel="c")
        await session.enable_events("userspace", ["steps:warning"], channel="d")
        await session.start()
        numbers = self.steps().step(300)
        facts = await session.stop()
        (domain,) = facts["domains"]
        await session.destroy()
        self.assertEqual(self.read(), {"steps:step": numbers, "steps:warning": numbers})
        one, two, three = domain["channels"]
        self.assertEqual((one["subbuf_size"], one["num_subbuf"], two["overwrite"]), (8192, 4, True))
        self.assertEqual((two["subbuf_size"], three["events"]), (524288, []))

    async def test_the_statedump_is_written_anew(self):
        running = self.steps()
        session = await self.session()
        await session.enable_events("userspace", ["lttng_ust_statedump:start"], channel="c")
        await session.start()
        await session.regenerate("statedump")
        running.step(1)
        await session.destroy()
        wait_until(lambda: self.names() == {"lttng_ust_statedump:start": 2}, "two statedumps")


@skipIf(UNAVAILABLE, UNAVAILABLE)
class UsersMistakesTests(Case):
    async def test_refusals(self):
        session = await self.session()
        await session.enable_events("userspace", ["steps:step"], channel="c")
        await session.start()
        refused = self.assert_refused
        late = session.enable_channel("userspace", "late")
        await refused(Code.TRACE_ALREADY_STARTED, late)
        await refused(Code.TRACE_ALREADY_STARTED, session.add_contexts("userspace", ["vpid"]))
        await refused(Code.TRACE_ALREADY_STARTED, session.enable_events("userspace", ["a:b"], channel="late"))
        await session.stop()
        await refused(Code.TRACE_ALREADY_STARTED, session.add_contexts("userspace", ["vpid"]))
        await refused(
            Code.NOT_SUPPORTED, session.enable_events("userspace", ["a"], channel="c", kind="syscall")
        )


class FaultCase(Case):
    def setUp(self):
        super().setUp()
        self.addCleanup(self.check_the_daemon)

    def check_the_daemon(self):
        self.assertNotIn("Traceback", self.log())
        self.assertIsNone(self.sessiond.poll())


@skipIf(UNAVAILABLE, UNAVAILABLE)
class FaultTests(FaultCase):
    async def test_nothing_is_left(self):
        running = self.steps()
        session = await self.session("first")
        await session.destroy()
        before = self.descriptors()
        for buffers in ("uid", "pid"):
            session = await self.session(buffers, buffers=buffers)
            await session.enable_events("userspace", ["steps:step"], channel="c")
            await session.start()
            gone = self.steps()
            numbers = sorted(running.step(1) + gone.step(1))
            gone.end()
            await session.stop()
            await session.destroy()
            self.assertEqual(self.read(buffers), {"steps:step": numbers})
            await until(lambda: not running.has_buffers(), "the buffers to be given back")
        await until(lambda: self.descriptors() <= before, "all descriptors are closed")

    async def test_many_at_once(self):
        session = await self.session(buffers="pid", subbuf_size=4096)
        await session.enable_events("userspace", ["kinds:integers"], channel="c")
        await session.start()
        path = programs.build("kinds", self.folder)
        outcomes = self.space.run_together(*[(path, "10")] * 40)
        self.assertEqual(outcomes, [(0, "")] * 40)
        facts = await session.stop()
        await session.destroy()
        self.assertEqual(facts["facts"]["discarded"], 0)
        self.assertEqual(self.names(), {"kinds:integers": 400})
        self.assertEqual(sum(1 for _ in self.traces.rglob("metadata")), 40)

    async def test_the_consumer_process_is_killed(self):
        running = self.steps()
        session = await self.session()
        await session.enable_events("userspace", ["steps:step"], channel="c")
        await session.start()
        running.step(10)
        self.space.run("kill", "-9", str((await session.describe())["consumer"]))
        await self.until_state(session, "lost")
        running.step(10)
        await until(lambda: not running.has_buffers(), "the buffers to be given back")
        await session.set_consumer_uri(self.output("again"))
        running.step(10)
        await session.start()
        numbers = running.step(10)
        later = self.steps().step(5)
        await session.stop()
        await session.destroy()
        self.assertEqual(self.read("again"), {"steps:step": sorted(numbers + later)})


@skipIf(UNAVAILABLE, UNAVAILABLE)
class SilenceTests(FaultCase):
    """Applications that say nothing, and a daemon that does not wait for long."""

    environment = {"LTTNG_APP_SOCKET_TIMEOUT": "2"}

    async def test_an_application_that_is_stopped(self):
        running, stopped = self.steps(), self.steps()
        session = await self.session()
        await session.enable_events("userspace", ["steps:step"], channel="c")
        stopped.signal(signal.SIGSTOP)
        await session.start()
        numbers = running.step(10)
        await session.stop()
        await session.destroy()
        self.assertEqual(self.read(), {"steps:step": numbers})
        stopped.signal(signal.SIGCONT)
        stopped.step(1)

    async def test_applications_that_lie(self):
        """At any message: they hang up, refuse, talk nonsense, or say nothing any more."""
        running = self.steps()
        session = await self.session()
        await session.add_contexts("userspace", ["vpid"])
        options = {"filter": "n >= 0", "exclude": ["steps:warning"]}
        await session.enable_events("userspace", ["steps:*"], channel="c", **options)
        before = self.descriptors()
        liars = self.space.converse(
            sys.executable, "-m", "tests.interop.liars", cwd=Path(__file__).parents[2]
        )
        self.addCleanup(liars.stdout.close)
        self.assertEqual(liars.stdout.readline(), "registered\n")
        await session.start()
        numbers = running.step(10)
        liars.stdin.write("more\n")
        liars.stdin.flush()
        self.assertEqual(liars.stdout.readline(), "registered\n")
        later = self.steps()
        numbers = {(running.vpid, "steps:step"): numbers, (later.vpid, "steps:step"): later.step(5)}
        later.end()
        await session.stop()
        await session.destroy()
        self.assertEqual(self.read(), numbers)
        liars.stdin.close()
        liars.wait()
        await until(lambda: self.descriptors() <= before, "all descriptors are closed")
