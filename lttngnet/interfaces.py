"""What has more than one implementation: sources, sinks, domains."""

from collections.abc import Sequence
from typing import Any

from zope.interface import Attribute, Interface

from lttngnet.ctf.packet import Packet, Silence


class IPacketSink(Interface):
    """Where packets go: a relay daemon, or a local folder. Lives in the consumer process.

    A stream is named by the number that `add_stream` returns. Every write has done with the bytes it
    was lent when it returns; when the other side is slower than we, the sink pauses the sources
    (they are push producers) instead of growing.
    """

    lost: str = Attribute("Why nothing can be delivered any more; empty while that is not so.")
    is_away: bool = Attribute("Whether nothing can be delivered now, and perhaps later.")

    async def begin() -> None:
        """Make room for a trace: called by the carrier before sources start, each time tracing starts."""

    async def add_stream(path: str, name: str, limit: Any = ...) -> int:
        """Announce a stream of the trace at ``path`` (such as ``kernel``) and return its number.

        The stream called ``metadata`` takes metadata, all others packets.

        Args:
            path: of the trace.
            name: of the stream.
            limit: of its files, a `lttngnet.ctf.packet.Limit`; without one a file takes all.
        """

    async def publish() -> None:
        """Say that every stream of a trace was announced, its metadata stream last."""

    def write_metadata(stream: int, text: bytes) -> None:
        """Append to the metadata of a trace. What describes a packet is written before the packet."""

    def rewrite_metadata(stream: int, text: bytes) -> None:
        """Replace the metadata of a trace."""

    def write(stream: int, packet: Packet) -> None:
        """Append a packet to a stream."""

    def beacon(silence: Silence) -> None:
        """Let readers of a live trace know that they need not wait for a stream; others need not know."""

    async def close_stream(stream: int) -> None:
        """No more packets will come on this stream."""

    async def rotate(keep: bool, go_on: bool) -> str:
        """Close the chunk that packets go to; no packet is written meanwhile.

        Args:
            keep: it in the archives; else delete all that it holds.
            go_on: with another one, in which the metadata is whole; else `begin` makes that.

        Returns:
            Where what was kept lies; empty if nothing was.

        Raises:
            CommandError: the other side cannot, or does not allow it.
        """

    async def archived() -> None:
        """Return when the chunk that `rotate` closed last is where it stays, with all that belongs to it.

        Packets may be written meanwhile. Whoever writes them may be slow: nobody waits for ever.
        """

    async def quiesce() -> None:
        """Return when all that was written has arrived on the other side."""

    def waiting() -> int:
        """Return how many bytes were written that have not left this machine, as far as is known."""

    async def finish() -> None:
        """Close the trace and let go of files and connections; called by the carrier at the very end."""


class IPacketSource(Interface):
    """Where the packets of one trace come from. Lives in the consumer process.

    A source also provides `twisted.internet.interfaces.IPushProducer`: paused, it hands on nothing, and what
    records the events drops and counts what it has no room for.
    """

    path: str = Attribute("Where the trace lies below the session's folder: ``kernel``, ``python``.")

    async def start(sink: Any) -> None:
        """Announce the streams and the metadata to an `IPacketSink`, and hand on packets from now on.

        Args:
            sink: None where there are only to be snapshots.
        """

    async def snapshot(sink: Any, max_size: int = 0) -> None:
        """Hand what is recorded, and stays recorded, to an `IPacketSink` of its own; see `start`.

        Args:
            sink: that is for nothing else.
            max_size: bytes; as many of the newest packets, of each stream alike, as fit in. 0: all.

        Raises:
            CommandError: what is read of this kind of trace is gone; not one packet of each stream fits in.
        """

    def clear() -> None:
        """Drop what is recorded, where there are only to be snapshots."""

    async def flush() -> list[Silence]:
        """Hand on what was recorded up to now, and go on; return the streams that had nothing.

        A stream's first packet is handed on even if it is empty: readers of a live trace wait for it.
        """

    async def stop() -> None:
        """Hand on everything that was recorded up to now, to the last event, and then nothing more."""

    async def ask(
        what: str, facts: dict[str, Any], descriptors: list[int]
    ) -> tuple[dict[str, Any], list[int]]:
        """Do what this kind of source does besides, in answer to the domain; its class says what there is.

        Returns:
            Facts, and descriptors that are sent to the domain and closed then.

        Args:
            what: is asked.
            facts: of the question (JSON).
            descriptors: which belong to the source from the call on, also if it refuses.

        Raises:
            CommandError: it cannot be done, or nothing like that is known.
        """

    def close() -> None:
        """Let go of files and sockets. Nothing is handed on any more."""

    def facts() -> dict[str, Any]:
        """Return counters (`lttngnet.sources.tally.facts`).

        ``events``, ``packets``, ``bytes`` handed on; events ``discarded`` before that; packets ``lost``:
        those that were overwritten before they were read. The same in ``channels`` for each of them, by name.
        """

    def waiting() -> int:
        """Return how many bytes are recorded and not handed on, about."""


