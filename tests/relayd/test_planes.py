"""Which plane the relay daemon has."""

from twisted.trial.unittest import SynchronousTestCase

from lttngnet.relayd import compiled
from lttngnet.relayd.plane import Plane
from lttngnet.relayd.planes import VARIABLE, plane_kind
from lttngnet.startup import CannotStart


def fail():
    raise OSError("no such library")


class PlaneKindTests(SynchronousTestCase):
    def test_python(self):
        self.assertIs(plane_kind({VARIABLE: "python"}), Plane)

    def test_the_compiled_one_if_it_was_built(self):
        self.patch(compiled, "load", lambda: None)
        for environ in ({}, {VARIABLE: ""}, {VARIABLE: "compiled"}):
            self.assertIs(plane_kind(environ), compiled.CompiledPlane)

    def test_it_was_not_built(self):
        self.patch(compiled, "load", fail)
        self.assertIs(plane_kind({}), Plane)
        problem = self.assertRaises(CannotStart, plane_kind, {VARIABLE: "compiled"})
        self.assertIn("LTTNGNET_PLANE is 'compiled', but no such library", str(problem))

    def test_there_is_no_such_plane(self):
        problem = self.assertRaises(CannotStart, plane_kind, {VARIABLE: "fast"})
        self.assertIn("LTTNGNET_PLANE is 'fast', neither 'python' nor 'compiled'", str(problem))
