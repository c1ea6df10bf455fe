"""A data path over UDP: packets leave as datagrams, as fast as the relay daemon reads them.

The relay daemon answers a question on the control connection only when it has read all datagrams that had
come (`lttngnet.wire.relay.datagrams.MissingQuery`). So what was sent before a question that is answered is
under way no more; what is sent behind it may be, and is bounded by a window. The window is the relay daemon's
to say, and is halved where more than a tenth of what is sent does not arrive.

Where packets are repeated, each is kept until the relay daemon has it whole, and what is missing of it is
sent again.
"""

import errno
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import Any, cast

from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReadWriteDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from lttngnet.consumer.control import ControlClient
from lttngnet.consumer.outgoing import Lent
from lttngnet.errors import Code, RelayLost
from lttngnet.wire.datagram import LARGEST, SMALLEST, Seal, fragments
from lttngnet.wire.relay import DataHeader, Status
from lttngnet.wire.relay.datagrams import ALL, GAPS_LIMIT, LostPackets, Missing, MissingQuery
from lttngnet.wire.relay.extension import Extension

KEPT = 16 << 20  # bytes of packets that may have to be repeated, from which on the sources are paused
QUESTIONS = 8  # in a window
WINDOW = 1 << 16  # bytes, until the relay daemon has said more
LOOK = 0.05  # seconds between two questions while less than that is under way
PERIOD = 0.1  # seconds in which it is counted what arrives …
TOO_FEW = 0.9  # … and this part of it is to
LEAST_DATAGRAMS = 16  # that may always be under way, as far as the relay daemon has room
SILENCE = 10.0  # seconds in which nothing arrives …
MANY = 20  # … of more datagrams than that, until the path is given up
REPEAT_AFTER = 0.03  # seconds, at least, until a packet that is missing is sent again
REPEAT_FOR = 25.0  # seconds

UDP_SEGMENT = 103  # <linux/udp.h>: the system cuts what is sent into datagrams of that size
MOST_SEGMENTS = 64
IP_MTU, IPV6_MTU = 14, 24  # <linux/in.h>, <linux/in6.h>
HEADERS = {socket.AF_INET: 28, socket.AF_INET6: 48}  # bytes of IP and UDP before a datagram

Datagram = tuple[bytes, Lent]  # what stands before a piece, and the piece


@dataclass(frozen=True)
class Terms:
    """What was agreed on with the relay daemon.

    Attributes:
        connection: its number for it.
        token: hexadecimal.
        largest: bytes of a datagram that the way is known to carry.
        room: bytes of packets that the relay daemon puts together at a time.
        repeats: whether what is missing is sent again.
    """

    connection: int
    token: str
    largest: int
    room: int
    repeats: bool = False


@dataclass
class Kept:
    """A packet that may have to be repeated.

    Attributes:
        order: how many were given before it, and it.
        began: when it was sent.
        sent: when something of it was sent last.
    """

    content: bytes
    padding: int
    order: int
    began: float
    sent: float


@dataclass
class Question:
    """That was asked and has no answer yet.

    Attributes:
        sent: bytes of all datagrams sent until then.
        packets: that the relay daemon was told of until then.
        asked: when.
    """

    sent: int
    packets: int
    asked: float


