import contextlib
import sys
from unittest import skipIf
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.sources.ftrace import convert as with_stdlib
from lttngnet.sources.ftrace import ringbuffer
from lttngnet.sources.ftrace.classes import EventClasses
from lttngnet.sources.ftrace.ringbuffer import (
    COMPACT_HEADER,
    EXTENDED,
    EXTENDED_HEADER,
    MAGIC,
    PACKET_HEADER,
    RECORDS,
    Run,
    first_event,
    runs,
)
from tests import compiled
from tests.sources.ftrace.made_up import (
    LAYOUTS,
    PAGE_SIZE,
    PAGES,
    Discarded,
    Extend,
    Page,
    Record,
    Stamp,
    Writer,
    agree,
    read_classes,
    read_packet,
)

try:
    from lttngnet.sources.ftrace import convert_numpy as with_numpy
except ImportError:
    with_numpy = None

COMPILED = "lttngnet.sources.ftrace._convert"

TRACE = UUID(int=7)
BATCHES = st.integers(1, 8)


def compiled_convert():
    """Return the compiled converter, as its source is now."""
    module = sys.modules[COMPILED] = compiled.extension(COMPILED)
    from lttngnet.sources.ftrace import convert_compiled

    convert_compiled._convert = module
    return convert_compiled.convert


