"""The verb that shows a trace: babeltrace2 reads the events; without it, the indexes tell what is there."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click

from lttngnet.cli import summary
from lttngnet.cli.options import as_json, examples, session_argument
from lttngnet.cli.terminal import Terminal, pass_terminal
from lttngnet.rundir import home

VIEWER = "babeltrace2"
_GET_IT = (
    f"{VIEWER} is not installed (Debian, Ubuntu: `apt-get install {VIEWER}`; else https://babeltrace.org)"
)


@click.command(
    epilog=examples(
        "lttngnet view",
        "lttngnet view session1 -e 'babeltrace2 --clock-date'",
        "lttngnet view -t ~/lttng-traces/host1/session1-20261122-150000 --summary",
    )
)
@session_argument
@click.option(
    "-t",
    "--trace-path",
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="A trace, or a folder of traces.",
)
@click.option(
    "--relay-output",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="The output folder of a relay daemon on this machine. [default: ~/lttng-traces]",
)
@click.option("-e", "--viewer", metavar="CMD", help=f"What to run with the traces. [default: {VIEWER}]")
@click.option(
    "--summary", "brief", is_flag=True, help="Only say what is there: streams, packets, times, losses."
)
@as_json
@pass_terminal
def view(
    terminal: Terminal,
    name: str | None,
    trace_path: Path | None,
    relay_output: Path | None,
    viewer: str | None,
    brief: bool,
    as_json: bool,
) -> None:
    """Show the trace of a session.

    A session that was destroyed is known no more: name its trace with -t.
    """
    if trace_path and name:
        raise click.ClickException(f"name a session, or a trace with -t, not both: {name!r} is one too much")
    folder = trace_path or _folder(terminal, terminal.session(name), relay_output)
    traces = summary.find_traces(folder)
    if not traces:
        raise click.ClickException(
            f"there is no trace in {folder}" if folder.is_dir() else f"there is no folder {folder}"
        )
    if not (brief or as_json):
        if viewer or shutil.which(VIEWER):
            sys.exit(_run(viewer or VIEWER, traces))
        terminal.warn(f"{_GET_IT}; this is what the indexes tell")
    _summarize(terminal, traces, folder, as_json)


def _folder(terminal: Terminal, name: str, relay_output: Path | None) -> Path:
    """Return where on this machine the trace of a session lies."""
    facts = terminal.ask(lambda daemon: daemon.handle(name).describe())
    if not facts["path"]:
        raise click.ClickException(f"session {name} has no trace yet: its consumer was never enabled")
    if not facts["network"]:
        return Path(facts["path"])
    below = relay_output or Path(home(os.environ), "lttng-traces")
    folder = Path(below, facts["path"])
    if not folder.is_dir():
        raise click.ClickException(
            f"the trace went to {facts['output']} as {facts['path']}, and is not below {below} here:"
            " if the relay daemon runs here, name its output folder with --relay-output"
        )
    return folder


def _run(viewer: str, traces: list[Path]) -> int:
    """Run the viewer, and return its exit status as a shell would."""
    try:
        status = subprocess.run([*shlex.split(viewer), *traces], check=False).returncode
    except (OSError, ValueError) as problem:  # there is no such command, or a quotation mark is missing
        raise click.ClickException(f"the viewer {viewer!r} cannot be run: {problem}") from None
    return status if status >= 0 else 128 - status


def _summarize(terminal: Terminal, traces: list[Path], folder: Path, as_json: bool) -> None:
    try:
        streams = list(summary.summarize(traces, folder))
    except ValueError as problem:
        raise click.ClickException(str(problem)) from None
    if as_json:
        terminal.show_json([stream.to_dict() for stream in streams])
        return
    from rich.console import Console

    console = Console(markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        console.width = 200  # in a file or a pipe, a row is a line
    console.print(summary.table(streams))
