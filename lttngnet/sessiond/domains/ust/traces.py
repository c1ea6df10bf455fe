"""The traces of one session in one consumer process: for each the buffers, and what applications described.

Applications of a user share a trace (``ust/uid/UID/64-bit``), or each has its own
(``ust/pid/NAME-PID-DATE``). The consumer process makes the buffers. The descriptors of them that it gives us
are passed on to applications, and closed here exactly once.
"""

import os
import resource
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from twisted.internet.defer import Deferred, DeferredLock

from lttngnet.ctf.tsdl import clock_offset
from lttngnet.errors import Code, CommandError
from lttngnet.interfaces import ICourier
from lttngnet.log import Logger
from lttngnet.sessiond.domains.ust import alignments
from lttngnet.sessiond.domains.ust.alignments import Alignments
from lttngnet.sessiond.domains.ust.channels import Channel, Channels
from lttngnet.sessiond.domains.ust.registry import Registry, TraceFacts
from lttngnet.sessiond.ust.application import Application, ApplicationFacts
from lttngnet.sessiond.ust.room import Room, Rooms

T = TypeVar("T")

KIND = "userspace"  # of the source in the consumer process

RECENT = 4096  # paths: two processes of the same number and second, thus path, come soon one after the other

_DESCRIPTION_LIMIT = 1 << 20  # bytes that describe a channel to the tracer; its own limit
_MARGIN = 64  # descriptors to leave for everything else


@dataclass(frozen=True)
class Stream:
    """The ring buffer of one CPU: bytes of it, its memory, and the pipe by which applications wake us."""

    cpu: int
    size: int
    memory: int
    wakeup: int


@dataclass(frozen=True)
class Buffers:
    """The ring buffers of a channel, as applications are told of them.

    Attributes:
        channel: whose they are.
        kind: of the channel, in the tracer's numbers.
        description: of the channel, for the tracer alone to read.
        wakeup: the channel's pipe.
        streams: of each CPU.
    """

    channel: Channel
    kind: int
    description: bytes
    wakeup: int
    streams: Sequence[Stream]

    @classmethod
    def receive(cls, channel: Channel, facts: dict[str, Any], descriptors: Sequence[int]) -> "Buffers":
        """Make it from what the consumer process says of a channel.

        Args:
            channel: which one.
            facts: ``kind``, and for each stream ``cpu`` and ``size``.
            descriptors: the description in memory, which is not needed after this; the channel's pipe; for
                each stream its memory and its pipe.
        """
        description, wakeup, *others = descriptors
        streams = [
            Stream(stream["cpu"], stream["size"], memory, wakeup)
            for stream, memory, wakeup in zip(facts["streams"], others[::2], others[1::2], strict=True)
        ]
        return cls(channel, facts["kind"], os.pread(description, _DESCRIPTION_LIMIT, 0), wakeup, streams)


