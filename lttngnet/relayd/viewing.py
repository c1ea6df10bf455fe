"""What a viewer is answered (LTTng live protocol): its sessions, and its place in each of their streams.

Any number of viewers may be attached to a session. Attachments keep what they need of a session and its
streams, so that these can be read to the end after their producer has left.
"""

from collections.abc import Iterator
from errno import EMFILE, ENFILE

from lttngnet.log import Logger
from lttngnet.relayd.attachment import Attachment
from lttngnet.relayd.position import Extent, MetadataPosition, Position
from lttngnet.relayd.store.session import Session
from lttngnet.relayd.store.store import Store
from lttngnet.wire import viewer as wire
from lttngnet.wire.listing import SessionList, SessionRecord
from lttngnet.wire.viewer import (
    AttachStatus,
    DetachStatus,
    Flags,
    IndexStatus,
    MetadataHead,
    MetadataStatus,
    NextEntry,
    NextIndex,
    PacketHead,
    PacketStatus,
    Seek,
    StreamsHead,
    StreamsStatus,
)

CTF2 = 2  # trace format of a session; viewers below CTF2_SINCE cannot read it
CTF2_SINCE = 15
LENGTH_LIMIT = 1 << 31  # bytes of a packet; nobody has ring buffers of that size

NO_PACKET = PacketHead(PacketStatus.ERROR)
NO_METADATA = MetadataHead(0, MetadataStatus.ERROR)


