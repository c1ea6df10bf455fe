from uuid import UUID

from twisted.trial.unittest import SynchronousTestCase

from lttngnet.sources.ftrace.preamble import describe_trace


class TraceTests(SynchronousTestCase):
    def test_environment(self):
        text = describe_trace(UUID(int=1), 's"1', "elsewhere", 2, 12)
        self.assertTrue(text.startswith("/* CTF 1.8 */\n"))
        for line in (
            'domain = "kernel";',
            'tracer_name = "lttng-modules";',
            'tracer_backend = "tracefs";',
            'trace_name = "s\\"1";',
            'hostname = "elsewhere";',
            "tracer_major = 2;",
            "offset = 12;",
            "id = 1;",
        ):
            self.assertIn(f"\t{line}\n", text)
