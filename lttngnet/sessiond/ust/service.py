"""The socket where applications find the daemon, and the page that wakes those who came before it."""

import fcntl
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from twisted.application.service import Service

from lttngnet.accepting import Entrance
from lttngnet.log import Logger
from lttngnet.rundir import ROOT_RUNDIR, home
from lttngnet.sessiond.sockets import is_answered
from lttngnet.sessiond.ust.application import PATIENCE
from lttngnet.sessiond.ust.applications import Applications
from lttngnet.sessiond.ust.rendezvous import Listener, Rendezvous, listen
from lttngnet.sessiond.ust.wakeup import WakeupPage, page_path
from lttngnet.startup import CannotStart

SOCKET = "lttng-ust-sock-8"
"""The socket, for every tracer since 2.13: the number is that of the oldest interface it can speak."""

LOCK = "lttng-sessiond.lck"
"""A file that every session daemon of a folder locks, LTTng's own too."""


def ust_folder(environ: Mapping[str, str], uid: int) -> Path:
    """Return where the applications of a user look for his session daemon; those of all, for root's.

    They know nothing of ``--rundir`` and of ``$LTTNG_RUNDIR``.
    """
    return Path(ROOT_RUNDIR) if uid == 0 else Path(home(environ), ".lttng")


def application_patience(environ: Mapping[str, str]) -> float | None:
    """Return how many seconds an answer may take: ``$LTTNG_APP_SOCKET_TIMEOUT``; None is for ever."""
    try:
        seconds = int(environ.get("LTTNG_APP_SOCKET_TIMEOUT", ""))
    except ValueError:
        return PATIENCE
    return float(seconds) if seconds > 0 else None


class UstRendezvous(Service):
    """Lets applications in from its start to its end; to be started when all is ready for them.

    Args:
        reactor: Twisted's.
        folder: where applications look: `ust_folder`.
        applications: is told of them.
        patience: see `application_patience`.
        page: that wakes applications; by default that of the user who runs us.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        folder: Path,
        applications: Applications,
        patience: float | None = PATIENCE,
        page: Path | None = None,
    ) -> None:
        self._reactor = reactor
        self._path = folder / SOCKET
        self._uid = os.geteuid()
        self._page_path = page_path(self._uid) if page is None else page
        self._page: WakeupPage | None = None
        self._lock: int | None = None
        self._listener: Listener | None = None
        self._entrance: Entrance | None = None
        self._rendezvous = Rendezvous(reactor, applications, time.time, self._uid, patience)

    def privilegedStartService(self) -> None:
        """Listen; who connects waits until the service is started.

        Raises:
            CannotStart: somebody else does, or the socket cannot be made.
        """
        super().privilegedStartService()
        if self._listener is not None:
            return
        folder = self._path.parent
        try:
            folder.mkdir(mode=0o755 if self._uid == 0 else 0o700, parents=True, exist_ok=True)
            self._lock = _lock(folder / LOCK)
            if self._lock is None or is_answered(self._path):
                raise CannotStart(
                    "lttng-sessiond",
                    f"another session daemon traces the applications that look in {folder}; "
                    "end it, or say --no-ust",
                )
            self._listener = Listener(self._reactor, listen(self._path), self._rendezvous.accept)
        except OSError as problem:
            raise CannotStart("lttng-sessiond", f"cannot listen on {self._path}: {problem}") from None
        finally:
            if self._listener is None:
                self._unlock()

    def startService(self) -> None:
        """Let applications in, and wake those who wait."""
        super().startService()
        if self._listener is None:  # nobody called privilegedStartService
            self.privilegedStartService()
        assert self._listener is not None
        self._entrance = Entrance("applications", self._listener, self._reactor)
        self._entrance.startReading()
        self.log.info("Listening for applications on {path}", path=str(self._path))
        try:
            self._page = WakeupPage(self._page_path, self._uid)
            self._page.announce()
        except OSError as problem:
            self.log.warn(
                "Applications that were started before are not woken: {problem}", problem=str(problem)
            )

    def stopService(self) -> None:
        """Let nobody in, and hang up on everybody: they wait for the next session daemon."""
        super().stopService()
        if self._page is not None:
            with suppress(OSError):
                self._page.withdraw()
            self._page.close()
            self._page = None
        if self._entrance is not None:
            self._entrance.stopReading()
            self._entrance.leave()
            self._entrance = None
        if self._listener is not None:
            self._path.unlink(missing_ok=True)
            self._listener.connectionLost()
            self._listener = None
        self._rendezvous.close()
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _lock(path: Path) -> int | None:
    """Return the descriptor of a file that we have locked, None if somebody else has."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o660)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
