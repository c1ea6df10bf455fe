"""A session daemon and its sessions, as a client sees them: an AMP command behind every method."""

import errno
import json
import os
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Any

from twisted.internet.endpoints import UNIXClientEndpoint, connectProtocol
from twisted.internet.error import ConnectError, ConnectionClosed
from twisted.protocols import amp

from lttngnet.errors import Code, CommandError, WireError
from lttngnet.rundir import candidates
from lttngnet.uri import Output, UriError, parse_argument
from lttngnet.wire import amp as wire

SOCKET_PATH_MAX = 107
"""Bytes that the path of a UNIX socket can have."""

Facts = dict[str, Any]
"""What the daemon tells of a session: see `lttngnet.wire.amp.Describe`."""


class Session:
    """A tracing session of the daemon, by its name; the daemon is asked only by the methods.

    Every method fails with `CommandError`, of the code SESSION_NOT_FOUND where the session is no more.
    """

    def __init__(self, daemon: "Daemon", name: str) -> None:
        self._daemon = daemon
        self.name = name

    async def set_consumer_uri(self, uri: str | Output) -> str:
        """Set the consumer template, or a half of it (RFC, "Client API integration").

        It is in force when the consumer is enabled; but a network consumer is freed unless tracing is active.
        What there is to be warned of in the whole template is told in `Daemon.warnings`.

        Args:
            uri: text is read by `lttngnet.uri.parse_argument`, in the working directory of this process.

        Returns:
            The whole template as text.

        Raises:
            CommandError: the URI is wrong (INVALID).
        """
        output = output_of(uri) if isinstance(uri, str) else uri
        answer = await self._ask(wire.SetConsumerUri, output=output.to_dict())
        self._daemon.warnings += [each for each in answer["warnings"] if each not in output.warnings]
        return str(answer["output"])

    async def set_policy(
        self, on_loss: str | None = None, spool_size: int | None = None, spool_drop: str | None = None
    ) -> None:
        """Say what becomes of the trace when the relay daemon goes away; None leaves it as it is.

        It counts for the relay daemon that the consumer is enabled for next.

        Args:
            on_loss: ``stop`` tracing; ``hold`` what is recorded until the relay daemon is back; ``local``:
                go on in a local folder.
            spool_size: bytes that are held at most.
            spool_drop: which packets give way then, the ``oldest`` or the ``newest``.

        Raises:
            CommandError: a value cannot be (INVALID).
        """
        policy = {"on_loss": on_loss, "spool_size": spool_size, "spool_drop": spool_drop}
        await self._ask(wire.SetPolicy, policy=policy)

    async def enable_consumer(self) -> str:
        """Establish the network session, or open the local folder, and have a consumer ready for it (RFC).

        Where tracing is active, the trace goes on there without a gap. A consumer that was disabled goes on.
        What could not be delivered to where the trace went before is told in `Daemon.warnings`.

        Returns:
            Where the trace goes: ``HOST/SESSION-DATE`` below the relay daemon's folder, or a local path.

        Raises:
            CommandError: half of the URI is missing (URL_CTRL_MISS, URL_DATA_MISS), or the relay daemon
                cannot be reached or refuses: then everything is as it was before.
        """
        answer = await self._ask(wire.EnableConsumer)
        if answer["warning"]:
            self._daemon.warnings.append(answer["warning"])
        return str(answer["output"])

    async def disable_consumer(self, hold: bool = False) -> None:
        """Let the consumer stop consuming, but still exist; `enable_consumer` enables it again (RFC).

        Args:
            hold: keep what is recorded meanwhile, and deliver it then; else it is lost, and counted.
        """
        await self._ask(wire.DisableConsumer, hold=hold)

    async def enable_events(
        self, domain: str, names: Sequence[str], channel: str = "channel0", **options: Any
    ) -> list[str]:
        """Record events from now on.

        Args:
            domain: ``kernel``, ``userspace``, ``python``, ``jul`` or ``log4j``.
            names: of events; with the option ``all`` there are none.
            channel: is made where it is missing.
            options: those of the domain. Kernel: ``all``, ``kind`` (``all``, ``tracepoint``, ``syscall``).
                The others: ``all``, ``loglevel`` (a name, a number, or None), ``loglevel_only``; user space
                also ``exclude`` (names or globs) and ``filter`` (an expression).

        Returns:
            The names as the domain records them.
        """
        answer = await self._ask(
            wire.EnableEvents, domain=domain, channel=channel, names=list(names), options=options
        )
        return [str(name) for name in answer["names"]]

    async def disable_events(self, domain: str, names: Sequence[str] = (), channel: str = "channel0") -> None:
        """Record these events no more; no names means all of the channel."""
        await self._ask(wire.DisableEvents, domain=domain, channel=channel, names=list(names))

    async def enable_channel(self, domain: str, channel: str, **options: Any) -> None:
        """Make a channel, or enable it again.

        Args:
            domain: as in `enable_events`.
            channel: its name.
            options: see `lttngnet.interfaces.IDomain.enable_channel`.
        """
        await self._ask(wire.EnableChannel, domain=domain, channel=channel, options=options)

    async def disable_channel(self, domain: str, channel: str) -> None:
        """Let a channel record no more, until it is enabled again."""
        await self._ask(wire.DisableChannel, domain=domain, channel=channel)

    async def add_contexts(self, domain: str, names: Sequence[str], channel: str = "") -> None:
        """Let every event of a channel, or of all channels, carry these contexts as well."""
        await self._ask(wire.AddContexts, domain=domain, channel=channel, names=list(names))

    async def track(self, domain: str, kind: str, ids: Sequence[int | str] = ()) -> None:
        """Trace only processes with these ids of a kind (``pid``, ``vuid``…); no ids means all."""
        await self._ask(wire.Track, domain=domain, kind=kind, ids=list(ids))

    async def untrack(self, domain: str, kind: str, ids: Sequence[int | str] = ()) -> None:
        """Trace processes with these ids no more; no ids means all."""
        await self._ask(wire.Untrack, domain=domain, kind=kind, ids=list(ids))

    async def regenerate(self, what: str) -> None:
        """Have ``metadata`` or ``statedump`` written anew."""
        await self._ask(wire.Regenerate, what=what)

    async def rotate(self) -> str:
        """Archive what was recorded up to now, as a trace of its own.

        Returns:
            Where it lies: below the relay daemon's folder, or a local path.
        """
        return str((await self._ask(wire.Rotate))["path"])

    async def enable_rotation(self, kind: str, amount: int) -> None:
        """Rotate again and again: each ``amount`` of microseconds (kind ``timer``) or of bytes (``size``)."""
        await self._ask(wire.EnableRotation, kind=kind, amount=amount)

    async def disable_rotation(self, kind: str) -> None:
        """Do not rotate any more for that kind of reason."""
        await self._ask(wire.DisableRotation, kind=kind)

    async def clear(self) -> None:
        """Delete what was recorded up to now, but for what is archived; tracing goes on."""
        await self._ask(wire.Clear)

    async def snapshot(self, name: str = "", output: str | Output | None = None, max_size: int = 0) -> str:
        """Record a snapshot of what is in the buffers, which stays there.

        Args:
            name: takes the place of that of the output.
            output: as in `set_consumer_uri`; None: the one that the session has.
            max_size: bytes of packets that are recorded, the newest of each stream; 0 for no limit.

        Returns:
            Where it lies: below the relay daemon's folder, or a local path.
        """
        wanted = output_of(output) if isinstance(output, str) else output
        where = None if wanted is None else wanted.to_dict()
        wanted_now = {"name": name, "output": where, "max_size": max_size}
        return str((await self._ask(wire.RecordSnapshot, **wanted_now))["path"])

    async def add_snapshot_output(self, output: str | Output, name: str = "") -> Facts:
        """Add an output of snapshots, as in `set_consumer_uri`; return its ``id``, ``name``, ``output``."""
        wanted = output_of(output) if isinstance(output, str) else output
        return dict((await self._ask(wire.AddSnapshotOutput, name=name, output=wanted.to_dict()))["output"])

    async def delete_snapshot_output(self, which: str | int) -> None:
        """Delete an output of snapshots, by its name or number."""
        await self._ask(wire.DeleteSnapshotOutput, which=str(which))

    async def snapshot_outputs(self) -> list[Facts]:
        """Return the outputs of snapshots: ``id``, ``name``, ``output`` of each."""
        return list((await self._ask(wire.ListSnapshotOutputs))["outputs"])

    async def start(self) -> None:
        """Start tracing."""
        await self._ask(wire.Start)

    async def stop(self) -> Facts:
        """Stop tracing, and return what `describe` tells once all that was recorded has arrived."""
        return dict((await self._ask(wire.Stop))["facts"])

    async def destroy(self) -> Facts:
        """Take the session down, and return what `describe` told last once its trace is closed."""
        return dict((await self._ask(wire.Destroy))["facts"])

    async def describe(self) -> Facts:
        """Return all about the session, as `lttngnet.wire.amp.Describe` lists it."""
        return dict((await self._ask(wire.Describe))["facts"])

    async def glance(self) -> Facts:
        """Return what `describe` does, without waiting for commands that are under way, such as `stop`."""
        return dict((await self._ask(wire.Glance))["facts"])

    async def _ask(self, command: type[wire.Command], **arguments: Any) -> dict[str, Any]:
        return await self._daemon.ask(command, session=self.name, **arguments)


