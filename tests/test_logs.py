"""What a traced program installs: its taps, its outlets, its link to a daemon (played here by the test)."""

import io
import logging
import os
import shutil
import socket
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from tempfile import mkdtemp
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.logger import Logger, STDLibLogObserver, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from lttngnet import logs
from lttngnet.errors import WireError
from lttngnet.logs.outlet import Outlet
from lttngnet.logs.tracer import Tracer
from lttngnet.wire.records import (
    ANSWER_LIMIT,
    FIELDS,
    RECORD_LIMIT,
    SOCKET,
    Done,
    Forget,
    Frames,
    Ready,
    Register,
    Rule,
    Want,
    hear,
    parse_record,
    say,
)
from tests.waiting import DEADLINE

ALL = (Rule("*"),)
VALUES = ("2026-11-22 15:40:33,053", "sold out", "shop", "sell", 7, 20, 1, "MainThread")
DICT = dict(zip(FIELDS, VALUES, strict=True))


class Reader:
    """The far end of a record socket."""

    def __init__(self, channel):
        self.channel = channel
        channel.setblocking(False)
        self.frames = Frames(RECORD_LIMIT)

    def records(self):
        found = []
        while True:
            try:
                data = self.channel.recv(1 << 16)
            except BlockingIOError:
                return found
            if not data:
                return found
            found += map(parse_record, self.frames.feed(data))

    def messages(self):
        return [event.split(b"\0")[1].decode() for *_, event in self.records()]


class Daemon:
    """A session daemon, driven step by step."""

    def __init__(self, folder):
        self.listener = socket.socket(socket.AF_UNIX)
        path = Path(folder, SOCKET)
        path.unlink(missing_ok=True)
        self.listener.bind(str(path))
        self.listener.listen()
        self.listener.settimeout(DEADLINE)
        self.talk = None

    def accept(self):
        self.talk, _ = self.listener.accept()
        self.talk.settimeout(DEADLINE)
        self.frames = Frames(ANSWER_LIMIT)
        return self.hear()

    def hear(self):
        heard = []
        while not heard:
            data = self.talk.recv(1 << 16)
            if not data:
                raise EOFError
            heard += map(hear, self.frames.feed(data))
        (message,) = heard
        return message

    def want(self, *rules, serial=1, session="auto"):
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self.talk, [say(Want(serial, session, rules, True))], [theirs.fileno()])
            assert self.hear() == Done(serial)
        return Reader(ours)

    def ask(self, question):
        self.talk.sendall(say(question))
        return self.hear()

    def close(self):
        self.listener.close()
        if self.talk is not None:
            self.talk.close()


