"""Verbs that make a session, run it, and end it: create, start, stop, destroy, set-session."""

import os
from collections.abc import Awaitable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lttngnet.cli import current, texts
from lttngnet.cli.amounts import PERIOD
from lttngnet.cli.options import (
    as_json,
    examples,
    output_argument,
    output_pair,
    policy_options,
    session_argument,
    session_option,
    uri_options,
)
from lttngnet.cli.terminal import Screen, Terminal, pass_terminal
from lttngnet.uri import Output

LIVE = 1_000_000
"""Microseconds between two times that what a live session recorded is sent."""

LIVE_OUTPUT = "net://127.0.0.1"

WAIT = "Waiting for the trace to arrive"

if TYPE_CHECKING:
    from lttngnet.client import Daemon, Facts, Session


class Create(click.Command):
    """Takes ``--live`` without a value, as ``lttng`` does, also before the name of the session."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Give it the default."""
        return super().parse_args(ctx, [f"--live={LIVE}" if each == "--live" else each for each in args])


@click.command(
    cls=Create,
    epilog=examples(
        "lttngnet create session1",
        "lttngnet create session1 -U net://192.168.1.10",
        "lttngnet create session1 -C tcp://relay:5342 -D tcp://relay:5343",
        "lttngnet create session1 -o /tmp/trace",
        "lttngnet create session1 --live=200ms -U net://192.168.1.10",
    ),
)
@session_argument
@click.option("-o", "--output", "folder", metavar="PATH", help="Local folder for the trace.")
@uri_options
@click.option("--no-consumer", is_flag=True, help="Have no output until enable-consumer sets one.")
@click.option(
    "--live",
    type=PERIOD,
    metavar="[PERIOD]",
    help="For live viewers: send what is recorded this often (1s). Without an output: to this machine.",
)
@click.option("--snapshot", is_flag=True, help="For snapshots: nothing is sent until one is recorded.")
@policy_options
@as_json
@pass_terminal
def create(
    terminal: Terminal,
    name: str | None,
    folder: str | None,
    both: str | None,
    control: str | None,
    data: str | None,
    no_consumer: bool,
    live: int | None,
    snapshot: bool,
    on_loss: str | None,
    spool_size: int | None,
    spool_drop: str | None,
    as_json: bool,
) -> None:
    """Create a tracing session, and make it the current one.

    Without NAME it is called auto-DATE-TIME. Without an output its trace goes to a folder below
    ~/lttng-traces, until enable-consumer says otherwise.
    """
    output = _output(folder, both, control, data, no_consumer)
    if snapshot and (live is not None or no_consumer):
        raise click.ClickException("--snapshot, --live and --no-consumer exclude each other")
    if live == 0:
        raise click.ClickException("a live timer of 0 would send nothing: say something like --live=1s")
    if live and output is None and not no_consumer:
        output = output_argument(LIVE_OUTPUT)

    async def conversation(daemon: "Daemon") -> "Facts":
        session = await daemon.create(name or "", output, no_consumer, live or 0, snapshot)
        if on_loss or spool_size or spool_drop:
            await session.set_policy(on_loss, spool_size, spool_drop)
        return await session.describe()

    facts = terminal.ask(conversation)
    current.remember(os.environ, facts["name"])
    terminal.warn(*(output.warnings if output else ()))
    where = f"Its trace will go to {facts['output']}" if facts["output"] else "It has no output yet"
    if snapshot:
        where = f"It is for snapshots, which go to {facts['output']}"
    terminal.tell(facts, f"Session {facts['name']} created.\n{where}", as_json)


@click.command()
@session_argument
@pass_terminal
def start(terminal: Terminal, name: str | None) -> None:
    """Start tracing."""
    name = terminal.session(name)
    terminal.ask(lambda daemon: daemon.handle(name).start())
    terminal.say(f"Tracing started for session {name}.")


@click.command()
@session_argument
@as_json
@pass_terminal
def stop(terminal: Terminal, name: str | None, as_json: bool) -> None:
    """Stop tracing, and wait until all that was recorded has arrived."""
    name = terminal.session(name)

    async def conversation(daemon: "Daemon", screen: Screen) -> "Facts":
        session = daemon.handle(name)
        return await _until_arrived(session.stop(), session, screen)

    facts = terminal.follow(conversation, wait=WAIT)
    terminal.tell(facts, f"Tracing stopped for session {name}.\n{texts.recorded(facts)}", as_json)
    terminal.warn(*texts.worries(facts))


@click.command()
@click.argument("what", type=click.Choice(["metadata", "statedump"]))
@session_option
@pass_terminal
def regenerate(terminal: Terminal, what: str, name: str | None) -> None:
    """Write the metadata or the state dump anew, after the clock was set or a trace file was lost."""
    name = terminal.session(name)
    terminal.ask(lambda daemon: daemon.handle(name).regenerate(what))
    terminal.say(f"{what.capitalize()} of session {name} regenerated.")


@click.command()
@session_argument
@click.option("-a", "--all", "every", is_flag=True, help="All sessions.")
@as_json
@pass_terminal
def destroy(terminal: Terminal, name: str | None, every: bool, as_json: bool) -> None:
    """Take a session down, and wait until its trace is closed. The trace stays."""
    if every and name:
        raise click.ClickException("name a session, or say -a for all of them, not both")
    chosen = None if every else terminal.session(name)

    async def conversation(daemon: "Daemon", screen: Screen) -> "list[Facts]":
        names = [facts["name"] for facts in await daemon.sessions()] if chosen is None else [chosen]
        sessions = [daemon.handle(each) for each in names]
        return [await _until_arrived(session.destroy(), session, screen) for session in sessions]

    ended = terminal.follow(conversation, wait=WAIT)
    for facts in ended:
        current.forget(os.environ, facts["name"])
        terminal.warn(*texts.worries(facts | {"state": "destroyed"}))
    lines = [f"Session {facts['name']} destroyed." for facts in ended] or ["There is no session."]
    terminal.tell(ended if every else ended[0], "\n".join(lines), as_json)


@click.command()
@click.argument("name")
@pass_terminal
def set_session(terminal: Terminal, name: str) -> None:
    """Make NAME the current session."""
    terminal.ask(lambda daemon: daemon.session(name))
    current.remember(os.environ, name)
    terminal.say(f"Session set to {name}.")


async def _until_arrived(work: "Awaitable[Facts]", session: "Session", screen: Screen) -> "Facts":
    """Await what lets a trace arrive, while the user sees how far it is, if there is one to see it."""
    if screen.show is None:
        return await work
    from lttngnet.cli.progress import followed

    return await followed(work, session, screen.reactor, screen.show)


def _output(
    folder: str | None, both: str | None, control: str | None, data: str | None, no_consumer: bool
) -> Output | None:
    pair = control is not None or data is not None
    if sum((folder is not None, both is not None, pair, no_consumer)) > 1:
        raise click.ClickException("-o, -U, -C with -D, and --no-consumer exclude each other")
    if folder is not None:
        return Output(path=os.path.normpath(Path.cwd() / folder))
    if both is not None:
        return output_argument(both)
    return output_pair(control, data) if pair else None
