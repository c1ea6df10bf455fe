"""Metadata of applications: what the genuine session daemon writes, and never what cannot be read."""

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from lttngnet.errors import WireError
from lttngnet.sessiond.domains.ust import registry as module
from lttngnet.sessiond.domains.ust import tsdl
from lttngnet.sessiond.domains.ust.registry import Refused, Registry, TraceFacts
from lttngnet.wire.ust import fields as ust
from lttngnet.wire.ust.fields import Encoding, EnumEntry, Field
from lttngnet.wire.ust.questions import ChannelAnswer, EventQuestion, Header
from tests.sessiond.domains.ust.genuine import SCENARIOS, Recorded

FACTS = TraceFacts(
    uuid=UUID(int=1),
    session="here",
    hostname="vm",
    scheme="uid",
    buffering_id=0,
    bits=64,
    byte_order="le",
    alignments=(8, 8, 8, 8, 8),
    tracer=(2, 13, 5),
    created="20261122T120000+0000",
)
INT = ust.Integer(32, True, False, 10, Encoding.NONE, 8)
UNSIGNED = replace(INT, signed=False)
BYTE = ust.Integer(8, False, False, 10, Encoding.NONE, 8)
CHAR = replace(BYTE, encoding=Encoding.UTF8)

_BLOCK = re.compile(r"^(?=(?:typealias|trace|env|clock|struct|stream|event) )", re.MULTILINE)
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
_VARIES = (
    (re.compile(r"(uuid = )[^;]+"), r"\1UUID"),
    (re.compile(r"((?:trace_creation|vpid)_datetime = )[^;]+"), r"\1DATE"),
    (re.compile(r"(offset = )\d+"), r"\1OFFSET"),
    (re.compile(r"(\b(?:vpid|tracer_buffering_id) = )\d+"), r"\1NUMBER"),
)


def blocks(text):
    """Return the declarations of metadata, without what differs from run to run or means nothing."""
    text = re.sub(r"/\*.*?\*/", "", text)
    text = _STRING.sub(lambda string: string[0].replace("\n", "\\n"), text)  # LTTng leaves them as they are
    for pattern, replacement in _VARIES:
        text = pattern.sub(replacement, text)
    return [" ".join(block.split()) for block in _BLOCK.split(text) if block.strip()]


def event(name="a:b", fields=(), **facts):
    return EventQuestion(
        0, 0, name, **({"loglevel": 13, "signature": "", "uri": ""} | facts), fields=tuple(fields)
    )


def described(*fields, registry=None):
    """Return the lines that describe fields of an event."""
    registry = registry or ready()
    registry.take_text()
    registry.event(0, event(fields=fields))
    lines = registry.take_text().split("struct {\n", 1)[1].splitlines()
    return [line.removeprefix("\t\t") for line in lines[: lines.index("\t};")]]


def ready(facts=FACTS):
    """Return a registry with one stream, which is described."""
    registry = Registry(facts, 0)
    registry.add_channel(0, "channel")
    registry.channel(0, ())
    return registry


def read(text, reader="babeltrace2"):
    """Return None if a reader takes the metadata, else what it complains of."""
    folder = Path("metadata")
    folder.mkdir(exist_ok=True)
    (folder / "metadata").write_text(text)
    (folder / "stream").touch()
    process = subprocess.run([reader, folder], capture_output=True, text=True)
    return process.stderr + f"status {process.returncode}" if process.returncode or process.stdout else None


