"""Trace data over UDP: the datagrams of a data path, and packets put together from them again.

The RFC *Network consumer* names ``udp://`` for data; LTTng never defined what travels there, so this format
is ours. It is spoken only with a peer that announced it on the control connection, over which it gave a token
(`lttngnet.wire.relay.datagrams`). A datagram is a `Head`, a seal, and a piece of a packet's content::

      0  4  magic, "LTDG"
      4  1  version, 1
      5  1  kind: 1 hello, 2 acknowledgement, 3 fragment
      6  2  zero
      8  8  connection, as the relay daemon numbered it
     16  8  stream handle; of hello and acknowledgement: which attempt
     24  8  net sequence number of the packet
     32  4  offset of the piece in the content
     36  4  length of the whole content; of an acknowledgement: of the hello that came, in bytes
     40  4  padding: zeros that follow the content in the trace file, and do not travel
     44  4  check: the CRC-32 of the piece, or of what fills a hello
     48 16  seal: the first half of the HMAC-SHA-256, keyed by the token, of all before it
     64  …  the piece

The seal keeps those out who do not see what travels; who does, sees the token as well, as on any connection
without encryption. The check finds what was damaged on the way.

All integers are big endian. A fragment says all about its packet, so that fragments may come in any order, be
cut anew when they are repeated, and come twice.
"""

import hmac
from bisect import bisect_left
from collections.abc import Iterator
from hashlib import sha256
from zlib import crc32

from lttngnet.errors import WireError
from lttngnet.wire.codec import U8, U32, U64, Buffer, Message

MAGIC = int.from_bytes(b"LTDG", "big")
VERSION = 1
HELLO, ACKNOWLEDGEMENT, FRAGMENT = 1, 2, 3

TOKEN_SIZE = 16
SEAL_SIZE = 16
LARGEST = 65507  # bytes of a datagram: what IPv4 has room for
SMALLEST = 512  # bytes of the largest datagram that a path has to carry

PARTS_LIMIT = 4096  # of a packet, with holes between them
PACKETS_LIMIT = 1 << 14  # of which something is missing
SPARE = 8 << 20  # bytes of memory that is kept for the next packets …
SPARE_LEAST = 1 << 10  # … in pieces from that size on


class Head(Message):
    """Stands before the seal; see the module."""

    magic: U32
    version: U8
    kind: U8
    zeros: U8
    more_zeros: U8
    connection: U64
    stream: U64
    sequence: U64
    offset: U32
    length: U32
    padding: U32
    check: U32


OVERHEAD = Head.layout.size + SEAL_SIZE
"""Bytes of a datagram that are not content."""

CHECK = slice(44, 48)  # where it stands


