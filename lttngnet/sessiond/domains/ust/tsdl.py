"""Metadata text (TSDL) of applications: what they describe, written so that every reader can read the trace."""

from lttngnet.errors import WireError


class Refused(WireError):
    """A description that cannot stand in the metadata: the application gets an error for its answer."""
