"""Health: whether the daemon is well, for whoever asks on a UNIX socket.

The question is a 32-bit 0, the answer a 64-bit mask in which a bit stands for a part that is not well (0: all
is well), both in the byte order of the machine; then the connection is closed. This is what
``lttng_health_query`` of liblttng-ctl speaks.
"""

import enum
import grp
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from struct import Struct
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IListeningPort, IReactorTime, ITransport
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import LoopingCall
from twisted.protocols.policies import TimeoutMixin

from lttngnet.accepting import Entrance
from lttngnet.log import ChannelLogger
from lttngnet.rundir import default_rundir
from lttngnet.startup import CannotStart

TICK = 1.0  # seconds between two looks at the clock
LATE = 3.0  # seconds by which a tick may be late before the daemon is not well
PATIENCE = 10.0  # seconds that a client may take for its question

_QUESTION = Struct("=I")
_ANSWER = Struct("=Q")
_CHECK = 0


class Part(enum.IntFlag):
    """Parts of the daemon, at the bits where clients of LTTng look for them."""

    WORKER = 1 << 1
    LISTENER = 1 << 2
    LIVE_LISTENER = 1 << 5


def health_path(environ: Mapping[str, str], uid: int) -> Path:
    """Return where the health socket of this process belongs, for this user."""
    if path := environ.get("LTTNG_RELAYD_HEALTH"):
        return Path(path).absolute()
    return Path(default_rundir(environ, uid), "relayd", f"health-{os.getpid()}")


class Pulse(Service):
    """Notices when the reactor is kept from its work."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._due = clock.seconds()
        self._was_late = False
        self._ticking = LoopingCall(self._tick)
        self._ticking.clock = clock

    def startService(self) -> None:
        """Begin to tick."""
        super().startService()
        self._due = self._clock.seconds()
        self._ticking.start(TICK)

    def stopService(self) -> None:
        """Tick no more."""
        super().stopService()
        if self._ticking.running:
            self._ticking.stop()

    def is_well(self) -> bool:
        """Tell whether the last tick came in time, and the next one is not overdue."""
        return not self._was_late and self._clock.seconds() - self._due < LATE

    def _tick(self) -> None:
        now = self._clock.seconds()
        self._was_late = now - self._due >= LATE
        self._due = now + TICK


class HealthChannel(Protocol, TimeoutMixin):
    """Answers one question."""

    log = ChannelLogger()
    transport: ITransport

    def __init__(self, clock: IReactorTime, ailing: Callable[[], int]) -> None:
        self.callLater = clock.callLater  # type: ignore[method-assign,assignment]
        self._ailing = ailing
        self._heard = b""

    def connectionMade(self) -> None:
        """Wait for the question, but not for ever."""
        self.setTimeout(PATIENCE)

    def dataReceived(self, data: bytes) -> None:
        """Answer when the question is whole."""
        self._heard += data[: _QUESTION.size]
        if len(self._heard) < _QUESTION.size:
            return
        self.setTimeout(None)
        (command,) = _QUESTION.unpack_from(self._heard)
        if command == _CHECK:
            answer = int(self._ailing())
            self.transport.write(_ANSWER.pack(answer))
            self.log.debug("Asked for health: {answer:#x}", answer=answer)
        else:
            self.log.warn("On the health socket, there is no command {command}", command=command)
        self.transport.loseConnection()

    def connectionLost(self, reason: Any = None) -> None:
        """Wait no longer."""
        self.setTimeout(None)


class HealthFactory(Factory):
    """Makes a channel for each client.

    Args:
        clock: counts the time that a client may take.
        ailing: returns the mask of the parts that are not well.
    """

    noisy = False

    def __init__(self, clock: IReactorTime, ailing: Callable[[], int]) -> None:
        self._clock = clock
        self._ailing = ailing

    def buildProtocol(self, addr: IAddress | None) -> HealthChannel:
        """Return the channel of a new connection."""
        return HealthChannel(self._clock, self._ailing)


class HealthSocket(Service):
    """Listens on the health socket; that of root is open to the members of a group.

    Args:
        reactor: listens.
        path: tells the path; is asked when the daemon starts, in its final process.
        group: name of the group; that there is none is no error.
        ailing: returns the mask of the parts that are not well.
    """

    name = "health"

    def __init__(self, reactor: Any, path: Callable[[], Path], group: str, ailing: Callable[[], int]) -> None:
        self._reactor = reactor
        self._path = path
        self._group = group
        self._factory = HealthFactory(reactor, ailing)
        self._listening: IListeningPort | None = None
        self._entrance: Entrance | None = None

    def privilegedStartService(self) -> None:
        """Listen; a socket that is left from before is replaced.

        Raises:
            CannotStart: the socket cannot be made.
        """
        super().privilegedStartService()
        path = self._path()
        try:
            self._make_folder(path.parent)
            if path.is_socket():
                path.unlink()
            self._listening = self._reactor.listenUNIX(os.fspath(path), self._factory, mode=0o660)
            self._entrance = Entrance(self.name, self._listening, self._reactor)
            if os.geteuid() == 0:
                with suppress(KeyError):
                    os.chown(path, -1, grp.getgrnam(self._group).gr_gid)
        except (OSError, CannotListenError) as problem:
            raise CannotStart("lttng-relayd", f"cannot listen for health on {path}: {problem}") from None

    def stopService(self) -> "Deferred[None] | None":
        """Listen no more; the socket is removed."""
        super().stopService()
        if self._listening is None or self._entrance is None:
            return None
        listening, self._listening = self._listening, None
        self._entrance.leave()
        stopping: Any = listening.stopListening()
        return stopping  # type: ignore[no-any-return]

    def _make_folder(self, folder: Path) -> None:
        """Make the folder, and those above it: the owner's alone, but root's let everybody through."""
        mode = 0o755 if os.geteuid() == 0 else 0o700
        for path in (*reversed(folder.parents), folder):
            with suppress(FileExistsError):
                path.mkdir(mode)
