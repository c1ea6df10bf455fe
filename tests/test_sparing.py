"""What Twisted imports is left out where it can be, and comes in when somebody uses it."""

import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import lttngnet

BEGIN = "import sys; from lttngnet.sparing import import_little, leave_out_tls; import_little(); "


class SparingTests(SynchronousTestCase):
    def run_it(self, code):
        """Run Python code in a process of its own, and return what it says."""
        command = [sys.executable, "-c", BEGIN + code]
        folder = Path(lttngnet.__file__).parents[1]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout

    def test_left_out(self):
        code = "print({'asyncio', 'http.cookiejar', 'ssl'} & set(sys.modules), 'twisted' in sys.modules)"
        self.assertEqual(self.run_it(code), "set() True\n")

    def test_what_is_used_comes_in(self):
        code = "from twisted.python import compat; print(compat.cookielib.CookieJar.__module__)"
        self.assertEqual(self.run_it(code), "http.cookiejar\n")

    def test_it_may_be_imported(self):
        code = "import asyncio, http.cookiejar; print(asyncio.Future.__name__, asyncio.run.__module__)"
        self.assertEqual(self.run_it(code), "Future asyncio.runners\n")

    def test_twisted_asks_for_more(self):
        """Another version of it might, while it is imported."""
        code = (
            "from lttngnet.sparing import _Later; sys.modules['asyncio'] = _Later('asyncio', Future=1)\n"
            "from asyncio import Future, run\nprint(Future, run.__module__)"
        )
        self.assertEqual(self.run_it(code), "1 asyncio.runners\n")

    def test_coroutines(self):
        """Twisted tells them as ever."""
        code = """if True:
            from twisted.internet.defer import Deferred, ensureDeferred, inlineCallbacks, succeed
            async def add(): return 1 + await succeed(2)
            @inlineCallbacks
            def double():
                result = yield add()
                return 2 * result
            for each in (ensureDeferred(add()), double(), Deferred.fromCoroutine(add())):
                each.addCallback(print)
        """
        self.assertEqual(self.run_it(code.replace("if True:", "\nif True:")), "3\n6\n3\n")

    def test_without_tls(self):
        code = "leave_out_tls()\ntry:\n import OpenSSL\nexcept ImportError: print('none')"
        self.assertEqual(self.run_it(code), "none\n")

    def test_too_late(self):
        """Who has imported Twisted before keeps what he has."""
        code = "import asyncio; import_little(); print(sys.modules['asyncio'] is asyncio)"
        self.assertEqual(self.run_it(code), "True\n")
