"""What a live viewer may say, and when (LTTng live protocol, "Live viewer protocol").

    fresh ──connect──▶ connected ──create_session──▶ ready ──attach──▶ attached
      │                    │                           │  ◀──detach──     │
      └────────────────────┴─────── hung_up, lost ─────┴──────────────────┴──▶ closed

Before CONNECT nothing else is heard. From then on every question is answered: what concerns streams with
an error, until the viewer is attached to the session of the stream. The machine knows no transport and no
file, and nothing in it raises.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from automat import TypeMachineBuilder

from lttngnet.relayd.position import Extent
from lttngnet.relayd.viewing import NO_METADATA, NO_PACKET, Viewing, index
from lttngnet.wire import viewer as wire
from lttngnet.wire.listing import SessionList
from lttngnet.wire.viewer import (
    LONG_NAMES_SINCE,
    MAJOR,
    MINOR,
    Answer,
    AttachStatus,
    CreateStatus,
    DetachStatus,
    IndexStatus,
    Kind,
    Status,
    StreamsHead,
    StreamsStatus,
)


class LiveViewer(Protocol):
    """What comes over a viewer's connection, and what becomes of the connection."""

    def connect(self, theirs: wire.Connect) -> None:
        """CONNECT."""

    def list_sessions(self) -> None:
        """LIST_SESSIONS."""

    def create_session(self) -> None:
        """CREATE_SESSION."""

    def attach(self, question: wire.Attach) -> None:
        """ATTACH_SESSION."""

    def detach(self, question: wire.Detach) -> None:
        """DETACH_SESSION."""

    def new_streams(self, question: wire.GetNewStreams) -> None:
        """GET_NEW_STREAMS."""

    def next_index(self, question: wire.GetNextIndex) -> None:
        """GET_NEXT_INDEX."""

    def packet(self, question: wire.GetPacket) -> None:
        """GET_PACKET."""

    def metadata(self, question: wire.GetMetadata) -> None:
        """GET_METADATA."""

    def hung_up(self) -> None:
        """We close the connection, because of what the viewer said."""

    def lost(self) -> None:
        """The connection is closed, whoever did it."""

    def _agreed(self) -> None: ...
    def _made(self) -> None: ...
    def _attached(self) -> None: ...
    def _detached(self) -> None: ...


@dataclass
class Guest:
    """What the machine works with.

    Attributes:
        reply: sends an answer, and bytes, or those of a file, behind it.
        reply_in_pieces: sends an answer piece by piece; empty ones are pauses.
        hang_up: closes the connection and says why in the log.
        viewing: what the viewer sees. While it is attached to something, the channel may ask for an index or
            a packet by itself, without the machine, which would do nothing but `next_index` and `packet`:
            there are thousands of them in a second.
        numbers: gives viewers theirs.
    """

    reply: Callable[[Answer | SessionList, bytes | Extent | None], None]
    reply_in_pieces: Callable[[Iterator[bytes]], None]
    hang_up: Callable[[str], None]
    viewing: Viewing
    numbers: Iterator[int]


builder = TypeMachineBuilder(LiveViewer, Guest)
fresh = builder.state("fresh")
connected = builder.state("connected")
ready = builder.state("ready")
attached = builder.state("attached")
closed = builder.state("closed")

fresh.upon(LiveViewer._agreed).to(connected).returns(None)
connected.upon(LiveViewer._made).to(ready).returns(None)
ready.upon(LiveViewer._attached).to(attached).returns(None)
attached.upon(LiveViewer._attached).loop().returns(None)
attached.upon(LiveViewer._detached).to(ready).returns(None)


@fresh.upon(LiveViewer.connect).loop()
def answer_connect(viewer: LiveViewer, guest: Guest, theirs: wire.Connect) -> None:
    """Agree on the lower minor, of 2.13 or, with viewers that know it, 2.15; say nothing to other majors."""
    if theirs.major != MAJOR or theirs.kind not in (Kind.COMMAND, Kind.NOTIFICATION):
        guest.hang_up(f"a viewer of version {theirs.major}.{theirs.minor} and kind {theirs.kind}")
        return
    ours = LONG_NAMES_SINCE if theirs.minor >= LONG_NAMES_SINCE else MINOR
    guest.viewing.minor = min(ours, theirs.minor)
    number = next(guest.numbers) if theirs.kind == Kind.COMMAND else 0
    guest.reply(wire.Connect(number, MAJOR, ours, Kind.RELAY), None)
    viewer._agreed()


@connected.upon(LiveViewer.create_session).loop()
def make(viewer: LiveViewer, guest: Guest) -> None:
    """Let the viewer attach to sessions."""
    guest.reply(Status(CreateStatus.OK), None)
    viewer._made()


def make_again(viewer: LiveViewer, guest: Guest) -> None:
    """Refuse: once is all that there is."""
    guest.reply(Status(CreateStatus.ERROR), None)


