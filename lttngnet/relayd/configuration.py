"""What configures the relay daemon besides its command line: configuration files, and the environment.

A configuration file is an INI file, which other LTTng daemons may share; ours is the section ``[relayd]``::

    [relayd]
    live-port = tcp://0.0.0.0:4567
    disallow-clear = yes

A key is the long name of an option. Files are turned into words of a command line, which then stand before
those of the user: who speaks last wins.
"""

import configparser
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from lttngnet.log import Logger
from lttngnet.rundir import home

SYSTEM_FILE = "/etc/lttng/lttng.conf"
SECTION = "relayd"
UNSUITABLE = ("config", "help", "version")  # options that a configuration file cannot give

_ON = ("true", "yes", "on", "1")
_OFF = ("false", "no", "off", "0")

SocketOptions = Sequence[tuple[int, int, int]]
"""Level, option and value: the arguments of `socket.socket.setsockopt`."""

KEEP_ALIVE = "LTTNG_RELAYD_TCP_KEEP_ALIVE"
NETWORK_TIMEOUT = "LTTNG_NETWORK_SOCKET_TIMEOUT"
_PROBES = {
    "_IDLE_TIME": socket.TCP_KEEPIDLE,
    "_PROBE_INTERVAL": socket.TCP_KEEPINTVL,
    "_MAX_PROBE_COUNT": socket.TCP_KEEPCNT,
}

log = Logger("lttngnet.relayd.configuration")


class ConfigurationError(ValueError):
    """A configuration file, or a variable of the environment, that cannot be understood."""


def switch(text: str, what: str) -> bool:
    """Read a value that is on or off.

    Args:
        text: true, yes, on or 1; false, no, off or 0; in any case.
        what: whose value it is, to say so in the error.

    Raises:
        ConfigurationError: it is none of these.
    """
    wanted = text.strip().lower()
    if wanted not in _ON + _OFF:
        raise ConfigurationError(f"{what} is {text!r}, and can be true or false, yes or no, on or off")
    return wanted in _ON


def words(environ: Mapping[str, str], chosen: str | None, long_options: Sequence[str]) -> list[str]:
    """Return what the configuration files say, as words of a command line.

    The files are that of the system, that of the user, and the chosen one. Of these only the last must be
    there; a later one wins. A key that is no option is passed over with a warning.

    Args:
        environ: tells where the user's file is.
        chosen: path of another file.
        long_options: as for `getopt.getopt`: names, with a ``=`` at the end where there is an argument.

    Raises:
        ConfigurationError: a file cannot be read, or a switch is neither on nor off.
    """
    settings: dict[str, str] = {}
    for path in (Path(SYSTEM_FILE), Path(home(environ), ".lttng/lttng.conf")):
        settings.update(_section(path, required=False))
    if chosen is not None:
        settings.update(_section(Path(chosen), required=True))
    return list(_spelled(settings, long_options))


def _section(path: Path, required: bool) -> dict[str, str]:
    parser = configparser.RawConfigParser(strict=False, inline_comment_prefixes=(";",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(path.read_text(errors="surrogateescape"), str(path))
    except FileNotFoundError:
        if required:
            raise ConfigurationError(f"there is no configuration file {path}") from None
    except OSError as problem:
        raise ConfigurationError(f"cannot read the configuration file {path}: {problem.strerror}") from None
    except configparser.Error as mistake:
        reason = " ".join(str(mistake).split())
        raise ConfigurationError(f"cannot understand the configuration file {path}: {reason}") from None
    return dict(parser[SECTION]) if parser.has_section(SECTION) else {}


def _spelled(settings: Mapping[str, str], long_options: Sequence[str]) -> Iterator[str]:
    for name, value in settings.items():
        if name in UNSUITABLE or not {name, f"{name}="} & set(long_options):
            log.warn("Nothing is configured by {name}: a configuration file has no such option", name=name)
        elif name not in long_options:
            yield f"--{name}={value}"
        elif switch(value, name):
            yield f"--{name}"


def socket_options(environ: Mapping[str, str]) -> SocketOptions:
    """Return what to set on the sockets of session daemons, as the environment wishes.

    They are keep-alive, where ``$LTTNG_RELAYD_TCP_KEEP_ALIVE`` is on, with its times in seconds; and how long
    the peer may leave unacknowledged what we send, from ``$LTTNG_NETWORK_SOCKET_TIMEOUT`` in milliseconds. A
    number that is not positive leaves the choice to the operating system, as does, with a warning, one that
    is no number.
    """
    options = []
    try:
        keeps_alive = switch(environ.get(KEEP_ALIVE, "no"), KEEP_ALIVE)
    except ConfigurationError as mistake:
        log.warn("No keep-alive: {mistake}", mistake=mistake)
        keeps_alive = False
    if keeps_alive:
        options.append((socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1))
        for suffix, option in _PROBES.items():
            if value := _positive(environ, KEEP_ALIVE + suffix):
                options.append((socket.IPPROTO_TCP, option, value))
    if value := _positive(environ, NETWORK_TIMEOUT):
        options.append((socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, value))
    return options


def _positive(environ: Mapping[str, str], name: str) -> int | None:
    text = environ.get(name, "-1")
    try:
        value = int(text)
    except ValueError:
        log.warn("{name} is {text!r}, which is no number: passed over", name=name, text=text)
        return None
    return value if 0 < value < 1 << 31 else None
