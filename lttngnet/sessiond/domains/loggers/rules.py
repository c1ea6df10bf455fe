"""Recording event rules of loggers: what users ask for, checked, and the filter that tracers get for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lttngnet import filters
from lttngnet.errors import Code, CommandError
from lttngnet.sessiond.domains.loggers.kinds import Kind
from lttngnet.wire import agent, records
from lttngnet.wire.agent import NAME_SIZE, LevelType
from lttngnet.wire.codec import encode

ALL = "*"
_KNOWN = frozenset(("all", "kind", "loglevel", "loglevel_only", "filter"))


@dataclass(frozen=True, slots=True)
class LoggerRule:
    r"""What is recorded; two rules that say the same are one.

    Attributes:
        name: of loggers; ``*`` stands for anything, ``\*`` for itself.
        level_type: whether ``level`` counts: not, the level and severer ones, or the level alone.
        level: 0 where it does not count.
        filter: an expression that has to hold as well, or empty.
    """

    name: str
    level_type: LevelType = LevelType.ALL
    level: int = 0
    filter: str = ""

    @property
    def expression(self) -> str:
        """All that has to hold, in the words in which the genuine client puts it; empty for everything."""
        whole = self.filter
        if self.name != ALL:
            whole = _joined(whole, f'logger_name == "{self.name}"')
        if self.level_type is not LevelType.ALL:
            operator = "==" if self.level_type is LevelType.SINGLE else ">="
            whole = _joined(whole, f"int_loglevel {operator} {self.level}")
        return whole

    def to_agent(self, kind: Kind) -> agent.Enable:
        """Return what an agent is told."""
        level = kind.floor if self.level_type is LevelType.ALL else self.level
        return agent.Enable(level, self.level_type, self.name, self.expression)

    def to_program(self) -> records.Rule:
        """Return what a program with `lttngnet.logs` is told."""
        return records.Rule(self.name, self.level, self.level_type is LevelType.SINGLE, self.filter)

    def describe(self, kind: Kind) -> dict[str, Any]:
        """Return it in the words of ``enable-event``."""
        return {
            "name": self.name,
            "loglevel": None if self.level_type is LevelType.ALL else kind.level_name(self.level),
            "loglevel_only": self.level_type is LevelType.SINGLE,
            "filter": self.filter,
        }


def _joined(left: str, right: str) -> str:
    return f"({left}) && ({right})" if left else right


def rules(kind: Kind, names: Sequence[str], options: dict[str, Any]) -> list[LoggerRule]:
    """Return the rules that ``enable-event`` means, one for each name.

    Args:
        kind: of the loggers.
        names: of loggers, or globs.
        options: ``all``: every logger; ``kind``: nothing but ``tracepoint``; ``loglevel``: that level and
            severer ones, by name or number; ``loglevel_only``: no other level than that; ``filter``: an
            expression.

    Raises:
        CommandError: what is asked for is not possible.
    """
    for option, value in options.items():
        if value and option not in _KNOWN:
            raise CommandError(Code.NOT_SUPPORTED, f"{kind.name} events have no option {option}")
    if (options.get("kind") or "all") not in ("all", "tracepoint"):
        raise CommandError(Code.NOT_SUPPORTED, f"{kind.name} has loggers only: there is no {options['kind']}")
    names = [ALL] if options.get("all") else names
    if not names:
        raise CommandError(Code.INVALID, f"no {kind.name} event was named")
    how, level = LevelType.ALL, 0
    if options.get("loglevel") is not None:
        how = LevelType.SINGLE if options.get("loglevel_only") else LevelType.RANGE
        level = kind.level(options["loglevel"])
    expression = options.get("filter") or ""
    if not isinstance(expression, str):
        raise CommandError(Code.INVALID, "a filter is an expression")
    if expression:
        filters.parse(expression)
    wanted = [LoggerRule(_checked(name), how, level, expression) for name in names]
    for rule in wanted:
        if rule.expression:
            filters.compile(rule.expression)
    return list(dict.fromkeys(wanted))


def _checked(name: Any) -> str:
    problem = CommandError(Code.INVALID_EVENT_NAME, f"not the name of a logger: {str(name)[:40]!r}")
    if not isinstance(name, str) or not name or "\0" in name or len(encode(name)) >= NAME_SIZE:
        raise problem
    try:
        said = filters.parse(f'logger_name == "{name}"')
    except CommandError:
        raise problem from None
    if said != _named(name):  # with quotation marks in it, it says anything
        raise problem
    return name


def _named(name: str) -> filters.Expression:
    logger_name = filters.Reference(filters.Root.PAYLOAD, ("logger_name",))
    return filters.Binary(filters.Infix.EQUAL, logger_name, filters.Text(name))
