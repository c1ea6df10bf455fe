"""The socket of applications: whose it is, who may connect, and when."""

import os
import resource
import shutil
import socket
import stat
import subprocess
import sys
from pathlib import Path
from tempfile import mkdtemp

from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from lttngnet.sessiond.ust.applications import Applications
from lttngnet.sessiond.ust.service import (
    LOCK,
    PATIENCE,
    SOCKET,
    UstRendezvous,
    application_patience,
    ust_folder,
)
from lttngnet.startup import CannotStart, raise_descriptor_limit
from lttngnet.wire.ust.commands import Command
from tests.sessiond.ust.fake import FakeApplication


class WhereTests(TestCase):
    def test_the_folder(self):
        self.assertEqual(ust_folder({"LTTNG_RUNDIR": "/x", "LTTNG_HOME": "/y"}, 0), Path("/run/lttng"))
        self.assertEqual(ust_folder({"LTTNG_HOME": "/y", "HOME": "/z"}, 1000), Path("/y/.lttng"))
        self.assertEqual(ust_folder({"HOME": "/z"}, 1000), Path("/z/.lttng"))

    def test_patience(self):
        for text, seconds in (("", PATIENCE), ("x", PATIENCE), ("7", 7.0), ("0", None), ("-1", None)):
            self.assertEqual(application_patience({"LTTNG_APP_SOCKET_TIMEOUT": text}), seconds, text)
        self.assertEqual(application_patience({}), PATIENCE)

    def test_descriptors(self):
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1] // 2, limits[1]))
        self.assertEqual(raise_descriptor_limit(), limits[1])
        self.assertEqual(resource.getrlimit(resource.RLIMIT_NOFILE), (limits[1], limits[1]))


class ServiceTests(TestCase):
    def setUp(self):
        self.folder = Path(mkdtemp())  # a short path: it holds a socket
        self.addCleanup(shutil.rmtree, self.folder)
        self.path = self.folder / "lttng" / SOCKET
        self.page = self.folder / "page"
        self.service = self.make()

    def make(self):
        service = UstRendezvous(reactor, self.path.parent, Applications(), page=self.page)
        self.addCleanup(service.stopService)
        return service

    def says(self):
        return int.from_bytes(self.page.read_bytes()[:4], "little") if self.page.exists() else None

    def cannot_start(self, service, *words):
        with self.assertRaises(CannotStart) as caught:
            service.privilegedStartService()
        for word in words:
            self.assertIn(word, str(caught.exception))
        self.assertEqual(len(str(caught.exception).splitlines()), 1)

    async def test_from_start_to_end(self):
        umask = os.umask(0o077)
        try:
            self.service.privilegedStartService()
        finally:
            os.umask(umask)
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o666)
        self.assertEqual(self.says(), None)
        fake = FakeApplication(self.path)
        self.addCleanup(fake.close)
        fake.register()  # who comes early waits
        self.service.startService()
        self.assertEqual(self.says(), 1)
        await deferToThread(fake.answer_until, Command.REGISTER_DONE)
        self.service.stopService()
        self.assertEqual((self.says(), self.path.exists()), (0, False))
        self.assertTrue(await deferToThread(fake.hears_the_end, fake.command))
        self.service.stopService()

    def test_it_can_start_again(self):
        for _ in range(2):
            self.service.privilegedStartService()
            self.service.startService()
            self.service.stopService()

    def test_another_daemon_that_answers(self):
        """As LTTng's own does; its socket stays as it is."""
        self.path.parent.mkdir()
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(self.path))
            other.listen()
            self.cannot_start(self.service, "another session daemon", "--no-ust", str(self.path.parent))
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(self.path))
        self.assertEqual(self.says(), None)
        self.service.privilegedStartService()  # what it left is removed

    def test_another_daemon_of_ours(self):
        self.service.privilegedStartService()
        self.service.startService()
        other = self.make()
        # In one process, a lock is its own: the socket tells.
        self.cannot_start(other, "another session daemon")
        other.stopService()
        self.assertEqual(self.says(), 1)
        self.assertTrue(self.path.exists())

    def test_another_daemon_that_does_not_listen_yet(self):
        """It has locked the folder, as LTTng's own does before it makes its sockets."""
        self.path.parent.mkdir()
        program = (
            "import fcntl, sys; lock = open(sys.argv[1], 'w'); fcntl.lockf(lock, fcntl.LOCK_EX);"
            "print('locked', flush=True); sys.stdin.read()"
        )
        command = [sys.executable, "-c", program, str(self.path.parent / LOCK)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
            self.assertEqual(other.stdout.readline(), "locked\n")
            self.cannot_start(self.service, "another session daemon")
        self.service.privilegedStartService()

    def test_no_folder(self):
        self.path.parent.write_text("a file")
        self.cannot_start(self.service, "cannot listen on", str(self.path))

    def test_a_page_that_cannot_be(self):
        self.page.mkdir()
        self.service.privilegedStartService()
        self.service.startService()
        self.assertTrue(self.path.is_socket())
