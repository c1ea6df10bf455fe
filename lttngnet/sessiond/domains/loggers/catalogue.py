"""Which loggers there are now: ``list -p``, ``list -j``, ``list -l``."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.python.failure import Failure

from lttngnet.log import Logger
from lttngnet.sessiond.agents.agent import Agent, AgentGone, AgentRefused
from lttngnet.sessiond.domains.loggers.kinds import Kind

log = Logger()


async def available(kind: Kind, agents: Iterable[Agent], fields: bool = False) -> list[dict[str, Any]]:
    """Return the loggers of all programs with an agent: see `lttngnet.wire.amp.ListEvents`.

    A logger is there once its program has asked for it. Agents that do not answer are left out; the programs
    that installed `lttngnet.logs` are not asked.

    Args:
        kind: of the loggers.
        agents: those that are there, of any kind.
        fields: loggers have none to tell.
    """
    asking = [Deferred.fromCoroutine(_of(agent)) for agent in agents if agent.domain is kind.domain]
    found = []
    for _, answer in await DeferredList(asking, consumeErrors=True):
        if not isinstance(answer, Failure):
            found += answer
        elif not answer.check(AgentGone, AgentRefused):
            log.failure("An agent could not be asked for its loggers", answer)
    return found


async def _of(agent: Agent) -> list[dict[str, Any]]:
    names = sorted(set(await agent.loggers()))
    procname = ""
    with suppress(OSError):  # its number is what it claims, and may be that of another namespace
        procname = Path(f"/proc/{agent.pid}/comm").read_text(errors="replace").rstrip("\n")
    return [{"name": name, "pid": agent.pid, "procname": procname} for name in names]
