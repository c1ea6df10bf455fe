"""Exits with status 0 if the relay daemon is well: ``python health.py /run/lttng-relayd/health``."""

import socket
import struct
import sys

PARTS = {
    1: "is late by seconds: it has too much to do",
    2: "has lost a port",
    5: "has lost the port for viewers",
}

try:
    with socket.socket(socket.AF_UNIX) as daemon:
        daemon.settimeout(10)
        daemon.connect(sys.argv[1])
        daemon.sendall(struct.pack("=I", 0))
        (ailing,) = struct.unpack("=Q", daemon.recv(8))
except (OSError, struct.error) as problem:
    sys.exit(f"The relay daemon does not answer: {problem}")
if ailing:
    sys.exit("\n".join(f"The relay daemon {what}" for bit, what in PARTS.items() if ailing >> bit & 1))
