"""Where the records of this process leave it: one socket for each tracing session."""

import contextlib
import os
import socket
import sys
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from threading import Lock, get_native_id, local
from typing import Any

from lttngnet.errors import CommandError, WireError
from lttngnet.wire.records import FIELDS, U32, Rule, record

RESERVE = 64 << 10
"""Bytes of the socket's buffer that records must not use, so that the last word always has room."""

NOTHING = sys.maxsize
"""A level that no record reaches."""

_FLAGS = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL


Test = Callable[[Sequence[Any]], bool]
"""Whether values of the fields of a record satisfy a filter."""


def _always(values: Sequence[Any]) -> bool:
    return True


def _test(expression: str) -> Test:
    # Only who is asked to filter loads what can.
    from lttngnet.filters import Value, matches, parse

    try:
        tree = parse(expression)
    except CommandError as problem:
        raise WireError(str(problem)) from None

    def test(values: Sequence[Any]) -> bool:
        fields: dict[str, Value] = {
            name: value & U32 if isinstance(value, int) else value
            for name, value in zip(FIELDS, values, strict=True)
        }
        contexts: dict[str, Value] = {"vpid": os.getpid(), "vtid": get_native_id()}
        if "procname" in expression:
            contexts["procname"] = procname()
        return matches(tree, fields, contexts)

    return test


def procname() -> str:
    """Return the name of the process as the kernel has it, which is LTTng's context ``procname``."""
    try:
        return Path("/proc/self/comm").read_text(errors="replace").rstrip("\n")
    except OSError:
        return "python"


class Guard(local):
    """Tells whether this thread is at work here already, perhaps with a lock held.

    What a thread logs meanwhile (in the ``__str__`` of an argument, a signal handler, a finalizer) is
    counted as lost, or it would wait for itself.
    """

    busy = False

    def __enter__(self) -> None:
        self.busy = True

    def __exit__(self, *problem: object) -> None:
        self.busy = False


guard = Guard()


class Outlet:
    """The end of a record socket that is ours: never waits, and counts what it could not send.

    The number of records lost travels with the next record, or with the last word. How much the socket
    takes before records are lost is up to its buffer (``net.core.wmem_max``).
    """

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._lock = Lock()
        self._discarded = 0
        self._missed: list[None] = []  # appended to without the lock: its only use
        self._rest = b""  # of a frame that the socket took a part of
        self._told = 0
        self._full = channel.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) // 2  # what is set is doubled
        self._limit(self._full - min(RESERVE, self._full) // 2)
        self.want(())

    def want(self, rules: tuple[Rule, ...]) -> None:
        """Take other rules; when this returns, no record is on its way that the former let pass alone.

        Raises:
            WireError: a filter is none.
        """
        holds = {rule.filter: _test(rule.filter) for rule in rules if rule.filter}

        @lru_cache(maxsize=4096)
        def wants(logger: str, level: int) -> bool:
            return bool(tests(logger, level))

        @lru_cache(maxsize=4096)
        def tests(logger: str, level: int) -> tuple[Test, ...]:
            found = [rule for rule in rules if rule.admits(level) and rule.covers(logger)]
            return tuple(holds.get(rule.filter, _always) for rule in found)

        @lru_cache(maxsize=4096)
        def floor(logger: str) -> int:
            return min((rule.level for rule in rules if rule.covers(logger)), default=NOTHING)

        with self._lock:
            self.rules = rules
            self.wants = wants
            self._tests = tests
            self.floor = floor
            if not rules:
                self._last_word()

    def send(self, logger: str, level: int, event: bytes, values: Sequence[Any]) -> None:
        """Send a record, or count it as lost. Records of a lost socket are not counted: nobody asks.

        Args:
            logger: its name.
            level: of the record.
            event: its fields as bytes …
            values: … and as filters look at them, in the order of `FIELDS`.
        """
        with self._lock:
            if not any(test(values) for test in self._tests(logger, level)):
                return
            if self._rest or self._missed:
                self._settle()
            if self._rest or not self._push(
                record(self._discarded, time.monotonic_ns(), get_native_id(), event)
            ):
                self._discarded += 1
            else:
                self._told = self._discarded

    def miss(self) -> None:
        """Count a record that was not even tried. Takes no lock: the thread that calls may hold it."""
        self._missed.append(None)

    def finish(self) -> None:
        """Tell what was lost since the last record: the process is about to end."""
        with self._lock:
            self._last_word()

    def close(self) -> None:
        """Close the socket."""
        with self._lock:
            self._channel.close()

    def abandon(self) -> None:
        """Close the copy that a forked child has. The lock may be held by a thread that is no more."""
        self._channel.close()

    def _last_word(self) -> None:
        self._limit(self._full)
        self._settle()
        news = record(self._discarded, time.monotonic_ns(), get_native_id(), b"")
        if self._discarded > self._told and not self._rest and self._push(news):
            self._told = self._discarded
        self._limit(self._full - min(RESERVE, self._full) // 2)

    def _settle(self) -> None:
        """Make up for what could not be done at its time."""
        while self._missed:
            self._missed.pop()
            self._discarded += 1
        rest, self._rest = self._rest, b""
        if rest and not self._push(rest):
            self._rest = rest

    def _push(self, data: bytes) -> bool:
        try:
            sent = self._channel.send(data, _FLAGS)
        except OSError:  # full, or nobody reads any more
            return False
        self._rest = data[sent:]
        return True

    def _limit(self, size: int) -> None:
        with contextlib.suppress(OSError):
            self._channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)
