"""Texts to trees, trees to texts, and what is said of texts that are no filters."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.errors import Code, CommandError
from lttngnet.filters import (
    MAX_DEPTH,
    MAX_LENGTH,
    Binary,
    Float,
    Infix,
    Integer,
    Prefix,
    Reference,
    Root,
    Text,
    Unary,
    assemble,
    parse,
)
from tests.filters.trees import filters

A, B, C = (Reference(Root.PAYLOAD, (name,)) for name in "abc")

WORDS = r"""
a b1 a:b : $ctx $app $x 0 017 08 0x1f 0X1F 1.5 .5 1e3 0x1p3 2ULL 18446744073709551616 é
"x" "x*" "*x" "\\*" "\n" "" 'c' '' L"c" L " ' \
! - + ~ & | ^ < > ( ) [ ] . * / % = ? , ; -> == != <= >= && || << >> /* */ //
"""
words = st.sampled_from([*WORDS.split(), " ", "\n", "\0", "\ud800"])


class TreeTests(SynchronousTestCase):
    def test_constants(self):
        for text, constant in {
            "0": Integer(0),
            "017": Integer(15),
            "0x1F": Integer(31),
            "10ULL": Integer(10),
            "18446744073709551615": Integer(2**64 - 1),
            ".5": Float(0.5),
            "1.5e-3f": Float(0.0015),
            "0x1.8p3": Float(12.0),
            "0x1p99999": Float(float("inf")),
            '"x*y"': Text("x*y"),
            "'don\"t'": Text('don"t'),
            'L"x"': Text("x"),
        }.items():
            self.assertEqual(parse(f"a == {text}"), Binary(Infix.EQUAL, A, constant))

    def test_references(self):
        for text, reference in {
            "a": A,
            "a.b": Reference(Root.PAYLOAD, ("a", "b")),
            "a->b": Reference(Root.PAYLOAD, ("a", "b")),
            "a[0x10].b[2]": Reference(Root.PAYLOAD, ("a", 16, "b", 2)),
            "$ctx.vpid": Reference(Root.CONTEXT, ("vpid",)),
            "$ctx.perf:cpu:cycles": Reference(Root.CONTEXT, ("perf:cpu:cycles",)),
            "$app.server:user": Reference(Root.APPLICATION, ("server:user",)),
        }.items():
            self.assertEqual(parse(text), reference)

    def test_each_operator_before_those_that_bind_less(self):
        for tight in Infix:
            for loose in Infix:
                left_first = Binary(loose, Binary(tight, A, B), C)
                right_first = Binary(loose, A, Binary(tight, B, C))
                if tight.precedence > loose.precedence:
                    self.assertEqual(parse(f"a {tight.value} b {loose.value} c"), left_first)
                    self.assertEqual(parse(f"a {loose.value} b {tight.value} c"), right_first)
                elif tight.precedence == loose.precedence:
                    self.assertEqual(parse(f"a {tight.value} b {loose.value} c"), left_first)
                    self.assertEqual(parse(f"a {loose.value} (b {tight.value} c)"), right_first)

    def test_prefixes_bind_tightest(self):
        self.assertEqual(parse("!-a == b"), Binary(Infix.EQUAL, Unary(Prefix.NOT, Unary(Prefix.MINUS, A)), B))

    def test_comments_and_line_breaks_are_blank(self):
        self.assertEqual(parse("a /* == 1 */ \n\t== // 2\n b"), Binary(Infix.EQUAL, A, B))

    @settings(deadline=None)
    @given(tree=filters)
    def test_printed_and_read_again(self, tree):
        self.assertEqual(parse(str(tree)), tree)

    def test_printed_with_the_parentheses_that_it_needs(self):
        for text in ("(a || b) && c", "a && (b && c)", "-(a & b) << 1", "a & b == c", "((a || b) && c) == 1"):
            self.assertEqual(str(parse(f"({text})")), text)


class RefusalTests(SynchronousTestCase):
    def refusal(self, expression):
        refusal = self.assertRaises(CommandError, parse, expression)
        self.assertIs(refusal.code, Code.FILTER_INVAL)
        return refusal.sentence

    def test_what_and_where(self):
        for expression, sentence in {
            "a == ": "character 6: expected a field, a constant or a parenthesis, found the end",
            "a b": "character 3: expected an operator or the end, found 'b'",
            "(a == 1": "character 8: expected an operator or a closing parenthesis, found the end",
            "a = 1": "character 3: '=' has no meaning here",
            "a + 1": "character 3: filters have no arithmetic, so '+' cannot stand between two values",
            "a[b]": "character 3: expected a constant index (0, 1, 2, …), found 'b'",
            "a[1": "character 4: expected a closing bracket, found the end",
            "a[1][2]": "character 5: arrays of arrays cannot be filtered: one index behind a name",
            "a.1": "character 2: expected an operator or the end, found '.1'",
            "a.": "character 3: expected a name, found the end",
            "$ctx": "character 5: expected $ctx.NAME, found the end",
            "$app[1]": "character 5: expected $app.PROVIDER:NAME, found '['",
            "$vpid": "character 1: '$vpid' is no context, which begins with $ctx. or $app.",
            'a == "x': "character 6: the string has no closing quote",
            'a == "\\n"': "character 7: a string has only the escapes \\* and \\\\",
            'a == "x\ny"': "character 8: a string ends on the line on which it begins",
            'a == "\0"': "character 7: a string has no NUL in it",
            "a == ''": "character 6: nothing stands between these quotes",
            "a /* b": "character 3: the comment has no end",
            "a == 18446744073709551616": "character 6: an integer has 64 bits at most",
            "a == \ud800": "character 6: this is no character",
            '"x"': "character 1: a filter is true or false, and this is a string",
            "-1.5": "character 1: a filter is true or false, and this is a floating point number",
            '!"x"': "character 1: ! cannot have a string as operand",
            'a && "x"': "character 3: && cannot have a string as operand",
            "a & 1.5": "character 3: & cannot have a floating point number as operand",
            '"x" == 1': "character 5: == cannot compare a string with a number",
            'a < "x*y"': "character 3: < cannot have a string with a * before its end as operand, "
            "only == and != can",
            '"*x" == "*"': "character 6: == cannot compare two strings that both have a *",
        }.items():
            self.assertEqual(self.refusal(expression), f"filter, {sentence}")

    def test_nothing(self):
        for expression in ("", " \n"):
            self.assertEqual(self.refusal(expression), "a filter cannot be empty")

    def test_long_words_are_shortened(self):
        self.assertEqual(
            self.refusal("a " + "b" * 1000),
            f"filter, character 3: expected an operator or the end, found '{'b' * 20}…'",
        )

    def test_length(self):
        parse(" " * (MAX_LENGTH - 1) + "a")
        self.assertEqual(
            self.refusal(" " * MAX_LENGTH + "a"), "a filter of 65536 bytes is too long, 65535 are the limit"
        )
        self.assertIn("too long", self.refusal('a == "' + "é" * 33000 + '"'))

    def test_depth(self):
        for opening, closing in (("(", ")"), ("-", ""), ("a & (", ")")):
            cost = len(opening.split())
            deep = MAX_DEPTH // cost if "(" not in opening or cost == 1 else MAX_DEPTH // 2
            tree = parse(opening * deep + "a" + closing * deep)
            self.assertEqual(parse(str(tree)), tree)
            self.assertIn(
                "this is nested more than 100 deep",
                self.refusal(opening * (deep + 1) + "a" + closing * (deep + 1)),
            )

    def test_a_chain_is_not_deep(self):
        chain = " && ".join(["1"] * 4000)
        tree = parse(chain)
        self.assertEqual(str(tree), chain)
        assemble(tree)

    @settings(max_examples=500, deadline=None)
    @given(expression=st.lists(words, max_size=12).map("".join) | st.text(max_size=40))
    def test_whatever_is_written(self, expression):
        try:
            tree = parse(expression)
        except CommandError as refusal:
            self.assertNotIn("\n", refusal.sentence)
        else:
            assemble(tree)
            self.assertEqual(parse(str(tree)), tree)