class Daemon:
    """A connection to a session daemon.

    Attributes:
        warnings: sentences about what was done, though not all of it went well.
    """

    def __init__(self, channel: amp.AMP) -> None:
        self.warnings: list[str] = []
        self._channel = channel

    async def version(self) -> Facts:
        """Return who is there: ``version``, ``pid``… as `lttngnet.wire.amp.Version` lists it."""
        return dict((await self.ask(wire.Version))["facts"])

    async def create(
        self,
        name: str = "",
        output: str | Output | None = None,
        no_consumer: bool = False,
        live: int = 0,
        snapshot: bool = False,
    ) -> Session:
        """Create a tracing session.

        Args:
            name: empty for ``auto-<date>-<time>``.
            output: where the trace goes, as in `Session.set_consumer_uri`. None: the default local folder.
            no_consumer: the session has no output until a URI is set.
            live: for live viewers: microseconds between two times that what was recorded is sent.
            snapshot: nothing is sent by itself: the session is for snapshots, which go to that output.

        Raises:
            CommandError: the name is taken (SESSION_EXISTS) or not possible, or the output is wrong.
        """
        if isinstance(output, str):
            output = output_of(output)
        answer = await self.ask(
            wire.CreateSession,
            name=name,
            output=None if output is None else output.to_dict(),
            no_consumer=no_consumer,
            live=live,
            snapshot=snapshot,
        )
        return self.handle(str(answer["name"]))

    def handle(self, name: str) -> Session:
        """Return the session of a name without asking whether there is one."""
        return Session(self, name)

    async def session(self, name: str) -> Session:
        """Return the session of a name.

        Raises:
            CommandError: there is none (SESSION_NOT_FOUND).
        """
        session = self.handle(name)
        await session.describe()
        return session

    async def sessions(self) -> list[Facts]:
        """Return what `Session.describe` tells of every session."""
        return list((await self.ask(wire.List))["sessions"])

    async def events(self, domain: str, fields: bool = False) -> list[Facts]:
        """Return what a domain could trace now: see `lttngnet.wire.amp.ListEvents`."""
        return list((await self.ask(wire.ListEvents, domain=domain, fields=fields))["events"])

    async def close(self) -> None:
        """Close the connection; the sessions live on."""
        transport = self._channel.transport
        if transport is not None:
            transport.loseConnection()

    async def ask(self, command: type[wire.Command], **arguments: Any) -> dict[str, Any]:
        """Ask one question; every failure is a `CommandError`."""
        try:
            json.dumps(arguments, ensure_ascii=False).encode()
            return await wire.ask(self._channel, command, **arguments)
        except ConnectionClosed:
            raise CommandError(Code.NO_SESSIOND, "the session daemon ended the connection") from None
        except amp.UnhandledCommand:
            sentence = f"the session daemon does not know {command.__name__}: it is of another version"
            raise CommandError(Code.UNDEFINED_COMMAND, sentence) from None
        except amp.UnknownRemoteError:
            sentence = f"the session daemon failed inside, at {command.__name__}: its log says why"
            raise CommandError(Code.UNKNOWN, sentence) from None
        except UnicodeEncodeError:  # a file name that is not UTF-8, as Python carries it
            raise CommandError(Code.INVALID, f"what {command.__name__} was told is not UTF-8") from None
        except (amp.TooLong, WireError):
            raise CommandError(Code.INVALID, f"what {command.__name__} was told is too long") from None


