"""The machine of a tracing session: what may be asked of it, and when.

It only remembers. What is done lies with `lttngnet.sessiond.session.Session`, which asks the machine first
and tells it the outcome. What may not be asked in a state has no transition there.
"""

from dataclasses import dataclass
from typing import Protocol

from automat import TypeMachineBuilder


class Lifecycle(Protocol):
    """The inputs: what a client asks for, and what came of it."""

    def prepare(self) -> None:
        """A consumer template was set, or changed."""

    def propose(self) -> None:
        """A consumer template was set, or changed, beside the consumer, which goes on."""

    def enable(self) -> None:
        """Have a consumer ready for the template."""

    def enabled(self) -> None:
        """It is."""

    def refused(self) -> None:
        """It could not be had; the template stays."""

    def switch(self) -> None:
        """Have the consumer go over to what the template says, whatever else is done meanwhile."""

    def switched(self) -> None:
        """It has; where it has not, nothing has changed."""

    def mute(self) -> None:
        """The consumer stops consuming."""

    def unmute(self) -> None:
        """The consumer goes on consuming."""

    def start(self) -> None:
        """Trace."""

    def started(self) -> None:
        """Tracing has begun."""

    def stop(self) -> None:
        """Trace no more."""

    def stopped(self) -> None:
        """Everything recorded has arrived; or tracing could not begin."""

    def lose(self, why: str) -> None:
        """The consumer, or what it sends to, is gone."""

    def destroy(self) -> None:
        """Take the session down."""

    def name(self) -> str:
        """Return the state as users see it."""


@dataclass
class Memory:
    """What outlives a state.

    Attributes:
        muted: the consumer is disabled: it exists and consumes nothing.
        proposed: there is a template that the consumer was not made of.
        problem: why the consumer was lost, empty if it was not.
    """

    muted: bool = False
    proposed: bool = False
    problem: str = ""


builder = TypeMachineBuilder(Lifecycle, Memory)

created = builder.state("created")  # no output
prepared = builder.state("prepared")  # with a consumer template
enabling = builder.state("enabling")
enabled = builder.state("enabled")  # with a consumer
starting = builder.state("starting")
active = builder.state("active")
stopping = builder.state("stopping")
stopped = builder.state("stopped")
lost = builder.state("lost")  # the consumer is gone
destroyed = builder.state("destroyed")

STATES = (created, prepared, enabling, enabled, starting, active, stopping, stopped, lost, destroyed)

created.upon(Lifecycle.prepare).to(prepared).returns(None)
prepared.upon(Lifecycle.prepare).loop().returns(None)
prepared.upon(Lifecycle.enable).to(enabling).returns(None)
enabling.upon(Lifecycle.refused).to(prepared).returns(None)
starting.upon(Lifecycle.started).to(active).returns(None)
starting.upon(Lifecycle.stopped).to(stopped).returns(None)
active.upon(Lifecycle.stop).to(stopping).returns(None)
stopping.upon(Lifecycle.stopped).to(stopped).returns(None)

for with_consumer in (enabled, active, stopped):
    with_consumer.upon(Lifecycle.switch).loop().returns(None)

for at_rest in (enabled, stopped):
    at_rest.upon(Lifecycle.start).to(starting).returns(None)
    # The RFC: a URI set on a session that has a network consumer frees that one and makes a new template.
    at_rest.upon(Lifecycle.prepare).to(prepared).returns(None)
lost.upon(Lifecycle.prepare).to(prepared).returns(None)

# A template that is tried again after its consumer was lost.
lost.upon(Lifecycle.enable).to(enabling).returns(None)


@enabling.upon(Lifecycle.enabled).to(enabled)
def forget(lifecycle: Lifecycle, memory: Memory) -> None:
    """A new consumer starts with a clean slate."""
    memory.muted = False
    memory.proposed = False
    memory.problem = ""


@enabled.upon(Lifecycle.propose).loop()
@active.upon(Lifecycle.propose).loop()
@stopped.upon(Lifecycle.propose).loop()
def propose(lifecycle: Lifecycle, memory: Memory) -> None:
    """The old output stays in force until the consumer is enabled."""
    memory.proposed = True


@enabled.upon(Lifecycle.switched).loop()
@active.upon(Lifecycle.switched).loop()
@stopped.upon(Lifecycle.switched).loop()
def switched(lifecycle: Lifecycle, memory: Memory) -> None:
    """The consumer is that of the template now."""
    memory.proposed = False


@enabled.upon(Lifecycle.mute).loop()
@active.upon(Lifecycle.mute).loop()
@stopped.upon(Lifecycle.mute).loop()
def mute(lifecycle: Lifecycle, memory: Memory) -> None:
    """The consumer is disabled beside whatever the session does."""
    memory.muted = True


@enabled.upon(Lifecycle.unmute).loop()
@active.upon(Lifecycle.unmute).loop()
@stopped.upon(Lifecycle.unmute).loop()
def unmute(lifecycle: Lifecycle, memory: Memory) -> None:
    """The consumer is enabled again."""
    memory.muted = False


@enabling.upon(Lifecycle.lose).to(lost)
@enabled.upon(Lifecycle.lose).to(lost)
@starting.upon(Lifecycle.lose).to(lost)
@active.upon(Lifecycle.lose).to(lost)
@stopping.upon(Lifecycle.lose).to(lost)
@stopped.upon(Lifecycle.lose).to(lost)
def remember(lifecycle: Lifecycle, memory: Memory, why: str) -> None:
    """Keep the reason for whoever looks at the session."""
    memory.problem = why


# What was under way when the consumer was lost ends later, and changes nothing any more.
for outcome in (
    Lifecycle.enabled,
    Lifecycle.refused,
    Lifecycle.switched,
    Lifecycle.started,
    Lifecycle.stopped,
):
    lost.upon(outcome).loop().returns(None)
    destroyed.upon(outcome).loop().returns(None)

for state in (created, prepared, lost, destroyed):  # has no consumer: nothing to lose
    state.upon(Lifecycle.lose).loop().returns(None)

for state in STATES:
    state.upon(Lifecycle.name).loop().returns(state.name)
    if state is not destroyed:
        state.upon(Lifecycle.destroy).to(destroyed).returns(None)

lifecycle_machine = builder.build()
