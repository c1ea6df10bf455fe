"""Programs with the genuine agents (Python, JUL, log4j), in a genuine session and in one of ours.

Each program says "ready" once it has agents, and logs all that it has to log for each line that it is given.
"""

import os
import re
import shutil
import signal
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from unittest import skipIf

from twisted.trial.unittest import SynchronousTestCase

from tests import once
from tests.interop.genuine import Namespace, child_of, missing
from tests.interop.ours import program, text_of
from tests.waiting import DEADLINE, wait_until

PYTHON = "/usr/bin/python3"
PYTHON_PROGRAM = """
import logging, sys, threading
{install}
logging.lastResort = logging.NullHandler()
shop, stock = logging.getLogger("shop"), logging.getLogger("shop.stock")
shop.setLevel(logging.DEBUG), stock.setLevel(logging.DEBUG)
def work():
    shop.debug("opened")
    stock.info("%d apples, für später", 17)
    shop.warning("only %s left", "drei")
    stock.error("nothing left \u2603")
    shop.log(35, "odd")
    stock.critical("x" * 300)
print("ready", flush=True)
for line in sys.stdin:
    work()
    thread = threading.Thread(target=work, name="Lagerhalle-ß")
    thread.start()
    thread.join()
    print("done", flush=True)
"""
AGENT = "import lttngust"
OURS = "import lttngnet.logs; lttngnet.logs.install()"

JAVA_PROGRAM = """
import java.io.*;
public class Shop {
    static void work() {
        @WORK@
    }
    public static void main(String[] words) throws Exception {
        @INSTALL@
        System.out.println("ready");
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        while (in.readLine() != null) {
            work();
            Thread thread = new Thread(new Runnable() { public void run() { work(); } }, "hall");
            thread.start();
            thread.join();
            System.out.println("done");
        }
        @CLOSE@
    }
}
"""
JUL = {
    "WORK": """
        java.util.logging.Logger shop = java.util.logging.Logger.getLogger("shop");
        java.util.logging.Logger stock = java.util.logging.Logger.getLogger("shop.stock");
        shop.fine("opened");
        stock.info("apples, f\\u00fcr sp\\u00e4ter");
        shop.warning("only three left");
        stock.severe("nothing left");
    """,
    "INSTALL": """
        org.lttng.ust.agent.jul.LttngLogHandler handler = new org.lttng.ust.agent.jul.LttngLogHandler();
        for (String name : new String[] {"shop", "shop.stock"}) {
            java.util.logging.Logger logger = java.util.logging.Logger.getLogger(name);
            held.add(logger);
            logger.setLevel(java.util.logging.Level.ALL);
            logger.setUseParentHandlers(false);
        }
        java.util.logging.Logger.getLogger("shop").addHandler(handler);
        java.util.logging.Logger.getLogger("shop.stock").addHandler(handler);
    """,
    "CLOSE": "handler.close();",
}
LOG4J = {
    "WORK": """
        org.apache.log4j.Logger shop = org.apache.log4j.Logger.getLogger("shop");
        org.apache.log4j.Logger stock = org.apache.log4j.Logger.getLogger("shop.stock");
        shop.debug("opened");
        stock.info("apples, f\\u00fcr sp\\u00e4ter");
        shop.warn("only three left");
        stock.error("nothing left");
    """,
    "INSTALL": """
        org.apache.log4j.Appender appender = new org.lttng.ust.agent.log4j.LttngLogAppender();
        org.apache.log4j.Logger root = org.apache.log4j.Logger.getRootLogger();
        root.setLevel(org.apache.log4j.Level.ALL);
        root.addAppender(appender);
    """,
    "CLOSE": "appender.close();",
}
JARS = [Path("/usr/share/java", name) for name in ("lttng-ust-agent-common.jar", "log4j-1.2.jar")] + [
    Path("/usr/share/java", f"lttng-ust-agent-{name}.jar") for name in ("jul", "log4j")
]
JNI = next(Path("/usr/lib").glob("*/jni/liblttng-ust-jul-jni.so"), None)

# What differs from run to run, or from source to source: times, numbers of processors and threads.
CHANGING = re.compile(r"cpu_id = \d+|asctime = \"[^\"]*\"|\b(thread|long_millis|thread_id|timestamp) = \d+")
PAYLOAD = re.compile(r"(\w+:\w+): (.*)")
EVENT = re.compile(r"^event \{.*?^\};", re.M | re.S)

UNAVAILABLE = missing()


