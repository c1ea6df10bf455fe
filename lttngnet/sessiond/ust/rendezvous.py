"""Where applications come in: each connects twice, and both connections together are the application."""

import os
import socket
import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from lttngnet.errors import WireError
from lttngnet.log import ChannelLogger
from lttngnet.sessiond.ust.application import PATIENCE, Application, ApplicationFacts, Home
from lttngnet.sessiond.ust.connection import Connection
from lttngnet.wire.ust.registration import SIZE, Half, Registration

HALVES_LIMIT = 512
"""Connections that one user may have open which are not an application yet; the oldest then has to go."""

APPLICATIONS_PER_PROCESS = 4
"""Tracers that one process may have: each version of the library is one. The oldest then has to go."""

ACCEPTED_AT_ONCE = 64  # connections, before the reactor looks at something else
_CREDENTIALS = struct.Struct("=3i")


@dataclass(eq=False)
class _Half:
    """A connection that is not an application yet."""

    connection: Connection
    pid: int
    uid: int
    gid: int
    timer: IDelayedCall | None = None
    heard: bytearray = field(default_factory=bytearray)
    registration: Registration | None = None
    byte_order: str = ""


class Rendezvous:
    """Makes applications of connections.

    Args:
        reactor: to read with.
        home: is told of the applications.
        now: says the time, in seconds since the epoch.
        uid: of the daemon. That of root takes the applications of all, another one those of its own user.
        patience: seconds that an application has to introduce itself on both its connections, and afterwards
            for each answer; None for ever.
    """

    log = ChannelLogger()

    def __init__(
        self,
        reactor: Any,
        home: Home,
        now: Callable[[], float],
        uid: int,
        patience: float | None = PATIENCE,
    ) -> None:
        self._reactor = reactor
        self._home = home
        self._now = now
        self._uid = uid
        self._patience = patience
        self._halves: dict[_Half, None] = {}  # the oldest first
        self._per_user: Counter[int] = Counter()
        self._applications: dict[int, list[Application]] = {}  # by process

    def __len__(self) -> int:
        """Return how many connections are no application yet."""
        return len(self._halves)

    def accept(self, sock: socket.socket) -> None:
        """Take a connection, whoever made it."""
        raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        pid, uid, gid = _CREDENTIALS.unpack(raw)
        if pid <= 0:
            self.log.warn("An application of a namespace that we cannot look into is turned away")
            sock.close()
            return
        if self._uid not in (0, uid):
            self.log.info("Process {pid} of user {uid} is turned away: not ours", pid=pid, uid=uid)
            sock.close()
            return
        if self._per_user[uid] >= HALVES_LIMIT:
            self._drop(next(half for half in self._halves if half.uid == uid), "others came after it")
        connection = Connection(self._reactor, sock)
        half = _Half(connection, pid, uid, gid)
        half.timer = self._reactor.callLater(self._patience or PATIENCE, self._drop, half, "it took too long")
        connection.heard = lambda data: self._heard(half, data)
        connection.lost = lambda why: self._drop(half, why)
        self._halves[half] = None
        self._per_user[uid] += 1

    def close(self) -> None:
        """Hang up on everybody: they will look for another daemon."""
        for half in list(self._halves):
            self._drop(half, "the session daemon ends")
        for application in [each for process in self._applications.values() for each in process]:
            application.drop("the session daemon ends")

    def _heard(self, half: _Half, data: bytes) -> None:
        half.heard += data
        if half.registration is not None:
            raise WireError("it spoke unasked")
        if len(half.heard) < SIZE:
            return
        half.registration, half.byte_order = Registration.parse(half.heard)
        if len(half.heard) > SIZE:
            raise WireError("it spoke unasked")
        self._pair(half)

    def _pair(self, new: _Half) -> None:
        """Find the other connection of a process. Either may be the first to be read.

        A process that had to begin anew leaves connections behind, of which the reactor may not know yet that
        they are over.
        """
        assert new.registration is not None
        of_process = [h for h in self._halves if (h.pid, h.uid) == (new.pid, new.uid) and h.registration]
        for half in of_process:
            if half.connection.has_ended():
                self._drop(half, "it hung up")
        for other in of_process:
            if new not in self._halves or other is new or other not in self._halves:
                continue
            assert other.registration is not None
            if other.registration.half == new.registration.half:
                self._drop(other, "it introduced itself anew")
            else:
                self._unite(new, other)

    def _unite(self, one: _Half, other: _Half) -> None:
        for half in (one, other):
            self._forget(half)
        assert one.registration is not None
        command, notify = (one, other) if one.registration.half is Half.COMMAND else (other, one)
        said = command.registration
        assert said is not None
        facts = ApplicationFacts(
            command.pid,
            command.uid,
            command.gid,
            said.procname,
            said.pid,
            said.ppid,
            said.bits,
            command.byte_order,
            said.alignments,
            (said.major, said.minor),
            self._now(),
        )
        connections = command.connection, notify.connection
        application = Application(facts, *connections, self._home, self._reactor, self._patience)
        application.on_gone = self._gone
        process = self._applications.setdefault(facts.pid, [])
        process.append(application)
        if len(process) > APPLICATIONS_PER_PROCESS:
            process[0].drop("its process registered anew, and anew")
        application.greet()

    def _gone(self, application: Application) -> None:
        process = self._applications[application.facts.pid]
        process.remove(application)
        if not process:
            del self._applications[application.facts.pid]

    def _forget(self, half: _Half) -> None:
        del self._halves[half]
        self._per_user[half.uid] -= 1
        if not self._per_user[half.uid]:
            del self._per_user[half.uid]
        if half.timer is not None and half.timer.active():
            half.timer.cancel()

    def _drop(self, half: _Half, why: str) -> None:
        if half in self._halves:
            self._forget(half)
            half.connection.close()
            say = self.log.info if half.heard else self.log.debug  # who says nothing is a mere probe
            say("Process {pid} did not register: {why}", pid=half.pid, why=why)


