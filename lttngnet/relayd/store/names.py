"""Names that come over the network and become files and folders: the one place where they are judged.

Every function returns the name as it may be used, or raises `Refusal`.
"""

from functools import lru_cache
from pathlib import PurePosixPath
from re import compile as regex

from lttngnet.errors import Code
from lttngnet.relayd.refusal import Refusal
from lttngnet.wire.codec import encode

COMPONENT_LIMIT = 255  # bytes; Linux's NAME_MAX
PATH_LIMIT = 4095  # bytes; Linux's PATH_MAX less the NUL
TRACES_KNOWN = 256  # whose paths need not be judged again for each stream
DEPTH_LIMIT = 128  # folders in a path: all are walked through, whenever one is made or removed

_has_control_character = regex("[\\0-\\x1f\\x7f]").search


def component(name: str, what: str) -> str:
    """A name that becomes one file or folder: no slash, leading dot or control character, not too long."""
    if "/" in name or name.startswith("."):
        raise Refusal(Code.INVALID, f"{what} {name[:80]!r} is not the name of a file")
    return _plain(name, what)


def chunk_name(name: str) -> str:
    """The name of a trace chunk's folder that a session daemon chose: a component without any dot."""
    if "." in name:
        raise Refusal(Code.INVALID, f"chunk name {name[:80]!r} has a dot in it")
    return component(name, "chunk name")


@lru_cache(TRACES_KNOWN)
def stream_path(path: str) -> PurePosixPath:
    """Where a trace lies below its chunk; the slash that peers below 2.11 begin it with is dropped."""
    return _relative(path.lstrip("/"), "stream path")


def base_path(path: str) -> PurePosixPath:
    """The path that takes the place of a session's own folder."""
    if path.startswith("/"):
        raise Refusal(Code.INVALID, f"base path {path[:80]!r} is absolute")
    return _relative(path, "base path")


def output_path(path: PurePosixPath) -> PurePosixPath:
    """A path made of names that came over the network: each of them, and all together, short enough."""
    for name in path.parts:
        _plain(name, "folder")
    if len(encode(str(path))) > PATH_LIMIT:
        raise Refusal(Code.INVALID, f"a path of more than {PATH_LIMIT} bytes")
    return path


def _relative(path: str, what: str) -> PurePosixPath:
    names = [_plain(name, what) for name in path.split("/") if name]
    if not names or "." in names or ".." in names or names[0].startswith("."):
        raise Refusal(Code.INVALID, f"{what} {path[:80]!r} does not lead to a folder below")
    if len(names) > DEPTH_LIMIT:
        raise Refusal(Code.INVALID, f"{what} {path[:80]!r} has more than {DEPTH_LIMIT} folders")
    return output_path(PurePosixPath(*names))


def _plain(name: str, what: str) -> str:
    if not name or len(encode(name)) > COMPONENT_LIMIT:
        raise Refusal(Code.INVALID, f"{what} {name[:80]!r} has not 1 to {COMPONENT_LIMIT} bytes")
    if _has_control_character(name):
        raise Refusal(Code.INVALID, f"{what} {name[:80]!r} has a control character in it")
    return name
