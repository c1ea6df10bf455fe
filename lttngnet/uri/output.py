"""Where a tracing session's trace goes: the arguments of ``create`` and ``enable-consumer`` → `Output`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from lttngnet.uri.destination import (
    CONTROL_PORT,
    DATA_PORT,
    Destination,
    Protocol,
    StreamType,
    UriError,
    UriType,
)
from lttngnet.uri.text import KNOWN_SCHEMES, HopList, is_pair, parse, parse_hops, scheme

_LOOKS_LIKE_URI = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True)
class Output:
    """A path, or a control and a data destination, of which one may still be missing; or nothing at all.

    Attributes:
        control: where commands go, always over TCP; its port is known.
        data: where packets go; its port is known, and is not that of `control`.
        path: absolute path on this machine.
        warnings: sentences for the user about what was understood.

    Raises:
        UriError: the parts do not make one output.
    """

    control: Destination | None = None
    data: Destination | None = None
    path: str | None = None
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.path is not None:
            Destination(Protocol.PATH, path=self.path)
            if self.is_network:
                raise UriError("a trace goes to a path or over the network, not both")
        for half, stream in (self.control, StreamType.CONTROL), (self.data, StreamType.DATA):
            if half and (half.stream is not stream or half.utype is not UriType.DESTINATION or not half.port):
                raise UriError(f"{half} is no destination for {stream.name.lower()} with its port")
        if self.control and self.data:
            if self.control.family is not self.data.family:
                raise UriError("control and data need addresses of one family, both IPv4 or both IPv6")
            if self.control.port == self.data.port:
                raise UriError(f"control and data cannot both have the port {self.control.port}")

    @property
    def is_network(self) -> bool:
        """Whether the trace leaves this machine, also where half of the destination is still missing."""
        return self.control is not None or self.data is not None

    @property
    def is_complete(self) -> bool:
        """Whether a consumer can be enabled: a path, or control and data."""
        return self.path is not None or (self.control is not None and self.data is not None)

    def __str__(self) -> str:
        """Return what ``lttng list`` of lttng-tools 2.13 says: ``tcp4://127.0.0.1:5342/subdir [data: 5343]``.

        Data is written in full where it differs by more than its port; what is missing is said to be.
        """
        if self.path is not None:
            return f"file://{self.path.rstrip('/')}/"
        if self.control is None:
            return "no output" if self.data is None else f"{self.data} [no control]"
        if self.data is None:
            return f"{self.control} [no data]"
        alike = self.data.protocol is Protocol.TCP and self.control.same_host(self.data)
        brief = alike and self.data.subdir in ("", self.control.subdir)
        return f"{self.control} [data: {self.data.port if brief else self.data}]"

    def updated(self, later: "Output") -> "Output":
        """Return this output after a later setting: ``-C`` in one command, ``-D`` in the next.

        A half that is set later takes the place of ours, the other half stays. A path and a network
        destination replace each other. No output at all changes nothing.

        Raises:
            UriError: the halves do not go together.
        """
        if not later.is_network:
            return self if later.path is None else later
        if self.path is not None:
            return later
        return _joined(later.control or self.control, later.data or self.data, later.warnings)

    def to_dict(self) -> dict[str, Any]:
        """Return the output as JSON can carry it, for `from_dict`."""
        return {
            "control": None if self.control is None else str(self.control),
            "data": None if self.data is None else str(self.data),
            "path": self.path,
            "warnings": list(self.warnings),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Make the output anew from what `to_dict` said. A peer sent it: everything is checked again.

        Raises:
            UriError: the values are no output.
        """
        match values:
            case {
                "control": str() | None as control_uri,
                "data": str() | None as data_uri,
                "path": str() | None as path,
                "warnings": [*warnings],
            } if all(isinstance(warning, str) for warning in warnings):
                control, data = _half(control_uri, StreamType.CONTROL), _half(data_uri, StreamType.DATA)
                return cls(control, data, path, tuple(warnings))
        raise UriError(f"{values!r} is no output")


def parse_argument(text: str, cwd: str) -> Output:
    """Read the one URI argument of ``enable-consumer URI`` or ``create -U``.

    ``net://`` gives control and data, ``tcp://`` gives control alone. What begins with no scheme we know is a
    file name, as if ``file://`` stood before it (RFC); where it looks like a mistyped URI, a warning says so.

    Args:
        text: the argument; ``~`` is not expanded.
        cwd: absolute path of the folder that a relative file name starts from: the client's.

    Raises:
        UriError: the text is empty, begins with a known scheme and is wrong after it, or names hops.
    """
    if not text:
        raise UriError("the URI is empty")
    if scheme(text):
        return _output(parse_hops(text, StreamType.CONTROL))
    if text.startswith("/"):
        return Output(path=text)
    path = f"{cwd.rstrip('/')}/{text}"
    if not _LOOKS_LIKE_URI.match(text):
        return Output(path=path)
    warning = f"{text!r} begins with none of {KNOWN_SCHEMES}: the trace goes to the file path {path}"
    return Output(path=path, warnings=(warning,))


def parse_pair(control: str | None, data: str | None, cwd: str) -> Output:
    """Read the URIs of ``-C`` and ``-D``; None is an option that was not given.

    As lttng-tools 2.13 pairs them, but for what the RFC decides otherwise: two addresses are allowed, with a
    warning, since both must end at the same machine; data may go over UDP.

    Args:
        control: read like the argument of `parse_argument`.
        data: ``tcp://`` or ``udp://``; beside ``net://`` empty, or the same text again.
        cwd: as in `parse_argument`.

    Raises:
        UriError: one of the two is wrong, they do not go together, or they name hops.
    """
    if control is None:
        return Output() if data is None else _output(parse_hops(data, StreamType.DATA))
    if data is None or (data in ("", control) and is_pair(control)):
        return parse_argument(control, cwd)
    if not control or not data:
        raise UriError(f"the URI for {'data' if control else 'control'} is empty")
    if is_pair(control):
        raise UriError(f"{control!r} names control and data: no other URI for data can stand beside it")
    if scheme(control) in (None, "file"):
        raise UriError(f"{control!r} is a path: no URI for data can stand beside it")
    return _output(parse_hops(control, StreamType.CONTROL), parse_hops(data, StreamType.DATA))


def _output(*routes: HopList) -> Output:
    if len({len(route.hops) for route in routes}) > 1:
        raise UriError("control and data go through different numbers of hops")
    if routes[0].hops:
        raise UriError("hops are not supported yet")
    destinations = [destination for route in routes for destination in route.destination]
    if destinations[0].protocol is Protocol.PATH:
        return Output(path=destinations[0].path)
    halves = {half.stream: half if half.port else _with_default_port(half) for half in destinations}
    return _joined(halves.get(StreamType.CONTROL), halves.get(StreamType.DATA))


def _with_default_port(destination: Destination) -> Destination:
    port = CONTROL_PORT if destination.stream is StreamType.CONTROL else DATA_PORT
    return replace(destination, port=port)


def _joined(control: Destination | None, data: Destination | None, warnings: tuple[str, ...] = ()) -> Output:
    if control and data and not control.same_host(data):
        ends = f"control goes to {control.host} and data to {data.host}"
        warnings = (*warnings, f"{ends}: both must reach the same relay daemon")
    return Output(control, data, warnings=warnings)


def _half(uri: str | None, stream: StreamType) -> Destination | None:
    if uri is None:
        return None
    destination, *more = parse(uri, stream)
    if more:
        raise UriError(f"{uri!r} is no half of an output")
    return destination
