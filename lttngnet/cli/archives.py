"""Verbs about what was recorded while tracing goes on: rotate, enable-rotation, disable-rotation, clear."""

from typing import TYPE_CHECKING

import click

from lttngnet.cli.amounts import PERIOD, SIZE
from lttngnet.cli.options import as_json, examples, session_argument, session_option
from lttngnet.cli.terminal import Terminal, pass_terminal

if TYPE_CHECKING:
    from lttngnet.client import Daemon

_UNITS = {"timer": "us", "size": "bytes"}
_NAMES = {"timer": "periodic", "size": "size-based"}


@click.command()
@session_argument
@as_json
@pass_terminal
def rotate(terminal: Terminal, name: str | None, as_json: bool) -> None:
    """Archive what was recorded up to now, as a trace that can be read, moved or deleted.

    Tracing goes on, and no event is lost. On a session that is stopped, once until it is started again.
    """
    name = terminal.session(name)
    path = terminal.ask(lambda daemon: daemon.handle(name).rotate(), wait="Waiting for the archive")
    text = (
        f"The archive of session {name} is at {path}" if path else f"Session {name} had nothing to archive."
    )
    terminal.tell({"name": name, "path": path}, text, as_json)


@click.command(
    epilog=examples("lttngnet enable-rotation --timer 1h", "lttngnet enable-rotation --size 500M -s session1")
)
@session_option
@click.option("--timer", type=PERIOD, metavar="PERIOD", help="Rotate this often (us; 10s, 5m, 1h).")
@click.option("--size", type=SIZE, metavar="SIZE", help="Rotate when about so much was recorded: 10M, 1G.")
@pass_terminal
def enable_rotation(terminal: Terminal, /, name: str | None, timer: int | None, size: int | None) -> None:
    """Rotate a session again and again while it is active: by time, by size, or both."""
    amounts = {kind: amount for kind, amount in (("timer", timer), ("size", size)) if amount is not None}
    if not amounts:
        raise click.ClickException("say when to rotate: --timer PERIOD, --size SIZE, or both")
    session = terminal.session(name)

    async def conversation(daemon: "Daemon") -> None:
        for kind, amount in amounts.items():
            await daemon.handle(session).enable_rotation(kind, amount)

    terminal.ask(conversation)
    for kind, amount in amounts.items():
        terminal.say(f"Session {session} is rotated every {amount} {_UNITS[kind]}.")


@click.command()
@session_option
@click.option("--timer", is_flag=True, help="Not by time.")
@click.option("--size", is_flag=True, help="Not by size.")
@pass_terminal
def disable_rotation(terminal: Terminal, /, name: str | None, timer: bool, size: bool) -> None:
    """Rotate a session by itself no more."""
    kinds = [kind for kind, is_meant in (("timer", timer), ("size", size)) if is_meant]
    if not kinds:
        raise click.ClickException("say which rotation to disable: --timer, --size, or both")
    session = terminal.session(name)

    async def conversation(daemon: "Daemon") -> None:
        for kind in kinds:
            await daemon.handle(session).disable_rotation(kind)

    terminal.ask(conversation)
    for kind in kinds:
        terminal.say(f"The {_NAMES[kind]} rotation of session {session} is disabled.")


@click.command()
@session_argument
@click.option("-a", "--all", "every", is_flag=True, help="All sessions.")
@pass_terminal
def clear(terminal: Terminal, name: str | None, every: bool) -> None:
    """Delete what was recorded up to now; tracing goes on. What was archived stays."""
    if every and name:
        raise click.ClickException("name a session, or say -a for all of them, not both")
    chosen = None if every else terminal.session(name)

    async def conversation(daemon: "Daemon") -> list[str]:
        names = [facts["name"] for facts in await daemon.sessions()] if chosen is None else [chosen]
        for each in names:
            await daemon.handle(each).clear()
        return names

    cleared = terminal.ask(conversation, wait="Waiting for the trace to be deleted")
    terminal.say("\n".join(f"Session {each} cleared." for each in cleared) or "There is no session.")
