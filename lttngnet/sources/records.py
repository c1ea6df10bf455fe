"""Log records of Python programs as a CTF trace: one stream for each process.

The programs write framed records (`lttngnet.wire.records`) into sockets whose other ends are handed over to
us. The programs are not trusted: a record that would spoil the trace ends its own stream and no other.
"""

import socket
from typing import Any, Self
from uuid import uuid4

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IDelayedCall, IPushProducer
from zope.interface import implementer

from lttngnet import __version__
from lttngnet.ctf.builder import PacketBuilder
from lttngnet.ctf.packet import Packet, Silence
from lttngnet.ctf.tsdl import clock_offset, creation_datetime, preamble
from lttngnet.errors import Code, CommandError
from lttngnet.interfaces import IPacketSource
from lttngnet.log import Logger
from lttngnet.sources import tally
from lttngnet.sources.program import STREAM_CLASS, TSDL, Program
from lttngnet.wire.amp import close_all

FLUSH_PERIOD = 0.2
"""Seconds that a record waits for others to fill its packet, at most."""


@implementer(IPacketSource, IPushProducer)
class RecordsSource:
    """The trace ``python`` of a session: a stream for each process, in the order in which they came.

    Args:
        session: name of the session, for the trace's metadata.
        hostname: for the metadata, too.
        channel: what the streams are called, with a number behind it.
        reactor: reads the sockets (IReactorFDSet) and knows the time (IReactorTime).
    """

    log = Logger()
    path = "python"

    def __init__(self, session: str, hostname: str, channel: str, reactor: Any) -> None:
        self._session = session
        self._hostname = hostname
        self._channel = channel
        self._reactor = reactor
        self._uuid = uuid4()
        self._sink: Any = None  # IPacketSink
        self._turn = DeferredLock()
        self._metadata: int | None = None  # the stream of it
        self._is_published = False
        self._is_active = False
        self._is_paused = False
        self._programs: list[Program] = []
        self._arrived = 0
        self._timer: IDelayedCall | None = None
        self._tally = tally.Tally()

    @classmethod
    def from_config(cls, config: dict[str, Any], reactor: Any) -> Self:
        """Make the source of ``{"session": name, "hostname": name, "channel": name}``."""
        return cls(config["session"], config["hostname"], config["channel"], reactor)

    async def ask(
        self, what: str, facts: dict[str, Any], descriptors: list[int]
    ) -> tuple[dict[str, Any], list[int]]:
        """See `IPacketSource`.

        * ``adopt``, with one descriptor: see `adopt`.
        * ``regenerate-metadata``: with the time of day as it is now.
        """
        if what == "regenerate-metadata" and not descriptors:
            if self._is_published and self._metadata is not None:  # else it is about to be written
                self._sink.rewrite_metadata(self._metadata, self._describe().encode())
            return {}, []
        if what != "adopt" or len(descriptors) != 1:
            close_all(descriptors)
            raise CommandError(Code.NOT_SUPPORTED, f"the source of records knows nothing of this: {what}")
        await self.adopt(descriptors[0], facts)
        return {}, []

    async def adopt(self, descriptor: int, facts: dict[str, Any]) -> None:
        """Take the socket of a process, ``{"pid": number, "procname": name}``.

        Returns when its stream is announced to the sink; at once while the source is not started.
        """
        channel = socket.socket(fileno=descriptor)
        channel.setblocking(False)
        number, self._arrived = self._arrived, self._arrived + 1
        builder = PacketBuilder(self._uuid, STREAM_CLASS, number)
        program = Program(channel, facts, f"{self._channel}_{number}", builder, self)
        self._programs.append(program)
        if self._is_active:
            async with self._turn:
                await self._announce(program)
            self._listen()

    async def start(self, sink: Any) -> None:
        """Announce the processes that are there already, and hand on packets from now on."""
        self._sink = sink
        self._is_active = True
        async with self._turn:
            for program in list(self._programs):
                await self._announce(program)
        self._listen()

    async def flush(self) -> list[Silence]:
        """See `IPacketSource`."""
        async with self._turn:
            return [
                silence
                for program in list(self._programs)
                if program.stream is not None and (silence := program.catch_up()) is not None
            ]

    async def stop(self) -> None:
        """Hand on every record that was sent up to now."""
        async with self._turn:  # after the processes that are just being announced
            self._is_active = False
            self._listen()
            for program in list(self._programs):
                if program.stream is not None:
                    program.drain()
            self._flush()

    async def snapshot(self, sink: Any, max_size: int = 0) -> None:
        """See `IPacketSource`: what is read is gone."""
        raise CommandError(Code.SNAPSHOT_UNSUPPORTED, f"there are no snapshots of {self.path} traces")

    def clear(self) -> None:
        """See `IPacketSource`: there is no snapshot."""

    def close(self) -> None:
        """Let go of the sockets."""
        self._is_active = False
        self._listen()
        for program in self._programs:
            program.close()
        self._programs.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def facts(self) -> dict[str, Any]:
        """See `IPacketSource`; there is one channel."""
        return tally.facts({self._channel: self._tally})

    def waiting(self) -> int:
        """See `IPacketSource`: what lies in the sockets."""
        return sum(program.waiting for program in self._programs)

    def pauseProducing(self) -> None:
        """Read no more: the programs' sockets fill, then they drop and count."""
        self._is_paused = True
        self._listen()

    def resumeProducing(self) -> None:
        """Read again."""
        self._is_paused = False
        self._listen()
        if any(program.has_news for program in self._programs):
            self.expect_flush()

    def stopProducing(self) -> None:
        """Pause for good."""
        self.pauseProducing()

    def hand_on(self, program: Program, packet: Packet, events: int, lost: int) -> None:
        """See `Keeper`."""
        self._tally.events += events
        self._tally.packets += 1
        self._tally.bytes += len(packet.content)
        self._tally.discarded += lost
        self._sink.write(program.stream, packet)

    def expect_flush(self) -> None:
        """See `Keeper`."""
        if self._timer is None and self._is_active:
            self._timer = self._reactor.callLater(FLUSH_PERIOD, self._flush_in_time)

    def gone(self, program: Program) -> None:
        """See `Keeper`."""
        self._reactor.removeReader(program)
        program.close()
        self._programs.remove(program)
        closing = Deferred.fromCoroutine(self._sink.close_stream(program.stream))
        closing.addErrback(lambda failure: self.log.failure("Stream {name}", failure, name=program.name))

    async def _announce(self, program: Program) -> None:
        if program.stream is not None or program not in self._programs:
            return
        stream = await self._sink.add_stream(self.path, program.name)
        if not self._is_published:
            self._metadata = await self._sink.add_stream(self.path, "metadata")
            await self._sink.publish()
            self._sink.write_metadata(self._metadata, self._describe().encode())
            self._is_published = True
        else:
            await self._sink.publish()
        program.stream = stream

    def _describe(self) -> str:
        major, minor, patch = (int(part) for part in __version__.split(".")[:3])
        env: dict[str, str | int] = {
            "hostname": self._hostname,
            "domain": "python",
            "tracer_name": "lttngnet",
            "tracer_major": major,
            "tracer_minor": minor,
            "tracer_patchlevel": patch,
            "trace_buffering_scheme": "pid",
            "trace_name": self._session,
            "trace_creation_datetime": creation_datetime(),
        }
        return preamble(self._uuid, env, clock_offset()) + TSDL

    def _listen(self) -> None:
        """Let the reactor wait for the programs that we want to read now, and for no other."""
        for program in self._programs:
            if self._is_active and not self._is_paused and program.stream is not None:
                self._reactor.addReader(program)
            else:
                self._reactor.removeReader(program)

    def _flush_in_time(self) -> None:
        self._timer = None
        if not self._is_paused:
            self._flush()

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for program in self._programs:
            program.flush()
