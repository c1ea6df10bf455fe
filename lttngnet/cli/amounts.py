"""Sizes, times and counts as ``lttng`` takes them: ``512k``, ``1M``; ``200``, ``1500us``, ``1s``."""

import re
from typing import Any

import click

_SIZES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_TIMES = {"": 1, "us": 1, "ms": 1000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000}
_AMOUNT = re.compile(r"(0x[0-9a-f]{1,16}|[0-9]{1,20})([a-z]*)", re.IGNORECASE)  # what 64 bits may hold


class Amount(click.ParamType[int]):
    """A number with a unit behind it, read as the smallest unit.

    Args:
        name: shown where the value is missing.
        units: what each suffix multiplies by, in lower case.
        example: of what can be said.
        words: numbers that have a name of their own.
    """

    def __init__(
        self, name: str, units: dict[str, int], example: str, words: dict[str, int] | None = None
    ) -> None:
        self.name = name
        self._units = units
        self._example = example
        self._words = words or {}

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read the text of an option."""
        if isinstance(value, int):
            return value
        if value in self._words:
            return self._words[value]
        found = _AMOUNT.fullmatch(value)
        if found is None or found[2].lower() not in self._units:
            self.fail(f"{value!r} is not a {self.name}: say something like {self._example}", param, ctx)
        return int(found[1], 0 if found[1].lower().startswith("0x") else 10) * self._units[found[2].lower()]


SIZE = Amount("size", _SIZES, "65536, 512k or 4M")
"""Bytes."""

PERIOD = Amount("time", _TIMES, "200000, 200ms or 1s")
"""Microseconds."""

TIMEOUT = Amount("time", _TIMES, "100, 1ms or inf", {"inf": -1})
"""Microseconds; -1 for ever."""

COUNT = click.IntRange(min=0)
