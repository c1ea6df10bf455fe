"""Ring buffers in shared memory, into which applications write and from which we read, packet by packet.

A channel has a buffer for each CPU. Its memory is a file, of which every application that writes gets a
descriptor. The file is sealed: an application that made it shorter would kill us (SIGBUS), with all that
others have recorded. What applications write is not believed: a length that cannot be is cut.
"""

import contextlib
import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from mmap import PAGESIZE
from struct import Struct
from typing import Any, Final, NamedTuple
from uuid import UUID

from lttngnet.ctf.packet import Packet
from lttngnet.sources.ust.library import Library, LibraryError
from lttngnet.wire.amp import close_all

SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
DESCRIPTION_LIMIT: Final = 1 << 20  # bytes: as many as an application accepts

_DESCRIPTION = Struct("=Qi")  # length, kind of channel; before what the application gets
_NOT_LONG = Struct("ll").pack(1, 0)  # struct timeval; the socket has room, so it takes no time at all
_POSITIONS = 1 << 64  # of a buffer; then they begin anew
_PIPE_SIZE = 1 << 16  # bytes: no more are in a pipe


class Header(NamedTuple):
    """Begin of every packet: CTF's packet header and packet context, as lttng-ust lays them out.

    Attributes:
        content_size, packet_size: bits, this header included.
        discarded: events lost on the stream for want of room, since it was made.
    """

    magic: int
    uuid: bytes
    stream_class: int
    stream_instance: int
    begin: int
    end: int
    content_size: int
    packet_size: int
    sequence: int
    discarded: int
    cpu: int


HEADER: Final = Struct("=I16sI7QI")


@dataclass(frozen=True)
class Options:
    """What a channel is made of.

    Attributes:
        name: of the channel.
        stream_class: its number in the trace.
        subbuf_size: bytes, a power of two, at least a page.
        num_subbuf: a power of two, at least 2.
        overwrite: whether the oldest sub-buffer gives way, instead of the newest event.
        blocking_timeout: us that an application waits for room if it permits that; -1 for ever.
        switch_timer: us after which a sub-buffer is handed on though it is not full; 0 for never.
        read_timer: us between two looks for full sub-buffers; 0: the applications wake us.
        tracefile_size: bytes of a file of the trace; 0 for no limit.
        tracefile_count: files of a stream, of which the oldest gives way; 0 for no limit.
    """

    name: str
    stream_class: int
    subbuf_size: int
    num_subbuf: int
    overwrite: bool = False
    blocking_timeout: int = 0
    switch_timer: int = 0
    read_timer: int = 0
    tracefile_size: int = 0
    tracefile_count: int = 0


def _nothing(pointer: Any) -> int:
    return -1


