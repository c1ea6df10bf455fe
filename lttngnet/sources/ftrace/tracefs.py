"""The kernel's tracefs: instances of our own, their buffers, switches and counters.

An instance is a directory under ``instances/`` with buffers, event switches and a clock of its own. Ours are
called ``lttng-…-PID.NAMESPACE`` after the daemon that made them, so that a later one can tell which were left
behind: containers share one tracefs, and not their process ids. The top instance is never touched.

Writing to some of the files takes a while: all events on or off, 0.2 s. Do it in a thread.

Source: Linux Documentation/trace/ftrace.rst, "The File System" and "Instances".
"""

import mmap
import os
import re
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

from lttngnet.log import Logger
from lttngnet.sources.ftrace.names import KernelEvent

PLACES = (Path("/sys/kernel/tracing"), Path("/sys/kernel/debug/tracing"))
PREFIX = "lttng-"
_OURS = re.compile(rf"{PREFIX}.*-(?P<pid>\d+)\.(?P<namespace>\d+)")


class TracefsError(Exception):
    """The kernel refused something; one sentence that says what, and why."""


class TracefsUnavailable(TracefsError):
    """There is no tracefs here, or we may not use it."""


@dataclass(frozen=True, slots=True)
class BufferOptions:
    """What the buffer of each CPU is like.

    Attributes:
        size_kib: its size.
        subbuffer_kib: size of a sub-buffer, where the kernel lets us choose (since 6.8).
        overwrite: whether the oldest events give way when it is full, rather than the newest.
        wake_percent: how full it is when a reader is woken.
    """

    size_kib: int = 4096
    subbuffer_kib: int = 64
    overwrite: bool = False
    wake_percent: int = 25


class Stats(NamedTuple):
    """The kernel's counters of events on one CPU, as in ``per_cpu/cpuN/stats``."""

    entries: int
    """In the buffer now."""
    read: int
    overrun: int
    """Overwritten by newer ones."""
    commit_overrun: int
    dropped: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the counters from the text of the file."""
        values = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
        names = ("entries", "read events", "overrun", "commit overrun", "dropped events")
        return cls(*(int(values[name]) for name in names))

    @property
    def discarded(self) -> int:
        """Events that nobody will read."""
        return self.overrun + self.commit_overrun + self.dropped

    @property
    def total(self) -> int:
        """Events that occurred."""
        return self.entries + self.read + self.discarded


class Instance:
    """A directory under ``instances/`` that is there."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def cpus(self) -> list[int]:
        """The numbers of the CPUs, ascending."""
        return sorted(int(path.name.removeprefix("cpu")) for path in (self.path / "per_cpu").glob("cpu*"))

    @property
    def subbuffer_size(self) -> int:
        """Bytes that one read returns."""
        try:
            return 1024 * int((self.path / "buffer_subbuf_size_kb").read_text())
        except FileNotFoundError:
            return mmap.PAGESIZE

    def set_up(self, options: BufferOptions) -> None:
        """Choose clock and buffers; nothing is recorded afterwards until `record`."""
        self.record(False)
        self._write("trace_clock", "mono")  # first: this empties the buffers
        if self._has("buffer_subbuf_size_kb"):
            self._write("buffer_subbuf_size_kb", str(options.subbuffer_kib))
        self._write("buffer_size_kb", str(options.size_kib))
        self._write("options/overwrite", str(int(options.overwrite)))
        if self._has("buffer_percent"):
            self._write("buffer_percent", str(options.wake_percent))

    def enable(self, tokens: Iterable[str]) -> None:
        """Switch events on: ``SYSTEM:NAME`` or ``SYSTEM:*``, as `Catalogue.compact` has them."""
        self._write("set_event", "".join(f"{token}\n" for token in tokens), os.O_APPEND)

    def disable(self, tokens: Iterable[str]) -> None:
        """Switch events off."""
        self._write("set_event", "".join(f"!{token}\n" for token in tokens), os.O_APPEND)

    def record(self, on: bool) -> None:
        """Let the events that are switched on be recorded, or no longer."""
        self._write("tracing_on", str(int(on)))

    def stats(self) -> dict[int, Stats]:
        """Return the kernel's counters for each CPU."""
        return {cpu: Stats.parse((self.path / f"per_cpu/cpu{cpu}/stats").read_text()) for cpu in self.cpus}

    def _has(self, name: str) -> bool:
        return (self.path / name).exists()

    def _write(self, name: str, text: str, how: int = os.O_TRUNC) -> None:
        path = self.path / name
        try:
            # Without O_CREAT: that a file is missing is to be told as such.
            with os.fdopen(os.open(path, os.O_WRONLY | how), "w") as file:
                file.write(text)
        except OSError as problem:
            raise TracefsError(
                f"the kernel refused {text.strip()!r} in {path}: {problem.strerror}"
            ) from problem


