"""The page that applications sleep on."""

import ctypes
import mmap
import os
import shutil
import stat
import struct
import threading
from pathlib import Path
from tempfile import mkdtemp
from unittest import skipUnless

from twisted.trial.unittest import SynchronousTestCase

from lttngnet.sessiond.ust import wakeup
from lttngnet.sessiond.ust.wakeup import WakeupPage, page_path
from tests.waiting import DEADLINE, wait_until

ROOT = os.geteuid() == 0


class WakeupPageTests(SynchronousTestCase):
    def setUp(self):
        self.folder = Path(mkdtemp(dir="/dev/shm"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.path = self.folder / "page"
        self.uid = os.geteuid()

    def page(self):
        page = WakeupPage(self.path, self.uid)
        self.addCleanup(page.close)
        return page

    def word(self):
        return struct.unpack("=i", self.path.read_bytes()[:4])[0]

    def test_where(self):
        self.assertEqual(str(page_path(0)), "/dev/shm/lttng-ust-wait-8")
        self.assertEqual(str(page_path(1000)), "/dev/shm/lttng-ust-wait-8-1000")

    def test_what_it_says(self):
        page = self.page()
        page.announce()
        self.assertEqual((self.word(), self.path.stat().st_size), (1, mmap.PAGESIZE))
        page.withdraw()
        self.assertEqual(self.word(), 0)

    def test_who_may_write_it(self):
        umask = os.umask(0o077)
        self.addCleanup(os.umask, umask)
        self.page()
        mode = stat.S_IMODE(self.path.stat().st_mode)
        self.assertEqual(mode, 0o664 if ROOT else 0o660)

    def test_one_that_an_application_made(self):
        self.path.write_bytes(bytes(4096))
        self.path.chmod(0o666)
        if ROOT:
            os.chown(self.path, 65534, 65534)
        self.page().announce()
        status = self.path.stat()
        self.assertEqual((status.st_uid, self.word()), (self.uid, 1))
        self.assertFalse(status.st_mode & stat.S_IWOTH)

    def test_what_is_no_page(self):
        other = self.folder / "other"
        other.write_text("precious")
        self.path.symlink_to(other)
        with self.assertRaises(OSError):
            self.page()
        self.path.unlink()
        os.mkfifo(self.path)
        with self.assertRaises(OSError):
            self.page()
        self.assertEqual(other.read_text(), "precious")

    @skipUnless(ROOT, "needs root, to make what is another's")
    def test_a_user_does_not_take_anothers(self):
        self.path.write_bytes(bytes(4096))
        with self.assertRaises(OSError):
            WakeupPage(self.path, 1000)

    def test_somebody_cuts_it(self):
        """Whoever made it can: that is no reason to die."""
        page = self.page()
        page.announce()
        os.truncate(self.path, 0)
        page.withdraw()
        page.announce()
        self.assertEqual(self.word(), 1)

    @skipUnless(wakeup.platform.machine() in wakeup._FUTEX, "no number of futex for this machine")
    def test_who_sleeps_is_woken(self):
        page = self.page()
        page.withdraw()
        asleep, awake = threading.Event(), threading.Event()
        ready = []

        def sleep():
            descriptor = os.open(self.path, os.O_RDWR)
            with mmap.mmap(descriptor, mmap.PAGESIZE) as shared:
                word = ctypes.c_int32.from_buffer(shared)
                address = ctypes.c_void_p(ctypes.addressof(word))
                number = ctypes.c_long(wakeup._FUTEX[wakeup.platform.machine()])
                ready.append(threading.get_native_id())
                asleep.set()
                ctypes.CDLL(None).syscall(number, address, 0, 0, None, None, 0)  # FUTEX_WAIT, while it is 0
                del word
            os.close(descriptor)
            awake.set()

        thread = threading.Thread(target=sleep, daemon=True)
        thread.start()
        asleep.wait(DEADLINE)
        doing = Path(f"/proc/self/task/{ready[0]}/syscall")
        number = str(wakeup._FUTEX[wakeup.platform.machine()])
        wait_until(lambda: doing.read_text().split()[0] == number, "the thread to sleep")
        self.assertFalse(awake.is_set())
        page.announce()
        self.assertTrue(awake.wait(DEADLINE))
        thread.join()
