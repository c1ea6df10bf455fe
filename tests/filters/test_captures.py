"""Every filter of which it is known what the genuine client made of it (``tests/captures/filters.json``)."""

import json
import sys
from unittest import skipUnless

from twisted.trial.unittest import SynchronousTestCase

from lttngnet.errors import Code, CommandError
from lttngnet.filters import compile as compile_filter
from lttngnet.filters import parse
from tests.filters.genuine import REFUSED, TABLE

STRICTER = {
    "an integer has 64 bits at most": "18446744073709551615 is taken",
    "arrays of arrays cannot be filtered": "all indexes but the first are forgotten",
    "expected $app.PROVIDER:NAME": "an index behind $app is forgotten",
    "a string ends on the line on which it begins": "line breaks are forgotten",
    "the comment has no end": "what follows is forgotten",
}
"""What we refuse, and what the genuine client silently does instead."""


def ours(expression):
    """Return what we make of a filter, as it stands in the table, and the sentence if we refuse it."""
    try:
        bytecode = compile_filter(expression)
    except CommandError as refusal:
        return REFUSED, refusal.sentence
    return [bytecode.code.hex(), bytecode.reloc_offset], ""


@skipUnless(sys.byteorder == "little", "captured where bytes go the other way round")
class CaptureTests(SynchronousTestCase):
    def setUp(self):
        self.table = json.loads(TABLE.read_text())

    def test_enough(self):
        self.assertGreater(len(self.table), 700)
        self.assertGreater(sum(made == REFUSED for made in self.table.values()), 200)

    def test_same_bytes_or_refused_as_well(self):
        seen = set()
        for expression, made in self.table.items():
            mine, sentence = ours(expression)
            if mine != made:
                (stricter,) = [why for why in STRICTER if why in sentence] or [None]
                self.assertEqual((mine, stricter is None), (REFUSED, False), (expression, made, sentence))
                seen.add(stricter)
        self.assertEqual(seen, set(STRICTER))

    def test_refusals_are_one_sentence(self):
        for expression in self.table:
            try:
                parse(expression)
            except CommandError as refusal:
                self.assertIs(refusal.code, Code.FILTER_INVAL)
                self.assertNotIn("\n", refusal.sentence)
                self.assertLess(len(refusal.sentence), 120)

    def test_printed_and_read_again(self):
        for expression, made in self.table.items():
            if made != REFUSED and ours(expression)[0] == made:
                tree = parse(expression)
                self.assertEqual(parse(str(tree)), tree, expression)
                self.assertEqual(ours(str(tree))[0], made, expression)