class Trace:
    """One trace.

    Args:
        number: by which the consumer process knows it.
        courier: that process.
        registry: what is described in it.
        alignments: of words in its buffers.
        whole: the room of its user.

    Attributes:
        buffers: of each channel.
        room: for what is described in it.
    """

    def __init__(
        self, number: int, courier: ICourier, registry: Registry, alignments: Alignments, whole: Room
    ) -> None:
        self.number = number
        self.alignments = alignments
        self.buffers: list[Buffers] = []
        self.room = Room(None, "a trace", whole)
        self._courier = courier
        self._registry: Registry | None = registry
        self._turn = DeferredLock()
        self._descriptors: list[int] = []

    async def describe(self, what: Callable[[Registry], T]) -> T:
        """Let something be described, and return what that gives once the description is written.

        One after the other: what somebody else described a moment ago may not be written yet.

        Raises:
            CommandError: it cannot be described, or written.
        """

        async def work() -> T:
            registry = self._known()
            answer = what(registry)
            if text := registry.take_text():
                facts = {"trace": self.number, "text": text, "described": registry.described}
                await self._courier.ask_source(KIND, "describe", facts)
            return answer

        return await self._turn.run(lambda: Deferred.fromCoroutine(work()))

    async def regenerate(self) -> None:
        """Have all that was described written anew, with the time of day as it is now.

        Raises:
            CommandError: it cannot be written.
        """

        async def work() -> None:
            text = self._known().regenerate(clock_offset())
            await self._courier.ask_source(KIND, "rewrite", {"trace": self.number, "text": text})

        await self._turn.run(lambda: Deferred.fromCoroutine(work()))

    def _known(self) -> Registry:
        if self._registry is None:
            raise CommandError(Code.FATAL, "the trace is closed")
        return self._registry

    def receive(self, channels: Iterable[Channel], facts: dict[str, Any], descriptors: list[int]) -> None:
        """Take the buffers, which are ours to close."""
        self._descriptors = descriptors
        at = 0
        for channel, told in zip(channels, facts["channels"], strict=True):
            end = at + 2 + 2 * len(told["streams"])
            self.buffers.append(Buffers.receive(channel, told, descriptors[at:end]))
            os.close(descriptors[at])
            descriptors[at] = -1
            at = end

    def release(self) -> None:
        """Close the descriptors: no application can be given these buffers any more."""
        descriptors, self._descriptors = self._descriptors, []
        for descriptor in descriptors:
            if descriptor >= 0:
                os.close(descriptor)

    def forget(self) -> None:
        """Keep nothing in memory of what was described: nobody will describe more."""
        self._registry = None
        self.room.give_back()

    async def close(self) -> None:
        """Let the consumer process hand on the rest, and close the trace.

        Raises:
            CommandError: it is gone.
        """
        self.release()
        self.forget()
        await self._courier.ask_source(KIND, "close-trace", {"trace": self.number})


class Traces:
    """All of them, each made when the first application needs it.

    Args:
        session: by name.
        channels: of the session, which do not change any more.
        courier: the consumer process.
        created: when the session was, as text.
        rooms: of each user, for what is described.
    """

    log = Logger()

    def __init__(
        self, session: str, channels: Channels, courier: ICourier, created: str, rooms: Rooms
    ) -> None:
        self._session = session
        self._channels = channels
        self._courier = courier
        self._created = created
        self._rooms = rooms
        self._numbers = count()
        self._traces: dict[Any, Trace] = {}
        self._paths: Counter[str] = Counter()  # how often each was wanted; the oldest first
        self._turn = DeferredLock()
        self._is_closed = False

    async def of(self, application: Application) -> Trace:
        """Return the trace of an application, made now if need be.

        Raises:
            CommandError: it cannot be made.
            WireError: the application cannot write to it.
        """
        return await self._turn.run(lambda: Deferred.fromCoroutine(self._get(application)))

    def given(self, application: Application) -> None:
        """An application has its buffers, or will not take them.

        If they are its own, nobody else needs the descriptors.
        """
        if self._channels.buffers == "pid" and (trace := self._traces.get(application)) is not None:
            trace.release()

    async def leave(self, application: Application) -> None:
        """Close the trace of an application that is gone, if it was its own.

        Raises:
            CommandError: the consumer process is gone.
        """
        if self._channels.buffers == "uid":
            return
        async with self._turn:  # it may be about to be made
            trace = self._traces.pop(application, None)
        if trace is not None:
            await trace.close()

    async def regenerate(self) -> None:
        """Have the metadata of every trace written anew.

        Raises:
            CommandError: it cannot be.
        """
        for trace in list(self._traces.values()):
            await trace.regenerate()

    def release(self) -> None:
        """Close all descriptors: the consumer process is gone, or will close the traces by itself."""
        self._is_closed = True
        traces = list(self._traces.values())
        self._traces.clear()
        for trace in traces:
            trace.release()
            trace.forget()

    async def _get(self, application: Application) -> Trace:
        facts = application.facts
        is_shared = self._channels.buffers == "uid"
        key = (facts.uid, facts.bits) if is_shared else application
        if is_shared:
            known = self._traces.get(key)
            alignments.check(facts.alignments, None if known is None else known.alignments)
        if key not in self._traces:
            trace = await self._make(facts)
            if self._is_closed:
                trace.release()
                raise CommandError(Code.FATAL, f"session {self._session} is over")
            self._traces[key] = trace
        return self._traces[key]

    def _path(self, facts: ApplicationFacts) -> str:
        """Return a path that no other trace has: a process can become another program within a second."""
        path = trace_path(self._channels.buffers, facts)
        self._paths[path] += 1
        times = self._paths[path]
        if len(self._paths) > RECENT:
            del self._paths[next(iter(self._paths))]
        return path if times == 1 else f"{path}-{times}"

    async def _make(self, facts: ApplicationFacts) -> Trace:
        channels = list(self._channels)
        _check_room(sum(2 + 2 * os.sysconf("SC_NPROCESSORS_CONF") for _ in channels))
        described = trace_facts(self._session, self._channels.buffers, facts, self._created)
        registry = Registry(described, clock_offset())
        for channel in channels:
            registry.add_channel(channel.stream_class, channel.name)
        room = self._rooms.of(facts.uid)
        trace = Trace(next(self._numbers), self._courier, registry, facts.alignments, room)
        wanted = {
            "trace": trace.number,
            "path": self._path(facts),
            "uuid": described.uuid.hex,
            "described": registry.described,
            "metadata": registry.take_text(),
            "channels": [_wanted(channel) for channel in channels],
        }
        answer, descriptors = await self._courier.ask_source(KIND, "make-trace", wanted)
        try:
            trace.receive(channels, answer, descriptors)
        except BaseException:
            trace.release()
            raise
        return trace


