"""Real programs ↔ the python domain ↔ the source ↔ a folder ↔ babeltrace2."""

import os
import re
import shutil
import sys
import time
from pathlib import Path
from tempfile import mkdtemp
from textwrap import dedent

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import SkipTest, TestCase

from lttngnet.sessiond.applications import Applications
from lttngnet.sessiond.domains.loggers.domain import LoggerDomain
from lttngnet.sessiond.domains.loggers.kinds import PYTHON
from lttngnet.sessiond.domains.loggers.programs import ProgramRecorder
from lttngnet.sources.records import RecordsSource
from lttngnet.wire.records import SOCKET
from tests.waiting import DEADLINE, PATIENCE, until

ROOT = Path(__file__).parents[4]
INSTALL = "import logging, os, sys, threading, time\nimport lttngnet.logs; lttngnet.logs.install()\n"
EVENT = re.compile(
    r"^\[(?P<time>[0-9.]+)\] .*lttng_python:event: \{ cpu_id = 0 \}, "
    r'\{ vpid = (?P<vpid>\d+), vtid = (?P<vtid>\d+), procname = "(?P<procname>[^"]*)" \}, '
    r'\{ asctime = "(?P<asctime>[^"]*)", msg = "(?P<msg>.*)", logger_name = "(?P<logger>[^"]*)", '
    r'funcName = "(?P<function>[^"]*)", lineno = (?P<lineno>\d+), int_loglevel = (?P<level>\d+), '
    r'thread = (?P<thread>\d+), threadName = "(?P<threadname>[^"]*)" \}$',
    re.M,
)
TRACER_DISCARDED = re.compile(r"Tracer discarded (\d+) event")


class FolderSink:
    """Writes a CTF trace as it comes."""

    def __init__(self, folder):
        self.folder = folder
        self.files = []
        self.discarded = {}

    async def add_stream(self, path, name, limit=None):
        trace = self.folder / path
        trace.mkdir(exist_ok=True)
        self.files.append((trace / name).open("wb", buffering=0))
        return len(self.files) - 1

    async def publish(self):
        pass

    def write_metadata(self, stream, text):
        self.files[stream].write(text)

    def write(self, stream, packet):
        self.files[stream].write(bytes(packet.content) + bytes(packet.padding))
        self.discarded[stream] = packet.events_discarded

    async def close_stream(self, stream):
        self.files[stream].close()


class LocalCourier:
    """Stands for the consumer process."""

    async def add_source(self, kind, config):
        self.source = RecordsSource.from_config(config, reactor)

    async def ask_source(self, kind, what, facts, descriptors=()):
        return await self.source.ask(what, facts, [os.dup(each) for each in descriptors])


