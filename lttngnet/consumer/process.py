"""The consumer process: started by the session daemon, which says over AMP what to carry and where to.

Its standing order is to lose nothing: when the session daemon is gone, whatever is recorded is still
delivered and the trace closed.
"""

import gc
import os
import resource
import signal
import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionClosed
from twisted.internet.interfaces import IPushProducer, IReactorCore, IReactorSocket, IReactorTime
from twisted.internet.protocol import Protocol, ServerFactory, connectionDone
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from lttngnet.consumer.carrier import Carrier
from lttngnet.consumer.control import ControlClient
from lttngnet.consumer.datagrams import DatagramPath, Terms
from lttngnet.consumer.directory import DirectorySink
from lttngnet.consumer.losing import Losing
from lttngnet.consumer.outgoing import Outgoing
from lttngnet.consumer.policy import Policy
from lttngnet.consumer.relay import DataPath, RelaySession, RelaySink
from lttngnet.consumer.urgency import hurry
from lttngnet.errors import Code, CommandError, RelayLost, RelayRefused
from lttngnet.log import Logger
from lttngnet.wire import amp

URGENT = ("kernel", "userspace")  # kinds of sources whose buffers overflow if they are read late

REPORT_INTERVAL = 1.0  # seconds between two reports of the counters

ANSWER_TIMEOUT = 60.0  # seconds that a relay daemon may need for an answer while it writes to a slow disk


def adopt(reactor: IReactorSocket, descriptor: int, protocol: Protocol) -> None:
    """Make a connected socket the transport of a protocol; the descriptor is closed."""
    with socket.socket(fileno=descriptor) as connection:
        connection.setblocking(False)
        factory = ServerFactory()
        factory.buildProtocol = lambda addr: protocol  # type: ignore[method-assign]
        reactor.adoptStreamConnection(connection.fileno(), connection.family, factory)


IDLE, INTERVAL, PROBES = 5, 2, 3
"""Seconds of silence, seconds between two probes, and probes, until a silent peer is taken for gone."""

UNACKNOWLEDGED = 10_000
"""Milliseconds that what we send may remain unacknowledged."""


