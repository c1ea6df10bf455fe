"""What a test that counts open files needs."""

import gc
from pathlib import Path


def open_files(tidy=True):
    """Return how many descriptors this process has open.

    Garbage is collected before: that of other tests may hold some. Not so with ``tidy=False``, for tests
    that count often, and ask only that there are no more than before.
    """
    if tidy:
        gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))
