"""Log records of Python programs as a CTF trace: one stream for each process.

The programs write framed records (`lttngnet.wire.records`) into sockets whose other ends are handed over to us. The
programs are not trusted: a record that would spoil the trace ends its own stream and no other.
"""

import fcntl
import socket
import termios
import time
from collections.abc import Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from struct import Struct
from typing import Any, AsyncIterator, Self
from uuid import UUID, uuid4

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from lttngnet import __version__
from lttngnet.ctf.builder import PacketBuilder
from lttngnet.ctf.packet import Packet
from lttngnet.ctf.tsdl import clock_offset, preamble
from lttngnet.errors import WireError
from lttngnet.interfaces import IPacketSource
from lttngnet.wire.records import RECORD_LIMIT, Frames, parse_record

PACKET_LIMIT = 64 << 10
"""Bytes of a packet, at most."""

FLUSH_PERIOD = 0.2
"""Seconds that a record waits for others to fill its packet, at most."""

READ_SIZE = 64 << 10
MOST_DISCARDED = 1 << 63  # no program can have lost more than that

_CONTEXT = Struct("=II17s")
_EVENT_ROOM = 14 + _CONTEXT.size  # event header and context, at most

_STREAM = """\
stream {
	id = 0;
	event.header := struct event_header_large;
	packet.context := struct packet_context;
	event.context := struct {
		integer { size = 32; align = 8; signed = 1; encoding = none; base = 10; } _vpid;
		integer { size = 32; align = 8; signed = 1; encoding = none; base = 10; } _vtid;
		integer { size = 8; align = 8; signed = 1; encoding = UTF8; base = 10; } _procname[17];
	};
};

event {
	name = "lttng_python:event";
	id = 0;
	stream_id = 0;
	loglevel = 13;
	fields := struct {
		string _asctime;
		string _msg;
		string _logger_name;
		string _funcName;
		integer { size = 32; align = 8; signed = 0; encoding = none; base = 10; } _lineno;
		integer { size = 32; align = 8; signed = 0; encoding = none; base = 10; } _int_loglevel;
		integer { size = 32; align = 8; signed = 0; encoding = none; base = 10; } _thread;
		string _threadName;
	};
};

"""


@implementer(IReadDescriptor)
class Program:
    """A traced process: reads its records and makes packets of them.

    Args:
        channel: our end of its socket.
        facts: its ``pid`` and ``procname``.
        name: of its stream.
        builder: makes the packets of its stream.
        hand_on: takes a packet.
        news: called when there is something to flush.
        gone: called when the process is gone, or can no longer be understood.
        now: CLOCK_MONOTONIC in ns, which no record may be ahead of.
    """

    log = Logger()

    def __init__(
        self,
        channel: socket.socket,
        facts: dict[str, Any],
        name: str,
        builder: PacketBuilder,
        hand_on: "Callable[[Program, Packet, int], None]",
        news: Callable[[], None],
        gone: "Callable[[Program], None]",
        now: Callable[[], int],
    ) -> None:
        self.name = name
        self.stream: int | None = None  # the sink's number, once announced
        self.builder = builder
        self._channel = channel
        self._pid = int(facts["pid"]) & 0xFFFF_FFFF
        self._procname = str(facts["procname"]).encode("utf-8", "replace")[:16]
        self._frames = Frames(RECORD_LIMIT)
        self._hand_on = hand_on
        self._news = news
        self._gone = gone
        self._now = now

    def fileno(self) -> int:
        """Return the descriptor to wait for; -1 when closed."""
        return self._channel.fileno()

    def logPrefix(self) -> str:
        """Return who is at work, for Twisted's log."""
        return f"python records of process {self._pid}"

    def doRead(self) -> None:
        """Read once: called when there is something to read."""
        self._read(READ_SIZE)

    def connectionLost(self, reason: Failure) -> None:
        """End as if the process were gone: the reactor cannot wait for its socket."""
        self._end()

    def drain(self) -> None:
        """Read all that is there now."""
        left = int.from_bytes(fcntl.ioctl(self._channel, termios.FIONREAD, bytes(4)), "little")
        while left > 0 and (taken := self._read(min(left, READ_SIZE))):
            left -= taken

    def flush(self) -> None:
        """Hand on what was gathered."""
        if self.builder.has_news:
            events = self.builder.events
            self._hand_on(self, self.builder.take(), events)

    def close(self) -> None:
        """Close the socket."""
        self._channel.close()

    def _read(self, size: int) -> int:
        try:
            data = self._channel.recv(size)
        except BlockingIOError:
            return 0
        except OSError:
            data = b""
        try:
            if data:
                self._take(data)
            else:
                self._end()
        except WireError as problem:
            self.log.warn("No more records of process {pid}: {problem}", pid=self._pid, problem=problem)
            self.builder.discarded += 1
            self._end()
        return len(data)

    def _take(self, data: bytes) -> None:
        now, builder = self._now(), self.builder
        for content in self._frames.feed(data):
            discarded, timestamp, vtid, fields = parse_record(content)
            if builder.size + _EVENT_ROOM + len(fields) > PACKET_LIMIT:
                self.flush()
            if discarded > builder.discarded:
                builder.discarded = min(discarded, MOST_DISCARDED)
            if fields:
                builder.add(0, min(timestamp, now), _CONTEXT.pack(self._pid, vtid, self._procname), fields)
            else:
                builder.touch(min(timestamp, now))
        if builder.has_news:
            self._news()

    def _end(self) -> None:
        if self._frames.is_amid:
            self.builder.discarded += 1
        self.flush()
        self._gone(self)


