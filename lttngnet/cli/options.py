"""Options that several verbs have, spelled as ``lttng`` and the RFC spell them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from lttngnet.cli.amounts import SIZE
from lttngnet.uri import Output, parse_argument, parse_pair

Command = TypeVar("Command", bound=Callable[..., Any])

as_json = click.option("--json", "as_json", is_flag=True, help="Print the facts as JSON.")
session_option = click.option(
    "-s", "--session", "name", metavar="NAME", help="The session, if not the current one."
)
session_argument = click.argument("name", metavar="[NAME]", required=False)


def examples(*lines: str) -> str:
    """Return commands as click shows them below the help of a verb: a line a command."""
    return "\n".join(("\b", "Examples:", *(f"  {line}" for line in lines)))


_set_uri = click.option(
    "-U", "--set-uri", "--set-url", "both", metavar="URI", help="Where control and data go, or a path."
)
_control_uri = click.option(
    "-C",
    "--control-uri",
    "--control-url",
    "--ctrl-uri",
    "--ctrl-url",
    "control",
    metavar="[HOP,]URI",
    help="Where control goes: tcp://HOST[:PORT]. Hops are understood and not supported yet.",
)
_data_uri = click.option(
    "-D",
    "--data-uri",
    "--data-url",
    "data",
    metavar="[HOP,]URI",
    help="Where data goes: tcp://HOST[:PORT], or udp://HOST[:PORT][?reliable=1] to a relay daemon of ours.",
)

_DIGITS = 20  # of 64 bits

_DOMAINS = {
    "kernel": ("-k", "The kernel."),
    "userspace": ("-u", "Applications that were built with lttng-ust."),
    "python": ("-p", "Python programs that said `lttngnet.logs.install()`, or import lttngust."),
    "jul": ("-j", "Java programs with LTTng's java.util.logging agent."),
    "log4j": ("-l", "Java programs with LTTng's log4j agent."),
}


def policy_options(command: Command) -> Command:
    """Give a verb what is done when the relay daemon is gone: `on_loss`, `spool_size`, `spool_drop`."""
    for option in (
        click.option(
            "--spool-drop",
            type=click.Choice(["oldest", "newest"]),
            help="What gives way when no more can be held (oldest).",
        ),
        click.option("--spool-size", type=SIZE, metavar="SIZE", help="How much is held at most (256M)."),
        click.option(
            "--on-relay-loss",
            "on_loss",
            type=click.Choice(["local", "hold", "stop"]),
            help="When the relay daemon is gone: go on in a local folder, hold what is recorded until it is "
            "back, or stop (the default).",
        ),
    ):
        command = option(command)
    return command


def uri_options(command: Command) -> Command:
    """Give a verb ``-U``, ``-C`` and ``-D``, in all their spellings: `both`, `control`, `data`."""
    return _set_uri(_control_uri(_data_uri(command)))


def domain_options(command: Command) -> Command:
    """Give a verb the domain flags; they come as keywords, for `domain_of`."""
    for name, (flag, meaning) in reversed(_DOMAINS.items()):
        command = click.option(flag, f"--{name}", is_flag=True, help=meaning)(command)
    return command


def domain_of(flags: dict[str, bool]) -> str:
    """Return the one domain that was asked for.

    Raises:
        click.ClickException: none or several.
    """
    chosen = [name for name in _DOMAINS if flags[name]]
    if len(chosen) != 1:
        tracers = ", ".join(f"{flag}/--{name}" for name, (flag, _) in _DOMAINS.items())
        raise click.ClickException(f"Please specify a tracer ({tracers})")
    return chosen[0]


def names_of(names: str | None, every: bool) -> list[str]:
    """Return the names of a list ``NAME,…``; none where all are meant.

    Raises:
        click.ClickException: neither names nor ``-a``, or both.
    """
    found = [name for name in (names or "").split(",") if name]
    if every == bool(found):
        raise click.ClickException("Please name the events (NAME,…), or all of them (-a)")
    return found


def number_or_name(text: str) -> int | str:
    """Return the number that a text is; any other text, also a number that nothing can have, as it is."""
    return int(text) if len(text) <= _DIGITS and text.isdecimal() else text


def output_argument(text: str) -> Output:
    """Read a URI, or a path below the user's working directory."""
    return parse_argument(text, str(Path.cwd()))


def output_pair(control: str | None, data: str | None) -> Output:
    """Read the arguments of ``-C`` and ``-D``, of which one may be missing."""
    return parse_pair(control, data, str(Path.cwd()))
