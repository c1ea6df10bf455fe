"""What the tutorials say is typed is typed, and what they say is printed is printed.

A few things are not word for word as on the pages, so that this harms nobody and can be repeated.

In the first one (``doc/tutorial.rst``), `tests.pages` apart:

* ``$HOME`` is a temporary folder for each shell, and ``$LTTNG_RUNDIR`` is ``~/.lttng`` also for root;
* ``twistd lttng-relayd`` gets options: to listen on free ports of the loopback, and to write them down;
* ``twistd lttng-sessiond`` leaves C applications to whatever daemon traces those of this machine;
* those ports stand for the page's ``net://192.168.1.10``.

In the one on applications, all but ``$HOME`` is as on the page: it is typed in a namespace, where nobody
listens yet, ``/run`` is empty, and the loopback has the page's address.
"""

import contextlib
import json
import os
import signal
import subprocess
from unittest import skipIf

from twisted.trial.unittest import SynchronousTestCase

from lttngnet.sources.ust.library import LibraryMissing, load
from tests import pages
from tests.interop.genuine import Namespace
from tests.pages import PageMixin, Shell

HOST = "192.168.1.10"
ADDRESS = f"net://{HOST}"
LISTEN = "-C tcp://127.0.0.1:0 -D tcp://127.0.0.1:0 -L tcp://127.0.0.1:0 --ports-file ports"


def missing_for_applications():
    """Return why applications cannot be made and traced here, or None."""
    if os.geteuid() != 0:
        return "needs root, for a namespace"
    if lacking := pages.missing("gcc", "unshare", "nsenter", "ip"):
        return lacking
    header = ["gcc", "-E", "-x", "c", "-include", "lttng/tracepoint.h", os.devnull]
    if subprocess.run(header, capture_output=True, check=False).returncode:
        return "not installed: the headers of lttng-ust"
    try:
        load()
    except LibraryMissing as lacking:
        return str(lacking)
    return None


@skipIf(pages.missing(), pages.missing())
class TutorialTests(PageMixin, SynchronousTestCase):
    page = "tutorial.rst"

    def make_shell(self, home):
        self.addCleanup(self.end_daemons, home)
        return Shell(home, {"LTTNG_RUNDIR": str(home / ".lttng")})

    def end_daemons(self, home):
        for pid_file in home.glob("*/twistd.pid"):  # still there if a test failed
            with contextlib.suppress(ProcessLookupError, ValueError):
                os.kill(int(pid_file.read_text()), signal.SIGKILL)

    def replaced(self, command):
        if ADDRESS in command:
            ports = json.loads((self.shells["receiver"].home / "relay" / "ports").read_text())
            here = f"net://127.0.0.1:{ports['control']}"
            command = command.replace(f"{ADDRESS}:5342", here)
            command = command.replace(ADDRESS, f"{here}:{ports['data']}")
        command = command.replace("twistd lttng-relayd", f"twistd lttng-relayd {LISTEN}")
        return super().replaced(command.replace("twistd lttng-sessiond", "twistd lttng-sessiond --no-ust"))


@skipIf(missing_for_applications(), missing_for_applications())
class ApplicationsTutorialTests(PageMixin, SynchronousTestCase):
    page = "tutorial-applications.rst"

    def make_shell(self, home):
        if not hasattr(self, "namespace"):
            self.namespace = Namespace(self.folder)
            self.addCleanup(self.namespace.close)
            self.namespace.run("ip", "address", "add", f"{HOST}/32", "dev", "lo")
        return Shell(home, {}, self.namespace.inside(["env", "-C", home]))
