"""What a session traces, in words: domains, their channels, and the events of each."""

from collections.abc import Iterator
from typing import Any

Facts = dict[str, Any]

_TOLD = ("name", "channels", "buffers", "tracked")
_SCHEMES = {"uid": "by user", "pid": "by process"}
_WIDTH = 18  # of a label


def domain(facts: Facts) -> Iterator[str]:
    """Yield the lines on a domain of a session: see `lttngnet.wire.amp.Describe`."""
    yield f"Domain {facts['name']}"
    if "buffers" in facts:
        yield _line("Buffers", _SCHEMES[facts["buffers"]])
    if "tracked" in facts:
        yield _line("Tracked processes", _tracked(facts["tracked"]))
    for key, value in facts.items():
        if key not in _TOLD:
            yield _line(key.capitalize(), value)
    for channel in facts["channels"]:
        yield ""
        yield from (f"    {line}" for line in _channel(channel))


def _line(label: str, value: Any) -> str:
    return f"    {label + ':':{_WIDTH}} {value}"


def _tracked(ids: dict[str, list[int | str]]) -> str:
    """Return which processes are traced: those that fit everywhere."""
    each = [f"{kind} {' or '.join(map(str, known)) or 'none'}" for kind, known in ids.items()]
    return ", ".join(each) or "all"


def _channel(channel: Facts) -> Iterator[str]:
    yield f"Channel {channel['name']} {_state(channel)}"
    if "subbuf_size" in channel:
        yield _line("When full", "overwrite the oldest" if channel["overwrite"] else "discard the newest")
        yield _line("Sub-buffers", f"{channel['num_subbuf']} of {channel['subbuf_size']} bytes for each CPU")
        yield _line("Switch timer", _period(channel["switch_timer"]))
        yield _line("Read timer", _period(channel["read_timer"]))
        yield _line("Blocking timeout", _timeout(channel["blocking_timeout"]))
        yield _line("Trace files", _files(channel["tracefile_size"], channel["tracefile_count"]))
    if counters := channel.get("facts"):
        yield _line("Discarded events", counters["discarded"])
        if counters["lost"] or channel.get("overwrite"):
            yield _line("Lost packets", counters["lost"])
    if "contexts" in channel:
        yield _line("Contexts", ", ".join(channel["contexts"]) or "none")
    if channel.get("lent"):
        yield _line("Events", "those of loggers, see their domain")
        return
    yield _line("Events", "" if channel["events"] else "none").rstrip()
    yield from (f"        {_event(event)}" for event in channel["events"])


def _event(event: Facts) -> str:
    said = []
    if event.get("kind") not in (None, "all"):
        said.append(f"type: {event['kind']}")
    if event.get("loglevel") is not None:
        which = "only" if event["loglevel_only"] else "and graver"
        said.append(f"log level: {event['loglevel']} {which}")
    if event.get("filter"):
        said.append(f"filter: {event['filter']}")
    if event.get("exclude"):
        said.append(f"without: {', '.join(event['exclude'])}")
    return " ".join((event["name"], *(f"({each})" for each in said), _state(event)))


def _state(facts: Facts) -> str:
    return "[enabled]" if facts.get("enabled", True) else "[disabled]"


def _period(microseconds: int) -> str:
    return f"{microseconds} us" if microseconds else "none"


def _timeout(microseconds: int) -> str:
    return "infinite" if microseconds < 0 else _period(microseconds)


def _files(size: int, count: int) -> str:
    if not size:
        return "one for each stream"
    return f"{count or 'any number'} of {size} bytes for each stream"
