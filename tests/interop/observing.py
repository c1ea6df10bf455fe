"""A session daemon that only looks at applications: it says what it sees, as lines of JSON.

    python -m tests.interop.observing

SIGUSR1 lets it ask every application something, and say which of them answered.
"""

import json
import os
import signal
import sys
from dataclasses import asdict

from twisted.internet import reactor
from twisted.internet.defer import Deferred

from lttngnet.sessiond.ust.applications import Applications
from lttngnet.sessiond.ust.service import UstRendezvous, application_patience, ust_folder


def say(what, **facts):
    print(json.dumps({"what": what, **facts}), flush=True)


class Observer:
    """Lists what an application has before it is let go on."""

    async def joined(self, application):
        tracepoints = {each.name: each.loglevel for each in await application.tracepoints()}
        fields = [(each.event, each.field, each.type.name) for each in await application.fields()]
        session = await application.create_session()
        await application.wait_quiescent()
        await application.release(session)
        say("joined", tracepoints=tracepoints, fields=fields, **asdict(application.facts))

    def left(self, application):
        say("left", pid=application.facts.pid)


async def ask(application):
    try:
        await application.wait_quiescent()
    except Exception as problem:
        say("silent", pid=application.facts.pid, why=str(problem))
    else:
        say("answered", pid=application.facts.pid)


def main():
    applications = Applications()
    applications.watch(Observer())
    patience = application_patience(os.environ)
    service = UstRendezvous(reactor, ust_folder(os.environ, os.geteuid()), applications, patience)

    def ask_all():
        for application in applications:
            Deferred.fromCoroutine(ask(application))

    def take_signals():
        signal.signal(signal.SIGTERM, lambda *_: reactor.callFromThread(reactor.stop))
        signal.signal(signal.SIGUSR1, lambda *_: reactor.callFromThread(ask_all))
        say("ready", pid=os.getpid())

    service.privilegedStartService()
    service.startService()
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    reactor.callWhenRunning(take_signals)
    reactor.run()


if __name__ == "__main__":
    sys.exit(main())
