"""The machine of an agent's connection: what may come next."""

from dataclasses import dataclass
from typing import Protocol

from automat import TypeMachineBuilder

from lttngnet.wire.agent import Registration


class Conversation(Protocol):
    """The inputs: what the agent says, and what we decide."""

    def introduce(self, registration: Registration) -> None:
        """The agent says who it is."""

    def settle(self) -> None:
        """Everything that is enabled was told: its program need not wait any longer."""

    def give_up(self, why: str) -> None:
        """We want no more of it: it makes no sense, or says nothing."""

    def lost(self) -> None:
        """The connection is over."""


class Peer(Protocol):
    """What the machine works with: the connection."""

    def welcome(self, registration: Registration) -> None:
        """Say what is enabled, then call `Conversation.settle`."""

    def release(self) -> None:
        """Let its program go on."""

    def leave(self) -> None:
        """Let nobody give it orders any more; those under way have failed."""

    def hang_up(self, why: str) -> None:
        """Close the connection."""


@dataclass
class Core:
    """What outlives a state."""

    peer: Peer


builder = TypeMachineBuilder(Conversation, Core)

connected = builder.state("connected")
registered = builder.state("registered")
done = builder.state("done")
closed = builder.state("closed")


@connected.upon(Conversation.introduce).to(registered)
def welcome(conversation: Conversation, core: Core, registration: Registration) -> None:
    """From now on it can be given orders."""
    core.peer.welcome(registration)


@registered.upon(Conversation.settle).to(done)
def release(conversation: Conversation, core: Core) -> None:
    """Its program waits for this."""
    core.peer.release()


@connected.upon(Conversation.give_up).to(closed)
def hang_up(conversation: Conversation, core: Core, why: str) -> None:
    """Nobody knows it yet."""
    core.peer.hang_up(why)


@registered.upon(Conversation.give_up).to(closed)
@done.upon(Conversation.give_up).to(closed)
def dismiss(conversation: Conversation, core: Core, why: str) -> None:
    """Close it first: who hears that it left may look whether it is still there."""
    core.peer.hang_up(why)
    core.peer.leave()


@registered.upon(Conversation.lost).to(closed)
@done.upon(Conversation.lost).to(closed)
def leave(conversation: Conversation, core: Core) -> None:
    """Its program has ended, or will come again."""
    core.peer.leave()


connected.upon(Conversation.lost).to(closed).returns(None)

# What was under way when it closed.
closed.upon(Conversation.settle).loop().returns(None)
closed.upon(Conversation.give_up).loop().returns(None)
closed.upon(Conversation.lost).loop().returns(None)

conversation_machine = builder.build()