class EndToEndTests(TestCase):
    timeout = PATIENCE

    def setUp(self):
        if shutil.which("babeltrace2") is None:
            raise SkipTest("babeltrace2 is not installed")
        self.folder = Path(mkdtemp())  # a short path: it holds a socket
        self.addCleanup(shutil.rmtree, self.folder)
        self.applications = Applications()
        port = reactor.listenUNIX(str(self.folder / SOCKET), self.applications)
        self.addCleanup(port.stopListening)
        self.addCleanup(self.hang_up)
        self.sink = FolderSink(self.folder)
        self.courier = LocalCourier()
        self.domain = LoggerDomain(PYTHON, [ProgramRecorder("auto", self.applications, reactor)])
        self.environ = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "ignore::DeprecationWarning",  # from 3.12: a process with threads forks
            "LTTNG_RUNDIR": str(self.folder),
            "LTTNGNET_REGISTER_TIMEOUT": f"{DEADLINE * 1000:.0f}",
        }

    async def hang_up(self):
        for application in self.applications:
            application.transport.abortConnection()
        await until(lambda: not len(self.applications), "all programs are gone")

    async def begin(self, **options):
        await self.domain.enable_events("channel0", [], {"all": True, **options})
        await self.domain.attach(self.courier)
        self.addCleanup(self.courier.source.close)
        await self.courier.source.start(self.sink)
        await self.domain.start()

    async def end(self):
        await self.domain.stop()
        await self.courier.source.stop()
        await self.domain.destroy()

    def run_program(self, text):
        program = self.folder / "program.py"
        program.write_text(INSTALL + dedent(text))
        return getProcessOutputAndValue(sys.executable, [str(program)], env=self.environ)

    async def ran(self, text):
        out, err, status = await self.run_program(text)
        self.assertEqual((status, err), (0, b""), err.decode())
        return out.decode()

    async def read(self):
        """Return the events as babeltrace2 tells them, and how many it says were lost."""
        trace = str(self.folder / "python")
        out, err, status = await getProcessOutputAndValue(
            shutil.which("babeltrace2"), ["--clock-seconds", trace], env={"PATH": os.environ["PATH"]}
        )
        self.assertEqual(status, 0, err)
        events = [match.groupdict() for match in EVENT.finditer(out.decode())]
        self.assertEqual(len(events), out.decode().count("lttng_python:event"))
        return events, sum(int(number) for number in TRACER_DISCARDED.findall(err.decode()))

    async def test_threads(self):
        """Every record of every thread is in the trace once, at its time; nothing is printed for it."""
        await self.begin()
        began = time.time()
        out = await self.ran(
            """
            logging.basicConfig(stream=sys.stdout, format="%(message)s")
            log = logging.getLogger("shop.till")
            def sell(number):
                for piece in range(100):
                    log.debug("%d sells %d for 3 €", number, piece)
            threads = [threading.Thread(target=sell, args=[n], name=f"seller{n}") for n in range(3)]
            for t in threads: t.start()
            for t in threads: t.join()
            log.warning("closed at %.9f", time.time())
            print("%.9f" % time.time())
            """
        )
        await self.end()
        ended = time.time()
        events, lost = await self.read()
        self.assertEqual(lost, 0)
        sold = [event for event in events if event["function"] == "sell"]
        self.assertEqual(
            sorted(event["msg"] for event in sold),
            sorted(f"{n} sells {piece} for 3 €" for n in range(3) for piece in range(100)),
        )
        self.assertEqual({event["threadname"] for event in sold}, {"seller0", "seller1", "seller2"})
        self.assertEqual(len({event["vtid"] for event in sold}), 3)
        last = events[-1]
        self.assertEqual((last["logger"], last["level"], last["lineno"]), ("shop.till", "30", "12"))
        self.assertEqual(last["procname"], Path(sys.executable).name[:15])
        self.assertEqual(len(events), 301)
        message, after = out.splitlines()
        self.assertEqual(message, last["msg"])
        before = float(message.split()[-1])
        self.assertTrue(before - 0.001 <= float(last["time"]) <= float(after) + 0.001, (before, last, after))
        for event in events:
            self.assertTrue(began <= float(event["time"]) <= ended)
        self.assertEqual(
            self.courier.source.facts()["events"], 301, "as many were handed on as babeltrace2 has read"
        )

    async def test_fork(self):
        """A forked child is a process of its own, with its own stream; its parent goes on as before."""
        await self.begin()
        await self.ran(
            """
            logging.basicConfig(stream=sys.stdout)
            logging.error("before")
            child = os.fork()
            if not child:
                logging.error("in the child")
                sys.exit()
            os.waitpid(child, 0)
            logging.error("after")
            """
        )
        await self.end()
        events, _ = await self.read()
        self.assertEqual([event["msg"] for event in events], ["before", "in the child", "after"])
        before, child, after = (event["vpid"] for event in events)
        self.assertEqual(before, after)
        self.assertNotEqual(before, child)
        self.assertEqual(
            sorted(file.name for file in (self.folder / "python").iterdir()),
            ["lttng_python_channel_0", "lttng_python_channel_1", "metadata"],
        )

    async def test_flood(self):
        """While nobody reads, records are dropped, and every one of them is counted."""
        await self.begin(loglevel="INFO")
        self.courier.source.pauseProducing()
        await self.ran(
            """
            for number in range(6000):
                logging.info("%d %s", number, "x" * 1000)
            """
        )
        self.courier.source.resumeProducing()
        await until(lambda: not self.courier.source._programs, "the program is gone")
        await self.end()
        events, lost = await self.read()
        self.assertGreater(lost, 0)
        self.assertGreater(len(events), 0)
        self.assertEqual(len(events) + lost, 6000)
        self.assertEqual(self.courier.source.facts()["discarded"], lost)

    async def test_twisted(self):
        """Events of twisted.logger are traced, and once only if a program passes them on to logging."""
        await self.begin()
        await self.ran(
            """
            from twisted.logger import Logger, STDLibLogObserver, globalLogBeginner
            logging.getLogger("twisted").setLevel(100)
            lttngnet.logs.uninstall(); lttngnet.logs.install()
            globalLogBeginner.beginLoggingTo([STDLibLogObserver()], redirectStandardIO=False)
            Logger("shop.till").warn("closed: {why}", why="night")
            """
        )
        await self.end()
        events, _ = await self.read()
        told = [(event["logger"], event["level"], event["msg"]) for event in events]
        self.assertEqual(told, [("shop.till", "30", "closed: night")])

    async def test_while_running(self):
        """A program that runs already is traced from start to stop, and again from the next start."""
        running = self.run_program(
            """
            log = logging.getLogger("beat")
            while sys.stdin.read(0) == "" and os.getppid() == parent:
                log.debug("tick")
                time.sleep(0.001)
            """.replace("parent", str(os.getpid()))
        )
        running.addErrback(lambda failure: None)
        await until(lambda: len(self.applications) == 1, "the program is there")
        await self.begin(loglevel="DEBUG")
        await until(lambda: self.courier.source.facts()["events"] > 10, "events")
        await self.domain.stop()
        await self.courier.source.stop()
        count = self.courier.source.facts()["events"]
        await self.courier.source.start(self.sink)
        await deferLater(reactor, 0.25)
        self.assertEqual(self.courier.source.facts()["events"], count)
        await self.domain.start()
        await until(lambda: self.courier.source.facts()["events"] > count, "more events")
        os.kill(next(iter(self.applications)).facts["pid"], 9)
        await running
        await self.end()
        events, lost = await self.read()
        self.assertEqual((len(events), lost), (self.courier.source.facts()["events"], 0))
        self.assertEqual({event["msg"] for event in events}, {"tick"})
