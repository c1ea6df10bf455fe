"""Ring buffers that real kernels wrote (4 and 16 KiB sub-buffers), and those kernels' own text of them."""

import re
import subprocess
import tarfile
import tempfile
from collections import defaultdict
from functools import cache
from pathlib import Path
from shutil import which
from unittest import skipIf
from uuid import UUID

from twisted.trial.unittest import SynchronousTestCase

from lttngnet.sources.ftrace import convert as with_stdlib
from lttngnet.sources.ftrace import preamble
from lttngnet.sources.ftrace.classes import EventClasses
from lttngnet.sources.ftrace.formats import Formats
from lttngnet.sources.ftrace.names import lttng_event_name
from lttngnet.sources.ftrace.preamble import describe_trace
from lttngnet.sources.ftrace.stream import Channel, CpuStream, ReadBuffer
from lttngnet.sources.ftrace.tracefs import Instance
from tests import compiled
from tests.sources.ftrace.test_convert import compiled_convert

try:
    from lttngnet.sources.ftrace import convert_numpy as with_numpy
except ImportError:
    with_numpy = None

FIXTURES = Path(__file__).parent / "fixtures"
OLD, NEW = "debian-6.1.192-4k", "linux-6.18.44-16k"
TRACE = UUID(int=7)
STATS = "entries: 0\noverrun: 0\ncommit overrun: 0\ndropped events: 0\nread events: 0\n"
KERNEL_LINE = re.compile(r" *.+-(\d+) +\[(\d+)\] \S+ +(\d+)\.(\d{6}): (\S+?)(?:\(| ->|: |:$)")
BABELTRACE_LINE = re.compile(r"\[(\d+)\.(\d{9})\] (?:\S+ )?(\S+): \{ cpu_id = (\d+) \}.*? tid = (-?\d+)")


@cache
def unpack(name):
    """Return a folder in which a recording looks like an instance of tracefs."""
    holder = tempfile.TemporaryDirectory()
    folder = Path(holder.name)
    with tarfile.open(FIXTURES / f"{name}.tar.xz") as archive:
        archive.extractall(folder)
    for raw in folder.glob("cpu*.raw"):
        cpu = folder / "per_cpu" / raw.stem
        cpu.mkdir(parents=True)
        raw.rename(cpu / "trace_pipe_raw")
        (cpu / "stats").write_text(STATS)
    kib = re.search(r"(\d+)k$", name)[1]
    (folder / "buffer_subbuf_size_kb").write_text(kib)
    return folder, holder


def trace(name, convert):
    """Return the metadata of a recording, and the packets of each CPU."""
    folder, _ = unpack(name)
    instance = Instance(folder)
    texts = [describe_trace(TRACE, "recorded", "host", 1, 0)]
    classes = EventClasses(Formats(folder / "events").layout, 0, texts.append)
    channel = Channel(instance, TRACE, 0, classes, ReadBuffer(instance.subbuffer_size), convert)
    packets = {}
    for cpu in instance.cpus:
        stream = CpuStream(channel, cpu, cpu)
        packets[cpu] = []
        more = True
        while more:
            more, some = stream.read()
            packets[cpu] += [bytes(packet.content).ljust(packet.packet_size // 8, b"\0") for packet in some]
        stream.close()
    return "".join(texts), packets


def kernel_text(name):
    """Return thread id, microsecond and LTTng's name of each event, by CPU, in the kernel's own words."""
    folder, _ = unpack(name)
    systems = {path.parts[-2]: path.parts[-3] for path in (folder / "events").glob("*/*/format")}
    events = defaultdict(list)
    for line in (folder / "trace.txt").read_text(errors="replace").splitlines():
        if match := KERNEL_LINE.match(line):
            tid, cpu, seconds, micro, event = match.groups()
            entry = events[int(cpu)]
            entry.append((int(tid), int(seconds + micro), spell(systems, event, line)))
    return events


def spell(systems, event, line):
    """The kernel shortens ``sys_enter_openat: …`` to ``sys_openat(…)`` and ``sys_openat -> …``."""
    if event not in systems and event.startswith("sys_"):
        event = event.replace("sys_", "sys_exit_" if f"{event} -> " in line else "sys_enter_", 1)
    return lttng_event_name(systems.get(event, "syscalls"), event)


def babeltrace_text(metadata, packets):
    """Return the same from babeltrace2's reading of the trace."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "metadata").write_text(metadata)
        for cpu, each in packets.items():
            Path(folder, f"channel0_{cpu}").write_bytes(b"".join(each))
        command = ["babeltrace2", folder, "--clock-seconds", "--no-delta"]
        run = subprocess.run(command, capture_output=True, text=True, errors="replace", check=True)
    events = defaultdict(list)
    for line in run.stdout.splitlines():
        seconds, nano, name, cpu, tid = BABELTRACE_LINE.match(line).groups()
        events[int(cpu)].append((int(tid), (int(seconds + nano) + 500) // 1000, name))
    return events, run.stderr


class RecordedTests(SynchronousTestCase):
    def check_same_bytes(self, convert):
        """It makes the same bytes as the first of the converters."""
        self.patch(preamble, "creation_datetime", lambda: "20261122T120000+0000")
        for name in (OLD, NEW):  # small sub-buffers, large ones
            metadata, packets = trace(name, with_stdlib.convert)
            other_metadata, other_packets = trace(name, convert)
            self.assertEqual(packets, other_packets)
            self.assertEqual(sorted(metadata.split("event {")), sorted(other_metadata.split("event {")))

    @skipIf(with_numpy is None, "numpy is not installed")
    def test_same_bytes_with_numpy(self):
        self.check_same_bytes(with_numpy.convert)

    @skipIf(compiled.why_not(), compiled.why_not())
    def test_same_bytes_compiled(self):
        self.check_same_bytes(compiled_convert())

    @skipIf(which("babeltrace2") is None, "babeltrace2 is not installed")
    def check_text(self, name):
        convert = with_stdlib.convert if with_numpy is None else with_numpy.convert
        read, complaints = babeltrace_text(*trace(name, convert))
        self.assertEqual(complaints, "")
        self.assertTrue(read)
        self.assertEqual(read, kernel_text(name))

    def test_text_of_small_subbuffers(self):
        self.check_text(OLD)

    def test_text_of_large_subbuffers(self):
        self.check_text(NEW)
