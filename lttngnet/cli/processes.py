"""Verbs about which processes are traced: track, untrack."""

from collections.abc import Callable
from typing import Any

import click

from lttngnet.cli.options import Command, domain_of, domain_options, examples, number_or_name, session_option
from lttngnet.cli.terminal import Terminal, pass_terminal

_KINDS = {
    "pid": "Process ids, as the daemon sees them.",
    "vpid": "Process ids, as the process sees them.",
    "uid": "Users, as the daemon sees them: names or numbers.",
    "vuid": "Users, as the process sees them.",
    "gid": "Groups, as the daemon sees them.",
    "vgid": "Groups, as the process sees them.",
}


def _id_options(command: Command) -> Command:
    """Give a verb an option for each kind of ids, and ``--all``."""
    command = click.option("-a", "--all", "every", is_flag=True, help="All ids of the kind that is named.")(
        command
    )
    for kind, meaning in reversed(_KINDS.items()):
        option = click.option(f"--{kind}", kind, metavar="ID,…", is_flag=False, flag_value="", help=meaning)
        command = option(command)
    return command


@click.command(
    add_help_option=True,
    epilog=examples("lttngnet track -u --vuid www-data", "lttngnet track -u --pid 1234,1235"),
)
@_id_options
@domain_options
@session_option
@pass_terminal
def track(terminal: Terminal, /, name: str | None, every: bool, **named: Any) -> None:
    """Trace only these processes. Without this verb, all are traced."""
    _tell(terminal, name, every, named, lambda session: session.track, "tracked")


@click.command(epilog=examples("lttngnet untrack -u --pid 1234", "lttngnet untrack -u --all --vuid"))
@_id_options
@domain_options
@session_option
@pass_terminal
def untrack(terminal: Terminal, /, name: str | None, every: bool, **named: Any) -> None:
    """Trace these processes no more."""
    _tell(terminal, name, every, named, lambda session: session.untrack, "no longer tracked")


def _tell(
    terminal: Terminal,
    name: str | None,
    every: bool,
    named: dict[str, Any],
    verb: Callable[[Any], Any],
    done: str,
) -> None:
    wanted = {kind: _ids(named.pop(kind)) for kind in _KINDS if named[kind] is not None}
    domain = domain_of({flag: value for flag, value in named.items() if flag not in _KINDS})
    if not wanted:
        raise click.ClickException("Please name processes: --pid, --vpid, --uid, --vuid, --gid or --vgid")
    for kind, ids in wanted.items():
        if every == bool(ids):
            raise click.ClickException(f"Please name the ids of --{kind}, or all of them (--all)")
    session = terminal.session(name)

    async def conversation(daemon: Any) -> None:
        for kind, ids in wanted.items():
            await verb(daemon.handle(session))(domain, kind, ids)

    terminal.ask(conversation)
    for kind, ids in wanted.items():
        which = " ".join(map(str, ids)) or "all"
        terminal.say(f"{domain}: {kind} {which} {done} in session {session}.")


def _ids(text: str) -> list[int | str]:
    return [number_or_name(each) for each in text.split(",") if each]
