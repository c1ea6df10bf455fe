"""What applications could record now: ``list -u``."""

from collections.abc import Iterable
from typing import Any

from twisted.internet.defer import Deferred, DeferredList

from lttngnet.errors import WireError
from lttngnet.log import Logger
from lttngnet.sessiond.ust.application import Application, ApplicationGone, ApplicationRefused
from lttngnet.wire.ust import loglevels

log = Logger()


async def available(applications: Iterable[Application], fields: bool) -> list[dict[str, Any]]:
    """Return the tracepoints of all applications: see `lttngnet.wire.amp.ListEvents`.

    An application that does not answer is left out.

    Args:
        applications: to ask, all at once.
        fields: whether to tell the fields of each tracepoint, too.
    """
    asking = [Deferred.fromCoroutine(_try(each, fields)) for each in applications]
    answers = await DeferredList(asking)
    return [event for _, answer in answers for event in answer]


async def _try(application: Application, with_fields: bool) -> list[dict[str, Any]]:
    try:
        return await _of(application, with_fields)
    except (ApplicationGone, ApplicationRefused, WireError) as problem:
        log.warn("{who} does not tell its tracepoints: {why}", who=str(application), why=str(problem))
        return []


async def _of(application: Application, with_fields: bool) -> list[dict[str, Any]]:
    process = {"pid": application.facts.pid, "procname": application.facts.name}
    events = {
        each.name: {"name": each.name, "loglevel": loglevels.name(each.loglevel), **process}
        for each in await application.tracepoints()
    }
    if with_fields:
        for event in events.values():
            event["fields"] = []
        for field in await application.fields():
            if field.field and field.event in events:
                kind = field.type.name.lower() + (" (no write)" if field.nowrite else "")
                events[field.event]["fields"].append({"name": field.field, "type": kind})  # type: ignore[attr-defined]
    return [events[name] for name in sorted(events)]
