"""One stream on its way from its buffer to the sink."""

from dataclasses import dataclass, field
from typing import Any

from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from lttngnet.ctf.packet import Silence
from lttngnet.log import Logger
from lttngnet.sources.tally import Tallies, tallies
from lttngnet.sources.ust.buffers import Options, Stream

_TURN = 8 << 20  # bytes that are handed on before the reactor attends to others
_MOST = 64  # packets, likewise


@dataclass
class Flow:
    """What the readers of a source share.

    Attributes:
        sink: an `IPacketSink`.
        is_paused: whether it takes nothing now.
        tallies: what was handed on so far, by channel. Events are not counted: nobody looks into packets.
    """

    sink: Any = None
    is_paused: bool = False
    tallies: Tallies = field(default_factory=tallies)


@implementer(IReadDescriptor)
class Reader:
    """Hands on the packets of a stream, a few at a time: a stream that never ends must not starve others.

    What is left then is noted in the pipe that the reactor watches, by which applications wake us.

    Attributes:
        number: of the stream, as the sink calls it.
        turn: packets that are handed on before others have their turn.
        whole: packets that the buffer may hold.
        is_woken: whether applications wake us; else the read timer does.
        stream_class: number of the stream's class in the trace.
        is_described: whether the metadata tells of that class.
    """

    log = Logger()

    def __init__(self, stream: Stream, options: Options, number: int, flow: Flow) -> None:
        self.stream = stream
        self.number = number
        self.turn = max(1, min(_MOST, _TURN // options.subbuf_size))
        self.whole = options.num_subbuf
        self.is_woken = not options.read_timer
        self._name = f"{options.name}_{stream.cpu}"
        self.is_described = False
        self.stream_class = options.stream_class
        self._flow = flow
        self._tally = flow.tallies[options.name]
        self._has_failed = False

    def fileno(self) -> int:
        """Return what to watch."""
        return self.stream.fileno()

    def doRead(self) -> None:
        """Take a turn."""
        self.stream.forget()
        if self.take(self.turn) == self.turn or self._flow.is_paused:
            self.stream.remind()

    def logPrefix(self) -> str:
        """Return what to call this in the log."""
        return self._name

    def connectionLost(self, reason: Failure) -> None:
        """Say that the reactor no longer watches."""
        self.log.failure("No longer told that there are packets of {name}", reason, name=self._name)

    @property
    def has_begun(self) -> bool:
        """Whether there was a packet."""
        return self.stream.has_begun

    def silence(self) -> Silence | None:
        """Say up to when nothing was recorded; None if there is something, or an event is being written."""
        if self._has_failed:
            return None
        until = self.stream.silent_until()
        return None if until is None else Silence(self.number, self.stream_class, until)

    def take(self, most: int) -> int:
        """Hand on packets until there are none, or the sink is busy; return how many."""
        taken = 0
        try:
            while taken < most and not self._flow.is_paused and not self._has_failed:
                discarded, lost = self.stream.discarded, self.stream.lost
                if (packet := self.stream.get()) is None:
                    break
                self._tally.discarded += self.stream.discarded - discarded
                self._tally.lost += self.stream.lost - lost
                try:
                    self._flow.sink.write(self.number, packet)
                finally:
                    self.stream.put()
                taken += 1
                self._tally.packets += 1
                self._tally.bytes += packet.packet_size // 8
        except Exception:
            self._fail()
        return taken

    def flush(self, only_if_used: bool = False) -> None:
        """See `Stream.flush`; nothing can be in a stream that is not described."""
        if self._has_failed or not self.is_described:
            return
        try:
            self.stream.flush(only_if_used)
        except OSError:
            self._fail()

    def _fail(self) -> None:
        """Leave this stream alone from now on: the others must not suffer."""
        self._has_failed = True
        self.log.failure("Stream {name} is read no longer", Failure(), name=self._name)
