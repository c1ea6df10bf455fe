"""A way to a relay daemon that may break: ``lossy_proxy.py PORT TARGET…``, each PORT leads to its TARGET.

On a line ``reset`` at its standard input, every connection ends at once with a RST at both ends, in the
middle of what was just on its way. On anything else the program ends.
"""

import selectors
import socket
import struct
import sys

NO_LINGER = struct.pack("ii", 1, 0)


def main(words):
    ready, others = selectors.DefaultSelector(), {}
    targets = {}
    for port, target in zip(words[::2], words[1::2], strict=True):
        door = socket.create_server(("127.0.0.1", int(port)))
        targets[door] = int(target)
        ready.register(door, selectors.EVENT_READ)
    ready.register(sys.stdin, selectors.EVENT_READ)
    print("ready", flush=True)
    is_resetting = False

    def end(connection):
        for each in (connection, others.get(connection)):
            if each in others:
                del others[each]
                ready.unregister(each)
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
                each.close()

    while True:
        for key, _ in ready.select():
            connection = key.fileobj
            if connection is sys.stdin:
                if sys.stdin.readline() != "reset\n":
                    return
                is_resetting = True
            elif connection in targets:
                near, _ = connection.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", targets[connection]))
                except OSError:
                    near.close()
                    continue
                others[near], others[far] = far, near
                for each in (near, far):
                    ready.register(each, selectors.EVENT_READ)
            elif connection in others:
                try:
                    data = connection.recv(1 << 16)
                    others[connection].sendall(data[: len(data) // 2 or 1] if is_resetting else data)
                except OSError:
                    data = b""
                if is_resetting and data:
                    is_resetting = False
                    for each in list(others):
                        end(each)
                    print("reset", flush=True)
                elif not data:
                    end(connection)


if __name__ == "__main__":
    main(sys.argv[1:])
