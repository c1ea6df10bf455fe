"""LTTng URIs: where a trace goes.

What a user wrote becomes an `Output` (`parse_argument`, `parse_pair`): a control and a data `Destination`,
or a path. A destination becomes the C ``struct lttng_uri`` and back (`RFC`, `PACKED`, `PADDED`).
The grammar is that of the RFC *Network consumer* v0.3 as lttng-tools 2.13 reads it, but no nonsense is taken.
Nothing here waits: a host name stays a name until somebody connects.
"""

from lttngnet.uri.destination import (
    CONTROL_PORT,
    DATA_PORT,
    LIVE_PORT,
    Destination,
    Family,
    Protocol,
    StreamType,
    UriError,
    UriType,
    normal_host,
)
from lttngnet.uri.layout import PACKED, PADDED, RFC, Layout
from lttngnet.uri.output import Output, parse_argument, parse_pair
from lttngnet.uri.text import HopList, parse, parse_hops, parse_listener

__all__ = [
    "CONTROL_PORT",
    "DATA_PORT",
    "LIVE_PORT",
    "PACKED",
    "PADDED",
    "RFC",
    "Destination",
    "Family",
    "HopList",
    "Layout",
    "Output",
    "Protocol",
    "StreamType",
    "UriError",
    "UriType",
    "normal_host",
    "parse",
    "parse_argument",
    "parse_hops",
    "parse_listener",
    "parse_pair",
]