class Viewing:
    """All that one viewer sees. Nothing here raises for what a viewer asks or for what our disk does."""

    log = Logger()

    def __init__(self, store: Store) -> None:
        self.minor = 0
        self._store = store
        self._attachments: dict[int, Attachment] = {}

    @property
    def is_attached(self) -> bool:
        """Whether there is a session that the viewer is attached to."""
        return bool(self._attachments)

    def sessions(self) -> SessionList:
        """List the sessions that are being received, live or not."""
        return SessionList(
            tuple(
                SessionRecord(
                    session.facts.number,
                    session.facts.live_timer,
                    len(session.watchers),
                    sum(stream.published for stream in session.streams.values()),
                    session.facts.hostname,
                    session.facts.name,
                    session.facts.trace_format - 1,
                )
                for session in self._store.sessions.values()
                if self._may_see(session)
            ),
            self.minor,
        )

    def attach(self, question: wire.Attach) -> tuple[AttachStatus, Iterator[bytes]]:
        """Attach to a session; return the answer in pieces, as `Attachment` gives it."""
        session = self._store.sessions.get(question.session)
        if question.session in self._attachments:
            return refused(AttachStatus.ALREADY)
        if session is None or not self._may_see(session):
            return refused(AttachStatus.UNKNOWN)
        if not session.facts.live_timer:
            return refused(AttachStatus.NOT_LIVE)
        if question.seek not in (Seek.BEGINNING, Seek.LAST):
            return refused(AttachStatus.SEEK_ERROR)
        tracing = session.facts.tracing
        attachment = Attachment(session, Seek(question.seek), lambda: self._store.is_rotating(tracing))
        self._attachments[question.session] = attachment
        return AttachStatus.OK, attachment.attached(AttachStatus.OK)

    def detach(self, question: wire.Detach) -> DetachStatus:
        """Detach from a session."""
        attachment = self._attachments.pop(question.session, None)
        if attachment is not None:
            self._store.rounds.do(attachment.leave())
            return DetachStatus.OK
        return DetachStatus.NOT_ATTACHED if self.knows(question.session) else DetachStatus.UNKNOWN

    def knows(self, session: int) -> bool:
        """Tell whether there is such a session."""
        return session in self._store.sessions

    def new_streams(self, question: wire.GetNewStreams) -> Iterator[bytes]:
        """Tell the streams that came since the viewer was told of any, in pieces."""
        attachment = self._attachments.get(question.session)
        if attachment is None:
            return iter([StreamsHead(StreamsStatus.ERROR).pack()])
        return attachment.new_streams()

    def next_index(self, question: wire.GetNextIndex) -> NextIndex | NextEntry:
        """Tell of the next packet of a stream."""
        attachment, position = self._find(question.stream)
        if attachment is None or position is None:
            return index(IndexStatus.ERROR)
        flags = attachment.flags(position.stream.trace)
        if isinstance(position, MetadataPosition):
            return index(IndexStatus.HUNG_UP, flags)
        beacon = position.stream.beacon
        if position.stream.is_rotating or attachment.is_rotating():
            return index(IndexStatus.RETRY, flags)
        if position.has_unsent():
            return self._take(position, flags)
        if position.stream.is_closed:
            attachment.forget(position)
            return index(IndexStatus.HUNG_UP, flags)
        if beacon is not None:
            end, stream_class = beacon
            return NextIndex(0, 0, 0, 0, end, 0, stream_class, IndexStatus.INACTIVE, flags)
        return index(IndexStatus.RETRY, flags)

    def packet(self, question: wire.GetPacket) -> tuple[PacketHead, bytes | Extent | None]:
        """Give bytes of the file that the last index of a stream was about."""
        _, position = self._find(question.stream)
        if not isinstance(position, Position) or question.length >= LENGTH_LIMIT:
            return NO_PACKET, None
        try:
            found = position.packet(question.offset, question.length)
        except OSError as problem:
            self._complain(position, problem)
            found = None
        return (NO_PACKET, None) if found is None else (PacketHead(PacketStatus.OK, question.length), found)

    def metadata(self, question: wire.GetMetadata) -> tuple[MetadataHead, Extent | None]:
        """Give the metadata that the viewer lacks, all at once."""
        attachment, position = self._find(question.stream)
        if attachment is None or not isinstance(position, MetadataPosition):
            return NO_METADATA, None
        is_last = position.is_finished
        try:
            found = position.take()
        except OSError as problem:
            self._complain(position, problem)
            return NO_METADATA, None
        if found is not None:
            return MetadataHead(found.length, MetadataStatus.OK), found
        if is_last:
            attachment.forget(position)
        return MetadataHead(0, MetadataStatus.NOTHING_NEW), None

    def leave(self) -> None:
        """Detach from every session: the viewer is gone."""
        for attachment in self._attachments.values():
            self._store.rounds.do(attachment.leave())
        self._attachments.clear()

    def _may_see(self, session: Session) -> bool:
        return not session.has_ended and (session.facts.trace_format != CTF2 or self.minor >= CTF2_SINCE)

    def _find(self, stream: int) -> tuple[Attachment | None, Position | MetadataPosition | None]:
        """Return a stream that the viewer was told of, with its session."""
        for attachment in self._attachments.values():
            if stream in attachment.told:
                return attachment, attachment.told[stream]
        return None, None

    def _take(self, position: Position, flags: Flags) -> NextIndex | NextEntry:
        try:
            return NextEntry(position.take(), flags)
        except OSError as problem:
            self._complain(position, problem)
            out_of_files = problem.errno in (EMFILE, ENFILE)
            return index(IndexStatus.RETRY if out_of_files else IndexStatus.ERROR, flags)

    def _complain(self, position: Position | MetadataPosition, problem: OSError) -> None:
        self.log.error(
            "A viewer cannot read stream {stream}: {problem}", stream=position.stream.handle, problem=problem
        )


def refused(status: AttachStatus) -> tuple[AttachStatus, Iterator[bytes]]:
    """Return why a viewer is not attached."""
    return status, iter([StreamsHead(status).pack()])


def index(status: IndexStatus, flags: Flags = Flags.NONE) -> NextIndex:
    """Return an answer that tells of no packet."""
    return NextIndex(0, 0, 0, 0, 0, 0, 0, status, flags)
