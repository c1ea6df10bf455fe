"""Data over UDP beside data over TCP, both from our sender to our relay daemon: ``python -m bench.udp``.

TCP is measured as a session has it by default, and where the relay daemon keeps the session for the case
that a connection is lost (``--on-relay-loss=hold``). One process sends packets as fast as it is let, with
the parts that a consumer process has; the relay daemon is another. What counts is the time from the first
packet until all of them are said to be there.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from secrets import token_bytes
from typing import Any
from uuid import uuid4

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import react
from zope.interface import implementer

from lttngnet.consumer.process import connect
from lttngnet.consumer.relay import RelaySink
from lttngnet.ctf.packet import Packet
from lttngnet.sessiond.control import LastingSession
from lttngnet.sessiond.link import establish
from lttngnet.uri import parse_pair

PATIENCE = 20  # seconds until the relay daemon listens
MIB = 1 << 20


class Relay:
    """Our relay daemon, which writes to a folder of its own."""

    def __init__(self, folder: Path) -> None:
        ports = folder / "ports"
        anywhere = "tcp://127.0.0.1:0"
        words = ["-C", anywhere, "-D", anywhere, "-L", anywhere, "--data-udp-port", "udp://127.0.0.1:0"]
        words += ["-o", str(folder / "out"), "--ports-file", str(ports)]
        twistd = Path(sys.executable).with_name("twistd")
        command = [str(twistd), "-n", "--pidfile=", "lttng-relayd", *words]
        self.output = folder / "out"
        self._log = (folder / "log").open("w")
        self._process = subprocess.Popen(command, stdout=self._log, stderr=self._log, cwd=folder)
        end = time.monotonic() + PATIENCE
        while not ports.exists():
            if time.monotonic() > end or self._process.poll() is not None:
                raise SystemExit(f"the relay daemon does not start: {(folder / 'log').read_text()}")
            time.sleep(0.01)
        self.ports = json.loads(ports.read_text())

    def end(self) -> None:
        """Let it end."""
        self._process.terminate()
        self._process.wait()
        self._log.close()


@implementer(IPushProducer)
class Load:
    """Sends packets to a sink, as long as it takes them."""

    def __init__(self, reactor: Any, sink: RelaySink, size: int, count: int) -> None:
        self.done: Deferred[None] = Deferred()
        self._reactor = reactor
        self._sink = sink
        self._left = self._count = count
        self._content = bytes(size)
        self._is_paused = False
        self._is_due = False

    def begin(self, stream: int) -> None:
        """Begin."""
        self._stream = stream
        self._go_on()

    def pauseProducing(self) -> None:  # noqa: N802
        """See `IPushProducer`."""
        self._is_paused = True

    def resumeProducing(self) -> None:  # noqa: N802
        """See `IPushProducer`."""
        self._is_paused = False
        self._go_on_later()

    def stopProducing(self) -> None:  # noqa: N802
        """See `IPushProducer`."""

    def _go_on_later(self) -> None:
        if not self._is_due:
            self._is_due = True
            self._reactor.callLater(0, self._go_on)

    def _go_on(self) -> None:
        self._is_due = False
        for _ in range(16):  # then the reactor looks for answers
            if self._is_paused:
                return
            if not self._left:
                if not self.done.called:
                    self.done.callback(None)
                return
            number = self._count - self._left
            self._left -= 1
            bits = 8 * len(self._content)
            packet = Packet(self._content, 0, bits, number, number, 0, 0, 0, number)
            self._sink.write(self._stream, packet)
        self._go_on_later()


async def run(reactor: Any, relay: Relay, data: str, size: int, count: int) -> dict[str, float]:
    """Send so many packets; return MiB/s and what was lost."""
    port = relay.ports["datagrams" if data.startswith("udp") else "data"]
    scheme, _, query = data.partition("?")
    uri = f"{scheme}://127.0.0.1:{port}" + (f"?{query}" if scheme == "udp" and query else "")
    output = parse_pair(f"tcp://127.0.0.1:{relay.ports['control']}", uri, "/")
    name = f"{scheme}-{uuid4()}"
    wanted = LastingSession(name, "bench", sessiond=uuid4(), created=int(time.time()))
    if query == "kept":
        wanted = replace(wanted, identity=token_bytes(16), secret=token_bytes(32))
    link = await establish(reactor, output, wanted, 10.0)
    lost: list[str] = []
    sink = RelaySink(reactor, link.session, time.time, lost.append)
    load = Load(reactor, sink, size, count)
    connect(reactor, sink, link.control, link.data, load)
    await sink.begin()
    stream = await sink.add_stream("bench", "channel_0")
    began = time.perf_counter()
    load.begin(stream)
    await load.done
    await sink.quiesce()
    took = time.perf_counter() - began
    await sink.finish()
    if lost:
        raise SystemExit(lost[0])
    folder = relay.output / link.session.path
    written = sum(file.stat().st_size for file in folder.rglob("channel_0"))
    shutil.rmtree(folder)
    return {"mib_per_s": size * count / MIB / took, "lost": count - written // size}


async def measure(reactor: Any, options: argparse.Namespace) -> None:
    """Take turns, and print the medians."""
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        relay = Relay(Path(folder))
        try:
            await report(reactor, relay, options)
        finally:
            relay.end()


async def report(reactor: Any, relay: Relay, options: argparse.Namespace) -> None:
    """See `measure`."""
    count = max(1, options.mib * MIB // options.size)
    found: dict[str, list[dict[str, float]]] = {
        "tcp": [],
        "tcp?kept": [],
        "udp": [],
        "udp?reliable=1": [],
    }
    for _ in range(options.runs):
        for data, results in found.items():
            results.append(await run(reactor, relay, data, options.size, count))
    rates = {data: statistics.median(one["mib_per_s"] for one in runs) for data, runs in found.items()}
    print(f"{count} packets of {options.size} bytes, median of {options.runs} runs")
    for data, runs in found.items():
        lost = sum(one["lost"] for one in runs)
        ratio = rates[data] / rates["tcp"]
        print(f"{data:16}{rates[data]:8.0f} MiB/s {ratio:6.2f} of TCP {lost:6.0f} packets lost")


def main() -> None:
    """Be the command."""
    parser = argparse.ArgumentParser(prog="python -m bench.udp", description=__doc__)
    parser.add_argument("--size", type=int, default=65536, help="bytes of a packet (default: 65536)")
    parser.add_argument("--mib", type=int, default=512, help="MiB of a run (default: 512)")
    parser.add_argument("--runs", type=int, default=3, help="runs of each (default: 3)")
    parser.add_argument("--folder", default="/dev/shm", help="where to write (default: /dev/shm)")
    options = parser.parse_args()
    react(lambda reactor: Deferred.fromCoroutine(measure(reactor, options)), ())


if __name__ == "__main__":
    main()
