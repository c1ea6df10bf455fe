"""Verbs about where a trace goes (RFC *Network consumer*): enable-consumer, disable-consumer."""

from typing import TYPE_CHECKING

import click

from lttngnet.cli.options import (
    as_json,
    examples,
    output_argument,
    output_pair,
    policy_options,
    session_option,
    uri_options,
)
from lttngnet.cli.terminal import Terminal, pass_terminal
from lttngnet.uri import Output

if TYPE_CHECKING:
    from lttngnet.client import Daemon

Setting = tuple[Output, list[str]]
"""What to set, and the lines that say so."""


def _ignored_domains(command: click.decorators.FC) -> click.decorators.FC:
    """Take the domain flags that ``lttng`` 2.1 had: a session's consumer serves all its domains."""
    meaning = "Taken as in lttng 2.1, and ignored: a session has one consumer for all its domains."
    flags = ("-k", "--kernel", "-u", "--userspace", "-p", "--python")
    return click.option(*flags, "domain", is_flag=True, expose_value=False, help=meaning)(command)


@click.command(
    epilog=examples(
        "lttngnet enable-consumer net://192.168.1.10",
        "lttngnet enable-consumer -C tcp://relay:5342 -D tcp://relay:5343 -e",
    )
)
@click.argument("uri", metavar="[URI]", required=False)
@session_option
@uri_options
@click.option("-e", "--enable", "enable", is_flag=True, help="Enable the consumer after -U, -C or -D too.")
@policy_options
@_ignored_domains
@as_json
@pass_terminal
def enable_consumer(
    terminal: Terminal,
    uri: str | None,
    name: str | None,
    both: str | None,
    control: str | None,
    data: str | None,
    enable: bool,
    on_loss: str | None,
    spool_size: int | None,
    spool_drop: str | None,
    as_json: bool,
) -> None:
    """Set where the trace goes, and enable the consumer.

    URI names the destination and enables it at once: net://HOST[:CONTROL-PORT[:DATA-PORT]], tcp://,
    tcp6://, file:///PATH, or a path. -U, -C and -D only set the destination; -e, or this command without
    any URI, then enables it. Control and data must both be established, or nothing is changed.

    While tracing is active the trace changes over without a gap: what is recorded from now on goes to the new
    destination, with all that describes it; what was recorded before stays where it went, a trace of its own.
    A consumer that was disabled goes on.
    """
    settings = _settings(uri, both, control, data)
    name = terminal.session(name)
    enable = enable or uri is not None or not settings

    said: list[str] = []
    warnings: list[str] = []

    async def conversation(daemon: "Daemon") -> tuple[str, str]:
        session = daemon.handle(name)
        template = path = ""
        if on_loss or spool_size or spool_drop:
            await session.set_policy(on_loss, spool_size, spool_drop)
        for output, lines in settings:
            template = await session.set_consumer_uri(output)
            warnings.extend(daemon.warnings)
            daemon.warnings.clear()
            said.extend(f"{line} set for session {name}." for line in lines)
        if enable:
            path = await session.enable_consumer()
            warnings.extend(daemon.warnings)
            said.extend(["Consumer enabled successfully", f"The trace goes to {path}"])
        else:
            said.append("Not enabled yet: `lttngnet enable-consumer` does it.")
        return template, path

    for output, _ in settings:
        terminal.warn(*output.warnings)
    try:
        template, path = terminal.ask(conversation, wait="Connecting")
    finally:  # also what was done before it failed
        if said and not as_json:
            terminal.say("\n".join(said))
        terminal.warn(*warnings)
    if as_json:
        terminal.show_json({"name": name, "output": template, "enabled": enable, "path": path})


@click.command(epilog=examples("lttngnet disable-consumer", "lttngnet disable-consumer --hold"))
@session_option
@click.option("--hold", is_flag=True, help="Keep what is recorded meanwhile, and deliver it then.")
@_ignored_domains
@pass_terminal
def disable_consumer(terminal: Terminal, name: str | None, hold: bool) -> None:
    """Let the consumer stop consuming. It still exists: enable-consumer enables it again.

    Tracing goes on. What is recorded meanwhile is lost: packets are counted, `lttngnet status` tells how
    many, and readers of the trace see a gap in their numbers. With --hold packets are kept on the disk of
    this machine, up to a limit, and go where the trace goes when the consumer is enabled again.
    """
    name = terminal.session(name)
    terminal.ask(lambda daemon: daemon.handle(name).disable_consumer(hold))
    terminal.say("Consumer disabled successfully")


def _settings(uri: str | None, both: str | None, control: str | None, data: str | None) -> list[Setting]:
    """Return what to set, in the order of lttng 2.1: the positional URI, -U, -C with -D."""
    settings = [(output_argument(text), [f"URL {text}"]) for text in (uri, both) if text is not None]
    if control is not None or data is not None:
        halves = {"Control URL": control, "Data URL": data}
        lines = [f"{half} {text}" for half, text in halves.items() if text is not None]
        settings.append((output_pair(control, data), lines))
    return settings
