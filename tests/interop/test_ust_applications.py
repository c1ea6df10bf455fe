"""Real applications with the C tracer, and our side of the talk; and what the genuine daemon says to ours."""

import json
import os
import shutil
import signal
import struct
import sys
from pathlib import Path
from tempfile import mkdtemp

from twisted.trial.unittest import SynchronousTestCase

from lttngnet.wire.ust import commands
from lttngnet.wire.ust.commands import Command, Context, ContextKind, EventRule, LoglevelType
from tests.interop.genuine import Namespace, build_application, missing
from tests.waiting import DEADLINE, wait_until

NOBODY = 65534
LONG = ("1000000", "10000")  # ticks, and microseconds between them: until it is told to end


class NamespaceCase(SynchronousTestCase):
    skip = missing()

    def setUp(self):
        self.folder = Path(mkdtemp(prefix="lttngnet-"))  # other users may look into it
        self.addCleanup(shutil.rmtree, self.folder)
        self.folder.chmod(0o755)
        self.application = build_application(self.folder)
        self.namespace = Namespace(self.folder)
        self.addCleanup(self.namespace.close)
        self.daemons = 0

    def observe(self, *prefix):
        """Start a daemon of ours; return it and a function for the lines that it has said."""
        self.daemons += 1
        log = f"observing-{self.daemons}.log"
        process = self.namespace.start(*prefix, sys.executable, "-m", "tests.interop.observing", log=log)

        def lines(what):
            text = (self.folder / log).read_text()
            found = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
            return [line for line in found if line["what"] == what]

        def is_ready():
            if process.poll() is not None:
                raise AssertionError((self.folder / log).read_text())
            return lines("ready")

        wait_until(is_ready, "the daemon is ready")
        return process, lines

    def start(self, *arguments, prefix=(), log="ticker.log"):
        """Start an application, and return it when its main() runs."""
        process = self.namespace.start(*prefix, self.application, *arguments, log=log)
        wait_until(lambda: "ticking" in (self.folder / log).read_text(), "main() runs")
        return process

    def joined(self, lines, count):
        """Return what was seen of the application that joined as the count-th."""
        return wait_until(lambda: len(lines("joined")) >= count and lines("joined"), f"{count} joined")[
            count - 1
        ]

    def kill(self, name, pid):
        self.namespace.run("kill", f"-{name}", pid)


