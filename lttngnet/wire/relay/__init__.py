"""What a session daemon and its consumer say to a relay daemon (LTTng relay protocol 2.4 to 2.15).

All integers are big endian, structures have no holes. A question is a `CommandHeader` and its payload, an
answer has no header. Where the layout depends on the minor number that both sides agreed on, ``pack`` and
``unpack`` take it.
"""

from lttngnet.wire.relay.answers import (
    OK,
    Answer,
    ChunkClosed,
    ChunkExists,
    Configuration,
    SessionCreated,
    SessionCreated24,
    Status,
    StreamAdded,
)
from lttngnet.wire.relay.commands import (
    CHANNEL_LIMIT,
    HOSTNAME_LIMIT,
    LOWEST_MINOR,
    MAJOR,
    METADATA_PART,
    MINOR,
    NAME_LIMIT,
    NIL,
    NO_SEQUENCE,
    PATH_LIMIT,
    STREAM_PATH_LIMIT,
    CloseCommand,
    Command,
    CommandHeader,
    DataHeader,
    command,
)
from lttngnet.wire.relay.creation import AddStream, CreateSession
from lttngnet.wire.relay.questions import (
    ChunkQuery,
    GetConfiguration,
    MetadataHeader,
    ResetMetadata,
    SendIndex,
    SessionQuery,
    StreamPosition,
    StreamQuery,
    Version,
)
from lttngnet.wire.relay.rotation import CloseTraceChunk, CreateTraceChunk, RotateStreams

__all__ = [
    "CHANNEL_LIMIT",
    "HOSTNAME_LIMIT",
    "LOWEST_MINOR",
    "MAJOR",
    "METADATA_PART",
    "MINOR",
    "NAME_LIMIT",
    "NIL",
    "NO_SEQUENCE",
    "OK",
    "PATH_LIMIT",
    "STREAM_PATH_LIMIT",
    "AddStream",
    "Answer",
    "ChunkClosed",
    "ChunkExists",
    "ChunkQuery",
    "CloseCommand",
    "CloseTraceChunk",
    "Command",
    "CommandHeader",
    "Configuration",
    "CreateSession",
    "CreateTraceChunk",
    "DataHeader",
    "GetConfiguration",
    "MetadataHeader",
    "ResetMetadata",
    "RotateStreams",
    "SendIndex",
    "SessionCreated",
    "SessionCreated24",
    "SessionQuery",
    "Status",
    "StreamAdded",
    "StreamPosition",
    "StreamQuery",
    "Version",
    "command",
]
