"""The relay daemon as a process of its own, and peers that talk to it over sockets."""

import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from lttngnet.wire import relay as wire
from lttngnet.wire.relay import Command, command
from tests.relayd.talking import CREATED, PATH, index, packet
from tests.waiting import DEADLINE, wait_until

TWISTD = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "-n", "--pidfile="]
ANY = "tcp://127.0.0.1:0"
HELLO = command(Command.VERSION, wire.Version(2, 13).pack())
ON_TMPFS = 'mount -t tmpfs -o size="$0" none "$1" && shift && exec "$@"'
SECONDS_OF_A_MILLION = 0.058  # numbers, see `slowness`
SCALE = float(os.environ.get("LTTNGNET_SOAK", "1"))  # how much longer than in a normal test run


def scaled(number):
    return max(1, int(number * SCALE))


@cache
def slowness():
    """Return how many times as long as on the one that limits were set on a thing takes on this machine."""

    def measure():
        began = time.process_time()
        sum(number * number for number in range(1_000_000))
        return time.process_time() - began

    return max(1.0, min(measure() for _ in range(5)) / SECONDS_OF_A_MILLION)


class Daemon:
    """A relay daemon on ports of its own.

    Args:
        folder: for its output and its log; made if need be.
        descriptors: that it may have.
        disk: size of the tmpfs that its output lies on, as mount takes it; None is no tmpfs.
        live: where it listens for viewers.
    """

    def __init__(self, folder, descriptors=1024, disk=None, live=ANY):
        self.folder = Path(folder).absolute()
        self.output = self.folder / "out"
        self.output.mkdir(parents=True, exist_ok=True)
        self.log = self.folder / "log"
        ports = self.folder / "ports.json"
        ports.unlink(missing_ok=True)
        where = ["-C", ANY, "-D", ANY, "-L", live]
        call = [*TWISTD, "lttng-relayd", "-o", self.output, "--ports-file", ports, *where]
        if disk is not None:
            call = ["unshare", "-m", "sh", "-c", ON_TMPFS, disk, self.output, *call]
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                call,
                cwd=self.folder,
                env=os.environ | {"LTTNG_RELAYD_HEALTH": f"{tempfile.gettempdir()}/soak-{os.getpid()}"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors)),
            )
        wait_until(lambda: ports.exists() or self.process.poll() is not None, "the daemon")
        if self.process.returncode is not None:
            raise AssertionError(f"the daemon ended with status {self.process.returncode}:\n{self.said()}")
        self.ports = json.loads(ports.read_text())

    @property
    def seen_output(self):
        """The output folder as the daemon sees it."""
        return Path(f"/proc/{self.process.pid}/root{self.output}")

    def connect(self, kind="control"):
        return Peer(socket.create_connection(("127.0.0.1", self.ports[kind]), DEADLINE))

    def descriptors(self):
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def memory(self):
        """Bytes that are resident."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmRSS")

    def cpu(self):
        """Seconds that it has worked."""
        return processor_time(self.process.pid)[0]

    def rests(self):
        """Look for a tenth of a second whether it works."""
        before = self.cpu()
        select.select([], [], [], 0.1)
        return self.cpu() - before < 0.002

    def said(self):
        return self.log.read_text()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        """End it in order; return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(DEADLINE)
        finally:
            if self.process.returncode is None:
                self.kill()


def processor_time(pid="self"):
    """Return the seconds that the main thread of a process had a processor, and that it waited for one."""
    worked, waited, _ = Path(f"/proc/{pid}/schedstat").read_text().split()
    return int(worked) / 1e9, int(waited) / 1e9


def stolen_time():
    """Return the seconds for which other machines on the same hardware had our processors."""
    first, *_ = Path("/proc/stat").read_text().splitlines()
    return int(first.split()[8]) / os.sysconf("SC_CLK_TCK")


class Peer:
    """A connection to the daemon."""

    def __init__(self, connection):
        self.socket = connection
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self):
        return self

    def __exit__(self, *problem):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def read(self, size):
        """Return that many bytes, or fewer where the daemon hangs up."""
        found = bytearray()
        while len(found) < size:
            try:
                more = self.socket.recv(size - len(found))
            except ConnectionResetError:
                break
            if not more:
                break
            found += more
        return bytes(found)

    def ask(self, question, size):
        self.send(question)
        return self.read(size)