async def connect(reactor: Any, rundir: str | None = None) -> Daemon:
    """Connect to the session daemon.

    Args:
        reactor: provides IReactorUNIX.
        rundir: the daemon's run-time folder. None: the user's own daemon (`lttngnet.rundir.default_rundir`),
            or that of root where there is no such daemon.

    Raises:
        CommandError: there is no daemon (NO_SESSIOND), or its socket may not be opened (PERMISSION).
    """
    folders = candidates(os.environ, os.getuid()) if rundir is None else [rundir]
    refused = []
    for folder in folders:
        socket = str(PurePath(folder, wire.CLIENT_SOCKET))
        if len(os.fsencode(socket)) > SOCKET_PATH_MAX:
            raise CommandError(Code.NO_SESSIOND, f"no socket can have the path {socket}: it is too long")
        try:
            return Daemon(await connectProtocol(UNIXClientEndpoint(reactor, socket), wire.Channel()))
        except ConnectError as problem:
            if problem.osError == errno.EACCES:
                refused.append(socket)
    if refused:
        raise CommandError(
            Code.PERMISSION, f"this user may not open the session daemon's socket {refused[0]}"
        )
    start = "twistd lttng-sessiond" if rundir is None else f"twistd lttng-sessiond --rundir {rundir}"
    raise CommandError(
        Code.NO_SESSIOND, f"no session daemon listens in {folders[0]}: start one with `{start}`"
    )


def output_of(text: str) -> Output:
    """Read a URI as `parse_argument` does, in the working directory of this process.

    Raises:
        CommandError: INVALID, as liblttng-ctl answers without asking the daemon.
    """
    try:
        return parse_argument(text, str(Path.cwd()))
    except UriError as problem:
        raise CommandError(Code.INVALID, str(problem)) from None
