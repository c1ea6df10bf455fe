"""Recording event rules: which tracepoints record, in the words of ``enable-event``, checked."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lttngnet.errors import Code, CommandError
from lttngnet.wire.codec import encode
from lttngnet.wire.ust import loglevels
from lttngnet.wire.ust.commands import EXCLUSIONS_LIMIT, NAME_SIZE, EventRule, LoglevelType

ALL = "*"
_KNOWN = frozenset(("all", "kind", "loglevel", "loglevel_only", "exclude", "filter"))
_KINDS = ("all", "tracepoint")


@dataclass(frozen=True, slots=True)
class Rule:
    r"""What records, and where it does not; two rules that say the same are one.

    Attributes:
        name: of tracepoints; ``*`` stands for anything, ``\*`` for itself.
        loglevel_type: whether ``loglevel`` counts: not, the level and graver ones, or the level alone.
        loglevel: -1 where it does not count.
        filter: an expression that has to hold, or empty.
        exclusions: names of tracepoints that are not meant; globs as well.
    """

    name: str
    loglevel_type: LoglevelType = LoglevelType.ALL
    loglevel: int = -1
    filter: str = ""
    exclusions: tuple[str, ...] = ()

    def to_event(self) -> EventRule:
        """Return what an application is told first of all."""
        return EventRule(self.name, self.loglevel_type, self.loglevel)

    def describe(self) -> dict[str, Any]:
        """Return it in the words of ``enable-event``."""
        level = None if self.loglevel_type is LoglevelType.ALL else loglevels.name(self.loglevel)
        return {
            "name": self.name,
            "loglevel": level,
            "loglevel_only": self.loglevel_type is LoglevelType.SINGLE,
            "filter": self.filter,
            "exclude": list(self.exclusions),
        }


def rules(names: Sequence[str], options: dict[str, Any]) -> list[Rule]:
    """Return the rules that ``enable-event`` means, one for each name.

    Args:
        names: of tracepoints, or globs.
        options: ``all``: every tracepoint; ``kind``: nothing but ``tracepoint``; ``loglevel``: that level and
            graver ones, by name or number; ``loglevel_only``: no other level than that; ``exclude``: names;
            ``filter``: an expression, which is not looked at here.

    Raises:
        CommandError: what is asked for is not possible.
    """
    for option, value in options.items():
        if value and option not in _KNOWN:
            raise CommandError(Code.NOT_SUPPORTED, f"events of user space have no option {option}")
    kind = options.get("kind") or "all"
    if kind not in _KINDS:
        raise CommandError(Code.NOT_SUPPORTED, f"user space has tracepoints only: there is no {kind}")
    names = [ALL] if options.get("all") else names
    if not names:
        raise CommandError(Code.INVALID, "no user-space event was named")
    how, level = _loglevel(options)
    expression, exclusions = options.get("filter") or "", _names(options.get("exclude") or ())
    if not isinstance(expression, str):
        raise CommandError(Code.INVALID, "a filter is an expression")
    if len(exclusions) > EXCLUSIONS_LIMIT:
        raise CommandError(Code.EXCLUSION_INVAL, f"at most {EXCLUSIONS_LIMIT} names can be excluded")
    wanted = [Rule(name, how, level, expression, exclusions) for name in _names(names)]
    for rule in wanted:
        _check_exclusions(rule)
    return list(dict.fromkeys(wanted))


def _names(names: Sequence[str]) -> tuple[str, ...]:
    """Return names of tracepoints, each once.

    Raises:
        CommandError: one cannot be.
    """
    for name in names:
        if not isinstance(name, str) or not name or "\0" in name or len(encode(name)) >= NAME_SIZE:
            raise CommandError(
                Code.INVALID_EVENT_NAME,
                f"the name of an event has 1 to {NAME_SIZE - 1} bytes: {str(name)[:40]!r}",
            )
    return tuple(dict.fromkeys(names))


def _loglevel(options: dict[str, Any]) -> tuple[LoglevelType, int]:
    wanted = options.get("loglevel")
    if wanted is None:
        return LoglevelType.ALL, -1
    try:
        level = loglevels.number(str(wanted))
    except ValueError as problem:
        raise CommandError(Code.INVALID, str(problem)) from None
    return LoglevelType.SINGLE if options.get("loglevel_only") else LoglevelType.RANGE, level


def _check_exclusions(rule: Rule) -> None:
    if not rule.exclusions:
        return
    if not re.search(r"(?<!\\)\*", rule.name):
        raise CommandError(
            Code.EXCLUSION_INVAL, f"only from a name with * can others be excluded: {rule.name} has none"
        )
    for exclusion in rule.exclusions:
        if _glob(exclusion).fullmatch(rule.name):
            raise CommandError(
                Code.EXCLUSION_INVAL, f"excluding {exclusion} leaves nothing of {rule.name} to record"
            )


def _glob(pattern: str) -> re.Pattern[str]:
    """Return what a glob matches, which may be another glob: all that the latter means, it means then."""
    parts = re.findall(r"\\.|\*|[^*\\]+|\\", pattern, re.DOTALL)
    return re.compile("".join(".*" if part == "*" else re.escape(part) for part in parts), re.DOTALL)
