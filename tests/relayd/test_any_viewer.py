"""Viewers that ask anything while producers say anything: no defect of ours shows, nothing stays open."""

from itertools import chain

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.wire import relay, viewer
from lttngnet.wire.relay import Command, command
from lttngnet.wire.viewer import request
from tests.descriptors import open_files
from tests.relayd.replaying import Relay, utc
from tests.relayd.talking import CREATED, SESSIOND
from tests.relayd.test_any_talk import PACKETS, TALK, few, handles, numbers

QUESTIONS = st.one_of(
    st.builds(viewer.Attach, few, numbers, few),
    st.builds(viewer.Detach, few),
    st.builds(viewer.GetNewStreams, few),
    st.builds(viewer.GetNextIndex, handles),
    st.builds(viewer.GetPacket, handles, numbers, few),
    st.builds(viewer.GetMetadata, handles),
    st.builds(viewer.ListSessions),
)
TURNS = st.lists(
    st.tuples(
        st.sampled_from([0, 1]),
        st.one_of(
            st.tuples(st.just("control"), TALK),
            st.tuples(st.just("data"), PACKETS),
            st.tuples(st.just("live"), QUESTIONS.map(request)),
            st.tuples(st.sampled_from(["control", "data", "live"]), st.none()),
        ),
    ),
    max_size=40,
)


class AnyViewerTests(SynchronousTestCase):
    @settings(max_examples=60, deadline=None)
    @given(turns=TURNS)
    def test_no_defect(self, turns):
        utc(self)
        daemon, before = Relay(self.mktemp()), open_files(tidy=False)
        create = relay.CreateSession("walk", "vm", live_timer=1, sessiond=SESSIOND, created=CREATED)
        begin = [
            command(Command.VERSION, relay.Version(2, 13).pack()),
            command(Command.CREATE_SESSION, create.pack(13)),
            command(Command.CREATE_TRACE_CHUNK, relay.CreateTraceChunk(0, CREATED).pack()),
            *(
                command(Command.ADD_STREAM, relay.AddStream(name, "ust", 16, 2).pack(13))
                for name in ("a_0", "metadata")
            ),
            command(Command.STREAMS_SENT),
        ]
        hello = [viewer.Connect(0, 2, 4, 1), viewer.CreateSession(), viewer.Attach(1, 0, 1)]
        with capturedLogs() as log:
            connections = {
                kind: [daemon.connect(kind) for _ in (0, 1)] for kind in ("control", "data", "live")
            }
            connections["control"][0].send(b"".join(begin))
            connections["control"][1].send(b"".join(begin[:3]))
            for connection in connections["live"]:
                connection.send(b"".join(map(request, hello)))
            for who, (kind, said) in turns:
                connection = connections[kind][who]
                if connection.is_closed:
                    continue
                if said is None:
                    connection.transport.loseConnection()
                    connection.close()
                else:
                    connection.send(said)
            for connection in chain(*connections.values()):
                if not connection.is_closed:
                    connection.close()
            daemon.store.close()
        self.assertEqual([event for event in log if event["log_level"] is LogLevel.critical], [])
        self.assertEqual(daemon.store.sessions, {})
        self.assertLessEqual(open_files(tidy=False), before)  # other tests' garbage may have gone meanwhile
