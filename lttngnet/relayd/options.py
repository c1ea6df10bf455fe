"""The options of the relay daemon, named as the genuine one's.

What is not said on the command line may be said in a configuration file or in the environment.
"""

import getopt
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from twisted.python import usage

from lttngnet.listening import datagram_address, server_endpoint
from lttngnet.relayd.configuration import ConfigurationError, switch, words
from lttngnet.relayd.store.keeping import RESUME_WITHIN
from lttngnet.rundir import home
from lttngnet.startup import CannotStart, DaemonOptions
from lttngnet.wire.relay import MAJOR, MINOR

CONTROL_PORT, DATA_PORT, LIVE_PORT = 5342, 5343, 5344
NOWHERE = "none"  # as --data-udp-port
LONGEST = 7 * 24 * 3600  # of --resume-within
FEWEST_DESCRIPTORS = 100  # of --fd-pool-size
OF_VALUES = "Parameter type enforcement failed: "  # so Twisted begins what we say of a wrong value
DISALLOW_CLEAR = "LTTNG_RELAYD_DISALLOW_CLEAR"
WORKING_DIRECTORY = "LTTNG_RELAYD_WORKING_DIRECTORY"


def cannot_start(why: object) -> CannotStart:
    """Return what to raise: one line, and status 1."""
    return CannotStart("lttng-relayd", why)


def listener(default_port: int) -> Callable[[str], str]:
    """Return what makes an endpoint string of the value of a port option."""

    def coerce(text: str) -> str:
        return server_endpoint(text, default_port)

    coerce.coerceDoc = "An LTTng URL or a Twisted server endpoint."  # type: ignore[attr-defined]
    return coerce


def datagram_port(text: str) -> tuple[str, int] | str:
    """Read the value of --data-udp-port: an address and a port, or `NOWHERE`."""
    return NOWHERE if text == NOWHERE else datagram_address(text, DATA_PORT)


datagram_port.coerceDoc = "An LTTng URL: udp:// or udp6://, or none."  # type: ignore[attr-defined]


def pool_size(text: str) -> int:
    """Check the value of --fd-pool-size."""
    size = int(text)
    if size < FEWEST_DESCRIPTORS:
        raise ValueError(f"the pool needs at least {FEWEST_DESCRIPTORS} descriptors")
    return size


def seconds(text: str) -> int:
    """Check the value of --resume-within."""
    value = int(text)
    if not 0 <= value <= LONGEST:
        raise ValueError(f"from 0 to {LONGEST} seconds")
    return value


class Options(DaemonOptions):
    """Options of ``twistd lttng-relayd``."""

    version = f"lttng-relayd {MAJOR}.{MINOR} (lttngnet)"
    synopsis = "[options]"
    longdesc = (
        "Receives LTTng traces over the network and writes them as CTF. A URL is an LTTng URL such as "
        "tcp://0.0.0.0:5342 or tcp6://[::]:5342, or a Twisted server endpoint string; port 0 is any free one."
    )
    optFlags = [
        ["group-output-by-session", "s", "Write to SESSION/HOST-DATETIME instead of HOST/SESSION-DATETIME."],
        ["group-output-by-host", "p", "Write to HOST/SESSION-DATETIME (the default)."],
        ["disallow-clear", "x", "Let no peer delete what it sent before."],
    ]
    optParameters = [
        ["output", "o", None, "Folder for traces, absolute (default: $LTTNG_HOME or $HOME, lttng-traces)."],
        [
            "control-port",
            "C",
            f"tcp:{CONTROL_PORT}:interface=0.0.0.0",
            "URL for control.",
            listener(CONTROL_PORT),
        ],
        ["data-port", "D", f"tcp:{DATA_PORT}:interface=0.0.0.0", "URL for data.", listener(DATA_PORT)],
        [
            "data-udp-port",
            None,
            None,
            "URL for data over UDP, such as udp://0.0.0.0:5343, or none (default: the address and the number "
            "of the port for data, where that is free).",
            datagram_port,
        ],
        [
            "live-port",
            "L",
            f"tcp:{LIVE_PORT}:interface=127.0.0.1",
            "URL for live viewers.",
            listener(LIVE_PORT),
        ],
        ["working-directory", "w", None, "Folder to work in (default: $LTTNG_RELAYD_WORKING_DIRECTORY)."],
        [
            "fd-pool-size",
            None,
            None,
            f"Trace files to hold open at most, from {FEWEST_DESCRIPTORS} on; never more than half of what "
            "the process may open (the default), since connections need the rest.",
            pool_size,
        ],
        [
            "resume-within",
            None,
            RESUME_WITHIN,
            "Seconds in which a sender of ours may go on with its session when its connection was lost, or "
            "this daemon has ended; 0 is never.",
            seconds,
        ],
        ["group", "g", "tracing", "Group whose members may ask a daemon that root started for its health."],
        ["config", "f", None, "Configuration file to read after those of the system and the user."],
        [
            "ports-file",
            None,
            None,
            'File to write the ports to that are listened on: {"control": 5342, "data": 5343, "live": 5344}; '
            'with --data-udp-port "datagrams" as well.',
        ],
    ]

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Parse, after what configuration files say; every mistake of the user is one line.

        Raises:
            CannotStart: on a mistake.
        """
        given = sys.argv[1:] if options is None else list(options)
        try:
            super().parseOptions([*self._configured(given), *given])
        except (usage.UsageError, ConfigurationError) as mistake:
            raise cannot_start(str(mistake).removeprefix(OF_VALUES)) from None

    def parseArgs(self, *words: str) -> None:
        """Take no words that are not options. Raises UsageError."""
        if words:
            raise usage.UsageError(f"there are only options, and {words[0]!r} is none")

    def postOptions(self) -> None:
        """Fill in what the environment says. Raises UsageError and ConfigurationError."""
        if self["group-output-by-session"] and self["group-output-by-host"]:
            raise usage.UsageError("output is grouped by session or by host, not both")
        if self["output"] is None:
            self["output"] = str(Path(home(os.environ), "lttng-traces").absolute())
        if not Path(self["output"]).is_absolute():
            raise usage.UsageError(f"the output folder {self['output']!r} is not absolute")
        if not self["disallow-clear"] and (text := os.environ.get(DISALLOW_CLEAR)):
            self["disallow-clear"] = switch(text, DISALLOW_CLEAR)
        self["working-directory"] = self["working-directory"] or os.environ.get(WORKING_DIRECTORY)
        if self["ports-file"] is not None:  # the daemon may work in another folder by the time it is written
            self["ports-file"] = str(Path(self["ports-file"]).absolute())

    def _configured(self, given: Sequence[str]) -> list[str]:
        """Return what the configuration files say. Raises ConfigurationError."""
        try:
            found, _ = getopt.getopt(given, self.shortOpt, self.longOpt)
        except getopt.error:
            return []  # who parses the words for good says what is wrong with them
        values = dict(found)
        if not values.keys().isdisjoint(("--help", "-h", "--version", "-V")):
            return []
        chosen = [value for name, value in found if name in ("--config", "-f")]
        return words(os.environ, chosen[-1] if chosen else None, self.longOpt)
