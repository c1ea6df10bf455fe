"""The converter that is used: the fastest there is, or the one that is asked for."""

import sys

from twisted.trial.unittest import SynchronousTestCase

from lttngnet.sources.ftrace import convert
from lttngnet.sources.ftrace.converter import MODULES, VARIABLE, choose


class ChoiceTests(SynchronousTestCase):
    def without(self, *names):
        """Let these converters be missing."""
        for name in names:
            self.patch(sys, "modules", sys.modules | {MODULES[name]: None})

    def test_only_python(self):
        self.without("compiled", "numpy")
        for wanted in ("compiled", "numpy", "python", "unheard of"):
            self.assertEqual(choose({VARIABLE: wanted}), ("python", convert.convert))
        self.assertEqual(choose({}), ("python", convert.convert))

    def test_what_is_asked_for(self):
        self.assertEqual(choose({VARIABLE: "python"}), ("python", convert.convert))

    def test_the_fastest_there_is(self):
        name, found = choose({})
        self.assertEqual(found.__module__, MODULES[name])
        self.without(name)
        if name != "python":
            self.assertNotEqual(choose({})[0], name)
