"""The kinds of loggers, and the names that each has for its levels.

Source: lttng-enable-event(1) of LTTng 2.13; the levels sent without one were seen (``tests/captures/agent``).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from lttngnet.errors import Code, CommandError
from lttngnet.wire.agent import Domain

_LOWEST, _HIGHEST = -(1 << 31), (1 << 31) - 1
_DIGITS = 10  # of these; Python makes no integer of thousands of them


@dataclass(frozen=True)
class Kind:
    """Loggers of one kind.

    Attributes:
        name: as users say it.
        domain: as agents say it.
        levels: their names, the severest first. A higher number is more severe.
        floor: the level that agents are told where no level was asked for.
    """

    name: str
    domain: Domain
    levels: Mapping[str, int]
    floor: int = _LOWEST

    @property
    def channel(self) -> str:
        """The name of the channel of applications in which their records are; there is no other."""
        return f"lttng_{self.name}_channel"

    @property
    def event(self) -> str:
        """The tracepoint by which agents record."""
        return f"lttng_{self.name}:event"

    def level(self, text: str | int) -> int:
        """Return the number of a level, given by name, with or without ``PYTHON_`` before it, or by number.

        Raises:
            CommandError: there is no such level.
        """
        word = str(text).strip().upper().removeprefix(f"{self.name.upper()}_")
        if word in self.levels:
            return self.levels[word]
        digits = word.removeprefix("-")
        is_number = digits.isdecimal() and digits.isascii() and len(digits) <= _DIGITS
        if is_number and _LOWEST <= int(word) <= _HIGHEST:
            return int(word)
        names = ", ".join(self.levels)
        raise CommandError(
            Code.INVALID, f"no log level of {self.name}: {str(text)[:40]}; there are {names}, and numbers"
        )

    def level_name(self, number: int) -> str:
        """Return the name of a level, or its number as text."""
        return next((name for name, level in self.levels.items() if level == number), str(number))


PYTHON = Kind(
    "python",
    Domain.PYTHON,
    {"CRITICAL": 50, "ERROR": 40, "WARNING": 30, "WARN": 30, "INFO": 20, "DEBUG": 10, "NOTSET": 0},
    floor=10,
)
JUL = Kind(
    "jul",
    Domain.JUL,
    {
        "OFF": _HIGHEST,
        "SEVERE": 1000,
        "WARNING": 900,
        "INFO": 800,
        "CONFIG": 700,
        "FINE": 500,
        "FINER": 400,
        "FINEST": 300,
        "ALL": _LOWEST,
    },
)
LOG4J = Kind(
    "log4j",
    Domain.LOG4J,
    {
        "OFF": _HIGHEST,
        "FATAL": 50000,
        "ERROR": 40000,
        "WARN": 30000,
        "INFO": 20000,
        "DEBUG": 10000,
        "TRACE": 5000,
        "ALL": _LOWEST,
    },
)
KINDS = (PYTHON, JUL, LOG4J)
