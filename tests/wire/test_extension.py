"""The messages of our own extension."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.errors import Code, WireError
from lttngnet.wire.framing import Answers
from lttngnet.wire.relay import Command
from lttngnet.wire.relay.extension import (
    WRITTEN_LIMIT,
    Extension,
    KeepSession,
    Progress,
    ResumeSession,
    SessionResumed,
    Written,
)

u64 = st.integers(0, (1 << 64) - 1)
progress = st.builds(Progress, u64, u64, u64)


class ExtensionTests(SynchronousTestCase):
    def test_sizes(self):
        self.assertEqual(
            [kind.layout.size for kind in (KeepSession, ResumeSession, SessionResumed)], [48, 48, 20]
        )

    def test_no_number_is_a_genuine_command(self):
        self.assertFalse({each.value for each in Extension} & {each.value for each in Command})

    @given(st.lists(progress, max_size=5).map(tuple), u64, st.integers(0, 300))
    def test_written_is_what_was_packed_however_it_is_cut(self, streams, commands, cut):
        whole = Written(Code.OK, commands, streams)
        data, answers = whole.pack(), Answers()
        answers.expect(Written)
        self.assertEqual([*answers.feed(data[:cut]), *answers.feed(data[cut:])], [whole])

    def test_more_streams_than_there_can_be(self):
        self.assertRaises(WireError, Written.measure, Written.head.pack(Code.OK, 0, WRITTEN_LIMIT + 1))