@implementer(IReadDescriptor)
class Listener:
    """A UNIX socket that is listened on, for `Rendezvous`.

    Attributes:
        socket: may be replaced by one that accepts when it likes (`lttngnet.accepting`).
    """

    log = ChannelLogger()

    def __init__(self, reactor: Any, sock: socket.socket, accept: Callable[[socket.socket], None]) -> None:
        sock.setblocking(False)
        self.socket: Any = sock
        self._reactor = reactor
        self._accept = accept

    def startReading(self) -> None:
        """Accept connections."""
        self._reactor.addReader(self)

    def stopReading(self) -> None:
        """Accept none; they wait in the queue of the operating system."""
        self._reactor.removeReader(self)

    def fileno(self) -> int:
        """Return the descriptor."""
        descriptor: int = self.socket.fileno()
        return descriptor

    def logPrefix(self) -> str:
        """Say whose log lines these are."""
        return "applications"

    def doRead(self) -> None:
        """Accept who waits."""
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                accepted, _address = self.socket.accept()
            except (BlockingIOError, ConnectionAbortedError, InterruptedError):
                return
            try:
                self._accept(accepted)
            except OSError as problem:  # nothing that one application does may make us deaf for the others
                self.log.warn("An application is turned away: {problem}", problem=str(problem))
                accepted.close()

    def connectionLost(self, reason: Failure | None = None) -> None:
        """Close the socket."""
        self.socket.close()


def listen(path: str | os.PathLike[str]) -> socket.socket:
    """Return a socket that listens on a path, where everybody may connect.

    Raises:
        OSError: it cannot be made.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(os.fspath(path))
        os.chmod(path, 0o666)  # noqa: PTH101 (the folder of a user's own daemon keeps others out)
        sock.listen(128)
    except BaseException:
        sock.close()
        raise
    return sock
