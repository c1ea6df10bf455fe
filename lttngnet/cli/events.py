"""Verbs about what is traced: enable-event, disable-event."""

from typing import Any

import click

from lttngnet.cli.options import (
    as_json,
    domain_of,
    domain_options,
    examples,
    names_of,
    number_or_name,
    session_option,
)
from lttngnet.cli.terminal import Terminal, pass_terminal

_names = click.argument("names", metavar="[NAME,…]", required=False)
_every = click.option("-a", "--all", "every", is_flag=True, help="All events.")
_channel = click.option(
    "-c", "--channel", default="channel0", metavar="CHANNEL", show_default=True, help="With -k and -u."
)


@click.command(
    epilog=examples(
        "lttngnet enable-event -k -a",
        "lttngnet enable-event -k sched_switch,sched_wakeup",
        "lttngnet enable-event -k --syscall openat",
        "lttngnet enable-event -u 'my_provider:*' --filter 'size > 4096' --exclude my_provider:noisy",
        "lttngnet enable-event -p 'myapp.*' --loglevel WARNING",
    )
)
@_names
@_every
@domain_options
@session_option
@_channel
@click.option("--tracepoint", "kind", flag_value="tracepoint", help="Only tracepoints.")
@click.option(
    "--syscall", "kind", flag_value="syscall", help="Kernel: only system calls, by the call's own name."
)
@click.option(
    "--loglevel",
    metavar="LEVEL",
    help="Not of the kernel: events of this level (WARNING, 30…) and graver ones.",
)
@click.option("--loglevel-only", metavar="LEVEL", help="Not of the kernel: events of this level alone.")
@click.option("-x", "--exclude", metavar="NAME,…", help="User space: not these, of those that a glob means.")
@click.option(
    "-f",
    "--filter",
    "expression",
    metavar="EXPR",
    help="Not of the kernel: only events for which this holds.",
)
@as_json
@pass_terminal
def enable_event(
    terminal: Terminal,
    /,
    names: str | None,
    every: bool,
    name: str | None,
    channel: str,
    kind: str | None,
    loglevel: str | None,
    loglevel_only: str | None,
    exclude: str | None,
    expression: str | None,
    as_json: bool,
    **domains: bool,
) -> None:
    """Record events of the kernel (-k), of applications (-u), of Python or Java programs (-p, -j, -l)."""
    domain = domain_of(domains)
    wanted = names_of(names, every)
    options = _options(domain, every, kind, loglevel, loglevel_only)
    options |= _restrictions(domain, exclude, expression)
    session = terminal.session(name)
    enabled = terminal.ask(
        lambda daemon: daemon.handle(session).enable_events(domain, wanted, channel, **options)
    )
    if every:
        text = f"All {domain} events are enabled{_where(domain, channel)}."
    else:
        text = "\n".join(f"{domain} event {event} enabled{_where(domain, channel)}." for event in enabled)
    facts = {"name": session, "domain": domain, "channel": channel, "events": enabled}
    terminal.tell(facts, text, as_json)


@click.command()
@_names
@_every
@domain_options
@session_option
@_channel
@pass_terminal
def disable_event(
    terminal: Terminal, /, names: str | None, every: bool, name: str | None, channel: str, **domains: bool
) -> None:
    """Record these events no more."""
    domain = domain_of(domains)
    wanted = names_of(names, every)
    session = terminal.session(name)
    terminal.ask(lambda daemon: daemon.handle(session).disable_events(domain, wanted, channel))
    what = f"{domain} event {', '.join(wanted)}" if wanted else f"All {domain} events"
    terminal.say(f"{what} disabled{_where(domain, channel)}.")


def _where(domain: str, channel: str) -> str:
    """Return in which channel events are; those of a logger have one of their own."""
    return f" in channel {channel}" if domain in ("kernel", "userspace") else ""


def _options(
    domain: str, every: bool, kind: str | None, loglevel: str | None, loglevel_only: str | None
) -> dict[str, Any]:
    """Return the options of the domain, in the daemon's words."""
    if loglevel is not None and loglevel_only is not None:
        raise click.ClickException("--loglevel and --loglevel-only exclude each other")
    level = loglevel_only if loglevel is None else loglevel
    if domain == "kernel":
        if level is not None:
            raise click.ClickException("the kernel's events have no log levels: --loglevel is for the others")
        return {"all": every, "kind": kind or "all"}
    if kind == "syscall":
        raise click.ClickException(f"--{kind} is for the kernel: -k")
    number = None if level is None else number_or_name(level)
    return {"all": every, "loglevel": number, "loglevel_only": loglevel_only is not None}


def _restrictions(domain: str, exclude: str | None, expression: str | None) -> dict[str, Any]:
    """Return the options that leave events out. An empty text, as of a variable that is not set, is none."""
    options: dict[str, Any] = {}
    if domain == "kernel" and not (exclude is None and expression is None):
        raise click.ClickException(
            "the kernel's events cannot be filtered: --filter is for the others, --exclude for -u"
        )
    if exclude is not None:
        options["exclude"] = [each for each in exclude.split(",") if each]
        if not options["exclude"]:
            raise click.ClickException("--exclude needs names (NAME,…)")
    if expression is not None:
        if not expression.strip():
            raise click.ClickException("--filter needs an expression, such as 'size > 4096'")
        options["filter"] = expression
    return options
