"""What comes over UDP for one session: packets put together, and written in the order of their indexes.

A packet goes the way of one from a data connection (`Stream.receive`), but only when it is whole, its index
is here, and those before it in its stream are written or given up: so a trace file never goes back in time.
A packet that does not become whole in time is given up: it is counted, and its number is left out, as
readers can see. Whatever is known by its index comes to such an end: "pending data" ends, too.

A sender sends the packets of a stream in their order. So a packet is missing once pieces of one behind it
came some time ago; as long as none did, it may still wait to be sent, and is waited for longer.
"""

from collections import deque
from collections.abc import Callable, Iterator

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from lttngnet.errors import Code, WireError
from lttngnet.log import Logger
from lttngnet.relayd.refusal import Refusal
from lttngnet.relayd.store.session import Session
from lttngnet.relayd.store.stream import Stream
from lttngnet.relayd.turns import Rounds, Turns
from lttngnet.wire.codec import Buffer
from lttngnet.wire.datagram import Gathering
from lttngnet.wire.relay import DataHeader, SendIndex
from lttngnet.wire.relay.datagrams import ALL, GAPS_LIMIT, RANGES_LIMIT, Gap

ROOM = 32 << 20  # bytes of packets that are not written yet
AHEAD = 1 << 16  # packets of a stream that may come before one that is missing
PATIENCE = 0.5  # seconds that a packet may come later than its index, and than one behind it
TAIL_PATIENCE = 2.0  # … where none behind it came
LONG_PATIENCE = 30.0  # … where the sender repeats it
NEVER = float("-inf")  # as a time: what has waited since then has waited for long enough
LOOK = 0.1  # seconds between two looks for what is to be given up


class Lane:
    """A stream's packets before they are written.

    Attributes:
        stream: that they belong to.
        next: number of the first that is neither written nor given up.
        due: the indexes of those to be written next, and when each came.
        is_moving: whether what is whole is just being written.
        touched: when a piece of any packet came last.
    """

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.next = 0
        self.due: deque[tuple[SendIndex, float]] = deque()
        self.is_moving = False
        self.touched = 0.0
        self._reached: deque[tuple[int, float]] = deque()  # numbers that none before was above, and when

    def reach(self, number: int, now: float) -> None:
        """A piece of that packet came."""
        self.touched = now
        if not self._reached or number > self._reached[-1][0]:
            self._reached.append((number, now))

    def pass_by(self, number: int) -> None:
        """That packet was written or given up."""
        self.next = number + 1
        while self._reached and self._reached[0][0] <= number:
            self._reached.popleft()

    def is_passed(self, number: int, before: float) -> bool:
        """Tell whether a piece of a packet behind that one came before that time."""
        return any(reached > number and when <= before for reached, when in self._reached)


