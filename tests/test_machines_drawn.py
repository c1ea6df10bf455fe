"""The drawn state machines (doc/machines) are those of the code."""

import sys
from pathlib import Path
from unittest import skipUnless

from twisted.trial.unittest import SynchronousTestCase

DOC = Path(__file__).parents[1] / "doc"
HOW = "run `python doc/draw_machines.py` and commit doc/machines"


@skipUnless(DOC.is_dir(), "the documentation is not here")
class DrawnTests(SynchronousTestCase):
    def setUp(self):
        self.patch(sys, "path", [str(DOC), *sys.path])
        import draw_machines

        self.draw = draw_machines

    def test_the_texts_are_those_of_the_code(self):
        for name, text in self.draw.files().items():
            self.assertEqual((self.draw.FOLDER / name).read_text(), text, f"{name}: {HOW}")

    def test_there_is_a_picture_of_each_with_all_its_states(self):
        for name, where in self.draw.MACHINES.items():
            picture = (self.draw.FOLDER / f"{name}.svg").read_text()
            for state in self.draw.read(where).states:
                self.assertIn(f">{state}</text>", picture, f"{name}.svg: {HOW}")

    def test_every_transition_is_told(self):
        """An input that is neither drawn as an arrow, nor in its state's box, nor below would be missed."""
        for where in self.draw.MACHINES.values():
            machine = self.draw.read(where)
            table = self.draw.table(machine).split("   * - ")[2:]
            self.assertEqual(len(table), len(machine.states))
            for state, row in zip(machine.states, table, strict=True):
                self.assertEqual(row.splitlines()[0], state)
                for taken in machine.inputs:
                    told = row.count(f"``{taken}``") + (taken in machine.everywhere)
                    self.assertEqual(told, 1, (state, taken))
