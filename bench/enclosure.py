"""A network, mounts and processes of our own: every port is free, and all that runs in it ends with it."""

import os
import shutil
import sys
from collections.abc import Sequence

_MARK = "LTTNGNET_BENCH_ENCLOSED"
_SETTLE = """
mount -t tmpfs none /run && mkdir -p /run/lttng && mount -t tmpfs none /dev/shm && ip link set lo up \
&& exec "$@"
"""


def enter(command: Sequence[str]) -> None:
    """Return where this process is enclosed; else execute ``command`` in an enclosure instead of it.

    ``/run`` and ``/dev/shm`` are empty in there. Without root, user namespaces have to be allowed.
    Raises SystemExit where that cannot be.
    """
    if os.environ.pop(_MARK, None):
        return
    lacking = [tool for tool in ("unshare", "ip", "mount") if shutil.which(tool) is None]
    if lacking:
        sys.exit(f"bench: not installed: {', '.join(lacking)} (util-linux, iproute2)")
    as_root = () if os.geteuid() == 0 else ("-r",)
    kinds = ("-n", "-m", "-p", "--fork", "--kill-child", "--mount-proc")
    sys.stdout.flush()
    os.environ[_MARK] = "1"
    os.execvp("unshare", ["unshare", *as_root, *kinds, "sh", "-c", _SETTLE, "bench", *command])
