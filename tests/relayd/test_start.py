"""What a relay daemon imports: what it was not asked for stays out, as far as that takes time or memory."""

import os

from tests.relayd.test_processes import PATIENCE, ProcessTests

LEFT_OUT = {
    *("asyncio", "email", "http.client", "http.cookiejar", "pdb", "ssl", "unittest", "urllib.request"),
    *("OpenSSL", "cryptography", "service_identity"),
    *("twisted.application.app", "twisted.conch", "twisted.internet.endpoints", "twisted.internet.ssl"),
    *("twisted.internet.stdio", "twisted.protocols.tls", "twisted.web", "twisted.words"),
    *("cffi", "click", "hypothesis", "numpy", "rich"),
    *("lttngnet.cli", "lttngnet.client", "lttngnet.consumer", "lttngnet.endpoints", "lttngnet.filters"),
    *("lttngnet.logs", "lttngnet.sessiond", "lttngnet.sources", "lttngnet.wire.amp", "lttngnet.wire.ust"),
}
"""Packages that nobody needs who listens on plain TCP, with what is in them."""

TELL = """
import atexit, os, sys
def tell():
    with open(os.environ["TELL"], "w") as file:
        file.writelines(name + "\\n" for name, module in sorted(sys.modules.items()) if module)
atexit.register(tell)
"""
"""Is run by Python before the daemon."""


class ImportTests(ProcessTests):
    def imported(self):
        """Start a daemon, end it, and return the names of what it had imported by then."""
        told = self.folder / "modules"
        (self.folder / "sitecustomize.py").write_text(TELL)
        path = os.pathsep.join([str(self.folder), self.environ["PYTHONPATH"]])
        self.environ |= {"PYTHONPATH": path, "TELL": str(told)}
        process = self.start()
        process.terminate()
        _, said = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 0, said)
        return told.read_text().split()

    def test_left_out(self):
        found = self.imported()
        self.assertIn("lttngnet.relayd.service", found)
        needless = tuple(f"{name}." for name in LEFT_OUT)
        self.assertEqual([name for name in found if f"{name}.".startswith(needless)], [])