def process_namespace() -> int:
    """Return the number of the namespace in which we have our process id."""
    return Path("/proc/self/ns/pid").stat().st_ino


def _is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False


class Tracefs:
    """A tracefs that is mounted at ``root``."""

    log = Logger()

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def find(cls, places: Sequence[Path] = PLACES) -> Self:
        """Return the one that is mounted at one of the places.

        Raises:
            TracefsUnavailable: none is, or we may not use it, or it speaks of another kind of machine.
        """
        if sys.byteorder != "little" or sys.maxsize < 1 << 32:
            raise TracefsUnavailable("the kernel tracer works on 64-bit little-endian machines only")
        for place in places:
            try:
                if (place / "instances").is_dir() and os.access(place / "instances", os.W_OK):
                    return cls(place)
            except PermissionError:
                pass
            if place.is_dir() and not os.access(place, os.X_OK):
                raise TracefsUnavailable(f"{place} is for root only: run the session daemon as root")
        raise TracefsUnavailable(
            f"no tracefs that can be written to at {' or '.join(map(str, places))}: "
            f"as root, mount -t tracefs nodev {places[0]}"
        )

    @property
    def events(self) -> Path:
        """Where the ``format`` files are."""
        return self.root / "events"

    def available_events(self) -> list[KernelEvent]:
        """Return all events that can be switched on."""
        lines = (self.root / "available_events").read_text().split()
        return [KernelEvent(*line.split(":", 1)) for line in lines]

    def create(self, name: str, options: BufferOptions) -> Instance:
        """Make an instance that does not record yet, with no event switched on.

        The name is completed with our prefix, process id and namespace.

        Raises:
            TracefsError: the kernel refused, for instance because there is one of that name.
        """
        path = self.root / "instances" / f"{PREFIX}{name}-{os.getpid()}.{process_namespace()}"
        try:
            self._make_directory(path)
        except OSError as problem:
            raise TracefsError(f"the kernel refused to make {path}: {problem.strerror}") from problem
        instance = Instance(path)
        try:
            instance.set_up(options)
        except TracefsError:
            self.remove(instance)
            raise
        return instance

    def remove(self, instance: Instance, patience: Sequence[float] = ()) -> None:
        """Remove an instance and what it recorded.

        Whoever still reads from it has as long as ``patience`` says: seconds between attempts.

        Raises:
            TracefsError: somebody still reads from it.
        """
        with suppress(TracefsError):
            instance.record(False)
        for pause in (*patience, None):
            try:
                self._remove_directory(instance.path)
            except FileNotFoundError:
                return
            except OSError as problem:
                if pause is None:
                    sentence = f"the kernel refused to remove {instance.path}: {problem.strerror}"
                    raise TracefsError(sentence) from problem
                time.sleep(pause)
            else:
                return

    def remove_leftovers(self) -> None:
        """Remove the instances of session daemons that are no more."""
        namespace = process_namespace()
        for path in (self.root / "instances").iterdir():
            match = _OURS.fullmatch(path.name)
            if match and int(match["namespace"]) == namespace and _is_gone(int(match["pid"])):
                try:
                    self.remove(Instance(path))
                except TracefsError as problem:
                    self.log.warn("A leftover stays: {problem}", problem=problem)
                else:
                    self.log.info("Removed {path}, left behind by a session daemon", path=path)

    def _make_directory(self, path: Path) -> None:
        path.mkdir()

    def _remove_directory(self, path: Path) -> None:
        path.rmdir()