class OutletTests(SynchronousTestCase):
    def setUp(self):
        ours, theirs = socket.socketpair()
        self.reader, self.outlet = Reader(theirs), Outlet(ours)
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        self.outlet.want(ALL)

    def sent(self, expression, level=20, **values):
        """Tell whether a record passes a filter."""
        self.outlet.want((Rule("shop", 10, False, expression),))
        self.outlet.send("shop", level, self.event(1), tuple((DICT | values).values()))
        return len(self.reader.records()) == 1

    def test_filters(self):
        for expression, passes in (
            ('msg == "sold*" && lineno > 5', True),
            ("lineno > 7", False),
            ('threadName != "MainThread"', False),
            (f"$ctx.vpid == {os.getpid()} && $ctx.vtid > 0", True),
            (f'$ctx.procname == "{Path("/proc/self/comm").read_text().strip()}"', True),
            ("$ctx.nothing == 0", False),
        ):
            self.assertEqual(self.sent(expression), passes, expression)
        self.assertFalse(self.sent("lineno > 5", level=9))
        self.assertTrue(self.sent("thread == 1", thread=(1 << 32) + 1))

    def test_one_rule_is_enough(self):
        for rules, passes in (
            ((Rule("shop", 0, False, "lineno > 7"), Rule("s*")), True),
            ((Rule("shop", 0, False, "lineno > 7"), Rule("s*", 30)), False),
        ):
            self.outlet.want(rules)
            self.outlet.send("shop", 20, self.event(1), VALUES)
            self.assertEqual(len(self.reader.records()), passes)

    def test_no_filter(self):
        self.assertRaises(WireError, self.outlet.want, (Rule("shop", 0, False, "lineno >"),))

    def event(self, size):
        return bytes(4) + bytes(12) + b"x" * size + b"\0"

    @settings(max_examples=30, deadline=None)
    @given(st.lists(st.tuples(st.integers(0, 39_000), st.booleans()), min_size=100, max_size=150))
    def test_every_record_is_sent_or_counted(self, steps):
        self.setUp()
        found = []
        for size, reads in steps:
            self.outlet.send("shop", 20, self.event(size), VALUES)
            if reads:
                found += self.reader.records()
        self.outlet.finish()
        found += self.reader.records()
        got = [record for record in found if record[3]]
        self.assertEqual(len(got) + found[-1][0], len(steps))
        self.assertFalse(self.reader.frames.is_amid)
        for before, after in pairwise(found):
            self.assertLessEqual(before[:2], after[:2])

    def test_last_word(self):
        """When the last rule is taken away from a full outlet, the number of lost records is still told."""
        for _ in range(10_000):
            self.outlet.send("shop", 20, self.event(100), VALUES)
        self.outlet.want(())
        self.outlet.send("shop", 20, self.event(100), VALUES)
        found = self.reader.records()
        self.assertEqual(len(found) - 1 + found[-1][0], 10_000)
        self.assertEqual(found[-1][3], b"")

    def test_nobody_reads(self):
        self.reader.channel.close()
        self.outlet.send("shop", 20, self.event(100), VALUES)
        self.outlet.finish()

    def test_missed(self):
        self.outlet.miss()
        self.outlet.send("shop", 20, self.event(1), VALUES)
        self.assertEqual([record[0] for record in self.reader.records()], [1])


