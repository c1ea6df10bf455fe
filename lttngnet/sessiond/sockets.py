"""The UNIX sockets of the session daemon, for clients and for traced programs."""

import grp
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory

from lttngnet.log import Logger
from lttngnet.startup import CannotStart


def is_answered(path: Path) -> bool:
    """Tell whether somebody listens on a UNIX socket; one that a dead process left is removed.

    Raises:
        OSError: the socket can be neither reached nor removed.
    """
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(os.fspath(path))
        except FileNotFoundError:
            return False
        except ConnectionRefusedError:
            path.unlink()
            return False
        except BlockingIOError:  # its queue is full: alive, if not well
            return True
    return True


class SharedSocket(Service):
    """Listens on a UNIX socket for its owner, and, where that is root, for the members of a group."""

    log = Logger()

    def __init__(self, reactor: Any, path: Path, factory: Factory, group: str) -> None:
        self._reactor = reactor
        self._path = path
        self._factory = factory
        self._group = group
        self._port: IListeningPort | None = None

    def privilegedStartService(self) -> None:
        """Listen.

        Raises:
            CannotStart: somebody else does, or the socket cannot be made.
        """
        super().privilegedStartService()
        is_root = os.geteuid() == 0
        try:
            if is_answered(self._path):
                raise CannotStart("lttng-sessiond", f"another session daemon listens on {self._path}")
            mode = 0o660 if is_root else 0o600
            self._port = self._reactor.listenUNIX(os.fspath(self._path), self._factory, mode=mode)
            if is_root:
                with suppress(KeyError):  # there is no such group
                    os.chown(self._path, -1, grp.getgrnam(self._group).gr_gid)
        except (OSError, CannotListenError) as problem:
            raise CannotStart("lttng-sessiond", f"cannot listen on {self._path}: {problem}") from None
        self.log.info("Listening on {path}", path=self._path)

    def stopService(self) -> "Deferred[None] | None":
        """Listen no more."""
        super().stopService()
        if self._port is None:
            return None
        port, self._port = self._port, None
        stopping: Any = port.stopListening()
        return stopping  # type: ignore[no-any-return]
