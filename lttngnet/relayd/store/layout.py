"""Where traces lie below the output folder (LTTng relay protocol, "Output layout")."""

import time
from enum import Enum
from pathlib import PurePosixPath
from re import compile as regex

from lttngnet.errors import Code
from lttngnet.relayd.refusal import Refusal
from lttngnet.relayd.store import names
from lttngnet.wire.relay import CreateSession

DATED = regex(
    r"(?P<name>.*)-(?P<time>\d{8}-\d{6})",
)


class Grouping(Enum):
    """What the folders directly below the output folder stand for."""

    HOST = "host"
    SESSION = "session"


def datetime(seconds: float) -> str:
    """A moment as it stands in the names of sessions' folders, in our local time."""
    return _moment("%Y%m%d-%H%M%S", seconds)


def chunk_datetime(seconds: int) -> str:
    """A moment as it stands in the names of trace chunks, in our local time."""
    return _moment("%Y%m%dT%H%M%S%z", seconds)


def _moment(form: str, seconds: float) -> str:
    try:
        return time.strftime(form, time.localtime(seconds))
    except (OverflowError, ValueError, OSError):
        raise Refusal(Code.INVALID, f"{seconds} seconds since 1970 is no time of ours") from None


def session_path(wanted: CreateSession, grouping: Grouping) -> PurePosixPath:
    """The folder of a session that a peer of 2.11 or later makes."""
    host = names.component(wanted.hostname, "host name")
    name = names.component(wanted.name, "session name")
    created = datetime(wanted.created)
    base = names.base_path(wanted.base_path) if wanted.base_path else None
    if grouping is Grouping.SESSION:
        return names.output_path(PurePosixPath(name, f"{host}-{created}", base or ""))
    if base:
        return names.output_path(PurePosixPath(host, base))
    return names.output_path(PurePosixPath(host, name if wanted.name_has_time else f"{name}-{created}"))


def old_stream_path(path: str, name: str, grouping: Grouping, created: float) -> PurePosixPath:
    """The folder of a trace of a peer below 2.11, who says ``/HOST/NAME-DATETIME//rest`` with each stream.

    Args:
        path: as the peer said it.
        name: of the session.
        grouping: of the output folder.
        created: when the session was made here, seconds since the epoch.
    """
    told = names.stream_path(path)
    if grouping is Grouping.HOST or len(told.parts) < 2:
        return told
    host, folder, *rest = told.parts
    time_of_folder = DATED.fullmatch(folder)
    if folder == name or (time_of_folder and time_of_folder["name"] == name):
        # A name that LTTng made up ends in its creation time already.
        dated = time_of_folder or DATED.fullmatch(name)
        moment = dated["time"] if dated else datetime(created)
    else:  # a base path
        moment, rest = datetime(created), [folder, *rest]
    return names.output_path(PurePosixPath(name, f"{host}-{moment}", *rest))
