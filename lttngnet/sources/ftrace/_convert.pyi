from array import array
from collections.abc import Callable

from lttngnet.sources.ftrace.classes import Words

def convert(
    records: memoryview,
    pages: list[tuple[int, int]],
    words: array[int],
    last_words: array[int],
    slacks: array[int],
    resolve: Callable[[int, int, Words, int], int],
) -> tuple[int, int, int, int, int, list[tuple[int, int]]] | None: ...
