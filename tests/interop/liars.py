"""Applications that misbehave: for every command, one that does so instead of answering it.

``python -m tests.interop.liars`` makes them all, says "registered", and makes as many again when it is told
"more"; these register while tracing is active. At the end of its input it kills all. It needs no tracer: it
speaks as one.
"""

import os
import signal
import socket
import struct
import sys

from lttngnet.wire.ust.commands import REQUEST_SIZE, Command, Reply
from lttngnet.wire.ust.registration import MAGIC

SOCKET = "/run/lttng/lttng-ust-sock-8"
LIES = ("hang up", "refuse", "answer another command", "talk nonsense", "ask nonsense", "say nothing")
MOST_COMMANDS = 13  # of a set-up, and some


def register(half):
    """Return a new connection that introduces itself."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(SOCKET)
    numbers = (MAGIC, 9, 0, os.getpid(), os.getppid(), 0, 0, 64, 8, 8, 8, 8, 8, half)
    connection.sendall(struct.pack("=14I16s64x", *numbers, b"liar"))
    return connection


def receive(connection, size):
    """Return so many bytes, None if they do not come; descriptors are closed."""
    data = b""
    while len(data) < size:
        part, descriptors, _, _ = socket.recv_fds(connection, size - len(data), 4)
        for descriptor in descriptors:
            os.close(descriptor)
        if not part:
            return None
        data += part
    return data


def lie(how, at, ready):
    """Be an application that answers commands, but for one."""
    command, notify = register(0), register(1)
    if at > 1:  # those that lie at the first are not registered for long
        os.write(ready, b"x")
    handle, count = 100, 0
    while (request := receive(command, REQUEST_SIZE)) is not None:
        of, number = struct.unpack_from("=II", request)
        # What follows a request, and then the byte on which descriptors come.
        if number == Command.CHANNEL:
            receive(command, struct.unpack_from("=Q", request, 40)[0] + 1)
        elif number == Command.STREAM:
            receive(command, 1)
        elif number == Command.FILTER:
            receive(command, struct.unpack_from("=I", request, 40)[0])
        elif number == Command.EXCLUSION:
            receive(command, 256 * struct.unpack_from("=I", request, 40)[0])
        handle, content = handle + 1, struct.pack("=3I", 2, 13, 0)
        count += 1
        if count == at:
            match how:
                case "hang up":
                    return
                case "refuse":
                    command.sendall(Reply(of, number, -1024, 0, b"").pack())
                    continue
                case "answer another command":
                    command.sendall(Reply(of, number + 1, 0, handle, content).pack())
                    continue
                case "talk nonsense":
                    command.sendall(b"nonsense" * 100)
                    continue
                case "ask nonsense":
                    notify.sendall(b"nonsense" * 100)
                case "say nothing":
                    continue
        command.sendall(Reply(of, number, 0, handle, content).pack())


def main():
    """Make them; each is a process of its own, as the kernel tells who is who."""
    children = []
    while True:
        heard, ready = os.pipe()
        expected = 0
        for at in range(1, MOST_COMMANDS + 1):
            for how in LIES:
                expected += at > 1
                children.append(os.fork())
                if children[-1] == 0:
                    try:
                        lie(how, at, ready)
                    except OSError:
                        pass
                    finally:
                        os._exit(0)
        while expected:
            expected -= len(os.read(heard, expected))
        os.close(heard)
        os.close(ready)
        print("registered", flush=True)
        if not sys.stdin.readline():
            break
    for child in children:
        os.kill(child, signal.SIGKILL)


if __name__ == "__main__":
    main()
