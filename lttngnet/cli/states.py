"""Verbs that tell how things are: list, status, version."""

from typing import TYPE_CHECKING

import click

import lttngnet
from lttngnet.cli import texts
from lttngnet.cli.options import as_json, domain_of, domain_options, examples, session_argument
from lttngnet.cli.terminal import Terminal, pass_terminal
from lttngnet.errors import Code, CommandError

if TYPE_CHECKING:
    from lttngnet.client import Facts


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


@click.command()
@session_argument
@as_json
@pass_terminal
def status(terminal: Terminal, name: str | None, as_json: bool) -> None:
    """Tell all about the current session."""
    _show(terminal, terminal.session(name), as_json)


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


def _show(terminal: Terminal, name: str, as_json: bool) -> None:
    facts = terminal.ask(lambda daemon: daemon.handle(name).describe())
    terminal.show(facts, "\n".join(texts.details(facts)), as_json)