class ApplicationsTests(NamespaceCase):
    def test_what_is_seen_of_one(self):
        _, lines = self.observe()
        said = self.namespace.run(self.application, 5)
        self.assertEqual(said, "ticking\n5\n")
        seen = self.joined(lines, 1)
        self.assertEqual((seen["name"], seen["uid"], seen["gid"], seen["bits"]), ("ticker", 0, 0, 64))
        self.assertEqual((seen["tracer"][0], seen["abi"][0] in (8, 9)), (2, True))
        self.assertEqual(seen["pid"], seen["vpid"])
        wait_until(lambda: lines("left"), "it has left")
        self.assertEqual(lines("left"), [{"what": "left", "pid": seen["pid"]}])

    def test_its_tracepoints(self):
        # Its own are there only once it runs: their constructors come after the tracer's.
        self.start(*LONG)
        _, lines = self.observe()
        seen = self.joined(lines, 1)
        self.assertEqual(seen["tracepoints"]["demo:tick"], 13)
        self.assertIn("lttng_ust_tracef:event", seen["tracepoints"])
        self.assertIn(["demo:tick", "n", "INTEGER"], seen["fields"])
        self.assertIn(["lttng_ust_tracef:event", "msg", "STRING"], seen["fields"])

    def test_those_that_came_before_the_daemon(self):
        for number in range(3):
            self.start(*LONG, log=f"ticker-{number}.log")
        _, lines = self.observe()
        self.joined(lines, 3)

    def test_another_user(self):
        _, lines = self.observe()
        prefix = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
        self.start(*LONG, prefix=prefix)
        seen = self.joined(lines, 1)
        self.assertEqual((seen["uid"], seen["gid"]), (NOBODY, NOBODY))

    def test_another_user_who_came_before_the_daemon(self):
        """The page is then another user's, in a folder with a sticky bit."""
        prefix = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
        self.namespace.run("chmod", "1777", "/dev/shm")
        self.start(*LONG, prefix=prefix)
        _, lines = self.observe()
        self.assertEqual(self.joined(lines, 1)["uid"], NOBODY)
        self.assertEqual(self.namespace.run("stat", "-c", "%U %a", "/dev/shm/lttng-ust-wait-8"), "root 664\n")

    def test_their_ends(self):
        _, lines = self.observe()
        for count, name in enumerate(("TERM", "KILL", "ABRT"), 1):
            process = self.start(*LONG)
            seen = self.joined(lines, count)
            self.kill(name, seen["pid"])
            process.wait()
            wait_until(lambda count=count: len(lines("left")) == count, name)
            self.assertEqual(lines("left")[-1]["pid"], seen["pid"])

    def test_one_that_is_stopped(self):
        self.namespace.environment["LTTNG_APP_SOCKET_TIMEOUT"] = "2"
        _, lines = self.observe()
        process = self.start(*LONG, log="stopped.log")
        self.addCleanup(process.send_signal, signal.SIGCONT)  # nsenter stops with its child
        stopped = self.joined(lines, 1)["pid"]
        self.start(*LONG, log="other.log")
        other = self.joined(lines, 2)["pid"]
        self.kill("STOP", stopped)
        self.kill("USR1", lines("ready")[0]["pid"])
        wait_until(lambda: lines("answered"), "the other one answers")
        self.assertEqual(lines("silent"), [])
        self.start(*LONG, log="third.log")
        self.joined(lines, 3)
        wait_until(lambda: lines("silent"), "the stopped one is given up")
        self.assertEqual([line["pid"] for line in lines("answered")], [other])
        (silent,) = lines("silent")
        self.assertEqual(silent["pid"], stopped)
        self.assertIn("it did not answer WAIT_QUIESCENT in 2 s", silent["why"])
        self.assertEqual([line["pid"] for line in lines("left")], [stopped])
        self.kill("CONT", stopped)
        self.assertEqual(self.joined(lines, 4)["pid"], stopped)

    def test_the_daemon_ends_and_another_begins(self):
        self.start(*LONG)
        pid = None
        for _ in range(2):
            daemon, lines = self.observe()
            seen = self.joined(lines, 1)
            self.assertIn(pid, (None, seen["pid"]))
            pid = seen["pid"]
            self.assertEqual(self.namespace.terminate(daemon), 0)
            self.assertEqual(
                self.namespace.run("od", "-An", "-td4", "-N4", "/dev/shm/lttng-ust-wait-8").strip(), "0"
            )

    def test_many_at_once(self):
        _, lines = self.observe()
        outcomes = self.namespace.run_together(*[(self.application, 1)] * 40)
        self.assertEqual(outcomes, [(0, "ticking\n1\n")] * 40)
        self.joined(lines, 40)
        wait_until(lambda: len(lines("left")) == 40, "all have left")

    def test_a_users_own_daemon(self):
        home = self.folder / "nobody"
        home.mkdir()
        os.chown(home, NOBODY, NOBODY)
        self.namespace.environment["LTTNG_HOME"] = self.namespace.environment["HOME"] = str(home)
        prefix = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
        self.namespace.run("chmod", "1777", "/dev/shm")
        self.start(*LONG, prefix=prefix, log="before.log")
        _, lines = self.observe(*prefix)
        seen = self.joined(lines, 1)
        self.assertEqual(seen["uid"], NOBODY)
        _, roots = self.observe()  # both daemons know it
        self.assertEqual(self.joined(roots, 1)["pid"], seen["pid"])
        self.start(*LONG, log="root.log")
        self.joined(roots, 2)
        self.assertEqual(len(lines("joined")), 1)
        page = f"/dev/shm/lttng-ust-wait-8-{NOBODY}"
        self.assertEqual(self.namespace.run("stat", "-c", "%u %a", page), f"{NOBODY} 660\n")
        self.assertEqual((home / ".lttng").stat().st_mode & 0o777, 0o700)