class GenuineTests(SynchronousTestCase):
    """Questions of an application and the metadata of the genuine session daemon, as they were recorded."""

    def replayed(self, scenario):
        recorded = Recorded(scenario)
        facts = replace(
            FACTS,
            session=recorded.session,
            scheme=scenario,
            procname="kinds",
            vpid=7,
            vpid_datetime="20261122T120000+0000",
        )
        registry = Registry(facts, 1)
        recorded.answer(registry)
        return blocks(registry.take_text()), blocks(recorded.metadata)

    def test_same_text(self):
        """But for the order: ours describes a stream before its events."""
        for scenario in SCENARIOS:
            ours, genuine = self.replayed(scenario)
            self.assertEqual(sorted(ours), sorted(genuine))
            preamble = next(i for i, block in enumerate(genuine) if block.startswith("event {"))
            self.assertGreater(preamble, 10)
            self.assertEqual(ours[:preamble], genuine[:preamble])

    def test_streams_come_first(self):
        for scenario in SCENARIOS:
            known = set()
            for block in self.replayed(scenario)[0]:
                if block.startswith("stream {"):
                    known.add(re.search(r" id = (\d+);", block)[1])
                elif block.startswith("event {"):
                    self.assertIn(re.search(r"stream_id = (\d+);", block)[1], known)
            self.assertEqual(known, {str(n) for n in Recorded(scenario).channels.values()})

    def test_another_application(self):
        """It gets the same numbers, and nothing is written again."""
        recorded = Recorded("uid")
        registry = Registry(FACTS, 1)
        first = recorded.answer(registry)
        registry.take_text()
        self.assertEqual(recorded.answer(registry), first)
        self.assertEqual(registry.take_text(), "")


