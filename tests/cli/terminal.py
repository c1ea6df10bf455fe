"""Runs the command in this process, against a fake daemon in memory: no socket, no global reactor."""

import os
from pathlib import Path

from click.testing import CliRunner
from twisted.internet import defer, error, task
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.test import iosim
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.cli import main
from tests.fake_daemon import FakeDaemon, Memory


class Machine(MemoryReactorClock):
    """A machine on which the fake daemon listens, if any, at every path of a UNIX socket."""

    def __init__(self, memory):
        super().__init__()
        self.memory = memory
        self.pumps = []

    def connectUNIX(self, address, factory, **_):
        self.address = address
        if self.memory is None:
            factory.clientConnectionFailed(None, Failure(error.ConnectError(2, "No such file or directory")))
            return
        client = factory.buildProtocol(None)
        server = FakeDaemon(self.memory)
        transports = iosim.FakeTransport(server, isServer=True), iosim.FakeTransport(client, isServer=False)
        self.pumps.append(iosim.connect(server, transports[0], client, transports[1]))

    def react(self, main):
        """Do what `twisted.internet.task.react` does, in memory."""
        done = defer.ensureDeferred(main(self))
        for _ in range(100):
            for pump in self.pumps:
                pump.flush()
            self.advance(0.25)
        failures = []
        done.addErrback(failures.append)
        for failure in failures:
            failure.raiseException()
        raise SystemExit(0)


class TerminalCase(SynchronousTestCase):
    """Gives each test a home, and a daemon that knows no session."""

    def setUp(self):
        self.home = Path(self.mktemp()).resolve()
        self.home.mkdir(parents=True)
        self.patch(
            os,
            "environ",
            os.environ | {"HOME": str(self.home), "LTTNG_HOME": "", "LTTNG_RUNDIR": "/run/fake"},
        )
        self.daemon = Memory()
        self.start_daemon(self.daemon)

    def start_daemon(self, daemon):
        """Let verbs find this daemon; None: none."""
        self.machine = Machine(daemon)
        self.patch(task, "react", self.machine.react)

    def run_command(self, *arguments):
        """Run the command, and return click's result."""
        result = CliRunner().invoke(main, arguments)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    def succeeds(self, *arguments):
        """Run the command, and return what it says on stdout."""
        result = self.run_command(*arguments)
        self.assertEqual((result.exit_code, result.stderr), (0, ""))
        return result.stdout

    def fails(self, *arguments, status=1):
        """Run the command, and return its one sentence on stderr."""
        result = self.run_command(*arguments)
        self.assertEqual((result.exit_code, result.stdout), (status, ""))
        *_, last = result.stderr.splitlines()
        self.assertTrue(last.startswith("Error: "), last)
        if status == 1:
            self.assertEqual(result.stderr.count("\n"), 1)
        return last.removeprefix("Error: ")

    def asked(self, command):
        """Return the arguments of every question of a kind."""
        return [arguments for name, arguments in self.daemon.asked if name == command]
