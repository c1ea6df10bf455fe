"""What ``-k`` means: channels are instances of tracefs, events are switched on in them.

A channel's instance is made when the first event of it is enabled, and records nothing until `start`. What is
written to tracefs is written in a thread: it blocks for up to a third of a second.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass, field
from typing import Any, get_args
from urllib.parse import quote

from twisted.internet.threads import deferToThread
from zope.interface import implementer

from lttngnet.ctf.packet import UNLIMITED, Limit
from lttngnet.errors import Code, CommandError
from lttngnet.interfaces import ICourier, IDomain
from lttngnet.log import Logger
from lttngnet.sessiond.domains.plain import Plain
from lttngnet.sessiond.domains.ust.attributes import check_name
from lttngnet.sources.ftrace.names import Catalogue, KernelEvent, Which
from lttngnet.sources.ftrace.tracefs import BufferOptions, Instance, Tracefs, TracefsError, TracefsUnavailable

ALL = "*"
_PATIENCE = (0.02, 0.1, 0.5)
"""Seconds to wait, again and again, until a consumer process that was killed has let go of an instance."""
_BUFFER_OPTIONS = frozenset(("overwrite", "subbuf_size", "num_subbuf"))
_CHANNEL_OPTIONS = _BUFFER_OPTIONS | {"tracefile_size", "tracefile_count"}
_EVENT_OPTIONS = _BUFFER_OPTIONS | {"all", "kind"}

RunInThread = Callable[..., Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Wish:
    """A name or glob as the user said it, and what it may stand for."""

    name: str
    which: Which

    def __str__(self) -> str:
        return f"{self.name} (syscall)" if self.which == "syscall" else self.name


@dataclass
class KernelChannel:
    """An instance of tracefs, and the events that each wish switched on in it."""

    name: str
    instance: Instance
    limit: Limit = UNLIMITED
    wishes: dict[Wish, frozenset[KernelEvent]] = field(default_factory=dict)

    @property
    def events(self) -> frozenset[KernelEvent]:
        """All events that are switched on."""
        return frozenset().union(*self.wishes.values())


@implementer(IDomain)
class KernelDomain(Plain):
    """Traces the kernel for one session."""

    log = Logger()
    name = "kernel"

    def __init__(
        self,
        session: str,
        find_tracefs: Callable[[], Tracefs] = Tracefs.find,
        run_in_thread: RunInThread = deferToThread,
    ) -> None:
        self._session = session
        self._find_tracefs = find_tracefs
        self._run = run_in_thread
        self._channels: dict[str, KernelChannel] = {}
        self._tracefs: Tracefs | None = None
        self._attached = False
        self._courier: Any = None  # ICourier

    async def enable_events(self, channel: str, names: Sequence[str], options: dict[str, Any]) -> list[str]:
        """See `IDomain`.

        Args:
            channel: made where it is missing, as long as no consumer process carries the others.
            names: the kernel's names, LTTng's, either with ``SYSTEM:`` before, or globs.
            options: ``all``: every event of its kind; ``kind``: ``all``, ``tracepoint`` or ``syscall``. For a
                channel that is to be made also ``subbuf_size`` (bytes) and ``num_subbuf``, the product of
                which is the size of each CPU's buffer, and ``overwrite``.
        """
        _refuse_others(options, _EVENT_OPTIONS)
        which: Which = options.get("kind") or "all"
        if which not in get_args(Which):
            raise CommandError(Code.INVALID, f"there is no kind of kernel events called {which}")
        wishes = [Wish(name, which) for name in ([ALL] if options.get("all") else names)]
        if not wishes:
            raise CommandError(Code.INVALID, "no kernel event was named")
        await self._work(Code.KERNEL_ENABLE_FAIL, self._enable, channel, wishes, _buffer_options(options))
        return [str(wish) for wish in wishes]

    async def enable_channel(self, channel: str, options: dict[str, Any]) -> None:
        """See `IDomain`: the options are those of `enable_events`, and the limit of trace files."""
        _refuse_others(options, _CHANNEL_OPTIONS)
        limit = Limit(options.get("tracefile_size") or 0, options.get("tracefile_count") or 0)
        if limit.count and not limit.size:
            raise CommandError(Code.INVALID, "--tracefile-count needs a --tracefile-size as well")
        if channel in self._channels:
            raise CommandError(Code.KERNEL_CHANNEL_FAIL, f"there is a kernel channel {channel} already")
        await self._work(
            Code.KERNEL_CHANNEL_FAIL, self._add_channel, channel, _buffer_options(options), limit
        )

    async def disable_events(self, channel: str, names: Sequence[str]) -> list[str]:
        """See `IDomain`; names are those that were enabled."""
        known = self._channels.get(channel)
        if known is None:
            raise CommandError(Code.CHANNEL_NOT_FOUND, f"there is no kernel channel {channel}")
        unknown = [name for name in names if not any(name in (wish.name, str(wish)) for wish in known.wishes)]
        if unknown:
            raise CommandError(
                Code.NO_EVENT, f"kernel event {unknown[0]} is not enabled in channel {channel}"
            )
        gone = [wish for wish in known.wishes if not names or wish.name in names or str(wish) in names]
        await self._work(Code.KERNEL_DISABLE_FAIL, self._disable, known, gone)
        return [str(wish) for wish in gone]

    def is_empty(self) -> bool:
        """See `IDomain`: a channel without events is something, for it may be recording."""
        return not self._channels

    async def attach(self, courier: ICourier) -> None:
        """See `IDomain`."""
        if self._channels:
            channels = [
                {
                    "name": channel.name,
                    "instance": str(channel.instance.path),
                    "limit": astuple(channel.limit),
                }
                for channel in self._channels.values()
            ]
            config = {"events": str(self._mounted().events), "session": self._session, "channels": channels}
            await courier.add_source(self.name, config)
            self._courier = courier
            self._attached = True

    async def regenerate(self, what: str) -> None:
        """See `IDomain`: there is only metadata."""
        if what != "metadata" or self._courier is None:
            await super().regenerate(what)
        await self._courier.ask_source(self.name, "regenerate-metadata", {})

    async def start(self) -> None:
        """See `IDomain`."""
        await self._work(Code.KERNEL_START_FAIL, self._record, True)

    async def stop(self) -> None:
        """See `IDomain`; when this returns, the last event was recorded."""
        await self._work(Code.FATAL, self._record, False)

    async def destroy(self) -> None:
        """See `IDomain`; the consumer process has closed its files before."""
        channels = list(self._channels.values())
        self._channels.clear()
        self._attached = False
        await self._work(Code.KERNEL_CHANNEL_FAIL, self._remove, channels)

    def describe(self) -> dict[str, Any]:
        """See `IDomain`; events are called as the user called them."""
        return {
            "channels": [
                {
                    "name": channel.name,
                    "events": [{"name": wish.name, "kind": wish.which} for wish in channel.wishes],
                }
                for channel in self._channels.values()
            ]
        }

    async def _work(self, code: Code, function: Callable[..., None], *arguments: Any) -> None:
        """Let a thread write to tracefs; tell the user in his words what went wrong."""
        try:
            await self._run(function, *arguments)
        except TracefsUnavailable as problem:
            raise CommandError(Code.KERNEL_UNAVAILABLE, str(problem)) from problem
        except TracefsError as problem:
            raise CommandError(code, str(problem)) from problem

    # What follows runs in a thread, one call at a time: the session waits for each.

    def _mounted(self) -> Tracefs:
        if self._tracefs is None:
            self._tracefs = self._find_tracefs()
        return self._tracefs

    def _enable(self, name: str, wishes: Sequence[Wish], options: BufferOptions) -> None:
        tracefs = self._mounted()
        catalogue = Catalogue(tracefs.available_events())
        granted = {wish: self._grant(catalogue, wish) for wish in wishes}
        channel = self._channels.get(name)
        if channel is not None:
            self._switch_on(channel, catalogue, granted)
            return
        channel = self._make_channel(tracefs, name, options)
        try:
            self._switch_on(channel, catalogue, granted)
        except TracefsError:
            tracefs.remove(channel.instance)
            raise
        self._channels[name] = channel

    def _add_channel(self, name: str, options: BufferOptions, limit: Limit) -> None:
        channel = self._make_channel(self._mounted(), name, options)
        channel.limit = limit
        self._channels[name] = channel

    def _grant(self, catalogue: Catalogue, wish: Wish) -> frozenset[KernelEvent]:
        events = catalogue.select(wish.name, wish.which)
        if not events:
            what = {"all": "event", "tracepoint": "tracepoint", "syscall": "system call"}[wish.which]
            near = " or ".join(catalogue.like(wish.name, wish.which))
            if wish.which != "syscall" and catalogue.select(wish.name, "syscall"):
                hint = ", but a system call of that name: say --syscall"
            else:
                hint = f"; did you mean {near}?" if near else ""
            raise CommandError(Code.NO_EVENT, f"this kernel has no {what} {wish.name}{hint}")
        return events

    def _make_channel(self, tracefs: Tracefs, name: str, options: BufferOptions) -> KernelChannel:
        if self._attached:
            raise CommandError(
                Code.TRACE_ALREADY_STARTED, f"channel {name} cannot be added to a session that was started"
            )
        check_name(name)
        folder = "-".join(quote(part, safe="") for part in (self._session, name))
        return KernelChannel(name, tracefs.create(folder, options))

    def _switch_on(
        self, channel: KernelChannel, catalogue: Catalogue, granted: dict[Wish, frozenset[KernelEvent]]
    ) -> None:
        new = frozenset().union(*granted.values()) - channel.events
        try:
            channel.instance.enable(catalogue.compact(new))
        except TracefsError:
            with suppress(TracefsError):
                channel.instance.disable(catalogue.compact(new))
            raise
        for wish, events in granted.items():
            channel.wishes[wish] = channel.wishes.get(wish, frozenset()) | events

    def _disable(self, channel: KernelChannel, gone: Sequence[Wish]) -> None:
        before = channel.events
        left = {wish: events for wish, events in channel.wishes.items() if wish not in gone}
        catalogue = Catalogue(self._mounted().available_events())
        channel.instance.disable(catalogue.compact(before - frozenset().union(*left.values())))
        channel.wishes = left

    def _record(self, on: bool) -> None:
        for channel in self._channels.values():
            channel.instance.record(on)

    def _remove(self, channels: Sequence[KernelChannel]) -> None:
        problems = []
        for channel in channels:
            try:
                self._mounted().remove(channel.instance, _PATIENCE)
            except TracefsError as problem:
                problems.append(problem)
        if problems:
            raise problems[0]


def _refuse_others(options: dict[str, Any], known: frozenset[str]) -> None:
    for option, value in options.items():
        if value and option not in known:
            raise CommandError(Code.NOT_SUPPORTED, f"the kernel domain has no option {option}")


def _buffer_options(options: dict[str, Any]) -> BufferOptions:
    size, number = options.get("subbuf_size"), options.get("num_subbuf")
    default = BufferOptions()
    kib = (size or 1 << 20) * (number or 4) // 1024 if size or number else default.size_kib
    return BufferOptions(size_kib=max(1, kib), overwrite=bool(options.get("overwrite")))


async def available(run_in_thread: RunInThread = deferToThread) -> list[dict[str, Any]]:
    """Return what the kernel could record, a system call by its own name: see `lttngnet.wire.amp.ListEvents`.

    Raises:
        CommandError: there is no tracefs, or we may not use it.
    """
    try:
        events = await run_in_thread(lambda: Tracefs.find().available_events())
    except TracefsUnavailable as problem:
        raise CommandError(Code.KERNEL_UNAVAILABLE, str(problem)) from problem
    found = {
        ("syscall", event.names[-1]) if event.is_syscall else ("tracepoint", event.names[0])
        for event in events
    }
    return [{"name": name, "kind": kind} for kind, name in sorted(found)]
