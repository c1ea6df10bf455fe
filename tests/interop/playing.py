"""An application that a session daemon sets up, and that writes down every command it hears, in hexadecimal.

python -m tests.interop.playing SOCKET
"""

import os
import struct
import sys

from lttngnet.wire.ust.commands import REQUEST_SIZE, Reply
from tests.sessiond.ust.fake import PATIENCE, FakeApplication
from tests.sessiond.ust.memory import VERSION

GROUP = 0x46  # event notifiers, which this application does not know
TAILS = {0x51: "=Q", 0xA0: "=I", 0xA1: "=I"}  # commands behind whose fields so many bytes (or names) follow
DESCRIPTORS = {0x51: 1, 0x60: 2}


def main():
    fake = FakeApplication(sys.argv[1], name=b"playing").register()
    fake.command.settimeout(PATIENCE)
    value = 100
    while True:
        data = fake.receive(fake.command, REQUEST_SIZE)
        handle, number = struct.unpack_from("=II", data)
        if number in TAILS:
            (size,) = struct.unpack_from(TAILS[number], data, 40)
            data += fake.receive(fake.command, 256 * size if number == 0xA1 else size)
        elif number == 0x70 and struct.unpack_from("=i", data, 40) == (7,):
            data += fake.receive(fake.command, sum(struct.unpack_from("=II", data, 60)))
        if number in DESCRIPTORS:
            found = fake.receive_descriptors(DESCRIPTORS[number])
            assert len(found) == DESCRIPTORS[number], found
        print(data.hex(), flush=True)
        value += 1
        content = VERSION if number == 0x41 else b""
        error = -1029 if number == GROUP else 0
        fake.command.sendall(Reply(handle, number, error, value, content).pack())
        if number == 0x44:
            os._exit(0)


if __name__ == "__main__":
    main()
