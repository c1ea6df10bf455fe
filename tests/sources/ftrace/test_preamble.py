from uuid import UUID

from twisted.trial.unittest import SynchronousTestCase

from lttngnet.sources.ftrace.preamble import Origin, describe_trace, measure_clock_offset


class TraceTests(SynchronousTestCase):
    def test_environment(self):
        origin = Origin(UUID(int=1), 's"1', "host", "Linux", "6.1", "#1 SMP", str(UUID(int=2)), 12, "now")
        text = describe_trace(origin, 2)
        self.assertTrue(text.startswith("/* CTF 1.8 */\n"))
        for line in (
            'domain = "kernel";',
            'tracer_name = "lttng-modules";',
            'tracer_backend = "tracefs";',
            'trace_name = "s\\"1";',
            "tracer_major = 2;",
            "offset = 12;",
            "id = 1;",
        ):
            self.assertIn(f"\t{line}\n", text)

    def test_here(self):
        origin = Origin.here(UUID(int=1), "s1")
        self.assertTrue(origin.hostname)
        self.assertEqual(Origin.here(UUID(int=1), "s1", "elsewhere").hostname, "elsewhere")

    def test_tightest_bracket_counts(self):
        monotonic = iter((0, 100, 200, 204)).__next__
        wall = iter((5000, 6202)).__next__
        self.assertEqual(measure_clock_offset(monotonic, wall, tries=2), 6000)
