"""What satisfies a filter. That tracers decide the same is tested where they are, in `test_genuine`."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.errors import CommandError
from lttngnet.filters import Reference, Root, Text, matches, parse, references
from tests.filters.trees import filters

FIELDS = {"n": 5, "f": 1.5, "s": "a*b", "list": [1, 2], "deep": {"er": [{"x": 7}]}, "big": 2**64 - 1}
CONTEXTS = {"vpid": 3, "server:user": "ana"}

scalars = st.integers(-(2**64), 2**64) | st.floats() | st.text(max_size=5)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=4,
)


class MatchTests(SynchronousTestCase):
    def check(self, expected, *expressions):
        for expression in expressions:
            self.assertIs(matches(expression, FIELDS, CONTEXTS), expected, expression)

    def test_numbers(self):
        self.check(
            True, "n == 5", "n > f", "-n < 0", "!n == 0", "~n == -6", "+f == 1.5", "big == -1", "-1", "f && 1"
        )
        self.check(False, "n != 5", "n < 1.5", "!n", "0", "0 || 0")

    def test_bits(self):
        self.check(True, "n & 4", "n | 2 == 7", "n ^ 1 == 4", "n << 1 == 10", "big >> 63 == 1", "1 << 63 < 0")
        self.check(False, "n & 2", "n << 64 || 1", "n << -1 == 0", "f & 1 == 1")
        self.check(True, "1 || n << 64", "n == 5 || 1 << n >> 70")

    def test_strings(self):
        self.check(
            True,
            's == "a*"',
            's == "a\\*b"',
            's == "*b"',
            's == "*\\**"',
            's != "b"',
            's < "b"',
            '"x" == "x*"',
        )
        self.check(
            False, 's == "a\\*"', 's == "*x*"', 's == "a*b*c"', 's == ""', "s", "s == n", "s && 1", "-s == 1"
        )

    def test_nested(self):
        self.check(True, "list[1] == 2", "deep.er[0].x == 7")
        self.check(
            False, "list[2] == 2", "deep.er.x == 7", "deep", "list", "n[0] == 5", "n.x == 5", "s[0] == 'a'"
        )

    def test_contexts(self):
        self.check(True, "$ctx.vpid == 3", '$app.server:user == "an*"')
        self.check(False, "vpid == 3", "$ctx.vtid == 3", "$ctx.n == 5")

    def test_what_is_not_there_makes_all_of_it_false(self):
        self.check(False, "none", "!none", "1 || none", "none != 1", "1 || list[2]", "1 || s == n")

    def test_numbers_of_a_logical_operator(self):
        self.check(True, "(n && 2) == 2", "(n || 2) == 1", "(0 || 3) == 3")

    def test_a_tree_or_a_text(self):
        self.assertTrue(matches(parse("n == 5"), FIELDS))
        self.assertRaises(CommandError, matches, "n ==", FIELDS)

    def test_a_long_chain(self):
        self.assertTrue(matches(" || ".join(["n == 4"] * 3000 + ["n == 5"]), FIELDS))

    @settings(deadline=None)
    @given(tree=filters, fields=st.dictionaries(st.sampled_from("ab"), values))
    def test_anything(self, tree, fields):
        for reference in references(tree):
            fields.setdefault(reference.path[0], 1)
        self.assertIn(matches(tree, fields, fields), (True, False))

    @settings(deadline=None)
    @given(
        pattern=st.lists(st.sampled_from(["a", "b", "*", "\\*", "\\\\"]), max_size=6).map("".join),
        text=st.text("ab*\\", max_size=6),
    )
    def test_stars(self, pattern, text):
        pieces = {"*": ".*", "a": "a", "b": "b", "\\*": "\\*", "\\\\": "\\\\"}
        regular = "".join(pieces[piece] for piece in re.findall(r"\\.|.", pattern))
        expected = re.fullmatch(regular, text) is not None
        self.assertIs(matches(f's == "{pattern}"', {"s": text}), expected)
        self.assertIs(matches(f'"{pattern}" != s', {"s": text}), not expected)


class ReferenceTests(SynchronousTestCase):
    def test_from_left_to_right(self):
        found = [str(each) for each in references(parse("!a && $ctx.b == -c[1] || (d & $app.e:f) == a"))]
        self.assertEqual(found, ["a", "$ctx.b", "c[1]", "d", "$app.e:f", "a"])

    def test_trees_are_values(self):
        self.assertEqual({parse("a"): 1}, {Reference(Root.PAYLOAD, ("a",)): 1})
        self.assertTrue(Text("a*b*").is_glob)
        self.assertFalse(Text("a\\*b*").is_glob)