class Seal:
    """What only those can make who know the token.

    Args:
        token: `TOKEN_SIZE` bytes.
    """

    def __init__(self, token: bytes) -> None:
        block = token.ljust(sha256().block_size, b"\0")
        self._inner = sha256(bytes(byte ^ 0x36 for byte in block))  # RFC 2104; the keys are hashed once
        self._outer = sha256(bytes(byte ^ 0x5C for byte in block))

    def of(self, head: Buffer) -> bytes:
        """Return the seal of what stands before it."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(head)
        outer.update(inner.digest())
        return outer.digest()[:SEAL_SIZE]

    def is_on(self, datagram: Buffer) -> bool:
        """Tell whether a datagram, which is long enough for one, has this seal, and its piece is whole."""
        view = memoryview(datagram)
        seal = self.of(view[: Head.layout.size])
        if not hmac.compare_digest(view[Head.layout.size : OVERHEAD], seal):
            return False
        return crc32(view[OVERHEAD:]) == int.from_bytes(view[CHECK], "big")

    def put_on(self, head: Head) -> bytes:
        """Return what stands before a piece."""
        packed = head.pack()
        return packed + self.of(packed)


def read(datagram: Buffer) -> Head:
    """Return what stands before the seal of a datagram that somebody sent. Who it was, `Seal.is_on` tells.

    Raises:
        WireError: it is none of ours, or says what cannot be.
    """
    if len(datagram) < OVERHEAD:
        raise WireError(f"a datagram of {len(datagram)} bytes")
    head = Head.unpack(datagram)
    if (head.magic, head.version, head.zeros, head.more_zeros) != (MAGIC, VERSION, 0, 0):
        raise WireError("a datagram of another kind")
    if head.kind == FRAGMENT and head.offset + len(datagram) - OVERHEAD > head.length:
        raise WireError("a fragment that reaches beyond its packet")
    return head


def hello(seal: Seal, connection: int, attempt: int, size: int) -> bytes:
    """Return a datagram of that many bytes, which asks whether it arrives."""
    filling = bytes(max(0, size - OVERHEAD))
    head = Head(MAGIC, VERSION, HELLO, 0, 0, connection, attempt, 0, 0, 0, 0, crc32(filling))
    return seal.put_on(head) + filling


def acknowledgement(seal: Seal, greeting: Head, size: int) -> bytes:
    """Return the answer to a hello of that many bytes. It is never longer than that."""
    attempt = greeting.stream
    return seal.put_on(
        Head(MAGIC, VERSION, ACKNOWLEDGEMENT, 0, 0, greeting.connection, attempt, 0, 0, size, 0, 0)
    )


def acknowledged(seal: Seal, connection: int, datagram: Buffer) -> int | None:
    """Return how many bytes the hello had that a datagram acknowledges; None if it does nothing like that."""
    try:
        head = read(datagram)
    except WireError:
        return None
    if (head.kind, head.connection) != (ACKNOWLEDGEMENT, connection) or not seal.is_on(datagram):
        return None
    return head.length


def fragments(
    seal: Seal,
    connection: int,
    stream: int,
    sequence: int,
    content: memoryview,
    padding: int,
    largest: int,
    ranges: list[tuple[int, int]] | None = None,
) -> Iterator[tuple[bytes, memoryview]]:
    """Cut a packet into datagrams; give of each what stands before the piece, and the piece.

    Args:
        seal: of the connection.
        connection: its number.
        stream: handle.
        sequence: net sequence number.
        content: of the packet, without its padding.
        padding: bytes.
        largest: bytes of a datagram.
        ranges: of the content, begin and end, that are wanted; None wants all.
    """
    room, length, pack = largest - OVERHEAD, len(content), Head.layout.pack  # there are thousands in a second
    for begin, end in [(0, length)] if ranges is None else ranges:
        for at in range(begin, max(end, begin + 1), room):
            piece = content[at : min(at + room, end)]
            head = pack(
                MAGIC,
                VERSION,
                FRAGMENT,
                0,
                0,
                connection,
                stream,
                sequence,
                at,
                length,
                padding,
                crc32(piece),
            )
            yield head + seal.of(head), piece


class Parts:
    """A packet of which not all is here yet.

    Args:
        length: of its content, bytes.
        padding: bytes.
        content: memory to put it together in, of that length; None takes new memory.

    Attributes:
        content: of which something may be missing.
        is_whole: whether nothing is.
        padding: bytes.
        touched: when a piece came last, as whoever gathers the packet notes it.
    """

    def __init__(self, length: int, padding: int, content: bytearray | None = None) -> None:
        self.content = bytearray(length) if content is None else content
        self.padding = padding
        self.touched = 0.0
        self.is_whole = False
        self._begins: list[int] = []  # of what is here, in order, with a hole before each but the first …
        self._ends: list[int] = []  # … and where each ends
        self._has_nothing = True

    @property
    def missing(self) -> list[tuple[int, int]]:
        """Begin and end of what is not here; for a packet without content, which takes one piece, (0, 0)."""
        if not self.content:
            return [(0, 0)] if self._has_nothing else []
        begins, ends = [*self._begins, len(self.content)], [0, *self._ends]
        return [(end, begin) for end, begin in zip(ends, begins, strict=True) if end < begin]

    def add(self, offset: int, piece: Buffer) -> bool:
        """Put a piece in its place; return whether any of it was missing. What is here already stays.

        Raises:
            WireError: it reaches beyond the packet, or makes one hole too many.
        """
        end = offset + len(piece)
        if end > len(self.content):
            raise WireError("a piece that reaches beyond its packet")
        was_nothing, self._has_nothing = self._has_nothing, False
        if not self.content:
            self.is_whole = True
            return was_nothing
        if not piece:
            return False
        ends = self._ends
        if not ends:
            self.content[offset:end] = piece
            self._begins.append(offset)
            ends.append(end)
        elif ends[-1] == offset:  # nearly all come in their order
            self.content[offset:end] = piece
            ends[-1] = end
        elif not self._fit_in(offset, end, memoryview(piece)):
            return False
        self.is_whole = self._ends == [len(self.content)] and self._begins == [0]
        return True

    def _fit_in(self, offset: int, end: int, piece: memoryview) -> bool:
        first = bisect_left(self._ends, offset)  # the first part that touches the piece, or lies behind it
        last = first
        begin, at, is_new = offset, offset, False
        stop = end
        while last < len(self._begins) and self._begins[last] <= end:
            if at < self._begins[last]:
                self.content[at : self._begins[last]] = piece[at - offset : self._begins[last] - offset]
                is_new = True
            begin, stop = min(begin, self._begins[last]), max(stop, self._ends[last])
            at = max(at, self._ends[last])
            last += 1
        if at < end:
            self.content[at:end] = piece[at - offset :]
            is_new = True
        if is_new and first == last and len(self._begins) >= PARTS_LIMIT:
            raise WireError(f"a packet in more than {PARTS_LIMIT} parts")
        self._begins[first:last] = [begin]
        self._ends[first:last] = [stop]
        return is_new


class Gathering:
    """The packets of one connection of which not all is here yet, or that wait for their turn.

    Args:
        room: bytes that all of them may take.

    Attributes:
        used: bytes that they take.
    """

    def __init__(self, room: int) -> None:
        self.room = room
        self.used = 0
        self._packets: dict[tuple[int, int], Parts] = {}
        self._spare: dict[int, list[bytearray]] = {}  # by length
        self._spared = 0  # bytes

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._packets)

    def add(
        self, stream: int, sequence: int, offset: int, length: int, padding: int, piece: Buffer
    ) -> Parts | None:
        """Take a fragment; return the packet if any of the fragment was missing of it, else None.

        Raises:
            WireError: there is no room, or it contradicts what another fragment of its packet said.
        """
        name = stream, sequence
        parts = self._packets.get(name)
        if parts is None:
            if self.used + length > self.room or len(self._packets) >= PACKETS_LIMIT:
                raise WireError("no room for another packet")
            spare = self._spare.get(length)
            memory = spare.pop() if spare else None
            if memory is not None:
                self._spared -= length
            parts = Parts(length, padding, memory)
            parts.add(offset, piece)
            self._packets[name] = parts
            self.used += length
            return parts
        if (len(parts.content), parts.padding) != (length, padding):
            raise WireError("a fragment of another packet with the same number")
        return parts if parts.add(offset, piece) else None

    def get(self, stream: int, sequence: int) -> Parts | None:
        """Return what is here of a packet; None if that is nothing."""
        return self._packets.get((stream, sequence))

    def take(self, stream: int, sequence: int) -> Parts | None:
        """Return what is here of a packet, and forget it."""
        parts = self._packets.pop((stream, sequence), None)
        if parts is not None:
            self.used -= len(parts.content)
        return parts

    def reuse(self, parts: Parts) -> None:
        """Put another packet together in the memory of one that was taken, and is done with."""
        length = len(parts.content)
        if self._spared + length > SPARE:
            self._spare.clear()
            self._spared = 0
        if SPARE_LEAST <= length <= SPARE:
            self._spare.setdefault(length, []).append(parts.content)
            self._spared += length

    def clear(self) -> None:
        """Forget all."""
        self._spare.clear()
        self._spared = 0
        self._packets.clear()
        self.used = 0

    def names(self) -> list[tuple[int, int]]:
        """Return stream and number of each."""
        return list(self._packets)
