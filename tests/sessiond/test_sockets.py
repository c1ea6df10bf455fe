"""The session daemon's UNIX sockets: nobody is thrown out of one, and what the dead left is taken."""

import os
import shutil
import socket
import stat
from pathlib import Path
from tempfile import mkdtemp

from twisted.internet import reactor
from twisted.internet.protocol import Factory
from twisted.trial.unittest import TestCase

from lttngnet.sessiond.sockets import SharedSocket, is_answered
from lttngnet.startup import CannotStart


class SharedSocketTests(TestCase):
    def setUp(self):
        self.folder = Path(mkdtemp())  # a short path: it holds a socket
        self.addCleanup(shutil.rmtree, self.folder)
        self.path = self.folder / "socket"
        self.service = SharedSocket(reactor, self.path, Factory(), "no such group")
        self.listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(self.listener.close)

    def test_another_daemon(self):
        self.listener.bind(str(self.path))
        self.listener.listen()
        self.assertTrue(is_answered(self.path))
        with self.assertRaises(CannotStart):
            self.service.privilegedStartService()

    def test_another_daemon_that_is_too_busy(self):
        self.listener.bind(str(self.path))
        self.listener.listen(0)
        waiting = socket.socket(socket.AF_UNIX)
        self.addCleanup(waiting.close)
        waiting.connect(str(self.path))
        self.assertTrue(is_answered(self.path))

    def test_stale(self):
        """Only the user, or root's group, may connect."""
        self.listener.bind(str(self.path))
        self.listener.close()
        self.service.privilegedStartService()
        mode = self.path.stat().st_mode
        self.assertTrue(stat.S_ISSOCK(mode))
        self.assertEqual(stat.S_IMODE(mode), 0o660 if os.geteuid() == 0 else 0o600)
        self.assertTrue(is_answered(self.path))
        return self.service.stopService()

    def test_no_folder(self):
        service = SharedSocket(reactor, self.folder / "missing" / "socket", Factory(), "no such group")
        with self.assertRaises(CannotStart):
            service.privilegedStartService()
