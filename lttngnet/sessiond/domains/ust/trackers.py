"""Which processes are traced: for each attribute of a process, all values or some."""

import grp
import pwd
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lttngnet.errors import Code, CommandError
from lttngnet.sessiond.ust.application import ApplicationFacts

_MOST = (1 << 32) - 1
_DIGITS = 10  # of that; Python makes no integer of thousands of them

_ATTRIBUTE = {"pid": "pid", "vpid": "vpid", "uid": "vuid", "vuid": "vuid", "gid": "vgid", "vgid": "vgid"}
"""What each kind of ids means. Users and groups are those that we see: the kernel tells us of no other."""

_RESOLVE: dict[str, Callable[[str], int]] = {
    "vuid": lambda name: pwd.getpwnam(name).pw_uid,
    "vgid": lambda name: grp.getgrnam(name).gr_gid,
}
_NOUN = {"pid": "process", "vpid": "process", "vuid": "user", "vgid": "group"}


@dataclass
class Trackers:
    """The values that each attribute of a process may have, so that it is traced.

    Attributes:
        included: for ``pid``, ``vpid``, ``vuid``, ``vgid`` the numbers, each with what the user called it;
            None for all.
    """

    included: dict[str, dict[int, int | str] | None] = field(default_factory=lambda: dict.fromkeys(_NOUN))

    def track(self, kind: str, ids: Sequence[int | str]) -> None:
        """Include ids, and of the attribute no others than those included before; none means all.

        Raises:
            CommandError: there is no such kind, user or group.
        """
        attribute = _attribute(kind)
        named = {_number(attribute, each): each for each in ids}
        self.included[attribute] = (self.included[attribute] or {}) | named if named else None

    def untrack(self, kind: str, ids: Sequence[int | str]) -> None:
        """Include ids no more; none means that no process is traced.

        Raises:
            CommandError: there is no such kind, user or group; or one is not tracked by itself.
        """
        attribute = _attribute(kind)
        named = [_number(attribute, each) for each in ids]
        included = self.included[attribute]
        if not named:
            self.included[attribute] = {}
            return
        for number, called in zip(named, ids, strict=True):
            if included is None or number not in included:
                what = f"{_NOUN[attribute]} {called} is not tracked"
                whole = ": every one is" if included is None else ""
                raise CommandError(Code.PROCESS_ATTR_MISSING, f"{what} by itself{whole}")
        assert included is not None
        self.included[attribute] = {
            number: called for number, called in included.items() if number not in named
        }

    def includes(self, facts: ApplicationFacts) -> bool:
        """Tell whether a process is to be traced."""
        values = {"pid": facts.pid, "vpid": facts.vpid, "vuid": facts.uid, "vgid": facts.gid}
        return all(
            included is None or values[attribute] in included for attribute, included in self.included.items()
        )

    def describe(self) -> dict[str, list[int | str]]:
        """Return the ids of each attribute of which not all are traced."""
        return {
            attribute: list(included.values())
            for attribute, included in self.included.items()
            if included is not None
        }


def _attribute(kind: str) -> str:
    if kind not in _ATTRIBUTE:
        raise CommandError(Code.INVALID, f"user space tracks no {kind}; there are {', '.join(_ATTRIBUTE)}")
    return _ATTRIBUTE[kind]


def _number(attribute: str, named: int | str) -> int:
    if isinstance(named, str) and not (named.isdecimal() and len(named) <= _DIGITS):
        if attribute not in _RESOLVE:
            raise CommandError(Code.INVALID, f"the id of a process is a number, not {named[:40]!r}")
        try:
            return _RESOLVE[attribute](named)
        except (KeyError, ValueError):
            raise CommandError(
                Code.INVALID, f"there is no {_NOUN[attribute]} called {named[:40]!r}"
            ) from None
    number = int(named)
    if isinstance(named, bool) or not 0 <= number <= _MOST:
        raise CommandError(Code.INVALID, f"{named} is no {_NOUN[attribute]} id")
    return number
