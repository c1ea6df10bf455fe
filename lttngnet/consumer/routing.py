"""The machine of a route: what becomes of the packets that sources hand on.

It only decides. What is done with packets lies with `lttngnet.consumer.route.Route`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from automat import TypeMachineBuilder


class Routing(Protocol):
    """What can happen to a route."""

    def drop(self) -> None:
        """The consumer is disabled: let packets go, and count them."""

    def hold(self) -> None:
        """Keep packets: the consumer is disabled with that wish, or there is no sink for now."""

    def go_on(self) -> None:
        """Hand on what was kept, and then what comes."""

    def caught_up(self) -> None:
        """Nothing is kept any more."""

    def end(self) -> None:
        """Hand on nothing more."""

    def name(self) -> str:
        """Return the state."""


@dataclass
class Ways:
    """What the machine can do.

    Attributes:
        send: let packets go to the sink from now on.
        lose: let them be counted, and nothing else.
        keep: let them go to the end of the spool.
        ignore: let them be nobody's.
        deliver: begin to empty the spool into the sink; `Routing.caught_up` says when that is done.
        rest: leave the spool as it is.
    """

    send: Callable[[], None]
    lose: Callable[[], None]
    keep: Callable[[], None]
    ignore: Callable[[], None]
    deliver: Callable[[], None]
    rest: Callable[[], None]


builder = TypeMachineBuilder(Routing, Ways)

direct = builder.state("direct")
dropping = builder.state("dropping")
holding = builder.state("holding")
catching_up = builder.state("catching up")
over = builder.state("over")

STATES = (direct, dropping, holding, catching_up, over)


@direct.upon(Routing.drop).to(dropping)
@holding.upon(Routing.drop).to(dropping)
@catching_up.upon(Routing.drop).to(dropping)
def drop(routing: Routing, ways: Ways) -> None:
    """What is in the spool stays there: it comes before what is lost."""
    ways.rest()
    ways.lose()


@direct.upon(Routing.hold).to(holding)
@dropping.upon(Routing.hold).to(holding)
@catching_up.upon(Routing.hold).to(holding)
def hold(routing: Routing, ways: Ways) -> None:
    """Packets go behind those that are in the spool."""
    ways.rest()
    ways.keep()


@dropping.upon(Routing.go_on).to(catching_up)
@holding.upon(Routing.go_on).to(catching_up)
def catch_up(routing: Routing, ways: Ways) -> None:
    """In order: what comes now goes behind what was kept."""
    ways.keep()
    ways.deliver()


@catching_up.upon(Routing.caught_up).to(direct)
def be_direct(routing: Routing, ways: Ways) -> None:
    """The spool is empty."""
    ways.send()


@direct.upon(Routing.end).to(over)
@dropping.upon(Routing.end).to(over)
@holding.upon(Routing.end).to(over)
@catching_up.upon(Routing.end).to(over)
def end(routing: Routing, ways: Ways) -> None:
    """Whatever still comes is too late."""
    ways.rest()
    ways.ignore()


for state, again in (
    (dropping, Routing.drop),
    (holding, Routing.hold),
    (direct, Routing.go_on),
    (catching_up, Routing.go_on),
):
    state.upon(again).loop().returns(None)

for late in (Routing.drop, Routing.hold, Routing.go_on, Routing.end):
    over.upon(late).loop().returns(None)

for state in STATES:
    state.upon(Routing.name).loop().returns(state.name)

# Only who is catching up can have caught up: what is not said here is a defect.

routing_machine = builder.build()
