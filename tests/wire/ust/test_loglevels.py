"""Log levels: what users write, and what they read."""

from twisted.trial.unittest import SynchronousTestCase

from lttngnet.wire.ust.loglevels import LogLevel, name, number


class LogLevelTests(SynchronousTestCase):
    def test_there_and_back(self):
        for level in LogLevel:
            for text in (name(level), level.name, level.name.lower(), str(level.value)):
                self.assertEqual(number(text), level)
            self.assertEqual(number(f"LTTNG_UST_TRACEPOINT_LOGLEVEL_{level.name}"), level)

    def test_as_lttng_shows_them(self):
        self.assertEqual(
            [name(each) for each in (0, 13, 14)], ["TRACE_EMERG", "TRACE_DEBUG_LINE", "TRACE_DEBUG"]
        )
        self.assertEqual([name(each) for each in (-1, 15)], ["UNKNOWN"] * 2)

    def test_none_such(self):
        for text in ("", "TRACE_", "LOUD", "15", "-1", "²", "1.0"):
            self.assertIn("TRACE_EMERG", str(self.assertRaises(ValueError, number, text)))
