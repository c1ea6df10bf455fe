"""Trace all Python programs of this user for a while: ``python trace.py URI SECONDS``."""

import sys

from twisted.internet.task import deferLater, react

from lttngnet.client import CommandError, connect


async def trace(reactor, uri, seconds):
    """Trace, and say what came of it."""
    daemon = await connect(reactor)
    session = await daemon.create("example")
    try:
        await session.set_consumer_uri(uri)
        where = await session.enable_consumer()
        await session.enable_events("python", [], all=True)
        await session.start()
        await deferLater(reactor, float(seconds))
        facts = (await session.stop())["facts"]
        print(f"{facts['events']} events, {facts['discarded']} lost, in {where}")
    except CommandError as problem:
        print(f"{problem} (LTTng's number {problem.code})")
    finally:
        await session.destroy()
        await daemon.close()


if __name__ == "__main__":
    react(lambda reactor: trace(reactor, *sys.argv[1:]))
