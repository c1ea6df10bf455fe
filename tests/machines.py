"""Walking a state machine: every state × every input."""

from automat import NoTransition


def state_of(machine):
    """Return the name of the state that an Automat machine is in."""
    return machine.__automat_transitioner__._state.name


class WalkMixin:
    """Checks a machine against its table, in which every pair that is missing has no transition.

    Subclasses say how to make a machine, how each state is reached, and the table.
    """

    inputs: dict = {}  # name of an input: its arguments
    ways: dict = {}  # name of a state: the inputs that lead there
    table: dict = {}  # (state, input): state

    def make(self):
        raise NotImplementedError

    def feed(self, machine, name):
        getattr(machine, name)(*self.inputs[name])

    def at(self, state):
        machine = self.make()
        for name in self.ways[state]:
            self.feed(machine, name)
        self.assertEqual(state_of(machine), state)
        return machine

    def test_every_state_and_input(self):
        walked = set()
        for state in self.ways:
            for name in self.inputs:
                machine = self.at(state)
                try:
                    self.feed(machine, name)
                except NoTransition:
                    outcome = None
                else:
                    outcome = state_of(machine)
                self.assertEqual(outcome, self.table.get((state, name)), (state, name))
                walked.add((state, name))
        self.assertLessEqual(set(self.table), walked)
