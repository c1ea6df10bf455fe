"""Two daemons in turn, A B A B, and what the pairs say."""

import resource
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench import load, machine
from bench.cases import Case, Quantity
from bench.receivers import Receiver, ReceiverFailed

WARM_UP = 1  # pairs that are dropped: the first use of memory and files costs more than all others
TINY = 1e-9  # stands for nothing, where something is divided by it

Values = dict[str, Any]


def compare(
    quantities: Iterable[Quantity], pairs: int, genuine: Callable[[], Values], ours: Callable[[], Values]
) -> Values:
    """Measure both in turn, and return every value, the ratio of each pair, and their median.

    Args:
        quantities: that are compared.
        pairs: that count.
        genuine: measures the genuine one, once.
        ours: measures ours, once.
    """
    runs: list[tuple[Values, Values]] = []
    weather = []
    for number in range(WARM_UP + pairs):
        load_before = machine.load()
        pair = (_with_weather(genuine), _with_weather(ours))
        if number >= WARM_UP:
            runs.append(pair)
            weather.append({"load": load_before, "elsewhere": [side["elsewhere"] for side in pair]})
    return {
        "weather": weather,
        "quantities": [_judge(quantity, runs) for quantity in quantities],
    }


def _with_weather(measure: Callable[[], Values]) -> Values:
    """Measure, and tell how many processors worked for somebody else meanwhile."""
    began, busy, own = time.monotonic(), machine.busy(), _own_time()
    values = measure()
    elsewhere = machine.busy() - busy - (_own_time() - own) - values.get("daemon_s", 0.0)
    return values | {"elsewhere": round(max(0.0, elsewhere) / (time.monotonic() - began), 2)}


def _own_time() -> float:
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def _judge(quantity: Quantity, runs: list[tuple[Values, Values]]) -> Values:
    genuine, ours = ([_value(side, quantity.key) for side in sides] for sides in zip(*runs, strict=True))
    ratios = [mine / max(theirs, TINY) for theirs, mine in zip(genuine, ours, strict=True)]
    ratio, own = statistics.median(ratios), statistics.median(ours)
    judged = own if quantity.is_absolute else ratio
    limits = (
        quantity.least is None or judged >= quantity.least,
        quantity.most is None or judged <= quantity.most,
    )
    has_target = quantity.least is not None or quantity.most is not None
    return asdict(quantity) | {
        "genuine": genuine,
        "ours": ours,
        "ratios": ratios,
        "genuine_median": statistics.median(genuine),
        "ours_median": own,
        "ratio": ratio,
        "is_reached": all(limits) if has_target else None,
    }


def _value(values: Values, key: str) -> float:
    found: Any = values
    for part in key.split("."):
        found = found[part]
    return float(found)


def run(
    case: Case, pairs: int, is_quick: bool, program: Path, folder: Path, both: tuple[Receiver, Receiver]
) -> Values:
    """Compare two daemons in one case, both running at the same time.

    Args:
        case: to be measured.
        pairs: that count.
        is_quick: whether less of it will do.
        program: `relayload`.
        folder: to write to.
        both: the genuine daemon and ours.
    """
    amount = case.quick if is_quick and case.quick is not None else case.full
    is_load = bool(case.arguments or amount)

    def measure(receiver: Receiver, more: tuple[str, ...]) -> Values:
        if not is_load:
            return _start(receiver, folder)
        if case.is_fresh:
            receiver.start(folder)
        before = machine.used_by(receiver.pid)
        arguments = (*case.arguments, *amount, *more)
        measured = load.run(program, *receiver.options, f"--output={receiver.output}", *arguments)
        measured["daemon_s"] = machine.used_by(receiver.pid) - before
        if case.is_fresh:
            receiver.stop()
        else:
            receiver.tidy()
        return measured

    about = {"name": case.name, "title": case.title, "amount": " ".join((*case.arguments, *amount))}
    genuine, ours = both
    try:
        if is_load and not case.is_fresh:
            for receiver in both:
                receiver.start(folder)
        return about | compare(
            case.quantities, pairs, lambda: measure(genuine, ()), lambda: measure(ours, case.ours)
        )
    except (load.LoadFailed, ReceiverFailed) as problem:
        return about | {"problem": str(problem)}
    finally:
        for receiver in both:
            receiver.stop()


def _start(receiver: Receiver, folder: Path) -> Values:
    seconds = receiver.start(folder)
    receiver.stop()
    return {"listening_ms": seconds * 1000}