class RegistryTests(SynchronousTestCase):
    def test_preamble_at_once(self):
        text = Registry(FACTS, 5).take_text()
        self.assertTrue(text.startswith("/* CTF 1.8 */\n"))
        self.assertIn("\toffset = 5;\n", text)
        self.assertNotIn("vpid", text)

    def test_pieces_make_the_whole(self):
        registry = Registry(FACTS, 0)
        registry.add_channel(3, "channel")
        pieces = [registry.take_text()]
        self.assertEqual(registry.event(3, event("a:held")), 0)
        pieces.append(registry.take_text())
        self.assertEqual(pieces[-1], "")
        self.assertEqual(registry.channel(3, ()), ChannelAnswer(3, Header.LARGE))
        pieces.append(registry.take_text())
        self.assertRegex(pieces[-1], r"(?s)^stream \{.*\nevent \{")
        self.assertEqual(registry.event(3, event("a:later")), 1)
        pieces.append(registry.take_text())
        self.assertEqual(registry.take_text(), "")
        self.assertEqual("".join(pieces), registry.whole_text())

    def test_numbers_by_stream(self):
        registry = ready()
        registry.add_channel(1, "other")
        registry.channel(1, ())
        questions = [event("a:a"), event("a:b"), event("a:a", signature="int, n"), event("a:a", loglevel=3)]
        questions += [event("a:a", uri="http://a"), event("a:a", [Field("n", INT)])]
        self.assertEqual([registry.event(0, each) for each in questions], [0, 1, 2, 3, 4, 5])
        self.assertEqual([registry.event(0, each) for each in questions], [0, 1, 2, 3, 4, 5])
        self.assertEqual(registry.event(1, questions[-1]), 0)
        self.assertEqual(registry.event(1, replace(questions[-1], session=9, channel=8, size=7)), 0)

    def test_enumerations(self):
        """The signature does not tell enumerations apart; their entries do."""
        registry = ready()
        off, on = (EnumEntry("off", 0, 0, False),), (EnumEntry("on", 0, 0, False),)
        self.assertEqual([registry.enum("mode", each) for each in (off, on, off)], [0, 1, 0])
        self.assertEqual(registry.enum("other", off), 2)
        events = [event(fields=[Field("e", ust.Enumeration("mode", n, INT))]) for n in (0, 1)]
        self.assertEqual([registry.event(0, each) for each in events], [0, 1])

    def test_other_contexts(self):
        registry = Registry(FACTS, 0)
        registry.add_channel(0, "channel")
        vpid, procname = Field("vpid", INT), Field("procname", ust.Array(17, 0, CHAR))
        registry.channel(0, (vpid, procname))
        registry.channel(0, (vpid, procname))
        for other in ((vpid,), (procname, vpid), ()):
            self.assertRaises(Refused, registry.channel, 0, other)
        self.assertEqual(registry.whole_text().count("stream {"), 1)

    def test_refused_contexts_leave_no_trace(self):
        registry = Registry(FACTS, 0)
        registry.add_channel(0, "channel")
        registry.take_text()
        self.assertRaises(Refused, registry.channel, 0, [Field("a", replace(INT, size=65))])
        self.assertRaises(Refused, registry.event, 0, event(fields=[Field("a", replace(INT, size=65))]))
        self.assertEqual(registry.take_text(), "")
        registry.channel(0, [Field("a", INT)])
        self.assertEqual(registry.event(0, event()), 0)

    def test_bounded(self):
        registry = ready()
        self.patch(registry, "_room", 400)
        self.assertEqual(registry.event(0, event("a:a")), 0)
        with self.assertRaises(Refused):
            for n in range(10):
                registry.event(0, event(f"a:{n}"))
        self.assertEqual(registry.event(0, event("a:a")), 0)  # what is written is known

    def test_enumerations_bounded(self):
        registry = ready()
        entries = [EnumEntry(str(n), n, n, False) for n in range(1000)]
        self.patch(registry, "_enumerations_room", 1500 * ust.ENTRY_SIZE)
        self.assertEqual(registry.enum("a", entries), 0)
        self.assertRaises(Refused, registry.enum, "b", entries)
        self.assertEqual(registry.enum("a", entries), 0)
        self.assertEqual(registry.enum("c", entries[:500]), 1)
        self.assertGreater(module.ENUMERATIONS_LIMIT, ust.ENTRIES_LIMIT * ust.ENTRY_SIZE)

    def test_one_enumeration_many_times(self):
        """A short question must not make a text without end."""
        registry = ready()
        entries = [EnumEntry("x" * 255, n, n, False) for n in range(5000)]
        number = registry.enum("big", entries)
        fields = [Field(f"f{n}", ust.Enumeration("big", number, INT)) for n in range(8000)]
        self.assertRaises(Refused, registry.event, 0, event(fields=fields))
        self.assertEqual(registry.event(0, event(fields=fields[:1])), 0)

    def test_facts_that_cannot_be(self):
        for facts in ({"bits": 33}, {"alignments": (8, 8, 8, 0, 8)}, {"alignments": (8, 24, 8, 8, 8)}):
            self.assertRaises(WireError, Registry, replace(FACTS, **facts), 0)

    def test_odd_words_of_a_process(self):
        facts = replace(FACTS, scheme="pid", procname='a"b\\c\n\udcff', session="s\0", vpid_datetime="x")
        self.assertIn('procname = "a\\"b\\\\c\\n?";', Registry(facts, -5).take_text())


