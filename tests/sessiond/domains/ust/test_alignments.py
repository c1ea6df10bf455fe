"""How applications say that words are aligned: what is believed."""

from twisted.trial.unittest import SynchronousTestCase

from lttngnet.sessiond.domains.ust.alignments import PACKED, check, possible
from lttngnet.sessiond.domains.ust.tsdl import Refused

NATURAL = (8, 16, 32, 64, 64)


class AlignmentsTests(SynchronousTestCase):
    def test_possible(self):
        for machine in ("x86_64", "i686", "ppc64le"):
            self.assertEqual(possible(machine), {PACKED})
        self.assertIn(PACKED, possible("riscv64"))
        self.assertEqual(len(possible("riscv64")), 2)

    def test_the_first(self):
        check(PACKED, None, "x86_64")
        check(PACKED, None, "aarch64")
        with self.assertRaises(Refused):
            check(NATURAL, None, "x86_64")
        with self.assertRaises(Refused):
            check((8, 8, 8, 8, 16), None, "aarch64")

    def test_those_behind_it(self):
        check(NATURAL, NATURAL, "aarch64")
        with self.assertRaisesRegex(Refused, "8, 8, 8, 8, 8 bits, where others do to 8, 16, 32, 64, 64"):
            check(PACKED, NATURAL, "aarch64")