def packets_of(pages, convert, batch):
    """Convert pages, so many at a time; return the packets, without headers, and the classes' TSDL."""
    texts = []
    classes = EventClasses(LAYOUTS.__getitem__, 0, texts.append)

    def packets():
        for start in range(0, len(pages), batch * PAGE_SIZE):
            some = pages[start : start + batch * PAGE_SIZE]
            buffer = bytearray(ringbuffer.PAGES) + some
            for run in runs(buffer, PAGE_SIZE, len(some) // PAGE_SIZE):
                if made := convert(buffer, run, classes):
                    yield made, bytes(buffer[RECORDS : RECORDS + made.content])

    return list(packets()), texts


def events_of(packets, texts):
    """Return what a reader reads from those packets, given headers."""
    classes = read_classes("".join(texts))
    for made, content in packets:
        sizes = 8 * (RECORDS + made.content), 8 * (RECORDS + made.size)
        header = PACKET_HEADER.pack(MAGIC, TRACE.bytes, 0, 0, made.begin, made.end, *sizes, 0, 0, 0)
        yield from read_packet((header + content).ljust(RECORDS + made.size, b"\0"), classes)


class EventClassesTests(SynchronousTestCase):
    def test_a_record_that_ends_before_it_says_where(self):
        """The last record of a buffer is not read beyond."""
        dynamic = [layout for layout in LAYOUTS.values() if layout.dynamic]
        self.assertTrue(dynamic)
        for layout in dynamic:
            classes = EventClasses(LAYOUTS.__getitem__, 0, lambda text: None)
            words = memoryview(bytes(4 * layout.last_word)).cast("I")
            self.assertNotEqual(classes.resolve(layout.id, layout.last_word, words, 0), layout.id)


class FirstEventTests(SynchronousTestCase):
    def test_of_a_page_that_was_read_in_part(self):
        """Its begin is the end of what was read before; the first event tells its own time."""
        for begin, stamp in ((10, 25), ((3 << 32) - 5, (3 << 32) + 7)):
            buffer = bytearray(RECORDS) + COMPACT_HEADER.pack(100, stamp & 0xFFFF_FFFF)
            self.assertEqual(first_event(buffer, begin), stamp)
        buffer = bytearray(RECORDS) + EXTENDED_HEADER.pack(EXTENDED, 100, 1 << 40)
        self.assertEqual(first_event(buffer, 10), 1 << 40)


class ConvertMixin:
    """What holds for each converter."""

    def check(self, pages, batch=64):
        writer = Writer()
        packets, texts = packets_of(writer.write(pages), self.convert, batch)
        read = list(events_of(packets, texts))
        self.assertTrue(agree(writer.events, read), f"{writer.events}\n{read}")
        self.assertEqual(sum(made.events for made, _ in packets), len(read))
        return packets, texts

    def check_same(self, pages, batch):
        """It makes the same bytes as the first of the converters."""
        raw = Writer().write(pages)
        plain, texts = packets_of(raw, with_stdlib.convert, batch)
        others, other_texts = packets_of(raw, self.convert, batch)
        self.assertEqual(plain, others)
        self.assertEqual(sorted(texts), sorted(other_texts))

    def test_nothing(self):
        self.assertEqual(self.check([])[0], [])
        self.assertEqual(self.check([Page(0, [], "")])[0], [])

    def test_no_event_among_the_records(self):
        records = [Extend(1 << 30), Discarded(28, 5), Stamp(8)]
        self.assertEqual(self.check([Page(0, records, "void")]), ([], []))

    def test_records_stay_where_they_are(self):
        page = Page(0, [Record(100, 5, (), 0), Record(103, 5, (3,), 0)], "")
        [(made, content)], _ = self.check([page])
        raw = Writer().write([page])[16:]
        self.assertEqual(made.size, 4 + 16 + 4 + 20)
        self.assertEqual(content[6:20], raw[6:20])
        self.assertEqual(content[26:], raw[26 : made.content])

    def test_stamp_becomes_extended_header(self):
        [(made, content)], _ = self.check([Page(0, [Extend(5 << 32), Record(100, 0, (), 0)], "")])
        self.assertEqual(made.size, 8 + 4 + 16)
        self.assertEqual(content[:6], b"\xff\xff" + (100).to_bytes(4, "little"))

    def test_large_record_loses_its_length(self):
        [(made, _)], _ = self.check([Page(0, [Record(105, 0, (), 0)], "")])
        self.assertEqual(made.size, 4 + 168)

    def test_pages_far_apart_make_packets_of_their_own(self):
        near, far = (
            Page((1 << 31) - 1, [Record(100, 0, (), 0)], ""),
            Page(1 << 31, [Record(100, 0, (), 0)], ""),
        )
        self.assertEqual(len(self.check([near, near, near])[0]), 1)
        self.assertEqual(len(self.check([near, far, near])[0]), 2)

    def test_void_ends_a_page_not_the_batch(self):
        page = Page(5, [Record(100, 0, (), 0)], "void")
        [(made, _)], _ = self.check([page, page])
        self.assertEqual(made.events, 2)

    def test_class_is_described_once(self):
        page = Page(0, [Record(100, 0, (), 0)] * 3, "")
        self.assertEqual(len(self.check([page, page], batch=1)[1]), 1)

    def test_surprising_lengths_have_classes_of_their_own(self):
        surprised = [Record(100, 0, (), surprise) for surprise in (0, 1, 1, 5)]
        _, texts = self.check([Page(0, surprised, "")])
        self.assertEqual(sorted(read_classes("".join(texts))), [100, 65533, 65534])


class StandardLibraryTests(ConvertMixin, SynchronousTestCase):
    convert = staticmethod(with_stdlib.convert)

    @settings(deadline=None)
    @given(pages=PAGES, batch=BATCHES)
    def test_reads_as_put_in(self, pages, batch):
        self.check(pages, batch)


@skipIf(with_numpy is None, "numpy is not installed")
class NumpyTests(ConvertMixin, SynchronousTestCase):
    if with_numpy is not None:
        convert = staticmethod(with_numpy.convert)

    @settings(deadline=None)
    @given(pages=PAGES, batch=BATCHES)
    def test_reads_as_put_in(self, pages, batch):
        self.check(pages, batch)

    @settings(deadline=None)
    @given(pages=PAGES, batch=BATCHES)
    def test_same_bytes(self, pages, batch):
        self.check_same(pages, batch)


@skipIf(compiled.why_not(), compiled.why_not())
class CompiledTests(ConvertMixin, SynchronousTestCase):
    def setUp(self):
        self.convert = compiled_convert()

    @settings(deadline=None)
    @given(pages=PAGES, batch=BATCHES)
    def test_reads_as_put_in(self, pages, batch):
        self.check(pages, batch)

    @settings(deadline=None)
    @given(pages=PAGES, batch=BATCHES)
    def test_same_bytes(self, pages, batch):
        self.check_same(pages, batch)

    def test_in_the_order_of_the_records(self):
        """Even the classes are met in the same order."""
        surprised = [
            Record(event, 5, (3, 4), surprise) for surprise in (0, 1, 5) for event in (100, 104, 108)
        ]
        raw = Writer().write([Page(0, surprised, "padding"), Page(5, surprised[::-1], "void")])
        self.assertEqual(packets_of(raw, self.convert, 2), packets_of(raw, with_stdlib.convert, 2))

    def run_of(self, *words):
        """Return the buffer, the run and the classes of one page of these words."""
        records = b"".join(word.to_bytes(4, "little") for word in words)
        buffer = bytearray(RECORDS) + records
        return buffer, Run(len(records), [(0, 0)]), EventClasses(LAYOUTS.__getitem__, 0, lambda text: None)

    def test_records_that_reach_beyond_their_page(self):
        for words in ((5, 100, 0), (0,), (0, 4), (0, 0, 0), (0, 100, 100), (30,), (29 | 1 << 5,)):
            self.assertRaises(ValueError, self.convert, *self.run_of(*words))

    @settings(deadline=None)
    @given(words=st.lists(st.one_of(st.integers(0, 255), st.integers(0, (1 << 32) - 1)), max_size=40))
    def test_anything(self, words):
        """What no kernel writes is refused, or read as something; memory is not touched beyond it."""
        buffer, run, classes = self.run_of(*words)
        buffer += b"\xee" * 64
        with contextlib.suppress(ValueError, KeyError):
            self.convert(buffer, run, classes)
        self.assertEqual(buffer[-64:], b"\xee" * 64)

    def test_wrong_arguments(self):
        convert = compiled.extension(COMPILED).convert
        classes = self.run_of()[2]
        tables = classes.words, classes.last_words, classes.slacks
        self.assertRaises(TypeError, convert)
        self.assertRaises(BufferError, convert, b"1234", [], *tables, classes.resolve)
        self.assertRaises(ValueError, convert, bytearray(4), [], bytes(4), *tables[1:], classes.resolve)
        for pages in ([(5, 0)], [(-1, 0)], [(1, 0), (0, 0)]):
            self.assertRaises(ValueError, convert, bytearray(4), pages, *tables, classes.resolve)
        self.assertRaises(TypeError, convert, bytearray(4), [None], *tables, classes.resolve)
        for answer in (-1, 1 << 16, None):
            with self.assertRaises((ValueError, TypeError)):
                convert(bytearray(12), [(0, 0)], *tables, lambda *_, answer=answer: answer)