class TextTests(SynchronousTestCase):
    """Kinds of fields that the recorded application has not."""

    def test_padding(self):
        self.assertEqual(
            described(
                Field("a", ust.Array(2, 4, INT)),
                Field("n", UNSIGNED),
                Field("s", ust.Sequence("n", 8, INT)),
                Field("e", ust.Struct(2, ())),
            ),
            [
                "struct { } align(32) _a_padding;",
                "integer { size = 32; align = 8; signed = 1; encoding = none; base = 10; } _a[2];",
                "integer { size = 32; align = 8; signed = 0; encoding = none; base = 10; } _n;",
                "struct { } align(64) _s_padding;",
                "integer { size = 32; align = 8; signed = 1; encoding = none; base = 10; } _s[ _n ];",
                "struct {} align(16) _e;",
            ],
        )

    def test_old_sequence(self):
        self.assertEqual(
            described(Field("s", ust.Sequence(UNSIGNED, 0, CHAR))),
            [
                "integer { size = 32; align = 8; signed = 0; encoding = none; base = 10; } __s_length;",
                "integer { size = 8; align = 8; signed = 0; encoding = UTF8; base = 10; } _s[ __s_length ];",
            ],
        )

    def test_byte_order(self):
        """It is written where it is not that of the trace."""
        swapped = Field("n", replace(INT, reversed=True)), Field("x", ust.Float(8, 24, True, 32))
        for order, other in (("le", "be"), ("be", "le")):
            lines = described(*swapped, registry=ready(replace(FACTS, byte_order=order)))
            self.assertEqual([line.count(f"byte_order = {other};") for line in lines], [1, 1])

    def test_strings(self):
        texts = [Field(encoding.name, ust.String(encoding)) for encoding in Encoding]
        self.assertEqual(
            described(*texts), ["string _NONE;", "string _UTF8;", "string { encoding = ASCII; } _ASCII;"]
        )

    def test_long_double(self):
        """No reader knows it: bytes."""
        (padding, value) = described(Field("x", ust.Float(64, 64, False, 8)))
        self.assertEqual(padding, "struct { } align(8) _x_padding;")
        self.assertRegex(value, r"integer \{ size = 8; .* base = 16; \} _x\[16\];")

    def test_names(self):
        odd = ["a.b", "a:b", "a_b", "a b", "", "9", "größe", "\udcff", 'x"y', "end\n}", "_", "a_b_2"]
        lines = described(*[Field(name, ust.String(Encoding.NONE)) for name in odd])
        names = [re.fullmatch(r"string (_[A-Za-z0-9_]*);", line)[1] for line in lines]
        self.assertEqual(names[:6], ["_a_b", "_a_b_2", "_a_b_3", "_a_b_4", "__", "_9"])
        self.assertEqual(len(set(names)), len(odd))

    def test_loglevel(self):
        registry = ready()
        registry.event(0, event(loglevel=-1))
        self.assertNotIn("loglevel", registry.take_text())

    def values(self, container, *entries):
        registry = ready()
        number = registry.enum("e", entries)
        lines = described(Field("e", ust.Enumeration("e", number, container)), registry=registry)
        return [line.strip() for line in lines[1:-1]]

    def test_values_that_the_container_has_not(self):
        """The tracer cuts them; readers must not see a range that ends before it begins."""
        top = (1 << 64) - 1
        self.assertEqual(
            self.values(
                BYTE,
                EnumEntry("one", -1, -1, False),
                EnumEntry("some", -3, -2, False),
                EnumEntry("both", -3, 4, False),
                EnumEntry("next", 0, 0, True),
                EnumEntry("all", -1000, 1000, False),
                EnumEntry("far", -1000, -900, False),
            ),
            [
                '"one" = 255,',
                '"some" = 253 ... 254,',
                '"both" = 253 ... 255,',
                '"both" = 0 ... 4,',
                '"next",',
                '"all" = 0 ... 255,',
                '"all" = 0 ... 1000,',
                '"far" = 0,',
            ],
        )
        self.assertEqual(
            self.values(INT, EnumEntry("up", 5, top, False), EnumEntry("top", top, top, False)),
            [f'"up" = 5 ... {(1 << 63) - 1},', f'"top" = {top},'],
        )

    def test_labels(self):
        self.assertEqual(
            self.values(INT, EnumEntry('a"b\\c\nd\0', 1, 1, False), EnumEntry("", 2, 2, False)),
            ['"a\\"b\\\\c\\nd?" = 1,', '"" = 2,'],
        )

    def refused(self, *fields, registry=None):
        self.assertRaises(Refused, (registry or ready()).event, 0, event(fields=fields))

    def test_refused(self):
        entries = [EnumEntry("_a", 0, 0, False), EnumEntry("_b", 1, 1, False)]
        registry = ready()
        tag = Field("t", ust.Enumeration("e", registry.enum("e", entries), INT))
        a, b = Field("a", INT), Field("b", ust.Struct(0, ()))
        self.assertEqual(len(described(tag, Field("v", ust.Variant("t", 0, (a, b))), registry=registry)), 8)
        for fields in (
            [Field("a", ust.Array(1, 0, ust.String(Encoding.NONE)))],
            [Field("a", ust.Array(1, 0, ust.Array(1, 0, INT)))],
            [Field("a", ust.Array(1, 3, INT))],
            [Field("a", ust.Sequence("n", 0, INT))],
            [Field("s", ust.Sequence("n", 0, INT)), Field("n", UNSIGNED)],
            [Field("n", INT), Field("s", ust.Sequence("n", 0, INT))],
            [Field("n", ust.String(Encoding.NONE)), Field("s", ust.Sequence("n", 0, INT))],
            [Field("s", ust.Struct(0, (a,)))],
            [Field("e", ust.Enumeration("e", 99, INT))],
            [Field("e", ust.Enumeration("e", 0, ust.String(Encoding.NONE)))],
            [Field("n", replace(INT, base=7))],
            [Field("n", replace(INT, size=0))],
            [Field("n", replace(INT, alignment=0))],
            [Field("x", ust.Float(7, 24, False, 8))],
            [Field("x", ust.Float(1 << 31, 1 << 31, False, 8))],
            [Field("v", ust.Variant("t", 0, (a, b)))],
            [tag, Field("v", ust.Variant("t", 0, (a,)))],
            [tag, Field("v", ust.Variant("t", 0, (a, a)))],
            [tag, Field("v", ust.Variant("t", 0, (a, b, Field("c", INT))))],
            [tag, Field("v", ust.Variant("t", 0, (a, Field("b", ust.Array(1, 0, INT)))))],
        ):
            self.refused(*fields, registry=registry)

    def test_enumerations_that_cannot_choose(self):
        for entries, container in (
            ([EnumEntry("_a", 0, 1, False), EnumEntry("_b", 1, 2, False)], INT),
            ([EnumEntry("_a", 0, 1 << 40, False), EnumEntry("_b", -1, -1, False)], replace(INT, size=64)),
            ([EnumEntry("_a", -1, -1, False), EnumEntry("_b", 255, 255, False)], BYTE),
            ([EnumEntry("_a", 255, 255, False), EnumEntry("_b", 0, 0, True)], BYTE),
        ):
            registry = ready()
            tag = Field("t", ust.Enumeration("e", registry.enum("e", entries), container))
            variant = ust.Variant("t", 0, (Field("a", INT), Field("b", INT)))
            self.refused(tag, Field("v", variant), registry=registry)

    def test_no_enumeration(self):
        registry = ready()
        self.assertRaises(Refused, registry.enum, "e", ())
        self.assertRaises(Refused, registry.enum, "e", [EnumEntry("a", 2, 1, False)])
        self.assertEqual(registry.enum("e", [EnumEntry("a", 2, 1, True)]), 0)

    def test_long(self):
        names = [f"{n:0250}" for n in range(tsdl.TEXT_LIMIT // 256)]
        self.refused(*[Field(name, INT) for name in names])


NAMES = st.one_of(
    st.sampled_from(
        ["a", "b", "a.b", "a_b", "a_padding", "_a_length", "", "struct", "9", "ö", "\udcff", "_", 'x";']
    ),
    st.text(max_size=4),
)
EXTREMES = [0, 1, 2, 255, 256, -1, -2, -128, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, -1 << 63]
NUMBERS = st.one_of(st.integers(-4, 4), st.sampled_from(EXTREMES))
ALIGNMENTS = st.sampled_from([0, 1, 2, 4, 8, 8, 8, 16, 3, 32768])
INTEGERS = st.builds(
    ust.Integer,
    st.sampled_from([1, 7, 8, 8, 16, 32, 64, 0, 65, 1 << 31]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([2, 8, 10, 10, 16, 0, 7]),
    st.sampled_from(Encoding),
    ALIGNMENTS,
)
PLAIN = st.one_of(
    INTEGERS,
    st.builds(
        ust.Float, st.sampled_from([8, 11, 64, 5]), st.sampled_from([24, 53, 64]), st.booleans(), ALIGNMENTS
    ),
    st.builds(ust.String, st.sampled_from(Encoding)),
    st.builds(ust.Enumeration, NAMES, st.integers(0, 3), st.one_of(INTEGERS, st.just(INT), st.just(BYTE))),
)


def _compound(inner):
    parts = st.lists(st.builds(Field, NAMES, inner), max_size=3).map(tuple)
    return st.one_of(
        st.builds(ust.Array, st.sampled_from([0, 1, 4, (1 << 32) - 1]), ALIGNMENTS, inner),
        st.builds(ust.Sequence, st.one_of(NAMES, INTEGERS), ALIGNMENTS, inner),
        st.builds(ust.Struct, ALIGNMENTS, parts),
        st.builds(ust.Variant, NAMES, ALIGNMENTS, parts),
    )


ONE = st.builds(Field, NAMES, st.one_of(PLAIN, _compound(PLAIN)))
SEQUENCE = st.builds(  # with what it needs before it
    lambda name, other, length, element: (Field(name, length), Field(other, ust.Sequence(name, 0, element))),
    NAMES,
    NAMES,
    INTEGERS,
    INTEGERS,
)
VARIANT = st.builds(
    lambda name, other, tag, a, b: (
        Field(name, ust.Enumeration("tag", 0, tag)),
        Field(other, ust.Variant(name, 0, (Field("a", a), Field("b", b)))),
    ),
    NAMES,
    NAMES,
    st.one_of(st.just(BYTE), INTEGERS),
    PLAIN,
    PLAIN,
)
FIELDS = st.lists(st.one_of(ONE.map(lambda field: (field,)), SEQUENCE, VARIANT), max_size=4).map(
    lambda groups: sum(groups, ())
)
ENTRIES = st.lists(st.builds(EnumEntry, NAMES, NUMBERS, NUMBERS, st.booleans()), max_size=4)
TAGS = st.tuples(NUMBERS, NUMBERS, st.booleans()).map(
    lambda values: [
        EnumEntry("_a", values[0], values[0], False),
        EnumEntry("_b", *[values[1]] * 2, values[2]),
    ]
)
EVENTS = st.lists(
    st.builds(event, NAMES, FIELDS, loglevel=st.integers(-1 << 31, (1 << 31) - 1), uri=NAMES),
    min_size=1,
    max_size=5,
)


class HostileTests(SynchronousTestCase):
    """Whatever applications describe, the trace that they share with others can be read."""

    def hostile(self, tags, enumerations, context, events):
        """Return the metadata of what was not refused."""
        registry = Registry(FACTS, 0)
        registry.add_channel(0, "channel")
        for entries in (tags, *enumerations):
            _whether(registry.enum, "e", entries)
        if not _whether(registry.channel, 0, context):
            registry.channel(0, ())
        for each in events:
            _whether(registry.event, 0, each)
        registry.event(0, event("good:event", [Field("n", INT)]))
        return registry.whole_text()

    @settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(TAGS, st.lists(ENTRIES, max_size=3), FIELDS, EVENTS)
    def test_readable(self, tags, enumerations, context, events):
        text = self.hostile(tags, enumerations, context, events)
        for reader in ("babeltrace2", "babeltrace"):
            if shutil.which(reader) is None:
                raise SkipTest(f"not installed: {reader}")
            self.assertIsNone(read(text, reader), text[text.index("stream {") :])

    def test_readers_do_complain(self):
        """Else the test above says nothing."""
        if shutil.which("babeltrace2") is None:
            raise SkipTest("not installed: babeltrace2")
        text = self.hostile([], [], (), [])
        self.assertIsNone(read(text))
        self.assertIsNotNone(read(text.replace("_n;", "_n.n;")))


def _whether(describe, *what):
    try:
        describe(*what)
    except Refused:
        return False
    return True
