"""What each command about a session does, and what a peer is told when it cannot be done.

A command is a function of the session and its payload that returns the answer. It raises `WireError` where
the payload makes no sense, `Refusal` where what it asks for cannot be, OSError where our disk fails. One
that may take long is a generator that pauses between its parts.
"""

from collections.abc import Callable, Generator
from typing import NamedTuple

from lttngnet.errors import Code
from lttngnet.relayd.refusal import Refusal
from lttngnet.relayd.store.session import Session
from lttngnet.wire.datagram import TOKEN_SIZE
from lttngnet.wire.relay import (
    METADATA_PART,
    NO_SEQUENCE,
    OK,
    AddStream,
    Answer,
    ChunkClosed,
    ChunkExists,
    ChunkQuery,
    CloseTraceChunk,
    Command,
    CreateTraceChunk,
    MetadataHeader,
    ResetMetadata,
    RotateStreams,
    SendIndex,
    SessionQuery,
    Status,
    StreamAdded,
    StreamPosition,
    StreamQuery,
)
from lttngnet.wire.relay.datagrams import DatagramsOpened, LostPackets, Missing, MissingQuery, OpenDatagrams
from lttngnet.wire.relay.extension import Extension, KeepSession, Written

NOTHING_PENDING, PENDING, UNKNOWN_STREAM = Status(0), Status(1), 0xFFFFFFFF

Parts = Generator[None, None, Answer]


class Handler(NamedTuple):
    """How a command is answered.

    Attributes:
        act: does it, at once or in parts.
        failed: the answer to a failure with LTTng's error number; None says nothing.
        stays: whether the connection stays open after a failure.
        since: the minor of the protocol that brought the command; a peer below it is told nothing.
    """

    act: Callable[[Session, bytes], Answer | Parts | None]
    failed: Callable[[Code], Answer] | None = Status
    stays: bool = False
    since: int = 0


def add_stream(session: Session, payload: bytes) -> Answer:
    """Announce a stream, and make its file."""
    stream = session.announce(AddStream.unpack(payload, session.facts.minor))
    session.open(stream)
    return StreamAdded(stream.handle, Code.OK)


def streams_sent(session: Session, payload: bytes) -> Parts:
    """Let viewers know of the streams."""
    yield from session.publish()
    return OK


def send_metadata(session: Session, payload: bytes) -> None:
    """Append to the metadata of a trace. There is no answer."""
    add_metadata(session, payload, is_whole=True)


def send_metadata_part(session: Session, payload: bytes) -> None:
    """Append the beginning of what a SEND_METADATA has."""
    add_metadata(session, payload, is_whole=False)


def add_metadata(session: Session, payload: bytes, is_whole: bool) -> None:
    """Append to the metadata of a trace, which makes sense again where it is whole."""
    header = MetadataHeader.unpack(payload)
    text = memoryview(payload)[MetadataHeader.layout.size :]
    session.stream(header.stream).add_metadata(text, header.padding, is_whole)


def reset_metadata(session: Session, payload: bytes) -> Answer:
    """Begin the metadata of a trace anew."""
    if session.facts.live_timer:
        raise Refusal(Code.UNKNOWN, "the metadata of a live session stays as it is")
    session.stream(ResetMetadata.unpack(payload).stream).reset_metadata()
    return OK


def send_index(session: Session, payload: bytes) -> Answer:
    """Tell of a packet."""
    index = SendIndex.unpack(payload, session.facts.minor)
    stream = session.stream(index.stream)
    if session.inlet is None:
        stream.add_index(index)
    else:
        session.inlet.add_index(stream, index)
    return OK


def close_stream(session: Session, payload: bytes) -> Answer:
    """Close a stream, once everything is here."""
    position = StreamPosition.unpack(payload)
    session.stream(position.stream).finish(position.last)
    return OK


def begin_data_pending(session: Session, payload: bytes) -> Answer:
    """Begin to ask for every stream whether it is all here."""
    if SessionQuery.unpack(payload).session == session.facts.number:
        session.begin_check()
    return OK


def data_pending(session: Session, payload: bytes) -> Answer:
    """Tell whether a stream is all here."""
    position = StreamPosition.unpack(payload)
    stream = session.stream(position.stream)
    stream.checked = True
    return PENDING if stream.is_pending(position.last) else NOTHING_PENDING


def quiescent_control(session: Session, payload: bytes) -> Answer:
    """Answer: whatever was said before has been done."""
    stream = session.streams.get(StreamQuery.unpack(payload).stream)
    if stream is not None:
        stream.checked = True
    return OK