class Stream:
    """The buffer of one CPU.

    Attributes:
        cpu: whose it is.
        size: bytes of its memory.
        largest: bytes of a sub-buffer.
        discarded: events for which there was no room, as far as packets have told of it.
        lost: packets that were overwritten before they were read.
        is_closed: whether it is: there is nothing to get then, to flush, or to be woken for.
    """

    def __init__(self, library: Library, pointer: Any, cpu: int, size: int, largest: int) -> None:
        self.cpu = cpu
        self.size = size
        self.largest = largest
        self.discarded = 0
        self.lost = 0
        self.is_closed = False
        self._library = library
        self._pointer = pointer
        self._next = 0  # sequence number
        self._number = library.ffi.new("unsigned long *")
        self._get = library.function("get_next_subbuf")
        self._put = library.function("put_next_subbuf")
        self._offset = library.function("get_mmap_read_offset")
        self._padded = library.function("get_padded_subbuf_size")
        self._wait = library.call("stream_get_wait_fd", pointer)
        self._wakeup = library.call("stream_get_wakeup_fd", pointer)
        os.set_blocking(self._wait, False)
        base = library.function("get_mmap_base")(pointer)
        mapped = library.number("get_mmap_len", pointer)
        self._memory = memoryview(library.ffi.buffer(library.ffi.cast("char *", base), mapped))

    def fileno(self) -> int:
        """Return the pipe into which applications write a byte when a sub-buffer is full."""
        return self._wait

    def wakeup(self) -> int:
        """Return a copy of the pipe's other end, which is the caller's."""
        return os.dup(self._wakeup)

    def remind(self) -> None:
        """Have the pipe readable: there may be more than was read."""
        if self.is_closed:
            return
        with contextlib.suppress(BlockingIOError):  # it is full, thus readable
            os.write(self._wakeup, b"\0")

    def forget(self) -> None:
        """Empty the pipe. What is full by now has to be read after that, or `remind` called."""
        if self.is_closed:
            return
        with contextlib.suppress(BlockingIOError):
            os.read(self._wait, _PIPE_SIZE)

    def get(self) -> Packet | None:
        """Return the next full sub-buffer, or None. It is ours until `put`, then the applications' again."""
        if self._get(self._pointer):
            return None
        return self._packet()

    def put(self) -> None:
        """Give back what `get` returned."""
        self._put(self._pointer)

    def snapshot(self, most: int | None = None) -> Iterator[Packet]:
        """Yield what is in the buffer now, the oldest first; it stays there.

        A packet is lent until the next. Nobody may `get` packets of this stream, before or after.

        Args:
            most: packets, the newest, none of which is empty unless it is the only one; None for all.
        """
        self.flush(only_if_used=most is not None and self.positions()[0] != self.positions()[1])
        self._library.call("snapshot", self._pointer)
        consumed, produced = self._positions()
        step = self._library.number("get_max_subbuf_size", self._pointer)
        position = self._library.ffi.new("unsigned long *")
        get, put = self._library.function("get_subbuf"), self._library.function("put_subbuf")
        count = (produced - consumed) % _POSITIONS // step
        for number in range(max(count - most, 0) if most is not None else 0, count):
            position[0] = (consumed + number * step) % _POSITIONS
            if get(self._pointer, position):
                continue  # it was overwritten meanwhile
            try:
                yield self._packet()
            finally:
                put(self._pointer)

    def flush(self, only_if_used: bool = False) -> None:
        """Close the sub-buffer that is being written, also an empty one: it tells of discarded events.

        Args:
            only_if_used: not an empty one.
        """
        if not self.is_closed:
            self._library.call("flush_buffer", self._pointer, int(only_if_used))

    def clear(self) -> None:
        """Drop all that is in the buffer."""
        self._library.call("clear_buffer", self._pointer)

    def positions(self) -> tuple[int, int]:
        """Return up to where was read and written: bytes, modulo 2**64."""
        self._library.call("snapshot_sample_positions", self._pointer)
        return self._positions()

    @property
    def waiting(self) -> int:
        """Bytes that were written and not taken."""
        consumed, produced = self.positions()
        return (produced - consumed) % _POSITIONS

    @property
    def has_begun(self) -> bool:
        """Whether there was a packet."""
        return self._next > 0

    def silent_until(self) -> int | None:
        """Return the time, ns, if nothing is in the buffer, and nobody is about to write; else None."""
        now = self.now()
        consumed, produced = self.positions()
        return now if consumed == produced else None

    def now(self) -> int:
        """Return the time by the clock of the trace, ns."""
        return self._library.number("get_current_timestamp", self._pointer, "uint64_t *")

    def close(self) -> None:
        """Let go of the memory. Applications keep theirs, which nobody reads any more."""
        self.is_closed = True
        self._get = self._put = _nothing  # a sink that fails has us closed while it is given a packet
        self._memory.release()
        pointer, self._pointer = self._pointer, None  # which the library is never called with
        self._library.function("destroy_stream")(pointer)

    def _positions(self) -> tuple[int, int]:
        number = self._library.number
        consumed = number("snapshot_get_consumed", self._pointer)
        return consumed, number("snapshot_get_produced", self._pointer)

    def _packet(self) -> Packet:
        number = self._number
        self._offset(self._pointer, number)
        at = number[0]
        self._padded(self._pointer, number)
        size = min(max(number[0], PAGESIZE), self.largest)
        if at + size > len(self._memory):
            raise LibraryError(errno.EFAULT, f"a sub-buffer at {at}, of {size} bytes, is out of bounds")
        header = Header(*HEADER.unpack_from(self._memory, at))
        content = min(max(header.content_size // 8, HEADER.size), size)
        self.lost += max(header.sequence - self._next, 0)
        self._next = header.sequence + 1
        # The tracer says 0 now and then, if another process than the one that lost them ends a sub-buffer.
        self.discarded = max(self.discarded, header.discarded)
        return Packet(
            content=self._memory[at : at + content],
            padding=size - content,
            content_size=8 * content,
            timestamp_begin=header.begin,
            timestamp_end=header.end,
            events_discarded=header.discarded,
            stream_class=header.stream_class,
            stream_instance=header.stream_instance,
            sequence=header.sequence,
        )


class Channel:
    """The buffers of one channel.

    Raises:
        LibraryError: memory or descriptors are short, or an option cannot be.
        OSError: so are they.
    """

    def __init__(self, library: Library, options: Options, trace: UUID, kind: int = 0) -> None:
        self.options = options
        self.kind = kind
        self.streams: list[Stream] = []
        self._library = library
        self._given: list[int] = []  # descriptors that are for applications
        attributes = {
            "type": kind,
            "subbuf_size": options.subbuf_size,
            "num_subbuf": options.num_subbuf,
            "overwrite": options.overwrite,
            "stream_class": options.stream_class,
            "uuid": trace.bytes,
            "blocking_timeout": options.blocking_timeout,
        }
        self._pointer: Any = None
        try:
            for cpu in range(1 if kind else library.cpus):
                flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
                self._given.append(os.memfd_create(f"lttng-ust {options.name}_{cpu}", flags))
            made = library.ffi.new("struct attributes *", attributes)
            self._pointer = library.made("create_channel", made, self._given, len(self._given))
            for cpu, memory in enumerate(self._given):
                fcntl.fcntl(memory, fcntl.F_ADD_SEALS, SEALS)
                pointer = library.made("create_stream", self._pointer, cpu)
                self.streams.append(
                    Stream(library, pointer, cpu, os.fstat(memory).st_size, options.subbuf_size)
                )
            self._describe()
        except BaseException:
            self.close()
            raise

    def give(self) -> list[int]:
        """Return the descriptors with which applications can write, once; they are the caller's.

        These are a file with the description of the channel, the channel's wake-up pipe, then for each stream
        its memory and its wake-up pipe.

        Raises:
            OSError: there are no descriptors left.
        """
        wakeups: list[int] = []
        try:
            wakeups.extend(stream.wakeup() for stream in self.streams)
        except OSError:
            close_all(wakeups)
            raise
        given, self._given = self._given, []
        return given[:2] + [each for pair in zip(given[2:], wakeups, strict=True) for each in pair]

    def close(self) -> None:
        """Let go of all."""
        for stream in self.streams:
            stream.close()
        self.streams.clear()
        if self._pointer is not None:
            self._library.function("destroy_channel")(self._pointer)
            self._pointer = None
        close_all(self._given)
        self._given.clear()

    def _describe(self) -> None:
        """Have the library send what an application needs to know, which it only does over a socket."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, DESCRIPTION_LIMIT)
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _NOT_LONG)
            self._library.call("send_channel_to_sessiond", theirs.fileno(), self._pointer)
            ours.settimeout(0)
            head = ours.recv(_DESCRIPTION.size)
            length, _ = _DESCRIPTION.unpack(head)
            text = b""
            while len(text) < length:
                text += ours.recv(length - len(text))
            _, wakeup, _, _ = socket.recv_fds(ours, 1, 1)
        if not wakeup:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))  # the system says nothing
        self._given[:0] = wakeup
        os.set_inheritable(wakeup[0], False)
        description = os.memfd_create(f"lttng-ust {self.options.name}", os.MFD_CLOEXEC)
        self._given.insert(0, description)
        os.write(description, text)
        self._library.call("channel_close_wakeup_fd", self._pointer)
