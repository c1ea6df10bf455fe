"""``lttng-relayd-tx``: the relay daemon as a command of its own, which is called as the genuine one is.

``twistd lttng-relayd`` runs the same service, with what twistd offers: pid files, log files, other users.
Next to nothing is imported here: this much is done twice where a process still has to take its name.
"""

import gc
import os
import sys

NAME = "lttng-relayd-tx"
"""Of the process: scripts look for ``lttng-relayd`` in the base name of its first argument."""

OWN_NAME = "/proc/self/comm"


def take_name() -> None:
    """Be a process called `NAME`; where it is not, this program is executed once more.

    Only `execve` sets the arguments that others see. The new name is one beside the interpreter, since
    Python looks there for the virtual environment that it belongs to.
    """
    if sys.executable and sys.orig_argv[0].rpartition("/")[2] != NAME:
        folder = sys.executable.rpartition("/")[0]
        os.execv(sys.executable, [f"{folder}/{NAME}", *sys.orig_argv[1:]])
    own_name = os.open(OWN_NAME, os.O_WRONLY)
    os.write(own_name, NAME.encode())
    os.close(own_name)


def main() -> None:
    """Be the command."""
    take_name()
    gc.disable()  # `lttngnet.relayd.garbage` puts it right: what is imported stays
    from lttngnet.sparing import import_little

    import_little()
    from lttngnet.relayd.foreground import main as run

    run()


if __name__ == "__main__":
    main()
