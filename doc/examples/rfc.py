"""The same calls under the RFC's names: ``python rfc.py URI``."""

import sys

from twisted.internet.task import react

from lttngnet.client import (
    connect,
    lttng_create_handle,
    lttng_create_session,
    lttng_disable_consumer,
    lttng_enable_consumer,
    lttng_set_consumer_uri,
)


async def rfc(reactor, uri):
    """Create a session, set and enable its consumer, rest, go on, and end."""
    await lttng_create_session("session1", None)
    handle = lttng_create_handle("session1")
    await lttng_set_consumer_uri(handle, uri)
    await lttng_enable_consumer(handle)
    await lttng_disable_consumer(handle)
    await lttng_enable_consumer(handle)

    daemon = await connect(reactor)
    facts = await daemon.handle("session1").destroy()
    print(f"{facts['name']} was {facts['state']}, its trace {facts['path']}")
    await daemon.close()


if __name__ == "__main__":
    react(lambda reactor: rfc(reactor, *sys.argv[1:]))
