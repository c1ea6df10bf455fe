"""Who writes the packets of a stream in its stead: the compiled plane, which does nothing else.

A stream has a deputy as long as nothing happens to it but packets and their indexes. Whatever else it is told
calls it back first, and so does the pool when it closes a file. What the deputy did is noted in the stream
before anything else looks at it: see `lttngnet.relayd.compiled`.
"""

from typing import NamedTuple, Protocol

from lttngnet.relayd.store.files import File
from lttngnet.relayd.store.pairing import Packet
from lttngnet.wire.relay import SendIndex


class Deputy(Protocol):
    """See the module."""

    def leave(self) -> None:
        """Give the stream back, at once; to say so again is no error."""


class Lent(NamedTuple):
    """What a deputy needs.

    Attributes:
        data_number: the descriptor of the trace file.
        index_number: of its index.
        data: the trace file.
        index_file: its index.
        fields: of an index that go into an entry, each of 8 bytes.
        limit: bytes of the trace file; 0 is none.
        packets: that wait for their index.
        indexes: that wait for their packet.
    """

    data_number: int
    index_number: int
    data: File
    index_file: File
    fields: int
    limit: int
    packets: dict[int, Packet]
    indexes: dict[int, SendIndex]


class Report(NamedTuple):
    """What a deputy has done.

    Attributes:
        size: of the trace file, bytes.
        index_size: of its index, bytes.
        waiting: how many more halves of entries wait.
        packets: how many are new.
        sequence: net sequence number of the last one.
        indexes: how many are new.
        entries: how many are new.
        net_sequence: net sequence number of the last one.
        packet_sequence: its packet sequence number.
        end: where its packet ends.
    """

    size: int
    index_size: int
    waiting: int
    packets: int
    sequence: int
    indexes: int
    entries: int
    net_sequence: int
    packet_sequence: int
    end: int
