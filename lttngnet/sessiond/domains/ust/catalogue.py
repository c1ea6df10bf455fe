"""What applications could record now: ``list -u``."""

import json
from collections.abc import Iterable
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from lttngnet.errors import WireError
from lttngnet.log import Logger
from lttngnet.sessiond.ust.application import Application, ApplicationGone, ApplicationRefused
from lttngnet.wire.ust import loglevels

log = Logger()

PATIENCE = 60.0  # seconds for the whole list of an application, which is asked entry by entry
ROOM = 12 << 20  # bytes of the whole answer, as JSON; a client takes no more than 16 MiB


async def available(
    applications: Iterable[Application], fields: bool, clock: IReactorTime
) -> list[dict[str, Any]]:
    """Return the tracepoints of all applications: see `lttngnet.wire.amp.ListEvents`.

    An application that does not answer is left out, and if all is too much, those with the longest lists.

    Args:
        applications: to ask, all at once.
        fields: whether to tell the fields of each tracepoint, too.
        clock: measures how long they take.
    """
    asked = list(applications)
    asking = [_try(each, fields, clock) for each in asked]
    told = [answer for _, answer in await DeferredList(asking)]
    sizes = [len(json.dumps(answer)) for answer in told]
    room = ROOM
    for number in sorted(range(len(asked)), key=sizes.__getitem__):
        room -= sizes[number]
        if room < 0:
            _leave_out(asked[number], "with its list the answer would be too long")
            told[number] = []
    return [event for answer in told for event in answer]


def _try(
    application: Application, with_fields: bool, clock: IReactorTime
) -> "Deferred[list[dict[str, Any]]]":
    def give_up(failure: Failure) -> list[dict[str, Any]]:
        failure.trap(ApplicationGone, ApplicationRefused, WireError, TimeoutError)
        is_late = failure.check(TimeoutError)
        _leave_out(application, f"it takes more than {PATIENCE:g} s" if is_late else str(failure.value))
        return []

    listing = Deferred.fromCoroutine(_of(application, with_fields))
    return listing.addTimeout(PATIENCE, clock).addErrback(give_up)


def _leave_out(application: Application, why: str) -> None:
    log.warn("The tracepoints of {who} are not listed: {why}", who=str(application), why=why)


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
