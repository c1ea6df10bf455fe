"""The Json argument: as long as it may be, and no longer."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.errors import Code, CommandError, WireError
from lttngnet.wire import amp

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


class JsonTests(SynchronousTestCase):
    def through_a_box(self, value):
        box = amp.List.makeResponse({"sessions": value}, None)
        for key, piece in box.items():
            self.assertLessEqual(len(key), 255)
            self.assertLessEqual(len(piece), 65535)
        return amp.List.parseResponse(box, None)["sessions"]

    @given(VALUES)
    def test_survives(self, value):
        self.assertEqual(self.through_a_box(value), value)

    def test_longer_than_one_value(self):
        names = [f"event_{number}" for number in range(20_000)]
        self.assertEqual(self.through_a_box(names), names)

    def test_too_long(self):
        with self.assertRaises(WireError):
            self.through_a_box("x" * (amp.PIECE * amp.MOST_PIECES))


class RefusedTests(SynchronousTestCase):
    @given(st.sampled_from(list(Code)), st.text())
    def test_carries_an_error(self, code, sentence):
        error = amp.Refused(str(amp.Refused.because(CommandError(code, sentence)))).to_error()
        self.assertEqual((error.code, error.sentence), (code, sentence))
