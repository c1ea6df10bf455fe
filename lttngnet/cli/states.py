"""Verbs that tell how things are: list, status, version."""

import json
from typing import TYPE_CHECKING

import click

import lttngnet
from lttngnet.cli import texts
from lttngnet.cli.options import as_json, domain_of, domain_options, examples, session_argument
from lttngnet.cli.terminal import Screen, Terminal, pass_terminal
from lttngnet.errors import Code, CommandError

WATCH_PERIOD = 1.0
"""Seconds between two looks at a session that is watched."""

if TYPE_CHECKING:
    from lttngnet.client import Daemon, Facts


@click.command(
    "list", epilog=examples("lttngnet list", "lttngnet list session1", "lttngnet list -u --fields")
)
@session_argument
@domain_options
@click.option("-f", "--fields", is_flag=True, help="With -u: the fields of every event, too.")
@as_json
@pass_terminal
def list_sessions(
    terminal: Terminal, /, name: str | None, fields: bool, as_json: bool, **domains: bool
) -> None:
    """List the sessions, tell all about one, or list what a tracer (-k, -u…) could record now."""
    if any(domains.values()):
        if name:
            raise click.ClickException("a session or a tracer, not both")
        _show_events(terminal, domain_of(domains), fields, as_json)
        return
    if name:
        _show(terminal, name, as_json)
        return
    sessions = terminal.ask(lambda daemon: daemon.sessions())
    lines = [f"  {number}) {texts.headline(facts)}" for number, facts in enumerate(sessions, 1)]
    lines.insert(0, "Available tracing sessions:" if sessions else "There is no tracing session.")
    terminal.show(sessions, "\n".join(lines), as_json)


@click.command(epilog=examples("lttngnet status", "lttngnet status --watch"))
@session_argument
@click.option("-w", "--watch", is_flag=True, help="Go on telling, once a second, until Ctrl-C.")
@as_json
@pass_terminal
def status(terminal: Terminal, name: str | None, watch: bool, as_json: bool) -> None:
    """Tell all about the current session.

    With --watch a table follows what it does: what was recorded, how fast, how much has still to arrive, what
    was discarded and lost, channel by channel. Where there is no terminal, there is one line each second, or
    with --json an object.
    """
    name = terminal.session(name)
    if watch:
        _watch(terminal, name, as_json)
    else:
        _show(terminal, name, as_json)


@click.command()
@as_json
@pass_terminal
def version(terminal: Terminal, as_json: bool) -> None:
    """Tell the versions of this command and of the session daemon."""
    lines = [f"lttngnet {lttngnet.__version__}"]
    daemon: Facts | None = None
    try:
        daemon = terminal.ask(lambda daemon: daemon.version())
    except CommandError as problem:
        if problem.code is not Code.NO_SESSIOND:
            raise
        lines.append("session daemon: not running")
    else:
        lines.append(f"session daemon {daemon['version']}")
        lines.extend(texts.others(daemon, "version"))
    terminal.show({"client": lttngnet.__version__, "daemon": daemon}, "\n".join(lines), as_json)


def _show_events(terminal: Terminal, domain: str, fields: bool, as_json: bool) -> None:
    events = terminal.ask(lambda daemon: daemon.events(domain, fields))
    terminal.show(events, "\n".join(texts.available(domain, events)), as_json)


def _watch(terminal: Terminal, name: str, as_json: bool) -> None:
    from lttngnet.cli.progress import Rate, line, table, watched

    with terminal.live() as picture:

        async def conversation(daemon: "Daemon", screen: Screen) -> int:
            rate, looks = Rate(), 0
            async for facts in watched(daemon.handle(name), screen.reactor, WATCH_PERIOD):
                looks += 1
                speed = rate.at(screen.reactor.seconds(), facts["facts"]["bytes"])
                if as_json:
                    click.echo(json.dumps(facts))
                elif picture is not None:
                    picture(table(facts, speed))
                else:
                    click.echo(line(facts, speed))
            return looks

        try:
            looks = terminal.follow(conversation)
        except click.Abort:  # Ctrl-C is how one stops to watch
            return
    if not looks:
        raise click.ClickException(f"there is no session {name}")
    terminal.say(f"Session {name} is no more.")


def _show(terminal: Terminal, name: str, as_json: bool) -> None:
    facts = terminal.ask(lambda daemon: daemon.handle(name).describe())
    terminal.show(facts, "\n".join(texts.details(facts)), as_json)
