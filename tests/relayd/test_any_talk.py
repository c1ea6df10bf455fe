"""Peers that say anything in any order: no defect of ours shows, and nothing stays open behind them."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.wire import relay as wire
from lttngnet.wire.relay import CloseCommand, Command, DataHeader, command
from tests.descriptors import open_files
from tests.relayd.replaying import Relay, utc
from tests.relayd.talking import CREATED, SESSIOND, index

few = st.integers(0, 3)
handles = st.integers(1, 4)
numbers = st.sampled_from([0, 1, 2, 3, wire.NO_SEQUENCE])


def said(number, strategy):
    return strategy.map(
        lambda message: command(number, message if isinstance(message, bytes) else message.pack())
    )


TALK = st.one_of(
    said(
        Command.ADD_STREAM,
        st.builds(
            lambda name, path, size, count: wire.AddStream(name, path, size, count).pack(13),
            st.sampled_from(["a_0", "a_1", "metadata", "../a"]),
            st.sampled_from(["ust", "kernel", "a_0"]),
            st.sampled_from([0, 0, 8, 20]),
            few,
        ),
    ),
    said(Command.STREAMS_SENT, st.just(b"")),
    said(
        Command.SEND_METADATA,
        st.builds(lambda h, t: wire.MetadataHeader(h, 3).pack() + t, handles, st.binary(max_size=9)),
    ),
    said(
        Command.SEND_INDEX,
        st.builds(lambda h, n, s: index(h, n, s).pack(13), handles, few, st.sampled_from([0, 64])),
    ),
    said(Command.CLOSE_STREAM, st.builds(wire.StreamPosition, handles, numbers)),
    said(Command.DATA_PENDING, st.builds(wire.StreamPosition, handles, numbers)),
    said(Command.END_DATA_PENDING, st.builds(wire.SessionQuery, handles)),
    said(Command.RESET_METADATA, st.builds(wire.ResetMetadata, handles, few)),
    said(
        Command.ROTATE_STREAMS,
        st.builds(
            wire.RotateStreams,
            st.none() | few,
            st.lists(st.tuples(handles, numbers), max_size=3).map(tuple),
        ),
    ),
    said(
        Command.CREATE_TRACE_CHUNK,
        st.builds(wire.CreateTraceChunk, few, st.just(CREATED), st.sampled_from(["", "", "snap"])),
    ),
    said(
        Command.CLOSE_TRACE_CHUNK,
        st.builds(wire.CloseTraceChunk, few, st.just(CREATED + 1), st.none() | st.sampled_from(CloseCommand)),
    ),
    said(Command.TRACE_CHUNK_EXISTS, st.builds(wire.ChunkQuery, few)),
    st.binary(max_size=40),
)
PACKETS = st.builds(
    lambda stream, number, content: DataHeader(0, stream, number, len(content), 2).pack() + content,
    handles,
    few,
    st.binary(max_size=12),
)
TURNS = st.lists(
    st.tuples(st.sampled_from([0, 1]), st.one_of(TALK, PACKETS.map(lambda data: (data,)), st.none())),
    max_size=25,
)


class AnyTalkTests(SynchronousTestCase):
    """Two connections of one session; a turn is a command, a packet (a tuple), or the end of a connection."""

    @settings(max_examples=60, deadline=None)
    @given(turns=TURNS, cut=st.integers(0, 12))
    def test_no_defect(self, turns, cut):
        utc(self)
        relay, before = Relay(self.mktemp()), open_files(tidy=False)
        hello = command(Command.VERSION, wire.Version(2, 13).pack())
        create = wire.CreateSession("walk", "vm", sessiond=SESSIOND, created=CREATED).pack(13)
        begin = hello + command(Command.CREATE_SESSION, create)
        begin += command(Command.CREATE_TRACE_CHUNK, wire.CreateTraceChunk(0, CREATED).pack())
        connections = {kind: [relay.connect(kind) for _ in (0, 1)] for kind in ("control", "data")}
        with capturedLogs() as log:
            for connection in connections["control"]:
                connection.send(begin)
            for who, turn in turns:
                kind = "data" if isinstance(turn, tuple) else "control"
                connection = connections[kind][who]
                if connection.is_closed:
                    continue
                if turn is None:
                    connection.transport.loseConnection()
                elif isinstance(turn, tuple):
                    connection.send(turn[0][:cut])
                    if not connection.is_closed:
                        connection.send(turn[0][cut:])
                else:
                    connection.send(turn)
            for connection in connections["control"] + connections["data"]:
                connection.close()
            relay.store.close()
        self.assertEqual([event for event in log if event["log_level"] is LogLevel.critical], [])
        self.assertEqual(relay.store.sessions, {})
        self.assertLessEqual(open_files(tidy=False), before)  # other tests' garbage may have gone meanwhile
