"""Questions: whatever the cut, whatever the lengths, whatever the garbage."""

import contextlib
import struct

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.errors import WireError
from lttngnet.wire.ust.fields import ENTRY_SIZE, FIELD_SIZE, EnumEntry, String
from lttngnet.wire.ust.questions import (
    ENTRIES_LIMIT,
    FIELDS_LIMIT,
    TEXT_LIMIT,
    ChannelAnswer,
    ChannelQuestion,
    EnumQuestion,
    EventQuestion,
    Kind,
    Questions,
    Unanswerable,
    answer_channel,
    answer_enum,
    answer_event,
    refuse,
)

FIELD = struct.pack("=256si632x28x", b"text", 4)
ENTRY = struct.pack("=QB15xQB15x256sI28x", 1, 0, 3, 0, b"low", 0)


def event(session=1, channel=2, name=b"demo:tick", level=13, signature=b"int, n\0", fields=FIELD, uri=b""):
    sizes = len(signature), len(fields), len(uri)
    return struct.pack("=III256si3I32x", 0, session, channel, name, level, *sizes) + signature + fields + uri


def channel(session=1, channel=2, fields=FIELD):
    return struct.pack("=IIII32x", 1, session, channel, len(fields)) + fields


def enum(session=1, name=b"state", entries=ENTRY):
    return struct.pack("=II256sI32x", 2, session, name, len(entries)) + entries


def questions_in(data, cuts=()):
    reader, found, begin = Questions(), [], 0
    for end in [*sorted(min(cut, len(data)) for cut in cuts), len(data)]:
        reader.receive(data[begin:end])
        begin = end
        while (question := reader.next()) is not None:
            found.append(question)
    return found


class QuestionsTests(SynchronousTestCase):
    def test_event(self):
        (asked,) = questions_in(event(uri=b"http://model\0"))
        self.assertIsInstance(asked, EventQuestion)
        self.assertEqual((asked.session, asked.channel, asked.name, asked.loglevel), (1, 2, "demo:tick", 13))
        self.assertEqual((asked.signature, asked.uri), ("int, n", "http://model"))
        self.assertEqual([(field.name, type(field.type)) for field in asked.fields], [("text", String)])
        self.assertEqual(asked.size, len(event(uri=b"http://model\0")))

    def test_channel(self):
        (asked,) = questions_in(channel(fields=b""))
        self.assertEqual(asked, ChannelQuestion(1, 2, (), 48))

    def test_enum(self):
        (asked,) = questions_in(enum())
        self.assertEqual(asked, EnumQuestion(1, "state", (EnumEntry("low", 1, 3, False),), len(enum())))

    @given(cuts=st.lists(st.integers(0, 5000)))
    def test_any_cut(self, cuts):
        data = event() + channel() + enum() + event(uri=b"x\0")
        self.assertEqual(questions_in(data, cuts), questions_in(data))
        self.assertEqual(len(questions_in(data)), 4)

    def test_a_name_without_an_end_gets_one(self):
        (asked,) = questions_in(event(name=b"x" * 256))
        self.assertEqual(asked.name, "x" * 255)

    def test_nothing_is_waited_for_that_is_too_long(self):
        for sizes in (
            (TEXT_LIMIT + 1, 0, 0),
            (0, FIELDS_LIMIT + FIELD_SIZE, 0),
            (0, 0, TEXT_LIMIT + 1),
            (0, 919, 0),
        ):
            with self.assertRaises(WireError, msg=sizes):
                questions_in(struct.pack("=III256si3I32x", 0, 1, 2, b"n", 0, *sizes))
        for size in (FIELDS_LIMIT + FIELD_SIZE, 2**32 - 1, 1):
            with self.assertRaises(WireError, msg=size):
                questions_in(struct.pack("=IIII32x", 1, 1, 2, size))
        for size in (ENTRIES_LIMIT + ENTRY_SIZE, 2**32 - 1, 1):
            with self.assertRaises(WireError, msg=size):
                questions_in(struct.pack("=II256sI32x", 2, 1, b"n", size))

    def test_an_unknown_question(self):
        with self.assertRaises(WireError):
            questions_in(struct.pack("=I", 3))

    def test_fields_that_cannot_be_do_not_end_the_talk(self):
        strange = struct.pack("=256si632x28x", b"text", 99)
        asked, other = questions_in(event(fields=strange) + enum())
        self.assertIsInstance(asked, Unanswerable)
        self.assertEqual((asked.session, asked.kind), (1, Kind.EVENT))
        self.assertIsInstance(other, EnumQuestion)

    @settings(max_examples=300)
    @given(data=st.binary(max_size=4000), kind=st.sampled_from([b"", bytes(4), b"\1\0\0\0", b"\2\0\0\0"]))
    def test_garbage(self, data, kind):
        with contextlib.suppress(WireError):
            questions_in(kind + data)


class AnswerTests(SynchronousTestCase):
    def test_answers(self):
        self.assertEqual(struct.unpack("=IiI32x", answer_event(7)), (0, 0, 7))
        self.assertEqual(struct.unpack("=IiII32x", answer_channel(ChannelAnswer(3))), (1, 0, 3, 2))
        self.assertEqual(struct.unpack("=IiQ32x", answer_enum(2**40)), (2, 0, 2**40))

    def test_refusals_have_the_size_of_the_answer(self):
        for data, answer in (
            (event(), answer_event(0)),
            (channel(), answer_channel(ChannelAnswer(0))),
            (enum(), answer_enum(0)),
        ):
            (asked,) = questions_in(data)
            for question in (asked, Unanswerable(1, Kind(data[0]), "why")):
                refusal = refuse(question)
                self.assertEqual(len(refusal), len(answer))
                self.assertEqual(struct.unpack_from("=Ii", refusal), (data[0], -22))
