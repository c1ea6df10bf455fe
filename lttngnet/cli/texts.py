"""What the daemon tells of a session (`lttngnet.wire.amp.Describe`), in words."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from lttngnet.cli import listing

Facts = dict[str, Any]

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


def size(amount: int) -> str:
    """Return a number of bytes as people say it."""
    power = min(max(amount.bit_length() - 1, 0) // 10, len(_UNITS) - 1)
    return f"{amount / 1024**power:.1f} {_UNITS[power]}" if power else f"{amount} bytes"


def plural(number: int, noun: str) -> str:
    """Return a number with its noun: ``1 event``, ``2 events``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def recorded(facts: Facts) -> str:
    """Return one line on what was handed on so far."""
    counters = facts["facts"]
    packets = plural(counters["packets"], "packet")
    if counters["events"] or not counters["packets"]:  # those of applications are not counted
        packets = f"{plural(counters['events'], 'event')} in {packets}"
    lost = f", {plural(counters['lost'], 'packet')} overwritten" if counters["lost"] else ""
    return f"Recorded: {packets}, {size(counters['bytes'])}; {counters['discarded']} discarded{lost}"


def worries(facts: Facts) -> list[str]:
    """Return what a user should be warned of."""
    found = [facts["problem"]] if facts["problem"] else []
    if lost := facts["facts"]["discarded"]:
        found.append(f"{plural(lost, 'event')} of session {facts['name']} had no room and were discarded")
    if lost := facts["facts"]["lost"]:
        found.append(f"newer packets have overwritten {plural(lost, 'packet')} of session {facts['name']}")
    connection = facts.get("connection") or {}
    if connection.get("fallback"):
        found.append(f"{connection['away']}: what it has not confirmed is in {connection['fallback']}")
    elif (kept := facts["facts"]["spooled"]) and facts["state"] == "stopped":
        until = "the relay daemon is back" if connection.get("away") else "the consumer is enabled"
        found.append(f"{size(kept)} of session {facts['name']} are kept until {until}")
    if lost := facts["facts"]["dropped"]:
        found.append(f"{plural(lost, 'packet')} of session {facts['name']} could not be handed on: lost")
    return found


def headline(facts: Facts) -> str:
    """Return one line on a session."""
    muted = ", consumer disabled" if facts["muted"] else ""
    return f"{facts['name']} ({facts['output'] or 'no output'}) [{facts['state']}{muted}]"


def details(facts: Facts) -> Iterator[str]:
    """Yield the lines on one session."""
    yield f"Tracing session {headline(facts)}"
    if facts["path"]:
        is_there = facts["network"] and not facts.get("connection", {}).get("fallback")
        where = ", below the relay daemon's output folder" if is_there else ""
        yield f"    Trace: {facts['path']}{where}"
    if facts["live"]:
        yield f"    Live: sent every {facts['live']} us"
    if rotation := _rotation(facts):
        yield f"    Rotated: {rotation}"
    if facts["template"]:
        yield f"    When enabled: {facts['template']}"
    if facts["consumer"] is not None:
        yield f"    Consumer: process {facts['consumer']}"
    yield f"    {recorded(facts)}"
    if facts["facts"]["spooled"]:
        yield f"    Kept, to be handed on later: {size(facts['facts']['spooled'])}"
    if facts["facts"]["dropped"]:
        yield f"    Lost packets: {facts['facts']['dropped']}"
    yield from _connection(facts)
    if facts["problem"]:
        yield f"    Problem: {facts['problem']}"
    for domain in facts["domains"]:
        yield ""
        yield from listing.domain(domain)


def _connection(facts: Facts) -> Iterator[str]:
    """Yield the lines on how the relay daemon is reached, where something is to be said."""
    connection = facts.get("connection")
    if not connection or facts["consumer"] is None or not facts["network"]:
        return
    if connection["fallback"]:
        yield f"    The relay daemon is gone: {connection['away']}; the trace goes on in that local folder"
    elif connection["away"]:
        yield f"    The relay daemon is away: {connection['away']}; what is recorded is held"
    elif connection["since"]:
        times = connection["reconnects"]
        again = f", come back to {plural(times, 'time')}" if times else ""
        yield f"    Connected since {datetime.fromtimestamp(connection['since']):%Y-%m-%d %H:%M:%S}{again}"


def _rotation(facts: Facts) -> str:
    """Return how often a session was rotated, and is; nothing if neither."""
    units = {"timer": "us", "size": "bytes"}
    schedule = [f"every {amount} {units[kind]}" for kind, amount in facts["rotation"].items() if amount]
    if not facts["rotated"] and not schedule:
        return ""
    return ", ".join([plural(facts["rotated"], "time"), *schedule])


def available(domain: str, events: list[Facts]) -> Iterator[str]:
    """Yield the lines on what a tracer could record now, the processes one after the other."""
    if not events:
        yield f"There is no {domain} event that could be recorded now."
    process = None
    for event in events:
        if "pid" in event and (found := (event["pid"], event.get("procname", ""))) != process:
            if process is not None:
                yield ""
            process = found
            yield f"PID: {found[0]} - Name: {found[1]}"
        told = ("name", "pid", "procname", "fields")
        extra = ", ".join(
            f"{key}: {value}" for key, value in event.items() if key not in told and value != ""
        )
        yield f"    {event['name']} ({extra})" if extra else f"    {event['name']}"
        yield from (f"        field: {field['name']} ({field['type']})" for field in event.get("fields", ()))


def others(facts: Facts, *told: str) -> Iterator[str]:
    """Yield a line for each fact but those that were told already, and those that say nothing."""
    for key, value in facts.items():
        if key not in told and value not in ("", None):
            yield f"    {key}: {', '.join(map(str, value)) if isinstance(value, list) else value}"
