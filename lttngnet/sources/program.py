"""A traced Python program, seen from the consumer process: records in, packets of its stream out."""

import fcntl
import socket
import termios
import time
from struct import Struct
from typing import Any, Protocol

from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from lttngnet.ctf.builder import PacketBuilder
from lttngnet.ctf.packet import Packet, Silence
from lttngnet.errors import WireError
from lttngnet.log import Logger
from lttngnet.wire.records import RECORD_LIMIT, Frames, parse_record

PACKET_LIMIT = 64 << 10
"""Bytes of a packet, at most."""

READ_SIZE = 64 << 10
MOST_DISCARDED = 1 << 63  # no program can have lost more than that

STREAM_CLASS, EVENT = 0, 0

_UNDER_WAY = 100_000_000
"""ns that a record may take from its timestamp into the socket, in a program whose threads wait in turn."""

_CONTEXT = Struct("=II17s")
_EVENT_ROOM = 14 + _CONTEXT.size  # event header and context, at most

TSDL = """\
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
"""The stream and its event; the fields are laid out by the program itself: `lttngnet.wire.records.event`."""


class Keeper(Protocol):
    """Who is interested in what a program sends."""

    def hand_on(self, program: "Program", packet: Packet, events: int, lost: int) -> None:
        """Take a packet: so many events are in it, so many were lost since the packet before."""

    def expect_flush(self) -> None:
        """Call `Program.flush` before long."""

    def gone(self, program: "Program") -> None:
        """Know that nothing more comes: the process is gone, or cannot be understood any more."""


@implementer(IReadDescriptor)
class Program:
    """A traced process: reads its records and makes packets of them.

    Args:
        channel: our end of its socket.
        facts: its ``pid`` and ``procname``.
        name: of its stream.
        builder: makes the packets of its stream.
        keeper: takes the packets.

    Attributes:
        stream: the number of its stream at the sink, once it is announced.
    """

    log = Logger()

    def __init__(
        self,
        channel: socket.socket,
        facts: dict[str, Any],
        name: str,
        builder: PacketBuilder,
        keeper: Keeper,
    ) -> None:
        self.name = name
        self.stream: int | None = None
        self._builder = builder
        self._told = 0
        self._channel = channel
        self._pid = int(facts["pid"]) & 0xFFFF_FFFF
        self._procname = str(facts["procname"]).encode("utf-8", "replace")[:16]
        self._frames = Frames(RECORD_LIMIT)
        self._keeper = keeper

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
        if self.fileno() != -1:
            self._end()

    def drain(self) -> None:
        """Read all that is there now."""
        left = self.waiting
        while left > 0 and (taken := self._read(min(left, READ_SIZE))):
            left -= taken

    @property
    def waiting(self) -> int:
        """Bytes that were sent and not read."""
        return int.from_bytes(fcntl.ioctl(self._channel, termios.FIONREAD, bytes(4)), "little")

    @property
    def has_news(self) -> bool:
        """Tell whether there is anything to flush."""
        return self._builder.has_news

    def catch_up(self) -> Silence | None:
        """Hand on all that was sent up to now; say up to when nothing was, if that is so."""
        until = time.monotonic_ns() - _UNDER_WAY
        self.drain()
        if self.stream is None or self.fileno() == -1:
            return None
        if self.has_news or not self._builder.sequence:
            self.flush(even_empty=True)
            return None
        self._builder.touch(until)
        return Silence(self.stream, STREAM_CLASS, until)

    def flush(self, even_empty: bool = False) -> None:
        """Hand on what was gathered."""
        if self.has_news or even_empty:
            events, packet = self._builder.events, self._builder.take()
            lost, self._told = packet.events_discarded - self._told, packet.events_discarded
            self._keeper.hand_on(self, packet, events, lost)

    def close(self) -> None:
        """Close the socket."""
        self._channel.close()

    def _read(self, size: int) -> int:
        """Return how much was read: 0 when there is nothing now, or never again."""
        try:
            data = self._channel.recv(size)
        except BlockingIOError:
            return 0
        except OSError:
            data = b""
        try:
            self._take(data)
        except WireError as problem:
            self.log.warn("No more records of process {pid}: {problem}", pid=self._pid, problem=problem)
            self._builder.discarded += 1
            data = b""
        if not data:
            self._end()
        return len(data)

    def _take(self, data: bytes) -> None:
        now, builder = time.monotonic_ns(), self._builder
        for content in self._frames.feed(data):
            discarded, timestamp, vtid, fields = parse_record(content)
            timestamp = min(timestamp, now)
            if builder.size + _EVENT_ROOM + len(fields) > PACKET_LIMIT:
                self.flush()
            if discarded > builder.discarded:
                builder.discarded = min(discarded, MOST_DISCARDED)
            if fields:
                builder.add(EVENT, timestamp, _CONTEXT.pack(self._pid, vtid, self._procname), fields)
            else:
                builder.touch(timestamp)
        if builder.has_news:
            self._keeper.expect_flush()

    def _end(self) -> None:
        if self._frames.is_amid:
            self._builder.discarded += 1
        self.flush()
        self._keeper.gone(self)
