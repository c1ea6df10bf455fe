"""Contexts, by the names that ``add-context`` has for them: facts that every event of a channel carries."""

import re

from lttngnet.errors import Code, CommandError, WireError
from lttngnet.sessiond.domains.ust import perf
from lttngnet.wire.ust import commands
from lttngnet.wire.ust.commands import Context, ContextKind

_SPECIAL = (ContextKind.PERF_THREAD_COUNTER, ContextKind.APPLICATION)
PLAIN = {kind.name.lower(): Context(kind) for kind in ContextKind if kind not in _SPECIAL}
"""The contexts that need nothing but their names: ``vpid``, ``procname``…"""

_OF_KERNEL = (
    *("pid", "prio", "nice", "tid", "ppid", "vppid", "hostname", "interruptible", "preemptible"),
    *("need_reschedule", "migratable", "callstack-kernel", "callstack-user"),
    *("uid", "euid", "suid", "gid", "egid", "sgid"),
)
_OWN = re.compile(r"\$app\.([^:\0]+):([^:\0]+)")
"""As with the genuine client, everything but a colon may stand in a name, also a dot."""


def context(name: str) -> Context:
    """Return the context of a name.

    Raises:
        CommandError: there is none such in user space, or not on this machine.
    """
    if name in PLAIN:
        return PLAIN[name]
    if own := _OWN.fullmatch(name):
        return _encodable(Context(ContextKind.APPLICATION, provider=own[1], name=own[2]), name)
    if name.startswith(perf.PREFIX):
        return _counter(name)
    if name in _OF_KERNEL or name.startswith("perf:cpu:"):
        virtual = f"v{name}"
        hint = f"; did you mean {virtual}?" if virtual in PLAIN else ""
        if name.startswith("perf:cpu:"):
            hint = f"; did you mean {perf.PREFIX}{name.removeprefix('perf:cpu:')}?"
        raise CommandError(Code.UST_CONTEXT_INVAL, f"context {name} is the kernel's, not user space's{hint}")
    names = ", ".join((*sorted(PLAIN), f"{perf.PREFIX}COUNTER", "$app.PROVIDER:TYPE"))
    raise CommandError(Code.UST_CONTEXT_INVAL, f"user space has no context {name[:80]!r}; there are {names}")


def _counter(name: str) -> Context:
    found = perf.context(name)
    if found is None:
        names = ", ".join((*perf.COUNTERS, "raw:rN:NAME"))
        raise CommandError(
            Code.UST_CONTEXT_INVAL, f"there is no counter {name[:80]!r}; behind {perf.PREFIX} can be {names}"
        )
    if why := perf.obstacle(found.perf_type, found.perf_config):
        raise CommandError(Code.UST_CONTEXT_INVAL, f"context {name} cannot be had: {why}")
    return _encodable(found, name)


def _encodable(found: Context, name: str) -> Context:
    try:
        commands.context(0, found)
    except WireError:
        raise CommandError(
            Code.UST_CONTEXT_INVAL, f"the name of a context is too long: {name[:80]!r}"
        ) from None
    return found
