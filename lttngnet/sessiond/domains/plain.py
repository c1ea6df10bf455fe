"""What a domain that lacks a verb answers."""

from collections.abc import Sequence
from typing import Any, NoReturn

from lttngnet.errors import Code, CommandError


class Plain:
    """The verbs of `IDomain` that not every tracer can do: a domain overrides those that it can.

    Each raises `CommandError`, NOT_SUPPORTED; but for those that everybody is told of.
    """

    name: str

    async def detach(self) -> None:
        """See `IDomain`: there is nothing to let go of."""

    async def enable_channel(self, channel: str, options: dict[str, Any]) -> None:
        """See `IDomain`."""
        self._refuse("its channel is made with its first event: there is none to make by hand")

    async def disable_channel(self, channel: str) -> None:
        """See `IDomain`."""
        self._refuse("its channels cannot be disabled: disable their events")

    async def add_contexts(self, channel: str, names: Sequence[str]) -> None:
        """See `IDomain`."""
        self._refuse("its events have no contexts to add")

    async def track(self, kind: str, ids: Sequence[int | str]) -> None:
        """See `IDomain`."""
        self._refuse("it traces all processes")

    async def untrack(self, kind: str, ids: Sequence[int | str]) -> None:
        """See `IDomain`."""
        self._refuse("it traces all processes")

    async def regenerate(self, what: str) -> None:
        """See `IDomain`."""
        self._refuse(f"it has no {what} to regenerate")

    def _refuse(self, why: str) -> NoReturn:
        raise CommandError(Code.NOT_SUPPORTED, f"not in the {self.name} domain: {why}")