@cache
def lacks_python():
    """Return why the genuine Python agent cannot be run here, or None."""
    if UNAVAILABLE:
        return UNAVAILABLE
    imports = [PYTHON, "-c", "import importlib.util as u, sys; sys.exit(u.find_spec('lttngust') is None)"]
    if not Path(PYTHON).exists() or subprocess.run(imports, capture_output=True).returncode:
        return "not installed: python3-lttngust"
    return None


def lacks_java():
    """Return why the genuine Java agents cannot be run here, or None."""
    if UNAVAILABLE:
        return UNAVAILABLE
    lacking = [tool for tool in ("java", "ecj") if shutil.which(tool) is None]
    lacking += [str(jar) for jar in JARS if not jar.exists()] + ([] if JNI else ["liblttng-ust-jul-jni"])
    return f"not installed: {', '.join(lacking)}" if lacking else None


def build_java(parts):
    """Return the command that runs a Java program, which is compiled once for all tests."""
    text = JAVA_PROGRAM
    for name, part in parts.items():
        text = text.replace(f"@{name}@", part)
    text = text.replace(
        "public class Shop {",
        "public class Shop {\n    static java.util.List held = new java.util.ArrayList();",
    )

    def compile_it(place):
        (place / "Shop.java").write_text(text)
        path = ":".join(map(str, [place, *JARS]))
        command = ["ecj", "-source", "1.8", "-target", "1.8", "-nowarn", "-proc:none", "-cp", path]
        built = subprocess.run([*command, place / "Shop.java"], capture_output=True, text=True)
        assert built.returncode == 0, built.stderr + built.stdout

    path = ":".join(map(str, [once.made("java", text, make=compile_it), *JARS]))
    return ["java", "-XX:-UsePerfData", f"-Djava.library.path={JNI.parent}", "-Xint", "-cp", path, "Shop"]


def descriptions(*paths):
    """Return all descriptions of events in metadata, which may be in packets, or text as it is."""
    found = []
    for path in paths:
        text = path.read_bytes()
        if not text.startswith(b"/*"):
            command = ["babeltrace", "-o", "ctf-metadata", str(path.parent)]
            text = subprocess.run(command, capture_output=True, check=True).stdout
        found += EVENT.findall(text.decode())
    return found


