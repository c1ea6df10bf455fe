"""What every verb needs: to ask the daemon, to tell the user, to know the current session."""

import json
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from lttngnet.cli import current

if TYPE_CHECKING:  # Twisted is loaded only by a verb that asks the daemon
    from lttngnet.client import Daemon

T = TypeVar("T")


Show = Callable[[str], None]


@dataclass(frozen=True)
class Screen:
    """What a conversation can use while it lasts.

    Attributes:
        reactor: that it runs in.
        show: changes the text that the user sees meanwhile; None where nobody does.
    """

    reactor: Any
    show: Show | None


@dataclass(frozen=True)
class Terminal:
    """The user, and the way to the daemon.

    Attributes:
        rundir: of the daemon, or None: the user's own.
        quiet: whether to say only what was asked for.
    """

    rundir: str | None = None
    quiet: bool = False

    def ask(self, conversation: Callable[["Daemon"], Awaitable[T]], wait: str = "") -> T:
        """Connect to the daemon, have a conversation, and return its result. Works once in a process.

        Args:
            conversation: asks what it likes of the daemon.
            wait: shown on a terminal while it lasts.

        Raises:
            CommandError: there is no daemon, or it refused.
            click.Abort: the user interrupted.
        """
        return self.follow(lambda daemon, screen: conversation(daemon), wait)

    def follow(self, conversation: Callable[["Daemon", "Screen"], Awaitable[T]], wait: str = "") -> T:
        """Do as `ask`; the conversation may also change what is shown while it lasts."""
        from twisted.internet import task

        from lttngnet.client import CommandError, connect

        results: list[T] = []
        errors: list[CommandError] = []

        async def converse(reactor: Any) -> None:
            try:
                daemon = await connect(reactor, self.rundir)
                try:
                    results.append(await conversation(daemon, Screen(reactor, show)))
                finally:
                    await daemon.close()
            except CommandError as error:
                errors.append(error)

        try:
            with self._spinner(wait) as show:
                task.react(converse)
        except SystemExit as end:
            if end.code:  # a defect of ours, which was logged
                raise
        for error in errors:
            raise error
        if not results:
            raise click.Abort
        return results[0]

    def session(self, name: str | None) -> str:
        """Return the name of the session that a verb works on: the one named, or the current one.

        Raises:
            click.ClickException: neither is there.
        """
        found = name or current.recall(os.environ)
        if not found:
            raise click.ClickException(
                "no session is named and none is current: create one, or choose with `lttngnet set-session`"
            )
        return found

    def say(self, text: str) -> None:
        """Tell the user what was done."""
        if not self.quiet:
            click.echo(text)

    def show_json(self, facts: Any) -> None:
        """Tell facts as JSON."""
        click.echo(json.dumps(facts, indent=2))

    def show(self, facts: Any, text: str, as_json: bool) -> None:
        """Tell what was asked for: facts as JSON, or the text about them."""
        if as_json:
            self.show_json(facts)
        else:
            click.echo(text)

    def tell(self, facts: Any, text: str, as_json: bool) -> None:
        """Tell what was done: facts as JSON where they are asked for, or the text about them."""
        if as_json or not self.quiet:
            self.show(facts, text, as_json)

    def warn(self, *sentences: str) -> None:
        """Tell, on stderr, what the user should know though it is no error."""
        for sentence in sentences:
            click.echo(f"Warning: {sentence}", err=True)

    @contextmanager
    def live(self) -> Iterator[Callable[[Any], None] | None]:
        """Give a way to show a picture (for rich) in place of the one before; None without a terminal."""
        if not os.isatty(1):
            yield None
            return
        from rich.live import Live

        with Live(auto_refresh=False) as picture:
            yield lambda shown: picture.update(shown, refresh=True)

    @contextmanager
    def _spinner(self, text: str) -> Iterator[Show | None]:
        if not text or self.quiet or not os.isatty(2):
            yield None
            return
        from rich.console import Console

        with Console(stderr=True).status(text) as status:
            yield status.update


pass_terminal = click.make_pass_decorator(Terminal)
