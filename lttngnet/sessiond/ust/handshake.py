"""How far the daemon and an application have come.

    greeting ──welcome──▶ joining ──ready──▶ releasing ──released──▶ registered
        └─────spare─────▶ excused ──released──▶ excused
    any ──lost──▶ gone

Until it is released, the ``main()`` of the application waits (3 s at most, if its user says nothing else):
what is active is set up in *joining*, so that no event is missed. The machine knows no socket and no clock.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from automat import TypeMachineBuilder


class Registering(Protocol):
    """What becomes of an application that has registered."""

    def welcome(self) -> None:
        """Its tracer has said its version, and can be used here."""

    def spare(self) -> None:
        """Its tracer has said its version, and cannot be used here: other bits, or another byte order."""

    def ready(self) -> None:
        """Whoever is interested has set it up, or took too long."""

    def released(self) -> None:
        """It has heard that registration is done."""

    def lost(self, why: str) -> None:
        """It hung up, or made a mistake, or did not answer."""

    def name(self) -> str:
        """Return the name of the state."""


@dataclass
class Steps:
    """What the machine works with.

    Attributes:
        join: tells those who are interested of the application.
        release: tells the application that registration is done.
        leave: tells those who were told that it is gone, and why.
        forget: closes the sockets of one that nobody was told of, and says why in the log.
    """

    join: Callable[[], None]
    release: Callable[[], None]
    leave: Callable[[str], None]
    forget: Callable[[str], None]


builder = TypeMachineBuilder(Registering, Steps)
greeting = builder.state("greeting")
joining = builder.state("joining")
releasing = builder.state("releasing")
registered = builder.state("registered")
excused = builder.state("excused")
gone = builder.state("gone")


@greeting.upon(Registering.welcome).to(joining)
def join(application: Registering, steps: Steps) -> None:
    """Let everybody set up what is active."""
    steps.join()


@greeting.upon(Registering.spare).to(excused)
@joining.upon(Registering.ready).to(releasing)
def release(application: Registering, steps: Steps) -> None:
    """Let its ``main()`` run."""
    steps.release()


releasing.upon(Registering.released).to(registered).returns(None)
excused.upon(Registering.released).loop().returns(None)
for late in (releasing, registered):
    late.upon(Registering.ready).loop().returns(None)

for known in (joining, releasing, registered):

    @known.upon(Registering.lost).to(gone)
    def leave(application: Registering, steps: Steps, why: str) -> None:
        """Tell everybody."""
        steps.leave(why)


for unknown in (greeting, excused):

    @unknown.upon(Registering.lost).to(gone)
    def forget(application: Registering, steps: Steps, why: str) -> None:
        """Nobody knows of it."""
        steps.forget(why)


for ignored in (
    Registering.welcome,
    Registering.spare,
    Registering.ready,
    Registering.released,
    Registering.lost,
):
    gone.upon(ignored).loop().returns(None)

for state in (greeting, joining, releasing, registered, excused, gone):
    state.upon(Registering.name).loop().returns(state.name)


registering = builder.build()
