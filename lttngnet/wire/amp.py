"""What client, session daemon and consumer process say to each other, as AMP commands.

Client to session daemon, over the UNIX socket `CLIENT_SOCKET` in its run-time folder: the RFC's calls and
the verbs around them. Session daemon to consumer process, over an inherited socket: what to carry, where to.

A failed command travels as `Refused`, whose text is `CommandError.to_text`.
"""

import json
import os
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import connectionDone
from twisted.protocols import amp
from twisted.python.failure import Failure

from lttngnet.errors import CommandError, WireError

CLIENT_SOCKET = "client-lttngnet"  # its name in the session daemon's run-time folder

PIECE = 65535  # bytes: AMP's limit for one value
MOST_PIECES = 256  # of one Json argument: 16 MiB
MOST_DESCRIPTORS = 1 << 16  # of one Descriptors argument: a channel on 1,024 CPUs needs two thousand


class Refused(Exception):
    """A command that could not be carried out; its text is that of a `CommandError`."""

    @classmethod
    def because(cls, error: CommandError) -> "Refused":
        """Make the exception that carries an error over AMP."""
        return cls(error.to_text())

    def to_error(self) -> CommandError:
        """Return the error as it was on the other side."""
        return CommandError.from_text(str(self))


Answering = Callable[..., Awaitable[dict[str, Any] | None]]


def answers(command: type[amp.Command]) -> Callable[[Answering], Answering]:
    """Make an ``async`` method the responder of a command: it may raise `CommandError`."""

    def decorate(method: Answering) -> Answering:
        async def answer(*arguments: Any, **named: Any) -> dict[str, Any]:
            try:
                return await method(*arguments, **named) or {}
            except CommandError as error:
                raise Refused.because(error) from None

        command.responder(lambda *arguments, **named: Deferred.fromCoroutine(answer(*arguments, **named)))
        return method

    return decorate


