"""The genuine client, asked anew; and what the genuine tracer lets through the filters that it made."""

import json
import random
import sys
from pathlib import Path
from unittest import skipIf

from twisted.trial.unittest import SynchronousTestCase

from lttngnet.filters import matches
from tests.filters import application
from tests.filters.genuine import REFUSED, TABLE, ask, why_not
from tests.filters.test_captures import STRICTER, ours
from tests.interop.genuine import Namespace

WHY_NOT = why_not()
OPERANDS = r"""
a b.c d[3] e.f[2].g $ctx.vpid $app.p:n $ctx.q[1] $app.p:n[2].z 1 0x10 07 0L 1.5 2e3 (a) (1)
"x" "x*" "*x" "x*y" "x**" "\\*" "*\*" 'c' ("z")
"""
INFIX = "== != < <= > >= && || & | ^ << >>"

ROWS = [
    {"n": 5, "u": 200, "f": 1.5, "s": "hello", "a": [1, 2, 3]},
    {"n": -7, "u": 0, "f": -0.25, "s": "", "a": [0, 0, -1]},
    {"n": 0, "u": 1, "f": 0.0, "s": "a*b", "a": [7, 7, 7]},
    {"n": 2**62, "u": 255, "f": 1e20, "s": "hex\\end", "a": [5, 4, 3]},
    {"n": 1, "u": 64, "f": 0.5, "s": "world", "a": [0, 1, 64]},
]
FILTERS = r"""
n == 5 && u == 200
n < 0
-n == 7
!n
~n == -6
+n
n & 1
n | u
n ^ 5
n & 4 == 4 || u == 1
u << 1 == 400
u >> 3 == 25
n >> 60
n << 1 < 0
n << u
1 << u
n >> -1
f > 0.25
f == 1.5 || f == -0.25
f && 1
f || 0
f
!f
-f > 0
~f == 1
n == f
n < f
f == 0
f & 1
s == "hello"
s != "hello"
s == "he*"
s == "h*l*o"
s == "*"
s == "**"
s == "*o*"
s == "a\*b"
s == "a\*"
s == "a\*\*"
s == "hex\\end"
s == "hex\\*"
s == ""
s == "h*lo*o"
s < "hello"
s <= "hello"
s > "he*"
s >= "he*"
s == s
"he*" == s
"h*o" != s
s
!s == 1
-s == "x"
s && 1
s == n
a[0] == a[1]
a[2] == 64 || a[2] == -1
a[3] == 0 || 1
1 || a[3]
1 || a
1 || s
1 || s == n
1 || s && 1
1 || (n & 1) == 0
1 || n << u == 0
n == 5 || n << u == 2
1 || ~n
1 || -s
1 || -s == 1
1 || ~f
1 || ~f == 1
1 || !s == 1
1 || +s == n
0 && s == n
0 && a[3]
n && a[1]
a[1]
a
a == 1
missing
missing == 1 || 1
1 || missing
n == 5 || missing == 1
(n && 2) == 2
(n || 2) == 1
(n == 5) == 1
(n == 5 && 3) == 3
n < 3 == 1
n == u & 5
$ctx.procname == "rows"
$ctx.procname == "r*s" && n > 0
$ctx.vpid > 0
$ctx.nothing == 1
$app.some:thing == 1
1
0
-1
1 == 1.0
"x" == "x"
"x*" == "xyz"
"x" < "y"
9223372036854775808 < 0
n == -7 && !(u || f > 0)
"""

NEVER_TRUE = r"""
n & 1 || u == 1
1 || n << 1
(n & 1) && 1
0 || ~(n | u)
"""
"""By lttng-ust 2.13: && and || do not take what a bitwise operator yields. It must be compared first."""


def tree(chance, depth):
    """Return a random expression, which may be refused."""
    kind = chance.random()
    if depth == 0 or kind < 0.25:
        return chance.choice(OPERANDS.split())
    if kind < 0.4:
        return chance.choice("-+!~") + tree(chance, depth - 1)
    if kind < 0.55:
        return f"({tree(chance, depth - 1)})"
    return f"{tree(chance, depth - 1)} {chance.choice(INFIX.split())} {tree(chance, depth - 1)}"


class ClientTests(SynchronousTestCase):
    skip = WHY_NOT

    def test_the_captured_table_is_what_it_says_today(self):
        table = json.loads(TABLE.read_text())
        self.assertEqual(ask(list(table)), table)

    def test_random_expressions(self):
        chance = random.Random(2026)
        answers = ask([tree(chance, 1 + number % 5) for number in range(5000)])
        self.assertGreater(sum(made != REFUSED for made in answers.values()), 500)
        for expression, made in answers.items():
            mine, sentence = ours(expression)
            if not any(why in sentence for why in STRICTER):
                self.assertEqual(mine, made, (expression, sentence))


@skipIf(sys.byteorder != "little", "rows are compared on the machine for which they are captured")
class TracerTests(SynchronousTestCase):
    skip = WHY_NOT

    def test_what_comes_through(self):
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        space = Namespace(folder)
        self.addCleanup(space.close)
        never_true = NEVER_TRUE.strip().splitlines()
        filters = FILTERS.strip().splitlines() + never_true
        program = application.build(folder, len(filters), ROWS)
        contexts = {"procname": "rows", "vpid": 77}
        mine = [
            [number for number, row in enumerate(ROWS) if matches(each, row, contexts)] for each in filters
        ]
        genuine = application.passed(space, program, filters)
        self.assertEqual(genuine[-len(never_true) :], [[] for _ in never_true])
        for each, our in zip(never_true, mine[-len(never_true) :], strict=True):
            self.assertTrue(our, each)
        different = {
            each: (theirs, our)
            for each, theirs, our in zip(filters, genuine, mine, strict=True)
            if theirs != our and each not in never_true
        }
        self.assertEqual(different, {})