@implementer(IReadWriteDescriptor)
class DatagramPath:
    """Our end of a data path, with what `lttngnet.consumer.relay.DataPath` offers.

    Args:
        reactor: to wait with.
        door: a connected socket for datagrams, which is its own.
        terms: that were agreed on.
        control: the connection to ask on.
        on_lost: called with the reason, once, when the path is over, unless we closed it.
    """

    def __init__(
        self,
        reactor: Any,
        door: socket.socket,
        terms: Terms,
        control: ControlClient,
        on_lost: Callable[[str], None],
    ) -> None:
        door.setblocking(False)
        self.on_lost = on_lost
        self._reactor = reactor
        self._door = door
        self._terms = terms
        self._control = control
        self._seal = Seal(bytes.fromhex(terms.token))
        self._largest = terms.largest
        self._cuts = True  # the system does
        self._producer: IPushProducer | None = None
        self._is_paused = False
        self._is_open = True
        self._is_full = False  # the socket is
        self._waiting: deque[Datagram | Callable[[], None]] = deque()  # to be sent; to be done then
        self._sent = self._settled = 0  # bytes of datagrams, of which nothing is under way
        self._packets = 0  # given to be sent …
        self._told_of = 0  # … of which the relay daemon was told
        self._granted = self._window = WINDOW
        self._questions: deque[Question] = deque()
        self._asking: IDelayedCall | None = None
        self._round_trip = 0.0  # seconds
        self._since = reactor.seconds()  # the period began …
        self._sent_before = self._taken_before = 0  # … with
        self._unheard = 0  # datagrams that were sent since something had arrived …
        self._silent_since: float | None = None  # … and when the first of them was
        self._taken = 0  # bytes that arrived
        self._kept: dict[tuple[int, int], Kept] = {}
        self._kept_size = 0

    # ------------------------------------------------------------ the interface of a data path

    @property
    def waiting(self) -> int:
        """Bytes that have not arrived, as far as is known."""
        return self._sent - self._settled

    def send(self, header: bytes, content: Lent) -> None:
        """Send a packet, whose content is only lent."""
        if not self._is_open:
            return
        _, stream, sequence, _, padding = DataHeader.layout.unpack(header)
        self._packets += 1
        if self._terms.repeats:
            now = self._reactor.seconds()
            content = bytes(content)
            self._kept[stream, sequence] = Kept(content, padding, self._packets, now, now)
            self._kept_size += len(content)
        self._cut(stream, sequence, memoryview(content), padding, None)

    def behind(self, act: Callable[[], None]) -> None:
        """Do what is due when all that was given has been sent: tell of it, in most cases."""
        order = self._packets

        def told() -> None:
            act()
            self._told_of = order

        if self._waiting:
            self._waiting.append(told)
        elif self._is_open:
            told()

    def close(self) -> None:
        """End the path, without calling `on_lost`."""
        self.on_lost = lambda reason: None
        self._end()

    abandon = close

    def register(self, producer: IPushProducer) -> None:
        """Have a push producer paused while the relay daemon takes less than it is given."""
        self._producer = producer

    def unregister(self) -> None:
        """Leave the producer alone."""
        self._producer = None

    # ------------------------------------------------------------ sending

    def _cut(
        self,
        stream: int,
        sequence: int,
        content: memoryview,
        padding: int,
        ranges: list[tuple[int, int]] | None,
    ) -> None:
        self._push(
            fragments(
                self._seal,
                self._terms.connection,
                stream,
                sequence,
                content,
                padding,
                self._largest,
                ranges,
            )
        )

    def _push(self, datagrams: Iterable[Datagram]) -> None:
        """Send datagrams; what cannot be sent now is copied, and sent as soon as it can be."""
        some = list(datagrams)
        sent = 0 if self._waiting else self._transmit(some)
        self._waiting.extend((head, bytes(piece)) for head, piece in some[sent:])
        self._after_sending()

    def _go_on(self) -> None:
        """Send what waits."""
        while self._waiting and self._is_open:
            if callable(act := self._waiting[0]):
                self._waiting.popleft()
                act()
                continue
            some = cast(
                "list[Datagram]",
                list(takewhile(lambda one: not callable(one), islice(self._waiting, MOST_SEGMENTS))),
            )
            sent = self._transmit(some)
            for _ in range(sent):
                self._waiting.popleft()
            if not sent:
                break
        self._after_sending()

    def _transmit(self, some: list[Datagram]) -> int:
        """Send as many as may be under way and as the socket takes; return how many."""
        done = 0
        while done < len(some) and not self._is_full:
            free = self._window - (self._sent - self._settled)
            if free <= 0:
                break
            size = len(some[done][0]) + len(some[done][1])
            many = 1
            if self._cuts and 2 * size <= min(LARGEST, free):
                many = self._together(some, done, size, free)
            group = some[done : done + many]
            if not self._send_some(group, size):
                if many > 1 and not self._is_full:  # the system does not cut after all
                    self._cuts = False
                    continue
                break
            if many > 1:
                size = sum(len(head) + len(piece) for head, piece in group)
            self._sent += size
            self._unheard += many
            if self._silent_since is None:
                self._silent_since = self._reactor.seconds()
            done += many
        return done

    def _together(self, some: list[Datagram], first: int, size: int, free: int) -> int:
        """Return how many the system can be given together: of one size, the last may be shorter."""
        most = min(MOST_SEGMENTS, LARGEST // size, free // size, len(some) - first)
        for number in range(1, most):
            head, piece = some[first + number]
            length = len(head) + len(piece)
            if length != size:
                return number + 1 if length < size else number
        return max(most, 1)

    def _send_some(self, some: list[Datagram], size: int) -> bool:
        """Give the system one datagram, or several of a size to be cut; return whether they are gone."""
        pieces: tuple[Lent, ...] | list[Lent]
        if len(some) == 1:
            pieces, extra = some[0], []
        else:
            pieces = [part for datagram in some for part in datagram]
            extra = [(socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("=H", size))]
        for _ in range(2):
            try:
                self._door.sendmsg(pieces, extra)
            except BlockingIOError:
                self._is_full = True
                self._reactor.addWriter(self)
                return False
            except ConnectionRefusedError:  # what an earlier datagram met: this one was not sent
                continue
            except OSError as problem:
                if problem.errno == errno.ENOBUFS:
                    self._is_full = True
                    self._reactor.callLater(0.001, self.doWrite)
                    return False
                if problem.errno == errno.EMSGSIZE:
                    self._shrink()
                return len(some) == 1
            return True
        return True

    def _shrink(self) -> None:
        """The way carries less than it did: the next packets are cut into smaller datagrams."""
        is_ipv6 = self._door.family is socket.AF_INET6
        option = (socket.IPPROTO_IPV6, IPV6_MTU) if is_ipv6 else (socket.IPPROTO_IP, IP_MTU)
        try:
            carried = self._door.getsockopt(*option) - HEADERS[self._door.family]
        except OSError:
            carried = SMALLEST
        if carried >= self._largest:
            carried = self._largest // 2
        self._largest = max(SMALLEST, carried)

    def _after_sending(self) -> None:
        self._pause_or_resume()
        under_way = self._sent - (self._questions[-1].sent if self._questions else self._settled)
        if under_way >= self._window // QUESTIONS and len(self._questions) < QUESTIONS:
            self._ask_in(0)  # behind the index of the packet that is being sent
        elif self._sent > self._settled or self._kept or self._waiting or self._is_paused:
            self._ask_in(LOOK)

    def _pause_or_resume(self) -> None:
        is_full = bool(self._waiting) or self._sent - self._settled >= self._window or self._kept_size >= KEPT
        if is_full == self._is_paused or self._producer is None:
            return
        self._is_paused = is_full
        if is_full:
            self._producer.pauseProducing()
        else:
            self._producer.resumeProducing()

    # ------------------------------------------------------------ asking

    def _ask_in(self, seconds: float) -> None:
        if self._asking is not None:
            if seconds or self._asking.getTime() <= self._reactor.seconds():
                return
            self._asking.cancel()
        self._asking = self._reactor.callLater(seconds, self._ask)

    def _ask(self) -> None:
        self._asking = None
        if not self._is_open:
            return
        self._questions.append(Question(self._sent, self._told_of, self._reactor.seconds()))
        wanted = GAPS_LIMIT if self._terms.repeats else 0
        asked = self._control.ask(Extension.DATAGRAMS_MISSING, MissingQuery(wanted).pack(), Missing)
        asked.addCallbacks(self._told, lambda lost: lost.trap(RelayLost))

    def _told(self, answer: Missing) -> None:
        if not self._is_open:
            return
        if answer.code != Code.OK:
            self._lose("the relay daemon takes no more data over UDP")
            return
        question = self._questions.popleft()
        now = self._reactor.seconds()
        self._round_trip = now - question.asked
        self._settled = max(self._settled, question.sent)
        self._granted = answer.window
        self._judge(question, answer, now)
        if self._is_open:
            if self._terms.repeats:
                self._repeat(question, answer, now)
            self._go_on()

    def _judge(self, question: Question, answer: Missing, now: float) -> None:
        """Let more or less be under way."""
        if answer.taken != self._taken:
            self._taken, self._unheard, self._silent_since = answer.taken, 0, None
        elif self._unheard > MANY and self._silent_since is not None and now - self._silent_since > SILENCE:
            self._lose(f"nothing that is sent over UDP has arrived for {SILENCE:g} s")
            return
        least = LEAST_DATAGRAMS * self._largest
        if now - self._since >= PERIOD:
            sent, taken = question.sent - self._sent_before, answer.taken - self._taken_before
            if sent:
                factor = 0.5 if taken < TOO_FEW * sent else 1.25
                self._window = int(max(least, self._window * factor))
            self._since, self._sent_before, self._taken_before = now, question.sent, answer.taken
        self._window = min(max(self._window, least), self._granted)

    def _repeat(self, question: Question, answer: Missing, now: float) -> None:
        """Forget what is there, and send again what is missing."""
        gaps = {(gap.stream, gap.sequence): gap.ranges for gap in answer.gaps}
        if answer.is_all:
            there = [
                name
                for name, kept in self._kept.items()
                if kept.order <= question.packets and name not in gaps
            ]
            for name in there:
                self._forget(name)
        lost = []
        after = max(REPEAT_AFTER, 1.5 * self._round_trip)
        for name, ranges in gaps.items():
            kept = self._kept.get(name)
            if kept is None:
                lost.append(name)
            elif now - kept.began > REPEAT_FOR:
                self._forget(name)
                lost.append(name)
            elif now - kept.sent > after and not self._waiting:
                kept.sent = now
                length = len(kept.content)
                wanted = [(begin, length if end == ALL else min(end, length)) for begin, end in ranges]
                self._cut(*name, memoryview(kept.content), kept.padding, wanted)
        if lost:
            told = LostPackets(tuple(lost)).pack()
            asked = self._control.ask(Extension.DATAGRAMS_LOST, told, Status)
            asked.addErrback(lambda failure: failure.trap(RelayLost))

    def _forget(self, name: tuple[int, int]) -> None:
        self._kept_size -= len(self._kept.pop(name).content)

    # ------------------------------------------------------------ the end

    def _lose(self, why: str) -> None:
        on_lost, self.on_lost = self.on_lost, lambda reason: None
        self._end()
        on_lost(why)

    def _end(self) -> None:
        if not self._is_open:
            return
        self._is_open = False
        self._producer = None
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None
        self._waiting.clear()
        self._kept.clear()
        self._reactor.removeWriter(self)
        self._door.close()

    # ------------------------------------------------------------ what the reactor calls

    def fileno(self) -> int:
        """See `IReadWriteDescriptor`."""
        return self._door.fileno()

    def logPrefix(self) -> str:
        """See `IReadWriteDescriptor`."""
        return "datagrams"

    def doRead(self) -> None:
        """See `IReadWriteDescriptor`: nothing is read."""

    def doWrite(self) -> None:
        """Go on: the socket takes more."""
        if self._is_open:
            self._is_full = False
            self._reactor.removeWriter(self)
            self._go_on()

    def connectionLost(self, reason: Failure) -> None:
        """See `IReadWriteDescriptor`: a datagram was refused, which epoll takes for the end."""
        if self._is_open:
            self._door.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            self.doWrite()
