"""The plane whose hot loop is compiled: what nearly all packets are does not enter the interpreter.

``_plane.c`` waits for the sockets, receives, walks over packets, writes them and their index entries, and
answers SEND_INDEX. Whatever else comes is an event, and goes the way that it would have gone without it, to
the channel of the connection. So there is one place for every rule, and this is all that is agreed on:

* a *connection* is served there while its channel has handed it over, between two events;
* a *stream* is written there while it has a deputy, which is between two things that happen to it beside
  packets and indexes: a rotation, a full trace file, a beacon, the end. See `lttngnet.relayd.store.deputy`.

The loop does nothing while Python runs, and what it has done is noted in the streams as soon as it returns.
It returns at once when the reactor has something to do, and after 4 ms in which it found no moment to sleep.
While it sleeps, so does the reactor: it waits for the reactor's descriptors as well as for its own.

The library is loaded by ctypes. It has no need of Python: a C compiler is all that it takes to build it.
"""

import ctypes
import os
from collections.abc import Callable
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from struct import Struct
from typing import Any, cast

from lttngnet.relayd.plane import Channel, Handover, Loan, Plane
from lttngnet.relayd.store.deputy import Lent, Report
from lttngnet.relayd.store.pairing import Packet
from lttngnet.relayd.store.stream import Stream
from lttngnet.relayd.turns import ROUND, Rounds
from lttngnet.wire.relay import DataHeader, SendIndex

VERSION = 2  # the library has the same: of what both know of the other
LIBRARY = Path(__file__).with_name(f"_plane{EXTENSION_SUFFIXES[0]}")

NOTHING, READABLE, BYTES, COLD, ENDED, FAILED = range(6)  # events
CONTROL, DATA = range(2)  # connections
PACKET, INDEX = 1, 2  # halves of an index entry
NOBODY = -1  # as a descriptor

FIELDS = (6, 8)  # of an index that an entry has, of format 1.0 and 1.1
INDEX_HEAD = 16  # bytes of a SEND_INDEX before them
CHANGES = 64  # streams that are noted together

_CHANGE = Struct("=11Q")
_FIELDS = Struct(">8Q")


class Event(ctypes.Structure):
    """See ``struct event``."""

    _fields_ = (
        ("kind", ctypes.c_int32),
        ("fd", ctypes.c_int32),
        ("error", ctypes.c_int32),
        ("size", ctypes.c_uint32),
        ("unsent", ctypes.c_uint32),
        ("bytes", ctypes.c_void_p),
        ("answers", ctypes.c_void_p),
        ("handle", ctypes.c_uint64),
    )


class Half(ctypes.Structure):
    """See ``struct half``."""

    _fields_ = (
        ("sequence", ctypes.c_uint64),
        ("start", ctypes.c_uint64),
        ("end", ctypes.c_uint64),
        ("has", ctypes.c_uint32),
        ("unused", ctypes.c_uint32),
        ("told", ctypes.c_uint8 * 64),
    )


class Written(ctypes.Structure):
    """See ``struct stream``: the part of it that is Python's as well."""

    _fields_ = (
        ("handle", ctypes.c_uint64),
        ("session", ctypes.c_uint64),
        ("data", ctypes.c_int32),
        ("index", ctypes.c_int32),
        ("entry", ctypes.c_uint32),
        ("waiting", ctypes.c_uint32),
        ("limit", ctypes.c_uint64),
        ("size", ctypes.c_uint64),
        ("index_size", ctypes.c_uint64),
        ("packets", ctypes.c_uint64),
        ("entries", ctypes.c_uint64),
        ("indexes", ctypes.c_uint64),
        ("sequence", ctypes.c_uint64),
        ("net_sequence", ctypes.c_uint64),
        ("packet_sequence", ctypes.c_uint64),
        ("end", ctypes.c_uint64),
        ("error", ctypes.c_int32),
        ("fault", ctypes.c_int32),
        ("inside", ctypes.c_int32),
        ("is_changed", ctypes.c_int32),
    )


class State(ctypes.Structure):
    """See ``struct state``."""

    _fields_ = (
        ("session", ctypes.c_uint64),
        ("handle", ctypes.c_uint64),
        ("sequence", ctypes.c_uint64),
        ("start", ctypes.c_uint64),
        ("size", ctypes.c_uint32),
        ("padding", ctypes.c_uint32),
        ("left", ctypes.c_uint32),
        ("is_inside", ctypes.c_int32),
        ("nrest", ctypes.c_uint32),
        ("rest", ctypes.c_uint8 * 104),
    )


