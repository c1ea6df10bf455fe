"""Where agents find us: a TCP port of this machine alone, whose number stands in a file."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort

from lttngnet.accepting import Entrance
from lttngnet.log import Logger
from lttngnet.sessiond.agents.agent import Agents

HOST = "127.0.0.1"
PORTS = range(5345, 5355)
"""Of which we take the first free one, as LTTng does."""

PORT_FILE = "agent.port"
"""Name of the file in the run-time folder."""


class AgentPort(Service):
    """Listens for agents. Where no port is free, the daemon does without agents, and says so.

    Args:
        reactor: IReactorTCP.
        rundir: where the file goes; agents look into ``/run/lttng`` and ``~/.lttng``, and nowhere else.
        agents: serves them.
        ports: to try.
    """

    log = Logger()

    def __init__(self, reactor: Any, rundir: Path, agents: Agents, ports: Sequence[int] = PORTS) -> None:
        self._reactor = reactor
        self._file = rundir / PORT_FILE
        self._agents = agents
        self._ports = ports
        self._port: IListeningPort | None = None
        self._entrance: Entrance | None = None

    def privilegedStartService(self) -> None:
        """Listen, then say where."""
        super().privilegedStartService()
        for number in self._ports:
            with suppress(CannotListenError):
                self._port = self._reactor.listenTCP(number, self._agents, interface=HOST)
                self._entrance = Entrance("agents", self._port, self._reactor)
                self._publish(self._port.getHost().port)  # type: ignore[union-attr]
                return
        self.log.warn(
            "No agent can connect: the ports {first} to {last} are taken.",
            first=self._ports[0],
            last=self._ports[-1],
        )

    def stopService(self) -> "Deferred[None] | None":
        """Take the file away, listen no more, and end the connections."""
        super().stopService()
        if self._port is None:
            return None
        port, self._port = self._port, None
        if self._entrance is not None:
            self._entrance.leave()
        with suppress(OSError):
            if self._file.read_text() == f"{port.getHost().port}\n":  # type: ignore[attr-defined]
                self._file.unlink()
        self._agents.close()
        stopping: Any = port.stopListening()
        return stopping  # type: ignore[no-any-return]

    def _publish(self, number: int) -> None:
        """Write the file at a stroke, for everybody to read."""
        fresh = self._file.with_name(f".{PORT_FILE}.{os.getpid()}")
        try:
            fresh.unlink(missing_ok=True)
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            with os.fdopen(descriptor, "w") as file:
                os.fchmod(descriptor, 0o644)  # whatever the umask is
                file.write(f"{number}\n")
            fresh.rename(self._file)
        except OSError as problem:
            why = problem.strerror
            self.log.warn("Agents cannot find us: {file} cannot be written: {why}", file=self._file, why=why)
        else:
            self.log.info("Listening for agents on port {number}", number=number)