def notice_loss(connection: socket.socket) -> None:
    """Have it noticed in seconds when the peer, or the way to it, is gone without a word."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        (socket.TCP_KEEPIDLE, IDLE),
        (socket.TCP_KEEPINTVL, INTERVAL),
        (socket.TCP_KEEPCNT, PROBES),
        (socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED),
    ):
        connection.setsockopt(socket.IPPROTO_TCP, option, value)


def reconnect(reactor: Any, sink: RelaySink, control: int, data: int) -> tuple[ControlClient, DataPath]:
    """Make connections of two sockets, on which the session of a sink was resumed."""
    client, path = ControlClient(reactor, ANSWER_TIMEOUT, sink.lose), DataPath(sink.lose)
    door = socket.socket(fileno=data)
    notice_loss(door)
    with socket.socket(fileno=os.dup(control)) as same:
        notice_loss(same)
    adopt(reactor, control, client)
    Outgoing(door, path, reactor)
    return client, path


def connect(reactor: Any, sink: RelaySink, control: int, data: int, producer: IPushProducer | None) -> None:
    """Let a sink have its connections, whose sockets are its own from now on.

    Args:
        reactor: that serves them.
        sink: whose session was made over the control connection.
        control: descriptor of its socket.
        data: descriptor of the one for data, TCP or UDP.
        producer: is paused while the relay daemon is slow.
    """
    if sink.session.datagrams is None and sink.session.is_windowed:
        sink.connect(*reconnect(reactor, sink, control, data), producer)
        return
    client = ControlClient(reactor, ANSWER_TIMEOUT, sink.lose)
    adopt(reactor, control, client)
    door = socket.socket(fileno=data)
    if sink.session.datagrams is None:
        path = DataPath(sink.lose)
        Outgoing(door, path, reactor)
        sink.connect(client, path, producer)
    else:
        terms = Terms(**sink.session.datagrams)
        sink.connect(client, DatagramPath(reactor, door, terms, client, sink.lose), producer)


class Consumer(amp.Channel):
    """The consumer process's end of the connection with the session daemon."""

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        make_source: Callable[[str, dict[str, Any]], Any],
        seconds: Callable[[], float],
    ) -> None:
        super().__init__()
        self._reactor = reactor
        self._seconds = seconds
        self._carrier = Carrier(make_source, reactor, self._lost)
        self._losing = Losing(self._carrier, self._tell, self._give_up)
        self._finished = False
        self._reported: dict[str, int] = {}
        self._reports = LoopingCall(self._report)
        self._reports.clock = reactor

    def connectionMade(self) -> None:
        """Begin to report."""
        super().connectionMade()
        self._reports.start(REPORT_INTERVAL, now=False)

    @amp.answers(amp.AdoptRelay)
    async def adopt_relay(self, control: int, data: int, relay: dict[str, Any]) -> dict[str, Any]:
        """See `amp.AdoptRelay`."""
        clock: IReactorTime = self._reactor
        valve = self._carrier.route.valve()
        policy = Policy(**relay.pop("policy", {}))
        sink = RelaySink(
            clock,
            RelaySession(**relay),
            self._seconds,
            lambda why: self._sink_lost(sink, why),
            lambda why: self._sink_away(sink, why),
        )
        connect(self._reactor, sink, control, data, valve)
        self._losing.forsake()
        problem = await self._carrier.use(sink, valve, live=sink.session.live / 1e6)
        self._losing.set(policy)
        self._losing.back()
        return {"problem": problem}

    @amp.answers(amp.Resume)
    async def resume(self, control: int, data: int, session: int, commands: int) -> None:
        """See `amp.Resume`."""
        sink = self._carrier.route.sink
        if not isinstance(sink, RelaySink) or not sink.is_away:
            amp.close_all([control, data])
            raise CommandError(Code.INVALID, "there is no session to go on with")
        try:
            await sink.resume(*reconnect(self._reactor, sink, control, data), session, commands)
        except (RelayLost, RelayRefused) as failure:
            raise CommandError(Code.RELAYD_CONNECT_FAIL, str(failure)) from None
        self._losing.back()

    @amp.answers(amp.UseDirectory)
    async def use_directory(self, path: str) -> dict[str, Any]:
        """See `amp.UseDirectory`."""
        try:
            sink = DirectorySink(path, lambda why: self._carrier.lose(sink, why))
        except FileExistsError as problem:
            raise CommandError(Code.CREATE_DIR_FAIL, str(problem)) from None
        except OSError as problem:
            raise CommandError(Code.CREATE_DIR_FAIL, f"cannot make the trace's folder: {problem}") from None
        self._losing.forsake()
        left = await self._carrier.use(sink)
        self._losing.back()
        return {"problem": left}

    @amp.answers(amp.SnapshotToRelay)
    async def snapshot_to_relay(self, control: int, data: int, relay: dict[str, Any], max_size: int) -> None:
        """See `amp.SnapshotToRelay`."""
        clock: IReactorTime = self._reactor
        sink = RelaySink(clock, RelaySession(**relay), self._seconds, lambda why: None)
        connect(self._reactor, sink, control, data, None)
        await self._carrier.snapshot(sink, max_size)

    @amp.answers(amp.SnapshotToFolder)
    async def snapshot_to_folder(self, path: str, max_size: int) -> None:
        """See `amp.SnapshotToFolder`."""
        problems: list[str] = []
        try:
            sink = DirectorySink(path, problems.append, has_indexes=False)
        except OSError as problem:
            raise CommandError(Code.SNAPSHOT_FAIL, f"cannot make the snapshot's folder: {problem}") from None
        await self._carrier.snapshot(sink, max_size)
        if problems:
            raise CommandError(Code.SNAPSHOT_FAIL, problems[0])

    @amp.answers(amp.AddSource)
    async def add_source(self, kind: str, config: dict[str, Any]) -> None:
        """See `amp.AddSource`."""
        self._carrier.add_source(kind, config)
        if kind in URGENT:
            self.log.info("{how}", how=hurry().capitalize())

    @amp.answers(amp.AskSource)
    async def ask_source(
        self, number: int, kind: str, what: str, facts: dict[str, Any], descriptors: list[int]
    ) -> dict[str, Any]:
        """See `amp.AskSource`."""
        answer, given = await self._carrier.ask_source(kind, what, facts, descriptors)
        if given:
            try:
                await amp.ask(self, amp.GiveBack, number=number, descriptors=given)
            finally:
                amp.close_all(given)
        return {"facts": answer}

    @amp.answers(amp.Begin)
    async def begin(self) -> None:
        """See `amp.Begin`."""
        await self._carrier.begin()

    @amp.answers(amp.End)
    async def end(self) -> None:
        """See `amp.End`."""
        await self._carrier.end()

    @amp.answers(amp.CloseChunk)
    async def close_chunk(self, keep: bool) -> dict[str, Any]:
        """See `amp.CloseChunk`."""
        return {"path": await self._carrier.rotate(keep)}

    @amp.answers(amp.AwaitChunk)
    async def await_chunk(self) -> None:
        """See `amp.AwaitChunk`."""
        await self._carrier.archived()

    @amp.answers(amp.Mute)
    async def mute(self, muted: bool, hold: bool) -> None:
        """See `amp.Mute`."""
        if muted:
            self._losing.disable(hold)
        else:
            self._losing.enable()

    @amp.answers(amp.Facts)
    async def facts(self) -> dict[str, Any]:
        """See `amp.Facts`."""
        return {"facts": self._carrier.facts()}

    @amp.answers(amp.Finish)
    async def finish(self) -> None:
        """See `amp.Finish`; the session daemon hangs up when it has the answer."""
        try:
            await self._losing.finish()
        finally:
            self._finished = True

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Deliver what there is if the session daemon is gone, then end."""
        super().connectionLost(reason)
        self._reports.stop()
        if self._finished:
            self._stop()
            return
        self.log.warn("The session daemon is gone: delivering what was recorded.")
        self._finished = True
        last = Deferred.fromCoroutine(self._losing.finish())
        last.addErrback(lambda failure: self.log.warn("{why}", why=failure.getErrorMessage()))
        last.addBoth(lambda _: self._stop())

    def _report(self) -> None:
        """Tell the counters if they changed: should this process be killed, they are known."""
        facts = self._carrier.facts()
        if facts != self._reported and not self._finished:
            self._reported = facts
            self._tell(amp.Progress, facts=facts)

    def _sink_lost(self, sink: Any, reason: str) -> None:
        is_present = sink is self._carrier.route.sink and not self._carrier.is_changing
        if is_present and not self._finished and self._losing.lost(sink, reason):
            return
        self._carrier.lose(sink, reason)

    def _sink_away(self, sink: RelaySink, reason: str) -> None:
        if sink is self._carrier.route.sink and not self._finished:
            self._losing.away(sink, reason)
        else:
            sink.abandon()

    def _tell(self, command: type[amp.Command], **facts: Any) -> None:
        told = self.callRemote(command, **facts)
        told.addErrback(lambda failure: failure.trap(ConnectionClosed))

    def _give_up(self, reason: str) -> None:
        self._carrier.close()
        self._lost(reason)

    def _lost(self, reason: str) -> None:
        self.log.warn("{reason}", reason=reason)
        if not self._finished:
            told = self.callRemote(amp.SinkLost, reason=reason, facts=self._carrier.facts())
            told.addErrback(lambda failure: self.log.failure("The session daemon was not told.", failure))

    def _stop(self) -> None:
        reactor: IReactorCore = self._reactor
        reactor.stop()


def run(descriptor: int) -> None:
    """Be a consumer process whose session daemon is at the other end of an inherited socket."""
    import sys
    import time

    from twisted.internet import reactor
    from twisted.logger import globalLogBeginner, textFileLogObserver

    from lttngnet.consumer.kinds import make_source

    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)], redirectStandardIO=False)
    # Ctrl-C on a terminal, and a service manager's SIGTERM, reach all processes of the daemon at once: the
    # session daemon heeds them, and tells us what to do or hangs up.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.set_inheritable(descriptor, False)
    # Applications' buffers need many descriptors. None of ours goes to select(), which takes but small ones.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    running: Any = reactor
    adopt(running, descriptor, Consumer(running, lambda *of: make_source(running, *of), time.time))
    gc.collect()
    gc.freeze()  # the collector would look at all modules again and again, which takes some 10 ms
    running.run(installSignalHandlers=False)