def list_sessions(viewer: LiveViewer, guest: Guest) -> None:
    """Tell of all sessions."""
    guest.reply(guest.viewing.sessions(), None)


def attach(viewer: LiveViewer, guest: Guest, question: wire.Attach) -> None:
    """Attach to a session, or say why not."""
    status, pieces = guest.viewing.attach(question)
    guest.reply_in_pieces(pieces)
    if status is AttachStatus.OK:
        viewer._attached()


@connected.upon(LiveViewer.attach).loop()
def attach_too_early(viewer: LiveViewer, guest: Guest, question: wire.Attach) -> None:
    """Refuse: CREATE_SESSION comes first."""
    guest.reply(StreamsHead(AttachStatus.NO_VIEWER_SESSION), None)


@attached.upon(LiveViewer.detach).loop()
def detach(viewer: LiveViewer, guest: Guest, question: wire.Detach) -> None:
    """Detach from a session."""
    guest.reply(Status(guest.viewing.detach(question)), None)
    if not guest.viewing.is_attached:
        viewer._detached()


@ready.upon(LiveViewer.detach).loop()
def detach_from_nothing(viewer: LiveViewer, guest: Guest, question: wire.Detach) -> None:
    """Say what is wrong with it."""
    guest.reply(Status(guest.viewing.detach(question)), None)


@connected.upon(LiveViewer.detach).loop()
def detach_too_early(viewer: LiveViewer, guest: Guest, question: wire.Detach) -> None:
    """Refuse: nothing is attached."""
    guest.reply(Status(DetachStatus.NOT_ATTACHED), None)


@attached.upon(LiveViewer.new_streams).loop()
def new_streams(viewer: LiveViewer, guest: Guest, question: wire.GetNewStreams) -> None:
    """Tell of new streams."""
    guest.reply_in_pieces(guest.viewing.new_streams(question))


@attached.upon(LiveViewer.next_index).loop()
def next_index(viewer: LiveViewer, guest: Guest, question: wire.GetNextIndex) -> None:
    """Tell of the next packet."""
    guest.reply(guest.viewing.next_index(question), None)


@attached.upon(LiveViewer.packet).loop()
def packet(viewer: LiveViewer, guest: Guest, question: wire.GetPacket) -> None:
    """Give a packet."""
    guest.reply(*guest.viewing.packet(question))


@attached.upon(LiveViewer.metadata).loop()
def metadata(viewer: LiveViewer, guest: Guest, question: wire.GetMetadata) -> None:
    """Give metadata."""
    guest.reply(*guest.viewing.metadata(question))


def no_streams(viewer: LiveViewer, guest: Guest, question: wire.GetNewStreams) -> None:
    """Refuse: the viewer is attached to no session."""
    guest.reply(StreamsHead(StreamsStatus.ERROR), None)


def no_index(viewer: LiveViewer, guest: Guest, question: wire.GetNextIndex) -> None:
    """Refuse: the viewer is attached to no session."""
    guest.reply(index(IndexStatus.ERROR), None)


def no_packet(viewer: LiveViewer, guest: Guest, question: wire.GetPacket) -> None:
    """Refuse: the viewer is attached to no session."""
    guest.reply(NO_PACKET, None)


def no_metadata(viewer: LiveViewer, guest: Guest, question: wire.GetMetadata) -> None:
    """Refuse: the viewer is attached to no session."""
    guest.reply(NO_METADATA, None)


def leave(viewer: LiveViewer, guest: Guest) -> None:
    """Detach from every session."""
    guest.viewing.leave()


for state in (connected, ready):
    state.upon(LiveViewer.new_streams).loop()(no_streams)
    state.upon(LiveViewer.next_index).loop()(no_index)
    state.upon(LiveViewer.packet).loop()(no_packet)
    state.upon(LiveViewer.metadata).loop()(no_metadata)
for state in (connected, ready, attached):
    state.upon(LiveViewer.list_sessions).loop()(list_sessions)
for state in (ready, attached):
    state.upon(LiveViewer.attach).loop()(attach)
    state.upon(LiveViewer.create_session).loop()(make_again)
for end in (LiveViewer.hung_up, LiveViewer.lost):
    for state in (fresh, connected, ready):
        state.upon(end).to(closed).returns(None)
    attached.upon(end).to(closed)(leave)

for ignored in (
    LiveViewer.connect,
    LiveViewer.list_sessions,
    LiveViewer.create_session,
    LiveViewer.attach,
    LiveViewer.detach,
    LiveViewer.new_streams,
    LiveViewer.next_index,
    LiveViewer.packet,
    LiveViewer.metadata,
    LiveViewer.hung_up,
    LiveViewer.lost,
):
    closed.upon(ignored).loop().returns(None)

live_viewer = builder.build()
