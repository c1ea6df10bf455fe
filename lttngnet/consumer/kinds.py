"""The kinds of sources that a consumer process can make, each imported when it is first wanted."""

from importlib import import_module
from typing import Any

KINDS = {
    "kernel": "lttngnet.sources.ftrace.source:KernelSource",
    "python": "lttngnet.sources.records:RecordsSource",
    "userspace": "lttngnet.sources.ust.source:UstSource",
}


def make_source(reactor: Any, kind: str, config: dict[str, Any]) -> Any:
    """Make an `IPacketSource` of a kind; its class says what ``config`` holds."""
    module, _, name = KINDS[kind].partition(":")
    return getattr(import_module(module), name).from_config(config, reactor)
