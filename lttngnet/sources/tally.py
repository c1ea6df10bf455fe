"""Counters of what a source handed on, channel by channel."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

COUNTERS = ("events", "packets", "bytes", "discarded", "lost")
"""What is counted, of a channel and of all of them."""


@dataclass(slots=True)
class Tally:
    """Of one channel.

    Attributes:
        events: handed on, where the source looks into packets.
        packets: handed on.
        bytes: of these packets.
        discarded: events for which there was no room.
        lost: packets that newer ones have overwritten.
    """

    events: int = 0
    packets: int = 0
    bytes: int = 0
    discarded: int = 0
    lost: int = 0


Tallies = defaultdict[str, Tally]
"""By the name of a channel; made when first asked for."""


def tallies() -> Tallies:
    """Return an empty one."""
    return defaultdict(Tally)


def facts(channels: Mapping[str, Tally]) -> dict[str, Any]:
    """Return what `lttngnet.interfaces.IPacketSource.facts` is to tell."""
    each = {name: asdict(tally) for name, tally in channels.items()}
    return total(each.values()) | {"channels": each}


def total(each: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Return the sums of counters; one that is not there is zero."""
    known = list(each)
    return {counter: sum(facts.get(counter, 0) for facts in known) for counter in COUNTERS}
