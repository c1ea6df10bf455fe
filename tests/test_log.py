"""How much is said."""

from io import StringIO

from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.log import ChannelLogger, Logger, says_everything, set_verbosity, stream_observer


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

    def test_whether_everything_is_said(self):
        for times, expected in ((0, False), (1, False), (2, True)):
            set_verbosity(times)
            self.assertIs(says_everything(), expected)

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


class StreamTests(SynchronousTestCase):
    """Where a daemon writes by itself, Twisted's own talk is left out."""

    def written(self, times):
        stream = StringIO()
        observer = stream_observer(stream, times)
        for namespace in ("lttngnet.somewhere", "twisted.elsewhere"):
            for level in (LogLevel.info, LogLevel.warn):
                text = f"{namespace} {level.name}"
                observer({"log_namespace": namespace, "log_level": level, "log_format": text, "log_time": 0})
        return [" ".join(line.split()[2:]) for line in stream.getvalue().splitlines()]

    def test_ours_and_what_is_amiss(self):
        ours = ["lttngnet.somewhere info", "lttngnet.somewhere warn"]
        self.assertEqual(self.written(0), [*ours, "twisted.elsewhere warn"])
        self.assertEqual(self.written(1), [*ours, "twisted.elsewhere warn"])
        self.assertEqual(self.written(2), [*ours, "twisted.elsewhere info", "twisted.elsewhere warn"])
