"""What the genuine client makes of filters: ``python -m tests.filters.genuine`` fills filters.json.

The keys of that file are the expressions; their values are made anew. The compiler is in liblttng-ctl, the
library under the command ``lttng``: it is asked to enable an event with the filter, and the bytecode is taken
out of the command that arrives at the session daemon's socket. Behind that socket, in a mount namespace, is
nobody but us.
"""

import ctypes
import json
import os
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

from tests.interop.genuine import missing
from tests.waiting import PATIENCE

TABLE = Path(__file__).parent.parent / "captures" / "filters.json"
REFUSED = "refused"
_SOCKET = "/run/lttng/client-lttng-sessiond"
# Of lttng-tools 2.13 on x86-64: struct lttcomm_session_msg, and what follows it.
_COMMAND_SIZE, _LENGTH_AT = 13156, 4944
_BYTECODE_LENGTH_AT = 27
_SIZES = struct.Struct("=II")  # of code and table, of code: the header of the bytecode begins with them
_UST, _DOMAIN_SIZE, _EVENT_SIZE, _NAME_AT = 2, 308, 584, 4
_INSIDE = 'mount -t tmpfs none /run && mkdir /run/lttng && exec "$@"'


def why_not():
    """Return why the genuine client cannot be asked here, or None."""
    if reason := missing():
        return reason
    try:
        ctypes.CDLL("liblttng-ctl.so.0")
    except OSError as problem:
        return str(problem)
    return None


def ask(expressions):
    """Return a dict of expressions and what the genuine client makes of each, as it stands in the table."""
    command = ["unshare", "-m", "sh", "-c", _INSIDE, "sh", sys.executable, "-m", "tests.filters.genuine", "-"]
    asked = subprocess.run(
        command,
        input=json.dumps(expressions),
        cwd=Path(__file__).parents[2],  # where the package tests is
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    return json.loads(asked.stdout.splitlines()[-1])


def write():
    """Fill the table."""
    table = ask(list(json.loads(TABLE.read_text())))
    lines = (f"{json.dumps(expression)}: {json.dumps(answer)}" for expression, answer in table.items())
    TABLE.write_text("{\n" + ",\n".join(lines) + "\n}\n")


class _Client:
    """The genuine library, and the socket at which its commands arrive."""

    def __init__(self):
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(_SOCKET)
        self._listener.listen(1)
        self._library = ctypes.CDLL("liblttng-ctl.so.0")
        self._library.lttng_create_handle.restype = ctypes.c_void_p
        domain = ctypes.create_string_buffer(struct.pack("=I", _UST), _DOMAIN_SIZE)
        self._handle = ctypes.c_void_p(self._library.lttng_create_handle(b"session", domain))

        self._commands = []
        threading.Thread(target=self._receive, daemon=True).start()

    def make(self, expression):
        """Return the code and where its table begins, or that the expression is refused."""
        event = ctypes.create_string_buffer(_EVENT_SIZE)
        event[_NAME_AT : _NAME_AT + 2] = b"*\0"
        text = expression.encode("utf-8", "surrogateescape")
        self._library.lttng_enable_event_with_exclusions(self._handle, event, b"channel", text, 0, None)
        if not self._commands:
            return REFUSED
        command = self._commands.pop()
        (length,) = struct.unpack_from("=I", command, _BYTECODE_LENGTH_AT)
        whole, code = _SIZES.unpack_from(command, len(command) - length)
        return [command[-whole:].hex(), code]

    def _receive(self):
        """Take commands, and hang up on each: that is when the library returns."""
        while True:
            connection, _ = self._listener.accept()
            with connection, connection.makefile("rb") as stream:
                command = stream.read(_COMMAND_SIZE)
                (length,) = struct.unpack_from("=I", command, _LENGTH_AT)
                self._commands.append(stream.read(length))


def _answer():
    """Answer for `ask`, inside of the namespace."""
    expressions = json.load(sys.stdin)
    client = _Client()
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 2)
    table = {expression: client.make(expression) for expression in expressions}
    print("\n" + json.dumps(table))  # the library's lexer prints without a line's end


if __name__ == "__main__":
    _answer() if sys.argv[1:] else write()
