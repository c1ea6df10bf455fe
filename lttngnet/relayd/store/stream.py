"""A stream: its packets come on a data connection, everything else on the control connection."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import NamedTuple

from lttngnet.errors import Code
from lttngnet.relayd.refusal import Refusal
from lttngnet.relayd.store.chunk import Chunk
from lttngnet.relayd.store.deputy import Deputy, Lent, Report
from lttngnet.relayd.store.files import Files, Found
from lttngnet.relayd.store.moving import Move
from lttngnet.relayd.store.pairing import NEVER, Packet, Pairing, Waiting
from lttngnet.relayd.store.trace import METADATA, Trace
from lttngnet.relayd.store.trail import Trail
from lttngnet.relayd.turns import Rounds
from lttngnet.wire.codec import Buffer
from lttngnet.wire.relay import NO_SEQUENCE, DataHeader, SendIndex
from lttngnet.wire.relay.extension import Progress

SURPLUS_LIMIT = 1 << 28  # bytes that move along in a rotation; real peers have a sub-buffer or two
SURPLUS_PACKETS = 1 << 11  # some 3 ms


def reached(sequence: int, last: int) -> bool:
    """Tell whether ``sequence`` is ``last`` or after it, as 64-bit counters go round."""
    return (sequence - last) % (1 << 64) < 1 << 63


@dataclass(frozen=True)
class Rotation:
    """A move that was asked for: to which chunk (None is none), from which packet sequence number on."""

    chunk: Chunk | None
    position: int


class Place(NamedTuple):
    """How far a stream is that was found.

    Attributes:
        written: its packets, from the first to the last that has an index.
        packet_sequence: number in the stream of the last of them.
        end: where that ends in the present trace file.
        last: network number of the last packet that will come, once the peer closes the stream.
        rotation: that is due once all packets before it are here.
        begun: network number of the packet that the present trace file was begun for, if that is not there.
    """

    written: int
    packet_sequence: int = NEVER
    end: int = 0
    last: int | None = None
    rotation: Rotation | None = None
    begun: int = NEVER


class Beacon(NamedTuple):
    """What a live session says of a stream on which nothing was recorded up to that time."""

    timestamp_end: int
    stream_class: int


class Stream:
    """A stream of a session, and its files.

    Args:
        handle: its number, as the peer says it.
        path: of the trace, below the chunk.
        name: of the stream.
        limits: size and count of trace files (see `Files`).
        index_minor: format 1.x of the index files; None where there are none.
        trace: that it is a stream of.
        waiting: counts what waits in all streams of the session.
        gone: told when the stream is closed.
        rounds: gives the turns in which packets move to another chunk, and files are closed.
        note: writes down what changes, where the session outlives its connection (see
            `lttngnet.relayd.store.kept`): then packets and indexes come in the order of their numbers.

    Attributes:
        published: whether viewers may know of it.
        checked: whether it was asked for pending data since the last BEGIN_DATA_PENDING.
        trail: its trace files, for viewers.
        beacon: the last one, if nothing came after it.
        is_closed: whether nothing more will come.
        deputy: who writes its packets in its stead at the moment, until anything else happens.
    """

    def __init__(
        self,
        handle: int,
        path: PurePosixPath,
        name: str,
        limits: tuple[int, int],
        index_minor: int | None,
        trace: Trace,
        waiting: Waiting,
        gone: Callable[["Stream"], None],
        rounds: Rounds,
        note: Callable[..., None] | None = None,
    ) -> None:
        self.handle = handle
        self.path = path
        self.name = name
        self.trace = trace
        self.published = False
        self.checked = False
        self.trail = Trail(trace.files_kept)
        self.beacon: Beacon | None = None
        self.is_closed = False
        self.deputy: Deputy | None = None
        self._gone = gone
        self._limits = limits
        self._index_minor = None if name == METADATA else index_minor
        self._files: Files | None = None
        self._header: DataHeader | None = None  # of the packet that is being received
        self._start = 0  # where it begins
        self._begun = NEVER  # number of the packet that the present trace file was begun for
        self._pairing = Pairing(waiting)
        self._rotation: Rotation | None = None
        self._move: Move | None = None  # the last one
        self._rounds = rounds
        self._data_sequence = NEVER  # net sequence number of the packet that was received last
        self._note = note
        self._last: int | None = None  # … that was sent last, once the peer closes the stream

    @property
    def limits(self) -> tuple[int, int]:
        """Size and count of trace files."""
        return self._limits

    def forget(self) -> None:
        """Write nothing down any more: the session does not outlive its connection."""
        self._note = None

    @property
    def is_metadata(self) -> bool:
        """Whether it carries the description of the other streams of its trace."""
        return self.name == METADATA

    @property
    def has_indexes(self) -> bool:
        """Whether an index tells of each of its packets."""
        return self._index_minor is not None

    @property
    def is_rotating(self) -> bool:
        """Whether it is about to move to another chunk, or moves."""
        return self._rotation is not None or (self._move is not None and not self._move.is_done)

    @property
    def is_complete(self) -> bool:
        """Whether the peer closes it, and all that was sent has arrived."""
        return self._last is not None and not self.is_pending(self._last)

    @property
    def arrived(self) -> tuple[int, int]:
        """What has come of it: changes with every piece of a packet."""
        return self._data_sequence, self._files.data.size if self._files else 0

    @property
    def progress(self) -> Progress:
        """How far it is, where the session outlives its connection."""
        return Progress(self.handle, self._data_sequence + 1, self._pairing.index_sequence + 1)

    def is_pending(self, last: int) -> bool:
        """Tell whether something up to the packet with that net sequence number has not arrived."""
        arrived = self._data_sequence
        if self._index_minor is not None:
            arrived = min(arrived, self._pairing.net_sequence)
        return not reached(arrived, last)

    def open(self, chunk: Chunk) -> None:
        """Make the stream's file in a chunk and write there from now on. Raises OSError."""
        self._files = self._files_in(chunk)

    # ------------------------------------------------------------ packets

    def receive(self, header: DataHeader, piece: memoryview, is_last: bool) -> None:
        """Write a piece of a packet.

        Raises:
            Refusal: the stream has no file now, or is in the middle of another packet.
            OSError: it cannot be written.
        """
        if self.deputy is not None:
            self.deputy.leave()
        if header is not self._header:
            self._begin(header)
        files = self._opened()
        if not is_last:
            files.data.append(piece)
            return
        files.data.append(piece, header.padding_size)
        self._received(header.sequence, files)

    def _begin(self, header: DataHeader) -> None:
        if self._header is not None or self.is_metadata:
            raise Refusal(Code.INVALID_PROTOCOL, f"stream {self.handle} can take no packet now")
        if self._note is not None and header.sequence != self._data_sequence + 1:
            raise Refusal(Code.INVALID_PROTOCOL, f"packet {header.sequence} is not the next one")
        files = self._opened()
        if files.is_full(header.data_size) and (self._note is None or header.sequence != self._begun):
            self._pairing.retire(files.take_index())
            if self._note is not None:
                last = self._pairing.net_sequence, self._pairing.packet_sequence
                self._note("file", self.handle, files.following, header.sequence, last[0] + 1, last[1])
                files.forget_following()
            files.next()
            self._begun = header.sequence
        self._header, self._start = header, files.data.size

    def _received(self, sequence: int, files: Files) -> None:
        index_file = files.index()
        if index_file is not None:
            self._pairing.add_packet(sequence, Packet(self._start, files.data.size, index_file))
        self._data_sequence, self._header = sequence, None
        self._rotate_if_due()
        self._close_if_due()

    def cut(self) -> None:
        """The rest of what is coming in will not come: forget its beginning. Raises OSError."""
        header, self._header = self._header, None
        for _ in self._move_along():
            pass
        if self._files is None:
            return
        file = self._files.data
        if self.is_metadata:
            file.cut(file.whole)
        elif header is not None:
            file.cut(self._start)

    def go_on(self, chunk: Chunk | None, found: Found | None, place: Place) -> None:
        """Go on with files that are there. Raises OSError.

        Args:
            chunk: that they lie in; None where the stream has left its chunk.
            found: what is there; None where there is nothing that makes sense.
            place: how far the stream is.
        """
        if chunk is not None:
            self._files = self._files_in(chunk, found)
        self._data_sequence = place.written - 1
        self._pairing.go_on(place.written, place.packet_sequence, place.end)
        self._last, self._rotation, self._begun = place.last, place.rotation, place.begun
        if place.rotation is not None and place.rotation.chunk is not None:
            place.rotation.chunk.acquire()

    def catch_up(self) -> None:
        """Do what was due when it was found. Raises OSError."""
        self._rotate_if_due()
        self._close_if_due()

    def skip(self, sequence: int, packet_sequence: int | None) -> None:
        """Go on without a packet that will never come, nor its index. Raises Refusal and OSError."""
        self._data_sequence = sequence
        self._pairing.skip(sequence, packet_sequence)
        self._rotate_if_due()
        self._close_if_due()

    def add_index(self, index: SendIndex) -> None:
        """Write what an index tells of a packet, as soon as the packet is here.

        Raises:
            Refusal: the packet has an index already that waits, or the stream has none.
            OSError: it cannot be written.
        """
        if self.deputy is not None:
            self.deputy.leave()
        if not index.packet_size:
            if not self._pairing.is_waiting:
                self.beacon = Beacon(index.timestamp_end, index.stream_class)
            return
        self.beacon = None
        if self._index_minor is None:
            raise Refusal(Code.UNKNOWN, f"stream {self.handle} has no index")
        if self._note is not None and index.net_sequence != self._pairing.index_sequence + 1:
            raise Refusal(Code.INVALID_PROTOCOL, f"index {index.net_sequence} is not the next one")
        self._pairing.add_index(index)
        self._rotate_if_due()

    # ------------------------------------------------------------ a deputy

    def lend(self, deputy: Deputy) -> Lent | None:
        """Let somebody else write packets and index entries from now on, until he leaves.

        Returns None where that is not so simple now. Raises OSError.
        """
        if self.is_metadata or self._index_minor is None or self._files is None or self.deputy is not None:
            return None
        if self.is_closed or self._last is not None or self.is_rotating or self._note is not None:
            return None
        data, index_file = self._files.data, self._files.index_file
        if index_file is None:
            return None
        numbers = (data.lend(deputy.leave), index_file.lend(deputy.leave))
        halves = self._pairing.lend(index_file) if min(numbers) >= 0 else None
        if halves is None:
            data.call_back()
            index_file.call_back()
            return None
        self.deputy = deputy
        limit = self._limits[0]
        return Lent(*numbers, data, index_file, 8 if self._index_minor else 6, limit, *halves)

    def learn(self, report: Report) -> None:
        """Know what the deputy has done."""
        self._pairing.count(report.waiting)
        if report.packets:
            self._data_sequence = report.sequence
        if report.indexes:
            self.beacon = None
        if report.entries:
            number = report.packet_sequence if self._index_minor else None
            self._pairing.note(report.net_sequence, number, report.end)
        if self._files is not None and self._files.index_file is not None:
            self._files.data.size = report.size
            self._files.index_file.size = report.index_size

    def take_back(self, packets: dict[int, Packet], indexes: dict[int, SendIndex]) -> None:
        """Go on: the deputy is done, and these halves wait."""
        self.deputy = None
        self._pairing.take_back(packets, indexes)
        if self._files is not None and self._files.index_file is not None:
            self._files.data.call_back()
            self._files.index_file.call_back()

    def begun(self, header: DataHeader) -> int | None:
        """Return where the packet with that header begins, if any of it has been written."""
        return self._start if header is self._header else None

    def resume(self, header: DataHeader | None, start: int = 0) -> None:
        """Be in the middle of this packet, or of none."""
        self._header, self._start = header, start

    # ------------------------------------------------------------ metadata

    def add_metadata(self, text: Buffer, padding: int, is_whole: bool = True) -> None:
        """Append to the metadata. Raises Refusal and OSError as `receive`.

        Args:
            text: what comes next.
            padding: bytes of zeros behind it.
            is_whole: whether the metadata makes sense up to here, so that a viewer may have it.
        """
        if not self.is_metadata:
            raise Refusal(Code.INVALID_PROTOCOL, f"stream {self.handle} is no metadata stream")
        files = self._opened()
        files.data.append(text, padding)
        if is_whole:
            files.replace()
            files.data.whole = files.data.size
            self._say("text", files.data.whole)

    def reset_metadata(self) -> None:
        """Begin the metadata anew: what there is stays until something whole takes its place.

        Raises Refusal and OSError as `receive`.
        """
        if not self.is_metadata:
            raise Refusal(Code.UNKNOWN, f"stream {self.handle} is no metadata stream")
        files = self._opened()
        self._say("text", 0)
        files.rewrite()

    # ------------------------------------------------------------ rotation

    def rotate(self, chunk: Chunk | None, position: int) -> Iterator[None]:
        """Move to another chunk, or to none, before the packet with that packet sequence number.

        Metadata moves at once; packets that have arrived already and belong to the new chunk move along.

        Raises:
            Refusal: the stream is about to move already, or what arrived already would have no file.
            OSError: the new file cannot be made.
        """
        if self.deputy is not None:
            self.deputy.leave()
        yield from self._move_along()
        if self._note is not None and self._is_there_or_on_its_way(chunk):
            return
        if self._rotation is not None:
            raise Refusal(Code.FILE_CREATION_ERROR, f"stream {self.handle} is rotating already")
        if self._files is None:  # it left the chunk before
            if chunk is not None:
                self.open(chunk)
                self._say_moved()
            return
        self._rotation = Rotation(chunk.acquire() if chunk else None, position)
        self._say("rotate", chunk.number if chunk else None, position)
        if self.is_metadata:
            self._rotate()
        else:
            self._rotate_if_due()
        yield from self._move_along()

    def _is_there_or_on_its_way(self, chunk: Chunk | None) -> bool:
        """Tell whether it was told to go to that chunk before: then the answer was lost."""
        if self._rotation is not None:
            return self._rotation.chunk is chunk
        return (self._files.chunk if self._files else None) is chunk

    def _rotate_if_due(self) -> None:
        """Move once all packets of the old chunk are here, with their index entries."""
        if self._rotation is None:
            return
        if self._index_minor is None or reached(self._pairing.packet_sequence + 1, self._rotation.position):
            self._rotate()

    def _rotate(self) -> None:
        rotation, self._rotation = self._rotation, None
        assert rotation is not None
        has_moved = False
        try:
            old, new = self._opened(), None
            end = self._pairing.end if self._index_minor is not None else old.data.size
            has_surplus = old.data.size > end and not self.is_metadata
            if has_surplus and (
                old.data.size - end > SURPLUS_LIMIT or self._pairing.packets > SURPLUS_PACKETS
            ):
                raise Refusal(
                    Code.FILE_CREATION_ERROR, f"stream {self.handle} has too many packets without an index"
                )
            if rotation.chunk is not None:
                new = self._files_in(rotation.chunk)
                if has_surplus:
                    self._move_packets(end, old, new)
            elif has_surplus:
                raise Refusal(
                    Code.FILE_CREATION_ERROR, f"stream {self.handle} has packets and no chunk for them"
                )
            self._files, has_moved = new, True
            self._start -= end  # of a packet whose rest is still to come
            self._pairing.retire(old.take_index())
            if has_surplus and new is not None:
                self._move = Move(old, end, new.data)
                self._rounds.do(iter(self._move))
            else:
                old.close()
        finally:
            if self._note is not None and not has_moved:
                self._rotation = rotation  # to be tried again, when its peer comes back
            elif rotation.chunk is not None:
                rotation.chunk.release()
        self._say_moved()

    def _move_packets(self, end: int, old: Files, new: Files) -> None:
        try:
            self._pairing.move(end, old, new)
        except OSError:
            new.close()
            raise

    def _move_along(self) -> Iterator[None]:
        """Do what is left of the last move. Raises OSError."""
        if self._move is not None:
            yield from self._move
            if self._move.problem is not None:
                raise self._move.problem

    # ------------------------------------------------------------ the end

    def finish(self, last: int = NEVER) -> None:
        """Close the stream once everything up to that packet is here; what it says first counts.

        Args:
            last: net sequence number of the last packet that was sent; `NEVER` if the peer can't tell.
        """
        if self.deputy is not None:
            self.deputy.leave()
        if self._last is None:
            self._last = last
            self._say("last", last)
        self._close_if_due()

    def _close_if_due(self) -> None:
        if self._last is None:
            return
        if self._last in (NEVER, NO_SEQUENCE):
            waiting = self._pairing.drop_packets()
            self._last = self._last if waiting is None else waiting
        if reached(self._data_sequence, self._last):
            self.close()

    def close(self) -> None:
        """Let go of all files now, whatever is missing. Raises OSError."""
        if self.deputy is not None:
            self.deputy.leave()
        self.is_closed = True
        rotation, self._rotation = self._rotation, None
        files, self._files = self._files, None
        try:
            self._gone(self)
            self._rounds.do(self._pairing.close())
        finally:
            try:
                if files is not None:
                    files.close()
            finally:
                try:
                    if rotation is not None and rotation.chunk is not None:
                        rotation.chunk.release()
                finally:
                    self._say("gone")

    def _files_in(self, chunk: Chunk, found: Found | None = None) -> Files:
        return Files(chunk, self.path, self.name, *self._limits, self._index_minor, self.trail, found)

    def _say_moved(self) -> None:
        pairing = self._pairing
        chunk = self._files.chunk.number if self._files else None
        self._say("moved", chunk, pairing.net_sequence + 1, pairing.packet_sequence)

    def _say(self, kind: str, *facts: int | None) -> None:
        """Write down what changes, where the session outlives its connection. Raises OSError."""
        if self._note is not None:
            self._note(kind, self.handle, *facts)

    def _opened(self) -> Files:
        if self._files is None:
            raise Refusal(Code.UNKNOWN, f"stream {self.handle} has no file now")
        return self._files
