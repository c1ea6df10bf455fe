"""What agents are told: bytes as the genuine daemon sends them, framing however the network cuts."""

import contextlib
import itertools
import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.errors import WireError
from lttngnet.wire import agent as wire
from tests import captures

FOLDER = Path(captures.__file__).parent / "agent"
NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=60)
LEVELS = st.integers(-(1 << 31), (1 << 31) - 1)
ORDERS = st.one_of(
    st.just(wire.ListLoggers()),
    st.just(wire.RegistrationDone()),
    st.builds(wire.Enable, LEVELS, st.integers(0, 2), NAMES, NAMES),
    st.builds(wire.Disable, NAMES),
    st.builds(wire.EnableContext, NAMES, NAMES),
    st.builds(wire.DisableContext, NAMES, NAMES),
)
ANSWERS = st.one_of(
    st.builds(wire.Answer, st.integers(0, 5)),
    st.builds(wire.Loggers, st.just(1), st.lists(NAMES, max_size=5).map(tuple)),
    st.builds(wire.Loggers, st.integers(2, 3)),
)


def cut(data, places):
    """Return the data in pieces."""
    bounds = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(bounds)]


def replayed(name):
    """Return (line, daemon's order, agent's answer) of each exchange of a capture."""
    waiting = None
    for entry in json.loads((FOLDER / f"{name}.json").read_text())["entries"]:
        if entry["dir"] == "s2c":
            if waiting is not None:
                yield waiting, None
            waiting = entry
        elif waiting is not None:
            yield waiting, bytes.fromhex(entry["hex"])
            waiting = None
    if waiting is not None:
        yield waiting, None


class CaptureTests(SynchronousTestCase):
    def test_registrations(self):
        for name in ("jul", "log4j", "python"):
            entries = json.loads((FOLDER / f"{name}.json").read_text())["entries"]
            data = bytes.fromhex(entries[0]["hex"])
            (registration,) = wire.Answers().feed(data)
            self.assertEqual(registration, wire.Registration(wire.Domain[name.upper()], 4242))
            self.assertEqual(registration.pack(), data)

    def test_orders(self):
        seen = set()
        for name in ("jul", "log4j", "python", "late"):
            orders = wire.Orders()
            for entry, _ in replayed(name):
                data = bytes.fromhex(entry["hex"])
                (said,) = orders.feed(data)
                self.assertEqual(wire.order(said), data)
                seen.add(type(said))
        self.assertEqual(len(seen), 6)

    def test_order_of_a_level(self):
        said = [wire.Orders().feed(bytes.fromhex(entry["hex"])) for entry, _ in replayed("log4j")]
        rules = [order for orders in said for order in orders if isinstance(order, wire.Enable)]
        self.assertIn(
            wire.Enable(30000, 1, "other*", '(logger_name == "other*") && (int_loglevel >= 30000)'), rules
        )
        self.assertIn(wire.Enable(-(1 << 31), 0, "*"), rules)

    def test_answers(self):
        for name in ("jul", "log4j", "python", "late"):
            answers = wire.Answers()
            list(answers.feed(wire.Registration(wire.Domain.PYTHON, 1).pack()))
            for entry, answer in replayed(name):
                (said,) = wire.Orders().feed(bytes.fromhex(entry["hex"]))
                answers.expect(said)
                if isinstance(said, wire.RegistrationDone):
                    self.assertIsNone(answer)
                elif isinstance(said, wire.ListLoggers):
                    self.assertEqual(list(answers.feed(answer)), [wire.Loggers(1, ("root", "a.b", "été"))])
                else:
                    self.assertEqual(list(answers.feed(answer)), [wire.Answer(1)])


class OrderTests(SynchronousTestCase):
    @given(st.lists(ORDERS, max_size=5), st.lists(st.integers(0, 10000), max_size=5))
    def test_any_cut(self, said, places):
        orders = wire.Orders()
        data = b"".join(map(wire.order, said))
        self.assertEqual([order for piece in cut(data, places) for order in orders.feed(piece)], said)

    @given(st.binary(max_size=600))
    def test_any_bytes(self, data):
        for number in range(8):
            with contextlib.suppress(WireError):
                list(wire.Orders().feed(wire.Header(len(data), number).pack() + data))

    def test_texts_that_do_not_fit(self):
        for said in (
            wire.Enable(0, 0, "x" * 256),
            wire.Enable(0, 0, "a\0b"),
            wire.Enable(0, 0, "a", "x" * wire.FILTER_LIMIT),
            wire.Disable("x" * 256),
            wire.EnableContext("x" * 256, "a"),
        ):
            self.assertRaises(WireError, wire.order, said)
        self.assertEqual(len(wire.order(wire.Disable("x" * 255))), 16 + 256)

    def test_too_long(self):
        self.assertRaises(WireError, list, wire.Orders().feed(wire.Header(wire.ORDER_LIMIT + 1, 2).pack()))


class AnswerTests(SynchronousTestCase):
    def answers(self, *expected):
        answers = wire.Answers()
        list(answers.feed(wire.Registration(5, 1).pack()))
        for said in expected:
            answers.expect(said)
        return answers

    @given(st.lists(ANSWERS, max_size=5), st.lists(st.integers(0, 10000), max_size=5))
    def test_any_cut(self, said, places):
        answers = wire.Answers()
        registration = wire.Registration(3, 7)
        for answer in said:
            answers.expect(wire.ListLoggers() if isinstance(answer, wire.Loggers) else wire.Disable(""))
        data = b"".join(part.pack() for part in (registration, *said))
        heard = [answer for piece in cut(data, places) for answer in answers.feed(piece)]
        self.assertEqual(heard, [registration, *said])

    @given(st.binary(max_size=200), st.lists(ORDERS, max_size=3))
    def test_any_bytes(self, data, said):
        with contextlib.suppress(WireError):
            list(self.answers(*said).feed(data))

    def test_not_asked_for(self):
        self.assertRaises(WireError, list, self.answers().feed(b"\0"))
        self.assertRaises(WireError, list, self.answers(wire.RegistrationDone()).feed(b"\0\0\0\1"))
        self.assertRaises(WireError, list, self.answers(wire.Disable("a")).feed(b"\0\0\0\1\0"))

    def test_strangers(self):
        for facts in ((6, 1), (0, 1), (5, 1, 1), (5, 1, 2, 1)):
            self.assertRaises(WireError, list, wire.Answers().feed(wire.Registration(*facts).pack()))

    def test_names_that_are_not_as_announced(self):
        for head, names in ((3, b"a\0b\0"), (1, b"a\0b\0"), (1, b"ab"), (0, b"a\0")):
            data = b"\0\0\0\1" + len(names).to_bytes(4) + head.to_bytes(4) + names
            self.assertRaises(WireError, list, self.answers(wire.ListLoggers()).feed(data))

    def test_too_many_names(self):
        data = b"\0\0\0\1" + (wire.LIST_LIMIT + 1).to_bytes(4) + b"\0\0\0\1"
        self.assertRaises(WireError, list, self.answers(wire.ListLoggers()).feed(data))
        self.assertRaises(WireError, wire.Loggers(1, ("x" * (wire.LIST_LIMIT - 1), "a")).pack)