class Channel(amp.AMP):
    """One end of a connection. Unlike Twisted's, it does not log that connections come and go."""

    def makeConnection(self, transport: Any) -> None:
        """See `IProtocol`."""
        amp.BinaryBoxProtocol.makeConnection(self, transport)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See `IProtocol`."""
        amp.BinaryBoxProtocol.connectionLost(self, reason)
        self.transport = None
        while self._descriptors:  # theirs is a command that never came whole
            os.close(self._descriptors.popitem()[1])


async def ask(peer: amp.AMP, command: type[amp.Command], **arguments: Any) -> dict[str, Any]:
    """Send a command and return its answer.

    Raises:
        CommandError: it was refused.
        ConnectionLost: the peer went away (`twisted.internet.error`).
    """
    try:
        answer: dict[str, Any] = await peer.callRemote(command, **arguments)
    except Refused as refusal:
        raise refusal.to_error() from None
    return answer


class Json(amp.Argument):
    """Anything that JSON can say; spread over as many AMP values as it takes.

    The first piece has the argument's own name, the others ``<name>.1``, ``<name>.2``…
    """

    def toBox(self, name: bytes, strings: Any, objects: Any, proto: Any) -> None:
        """Put the argument into a box.

        Raises:
            WireError: it is too long.
        """
        text = json.dumps(objects[name.decode()], separators=(",", ":")).encode()
        pieces = [text[at : at + PIECE] for at in range(0, len(text), PIECE)]
        if len(pieces) > MOST_PIECES:
            raise WireError(f"{name.decode()} has {len(text)} bytes, more than {PIECE * MOST_PIECES}")
        for number, piece in enumerate(pieces):
            strings[self._key(name, number)] = piece

    def fromBox(self, name: bytes, strings: Any, objects: Any, proto: Any) -> None:
        """Take the argument out of a box."""
        pieces: list[bytes] = []
        while (key := self._key(name, len(pieces))) in strings and len(pieces) < MOST_PIECES:
            pieces.append(strings.pop(key))
        if not pieces and self.optional:
            objects[name.decode()] = None
        else:
            objects[name.decode()] = json.loads(b"".join(pieces))

    @staticmethod
    def _key(name: bytes, number: int) -> bytes:
        return b"%s.%d" % (name, number) if number else name


_ONE = amp.Descriptor()


class Descriptors(Json):
    """Open files that go along to a peer on a UNIX socket, where they belong to the receiver.

    The transport sends them when it can. So the sender keeps them open until the command is answered, and
    there are none in answers.

    Each is named by its place among all that were sent on the connection, and by its inode: the system says
    nothing when the receiver has no descriptor left for one, and the next would be taken for it. A receiver
    who finds that out hangs up.
    """

    def toBox(self, name: bytes, strings: Any, objects: Any, proto: Any) -> None:
        """Put the argument into a box, and the files on their way.

        Raises:
            WireError: there are too many.
            ConnectionLost: there is no peer any more.
            OSError: one is not open.
        """
        descriptors = objects[name.decode()]
        if len(descriptors) > MOST_DESCRIPTORS:
            raise WireError(f"{len(descriptors)} files are more than {MOST_DESCRIPTORS}")
        if proto.transport is None:
            raise ConnectionLost
        inodes = [os.fstat(each).st_ino for each in descriptors]
        places = [int(_ONE.toStringProto(each, proto)) for each in descriptors]
        named = list(zip(places, inodes, strict=True))
        super().toBox(name, strings, {name.decode(): named}, proto)

    def fromBox(self, name: bytes, strings: Any, objects: Any, proto: Any) -> None:
        """Take the argument out of a box.

        Raises:
            WireError: one did not arrive.
        """
        super().fromBox(name, strings, objects, proto)
        received: list[int] = []
        try:
            for place, inode in objects[name.decode()]:
                received.append(_ONE.fromStringProto(b"%d" % place, proto))
                if os.fstat(received[-1]).st_ino != inode:
                    raise KeyError(place)
                os.set_inheritable(received[-1], False)
        except KeyError:
            close_all(received)
            raise WireError("an open file that was sent did not arrive: too many are open") from None
        objects[name.decode()] = received


def close_all(descriptors: Iterable[int]) -> None:
    """Close files."""
    for each in descriptors:
        os.close(each)


class Command(amp.Command):
    """A command that can be refused."""

    errors = {Refused: b"REFUSED"}


# ---------------------------------------------------------------- client → session daemon


class Version(Command):
    """Who is there: ``{"version": …, "pid": …, "rundir": …, "domains": names of what can be traced}``."""

    response = [(b"facts", Json())]


class CreateSession(Command):
    """Create a tracing session.

    ``name`` is empty for ``auto-<date>-<time>``. ``output`` is an `Output` as a dict, or None: then it is the
    default local folder, unless ``no_consumer`` is set: then the session has none until a URI is set.
    With ``snapshot`` nothing is sent there by itself: the session is for snapshots.
    ``live`` is 0, or the microseconds between two times that what was recorded is sent, for live viewers.
    The answer is the session's name, and where its trace will go, as text.
    """

    arguments = [
        (b"name", amp.Unicode()),
        (b"output", Json()),
        (b"no_consumer", amp.Boolean()),
        (b"live", amp.Integer()),
        (b"snapshot", amp.Boolean()),
    ]
    response = [(b"name", amp.Unicode()), (b"output", amp.Unicode())]


class SetConsumerUri(Command):
    """Set the consumer template of a session, or a half of it; the answer is the template as text.

    Also ``warnings``: sentences about all of the template, such as that its halves have different addresses.

    What is in force stays so until `EnableConsumer`; but a network consumer is freed where no
    tracing is active.
    """

    arguments = [(b"session", amp.Unicode()), (b"output", Json())]
    response = [(b"output", amp.Unicode()), (b"warnings", Json())]


class EnableConsumer(Command):
    """Establish the network session (or open the local folder) and have a consumer process ready for it.

    Where tracing is active the consumer goes over to it. A consumer that was disabled goes on.

    The answer is where the trace goes: ``HOST/SESSION-DATE`` on the relay daemon, or a local path. And a
    ``warning``, if not empty: what has not arrived where the trace went before.
    """

    arguments = [(b"session", amp.Unicode())]
    response = [(b"output", amp.Unicode()), (b"warning", amp.Unicode())]


class DisableConsumer(Command):
    """The consumer stops consuming, but still exists; `EnableConsumer` enables it again.

    What is recorded meanwhile is lost, and counted; with ``hold`` it is kept and delivered then.
    """

    arguments = [(b"session", amp.Unicode()), (b"hold", amp.Boolean(optional=True))]


class EnableEvents(Command):
    """Add events to a channel of a domain (``kernel``, ``python``); the answer is their names as recorded.

    ``options`` are the domain's own: see its ``enable_events``.
    """

    arguments = [
        (b"session", amp.Unicode()),
        (b"domain", amp.Unicode()),
        (b"channel", amp.Unicode()),
        (b"names", Json()),
        (b"options", Json()),
    ]
    response = [(b"names", Json())]


class DisableEvents(Command):
    """Take events from a channel of a domain; an empty list of names takes all."""

    arguments = [
        (b"session", amp.Unicode()),
        (b"domain", amp.Unicode()),
        (b"channel", amp.Unicode()),
        (b"names", Json()),
    ]


class EnableChannel(Command):
    """Make a channel of a domain, or enable it again; ``options``: see `IDomain.enable_channel`."""

    arguments = [
        (b"session", amp.Unicode()),
        (b"domain", amp.Unicode()),
        (b"channel", amp.Unicode()),
        (b"options", Json()),
    ]


class DisableChannel(Command):
    """Let a channel record no more, until it is enabled again."""

    arguments = [(b"session", amp.Unicode()), (b"domain", amp.Unicode()), (b"channel", amp.Unicode())]


class AddContexts(Command):
    """Let every event of a channel (empty: of all channels) carry these contexts."""

    arguments = [
        (b"session", amp.Unicode()),
        (b"domain", amp.Unicode()),
        (b"channel", amp.Unicode()),
        (b"names", Json()),
    ]


class Track(Command):
    """Trace only processes with these ids of a kind (``pid``, ``vpid``, ``uid``…); none means all."""

    arguments = [
        (b"session", amp.Unicode()),
        (b"domain", amp.Unicode()),
        (b"kind", amp.Unicode()),
        (b"ids", Json()),
    ]


class Untrack(Track):
    """Trace processes with these ids no more; none means all ids."""


class Regenerate(Command):
    """Write anew what is written once: the ``metadata``, or the ``statedump`` of the applications."""

    arguments = [(b"session", amp.Unicode()), (b"what", amp.Unicode())]


class Rotate(Command):
    """Archive what was recorded up to now; the answer is where: at the relay daemon, or a local path."""

    arguments = [(b"session", amp.Unicode())]
    response = [(b"path", amp.Unicode())]


class EnableRotation(Command):
    """Rotate again and again: every so many microseconds (``timer``), or bytes (``size``)."""

    arguments = [(b"session", amp.Unicode()), (b"kind", amp.Unicode()), (b"amount", amp.Integer())]


class DisableRotation(Command):
    """Rotate no more by itself, for that ``kind`` of reason."""

    arguments = [(b"session", amp.Unicode()), (b"kind", amp.Unicode())]


class Clear(Command):
    """Delete what was recorded up to now, but for what is archived; tracing goes on."""

    arguments = [(b"session", amp.Unicode())]


class RecordSnapshot(Command):
    """Record a snapshot; the answer is where it lies, at the relay daemon or here.

    ``name`` takes the place of that of the output if it is not empty. ``output`` is an `Output` as a dict, or
    None for the one that the session has. ``max_size`` is in bytes, 0 for no limit.
    """

    arguments = [
        (b"session", amp.Unicode()),
        (b"name", amp.Unicode()),
        (b"output", Json()),
        (b"max_size", amp.Integer()),
    ]
    response = [(b"path", amp.Unicode())]


class AddSnapshotOutput(Command):
    """Add an output of snapshots; the answer is what `ListSnapshotOutputs` tells of it."""

    arguments = [(b"session", amp.Unicode()), (b"name", amp.Unicode()), (b"output", Json())]
    response = [(b"output", Json())]


class DeleteSnapshotOutput(Command):
    """Delete an output of snapshots, by its name or number."""

    arguments = [(b"session", amp.Unicode()), (b"which", amp.Unicode())]


class ListSnapshotOutputs(Command):
    """The outputs of snapshots: ``[{"id": number, "name": …, "output": as text}]``."""

    arguments = [(b"session", amp.Unicode())]
    response = [(b"outputs", Json())]


class ListEvents(Command):
    """What a domain could trace now: a list of ``{"name": …}`` with what else the domain knows of each.

    * userspace: also ``pid``, ``procname`` and ``loglevel``; with ``fields`` also
      ``fields``: ``[{"name": …, "type": …}]``;
    * kernel: also ``kind``: ``tracepoint`` or ``syscall``;
    * python, jul, log4j: the loggers, also ``pid`` and ``procname``.
    """

    arguments = [(b"domain", amp.Unicode()), (b"fields", amp.Boolean())]
    response = [(b"events", Json())]


class Start(Command):
    """Start tracing."""

    arguments = [(b"session", amp.Unicode())]


class Stop(Command):
    """Stop tracing; answered when everything recorded has arrived where it goes.

    The answer is what `Describe` tells of the session.
    """

    arguments = [(b"session", amp.Unicode())]
    response = [(b"facts", Json())]


class Destroy(Command):
    """Take a session down; answered when its trace is closed. The answer is what `Describe` told last."""

    arguments = [(b"session", amp.Unicode())]
    response = [(b"facts", Json())]


class List(Command):
    """All sessions: a list of what `Describe` tells of each."""

    response = [(b"sessions", Json())]


class Describe(Command):
    """All about one session.

    * ``name``; ``created``: seconds since the epoch;
    * ``state``: ``created``, ``prepared`` (has a consumer template), ``enabled``, ``active``, ``stopped``,
      ``lost`` (its consumer or relay daemon is gone); ``muted``: whether the consumer is disabled;
    * ``output``: where its trace goes or is to go, as text, empty if nowhere; ``template``: where it is to go
      when the consumer is enabled, if that is something else; ``warnings``: about what was set last;
    * ``live``: period of a live session, microseconds; 0 is not live;
    * ``snapshot``: whether it is for snapshots;
    * ``rotation``: ``{"timer": …, "size": …}``: how often it rotates by itself, us and bytes; 0 is never;
      ``rotated``: how often it did so, or was told to;
    * ``network``: whether that is over the network; ``path``: where the trace lies: relative to the relay
      daemon's output folder, or a local folder; empty before the consumer was enabled;
    * ``connection``: ``since`` (seconds since the epoch), ``reconnects``, ``away`` (why the relay daemon is,
      or empty), ``fallback`` (the local folder that the trace went on in, or empty), ``on_loss``;
    * ``problem``: one sentence on what went wrong, or empty; ``consumer``: process id, or None;
    * ``domains``: ``[{"name": …, "channels": [{"name": …, "events": [{"name": …, …}], "facts": {…}}]}]``,
      with what each domain tells besides (`lttngnet.interfaces.IDomain.describe`); ``facts`` as below, of
      the channel;
    * ``facts``: ``{"events": …, "packets": …, "bytes": …, "discarded": …, "lost": …}``, of what was handed on
      so far. Applications' events are not counted; ``lost`` are packets that newer ones have overwritten.
      ``waiting``: bytes that are recorded and have not left this machine; ``spooled``: bytes that are kept
      until they can be handed on; ``dropped``: packets that were lost because the consumer was disabled, or
      because no more could be kept.
    """

    arguments = [(b"session", amp.Unicode())]
    response = [(b"facts", Json())]


class Glance(Describe):
    """What `Describe` tells, at once: it does not wait for commands that are under way, such as `Stop`."""


# ---------------------------------------------------------------- session daemon → consumer process


class AdoptRelay(Command):
    """Carry packets to a relay daemon, over two connected sockets on which the handshake was made.

    ``relay`` holds what the handshake said: ``minor``, ``session`` (the relay's number), ``prefix`` (what old
    relays want before a trace's path), ``path``.

    A process that carries packets elsewhere already changes to this relay daemon: that one knows all streams
    and metadata before any packet goes there instead. The answer comes when what was recorded before is where
    it went, or ``problem`` says what is not; if the command is refused, everything goes on as before.
    """

    arguments = [
        (b"control", amp.Descriptor()),
        (b"data", amp.Descriptor()),
        (b"relay", Json()),
    ]
    response = [(b"problem", amp.Unicode())]


class UseDirectory(Command):
    """Carry packets to a local folder, which is made now; else as `AdoptRelay`."""

    arguments = [(b"path", amp.Unicode())]
    response = [(b"problem", amp.Unicode())]


class SnapshotToRelay(Command):
    """Carry what is recorded now to a relay daemon, and hang up; it stays recorded. See `AdoptRelay`.

    No more than ``max_size`` bytes of the newest, if that is not 0.
    """

    arguments = [*AdoptRelay.arguments, (b"max_size", amp.Integer())]


class SnapshotToFolder(Command):
    """Carry what is recorded now to a local folder, which is made now; see `SnapshotToRelay`."""

    arguments = [(b"path", amp.Unicode()), (b"max_size", amp.Integer())]


class AddSource(Command):
    """Make a source: ``config`` is what the class behind ``kind`` is made of."""

    arguments = [(b"kind", amp.Unicode()), (b"config", Json())]


class AskSource(Command):
    """Ask the source of a kind something, see its ``ask``; open files go along, which are its own then.

    ``number`` tells the question from others. Files that the source answers with come ahead, by `GiveBack`.
    """

    arguments = [
        (b"number", amp.Integer()),
        (b"kind", amp.Unicode()),
        (b"what", amp.Unicode()),
        (b"facts", Json()),
        (b"descriptors", Descriptors()),
    ]
    response = [(b"facts", Json())]


class Begin(Command):
    """Announce what is new and send packets from now on."""


class End(Command):
    """Send everything recorded up to now, and answer when it has arrived."""


class CloseChunk(Command):
    """Close the chunk of the trace with all that was recorded up to now: archive it, or delete it.

    The answer is where it will lie, see `AwaitChunk`; empty if there is nothing.
    """

    arguments = [(b"keep", amp.Boolean())]
    response = [(b"path", amp.Unicode())]


class AwaitChunk(Command):
    """Answer when the chunk that was closed last lies where it stays, or is deleted; all else goes on."""


class Mute(Command):
    """Stop consuming, or go on.

    Packets are counted and let go, or kept with ``hold``: then they arrive when consuming goes on.
    """

    arguments = [(b"muted", amp.Boolean()), (b"hold", amp.Boolean())]


class Finish(Command):
    """Close the trace and let go of everything; the process ends itself after its answer."""


class Facts(Command):
    """Counters over all sources: ``{"events": …, "packets": …, "bytes": …, "discarded": …, "lost": …}``.

    Also ``channels``: the same for each channel, by the kind of its source and by its name; ``waiting``:
    bytes that are recorded and have not left this machine; ``spooled``: bytes that are kept until they can be
    handed on; ``dropped``: packets that were not handed on, because the
    consumer was disabled, or because there was no room to keep them.
    """

    response = [(b"facts", Json())]


# ---------------------------------------------------------------- consumer process → session daemon


class GiveBack(Command):
    """The open files that belong to the answer of an `AskSource`, which comes when these have arrived."""

    arguments = [(b"number", amp.Integer()), (b"descriptors", Descriptors())]


class Progress(Command):
    """Counters, as `Facts` answers them, told about once a second while they change."""

    arguments = [(b"facts", Json())]


class Resume(Command):
    """Go on with the session of the relay daemon over two other sockets, on which it was resumed.

    ``session`` is the relay daemon's number for it from now on, ``commands`` that of the last numbered
    command that it has carried out.
    """

    arguments = [
        (b"control", amp.Descriptor()),
        (b"data", amp.Descriptor()),
        (b"session", amp.Integer()),
        (b"commands", amp.Integer()),
    ]


class SinkAway(Command):
    """The relay daemon is away, and what is recorded is held.

    With ``resumes`` it keeps the session: that is gone on with by `Resume`. Else another relay session is to
    be made, see `AdoptRelay`.
    """

    arguments = [(b"reason", amp.Unicode()), (b"resumes", amp.Boolean())]


class SinkMoved(Command):
    """The relay daemon is gone, and the trace goes on in a local folder."""

    arguments = [(b"reason", amp.Unicode()), (b"path", amp.Unicode())]


class SetPolicy(Command):
    """What becomes of the trace when the relay daemon goes away, from the next time on that it is enabled.

    ``policy`` has ``on_loss``, ``spool_size`` and ``spool_drop`` as `lttngnet.consumer.policy.Policy`; what
    it has not stays as it was.
    """

    arguments = [(b"session", amp.Unicode()), (b"policy", Json())]


class SinkLost(Command):
    """The relay daemon is gone, or the disk failed: nothing can be delivered any more."""

    arguments = [(b"reason", amp.Unicode()), (b"facts", Json())]
