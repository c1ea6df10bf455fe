"""Copies of the packets that the relay daemon has not confirmed as written.

A packet that was sent, and even its index answered, may be lost with the relay daemon. So it stays here until
that says that it is written. There is a limit: then nothing more is sent until some is confirmed.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from lttngnet.ctf.packet import Packet

LIMIT = 8 << 20
"""Bytes of packets that are not confirmed."""


class Copy(NamedTuple):
    """A packet that was sent.

    Attributes:
        stream: its number at the sink.
        handle: of the stream, at the relay daemon.
        number: on the network.
        packet: itself; its content is ours.
    """

    stream: int
    handle: int
    number: int
    packet: Packet


class Window:
    """See the module.

    Args:
        ask: asks the relay daemon what is written; called once until `confirm` or `forget_question`.
        limit: bytes.
    """

    def __init__(self, ask: Callable[[], None], limit: int = LIMIT) -> None:
        self.limit = limit
        self.size = 0
        self._ask = ask
        self._is_asking = False
        self._copies: deque[Copy] = deque()

    def __iter__(self) -> Iterator[Copy]:
        """Return the packets in the order in which they were sent."""
        return iter(tuple(self._copies))

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._copies)

    @property
    def is_full(self) -> bool:
        """Whether nothing more should be sent for now."""
        return self.size >= self.limit

    def add(self, stream: int, handle: int, number: int, packet: Packet) -> None:
        """Keep a copy of a packet that is sent."""
        copy = replace(packet, content=bytes(packet.content))
        self._copies.append(Copy(stream, handle, number, copy))
        self.size += len(copy.content)
        self.ask_if_due()

    def ask_if_due(self) -> None:
        """Ask what is written, if the window is half full."""
        if not self._is_asking and self.size * 2 >= self.limit:
            self._is_asking = True
            self._ask()

    def confirm(self, written: Mapping[int, int]) -> None:
        """Forget what is written: by handle, the number of the first packet that is not.

        A stream that is not there is closed, with all its packets.
        """
        self._is_asking = False
        kept = [copy for copy in self._copies if copy.number >= written.get(copy.handle, copy.number + 1)]
        self._copies = deque(kept)
        self.size = sum(len(copy.packet.content) for copy in kept)

    def forget_question(self) -> None:
        """The question what is written will not be answered."""
        self._is_asking = False

    def clear(self) -> list[tuple[int, Packet]]:
        """Give all packets away, each with its stream's number at the sink."""
        copies, self._copies, self.size = self._copies, deque(), 0
        return [(copy.stream, copy.packet) for copy in copies]


@implementer(IPushProducer)
class Brake:
    """Pauses a producer for two reasons: the transport has enough, or the window is full.

    Args:
        producer: that is paused.
    """

    def __init__(self, producer: IPushProducer) -> None:
        self._producer = producer
        self._is_shut = self._is_full = False

    def fill(self, is_full: bool) -> None:
        """Say whether the window is full."""
        self._set(self._is_shut, is_full)

    def release(self) -> None:
        """There is no transport for now that has enough."""
        self._set(False, self._is_full)

    def pauseProducing(self) -> None:
        """The transport has enough."""
        self._set(True, self._is_full)

    def resumeProducing(self) -> None:
        """It takes more."""
        self._set(False, self._is_full)

    def stopProducing(self) -> None:
        """The transport is gone, which the sink hears otherwise."""
        self.pauseProducing()

    def _set(self, is_shut: bool, is_full: bool) -> None:
        before = self._is_shut or self._is_full
        self._is_shut, self._is_full = is_shut, is_full
        if (is_shut or is_full) != before:
            if before:
                self._producer.resumeProducing()
            else:
                self._producer.pauseProducing()
