"""The Python API of the session daemon: `connect` → `Daemon` → `Session`, and the RFC's own names over it.

::

    daemon = await connect(reactor)
    session = await daemon.create("session1")
    await session.set_consumer_uri("net://192.168.1.10")
    await session.enable_consumer()
    await session.enable_events("kernel", ["sched_switch"], all=False, kind="tracepoint")
    await session.start()

Everything that waits is awaitable, and fails with `CommandError`: LTTng's number and one sentence.
"""

from lttngnet.client.daemon import Daemon, Facts, Session, connect
from lttngnet.client.rfc import (
    lttng_create_handle,
    lttng_create_session,
    lttng_disable_consumer,
    lttng_dst_type,
    lttng_enable_consumer,
    lttng_handle,
    lttng_proto_type,
    lttng_set_consumer_uri,
    lttng_stream_type,
    lttng_uri,
    lttng_uri_type,
)
from lttngnet.errors import Code, CommandError

__all__ = [
    "Code",
    "CommandError",
    "Daemon",
    "Facts",
    "Session",
    "connect",
    "lttng_create_handle",
    "lttng_create_session",
    "lttng_disable_consumer",
    "lttng_dst_type",
    "lttng_enable_consumer",
    "lttng_handle",
    "lttng_proto_type",
    "lttng_set_consumer_uri",
    "lttng_stream_type",
    "lttng_uri",
    "lttng_uri_type",
]