class InstalledTests(SynchronousTestCase):
    def setUp(self):
        self.folder = mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.tracer = Tracer([Path(self.folder, SOCKET)], True, 0.0)
        self.methods = logging.Logger.callHandlers, logging.Logger.getEffectiveLevel
        self.log = logging.getLogger("shop.till")
        self.log.setLevel(logging.WARNING)
        self.log.propagate = False  # nothing else hears of it
        self.printed = io.StringIO()
        handler = logging.StreamHandler(self.printed)
        self.log.addHandler(handler)
        self.addCleanup(self.log.removeHandler, handler)

    def connected(self):
        daemon = Daemon(self.folder)
        self.addCleanup(daemon.close)
        self.tracer.start()
        self.addCleanup(self.tracer.close)
        self.assertEqual(daemon.accept().pid, os.getpid())
        return daemon

    def test_printed_as_ever(self):
        """A session gets the levels it asks for, the program's handlers what the program set."""
        reader = self.connected().want(Rule("shop.*", 10))
        self.log.debug("quiet %d", 1)
        self.log.warning("loud %d", 2)
        logging.Logger("other", logging.INFO).debug("not wanted")
        self.assertEqual(reader.messages(), ["quiet 1", "loud 2"])
        self.assertEqual(self.printed.getvalue(), "loud 2\n")
        self.assertEqual(self.log.level, logging.WARNING)

    def test_untouched(self):
        """While nothing is wanted, logging is as it was."""
        daemon = self.connected()
        self.assertEqual((logging.Logger.callHandlers, logging.Logger.getEffectiveLevel), self.methods)
        reader = daemon.want(*ALL)
        self.log.debug("wanted")
        self.assertEqual(daemon.ask(Want(2, "auto", ())), Done(2))
        self.assertEqual((logging.Logger.callHandlers, logging.Logger.getEffectiveLevel), self.methods)
        self.assertFalse(self.log.isEnabledFor(logging.DEBUG))
        self.log.warning("not wanted")
        self.assertEqual(daemon.ask(Want(3, "auto", ALL)), Done(3))
        self.log.debug("wanted again")
        self.assertEqual(daemon.ask(Forget(4, "auto")), Done(4))
        self.assertEqual((logging.Logger.callHandlers, logging.Logger.getEffectiveLevel), self.methods)
        self.assertEqual(reader.messages(), ["wanted", "wanted again"])

    def test_two_sessions(self):
        daemon = self.connected()
        coarse, fine = (
            daemon.want(Rule("*", 40), session="coarse"),
            daemon.want(Rule("*", 20, True), session="fine"),
        )
        for level in (10, 20, 30, 40):
            self.log.log(level, "%d", level)
        self.assertEqual((coarse.messages(), fine.messages()), (["40"], ["20"]))

    def test_the_programs_mistakes(self):
        """What cannot be formatted is traced as it is, or counted; it is never our failure."""
        reader = self.connected().want(*ALL)

        class Silent:
            def __str__(self):
                raise RuntimeError

            __repr__ = __str__

        self.log.debug("%d sold", "many")
        self.log.debug("%s", Silent())
        self.log.debug("€ \ud800 \0")
        found = reader.records()
        self.assertEqual(
            [event.split(b"\0")[1] for *_, event in found],
            [b"'%d sold' % ('many',)", "€ \\ud800 \\x00".encode()],
        )
        self.assertEqual(found[-1][0], 1)

    def test_records_amid_a_record(self):
        """What an argument logs while it is formatted is counted, and does not run in circles."""
        reader, log = self.connected().want(*ALL), self.log

        class Chatty:
            def __str__(self):
                log.debug("I am %s", self)
                return "chatty"

        self.log.debug("%s", Chatty())
        ((discarded, _, _, event),) = reader.records()
        self.assertEqual((discarded, event.split(b"\0")[1]), (1, b"chatty"))

    def test_traceback(self):
        reader = self.connected().want(*ALL)
        try:
            raise KeyError("till")
        except KeyError:
            self.log.exception("empty")
        (message,) = reader.messages()
        self.assertTrue(message.startswith("empty\nTraceback"))
        self.assertTrue(message.endswith("KeyError: 'till'"))

    def test_fields(self):
        reader = self.connected().want(*ALL)
        before = time.monotonic_ns()
        self.log.debug("sold", stacklevel=1)
        after = time.monotonic_ns()
        ((_, timestamp, vtid, event),) = reader.records()
        asctime, msg, name, function, rest = event.split(b"\0", 4)
        self.assertTrue(before - 10**6 <= timestamp <= after + 10**6, (before, timestamp, after))
        self.assertRegex(asctime.decode(), r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}$")
        self.assertEqual((msg, name, function), (b"sold", b"shop.till", b"test_fields"))
        self.assertEqual((int.from_bytes(rest[4:8], sys.byteorder), rest[12:]), (10, b"MainThread\0"))
        self.assertEqual(vtid, os.getpid())

    def test_twisted(self):
        reader = self.connected().want(Rule("shop*", 20))
        Logger("shop.twisted").debug("quiet")
        Logger("shop.twisted").info("{count} sold", count=3)
        ((*_, event),) = reader.records()
        self.assertEqual(event.split(b"\0")[1:3], [b"3 sold", b"shop.twisted"])

    def test_twisted_through_logging(self):
        """An event that goes on to logging is traced once."""
        reader = self.connected().want(*ALL)
        observer = STDLibLogObserver("shop")
        observer.logger = self.log
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        Logger("shop.twisted").warn("sold")
        self.assertEqual(reader.messages(), ["sold"])
        self.assertEqual(self.printed.getvalue(), "sold\n")

    def test_daemon_comes_again(self):
        """A daemon that ends takes its sessions with it; the next one finds the program again."""
        daemon = self.connected()
        daemon.want(*ALL)
        daemon.close()
        daemon = Daemon(self.folder)
        self.addCleanup(daemon.close)
        self.assertIsInstance(daemon.accept(), Register)
        self.assertFalse(self.log.isEnabledFor(logging.DEBUG))
        reader = daemon.want(*ALL)
        self.log.debug("again")
        self.assertEqual(reader.messages(), ["again"])

    def test_daemon_talks_nonsense(self):
        daemon = self.connected()
        daemon.talk.sendall(say(Done(1)))
        self.assertRaises(EOFError, daemon.hear)

    def test_somebody_else_wraps(self):
        """Where somebody wraps the same method after us, it stays wrapped, and each record is traced once."""
        daemon = self.connected()
        reader = daemon.want(*ALL)
        ours = logging.Logger.callHandlers
        with patch.object(logging.Logger, "callHandlers", lambda *of: ours(*of)):
            daemon.ask(Want(2, "auto", ()))
            self.log.warning("not wanted")
            daemon.ask(Want(3, "auto", ALL))
            self.log.debug("wanted")
        daemon.ask(Want(4, "auto", ()))
        self.assertEqual((logging.Logger.callHandlers, logging.Logger.getEffectiveLevel), self.methods)
        self.assertEqual(reader.messages(), ["wanted"])