@implementer(IPacketSource, IPushProducer)
class RecordsSource:
    """The trace ``python`` of a session: a stream for each process, in the order in which they came.

    Args:
        session: name of the session, for the trace's metadata.
        hostname: for the metadata, too.
        channel: what the streams are called, with a number behind it.
        reactor: reads the sockets (IReactorFDSet) and knows the time (IReactorTime).
        now: CLOCK_MONOTONIC in ns.
    """

    log = Logger()
    path = "python"

    def __init__(
        self,
        session: str,
        hostname: str,
        channel: str,
        reactor: Any,
        now: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._session = session
        self._hostname = hostname
        self._channel = channel
        self._reactor = reactor
        self._now = now
        self._uuid: UUID = uuid4()
        self._sink: Any = None  # IPacketSink
        self._turn = DeferredLock()
        self._is_published = False
        self._is_active = False
        self._is_paused = False
        self._programs: list[Program] = []
        self._arrived = 0
        self._timer: IDelayedCall | None = None
        self._facts = {"events": 0, "packets": 0, "bytes": 0, "discarded": 0}

    @classmethod
    def from_config(cls, config: dict[str, Any], reactor: Any) -> Self:
        """Make the source of ``{"session": name, "hostname": name, "channel": name}``."""
        return cls(config["session"], config["hostname"], config["channel"], reactor)

    async def adopt(self, descriptor: int, facts: dict[str, Any]) -> None:
        """Take the socket of a process, ``{"pid": number, "procname": name}``.

        Returns when its stream is announced to the sink; at once while the source is not started.
        """
        channel = socket.socket(fileno=descriptor)
        channel.setblocking(False)
        number, self._arrived = self._arrived, self._arrived + 1
        builder = PacketBuilder(self._uuid, 0, number)
        name = f"{self._channel}_{number}"
        program = Program(
            channel, facts, name, builder, self._hand_on, self._expect_flush, self._gone, self._now
        )
        self._programs.append(program)
        if self._is_active:
            async with self._in_turn():
                await self._announce(program)
            self._listen()

    async def start(self, sink: Any) -> None:
        """Announce the processes that are there already, and hand on packets from now on."""
        self._sink = sink
        self._is_active = True
        async with self._in_turn():
            for program in list(self._programs):
                await self._announce(program)
        self._listen()

    async def stop(self) -> None:
        """Hand on every record that was sent up to now."""
        async with self._in_turn():  # after the processes that are just being announced
            self._is_active = False
            self._listen()
            for program in list(self._programs):
                program.drain()
            self._flush()

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

    def facts(self) -> dict[str, int]:
        """Return counters: events, packets, bytes handed on; events discarded before that."""
        return dict(self._facts)

    def pauseProducing(self) -> None:
        """Read no more: the programs' sockets fill, then they drop and count."""
        self._is_paused = True
        self._listen()

    def resumeProducing(self) -> None:
        """Read again."""
        self._is_paused = False
        self._listen()
        if any(program.builder.has_news for program in self._programs):
            self._expect_flush()

    def stopProducing(self) -> None:
        """Pause for good."""
        self.pauseProducing()

    @asynccontextmanager
    async def _in_turn(self) -> AsyncIterator[None]:
        await self._turn.acquire()
        try:
            yield
        finally:
            self._turn.release()

    async def _announce(self, program: Program) -> None:
        if program.stream is not None or program not in self._programs:
            return
        stream = await self._sink.add_stream(self.path, program.name)
        if not self._is_published:
            metadata = await self._sink.add_stream(self.path, "metadata")
            await self._sink.publish()
            self._sink.write_metadata(metadata, self._metadata().encode())
            self._is_published = True
        else:
            await self._sink.publish()
        program.stream = stream

    def _metadata(self) -> str:
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
            "trace_creation_datetime": datetime.now(UTC).astimezone().strftime("%Y%m%dT%H%M%S%z"),
        }
        return preamble(self._uuid, env, clock_offset()) + _STREAM

    def _listen(self) -> None:
        """Let the reactor wait for the programs that we want to read now, and for no other."""
        for program in self._programs:
            if self._is_active and not self._is_paused and program.stream is not None:
                self._reactor.addReader(program)
            else:
                self._reactor.removeReader(program)

    def _expect_flush(self) -> None:
        if self._timer is None and self._is_active:
            self._timer = self._reactor.callLater(FLUSH_PERIOD, self._flush_in_time)

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

    def _hand_on(self, program: Program, packet: Packet, events: int) -> None:
        self._facts["events"] += events
        self._facts["packets"] += 1
        self._facts["bytes"] += len(packet.content)
        self._sink.write(program.stream, packet)

    def _gone(self, program: Program) -> None:
        self._reactor.removeReader(program)
        program.close()
        self._programs.remove(program)
        closing = Deferred.fromCoroutine(self._sink.close_stream(program.stream))
        closing.addErrback(lambda failure: self.log.failure("Stream {name}", failure, name=program.name))
