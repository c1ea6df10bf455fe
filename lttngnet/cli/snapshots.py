"""The verb about what is in the buffers of a session that was created with --snapshot."""

from typing import TYPE_CHECKING

import click

from lttngnet.cli.amounts import SIZE
from lttngnet.cli.options import as_json, examples, output_argument, output_pair, session_option, uri_options
from lttngnet.cli.terminal import Terminal, pass_terminal
from lttngnet.uri import Output

if TYPE_CHECKING:
    from lttngnet.client import Facts

_name = click.option("-n", "--name", "label", default="", metavar="NAME", help="What to call it.")
_output = click.argument("output", metavar="[URI]", required=False)


@click.group(
    epilog=examples(
        "lttngnet create flight --snapshot",
        "lttngnet snapshot record",
        "lttngnet snapshot record --name crash net://192.168.1.10",
        "lttngnet snapshot record --max-size 2M",
        "lttngnet snapshot add-output /var/tmp/snapshots",
    )
)
def snapshot() -> None:
    """Record what is in the buffers of a session for snapshots, and choose where that goes."""


@snapshot.command()
@_output
@uri_options
@_name
@click.option(
    "-m", "--max-size", type=SIZE, default=0, metavar="SIZE", help="Record the newest, up to this size."
)
@session_option
@as_json
@pass_terminal
def record(
    terminal: Terminal,
    /,
    output: str | None,
    both: str | None,
    control: str | None,
    data: str | None,
    label: str,
    max_size: int,
    name: str | None,
    as_json: bool,
) -> None:
    """Record a snapshot: to the output of the session, or to another one (a URI or a path)."""
    session, wanted = terminal.session(name), _chosen(output, both, control, data)
    path = terminal.ask(
        lambda daemon: daemon.handle(session).snapshot(label, wanted, max_size), wait="Recording the snapshot"
    )
    text = f"A snapshot of session {session} is at {path}"
    terminal.tell({"name": session, "path": path}, text, as_json)


@snapshot.command()
@_output
@uri_options
@_name
@session_option
@pass_terminal
def add_output(
    terminal: Terminal,
    /,
    output: str | None,
    both: str | None,
    control: str | None,
    data: str | None,
    label: str,
    name: str | None,
) -> None:
    """Set where snapshots go: a URI or a path. There is one such output."""
    session, wanted = terminal.session(name), _chosen(output, both, control, data)
    if wanted is None:
        raise click.ClickException("say where snapshots are to go: a URI, or a path")
    added = terminal.ask(lambda daemon: daemon.handle(session).add_snapshot_output(wanted, label))
    terminal.say(f"Snapshot output added to session {session}: {_line(added)}")


@snapshot.command()
@click.argument("which", metavar="NAME|ID")
@session_option
@pass_terminal
def del_output(terminal: Terminal, /, which: str, name: str | None) -> None:
    """Forget where snapshots go. What was recorded there stays."""
    session = terminal.session(name)
    terminal.ask(lambda daemon: daemon.handle(session).delete_snapshot_output(which))
    terminal.say(f"Snapshot output {which} of session {session} deleted.")


@snapshot.command()
@session_option
@as_json
@pass_terminal
def list_output(terminal: Terminal, /, name: str | None, as_json: bool) -> None:
    """Show where snapshots go."""
    session = terminal.session(name)
    outputs = terminal.ask(lambda daemon: daemon.handle(session).snapshot_outputs())
    lines = [f"Snapshot outputs of session {session}:", *(f"    {_line(each)}" for each in outputs)]
    text = "\n".join(lines) if outputs else f"Session {session} has no snapshot output."
    terminal.show(outputs, text, as_json)


def _line(output: "Facts") -> str:
    return f"[{output['id']}] {output['name']}: {output['output']}"


def _chosen(output: str | None, both: str | None, control: str | None, data: str | None) -> Output | None:
    pair = control is not None or data is not None
    if sum((output is not None, both is not None, pair)) > 1:
        raise click.ClickException("a URI, -U, and -C with -D exclude each other")
    if pair:
        return output_pair(control, data)
    text = output if output is not None else both
    return None if text is None else output_argument(text)