class Core(ctypes.Structure):
    """See ``struct plane``."""

    _fields_ = (
        ("event", Event),
        ("changed", ctypes.c_void_p),
        ("current", ctypes.c_void_p),
        ("failing", ctypes.c_void_p),
        ("poller", ctypes.c_int32),
        ("others", ctypes.c_int32),
        ("look", ctypes.c_int32),
        ("slept", ctypes.c_int32),
        ("connections", ctypes.c_uint32),
        ("left", ctypes.c_int32),
    )


_POINTER, _INT, _U64 = ctypes.c_void_p, ctypes.c_int, ctypes.c_uint64
_FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "plane_new": (_POINTER, (_INT, _INT, _INT)),
    "plane_free": (None, (_POINTER,)),
    "plane_run": (_INT, (_POINTER, ctypes.c_int64, ctypes.c_int64)),
    "plane_add": (_INT, (_POINTER, _INT, _INT, ctypes.c_uint32, ctypes.POINTER(State))),
    "plane_release": (_INT, (_POINTER, _INT, ctypes.POINTER(State))),
    "plane_stream": (_POINTER, (_POINTER, _U64, _U64, _U64)),
    "plane_forget": (None, (_POINTER, _POINTER)),
    "plane_keep": (_INT, (_POINTER, _POINTER, ctypes.POINTER(Half))),
    "plane_half": (ctypes.c_uint32, (_POINTER, ctypes.c_uint32, ctypes.POINTER(Half))),
    "plane_changes": (ctypes.c_uint32, (_POINTER, _POINTER, ctypes.c_uint32)),
}


def load(path: Path = LIBRARY) -> Any:
    """Return the library. Raises OSError where there is none, or only that of another version."""
    library = ctypes.CDLL(os.fspath(path))
    if ctypes.c_int32.in_dll(library, "plane_version").value != VERSION:
        raise OSError(f"{path} was built of another version")
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def oserror(number: int) -> OSError:
    """Return what Python would raise."""
    return OSError(number, os.strerror(number))


class Writer:
    """The deputy of a stream: see `lttngnet.relayd.store.deputy`."""

    def __init__(self, plane: "CompiledPlane", stream: Stream, session: int) -> None:
        self.stream = stream
        self.session = session
        self._plane = plane
        self._lent: Lent | None = None
        self._pointer: int | None = None
        self._known = (0, 0, 0, 0)  # waiting, packets, indexes, entries
        self.is_reported = False  # that something could not be written

    def begin(self, library: Any, core: int) -> bool:
        """Write its packets from now on, if that can be."""
        try:
            lent = self.stream.lend(self)
        except OSError:
            return False  # whoever writes the next packet learns of it
        if lent is None:
            return False
        self._lent, self._library, self._core = lent, library, core
        self._pointer = library.plane_stream(core, self.stream.handle, self.session, lent.data.size)
        if self._pointer is None:
            self._give_back(lent.packets, lent.indexes)
            return False
        written = Written.from_address(self._pointer)
        written.data, written.index = lent.data_number, lent.index_number
        written.entry, written.limit = 8 + 8 * lent.fields, lent.limit
        written.index_size = lent.index_file.size
        if not self._keep(lent):
            library.plane_forget(core, self._pointer)
            self._give_back(lent.packets, lent.indexes)
            return False
        self._known = (written.waiting, 0, 0, 0)
        return True

    def note(self, change: tuple[int, ...]) -> None:
        """Let the stream know what was done."""
        size, index_size, waiting, packets, sequence, indexes, entries, net, number, end = change
        had_waiting, had_packets, had_indexes, had_entries = self._known
        self._known = (waiting, packets, indexes, entries)
        self.stream.learn(
            Report(
                size,
                index_size,
                waiting - had_waiting,
                packets - had_packets,
                sequence,
                indexes - had_indexes,
                entries - had_entries,
                net,
                number,
                end,
            )
        )

    def leave(self) -> None:
        """See `Deputy.leave`."""
        lent, pointer = self._lent, self._pointer
        if lent is None or pointer is None:
            return
        self._plane.note_changes()
        written = Written.from_address(pointer)
        if written.inside >= 0:
            self._plane.take_over(written.inside)
        packets: dict[int, Packet] = {}
        indexes: dict[int, SendIndex] = {}
        half, slot = Half(), 0
        while slot := self._library.plane_half(pointer, slot, half):
            if half.has == PACKET:
                packets[half.sequence] = Packet(half.start, half.end, lent.index_file)
            else:
                fields = _FIELDS.unpack(bytes(half.told))[: lent.fields]
                indexes[half.sequence] = SendIndex(self.stream.handle, half.sequence, *fields)
        problem = oserror(written.error) if written.error and not self.is_reported else None
        self._library.plane_forget(self._core, pointer)
        self._give_back(packets, indexes)
        if problem is not None:
            lent.data.fail(problem)

    def _keep(self, lent: Lent) -> bool:
        half = Half()
        for sequence, packet in lent.packets.items():
            half.sequence, half.start, half.end, half.has = sequence, packet.start, packet.end, PACKET
            if not self._library.plane_keep(self._core, self._pointer, half):
                return False
        for sequence, index in lent.indexes.items():
            half.sequence, half.start, half.end, half.has = sequence, 0, 0, INDEX
            packed = index.pack(8 if lent.fields == FIELDS[1] else 0)[INDEX_HEAD:]
            half.told[: len(packed)] = packed
            if not self._library.plane_keep(self._core, self._pointer, half):
                return False
        return True

    def _give_back(self, packets: dict[int, Packet], indexes: dict[int, SendIndex]) -> None:
        self._plane.writers.pop(self.stream.handle, None)
        self._lent = self._pointer = None
        self.stream.take_back(packets, indexes)