class Program:
    """A program, running in a namespace."""

    def __init__(self, space, *command):
        self._space = space
        self.process = subprocess.Popen(
            space.inside(command),
            env=space.environment,
            cwd=space.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        line = self.process.stdout.readline()
        assert line == "ready\n", line

    def work(self):
        """Let it log all that it has to log, twice: in two threads."""
        self.process.stdin.write("work\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line == "done\n", line

    def signal(self, number):
        """Send a signal to the program: nsenter, which has started it, passes none on."""
        os.kill(child_of(self.process), number)

    def end(self):
        """Let it end."""
        self.process.stdin.close()
        self.process.wait(DEADLINE)
        self.process.stdout.close()


class Sides(SynchronousTestCase):
    """A namespace with the genuine daemon, and one with ours."""

    daemon_options: tuple = ()

    def setUp(self):
        self.started = {}

    def side(self, name):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        space = Namespace(holder.name)
        self.addCleanup(space.close)
        space.environment["LTTNG_UST_PYTHON_REGISTER_RETRY_DELAY"] = "100"
        space.name, space.sessions = name, 0
        return space

    def started_side(self, name):
        """Return a side with its daemon; the same one for all sessions of a test."""
        if name not in self.started:
            self.started[name] = self.side(name)
            self.start(self.started[name])
        return self.started[name]

    def start(self, space):
        """Start the daemon of a side."""
        if space.name == "genuine":
            space.start_genuine_sessiond()
        else:
            space.daemon = space.start_our_sessiond("--no-kernel", *self.daemon_options, "-v")

    def tell(self, space, *words):
        """Say something with the side's own command."""
        command = "lttng" if space.name == "genuine" else program("lttngnet")
        return space.run(command, *words)

    def run_any(self, space, *words):
        """Return what the side's own command says, also when it fails."""
        command = "lttng" if space.name == "genuine" else program("lttngnet")
        ((_, text),) = space.run_together((command, *words))
        return text

    def trace(self, space):
        """Return the folder of the newest session."""
        return space.folder / f"trace-{space.sessions}"

    def session(self, space, *events):
        """Start a session with these events."""
        space.sessions += 1
        self.tell(space, "create", "s", "-o", self.trace(space))
        for event in events:
            self.tell(space, "enable-event", *event)
        self.tell(space, "start")

    def recorded(self, space):
        """End the session, and return its events and what is no matter of chance in them."""
        self.tell(space, "stop")
        self.tell(space, "destroy")
        lines, errors = text_of(self.trace(space), "--no-delta")
        self.assertEqual(errors, "")
        return [CHANGING.sub("", PAYLOAD.search(line)[0]) for line in lines]

    def folders(self, space):
        """Return the traces of a session with their files, undated."""
        root = self.trace(space)
        return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())

    def description(self, space):
        """Return how the metadata of a trace describes its events."""
        return descriptions(*self.trace(space).rglob("metadata"))

    def restart(self, space):
        """Let a daemon end, and another one come."""
        if space.name == "genuine":
            space.end_genuine_sessiond()
        else:
            space.terminate(space.daemon)
        self.start(space)

    def both(self, command, *events, before=False):
        """Return what both sides record of a program; ``before``: the program is older than the daemon."""
        found = []
        for name in ("genuine", "ours"):
            space = self.started_side(name)
            if before:
                running = Program(space, *command(space))
                self.restart(space)
                wait_until(lambda: "shop" in self.run_any(space, "list", events[0][0]), "the agent")  # noqa: B023
                self.session(space, *events)
            else:
                self.session(space, *events)
                running = Program(space, *command(space))
            running.work()
            running.end()
            found.append((space, self.recorded(space)))
        return found

    def compared(self, command, *events, count, **options):
        """Check that both sides record the same events, as many as that, in the same files."""
        (genuine, theirs), (ours, own) = self.both(command, *events, **options)
        self.assertEqual(own, theirs)
        self.assertEqual(len(own), count)
        self.assertEqual(self.folders(ours), self.folders(genuine))
        self.assertEqual(self.description(ours), self.description(genuine))
        return ours, own


@skipIf(lacks_python(), lacks_python())
class PythonTests(Sides):
    def command(self, space):
        return [PYTHON, "-c", PYTHON_PROGRAM.replace("{install}", AGENT)]

    def test_all(self):
        space, own = self.compared(self.command, ("-p", "-a"), count=12)
        self.assertIn("ust/uid/0/64-bit/lttng_python_channel_0", self.folders(space))
        self.assertTrue(any("☃" in line for line in own))

    def test_program_older_than_the_daemon(self):
        self.compared(self.command, ("-p", "shop"), count=6, before=True)

    def test_names_levels_and_filters(self):
        for events, count in (
            ([("-p", "shop")], 6),
            ([("-p", "shop*")], 12),
            ([("-p", "shop.stock", "--loglevel", "ERROR")], 4),
            ([("-p", "-a", "--loglevel-only", "WARNING")], 2),
            ([("-p", "-a", "--filter", 'threadName == "Lager*" && int_loglevel != 10')], 5),
            ([("-p", "shop", "--loglevel", "WARNING", "--filter", 'msg == "only*"')], 2),
            ([("-p", "shop", "--loglevel-only", "DEBUG"), ("-p", "nobody"), ("-p", "*stock")], 8),
        ):
            with self.subTest(events=events):
                self.compared(self.command, *events, count=count)

    def test_disabled(self):
        for name in ("genuine", "ours"):
            space = self.side(name)
            self.start(space)
            self.session(space, ("-p", "shop"), ("-p", "shop.stock", "--loglevel", "ERROR"))
            running = Program(space, *self.command(space))
            running.work()
            self.tell(space, "disable-event", "-p", "shop")
            running.work()
            running.end()
            self.assertEqual(len(self.recorded(space)), 6 + 4 + 4, name)


class OurPrograms(Sides):
    """Programs with `lttngnet.logs`, beside those with the genuine agent."""

    def ours(self, space):
        return [program("python"), "-c", PYTHON_PROGRAM.replace("{install}", OURS)]

    def agent(self, space):
        return [PYTHON, "-c", PYTHON_PROGRAM.replace("{install}", AGENT)]


@skipIf(lacks_python(), lacks_python())
class BothHandlersTests(OurPrograms):
    def test_same_channel_event_and_fields(self):
        space = self.side("ours")
        self.start(space)
        self.session(space, ("-p", "shop", "--filter", "int_loglevel > 20"))
        running = [Program(space, *command(space)) for command in (self.ours, self.agent)]
        for each in running:
            each.work()
            each.end()
        lines = self.recorded(space)
        fields = [re.sub(r"\{ vpid = .*? \}, ", "", line) for line in lines]
        self.assertEqual(len(fields), 8)
        self.assertEqual(fields[:4], fields[4:])
        metadata = list(self.trace(space).rglob("metadata"))
        self.assertEqual(len(metadata), 2)
        self.assertEqual(len(set(descriptions(*metadata))), 1)
        files = [path for path in self.folders(space) if "lttng_python_channel" in path]
        self.assertEqual({path.split("/")[0] for path in files}, {"python", "ust"})


@skipIf(UNAVAILABLE, UNAVAILABLE)
class WithoutTracerTests(OurPrograms):
    daemon_options = ("--no-ust",)

    def test_our_programs_alone(self):
        space = self.side("ours")
        self.start(space)
        self.session(space, ("-p", "-a"))
        running = Program(space, *self.ours(space))
        running.work()
        running.end()
        self.assertEqual(len(self.recorded(space)), 12)
        self.assertFalse(Path(f"/proc/{space.first_process}/root/run/lttng/agent.port").exists())


@skipIf(UNAVAILABLE, UNAVAILABLE)
class WithoutLibraryTests(OurPrograms):
    def test_our_programs_alone(self):
        space = self.side("ours")
        for library in Path("/usr/lib").glob("*/liblttng-ust-ctl.so.5*"):
            if not library.is_symlink():
                space.run("mount", "--bind", "/dev/null", library)
        self.start(space)
        self.session(space, ("-p", "shop"))
        running = Program(space, *self.ours(space))
        running.work()
        running.end()
        self.assertEqual(len(self.recorded(space)), 6)
        ((status, said),) = space.run_together((program("lttngnet"), "create", "java"))
        self.assertEqual(status, 0, said)
        self.tell(space, "enable-event", "-j", "-a")
        ((status, said),) = space.run_together((program("lttngnet"), "start"))
        self.assertNotEqual(status, 0)
        self.assertIn("liblttng-ust-ctl", said)


@skipIf(lacks_python(), lacks_python())
class StoppedTests(Sides):
    def test_a_stopped_agent_keeps_nobody(self):
        space = self.side("ours")
        space.environment["LTTNG_APP_SOCKET_TIMEOUT"] = "3"
        self.start(space)
        self.session(space, ("-p", "nobody"))
        stopped, running = (
            Program(space, PYTHON, "-c", PYTHON_PROGRAM.replace("{install}", AGENT)) for _ in range(2)
        )
        self.addCleanup(stopped.process.wait)
        self.addCleanup(stopped.process.kill)
        stopped.signal(signal.SIGSTOP)
        self.tell(space, "enable-event", "-p", "shop")
        running.work()
        running.end()
        stopped.signal(signal.SIGKILL)
        self.assertEqual(len(self.recorded(space)), 6)


@skipIf(lacks_python(), lacks_python())
class ListTests(Sides):
    def test_loggers(self):
        space = self.side("ours")
        self.start(space)
        running = Program(space, PYTHON, "-c", PYTHON_PROGRAM.replace("{install}", AGENT))
        self.addCleanup(running.end)
        listed = self.tell(space, "list", "-p")
        self.assertIn("shop.stock", listed)
        self.assertIn("Name: python3", listed)
        port = Path(f"/proc/{space.first_process}/root/run/lttng/agent.port")
        self.assertEqual((port.read_text(), port.stat().st_mode & 0o777), ("5345\n", 0o644))
        space.terminate(space.daemon)
        self.assertFalse(port.exists())


@skipIf(lacks_java(), lacks_java())
class JavaTests(Sides):
    def command(self, parts):
        return lambda space: build_java(parts)

    def test_jul(self):
        for events, count in (
            ([("-j", "-a")], 8),
            ([("-j", "shop.*", "--loglevel-only", "INFO"), ("-j", "shop", "--filter", 'msg == "open*"')], 4),
        ):
            with self.subTest(events=events):
                space, _ = self.compared(self.command(JUL), *events, count=count)
        self.assertIn("ust/uid/0/64-bit/lttng_jul_channel_0", self.folders(space))

    def test_log4j(self):
        events = [("-l", "shop*", "--loglevel", "WARN"), ("-l", "-a", "--filter", 'msg == "open*"')]
        space, _ = self.compared(self.command(LOG4J), *events, count=6)
        self.assertIn("ust/uid/0/64-bit/lttng_log4j_channel_0", self.folders(space))
