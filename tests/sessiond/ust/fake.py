"""A process that plays an application over real sockets, in blocking calls: to be run in a thread."""

import array
import os
import socket
import struct

from lttngnet.wire.ust.commands import REQUEST_SIZE, Command, Reply
from lttngnet.wire.ust.registration import HOST, MAGIC, STRUCT_ORDERS, Half
from tests.sessiond.ust.memory import VERSION
from tests.waiting import DEADLINE

PATIENCE = DEADLINE
BYTE_ORDER = "little" if HOST == "le" else "big"


def registration(half, order=HOST, bits=64, pid=None, name=b"fake", major=9, magic=MAGIC):
    values = (magic, major, 0, os.getpid() if pid is None else pid, 1, 4242, 4242, bits, 8, 8, 8, 8, 8, half)
    return struct.pack(STRUCT_ORDERS[order] + "14I16s64x", *values, name)


class FakeApplication:
    """Both sockets of an application.

    Args:
        path: of the daemon's socket.
        facts: what to lie about in the registration.
    """

    def __init__(self, path, **facts):
        self.path = path
        self.facts = facts
        self.order = facts.get("order", HOST)
        self.sockets = []
        self.value = 100
        self.heard = []  # commands
        self.files = []  # descriptors that came
        self.tail = b""  # what followed the last command

    def connect(self):
        """Connect once, and say nothing."""
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(PATIENCE)
        self.sockets.append(sock)
        sock.connect(str(self.path))
        return sock

    def introduce(self, half):
        sock = self.connect()
        sock.sendall(registration(half, **self.facts))
        return sock

    def register(self, order=(Half.COMMAND, Half.NOTIFY)):
        """Connect and introduce both sockets."""
        made = {half: self.introduce(half) for half in order}
        self.command, self.notify = made[Half.COMMAND], made[Half.NOTIFY]
        return self

    def close(self):
        for descriptor in self.files:
            os.close(descriptor)
        self.files.clear()
        for sock in self.sockets:
            sock.close()

    def receive(self, sock, size):
        data = b""
        while len(data) < size:
            piece = sock.recv(size - len(data))
            if not piece:
                raise EOFError(f"{len(data)} of {size} bytes")
            data += piece
        return data

    def receive_descriptors(self, count):
        """Return the descriptors that come on the next byte, all in one message."""
        _, ancillary, flags, _ = self.command.recvmsg(1, socket.CMSG_SPACE(4 * count))
        assert not flags & socket.MSG_CTRUNC
        found = array.array("i")
        for _, _, data in ancillary:
            found.frombytes(data)
        self.files += found
        return list(found)

    def take(self):
        """Return the next command: its handle, its number, its own fields; take what follows it."""
        data = self.receive(self.command, REQUEST_SIZE)
        handle, number = struct.unpack_from(STRUCT_ORDERS[self.order] + "II", data)
        command, fields = Command(number), data[40:]
        self.heard.append(command)
        if command is Command.CHANNEL:
            self.tail = self.receive(self.command, struct.unpack_from("=Q", fields)[0])
            assert len(self.receive_descriptors(1)) == 1
        elif command is Command.STREAM:
            assert len(self.receive_descriptors(2)) == 2
        elif command is Command.FILTER:
            self.tail = self.receive(self.command, struct.unpack_from("=I", fields)[0])
        elif command is Command.EXCLUSION:
            self.tail = self.receive(self.command, 256 * struct.unpack_from("=I", fields)[0])
        return handle, command, fields

    def answer(self, error=0, **changes):
        """Answer the next command; return which it was."""
        handle, command, _ = self.take()
        self.value += 1
        content = VERSION if command is Command.TRACER_VERSION else b""
        values = {
            "handle": handle,
            "command": command,
            "error": error,
            "value": self.value,
            "content": content,
        }
        self.command.sendall(Reply(**(values | changes)).pack(self.order))
        return command

    def answer_until(self, last):
        while self.answer() is not last:
            pass
        return self.heard

    def ask(self, question, size):
        """Ask a question, and return the answer."""
        self.notify.sendall(question)
        return self.receive(self.notify, size)

    def hears_the_end(self, sock):
        """Return whether the daemon hangs up, having said whatever it likes."""
        try:
            while sock.recv(4096):
                pass
        except ConnectionError:
            pass
        return True
