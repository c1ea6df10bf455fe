"""Consumer processes: one for each session's consumer, spawned when it is enabled."""

import os
import socket
import sys
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost, ProcessTerminated
from twisted.internet.interfaces import IProcessTransport
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from lttngnet.consumer.policy import Policy
from lttngnet.consumer.process import adopt
from lttngnet.errors import Code, CommandError
from lttngnet.interfaces import ICourier
from lttngnet.log import Logger
from lttngnet.sessiond.link import Established
from lttngnet.sources import tally
from lttngnet.wire import amp

INHERITED = 3  # the descriptor at which the process finds its end of the socket pair


NOTHING = tally.facts({}) | {"waiting": 0, "spooled": 0, "dropped": 0}
"""The counters of a process that has handed on nothing: see `lttngnet.wire.amp.Facts`."""


class Output(ProcessProtocol):
    """Takes what the process writes into our log, and notes its end."""

    log = Logger()
    transport: IProcessTransport

    def __init__(self, name: str, on_end: Callable[[str], None]) -> None:
        self._name = name
        self._on_end = on_end
        self.ended: Deferred[None] = Deferred()

    def outReceived(self, data: bytes) -> None:
        """Log it, line by line."""
        for line in data.decode(errors="replace").splitlines():
            self.log.info("Consumer of {session}: {line}", session=self._name, line=line)

    def errReceived(self, data: bytes) -> None:
        """Log it as well."""
        self.outReceived(data)

    def processEnded(self, reason: Failure) -> None:
        """Tell how it ended."""
        match reason.value:
            case ProcessTerminated(signal=int(number)):
                self._on_end(f"was killed by signal {number}")
            case ProcessTerminated(exitCode=status):
                self._on_end(f"ended with status {status}")
            case _:
                self._on_end("ended")
        self.ended.callback(None)


class Peer(amp.Channel):
    """Our end of the connection with a consumer process."""

    def __init__(self, on_lost: Callable[[str], None]) -> None:
        super().__init__()
        self.given: dict[int, list[int]] = {}  # by the number of a question that is being asked
        self.counted = dict(NOTHING)
        self._on_lost = on_lost
        self.on_away: Callable[[str, bool], None] | None = None
        self.on_moved: Callable[[str, str], None] | None = None

    @amp.answers(amp.SinkAway)
    async def sink_away(self, reason: str, resumes: bool) -> None:
        """See `amp.SinkAway`."""
        if self.on_away is not None:
            self.on_away(reason, resumes)

    @amp.answers(amp.SinkMoved)
    async def sink_moved(self, reason: str, path: str) -> None:
        """See `amp.SinkMoved`."""
        if self.on_moved is not None:
            self.on_moved(reason, path)

    @amp.answers(amp.GiveBack)
    async def give_back(self, number: int, descriptors: list[int]) -> None:
        """See `amp.GiveBack`."""
        if number in self.given:
            self.given[number] += descriptors
        else:
            amp.close_all(descriptors)  # the question was given up

    @amp.answers(amp.Progress)
    async def progress(self, facts: dict[str, Any]) -> None:
        """See `amp.Progress`."""
        self.counted = facts

    @amp.answers(amp.SinkLost)
    async def sink_lost(self, reason: str, facts: dict[str, Any]) -> None:
        """See `amp.SinkLost`."""
        self.counted = facts
        self._on_lost(reason)


