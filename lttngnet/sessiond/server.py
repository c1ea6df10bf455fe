"""What clients can ask the session daemon for: the commands of `lttngnet.wire.amp` on its UNIX socket."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory

from lttngnet.errors import Code, CommandError
from lttngnet.log import ChannelLogger
from lttngnet.sessiond.sessions import Sessions
from lttngnet.uri import Output, UriError
from lttngnet.wire import amp

Catalogues = Mapping[str, Callable[[bool], Awaitable[list[dict[str, Any]]]]]
"""By domain: what returns the events that it could trace now, perhaps with their fields."""


def checked(output: dict[str, Any] | None) -> Output | None:
    """Make an output of what a client sent.

    Raises:
        CommandError: it is none.
    """
    if output is None:
        return None
    try:
        wanted = Output.from_dict(output)
        str(wanted).encode()  # answers carry it
    except UnicodeEncodeError:
        raise CommandError(Code.INVALID, "the name of an output has to be UTF-8") from None
    except UriError as problem:
        raise CommandError(Code.INVALID, str(problem)) from None
    return wanted


class ClientChannel(amp.Channel):
    """One client."""

    log = ChannelLogger()

    def __init__(
        self, sessions: Sessions, about: Callable[[], dict[str, Any]], available: Catalogues
    ) -> None:
        super().__init__()
        self._sessions = sessions
        self._about = about
        self._available = available

    def locateResponder(self, name: bytes) -> Any:
        """Note what the client asks for."""
        self.log.info("A client says {command}", command=name.decode("ascii", "backslashreplace"))
        return super().locateResponder(name)

    @amp.answers(amp.Version)
    async def version(self) -> dict[str, Any]:
        """See `amp.Version`."""
        return {"facts": self._about()}

    @amp.answers(amp.CreateSession)
    async def create(
        self, name: str, output: dict[str, Any] | None, no_consumer: bool, live: int, snapshot: bool
    ) -> dict[str, Any]:
        """See `amp.CreateSession`."""
        session = self._sessions.create(name, checked(output), no_consumer, live, snapshot)
        return {"name": session.name, "output": session.output}

    @amp.answers(amp.SetConsumerUri)
    async def set_consumer_uri(self, session: str, output: dict[str, Any]) -> dict[str, Any]:
        """See `amp.SetConsumerUri`."""
        wanted = checked(output)
        if wanted is None or not (wanted.is_network or wanted.is_complete):
            raise CommandError(Code.INVALID, "there is no URI to set")
        template = await self._sessions.get(session).set_consumer_uri(wanted)
        return {"output": str(template), "warnings": list(template.warnings)}

    @amp.answers(amp.SetPolicy)
    async def set_policy(self, session: str, policy: dict[str, Any]) -> None:
        """See `amp.SetPolicy`."""
        folder = str(self._sessions.folder / f"{session}-local")
        await self._sessions.get(session).set_policy(policy or {}, folder)

    @amp.answers(amp.EnableConsumer)
    async def enable_consumer(self, session: str) -> dict[str, Any]:
        """See `amp.EnableConsumer`."""
        output, warning = await self._sessions.get(session).enable_consumer()
        return {"output": output, "warning": warning}

    @amp.answers(amp.DisableConsumer)
    async def disable_consumer(self, session: str, hold: bool | None = None) -> None:
        """See `amp.DisableConsumer`."""
        await self._sessions.get(session).disable_consumer(bool(hold))

    @amp.answers(amp.EnableEvents)
    async def enable_events(
        self, session: str, domain: str, channel: str, names: list[str], options: dict[str, Any]
    ) -> dict[str, Any]:
        """See `amp.EnableEvents`."""
        events = await self._sessions.get(session).enable_events(domain, channel, names, options)
        return {"names": events}

    @amp.answers(amp.DisableEvents)
    async def disable_events(self, session: str, domain: str, channel: str, names: list[str]) -> None:
        """See `amp.DisableEvents`."""
        await self._sessions.get(session).disable_events(domain, channel, names)

    @amp.answers(amp.EnableChannel)
    async def enable_channel(self, session: str, domain: str, channel: str, options: dict[str, Any]) -> None:
        """See `amp.EnableChannel`."""
        await self._sessions.get(session).enable_channel(domain, channel, options)

    @amp.answers(amp.DisableChannel)
    async def disable_channel(self, session: str, domain: str, channel: str) -> None:
        """See `amp.DisableChannel`."""
        await self._sessions.get(session).disable_channel(domain, channel)

    @amp.answers(amp.AddContexts)
    async def add_contexts(self, session: str, domain: str, channel: str, names: list[str]) -> None:
        """See `amp.AddContexts`."""
        await self._sessions.get(session).add_contexts(domain, channel, names)

    @amp.answers(amp.Track)
    async def track(self, session: str, domain: str, kind: str, ids: list[int | str]) -> None:
        """See `amp.Track`."""
        await self._sessions.get(session).track(domain, kind, ids)

    @amp.answers(amp.Untrack)
    async def untrack(self, session: str, domain: str, kind: str, ids: list[int | str]) -> None:
        """See `amp.Untrack`."""
        await self._sessions.get(session).untrack(domain, kind, ids)

    @amp.answers(amp.Regenerate)
    async def regenerate(self, session: str, what: str) -> None:
        """See `amp.Regenerate`."""
        await self._sessions.get(session).regenerate(what)

    @amp.answers(amp.Rotate)
    async def rotate(self, session: str) -> dict[str, Any]:
        """See `amp.Rotate`."""
        return {"path": await self._sessions.get(session).rotate()}

    @amp.answers(amp.EnableRotation)
    async def enable_rotation(self, session: str, kind: str, amount: int) -> None:
        """See `amp.EnableRotation`."""
        await self._sessions.get(session).enable_rotation(kind, amount)

    @amp.answers(amp.DisableRotation)
    async def disable_rotation(self, session: str, kind: str) -> None:
        """See `amp.DisableRotation`."""
        await self._sessions.get(session).disable_rotation(kind)

    @amp.answers(amp.Clear)
    async def clear(self, session: str) -> None:
        """See `amp.Clear`."""
        await self._sessions.get(session).clear()

    @amp.answers(amp.RecordSnapshot)
    async def record_snapshot(
        self, session: str, name: str, output: dict[str, Any] | None, max_size: int
    ) -> dict[str, Any]:
        """See `amp.RecordSnapshot`."""
        recorded = self._sessions.get(session).record_snapshot(name, checked(output), max_size)
        return {"path": await recorded}

    @amp.answers(amp.AddSnapshotOutput)
    async def add_snapshot_output(self, session: str, name: str, output: dict[str, Any]) -> dict[str, Any]:
        """See `amp.AddSnapshotOutput`."""
        wanted = checked(output)
        if wanted is None:
            raise CommandError(Code.INVALID, "there is no output to add")
        return {"output": await self._sessions.get(session).add_snapshot_output(name, wanted)}

    @amp.answers(amp.DeleteSnapshotOutput)
    async def delete_snapshot_output(self, session: str, which: str) -> None:
        """See `amp.DeleteSnapshotOutput`."""
        await self._sessions.get(session).delete_snapshot_output(which)

    @amp.answers(amp.ListSnapshotOutputs)
    async def list_snapshot_outputs(self, session: str) -> dict[str, Any]:
        """See `amp.ListSnapshotOutputs`."""
        return {"outputs": await self._sessions.get(session).snapshot_outputs()}

    @amp.answers(amp.ListEvents)
    async def list_events(self, domain: str, fields: bool) -> dict[str, Any]:
        """See `amp.ListEvents`."""
        if domain not in self._available:
            raise CommandError(Code.UNKNOWN_DOMAIN, f"there is no domain {domain!r} to list the events of")
        return {"events": await self._available[domain](fields)}

    @amp.answers(amp.Start)
    async def start(self, session: str) -> None:
        """See `amp.Start`."""
        await self._sessions.get(session).start()

    @amp.answers(amp.Stop)
    async def stop(self, session: str) -> dict[str, Any]:
        """See `amp.Stop`."""
        return {"facts": await self._sessions.get(session).stop()}

    @amp.answers(amp.Destroy)
    async def destroy(self, session: str) -> dict[str, Any]:
        """See `amp.Destroy`."""
        return {"facts": await self._sessions.destroy(session)}

    @amp.answers(amp.List)
    async def list(self) -> dict[str, Any]:
        """See `amp.List`."""
        return {"sessions": await self._sessions.describe()}

    @amp.answers(amp.Describe)
    async def describe(self, session: str) -> dict[str, Any]:
        """See `amp.Describe`."""
        return {"facts": await self._sessions.get(session).describe()}

    @amp.answers(amp.Glance)
    async def glance(self, session: str) -> dict[str, Any]:
        """See `amp.Glance`."""
        return {"facts": await self._sessions.get(session).glance()}


class ClientFactory(Factory):
    """Makes a `ClientChannel` for every client."""

    noisy = False

    def __init__(
        self, sessions: Sessions, about: Callable[[], dict[str, Any]], available: Catalogues
    ) -> None:
        self._sessions = sessions
        self._about = about
        self._available = available

    def buildProtocol(self, addr: IAddress | None) -> ClientChannel:
        """Make the protocol."""
        return ClientChannel(self._sessions, self._about, self._available)