class Inlet:
    """Takes the datagrams of one session.

    Args:
        session: that they are for.
        rounds: gives the turns in which packets are written.
        clock: the reactor.
        repeats: whether the sender repeats what is missing.
        look: reads all datagrams that are there.

    Attributes:
        taken: bytes of datagrams that brought something new.
        written: packets.
        lost: packets that were given up.
        doubled: datagrams of which all was here already, or that came too late.
        refused: datagrams that the session has no stream or no room for, or that contradict others.
    """

    log = Logger()

    def __init__(
        self,
        session: Session,
        rounds: Rounds,
        clock: IReactorTime,
        repeats: bool,
        look: Callable[[], None],
    ) -> None:
        self.taken = self.written = self.lost = self.doubled = self.refused = 0
        self._session = session
        self._clock = clock
        self._patience = LONG_PATIENCE if repeats else PATIENCE
        self._tail = LONG_PATIENCE if repeats else TAIL_PATIENCE
        self._look = look
        self._lanes: dict[int, Lane] = {}
        self._gathering = Gathering(ROOM)
        self._turns = Turns(rounds)
        self._timer: IDelayedCall | None = None
        self._when_idle: Callable[[], None] | None = None
        self._when_closed: Callable[[], None] | None = None
        self._is_closed = False

    @property
    def room(self) -> int:
        """Bytes that more packets may take."""
        return self._gathering.room - self._gathering.used

    def take(
        self, stream: int, sequence: int, offset: int, length: int, padding: int, piece: Buffer, size: int
    ) -> None:
        """Take a fragment, which its session's token seals.

        Args:
            stream: handle.
            sequence: net sequence number of the packet.
            offset: of the piece.
            length: of the packet's content, bytes.
            padding: of the packet, bytes.
            piece: of the content, lent.
            size: of the whole datagram, bytes.
        """
        lane = self._lanes.get(stream) or self._lane(stream)
        if lane is None or sequence >= lane.next + AHEAD:
            self.refused += 1
            return
        if sequence < lane.next:
            self.doubled += 1
            return
        try:
            parts = self._gathering.add(stream, sequence, offset, length, padding, piece)
        except WireError:
            self.refused += 1
            return
        if parts is None:
            self.doubled += 1
            return
        self.taken += size
        parts.touched = self._clock.seconds()
        lane.reach(sequence, parts.touched)
        if parts.is_whole and lane.due and lane.due[0][0].net_sequence == sequence:
            self._move(lane)

    def add_index(self, stream: Stream, index: SendIndex) -> None:
        """Take what an index tells of a packet that is there, or may still come.

        Raises:
            Refusal: it has an index already, or too many wait.
            OSError: it cannot be written.
        """
        if not index.packet_size:
            stream.add_index(index)
            return
        lane = self._lane(stream.handle)
        if lane is None:
            raise Refusal(Code.UNKNOWN, f"stream {stream.handle} takes no packets")
        last = lane.due[-1][0].net_sequence if lane.due else lane.next - 1
        if index.net_sequence <= last:
            raise Refusal(Code.UNKNOWN, f"a second index {index.net_sequence} of stream {stream.handle}")
        if len(lane.due) >= AHEAD:
            raise Refusal(Code.UNKNOWN, f"{len(lane.due)} packets of stream {stream.handle} are missing")
        lane.due.append((index, self._clock.seconds()))
        self._move(lane)
        self._wait()

    def gaps(self, wanted: int) -> tuple[list[Gap], bool]:
        """Return packets that are due and not whole, so many at most, and whether these are all."""
        waiting = sorted(
            (since, handle, index.net_sequence)
            for handle, lane in self._lanes.items()
            for index, since in lane.due
        )
        gaps: list[Gap] = []
        for _, handle, number in waiting:
            parts = self._gathering.get(handle, number)
            if parts is not None and parts.is_whole:
                continue
            if len(gaps) >= min(wanted, GAPS_LIMIT):
                return gaps, False
            ranges = [(0, ALL)] if parts is None else parts.missing[:RANGES_LIMIT]
            gaps.append(Gap(handle, number, tuple(ranges)))
        return gaps, True

    def lose(self, packets: tuple[tuple[int, int], ...]) -> None:
        """Wait no more for packets that are due, which the sender will not repeat."""
        lost = set(packets)
        for lane in list(self._lanes.values()):
            handle = lane.stream.handle
            if any((handle, index.net_sequence) in lost for index, _ in lane.due):
                lane.due = deque(
                    (index, NEVER if (handle, index.net_sequence) in lost else since)
                    for index, since in lane.due
                )
                self._move(lane)

    def forget(self, stream: Stream) -> None:
        """A stream is closed."""
        lane = self._lanes.pop(stream.handle, None)
        if lane is None:
            return
        lane.due.clear()
        for handle, number in self._gathering.names():
            if handle == stream.handle:
                self._gathering.take(handle, number)

    def when_idle(self, then: Callable[[], None]) -> None:
        """Nothing more is due from now on: call back when all that is due was written or given up."""
        self._patience = self._tail = PATIENCE
        self._when_idle = then
        self._tick()

    def when_closed(self, then: Callable[[], None]) -> None:
        """Call back when nothing is taken any more."""
        self._when_closed = then

    def close(self) -> None:
        """Take nothing any more."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._when_closed is not None:
            then, self._when_closed = self._when_closed, None
            then()
        for lane in self._lanes.values():
            lane.due.clear()
        self._lanes.clear()
        self._gathering.clear()
        self._tick()

    def _lane(self, handle: int) -> Lane | None:
        lane = self._lanes.get(handle)
        if lane is None and not self._is_closed:
            stream = self._session.streams.get(handle)
            if stream is not None and not stream.is_metadata:
                lane = self._lanes[handle] = Lane(stream)
        return lane

    def _move(self, lane: Lane) -> None:
        if lane.is_moving or not self._is_ready(lane):
            return
        lane.is_moving = True
        if self._turns.are_done:  # one is quickly written
            self._attempt(lane)
            if not self._is_ready(lane):
                lane.is_moving = False
                return
        self._turns.do(self._write(lane))

    def _is_ready(self, lane: Lane) -> bool:
        """Tell whether the first packet that is due is whole, or has been waited for long enough."""
        if not lane.due:
            return False
        index, since = lane.due[0]
        parts = self._gathering.get(lane.stream.handle, index.net_sequence)
        if parts is not None and parts.is_whole:
            return True
        now = self._clock.seconds()
        if since == NEVER:
            return True
        if parts is not None:
            since = max(since, parts.touched)
        if now - since < self._patience:
            return False
        if lane.is_passed(index.net_sequence, now - self._patience):
            return True
        return now - max(since, lane.touched) >= self._tail

    def _write(self, lane: Lane) -> Iterator[None]:
        while self._is_ready(lane):
            self._attempt(lane)
            yield
        lane.is_moving = False

    def _attempt(self, lane: Lane) -> None:
        """Write or give up the first packet that is due; where that fails, the session ends."""
        try:
            self._write_one(lane)
        except (Refusal, OSError) as problem:
            facts = self._session.facts
            self.log.error(
                "Session {number} ({name} of {hostname}) ends: {problem}",
                number=facts.number,
                name=facts.name,
                hostname=facts.hostname,
                problem=problem,
            )
            self._session.abort()

    def _write_one(self, lane: Lane) -> None:
        index, _ = lane.due.popleft()
        stream, number = lane.stream, index.net_sequence
        parts = self._gathering.take(stream.handle, number)
        lane.pass_by(number)
        if parts is None or not parts.is_whole:
            self.lost += 1
            stream.skip(number, index.packet_sequence)
            return
        self.written += 1
        if stream.has_indexes:  # before its packet, behind which the stream may close
            stream.add_index(index)
        header = DataHeader(0, stream.handle, number, len(parts.content), parts.padding)
        stream.receive(header, memoryview(parts.content), True)
        self._gathering.reuse(parts)

    def _wait(self) -> None:
        if self._timer is None and any(lane.due for lane in self._lanes.values()):
            self._timer = self._clock.callLater(LOOK, self._called)

    def _called(self) -> None:
        self._timer = None
        self._look()
        self._tick()

    def _tick(self) -> None:
        """Give up what was waited for long enough, and look again later if more is due."""
        for lane in list(self._lanes.values()):
            self._move(lane)
        if any(lane.due for lane in self._lanes.values()):
            self._wait()
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._when_idle is not None:
            then, self._when_idle = self._when_idle, None
            then()