class ICourier(Interface):
    """A consumer process as a domain of the session daemon sees it: it can be given things to carry."""

    async def add_source(kind: str, config: dict[str, Any]) -> None:
        """Let the process make a source: ``config`` is what the class behind ``kind`` is made of (JSON)."""

    async def ask_source(
        kind: str, what: str, facts: dict[str, Any], descriptors: Sequence[int] = ()
    ) -> tuple[dict[str, Any], list[int]]:
        """Ask the source of that kind, see `IPacketSource.ask`.

        Descriptors stay the caller's, who keeps them open until this returns; those that come back are the
        caller's, too.

        Raises:
            CommandError: the source refuses, or the process is gone.
        """


class IDomain(Interface):
    """What a tracing session traces of one domain: its channels and events. Lives in the session daemon."""

    name: str = Attribute("As users say it: ``kernel``, ``python``.")

    async def enable_events(channel: str, names: Sequence[str], options: dict[str, Any]) -> Any:
        """Add events to a channel, which is made where it is missing; return the names as recorded.

        Raises:
            CommandError: an event is unknown, the tracer is not available, the channel is not there.
        """

    async def disable_events(channel: str, names: Sequence[str]) -> Any:
        """Take events from a channel; no names means all of them."""

    async def enable_channel(channel: str, options: dict[str, Any]) -> None:
        """Make a channel, with attributes as ``lttng enable-channel`` knows them, or enable it again.

        Args:
            options: ``subbuf_size`` (bytes), ``num_subbuf``, ``overwrite``, ``switch_timer`` and
                ``read_timer`` (us), ``tracefile_size`` (bytes), ``tracefile_count``, ``buffers`` (``uid``
                or ``pid``), ``blocking_timeout`` (us, -1 for ever); each has a default.

        Raises:
            CommandError: as `enable_events`, or an option is not possible.
        """

    async def disable_channel(channel: str) -> None:
        """Let a channel record no more, until it is enabled again."""

    async def add_contexts(channel: str, names: Sequence[str]) -> None:
        """Let every event of a channel carry more fields; an empty name means every channel."""

    async def track(kind: str, ids: Sequence[int | str]) -> None:
        """Trace only processes with one of these ids, and those that were named before; none means all.

        Args:
            kind: ``pid``, ``vpid``, ``uid``, ``vuid``, ``gid`` or ``vgid``.
            ids: numbers, or names of users and groups.
        """

    async def untrack(kind: str, ids: Sequence[int | str]) -> None:
        """Trace processes with these ids no more; none means all ids."""

    async def regenerate(what: str) -> None:
        """Write anew what is written once: ``metadata``, or the ``statedump`` of the applications."""

    def is_empty() -> bool:
        """Tell whether there is nothing to trace: no channel, no event."""

    async def attach(courier: Any) -> None:
        """Tell a consumer process (an `ICourier`) what to carry. Called once for each process."""

    async def detach() -> None:
        """Let go of what was made for the consumer process, which is gone, or will be; `stop` came before."""

    async def start() -> None:
        """Let the tracer record."""

    async def stop() -> None:
        """Let the tracer record no more; what it recorded stays to be collected."""

    async def destroy() -> None:
        """Take down all that was set up, as if the session had never been."""

    def describe() -> dict[str, Any]:
        """Return what was asked for: ``{"channels": [{"name": …, "events": […]}]}``.

        A channel also tells ``sources``, if it is not carried by the one with the domain's name: their kinds.
        """
