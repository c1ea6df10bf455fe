"""What becomes of a trace when its relay daemon goes away."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from lttngnet.consumer.spool import LIMIT, Drop
from lttngnet.errors import Code, CommandError

OnLoss = Literal["stop", "hold", "local"]
WAYS: tuple[OnLoss, ...] = ("local", "hold", "stop")
DROPS: tuple[Drop, ...] = ("oldest", "newest")


@dataclass(frozen=True)
class Policy:
    """The policy of a session.

    Attributes:
        on_loss: ``stop`` tracing; ``hold`` what is recorded until the relay daemon is back; go on in a
            ``local`` folder.
        spool_size: bytes that are held at most.
        spool_drop: which packets give way then.
        folder: the local one; a number is added where it is taken.
    """

    on_loss: OnLoss = "stop"
    spool_size: int = LIMIT
    spool_drop: Drop = "oldest"
    folder: str = ""


def changed(policy: Policy, wanted: Mapping[str, Any], folder: str) -> Policy:
    """Return the policy with what is wanted of it.

    Args:
        policy: the present one.
        wanted: ``on_loss``, ``spool_size`` and ``spool_drop``, as far as they are to change.
        folder: the local one.

    Raises:
        CommandError: a value cannot be.
    """
    values = {name: value for name, value in wanted.items() if value is not None}
    size = values.get("spool_size", policy.spool_size)
    if not values.keys() <= {"on_loss", "spool_size", "spool_drop"}:
        raise CommandError(Code.INVALID, "what becomes of the trace when its relay is gone was said wrongly")
    if values.get("on_loss", policy.on_loss) not in WAYS:
        raise CommandError(Code.INVALID, "when the relay daemon is gone one may go on local, hold, or stop")
    if values.get("spool_drop", policy.spool_drop) not in DROPS:
        raise CommandError(Code.INVALID, "a spool drops what is oldest or newest")
    if type(size) is not int or not 0 < size < 1 << 63:
        raise CommandError(Code.INVALID, f"a spool of {size} bytes cannot be")
    return replace(policy, **values, folder=folder)
