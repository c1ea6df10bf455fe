"""Tests against the genuine tools are skipped without them: here that is a failure, if it is asked for."""

import os
from unittest import skipUnless

from twisted.trial.unittest import SynchronousTestCase

from tests.interop.genuine import missing
from tests.interop.test_agents import lacks_python


class ToolTests(SynchronousTestCase):
    @skipUnless(
        os.environ.get("LTTNGNET_REQUIRE_INTEROP") == "1", "LTTNGNET_REQUIRE_INTEROP=1 requires the tools"
    )
    def test_nothing_is_missing(self):
        self.assertIsNone(missing())
        self.assertIsNone(lacks_python())
