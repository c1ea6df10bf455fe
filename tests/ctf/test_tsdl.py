"""What the metadata of all our traces has in common."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.ctf.tsdl import clock_offset, creation_datetime, quote


class TsdlTests(SynchronousTestCase):
    def test_the_tightest_sample_counts(self):
        monotonic = iter((0, 200, 200, 204)).__next__
        wall = iter((5000, 6202)).__next__
        self.assertEqual(clock_offset(wall, monotonic, samples=2), 6000)

    @given(st.text())
    def test_a_literal_ends_where_it_should(self, text):
        literal = quote(text)
        inside = literal[1:-1].replace("\\\\", "").replace('\\"', "")
        self.assertEqual((literal[0], literal[-1]), ('"', '"'))
        self.assertNotIn('"', inside)
        self.assertTrue(all(character >= " " for character in literal))

    def test_creation(self):
        self.assertRegex(creation_datetime(), r"^\d{8}T\d{6}[+-]\d{4}$")
