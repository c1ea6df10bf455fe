"""What the page on filters says is so."""

import doctest
import json
import re
import sys
from unittest import skipUnless

from twisted.trial.unittest import SynchronousTestCase

from lttngnet.errors import CommandError
from lttngnet.filters import Infix, Prefix, parse
from lttngnet.filters import compile as compile_filter
from tests.filters.genuine import TABLE
from tests.test_docs import DOC, rows


def literals(cell):
    """Return the literal texts of a cell."""
    return re.findall(r"``(.+?)``", cell)


@skipUnless(DOC.is_dir(), "the documentation is not here")
class PageTests(SynchronousTestCase):
    def test_values(self):
        for written, _ in rows("filters", "filter-values"):
            for value in literals(written):
                parse(f"{value} == {value}")

    def test_operators(self):
        prefixes, *infixes = [literals(operators) for operators, _ in rows("filters", "filter-operators")]
        self.assertEqual(set(prefixes), {operator.value for operator in Prefix})
        by_precedence = {}
        for operator in Infix:
            by_precedence.setdefault(operator.precedence, []).append(operator.value)
        self.assertEqual(infixes, [by_precedence[each] for each in sorted(by_precedence, reverse=True)])

    def test_examples(self):
        for written, _ in rows("filters", "filter-examples"):
            (expression,) = literals(written)
            compile_filter(expression)

    def test_refusals(self):
        for written, said in rows("filters", "filter-refusals"):
            refusal = self.assertRaises(CommandError, parse, *literals(written))
            self.assertEqual(refusal.sentence, re.sub(r"\\(.)", r"\1", said))

    def test_stricter_than_the_genuine_client(self):
        table = json.loads(TABLE.read_text())
        for written, understood in rows("filters", "filter-stricter"):
            self.assertRaises(CommandError, parse, *literals(written))
            (told,), (meant,) = literals(written), literals(understood)
            self.assertEqual(table[told], table[meant])

    @skipUnless(sys.byteorder == "little", "the example shows bytes")
    def test_example_in_python(self):
        text = (DOC / "filters.rst").read_text()
        example = doctest.DocTestParser().get_doctest(text, {}, "filters", "filters.rst", 0)
        said = []
        doctest.DocTestRunner().run(example, out=said.append)
        self.assertEqual(said, [])
        self.assertEqual(len(example.examples), 6)
