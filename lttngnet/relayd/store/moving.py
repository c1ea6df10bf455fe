"""Packets that came too early: they belong to the next trace chunk, and are moved there in small pieces.

Everything else is done before: whatever comes meanwhile goes behind them in the new file.
"""

from collections.abc import Iterator

from lttngnet.log import Logger
from lttngnet.relayd.store.files import File, Files


class Move:
    """The end of a trace file on its way to the beginning of another one; iterate over it to do it.

    It may be iterated over by several, who then share the work.

    Args:
        old: where the bytes are; closed in the end.
        start: where they begin.
        new: where they go; nothing has been written there yet.

    Attributes:
        is_done: whether all was done, or had to be given up.
        problem: why it had to be.
    """

    log = Logger()

    def __init__(self, old: Files, start: int, new: File) -> None:
        self.is_done = False
        self.problem: OSError | None = None
        new.hold()
        new.size = old.data.size - start
        self._steps = self._do(old, start, new)

    def __iter__(self) -> Iterator[None]:
        """Return the steps that are left."""
        return self._steps

    def _do(self, old: Files, start: int, new: File) -> Iterator[None]:
        try:
            yield from old.data.move_tail(start, new)
        except OSError as problem:
            self.problem = problem
            new.fail(problem)
        self.is_done = True
        for close in (old.close, new.release):
            try:
                close()
            except OSError as problem:
                self.log.error("Packets of the next trace chunk are lost: {problem}", problem=problem)
