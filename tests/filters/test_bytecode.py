"""Trees to bytecode, where it is large: the rest is compared with captures."""

from struct import unpack_from

from hypothesis import given, settings
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.errors import Code, CommandError
from lttngnet.filters import MAX_SIZE, Bytecode, assemble, parse
from lttngnet.filters import compile as compile_filter
from tests.filters.trees import filters


def names(bytecode):
    """Yield what the table of names says: where in the code, and the name."""
    position = bytecode.reloc_offset
    while position < len(bytecode.code):
        end = bytecode.code.index(b"\0", position + 2)
        yield unpack_from("=H", bytecode.code, position)[0], bytecode.code[position + 2 : end].decode()
        position = end + 1


class AssemblerTests(SynchronousTestCase):
    def test_parts(self):
        self.assertEqual(compile_filter("1"), Bytecode(b"\x41" + (1).to_bytes(8, "little") + b"\1", 10))
        self.assertEqual(compile_filter("1"), assemble(parse("1")))

    def test_names(self):
        found = list(names(compile_filter("a.b == 1 && c[2].d || $ctx.e && $app.f:g && $app.h:i[3]")))
        self.assertEqual([name for _, name in found], ["a.b", "c", "d", "$ctx.e", "$app.f:g", "h:i"])

    @settings(deadline=None)
    @given(tree=filters)
    def test_names_belong_to_instructions_that_have_one(self, tree):
        bytecode = assemble(tree)
        self.assertEqual(bytecode.code[bytecode.reloc_offset - 1], 1)
        for position, _ in names(bytecode):
            self.assertIn(bytecode.code[position], (59, 70, 82))

    def test_no_larger_than_the_genuine_client_makes_it(self):
        fits = {  # by the genuine client, with the next longer one refused
            '"{}" == "x"': 65481,
            "{} == 1": 65471,
        }
        for form, count in fits.items():
            self.assertEqual(len(compile_filter(form.format("x" * count)).code), MAX_SIZE)
            refusal = self.assertRaises(CommandError, compile_filter, form.format("x" * (count + 1)))
            self.assertIs(refusal.code, Code.FILTER_INVAL)
            self.assertEqual(str(refusal), "the filter is too long: its bytecode has more than 65488 bytes")

    def test_longest_chains(self):
        for operator, operand, count in (("||", "1", 5457), ("&", "a", 8186), ("&", "1", 6548)):
            compile_filter(operator.join([operand] * count))
            self.assertRaises(CommandError, compile_filter, operator.join([operand] * (count + 1)))
