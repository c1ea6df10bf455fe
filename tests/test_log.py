"""How much is said."""

from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.log import ChannelLogger, Logger, set_verbosity


class Daemon:
    log = Logger()


class Channel:
    log = ChannelLogger()


class VerbosityTests(SynchronousTestCase):
    def setUp(self):
        self.addCleanup(set_verbosity, 0)

    def said(self, who):
        with capturedLogs() as events:
            for level in LogLevel.iterconstants():
                who.log.emit(level, "{number}", number=level)
        return [event["log_level"].name for event in events]

    def test_what_an_operator_sees(self):
        self.assertEqual(self.said(Daemon()), ["info", "warn", "error", "critical"])
        self.assertEqual(self.said(Channel()), ["warn", "error", "critical"])

    def test_more(self):
        set_verbosity(1)
        self.assertEqual(self.said(Daemon()), ["info", "warn", "error", "critical"])
        self.assertEqual(self.said(Channel()), ["info", "warn", "error", "critical"])

    def test_all(self):
        everything = [level.name for level in LogLevel.iterconstants()]
        for times in (2, 3, 7):
            set_verbosity(times)
            self.assertEqual(self.said(Daemon()), everything)
            self.assertEqual(self.said(Channel()), everything)

    def test_less_again(self):
        set_verbosity(2)
        set_verbosity(0)
        self.assertEqual(self.said(Channel()), ["warn", "error", "critical"])

    def test_who_said_it(self):
        daemon = Daemon()
        with capturedLogs() as events:
            daemon.log.info("here")
            Daemon.log.info("and here")
        self.assertEqual([event["log_namespace"] for event in events], ["tests.test_log.Daemon"] * 2)
        self.assertIs(events[0]["log_source"], daemon)

    def test_failures(self):
        try:
            raise ValueError("no")
        except ValueError:
            Channel().log.failure("It failed")
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