class GenuineDaemonTests(NamespaceCase):
    """The genuine session daemon: who has the socket, and what it says on it."""

    def test_ours_does_not_throw_it_out(self):
        self.namespace.start_genuine_sessiond()
        process = self.namespace.start(sys.executable, "-m", "tests.interop.observing", log="ours.log")
        self.assertEqual(process.wait(DEADLINE), 1)
        said = (self.folder / "ours.log").read_text()
        self.assertIn("another session daemon traces the applications that look in /run/lttng", said)
        self.assertEqual(len(said.splitlines()), 1)
        self.assertIn("demo", self.listed())

    def listed(self):
        self.start(*LONG)
        return wait_until(
            lambda: (
                "demo:tick" in (text := self.namespace.run("lttng", "--no-sessiond", "list", "-u")) and text
            ),
            "the genuine daemon knows the application",
        )

    def test_it_does_not_throw_ours_out(self):
        _, lines = self.observe()
        (outcome,) = self.namespace.run_together(("lttng-sessiond", "--no-kernel", "--daemonize"))
        self.assertNotEqual(outcome[0], 0)
        self.start(*LONG)
        self.joined(lines, 1)

    def test_the_same_is_asked(self):
        """What the genuine daemon asks an application, byte for byte, is what we would ask."""
        lttng = ("lttng", "--no-sessiond")
        self.namespace.start_genuine_sessiond()
        self.namespace.run(*lttng, "create", "talk", "-o", self.folder / "trace")
        self.namespace.run(*lttng, "enable-channel", "-u", "c")
        self.namespace.run(*lttng, "enable-event", "-u", "-c", "c", "demo:*", "-x", "demo:tock,demo:tack")
        self.namespace.run(*lttng, "enable-event", "-u", "-c", "c", "one:two", "--loglevel=INFO")
        self.namespace.run(*lttng, "enable-event", "-u", "-c", "c", "one:three", "--loglevel-only=ERR")
        self.namespace.run(*lttng, "enable-event", "-u", "-c", "c", "one:four", "--filter", "n == 5")
        wanted = ("vpid", "procname", "time_ns", "perf:thread:raw:r00c0:cycles", "$app.me:state")
        self.namespace.run(*lttng, "add-context", "-u", "-c", "c", *[w for t in wanted for w in ("-t", t)])
        self.namespace.run(*lttng, "start")
        text = self.namespace.run(
            sys.executable, "-m", "tests.interop.playing", "/run/lttng/lttng-ust-sock-8"
        )
        asked = [bytes.fromhex(line) for line in text.splitlines()]
        numbers = [struct.unpack_from("=II", data)[1] for data in asked]
        self.assertEqual((numbers[0], numbers[-1]), (Command.TRACER_VERSION, Command.REGISTER_DONE))
        ours = self.ours(asked)
        compared = [(data, our) for data, our in zip(asked, ours, strict=True) if our is not None]
        for data, our in compared:
            self.assertEqual(data[:600], our[:600])
            self.assertEqual(data, our)
        kinds = {struct.unpack_from("=II", data)[1] for data, _ in compared}
        self.assertLess(
            {
                Command.CHANNEL,
                Command.STREAM,
                Command.EVENT,
                Command.CONTEXT,
                Command.FILTER,
                Command.EXCLUSION,
            },
            kinds,
        )

    def ours(self, asked):
        """Return, of each thing asked, how we would say it; None for what we never ask."""
        made = []
        for data in asked:
            handle, number = struct.unpack_from("=II", data)
            fields = data[40:612]
            tail = data[612:]
            if number == Command.CHANNEL:
                _, kind = struct.unpack_from("=Qi", fields)
                made.append(commands.channel(handle, tail, kind).pack())
            elif number == Command.STREAM:
                made.append(commands.stream(handle, *struct.unpack_from("=QI", fields)).pack())
            elif number == Command.EVENT:
                _, name, kind, level, token = struct.unpack_from("=i256siiQ", fields)
                rule = EventRule(name.rstrip(b"\0").decode(), LoglevelType(kind), level, token)
                made.append(commands.event(handle, rule).pack())
            elif number == Command.CONTEXT:
                made.append(commands.context(handle, self.context(fields, tail)).pack())
            elif number == Command.FILTER:
                _, offset, seqnum = struct.unpack_from("=IIQ", fields)
                made.append(commands.filter(handle, tail, offset, seqnum).pack())
            elif number == Command.EXCLUSION:
                names = [tail[at : at + 256].rstrip(b"\0").decode() for at in range(0, len(tail), 256)]
                made.append(commands.exclusions(handle, names).pack())
            else:
                known = number in tuple(Command)
                made.append(commands.Request(handle, Command(number)).pack() if known else None)
        return made

    def context(self, fields, tail):
        kind = ContextKind(struct.unpack_from("=i", fields)[0])
        if kind is ContextKind.APPLICATION:
            provider, name = tail.decode().split("\0")[:2]
            return Context(kind, provider=provider, name=name)
        if kind is ContextKind.PERF_THREAD_COUNTER:
            perf_type, config, name = struct.unpack_from("=IQ256s", fields, 20)
            return Context(kind, perf_type, config, name=name.rstrip(b"\0").decode())
        return Context(kind)
