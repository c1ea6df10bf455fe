"""The options, and how the daemon says goodbye."""

import io
import shutil
import tempfile
from contextlib import redirect_stdout

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from lttngnet import __version__
from lttngnet.errors import RelayLost
from lttngnet.sessiond.service import FAREWELL, Options, SessionDaemon
from lttngnet.startup import CannotStart


class Endings:
    """Sessions, of which each ends when its Deferred fires."""

    def __init__(self, **endings):
        self.endings = endings

    def names(self):
        return list(self.endings)

    async def destroy(self, name):
        return await self.endings[name]


class FarewellTests(SynchronousTestCase):
    def stop(self, **endings):
        """Stop a daemon; return when it has, and what it says."""
        self.clock, said = Clock(), []
        daemon = SessionDaemon(self.clock, Endings(**endings), None)
        daemon.startService()
        with capturedLogs() as log:
            stopped = daemon.stopService()
            self.assertNoResult(stopped)
            yield stopped
        self.successResultOf(stopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        said += [formatEvent(event) for event in log]
        yield said

    def test_every_session_ends(self):
        first, second = Deferred(), Deferred()
        steps = self.stop(first=first, second=second)
        stopped = next(steps)
        first.callback({})
        self.assertNoResult(stopped)
        second.callback({})
        self.assertEqual(next(steps), [])

    def test_one_fails_and_one_has_no_time(self):
        good, bad, late = Deferred(), Deferred(), Deferred()
        steps = self.stop(good=good, bad=bad, late=late)
        next(steps)
        good.callback({})
        bad.errback(RelayLost("the relay daemon is gone"))
        self.clock.advance(FAREWELL)
        self.assertEqual(
            next(steps),
            [
                "Session bad could not end in order: the relay daemon is gone",
                "Session late could not end in order: there was no time left",
            ],
        )

    def test_there_is_none(self):
        daemon = SessionDaemon(Clock(), Endings(), None)
        daemon.startService()
        self.successResultOf(daemon.stopService())


class OptionsTests(SynchronousTestCase):
    def parse(self, *words):
        folder = tempfile.mkdtemp()  # trial's own are too deep for a socket
        self.addCleanup(shutil.rmtree, folder)
        options = Options()
        options.parseOptions(["--rundir", folder, *words])
        return options

    def test_verbose(self):
        self.assertEqual(
            [self.parse(*words)["verbose"] for words in ((), ("-v",), ("-vv", "--verbose"))], [0, 1, 3]
        )

    def test_version(self):
        for word in ("-V", "--version"):
            said = io.StringIO()
            with redirect_stdout(said):
                self.assertEqual(self.assertRaises(SystemExit, self.parse, word).code, 0)
            self.assertEqual(said.getvalue(), f"lttng-sessiond (lttngnet) {__version__}\n")

    def test_help(self):
        for word in ("-h", "--help"):
            said = io.StringIO()
            with redirect_stdout(said):
                self.assertRaises(SystemExit, self.parse, word)
            self.assertIn("-v, --verbose", said.getvalue())

    def test_a_mistake(self):
        self.assertRaises(CannotStart, self.parse, "--nonsense")
