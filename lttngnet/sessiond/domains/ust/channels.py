"""What a session wants of applications: its channels, and in each the rules and contexts users asked for.

Nothing is done here: applications and consumer process are brought in line with it afterwards. What is
refused changes nothing.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from lttngnet import filters
from lttngnet.errors import Code, CommandError
from lttngnet.filters import Bytecode
from lttngnet.sessiond.domains.ust.attributes import Attributes, Scheme, attributes, check_name, scheme
from lttngnet.sessiond.domains.ust.contexts import context
from lttngnet.sessiond.domains.ust.rules import Rule, rules
from lttngnet.wire.ust.commands import Context

DEFAULT = "channel0"
"""The channel that is made where none was named, and there is none."""

_REMEMBERED = 64  # rules that are switched again and again are remembered that often


@dataclass
class Channel:
    """A channel.

    Attributes:
        name: unique in the session.
        stream_class: its number, in packets and metadata of every trace of the session.
        attributes: of its buffers.
        enabled: whether it records.
        is_lent: it was made for another domain (see `Channels.lend`).
        is_optional: that domain can do without it.
        contexts: what every event of it carries, by the user's names.
        rules: what records in it, and whether it does so now; changed by `switch` alone.
        bytecode: of the rules that have a filter.
    """

    name: str
    stream_class: int
    attributes: Attributes
    enabled: bool = True
    is_lent: bool = False
    is_optional: bool = False
    contexts: dict[str, Context] = field(default_factory=dict)
    rules: dict[Rule, bool] = field(default_factory=dict)
    bytecode: dict[Rule, Bytecode] = field(default_factory=dict)
    _news: list[Rule] = field(default_factory=list)  # those that were switched lately, in order
    _before: int = 0  # how many were before them

    def switch(self, rules: Iterable[Rule], on: bool) -> None:
        """Let rules record from now on, or no more."""
        for rule in rules:
            if self.rules.get(rule) is not on:
                self.rules[rule] = on
                self._news.append(rule)
        if len(self._news) > 2 * len(self.rules) + _REMEMBERED:
            self._before += len(self._news)
            self._news.clear()

    def news(self, since: int) -> tuple[Sequence[Rule], int]:
        """Return the rules that were switched since some time, and what to call the present time.

        Args:
            since: as a call before has called it; 0 for the beginning.
        """
        if since < self._before:
            return tuple(self.rules), self._before + len(self._news)
        return self._news[since - self._before :], self._before + len(self._news)

    def count(self, since: int) -> int:
        """Return how many those are."""
        return len(self.rules) if since < self._before else self._before + len(self._news) - since

    def describe(self) -> dict[str, Any]:
        """Return it in the words of ``enable-channel`` and ``enable-event``; ``lent``: by `Channels.lend`."""
        limits = {name: getattr(self.attributes, name) for name in Attributes.__slots__}
        rules = {} if self.is_lent else self.rules  # those are the other domain's
        return {
            "name": self.name,
            "enabled": self.enabled,
            "lent": self.is_lent,
            **limits,
            "contexts": list(self.contexts),
            "events": [rule.describe() | {"enabled": enabled} for rule, enabled in rules.items()],
        }


class Channels:
    """All channels of a session, in the order in which they were made.

    Attributes:
        buffers: the scheme that all of them have.
        is_fixed: tracing was started once: no channel and no context can be added any more, for what is
            recorded has its form.
    """

    def __init__(self, session: str) -> None:
        self.buffers: Scheme = "uid"
        self.is_fixed = False
        self._session = session
        self._channels: dict[str, Channel] = {}

    def __iter__(self) -> Iterator[Channel]:
        return iter(self._channels.values())

    def __len__(self) -> int:
        return len(self._channels)

    def enable(self, name: str, options: dict[str, Any]) -> None:
        """Make a channel, or enable it again, its attributes unchanged.

        Raises:
            CommandError: it is enabled; it cannot be made so, or not any more.
        """
        if (known := self._channels.get(name)) is None:
            self._add(self._new(name, options))
        elif known.enabled:
            raise CommandError(Code.UST_CHAN_EXIST, f"there is a user-space channel {name} already")
        else:
            known.enabled = True

    def disable(self, name: str) -> None:
        """Let a channel record no more.

        Raises:
            CommandError: it is not there.
        """
        self._get(name).enabled = False

    def enable_rules(self, name: str, names: Sequence[str], options: dict[str, Any]) -> list[str]:
        """Add rules, or enable them again, in a channel that is made if need be; return their names.

        Args:
            name: of the channel; empty for the default one, if there is no other.
            names: of events.
            options: see `lttngnet.sessiond.domains.ust.rules.rules`.

        Raises:
            CommandError: they are not possible; or there is nothing new in them.
        """
        wanted = rules(names, options)
        bytecode = filters.compile(wanted[0].filter) if wanted[0].filter else None
        channel = self._channels.get(name) or self._new(name or self._default(), {})
        if all(channel.rules.get(rule) for rule in wanted):
            same = ", ".join(rule.name for rule in wanted)
            raise CommandError(
                Code.UST_EVENT_ENABLED,
                f"user-space event {same} is enabled already in channel {channel.name}",
            )
        if bytecode is not None:
            channel.bytecode.update(dict.fromkeys(wanted, bytecode))
        channel.switch(wanted, True)
        self._add(channel)
        return [rule.name for rule in wanted]

    def lend(self, name: str, event: str, expressions: Sequence[str], is_optional: bool) -> None:
        """Let a channel record a tracepoint for another domain, where one of some filters holds.

        Args:
            name: of the channel, which is made if need be.
            event: name of the tracepoint; what it recorded before counts no more.
            expressions: the filters; an empty one always holds.
            is_optional: the other domain can do without it.

        Raises:
            CommandError: the channel cannot be made any more; a filter is none.
        """
        wanted = {Rule(event, filter=expression): expression for expression in expressions}
        bytecode = {rule: filters.compile(each) for rule, each in wanted.items() if each}
        channel = self._channels.get(name)
        if channel is None:
            if self.is_fixed:
                raise CommandError(
                    Code.TRACE_ALREADY_STARTED,
                    f"{event} needs the user-space channel {name}, which session {self._session} cannot get "
                    "any more, since it was started: enable such events before the first start, or in "
                    "another session",
                )
            channel = self._new(name, {})
            channel.is_lent, channel.is_optional = True, is_optional
        gone = [rule for rule in channel.rules if rule.name == event and rule not in wanted]
        channel.bytecode.update(bytecode)
        channel.switch(gone, False)
        channel.switch(wanted, True)
        self._add(channel)

    @property
    def are_used(self) -> bool:
        """Whether there is anything to record, now or later: a channel that was lent has to have a rule."""
        return any(not channel.is_lent or any(channel.rules.values()) for channel in self)

    @property
    def are_optional(self) -> bool:
        """Whether nobody needs them."""
        return all(channel.is_optional for channel in self)

    def disable_rules(self, name: str, names: Sequence[str]) -> list[str]:
        """Let rules record no more: all that have one of the names, or all at all; return the names.

        Raises:
            CommandError: the channel, or a name, is not there.
        """
        channel = self._get(name or DEFAULT)
        known = {rule.name for rule in channel.rules}
        for each in names:
            if each not in known:
                raise CommandError(
                    Code.UST_EVENT_NOT_FOUND,
                    f"user-space event {each} was not enabled in channel {channel.name}",
                )
        gone = [rule for rule in channel.rules if not names or rule.name in names]
        channel.switch(gone, False)
        return list(dict.fromkeys(rule.name for rule in gone))

    def add_contexts(self, name: str, names: Sequence[str]) -> None:
        """Let the events of a channel, or with an empty name of every channel, carry more.

        Raises:
            CommandError: a context is unknown, cannot be had, or is there already; tracing was started once.
        """
        wanted = {each: context(each) for each in names}
        if not wanted:
            raise CommandError(Code.INVALID, "no context was named")
        if self.is_fixed:
            raise CommandError(
                Code.TRACE_ALREADY_STARTED,
                f"contexts cannot be added to session {self._session}: it was started once",
            )
        chosen = [self._get(name)] if name else list(self) or [self._new(DEFAULT, {})]
        for each in wanted:
            if all(each in channel.contexts for channel in chosen):
                where = " and ".join(channel.name for channel in chosen)
                raise CommandError(Code.UST_CONTEXT_EXIST, f"context {each} is there already, in {where}")
        for channel in chosen:
            self._add(channel)
            channel.contexts.update(wanted)

    def describe(self) -> list[dict[str, Any]]:
        """Return all of them in the users' words."""
        return [channel.describe() for channel in self]

    def _get(self, name: str) -> Channel:
        try:
            return self._channels[name]
        except KeyError:
            raise CommandError(
                Code.UST_CHAN_NOT_FOUND, f"session {self._session} has no user-space channel {name!r}"
            ) from None

    def _default(self) -> str:
        others = [name for name in self._channels if name != DEFAULT]
        if others:
            raise CommandError(
                Code.NEED_CHANNEL_NAME, f"say which channel: there is {' and '.join(others)} as well"
            )
        return DEFAULT

    def _new(self, name: str, options: dict[str, Any]) -> Channel:
        """Return a channel that is not among ours yet."""
        if name in self._channels:
            return self._channels[name]
        check_name(name)
        if self.is_fixed:
            raise CommandError(
                Code.TRACE_ALREADY_STARTED,
                f"channel {name} cannot be added to session {self._session}: it was started once",
            )
        wanted = scheme(options)
        if wanted not in (None, self.buffers) and self._channels:
            raise CommandError(
                Code.BUFFER_TYPE_MISMATCH,
                f"the channels of session {self._session} have --buffers-{self.buffers}: all or none",
            )
        limits = attributes(options, wanted or self.buffers)
        self.buffers = wanted or self.buffers
        return Channel(name, len(self._channels), limits)

    def _add(self, channel: Channel) -> None:
        self._channels[channel.name] = channel
