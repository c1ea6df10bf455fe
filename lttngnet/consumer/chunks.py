"""The trace chunks of a session at a relay daemon, over its control connection (2.11).

Chunks are numbered from 0. The relay daemon moves a stream to another chunk once every packet before that has
arrived; when no stream is left in a chunk that was closed, it archives or deletes it.
"""

from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from twisted.internet.defer import Deferred, DeferredList

from lttngnet.consumer.control import ControlClient
from lttngnet.consumer.lasting import LastingControl
from lttngnet.errors import Code, RelayRefused
from lttngnet.wire.relay import (
    ChunkClosed,
    ChunkExists,
    ChunkQuery,
    CloseCommand,
    CloseTraceChunk,
    Command,
    CreateTraceChunk,
    RotateStreams,
    Status,
)

SINCE = 11
"""Minor version of the protocol that has chunks."""

Positions = Iterable[tuple[int, int]]
"""Of streams: the handle, and the number of the first packet of the new chunk."""


class Chunks:
    """Opens one chunk after the other, and closes the one before.

    Args:
        control: a connection on which the session was created.
        seconds: the time since the epoch.
        first: number of the first chunk.
        name: of its folder, if it is not made of number and time: that of a snapshot.

    Attributes:
        current: number of the chunk that packets go to, or None.
    """

    def __init__(
        self,
        control: ControlClient | LastingControl,
        seconds: Callable[[], float],
        first: int = 0,
        name: str = "",
    ) -> None:
        self.current: int | None = None
        self._control = control
        self._seconds = seconds
        self._opened = first
        self._name = name
        self._has_rotated = False

    async def open(self) -> int | None:
        """Begin a chunk; return the number of the one that was the current one."""
        number, before = self._opened, self.current
        chunk = CreateTraceChunk(number, int(self._seconds()), self._name)
        await self._control.demand(Command.CREATE_TRACE_CHUNK, chunk.pack(), Status)
        self._opened, self.current = number + 1, number
        return before

    def move(self, *kinds: Positions) -> Coroutine[Deferred[Any], Any, None]:
        """Let streams go to the current chunk, or to none; each kind by a question of its own, as LTTng does.

        What is told on the control connection after this is of the new chunk; to be awaited are the answers.
        """
        questions = [RotateStreams(self.current, tuple(kind)) for kind in kinds]
        asked = [
            self._control.ask(Command.ROTATE_STREAMS, question.pack(), Status)
            for question in questions
            if question.positions
        ]
        return self._moved(asked)

    async def _moved(self, asked: list[Deferred[Status]]) -> None:
        answers: list[tuple[bool, Any]] = await DeferredList(asked, consumeErrors=True)
        for is_answered, answer in answers:
            if not is_answered:
                answer.raiseException()
            if answer.code != Code.OK:
                raise RelayRefused(Command.ROTATE_STREAMS.name, answer.code)

    def leave(self) -> int | None:
        """Have no current chunk; return the number of what was it."""
        before, self.current = self.current, None
        return before

    async def close(self, number: int, command: CloseCommand | None) -> str:
        """Close a chunk that streams have left; return where the relay daemon says that it will be."""
        closing = CloseTraceChunk(number, int(self._seconds()), command).pack()
        closed = await self._control.demand(Command.CLOSE_TRACE_CHUNK, closing, ChunkClosed)
        if command is CloseCommand.MOVE_TO_COMPLETED:
            self._has_rotated = True
        return closed.path

    async def exists(self, number: int) -> bool:
        """Tell whether streams are still in a chunk that was closed."""
        query = ChunkQuery(number).pack()
        return bool((await self._control.demand(Command.TRACE_CHUNK_EXISTS, query, ChunkExists)).exists)

    @property
    def last_command(self) -> CloseCommand | None:
        """What becomes of the last chunk: it stays where it is, unless others were archived."""
        return CloseCommand.MOVE_TO_COMPLETED if self._has_rotated else None
