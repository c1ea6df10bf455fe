"""Frames of records and of the talk: whatever the cut, whatever the text, whatever a peer sends."""

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.errors import WireError
from lttngnet.wire import records
from lttngnet.wire.records import CUT, Done, Forget, Frames, Ready, Register, Rule, Want, hear, say

TEXT = st.text(st.characters(), max_size=300)  # surrogates and NULs, too
U32 = st.integers(0, 2**32 - 1)
U64 = st.integers(0, 2**64 - 1)
MESSAGES = st.one_of(
    st.builds(Register, st.integers(0), TEXT),
    st.builds(
        Want,
        st.integers(0),
        TEXT,
        st.lists(st.builds(Rule, TEXT, st.integers(0), st.booleans())).map(tuple),
        st.booleans(),
    ),
    st.builds(Forget, st.integers(0), TEXT),
    st.builds(Ready),
    st.builds(Done, st.integers(0)),
)


class FramesTests(SynchronousTestCase):
    @given(contents=st.lists(st.binary(max_size=40)), cuts=st.lists(st.integers(0, 300)))
    def test_any_cut(self, contents, cuts):
        stream = b"".join(map(records.frame, contents))
        frames, heard, begin = Frames(40), [], 0
        for end in [*sorted(min(cut, len(stream)) for cut in cuts), len(stream)]:
            heard += frames.feed(stream[begin:end])
            begin = end
        self.assertEqual(heard, contents)
        self.assertFalse(frames.is_amid)

    def test_too_long(self):
        frames = Frames(40)
        heard = frames.feed(records.frame(b"first") + records.frame(bytes(41)))
        self.assertEqual(next(heard), b"first")
        self.assertRaises(WireError, next, heard)

    def test_is_amid(self):
        frames = Frames(40)
        self.assertEqual(list(frames.feed(records.frame(b"first")[:-1])), [])
        self.assertTrue(frames.is_amid)


class TextTests(SynchronousTestCase):
    @given(value=TEXT, limit=st.integers(len(CUT.encode()), 100))
    @example(value="€" * 40, limit=100)
    @example(value="\ud800\0" * 20, limit=64)
    def test_any_text(self, value, limit):
        data = records.text(value, limit)
        self.assertEqual(data.index(0), len(data) - 1)
        self.assertLessEqual(len(data), limit + 1)
        shown = data[:-1].decode()
        whole = value.encode("utf-8", "backslashreplace").replace(b"\0", rb"\x00").decode()
        if shown != whole:
            self.assertTrue(shown.endswith(CUT))
            self.assertTrue(whole.startswith(shown[: -len(CUT)]))

    def test_huge(self):
        self.assertEqual(len(records.text("x" * 10_000_000)), records.MESSAGE_LIMIT + 1)


class RecordTests(SynchronousTestCase):
    @given(st.tuples(U64, U64, U32), st.tuples(*[TEXT] * 4, *[st.integers()] * 3, TEXT))
    def test_round(self, header, fields):
        event = records.event(*fields)
        (content,) = Frames(records.RECORD_LIMIT).feed(records.record(*header, event))
        self.assertEqual(records.parse_record(content), (*header, event))

    def test_longest(self):
        long = "€" * 100_000
        event = records.event(long, long, long, long, -1, 1 << 40, -1, long)
        (content,) = Frames(records.RECORD_LIMIT).feed(records.record(0, 0, 0, event))
        self.assertEqual(records.parse_record(content)[3], event)

    def test_only_lost(self):
        (content,) = Frames(records.RECORD_LIMIT).feed(records.record(5, 6, 7, b""))
        self.assertEqual(records.parse_record(content), (5, 6, 7, b""))

    @given(st.binary(max_size=100) | st.text("a\0", max_size=40).map(lambda text: bytes(20) + text.encode()))
    @example(bytes(20) + b"\0\0\0\0" + bytes(12) + b"name")
    @example(bytes(20) + b"\0\0\0\0" + bytes(12) + b"name\0more\0")
    @example(bytes(20) + b"\xff\0\0\0\0" + bytes(12) + b"name\0")
    @example(bytes(20) + b"\0\0\0\0" + bytes(12) + b"\xff\0")
    def test_garbage(self, content):
        """What is let through has as many strings as the event, all of them UTF-8."""
        try:
            *_, event = records.parse_record(content)
        except WireError:
            return
        if event:
            *strings, rest = event.split(b"\0", 4)
            for string in (*strings, rest[12:]):
                string.decode()
            self.assertEqual(rest.index(0, 12), len(rest) - 1)


class TalkTests(SynchronousTestCase):
    @given(MESSAGES)
    def test_round(self, message):
        (content,) = Frames(records.TALK_LIMIT).feed(say(message))
        self.assertEqual(hear(content), message)

    @given(st.binary(max_size=60))
    @example(b"[" * 4000)
    @example(b'{"say": []}')
    @example(b'{"say": "done"}')
    @example(b'{"say": "done", "serial": "1"}')
    @example(b'{"say": "done", "serial": true}')
    @example(b'{"say": "done", "serial": 1, "more": 2}')
    @example(b'{"say": "want", "serial": 1, "session": "s", "rules": [7], "fresh": false}')
    @example(b'{"say": "want", "serial": 1, "session": "s", "rules": 7, "fresh": false}')
    def test_garbage(self, content):
        self.assertRaises(WireError, hear, content)


class RuleTests(SynchronousTestCase):
    def test_covers(self):
        for pattern, logger, expected in [
            ("*", "", True),
            ("*", "shop.till", True),
            ("shop", "shop", True),
            ("shop", "shop.till", False),
            ("shop.*", "shop.till", True),
            ("shop.*", "shop", False),
            ("*.till", "shop.till", True),
            ("s*l", "shop.till", True),
            ("shop.till", "shopxtill", False),
            ("sh?p", "shop", False),
            (r"a\*", "a*", True),
            (r"a\*", "ab", False),
            ("a\\", "a\\", True),
            ("*", "two\nlines", True),
        ]:
            self.assertEqual(Rule(pattern).covers(logger), expected, (pattern, logger))

    @given(TEXT)
    def test_any_name(self, name):
        escaped = name.replace("\\", "\\\\").replace("*", "\\*")
        self.assertTrue(Rule(escaped).covers(name))

    def test_admits(self):
        self.assertEqual([Rule("*", 20).admits(level) for level in (19, 20, 21)], [False, True, True])
        self.assertEqual([Rule("*", 20, True).admits(level) for level in (19, 20, 21)], [False, True, False])
