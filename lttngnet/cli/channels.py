"""Verbs about what carries events, and what they carry: enable-channel, disable-channel, add-context."""

from typing import Any

import click

from lttngnet.cli.amounts import COUNT, PERIOD, SIZE, TIMEOUT
from lttngnet.cli.options import as_json, domain_of, domain_options, examples, session_option
from lttngnet.cli.terminal import Terminal, pass_terminal

_channels = click.argument("channels", metavar="CHANNEL[,CHANNEL…]")


@click.command(
    epilog=examples(
        "lttngnet enable-channel -u big --subbuf-size 4M --num-subbuf 8",
        "lttngnet enable-channel -u flight --overwrite --buffers-pid",
        "lttngnet enable-channel -k quick --subbuf-size 256k",
    )
)
@_channels
@domain_options
@session_option
@click.option(
    "--discard", "mode", flag_value="discard", help="Where there is no room, drop the new event (default)."
)
@click.option(
    "--overwrite",
    "mode",
    flag_value="overwrite",
    help="Where there is no room, overwrite the oldest sub-buffer (flight recorder).",
)
@click.option("--subbuf-size", type=SIZE, metavar="SIZE", help="Bytes of a sub-buffer: 512k, 4M…")
@click.option("--num-subbuf", type=COUNT, metavar="COUNT", help="Sub-buffers for each CPU.")
@click.option(
    "--switch-timer", type=PERIOD, metavar="PERIOD", help="Hand on what is recorded at least this often (us)."
)
@click.option(
    "--read-timer", type=PERIOD, metavar="PERIOD", help="Look for full sub-buffers this often (us)."
)
@click.option("--monitor-timer", type=PERIOD, metavar="PERIOD", hidden=True, expose_value=False)
@click.option("--output", type=click.Choice(["mmap", "splice"]), hidden=True, expose_value=False)
@click.option("--tracefile-size", type=SIZE, metavar="SIZE", help="Begin a new trace file at this size.")
@click.option(
    "--tracefile-count",
    type=COUNT,
    metavar="COUNT",
    help="Keep this many trace files of a stream, and overwrite the oldest.",
)
@click.option("--buffers-uid", "buffers", flag_value="uid", help="User space: buffers for each user.")
@click.option("--buffers-pid", "buffers", flag_value="pid", help="User space: buffers for each process.")
@click.option("--buffers-global", "buffers", flag_value="global", help="Kernel: the only way.")
@click.option(
    "--blocking-timeout",
    type=TIMEOUT,
    metavar="TIME",
    help="User space: let programs that permit it ($LTTNG_UST_ALLOW_BLOCKING) wait for room (us, or inf).",
)
@as_json
@pass_terminal
def enable_channel(
    terminal: Terminal,
    /,
    channels: str,
    name: str | None,
    as_json: bool,
    mode: str | None,
    buffers: str | None,
    **named: Any,
) -> None:
    """Make channels, or enable them again.

    An event belongs to a channel, whose buffers have the size that is said here. enable-event makes a
    channel of its own, channel0, where there is none.
    """
    domain = domain_of(named)
    options = {
        key: value for key, value in named.items() if value is not None and not isinstance(value, bool)
    }
    if mode is not None:
        options["overwrite"] = mode == "overwrite"
    if buffers is not None and (domain == "kernel") != (buffers == "global"):
        raise click.ClickException(f"--buffers-{buffers} is not for the {domain} domain")
    if buffers in ("uid", "pid"):
        options["buffers"] = buffers
    session, wanted = terminal.session(name), channels.split(",")

    async def conversation(daemon: Any) -> None:
        for channel in wanted:
            await daemon.handle(session).enable_channel(domain, channel, **options)

    terminal.ask(conversation)
    text = "\n".join(f"{domain} channel {channel} enabled for session {session}." for channel in wanted)
    terminal.tell({"name": session, "domain": domain, "channels": wanted, "options": options}, text, as_json)


@click.command()
@_channels
@domain_options
@session_option
@pass_terminal
def disable_channel(terminal: Terminal, /, channels: str, name: str | None, **domains: bool) -> None:
    """Let channels record no more, until they are enabled again."""
    domain = domain_of(domains)
    session, wanted = terminal.session(name), channels.split(",")

    async def conversation(daemon: Any) -> None:
        for channel in wanted:
            await daemon.handle(session).disable_channel(domain, channel)

    terminal.ask(conversation)
    terminal.say(
        "\n".join(f"{domain} channel {channel} disabled for session {session}." for channel in wanted)
    )


@click.command(
    epilog=examples(
        "lttngnet add-context -u -t vpid -t procname",
        "lttngnet add-context -u -c channel0 -t perf:thread:cycles",
    )
)
@domain_options
@session_option
@click.option("-c", "--channel", default="", metavar="CHANNEL", help="Only of this channel.")
@click.option(
    "-t", "--type", "contexts", multiple=True, required=True, metavar="CONTEXT", help="What to add."
)
@pass_terminal
def add_context(
    terminal: Terminal, /, name: str | None, channel: str, contexts: tuple[str, ...], **domains: bool
) -> None:
    """Let every event carry more: the process it comes from, a performance counter, and more.

    Contexts of user space: vpid, vtid, procname, pthread_id, ip, cpu_id, the namespaces (pid_ns, net_ns…),
    user and group ids (vuid, veuid, vgid…), perf:thread:COUNTER, $app.PROVIDER:TYPE.
    """
    domain = domain_of(domains)
    session = terminal.session(name)
    wanted = [each for text in contexts for each in text.split(",") if each]
    terminal.ask(lambda daemon: daemon.handle(session).add_contexts(domain, wanted, channel))
    where = f"channel {channel}" if channel else "all channels"
    terminal.say("\n".join(f"{domain} context {each} added to {where}." for each in wanted))
