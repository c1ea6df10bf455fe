"""The connection to a session daemon: who we are, what it wants, and the sockets for it."""

import contextlib
import os
import socket
from collections import deque
from collections.abc import Callable
from pathlib import Path
from struct import Struct
from threading import Event, Lock, Thread

from lttngnet.errors import WireError
from lttngnet.logs.outlet import Outlet, guard, procname
from lttngnet.wire.records import TALK_LIMIT, Done, Forget, Frames, Message, Ready, Register, Want, hear, say

FIRST_PAUSE = 0.25
"""Seconds after which a daemon that was not there is looked for again; doubled each time."""

LONGEST_PAUSE = 4.0
"""Seconds between two looks for a daemon, at most."""


_CREDENTIALS = Struct("=3i")  # struct ucred: pid, uid, gid


class Link:
    """Finds the daemon at a path, also one that comes later or comes again, and does what it says.

    Only root's daemon and those of our own user are obeyed.

    Args:
        path: of the daemon's socket.
        changed: called when `outlets` has changed, or what one of them wants. Any thread.
        orphans: outlets inherited through a fork. Their sockets are closed, but they tell what was wanted;
            they are dropped when the daemon has said what it wants now.
        grace: seconds to wait before looking for the daemon for the first time.
    """

    def __init__(
        self,
        path: Path,
        changed: Callable[[], None],
        orphans: dict[str, Outlet] | None = None,
        grace: float = 0.0,
    ) -> None:
        self.path = path
        self.outlets: dict[str, Outlet] = orphans or {}
        self._orphaned = bool(orphans)
        self._changed = changed
        self._grace = grace
        self._lock = Lock()  # for `outlets`, which only this class changes
        self._settled = Event()
        self._wake = Event()
        self._over = False
        self._talk: socket.socket | None = None
        self._descriptors: deque[int] = deque()

    def start(self) -> None:
        """Begin, in a thread of its own."""
        with contextlib.suppress(RuntimeError):  # no thread to be had: then there is no tracing
            Thread(target=self._run, name="lttngnet", daemon=True).start()

    def settle(self, timeout: float) -> None:
        """Wait, at most ``timeout`` seconds, until we know what the daemon wants, or that there is none."""
        self._wake.set()
        self._settled.wait(timeout)

    def close(self) -> None:
        """End the connection and close the outlets."""
        self._over = True
        self._wake.set()
        if self._talk is not None:
            with contextlib.suppress(OSError):  # not connected any more
                self._talk.shutdown(socket.SHUT_RDWR)
        with self._lock:
            self._drop()

    def abandon(self) -> dict[str, Outlet]:
        """Close, in a forked child, the copies of our descriptors; return the outlets, orphaned."""
        if self._talk is not None:
            self._talk.close()
        for descriptor in self._descriptors:
            os.close(descriptor)
        for outlet in self.outlets.values():
            outlet.abandon()
        return {name: outlet for name, outlet in self.outlets.items() if outlet.rules}

    def drop_orphans(self) -> None:
        """Forget what was inherited."""
        with self._lock:
            if self._orphaned:
                self._drop()

    def _run(self) -> None:
        with guard:  # whatever is logged in this thread comes from here
            self._wake.wait(self._grace)
            pause = FIRST_PAUSE
            while not self._over:
                self._settled.clear()
                with contextlib.suppress(OSError, WireError):
                    self._converse()
                if self._settled.is_set():
                    pause = FIRST_PAUSE
                with self._lock:
                    self._drop()
                self._settled.set()
                self._wake.clear()
                if not self._over:
                    self._wake.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    def _converse(self) -> None:
        """Connect, say who we are, and do what is wanted until the daemon is gone."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as talk:
            self._talk = talk
            frames = Frames(TALK_LIMIT)
            try:
                talk.connect(os.fspath(self.path))
                if _user(talk) not in (0, os.geteuid()):
                    raise PermissionError("what we log is no other user's business")
                talk.sendall(say(Register(os.getpid(), procname())))
                while not self._over:
                    data, descriptors, _, _ = socket.recv_fds(talk, 1 << 16, 16, socket.MSG_CMSG_CLOEXEC)
                    if not data:
                        break
                    self._descriptors.extend(descriptors)
                    for content in frames.feed(data):
                        with self._lock:
                            answer = self._obey(hear(content))
                        if answer is not None:
                            talk.sendall(say(answer))
            finally:
                self._talk = None
                while self._descriptors:
                    os.close(self._descriptors.popleft())

    def _obey(self, message: Message) -> Done | None:
        if self._orphaned:
            self._drop()
        match message:
            case Want(serial, session, rules, fresh):
                if fresh:
                    self._forget(session)
                    self.outlets[session] = Outlet(socket.socket(fileno=self._descriptors.popleft()))
                if session in self.outlets:
                    self.outlets[session].want(rules)
            case Forget(serial, session):
                self._forget(session)
            case Ready():
                self._settled.set()
                return None
            case _:
                raise WireError(f"the daemon says {message}")
        self._changed()
        return Done(serial)

    def _forget(self, session: str) -> None:
        outlet = self.outlets.pop(session, None)
        if outlet is not None:
            outlet.close()

    def _drop(self) -> None:
        self._orphaned = False
        dropped, self.outlets = self.outlets, {}
        self._changed()
        for outlet in dropped.values():
            outlet.close()


def _user(talk: socket.socket) -> int:
    """Return who is at the other end."""
    _, uid, _ = _CREDENTIALS.unpack(talk.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return int(uid)
