"""Ring buffers of applications, without any: buffers that are flushed have packets, too."""

from uuid import UUID

from twisted.trial.unittest import SkipTest

from lttngnet.sources.ust.library import LibraryMissing, load

TRACE = UUID(int=0x1234)


def library():
    """Return the library, or skip the test."""
    try:
        return load()
    except LibraryMissing as missing:
        raise SkipTest(str(missing)) from None
