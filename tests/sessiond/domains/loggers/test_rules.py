"""Rules of loggers: levels, what is refused, and filters as the genuine client makes them."""

import json
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from lttngnet import filters
from lttngnet.errors import Code, CommandError
from lttngnet.sessiond.domains.loggers.kinds import JUL, KINDS, LOG4J, PYTHON
from lttngnet.sessiond.domains.loggers.rules import rules
from lttngnet.wire import records
from lttngnet.wire.agent import Enable, LevelType, Orders
from tests import captures

FOLDER = Path(captures.__file__).parent / "agent"


def asked(line):
    """Return the names and options of an ``enable-event`` of a capture."""
    line, _, expression = line.partition(" --filter ")
    _, _, *words = line.split(" ")
    options = {"filter": expression}
    names = []
    while words:
        match words.pop(0):
            case "-a":
                options["all"] = True
            case "--loglevel":
                options["loglevel"] = words.pop(0)
            case "--loglevel-only":
                options |= {"loglevel": words.pop(0), "loglevel_only": True}
            case name:
                names = name.split(",")
    return names, options


class GenuineTests(SynchronousTestCase):
    def test_what_the_genuine_client_makes_of_it(self):
        """An agent is told the same, and the tracer gets the same bytes."""
        compared = 0
        for kind in KINDS:
            entries = json.loads((FOLDER / f"{kind.name}.json").read_text())["entries"]
            for entry in entries:
                if not entry["line"].startswith("enable-event") or entry["dir"] != "s2c":
                    continue
                (told,) = Orders().feed(bytes.fromhex(entry["hex"]))
                names, options = asked(entry["line"])
                found = {rule.name: rule for rule in rules(kind, names, options)}
                rule = found[told.name]
                self.assertEqual(rule.to_agent(kind), told, entry["line"])
                if "bytecode" in entry:
                    self.assertEqual(filters.compile(rule.expression).code.hex(), entry["bytecode"])
                    compared += 1
                else:
                    self.assertEqual(rule.expression, "")
        self.assertEqual(compared, 34)


class RuleTests(SynchronousTestCase):
    def refused(self, loggers, *names, **options):
        return self.assertRaises(CommandError, rules, loggers, names, options).code

    def test_refusals(self):
        self.assertEqual(self.refused(PYTHON), Code.INVALID)
        for name in ("", "a\0b", "x" * 256, "é" * 128, 'a"b', 'a" || 1 == 1 || x == "b', "a\\b", 7):
            self.assertEqual(self.refused(PYTHON, name), Code.INVALID_EVENT_NAME, name)
        self.assertEqual(self.refused(PYTHON, "shop", loglevel="SEVERE"), Code.INVALID)
        self.assertEqual(self.refused(PYTHON, "shop", exclude=["a"]), Code.NOT_SUPPORTED)
        self.assertEqual(self.refused(PYTHON, "shop", kind="syscall"), Code.NOT_SUPPORTED)
        self.assertEqual(self.refused(PYTHON, "shop", filter="lineno >"), Code.FILTER_INVAL)
        self.assertEqual(self.refused(PYTHON, "shop", filter="a) && (b"), Code.FILTER_INVAL)
        self.assertEqual(self.refused(PYTHON, "shop", filter=7), Code.INVALID)

    def test_the_same_twice(self):
        self.assertEqual(len(rules(PYTHON, ["shop", "shop"], {"kind": "tracepoint"})), 1)

    def test_to_program(self):
        (rule,) = rules(
            PYTHON, ["shop*"], {"loglevel": "info", "loglevel_only": True, "filter": "lineno > 1"}
        )
        self.assertEqual(rule.to_program(), records.Rule("shop*", 20, True, "lineno > 1"))
        (rule,) = rules(PYTHON, [], {"all": True, "loglevel_only": False})
        self.assertEqual(rule.to_program(), records.Rule("*"))

    def test_to_agent_without_level(self):
        for kind, level in ((PYTHON, 10), (JUL, -(1 << 31)), (LOG4J, -(1 << 31))):
            (rule,) = rules(kind, [], {"all": True})
            self.assertEqual(rule.to_agent(kind), Enable(level, LevelType.ALL, "*"))

    def test_describe(self):
        (rule,) = rules(LOG4J, ["shop"], {"loglevel": 30000, "loglevel_only": True})
        told = {"name": "shop", "loglevel": "WARN", "loglevel_only": True, "filter": ""}
        self.assertEqual(rule.describe(LOG4J), told)


class LevelTests(SynchronousTestCase):
    def test_names(self):
        for kind, text, number in (
            (JUL, "SEVERE", 1000),
            (JUL, "jul_config", 700),
            (JUL, "ALL", -(1 << 31)),
            (JUL, "OFF", (1 << 31) - 1),
            (LOG4J, "LOG4J_TRACE", 5000),
            (PYTHON, "WARNING", 30),
            (PYTHON, "PYTHON_NOTSET", 0),
            (PYTHON, "35", 35),
            (PYTHON, 35, 35),
            (JUL, "-5", -5),
        ):
            self.assertEqual(kind.level(text), number, text)
        for text in ("", "LOUD", "JUL_SEVERE", "1e3", 1 << 31, "--5", "²", "9" * 5000):
            self.assertRaises(CommandError, PYTHON.level, text)

    def test_numbers(self):
        self.assertEqual(PYTHON.level_name(30), "WARNING")
        self.assertEqual(PYTHON.level_name(35), "35")

    def test_places(self):
        self.assertEqual((JUL.channel, JUL.event), ("lttng_jul_channel", "lttng_jul:event"))
