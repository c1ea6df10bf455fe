"""Index entries of a stream: each is made of two halves, which come on two connections, in any order.

The data connection brings a packet, the control connection what an index tells of it. They are joined by
the packet's net sequence number, and written in the order in which they become complete.
"""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from lttngnet.ctf.index import IndexEntry
from lttngnet.errors import Code
from lttngnet.relayd.refusal import Refusal
from lttngnet.relayd.store.files import File, Files, close_each
from lttngnet.wire.relay import SendIndex

NEVER = -1  # as a sequence number: none yet
WAITING_LIMIT = 1 << 16  # halves of a session: some 40 MB; a real peer has a few for each stream


class Waiting:
    """How many halves wait in all streams of a session: what a peer never completes must have an end."""

    def __init__(self) -> None:
        self.count = 0

    def add(self) -> None:
        """One more. Raises Refusal."""
        if self.count >= WAITING_LIMIT:
            raise Refusal(Code.UNKNOWN, f"{self.count} packets and indexes wait for their other half")
        self.count += 1


class Packet(NamedTuple):
    """Where a packet lies: from ``start`` to ``end`` in its trace file, to be told in that index file."""

    start: int
    end: int
    index_file: File


class Pairing:
    """Joins the halves, and writes the entries.

    Args:
        waiting: counts the halves of all streams of the session.

    Attributes:
        net_sequence: net sequence number of the entry that was written last.
        packet_sequence: its packet sequence number.
        index_sequence: net sequence number of the last packet whose index came.
        end: where its packet ends in the present trace file; 0 if it lies in one before.
    """

    def __init__(self, waiting: Waiting) -> None:
        self._waiting = waiting
        self.net_sequence = NEVER
        self.packet_sequence = NEVER
        self.index_sequence = NEVER
        self.end = 0
        self._packets: dict[int, Packet] = {}  # received, and no index for them yet
        self._indexes: dict[int, SendIndex] = {}  # received, and no packet for them yet
        self._untold: Counter[File] = Counter()  # of these, by the index file that they are told in
        self._retired: set[File] = set()  # get no more packets, and a packet of theirs waits for its index

    @property
    def packets(self) -> int:
        """How many packets wait for their index."""
        return len(self._packets)

    @property
    def is_waiting(self) -> bool:
        """Whether a half of an entry is here and the other is to come."""
        return bool(self._packets or self._indexes)

    def add_packet(self, sequence: int, packet: Packet) -> None:
        """Take a packet that is received as a whole. Raises Refusal, where too many wait, and OSError."""
        index = self._indexes.get(sequence)
        if index is None:
            before = self._packets.get(sequence)
            if before is None:
                self._waiting.add()
            else:
                self._untold[before.index_file] -= 1
            self._packets[sequence] = packet
            self._untold[packet.index_file] += 1
        else:
            self._write(packet, index)
            del self._indexes[sequence]
            self._waiting.count -= 1

    def add_index(self, index: SendIndex) -> None:
        """Take what an index tells of a packet.

        Raises:
            Refusal: the packet has an index already, which waits for it, or too many wait.
            OSError: the entry cannot be written.
        """
        if index.net_sequence in self._indexes:
            raise Refusal(Code.UNKNOWN, f"a second index {index.net_sequence} of stream {index.stream}")
        packet = self._packets.get(index.net_sequence)
        if packet is None:
            self._waiting.add()
            self._indexes[index.net_sequence] = index
        else:
            self._write(packet, index)
            del self._packets[index.net_sequence]
            self._waiting.count -= 1
            self._untold[packet.index_file] -= 1
            if packet.index_file in self._retired:
                self._close_if_complete(packet.index_file)
        self.index_sequence = index.net_sequence

    def skip(self, net_sequence: int, packet_sequence: int | None) -> None:
        """Leave out a packet of which neither half was added."""
        self.net_sequence = net_sequence
        if packet_sequence is not None:
            self.packet_sequence = packet_sequence

    def retire(self, index_file: File | None) -> None:
        """Begin another trace file: this was the index of the one before, and closes when it is complete."""
        self.end = 0
        if index_file is not None:
            self._retired.add(index_file)
            self._close_if_complete(index_file)

    def move(self, start: int, old: Files, new: Files) -> None:
        """Move the packets that lie behind ``start`` and wait for their index to the new files."""
        for sequence, packet in self._packets.items():
            if packet.index_file is old.index_file and packet.start >= start:
                index_file = new.index()
                assert index_file is not None
                self._packets[sequence] = Packet(packet.start - start, packet.end - start, index_file)
                self._untold[packet.index_file] -= 1
                self._untold[index_file] += 1

    def lend(self, index_file: File) -> tuple[dict[int, Packet], dict[int, SendIndex]] | None:
        """Return all halves for somebody else to join; None if not all of them belong into this file.

        They still count as waiting.
        """
        if self._retired or any(packet.index_file is not index_file for packet in self._packets.values()):
            return None
        halves = self._packets, self._indexes
        self._packets, self._indexes = {}, {}
        self._untold.clear()
        return halves

    def take_back(self, packets: dict[int, Packet], indexes: dict[int, SendIndex]) -> None:
        """Take the halves that wait now; nothing else was added since they were lent."""
        self._packets, self._indexes = packets, indexes
        for packet in packets.values():
            self._untold[packet.index_file] += 1

    def count(self, more: int) -> None:
        """Know how many more halves wait than before, or fewer: somebody else keeps them."""
        self._waiting.count += more

    def note(self, net_sequence: int, packet_sequence: int | None, end: int) -> None:
        """Know the entry that somebody else has written last."""
        self.net_sequence = net_sequence
        if packet_sequence is not None:
            self.packet_sequence = packet_sequence
        self.end = end

    def drop_packets(self) -> int | None:
        """Wait for no more indexes; return the highest number of those whose packet is still to come."""
        self._waiting.count -= len(self._packets)
        self._packets.clear()
        self._untold.clear()
        return max(self._indexes, default=None)

    def go_on(self, written: int, packet_sequence: int, end: int) -> None:
        """Go on behind so many written packets; of the last, its number in the stream and its end."""
        self.net_sequence = self.index_sequence = written - 1
        self.packet_sequence, self.end = packet_sequence, end

    def close(self) -> Iterator[None]:
        """Wait for nothing any more; return the steps that close the files before the present ones."""
        self._waiting.count -= len(self._packets) + len(self._indexes)
        self._packets.clear()
        self._indexes.clear()
        self._untold.clear()
        retired, self._retired = self._retired, set()
        return close_each(retired)

    def _write(self, packet: Packet, index: SendIndex) -> None:
        entry = IndexEntry(
            packet.start,
            index.packet_size,
            index.content_size,
            index.timestamp_begin,
            index.timestamp_end,
            index.events_discarded,
            index.stream_class,
            index.stream_instance,
            index.packet_sequence,
        )
        packet.index_file.append(entry.pack())
        self.net_sequence = index.net_sequence
        if index.packet_sequence is not None:
            self.packet_sequence = index.packet_sequence
        if packet.index_file not in self._retired:
            self.end = packet.end

    def _close_if_complete(self, index_file: File) -> None:
        if not self._untold[index_file]:
            del self._untold[index_file]
            self._retired.discard(index_file)
            index_file.close()