class CompiledPlane(Plane):
    """See the module.

    Args:
        reactor: that calls it.
        rounds: gives the turns.
        seconds: the clock.
        looks: as for `Plane`.
        library: that `load` returned.

    Attributes:
        writers: the deputies, by the handle of their stream.
    """

    name = "C"

    def __init__(
        self,
        reactor: Any,
        rounds: Rounds,
        seconds: Callable[[], float],
        looks: bool | None = None,
        library: Any = None,
    ) -> None:
        super().__init__(reactor, rounds, seconds, looks)
        self.writers: dict[int, Writer] = {}
        self._library = load() if library is None else library
        self._pointer: int | None = None
        self._core = Core()
        self._handed: dict[int, tuple[Loan, Channel, Handover]] = {}  # what is served in there
        self._changes = bytearray(_CHANGE.size * CHANGES)
        self._changes_at = ctypes.addressof(ctypes.c_char.from_buffer(self._changes))
        self._state = State()
        self._again: Any = None

    # ------------------------------------------------------------ who is served where

    def go_on(self, loan: Loan) -> None:
        """See `Plane.go_on`."""
        super().go_on(loan)
        self._count()
        self._hand_over(loan)

    def stop(self, loan: Loan) -> None:
        """See `Plane.stop`."""
        self.take_over(loan.number)
        super().stop(loan)
        self._count()

    def take_over(self, number: int) -> None:
        """Serve a connection in Python from now on; to say so again is no error."""
        handed = self._handed.pop(number, None)
        if handed is None:
            return
        _, channel, handover = handed
        self.note_changes()
        state = self._state
        self._library.plane_release(self._pointer, number, state)
        head = bytes(state.rest[: state.nrest])
        header = None
        if state.is_inside:
            header = DataHeader(0, state.handle, state.sequence, state.size, state.padding)
        left = state.left if state.is_inside else 0
        channel.take_back(handover._replace(head=head, header=header, left=left, start=state.start))

    def note_changes(self) -> None:
        """Let the streams know what was done."""
        count = CHANGES
        while count == CHANGES:
            count = self._library.plane_changes(self._pointer, self._changes_at, CHANGES)
            for number in range(count):
                change = _CHANGE.unpack_from(self._changes, number * _CHANGE.size)
                self.writers[change[0]].note(change[1:])

    def _count(self) -> None:
        if self._pointer is not None:
            self._core.connections = len(self._loans)

    def _hand_over(self, loan: Loan) -> None:
        """Let a connection be served in there, if that can be."""
        channel = loan.reader
        if self._pointer is None or loan.number in self._handed or self._loans.get(loan.number) is not loan:
            return
        if not hasattr(channel, "hand_over") or not loan.is_direct:
            return
        channel = cast("Channel", channel)
        handover = channel.hand_over()
        if handover is None:
            return
        state = State(session=handover.session.facts.number, nrest=len(handover.head))
        state.rest[: len(handover.head)] = handover.head
        if (header := handover.header) is not None:
            stream = handover.session.streams[header.stream]
            if not self._is_written(stream, handover.session.facts.number):
                return
            state.is_inside, state.left, state.start = 1, handover.left, handover.start
            state.handle, state.sequence = header.stream, header.sequence
            state.size, state.padding = header.data_size, header.padding_size
        kind = DATA if handover.is_data else CONTROL
        fields = FIELDS[bool(handover.session.facts.index_minor)]
        if not self._library.plane_add(self._pointer, loan.number, kind, INDEX_HEAD + 8 * fields, state):
            loan.wait_for(1)
            channel.handed_over()
            self._handed[loan.number] = (loan, channel, handover)

    def _is_written(self, stream: Stream, session: int) -> bool:
        """Let the packets of a stream be written in there; return whether they are."""
        if stream.deputy is not None:
            return True
        writer = Writer(self, stream, session)
        if writer.begin(self._library, cast("int", self._pointer)):
            self.writers[stream.handle] = writer
            return True
        return False

    # ------------------------------------------------------------ what the reactor calls

    def doRead(self) -> None:
        """See `Plane.doRead`."""
        if self._pointer is None:
            self._begin()
        run, core, seconds = self._library.plane_run, self._core, self._seconds
        end = seconds() + ROUND
        while self._epoll is not None:
            left = max(0, int((end - seconds()) * 1e6))
            kind = run(self._pointer, left, self._patience())
            if core.changed:
                self.note_changes()
            if core.slept:
                end = seconds() + ROUND
            if kind == NOTHING:
                break
            self._happened(kind)
            if (self._rounds.are_due or seconds() >= end) and core.left <= 0:  # each is read from in a round
                break
        if self._epoll is not None and (core.current or core.failing) and self._again is None:
            self._again = self._reactor.callLater(0, self._go_on)

    def close(self) -> None:
        """See `Plane.close`."""
        for number in list(self._handed):
            self.take_over(number)
        for writer in list(self.writers.values()):
            writer.leave()
        super().close()
        if self._again is not None:
            self._again.cancel()
            self._again = None
        pointer, self._pointer = self._pointer, None
        if pointer is not None:
            self._core = Core()
            self._library.plane_free(pointer)

    def _begin(self) -> None:
        assert self._epoll is not None
        others = NOBODY if self._others is None else self._others.fileno()
        look = round(self._look * 1e6)
        self._pointer = self._library.plane_new(self._epoll.fileno(), others, look)
        if self._pointer is None:
            raise MemoryError
        self._core = Core.from_address(self._pointer)
        self._count()

    def _go_on(self) -> None:
        self._again = None
        self.doRead()

    def _patience(self) -> int:
        """Return for how many microseconds the reactor would sleep."""
        if self._core.others == NOBODY:
            return 0
        timeout = self._reactor.timeout()
        return -1 if timeout is None else int(timeout * 1e6)

    def _happened(self, kind: int) -> None:
        event = self._core.event
        number = event.fd
        if kind == FAILED:
            self._failed(number, event.handle, event.error)
            return
        if kind == READABLE:
            loan = self._loans.get(number)
            if loan is not None:
                self._serve(loan)
                self._hand_over(loan)
            return
        loan, _, handover = self._handed[number]
        if kind == COLD:
            stream = handover.session.streams.get(event.handle)
            if stream is not None and self._is_written(stream, handover.session.facts.number):
                return  # it goes on where it was
        answers = ctypes.string_at(event.answers, event.unsent) if event.unsent else b""
        piece = ctypes.string_at(event.bytes, event.size) if event.size else b""
        error = event.error
        self.take_over(number)
        if answers:
            loan.write(answers)
        if kind == ENDED:
            loan.end(is_lost=bool(error))
        elif piece:
            self._take(loan, piece)
            self._hand_over(loan)

    def _take(self, loan: Loan, piece: bytes) -> None:
        try:
            loan.take(piece)
        except Exception:
            self.log.failure("Defect while reading")
            loan.abortConnection()

    def _failed(self, number: int, handle: int, error: int) -> None:
        """What came over a connection could not be written: it is the one to end."""
        writer = self.writers[handle]
        _, channel, handover = self._handed.get(number, (None, None, None))
        if channel is not None and handover is not None and handover.session.facts.number == writer.session:
            writer.is_reported = True
            self.take_over(number)
            writer.leave()
            channel.failed(oserror(error))
        else:
            writer.leave()  # whoever writes there next learns of it
