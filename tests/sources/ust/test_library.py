"""Loading the library, and what is said where it is missing."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from lttngnet.errors import Code, CommandError
from lttngnet.sources.ust import library as module
from lttngnet.sources.ust.library import LibraryError, LibraryMissing, load
from lttngnet.sources.ust.source import UstSource
from tests.sources.ust import library


class LibraryTests(SynchronousTestCase):
    def test_load(self):
        """There is a stream for each CPU; no thread is started, and no signal is left blocked."""
        threads, signals = threading.active_count(), signal.pthread_sigmask(signal.SIG_BLOCK, ())
        self.assertGreaterEqual(library().cpus, os.cpu_count())
        self.assertLessEqual(threading.active_count(), threads)
        self.assertEqual(signal.pthread_sigmask(signal.SIG_BLOCK, ()), signals)

    def test_in_a_fresh_process(self):
        """Also with the reactor running threads before."""
        library()
        program = (
            "import threading, time; threading.Thread(target=time.sleep, args=(9,), daemon=True).start()\n"
            "from lttngnet.sources.ust.library import load; print(load().cpus)"
        )
        run = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
        self.assertEqual((run.stdout.decode().strip(), run.stderr), (str(library().cpus), b""))

    def test_another_version(self):
        """A library of another LTTng is not taken for it."""
        with self.assertRaises(LibraryMissing) as caught:
            load("liblttng-ust-ctl.so.99")
        self.assertIn("needs liblttng-ust-ctl.so.99", str(caught.exception))

    def test_what_to_install(self):
        """The sentence names the package; nothing else was looked for, no compiler run."""
        packages = module.PACKAGES
        for missing in (module.SONAME, module.NEEDED):
            absent = missing + ".absent"
            self.patch(module, "PACKAGES", {absent: packages[missing]})
            arguments = (absent,) if missing == module.SONAME else (module.SONAME, absent)
            with self.assertRaises(LibraryMissing) as caught:
                load(*arguments)
            self.assertIn(f"on Debian, install {module.PACKAGES[absent]}", str(caught.exception))
            self.assertNotIn("\n", str(caught.exception))

    def test_the_user_is_told(self):
        """A consumer process whose machine lacks the library."""
        library()
        hidden = Path(self.mktemp())
        hidden.mkdir()
        (hidden / "cffi.py").write_text("raise ImportError('hidden')")
        program = (
            "from lttngnet.errors import CommandError\n"
            "from lttngnet.consumer.kinds import make_source\n"
            "try: make_source(None, 'userspace', {})\n"
            "except CommandError as refused: print(refused.to_text())\n"
        )
        path = os.pathsep.join([str(hidden.absolute()), *sys.path])
        run = subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONPATH": path}, capture_output=True, check=False
        )
        error = CommandError.from_text(run.stdout.decode().strip())
        self.assertEqual(error.code, Code.NO_UST)
        self.assertIn("lttngnet[ust]", error.sentence)

    def test_there(self):
        library()
        UstSource.from_config({"session": "s1"}, None).close()

    def test_an_error(self):
        ours = library()
        with self.assertRaises(LibraryError) as caught:
            ours.call("stream_get_wait_fd", ours.ffi.NULL)
        self.assertGreater(caught.exception.errno, 0)
        self.assertIn("stream_get_wait_fd: ", str(caught.exception))