@implementer(ICourier)
class ConsumerProcess:
    """A consumer process, which is running when this is made.

    Attributes:
        pid: of the process.
    """

    def __init__(self, reactor: Any, name: str, on_lost: Callable[[str], None]) -> None:
        """Spawn the process.

        Args:
            reactor: to spawn it with.
            name: of the session, for the log and the process list.
            on_lost: called with a sentence, once, when the process or its sink is gone unexpectedly.
        """
        self._on_lost: Callable[[str], None] | None = on_lost
        self._process = Output(name, self._ended)
        self._peer = Peer(self._lost)
        self._questions = count()
        ours, theirs = socket.socketpair(socket.AF_UNIX)
        with theirs:
            command = [sys.executable, "-m", "lttngnet.consumer", str(INHERITED)]
            pipes: dict[int, str | int] = {0: "w", 1: "r", 2: "r", INHERITED: theirs.fileno()}
            spawned = reactor.spawnProcess(
                self._process, sys.executable, command, env=os.environ, childFDs=pipes
            )
        self.pid: int = spawned.pid
        adopt(reactor, ours.detach(), self._peer)

    def when_away(self, away: Callable[[str, bool], None], moved: Callable[[str, str], None]) -> None:
        """Have it told when the relay daemon goes away, unless the process gives up.

        Args:
            away: what is recorded is held; called with the reason, and whether the session can be resumed.
            moved: the trace goes on in a local folder; called with the reason, and the folder.
        """
        self._peer.on_away, self._peer.on_moved = away, moved

    async def resume(self, link: Established) -> None:
        """Pass on the sockets of a link on which its session was resumed; see `connect`."""
        session = link.session
        try:
            sockets = {"control": link.control, "data": link.data}
            await self._ask(amp.Resume, **sockets, session=session.session, commands=session.commands)
        finally:
            link.close()

    async def connect(self, link: Established, policy: Policy | None = None) -> str:
        """Pass on the sockets of a link, which it uses from now on; ours are closed whatever happens.

        Args:
            link: to the relay daemon.
            policy: for when that goes away.

        Returns:
            What did not arrive where packets went before, in a sentence, or empty.
        """
        try:
            relay = dict(vars(link.session)) | ({} if policy is None else {"policy": dict(vars(policy))})
            answer = await self._ask(amp.AdoptRelay, control=link.control, data=link.data, relay=relay)
        finally:
            link.close()
        return str(answer["problem"])

    async def use_directory(self, path: str) -> str:
        """Let it write to a local folder from now on; see `connect`."""
        return str((await self._ask(amp.UseDirectory, path=path))["problem"])

    async def snapshot_to_relay(self, link: Established, name: str, chunk: int, max_size: int) -> None:
        """Let it record a snapshot of that name over a link; our sockets are closed whatever happens."""
        relay = dict(vars(link.session)) | {"snapshot": name, "chunk": chunk}
        if relay["prefix"]:
            relay["prefix"] = f"{relay['prefix'].rstrip('/')}/{name}/"
        try:
            sockets = {"control": link.control, "data": link.data}
            await self._ask(amp.SnapshotToRelay, **sockets, relay=relay, max_size=max_size)
        finally:
            link.close()

    async def snapshot_to_folder(self, path: str, max_size: int) -> None:
        """Let it record a snapshot in a folder."""
        await self._ask(amp.SnapshotToFolder, path=path, max_size=max_size)

    async def add_source(self, kind: str, config: dict[str, Any]) -> None:
        """See `ICourier`."""
        await self._ask(amp.AddSource, kind=kind, config=config)

    async def ask_source(
        self, kind: str, what: str, facts: dict[str, Any], descriptors: Sequence[int] = ()
    ) -> tuple[dict[str, Any], list[int]]:
        """See `ICourier`."""
        number = next(self._questions)
        given = self._peer.given[number] = []
        try:
            answer = await self._ask(
                amp.AskSource, number=number, kind=kind, what=what, facts=facts, descriptors=descriptors
            )
        except BaseException:
            amp.close_all(given)
            raise
        finally:
            del self._peer.given[number]
        return answer["facts"], given

    async def begin(self) -> None:
        """Let it send packets."""
        await self._ask(amp.Begin)

    async def end(self) -> None:
        """Let it send all that is recorded, to the last."""
        await self._ask(amp.End)

    async def close_chunk(self, keep: bool) -> str:
        """Let it archive what was recorded up to now, or delete it; return where it will lie."""
        return str((await self._ask(amp.CloseChunk, keep=keep))["path"])

    async def archived(self) -> None:
        """Wait until that is done; anything else can be asked meanwhile."""
        await self._ask(amp.AwaitChunk)

    async def mute(self, hold: bool) -> None:
        """Let it stop consuming; packets are let go, or kept."""
        await self._ask(amp.Mute, muted=True, hold=hold)

    async def unmute(self) -> None:
        """Let it go on consuming."""
        await self._ask(amp.Mute, muted=False, hold=False)

    async def facts(self) -> dict[str, Any]:
        """Return its counters: see `lttngnet.wire.amp.Facts`."""
        self._peer.counted = (await self._ask(amp.Facts))["facts"]
        return self.counted

    @property
    def counted(self) -> dict[str, Any]:
        """The counters as they were told last, about a second ago; also of a process that is gone."""
        return self._peer.counted

    async def finish(self) -> None:
        """Let it close the trace and end itself; returns when the process is gone."""
        self._on_lost = None
        try:
            await self._ask(amp.Finish)
        finally:
            self.dismiss()
        await self._process.ended

    def dismiss(self) -> None:
        """Hang up: the process delivers what it has and ends."""
        self._on_lost = None
        self._peer.on_away = self._peer.on_moved = None
        if self._peer.transport is not None:
            self._peer.transport.loseConnection()

    async def _ask(self, command: type[amp.Command], **arguments: Any) -> dict[str, Any]:
        try:
            return await amp.ask(self._peer, command, **arguments)
        except (ConnectionDone, ConnectionLost):
            raise CommandError(Code.FATAL, f"the consumer process {self.pid} is gone") from None

    def _lost(self, why: str) -> None:
        if self._on_lost is not None:
            on_lost, self._on_lost = self._on_lost, None
            on_lost(why)

    def _ended(self, how: str) -> None:
        self._lost(f"the consumer process {self.pid} {how}")