class Producer:
    """A consumer daemon with its session: streams ``chan_0`` … and the metadata."""

    SESSIOND = UUID(int=9)

    def __init__(self, daemon, name, streams=2, data=True, live_timer=0):
        self.sent = 0  # packets of a stream, for who counts them
        self.control = daemon.connect()
        wanted = wire.CreateSession(
            name, "vm", live_timer=live_timer, sessiond=self.SESSIOND, created=CREATED
        )
        chunk = wire.CreateTraceChunk(0, CREATED)
        answer = self.control.ask(
            HELLO + command(Command.CREATE_SESSION, wanted.pack(13)), 8 + wire.SessionCreated.head.size
        )
        self.number, _, length = wire.SessionCreated.head.unpack(answer[8:])
        self.path = self.control.read(length).rstrip(b"\0").decode()
        self.control.ask(command(Command.CREATE_TRACE_CHUNK, chunk.pack()), 4)
        names = [f"chan_{number}" for number in range(streams)] + ["metadata"]
        adding = b"".join(command(Command.ADD_STREAM, wire.AddStream(n, PATH).pack(13)) for n in names)
        answers = self.control.ask(adding, 12 * len(names))
        handles = [wire.StreamAdded.unpack(answers[at : at + 12]).handle for at in range(0, len(answers), 12)]
        *self.streams, self.metadata = handles
        self.data = daemon.connect("data") if data else None

    def packet(self, number, content=b"x" * 6):
        """Send a packet of each stream with its index; return what was answered."""
        for stream in self.streams:
            self.data.send(packet(stream, number, content, 2))
        size = (len(content) + 2) * 8
        asked = [command(Command.SEND_INDEX, index(stream, number, size).pack(13)) for stream in self.streams]
        return self.control.ask(b"".join(asked), 4 * len(asked))

    def text(self, text):
        self.control.send(command(Command.SEND_METADATA, wire.MetadataHeader(self.metadata, 0).pack() + text))

    def finish(self, last):
        """Close the streams and the connections."""
        ends = [(self.metadata, wire.NO_SEQUENCE), *((stream, last) for stream in self.streams)]
        said = b"".join(command(Command.CLOSE_STREAM, wire.StreamPosition(*end).pack()) for end in ends)
        answer = self.control.ask(said, 4 * len(ends))
        self.close()
        return answer

    def close(self):
        self.control.close()
        if self.data is not None:
            self.data.close()


class Wait(NamedTuple):
    """How long a peer waited for an answer, in seconds.

    Attributes:
        passed: on the clock.
        own: of that, what neither the daemon nor the peer spent waiting for a processor, which may be stolen.
        worked: what the daemon worked meanwhile.
    """

    passed: float
    own: float
    worked: float

    @classmethod
    def longest(cls, waits):
        """Return the longest of each."""
        return cls(*map(max, zip(*waits, strict=True)))

    def __str__(self):
        passed, own, worked = (f"{seconds * 1000:.0f}" for seconds in self)
        return f"longest work {worked} ms, wait {own} ms ({passed} ms with other processes)"


class Bystander:
    """A peer that asks for little, again and again, and looks at the clock."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.waits = []
        self.producer = Producer(daemon, "bystander")

    def ask(self):
        """Send a packet of each of two streams, and their indexes; return what is answered."""
        pid = self.daemon.process.pid
        stolen, worked, *queued, began = (
            stolen_time(),
            *processor_time(pid),
            processor_time()[1],
            time.monotonic(),
        )
        answer = self.producer.packet(self.producer.sent)
        passed = time.monotonic() - began
        now = processor_time(pid)
        waited = now[1] - queued[0] + processor_time()[1] - queued[1] + stolen_time() - stolen
        self.producer.sent += 1
        self.waits.append(Wait(passed, passed - waited, now[0] - worked))
        return answer

    def finish(self):
        """Close the streams and the connections, in order."""
        self.producer.finish(self.producer.sent - 1)

    def close(self):
        self.producer.close()