def trace_path(buffers: str, facts: ApplicationFacts) -> str:
    """Return where the trace of an application lies below the session's folder."""
    if buffers == "uid":
        return f"ust/uid/{facts.uid}/{facts.bits}-bit"
    name = facts.name.replace("/", "_")
    return f"ust/pid/{name}-{facts.pid}-{time.strftime('%Y%m%d-%H%M%S', time.localtime(facts.registered))}"


def trace_facts(session: str, buffers: str, facts: ApplicationFacts, created: str) -> TraceFacts:
    """Return what the metadata says of a trace, which has a new UUID."""
    of_process = {
        "procname": facts.name,
        "vpid": facts.vpid,
        "vpid_datetime": time.strftime("%Y%m%dT%H%M%S%z", time.localtime(facts.registered)),
    }
    return TraceFacts(
        uuid=uuid4(),
        session=session,
        hostname=socket.gethostname(),
        scheme=buffers,
        buffering_id=facts.uid if buffers == "uid" else facts.pid,
        bits=facts.bits,
        byte_order=facts.byte_order,
        alignments=facts.alignments,
        tracer=facts.tracer,
        created=created,
        **(of_process if buffers == "pid" else {}),  # type: ignore[arg-type]
    )


def _wanted(channel: Channel) -> dict[str, Any]:
    limits = channel.attributes
    return {
        "name": channel.name,
        "stream_class": channel.stream_class,
        **{name: getattr(limits, name) for name in limits.__slots__},
    }


def _check_room(needed: int) -> None:
    """See whether so many descriptors can be opened.

    Raises:
        CommandError: they cannot.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = sum(1 for _ in Path("/proc/self/fd").iterdir())
    if used + needed + _MARGIN > limit:
        raise CommandError(
            Code.UST_CHAN_FAIL,
            f"the buffers need {needed} open files more, {used} are open, and {limit} are allowed: "
            "raise the limit (ulimit -n), or trace fewer processes",
        )
