"""The relay daemon in a process of its own, without twistd; see `lttngnet.relayd.command`."""

import os
import sys
from pathlib import Path

from lttngnet.listening import is_plain
from lttngnet.relayd.command import NAME
from lttngnet.relayd.options import Options
from lttngnet.sparing import leave_out_tls

EXAMPLES = f"""
It stays in the foreground and logs to the standard error, unless -d or -b is given. SIGTERM and SIGINT
end it with status 0. What keeps it from starting is said in one line, and the status is 1.

  {NAME} -o /srv/traces                          here and now, for session daemons anywhere
  {NAME} -d -L tcp://0.0.0.0:5344                in the background, with viewers anywhere
  {NAME} -C tcp://10.0.0.1 -D tcp://10.0.0.1     for session daemons of one network

Options may also stand, by their long names, in the section [relayd] of /etc/lttng/lttng.conf, of
$LTTNG_HOME/.lttng/lttng.conf, and of the file that --config names; the command line wins:

  [relayd]
  output = /srv/traces
  disallow-clear = yes

Environment: LTTNG_HOME (else HOME), LTTNG_RELAYD_DISALLOW_CLEAR, LTTNG_RELAYD_HEALTH (path of the health
socket), LTTNG_RELAYD_WORKING_DIRECTORY, LTTNG_NETWORK_SOCKET_TIMEOUT (milliseconds),
LTTNG_RELAYD_TCP_KEEP_ALIVE, and with it _IDLE_TIME, _PROBE_INTERVAL (seconds) and _MAX_PROBE_COUNT;
LTTNGNET_PLANE (python or compiled: what receives packets).
"""


class CommandOptions(Options):
    """Those of the daemon, and in which way it runs."""

    synopsis = f"Usage: {NAME} [options]"
    optFlags = [
        ["daemonize", "d", "Go to the background, once all ports are open, without a terminal."],
        ["background", "b", "Go to the background as with -d, but keep standard input, output and error."],
    ]

    def getUsage(self, width: int | None = None) -> str:
        """See `usage.Options.getUsage`: the options, and how they are used."""
        return f"{super().getUsage(width).rstrip()}\n{EXAMPLES}"

    @property
    def detaches(self) -> bool:
        """Whether the daemon goes to the background."""
        return bool(self["daemonize"] or self["background"])

    def postOptions(self) -> None:
        """See `Options.postOptions`."""
        super().postOptions()
        if self["working-directory"] is not None:
            self["working-directory"] = str(Path(self["working-directory"]).absolute())
        elif self.detaches:
            self["working-directory"] = "/"


def detach() -> int:
    """Go on in a new process and session, while the old process waits for it to be ready.

    The old process ends with status 0 when something is written to the descriptor that is returned, and with
    status 1 when it is closed before.
    """
    said, say = os.pipe()
    if os.fork():
        os.close(say)
        os._exit(0 if os.read(said, 1) else 1)
    os.close(said)
    os.setsid()
    return say


def leave_terminal() -> None:
    """Read nothing, and write to nobody."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(null, descriptor)
    os.close(null)


def run(options: CommandOptions) -> None:
    """Run the daemon to its end. Raises CannotStart."""
    say = detach() if options.detaches else None

    # The reactor holds descriptors: it is made here, in the process that it serves.
    from twisted.internet import reactor
    from twisted.logger import globalLogBeginner

    from lttngnet.log import stream_observer
    from lttngnet.relayd.service import makeService

    def ready() -> None:
        if options["daemonize"]:
            leave_terminal()
        if say is not None:
            os.write(say, b"\0")
            os.close(say)

    observer = stream_observer(sys.stderr, options["verbose"])
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)
    daemon = makeService(options)
    daemon.privilegedStartService()
    daemon.startService()
    reactor.addSystemEventTrigger("before", "shutdown", daemon.stopService)
    reactor.callWhenRunning(ready)
    reactor.run()


def main() -> None:
    """Do what the command line says."""
    options = CommandOptions()
    options.parseOptions()
    if all(is_plain(options[f"{what}-port"]) for what in ("control", "data", "live")):
        leave_out_tls()
    run(options)