def end_data_pending(session: Session, payload: bytes) -> Answer:
    """Tell whether a stream that was not asked for is not all here."""
    is_ours = SessionQuery.unpack(payload).session == session.facts.number
    return PENDING if is_ours and session.has_unchecked() else NOTHING_PENDING


def create_trace_chunk(session: Session, payload: bytes) -> Answer:
    """Let packets go to another chunk."""
    session.create_chunk(CreateTraceChunk.unpack(payload))
    return OK


def rotate_streams(session: Session, payload: bytes) -> Parts:
    """Move streams to that chunk."""
    wanted = RotateStreams.unpack(payload)
    for position in wanted.positions or (None,):
        yield from session.rotate(wanted.new_chunk, (position,) if position else ())
        yield
    return OK


def close_trace_chunk(session: Session, payload: bytes) -> Answer:
    """Let go of a chunk, and tell where it lies then."""
    return ChunkClosed(Code.OK, str(session.close_chunk(CloseTraceChunk.unpack(payload))))


def trace_chunk_exists(session: Session, payload: bytes) -> Answer:
    """Tell whether anything refers to a chunk."""
    return ChunkExists(Code.OK, session.chunk_exists(ChunkQuery.unpack(payload).chunk))


def open_datagrams(session: Session, payload: bytes) -> Answer:
    """Have the data of the session over UDP."""
    wanted = OpenDatagrams.unpack(payload)
    if session.datagrams is None:
        raise Refusal(Code.NOT_SUPPORTED, "data over UDP is not taken here")
    return session.datagrams.open(session, wanted.flags)


def datagrams_missing(session: Session, payload: bytes) -> Answer:
    """Tell what has come over UDP, and what is missing."""
    wanted = MissingQuery.unpack(payload).wanted
    if session.datagrams is None:
        raise Refusal(Code.NOT_SUPPORTED, "data over UDP is not taken here")
    return session.datagrams.tell(session, wanted)


def datagrams_lost(session: Session, payload: bytes) -> Answer:
    """Wait no more for packets that are not repeated."""
    lost = LostPackets.unpack(payload)
    if session.inlet is None:
        raise Refusal(Code.INVALID_PROTOCOL, "no data comes over UDP")
    session.inlet.lose(lost.packets)
    return OK


def keep_session(session: Session, payload: bytes) -> Answer:
    """Let a session outlive its connection."""
    session.keep(KeepSession.unpack(payload))
    return OK


def written(session: Session, payload: bytes) -> Answer:
    """Tell what is written of a session that outlives its connection."""
    return session.progress()


def forget_session(session: Session, payload: bytes) -> Answer:
    """Let a session end with its connection, as others do."""
    session.forget()
    return OK


HANDLERS: dict[int, Handler] = {
    Command.ADD_STREAM: Handler(add_stream, lambda code: StreamAdded(NO_SEQUENCE, Code.UNKNOWN), stays=True),
    Command.STREAMS_SENT: Handler(streams_sent),
    Command.SEND_METADATA: Handler(send_metadata, None),
    METADATA_PART: Handler(send_metadata_part, None),
    Command.RESET_METADATA: Handler(reset_metadata),
    Command.SEND_INDEX: Handler(send_index),
    Command.CLOSE_STREAM: Handler(close_stream),
    Command.BEGIN_DATA_PENDING: Handler(begin_data_pending),
    Command.DATA_PENDING: Handler(data_pending, lambda code: Status(UNKNOWN_STREAM)),
    Command.QUIESCENT_CONTROL: Handler(quiescent_control),
    Command.END_DATA_PENDING: Handler(end_data_pending),
    Command.CREATE_TRACE_CHUNK: Handler(create_trace_chunk, since=11),
    Command.ROTATE_STREAMS: Handler(rotate_streams, since=11),
    Command.CLOSE_TRACE_CHUNK: Handler(close_trace_chunk, ChunkClosed, since=11),
    Command.TRACE_CHUNK_EXISTS: Handler(trace_chunk_exists, lambda code: ChunkExists(code, 0), since=11),
    Extension.OPEN_DATAGRAMS: Handler(
        open_datagrams, lambda code: DatagramsOpened(code, 0, bytes(TOKEN_SIZE), 0, 0, 0), stays=True
    ),
    Extension.DATAGRAMS_MISSING: Handler(datagrams_missing, Missing),
    Extension.DATAGRAMS_LOST: Handler(datagrams_lost),
    Extension.KEEP_SESSION: Handler(keep_session, stays=True),
    Extension.WRITTEN: Handler(written, Written),
    Extension.FORGET_SESSION: Handler(forget_session),
}
