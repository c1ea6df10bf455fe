"""Programs with every kind of field: babeltrace2 reads of our trace what it reads of the genuine one."""

import re
import tempfile
from pathlib import Path
from unittest import skipIf

from twisted.trial.unittest import SynchronousTestCase

from tests.interop import programs
from tests.interop.genuine import Namespace, missing
from tests.interop.ours import program, text_of
from tests.interop.twins import PINNED

UNAVAILABLE = missing()
OURS = (program("lttngnet"),)
GENUINE = ("lttng", "--no-sessiond")
CONTEXTS = (
    "-t vpid -t procname -t vtid -t pthread_id -t vuid -t veuid -t vgid -t vegid -t ip -t pid_ns"
    " -t perf:thread:page-fault -t $app.shop:items"
)
STATE = "lttng_ust_statedump:"
_VARIES = (
    (r"^\[[^]]*\] \([^)]*\) ", ""),  # the time
    (r":\(\d+\) ", ":(N) "),
    (r"\bcpu_id = \d+", "cpu_id = N"),
    (r"\b(vpid|vtid|pthread_id|ip|\w+_ns|perf_thread_\w+) = \d+", r"\1 = N"),
    (r"\bbaddr = 0x[0-9A-F]+", "baddr = N"),
    (r'\bpath = "[^"]*/', 'path = "'),
    (r"(, \[\d\d\] = 0x\w+){6} ", " "),  # what pads a long double of 80 bits
)


def plain(line):
    """Return a line of babeltrace2 without what differs from run to run."""
    for pattern, replacement in _VARIES:
        line = re.sub(pattern, replacement, line)
    return line


def parted(lines):
    """Return what the program recorded, in order; and, sorted, what the tracer says of its libraries.

    These are told of in the order in which they lie in memory, and lie somewhere else each time.
    """
    of_program = [plain(line) for line in lines if STATE not in line]
    return of_program, sorted(plain(line) for line in lines if STATE in line)


@skipIf(UNAVAILABLE, UNAVAILABLE)
class MetadataTests(SynchronousTestCase):
    def traced(self, name, lttng, *lines):
        """Trace a program, all in one CPU's stream, and return the lines of the trace, and complaints."""
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            path = programs.build(name, folder)
            space = Namespace(folder)
            try:
                self.start_sessiond(space, lttng)
                for line in ("create s1 -o " + str(folder / "trace"), *lines, "start"):
                    space.run(*lttng, *line.split())
                space.run(*PINNED, path, "3")
                for line in ("stop", "destroy"):
                    space.run(*lttng, *line.split())
            finally:
                space.close()
            return text_of(folder / "trace")

    def start_sessiond(self, space, lttng):
        if lttng is GENUINE:
            space.start_genuine_sessiond()
        else:
            space.start_our_sessiond("--no-kernel")

    def test_every_kind_of_field(self):
        for scheme in ("uid", "pid"):
            lines = (
                f"enable-channel -u --buffers-{scheme} all",
                f"add-context -u -c all {CONTEXTS}",
                "enable-event -u -c all -a",
            )
            genuine, ours = (self.traced("kinds", lttng, *lines) for lttng in (GENUINE, OURS))
            for told, expected in zip(parted(ours[0]), parted(genuine[0]), strict=True):
                self.assertEqual(told, expected)
            self.assertEqual(ours[1], genuine[1])
            self.assertGreater(len(ours[0]), 150)

    def test_what_lttng_makes_unreadable(self):
        lines, errors = self.traced("odd", OURS, "enable-event -u odd:*")
        self.assertEqual(errors, "")
        written = ", ".join(f"[{n}] = 0x{byte:X}" for n, byte in enumerate([0] * 7 + [0x80, 0xFF, 0x3F]))
        states = ['"near zero"', '"broken", "near zero"', *['"near zero"'] * 3, '"three"', "<unknown>"]
        self.assertEqual(
            [plain(line).partition(" odd:")[2] for line in lines],
            [
                "names: { cpu_id = N }, { dotted_name = 10, $dollar = 11, colon_name = 12, gr__e = 13,"
                " twice = 14, twice_2 = 15, _dotted_sequence_length = 1, dotted_sequence = [ [0] = 10 ],"
                " dotted_array = [ [0] = 10 ] }".replace("$", "_"),
                "precise: { cpu_id = N }, { before = 1, x_padding = { }, x = [ "
                + written
                + " ], after = 2 }",
                *[
                    f"sloppy: {{ cpu_id = N }}, {{ state = ( {state} : container = {n % 256} ) }}"
                    for n, state in enumerate(states, start=-2)
                ],
                "level: { cpu_id = N }, { n = 7 }",
            ],
        )
