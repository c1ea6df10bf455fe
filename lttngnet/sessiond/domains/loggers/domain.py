"""A domain of loggers in one session: its rules, which are told to all who can record."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Protocol

from zope.interface import implementer

from lttngnet.errors import Code, CommandError
from lttngnet.interfaces import ICourier, IDomain
from lttngnet.sessiond.domains.loggers.kinds import Kind
from lttngnet.sessiond.domains.loggers.rules import LoggerRule, rules
from lttngnet.sessiond.domains.plain import Plain
from lttngnet.sessiond.domains.ust.traces import KIND as USERSPACE


class Recorder(Protocol):
    """One way of recording what loggers log, for one session."""

    async def want(self, rules: tuple[LoggerRule, ...]) -> None:
        """Record what these rules mean, and nothing else.

        Raises:
            CommandError: that is not possible; then nothing has changed.
        """

    async def add_contexts(self, names: Sequence[str]) -> None:
        """Let every event carry more fields, where that can be done.

        Raises:
            CommandError: it cannot.
        """

    async def attach(self, courier: ICourier) -> None:
        """See `IDomain`."""

    async def start(self) -> None:
        """See `IDomain`."""

    async def stop(self) -> None:
        """See `IDomain`."""

    async def destroy(self) -> None:
        """See `IDomain`."""

    async def regenerate_metadata(self) -> None:
        """Have the metadata of a trace of its own written anew, if it has one.

        Raises:
            CommandError: it cannot be.
        """

    def describe(self) -> dict[str, Any]:
        """Return more that `IDomain.describe` is to tell."""


@implementer(IDomain)
class LoggerDomain(Plain):
    """What a session wants of loggers of one kind.

    There is one channel. As with the genuine tools, what users call it does not matter.

    Args:
        kind: of the loggers.
        recorders: at least one; only the first may refuse what is wanted.
    """

    def __init__(self, kind: Kind, recorders: Sequence[Recorder]) -> None:
        self.name = kind.name
        self._kind = kind
        self._recorders = recorders
        self._rules: dict[LoggerRule, None] = {}

    async def enable_events(self, channel: str, names: Sequence[str], options: dict[str, Any]) -> list[str]:
        """See `IDomain`; an event with another level or filter is another event.

        Args:
            channel: the one that there is.
            names: of loggers; ``*`` stands for any text.
            options: see `lttngnet.sessiond.domains.loggers.rules.rules`.
        """
        wanted = rules(self._kind, names, options)
        if all(rule in self._rules for rule in wanted):
            same = ", ".join(rule.name for rule in wanted)
            raise CommandError(Code.UST_EVENT_ENABLED, f"{self.name} event {same} is enabled already")
        await self._want(self._rules | dict.fromkeys(wanted))
        return [rule.name for rule in wanted]

    async def disable_events(self, channel: str, names: Sequence[str]) -> list[str]:
        """See `IDomain`; names are those that were enabled, each with all its levels and filters."""
        known = {rule.name for rule in self._rules}
        for name in names:
            if name not in known:
                raise CommandError(Code.UST_EVENT_NOT_FOUND, f"{self.name} event {name} is not enabled")
        gone = [rule for rule in self._rules if not names or rule.name in names]
        await self._want({rule: None for rule in self._rules if rule not in gone})
        return list(dict.fromkeys(rule.name for rule in gone))

    async def enable_channel(self, channel: str, options: dict[str, Any]) -> None:
        """See `IDomain`: it has the one that user space has for it."""
        self._refuse(
            f"its channel is {self._kind.channel} of user space; to choose its buffers, enable-channel -u "
            f"{self._kind.channel} before the first event"
        )

    async def disable_channel(self, channel: str) -> None:
        """See `IDomain`."""
        self._refuse(
            f"its channel is {self._kind.channel} of user space: disable its events, or "
            f"disable-channel -u {self._kind.channel}"
        )

    async def add_contexts(self, channel: str, names: Sequence[str]) -> None:
        """See `IDomain`; the first recorder decides, those behind it do what they can."""
        first, *others = self._recorders
        await first.add_contexts(names)
        for recorder in others:
            with suppress(CommandError):
                await recorder.add_contexts(names)

    async def regenerate(self, what: str) -> None:
        """See `IDomain`: there is only metadata."""
        if what != "metadata":
            await super().regenerate(what)
        for recorder in self._recorders:
            await recorder.regenerate_metadata()

    def is_empty(self) -> bool:
        """See `IDomain`."""
        return not self._rules

    async def attach(self, courier: ICourier) -> None:
        """See `IDomain`."""
        for recorder in self._recorders:
            await recorder.attach(courier)

    async def start(self) -> None:
        """See `IDomain`."""
        for recorder in self._recorders:
            await recorder.start()

    async def stop(self) -> None:
        """See `IDomain`."""
        for recorder in self._recorders:
            await recorder.stop()

    async def destroy(self) -> None:
        """See `IDomain`."""
        self._rules = {}
        for recorder in self._recorders:
            await recorder.destroy()

    def describe(self) -> dict[str, Any]:
        """See `IDomain`; also how many programs of each sort are there."""
        events = [rule.describe(self._kind) for rule in self._rules]
        channel = {"name": self._kind.channel, "events": events, "sources": [self.name, USERSPACE]}
        channels = [channel] if events else []
        return {"channels": channels} | {
            name: fact for recorder in self._recorders for name, fact in recorder.describe().items()
        }

    async def _want(self, wanted: dict[LoggerRule, None]) -> None:
        for recorder in self._recorders:
            await recorder.want(tuple(wanted))
        self._rules = wanted