class InstallTests(SynchronousTestCase):
    def setUp(self):
        self.folder = mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.addCleanup(logs.uninstall)

    def install(self, **more):
        with patch.dict(os.environ, {"LTTNG_RUNDIR": self.folder, **more}):
            began = time.monotonic()
            logs.install()
            return time.monotonic() - began

    def test_no_daemon(self):
        """Without a daemon install returns at once."""
        self.assertLess(self.install(LTTNGNET_REGISTER_TIMEOUT=f"{DEADLINE * 1000:.0f}"), DEADLINE)

    def test_silent_daemon(self):
        """A daemon that says nothing keeps the program only for so long."""
        daemon = Daemon(self.folder)
        self.addCleanup(daemon.close)
        waited = self.install(LTTNGNET_REGISTER_TIMEOUT="50")
        self.assertTrue(0.05 <= waited < DEADLINE, waited)
        daemon.accept()
        daemon.talk.sendall(say(Ready()))

    def test_twice(self):
        daemon = Daemon(self.folder)
        self.addCleanup(daemon.close)
        for _ in range(2):
            self.install(LTTNGNET_REGISTER_TIMEOUT="0")
        daemon.accept()
        daemon.listener.settimeout(0)
        self.assertRaises(BlockingIOError, daemon.accept)
        logs.uninstall()
        self.assertRaises(EOFError, daemon.hear)

    def test_socket_paths(self):
        def paths(**environ):
            return [str(path) for path in logs.socket_paths(environ)]

        system = f"/run/lttng/{SOCKET}"
        self.assertEqual(paths(LTTNG_RUNDIR="/r", HOME="/h"), [f"/r/{SOCKET}"])
        self.assertEqual(paths(HOME="/h"), [system, f"/h/.lttng/{SOCKET}"])
        self.assertEqual(paths(HOME="/h", LTTNG_HOME="/l"), [system, f"/l/.lttng/{SOCKET}"])
        self.assertEqual(paths(), [system])

    def test_standard_library_only(self):
        """A traced program loads nothing but the standard library."""
        code = (
            "import sys; import lttngnet.logs; lttngnet.logs.install();"
            "print(*(n for n in sys.modules if n.split('.')[0] in ('twisted', 'zope', 'automat')))"
        )
        environ = {**os.environ, "LTTNG_RUNDIR": self.folder, "PYTHONPATH": str(Path(__file__).parents[1])}
        out = subprocess.run([sys.executable, "-S", "-c", code], env=environ, capture_output=True, check=True)
        self.assertEqual((out.stdout, out.stderr), (b"\n", b""))
