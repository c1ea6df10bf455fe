"""view: a viewer is run on the traces, or the indexes tell what is there."""

import json
import os
import shutil
import struct
from pathlib import Path
from uuid import UUID

from lttngnet.cli import summary
from lttngnet.cli.view import VIEWER
from lttngnet.ctf.index import IndexEntry, index_header
from tests.cli.terminal import TerminalCase
from tests.fake_daemon import facts

METADATA = b"""/* CTF 1.8 */
clock {
    name = "monotonic";
    freq = 1000000000; /* Frequency, in Hz */
    offset_s = 1700000000;
    offset = 500000000;
};
"""


def entry(sequence, begin, end, lost=0):
    return IndexEntry(sequence * 4096, 8 * 4096, 8 * 100, begin, end, lost, 0, 0, sequence)


def make_trace(folder, metadata=METADATA):
    """Make a trace of two streams, of which one has no packet yet."""
    (folder / "index").mkdir(parents=True)
    (folder / "metadata").write_bytes(metadata)
    packets = entry(0, 0, 10**9).pack() + entry(1, 10**9, 2 * 10**9, lost=5).pack()
    (folder / "index" / "channel0_0.idx").write_bytes(index_header(1) + packets)
    (folder / "index" / "channel0_1.idx").write_bytes(index_header(1))


def in_packets(text, order, size=60):
    """Return metadata in packets, as genuine LTTng writes it."""
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    header = struct.Struct(f"{order}I16sIII5B")
    packets = []
    for piece in pieces:
        content = 8 * (header.size + len(piece))
        packets.append(header.pack(0x75D11D57, UUID(int=1).bytes, 0, content, 8 * 256, 0, 0, 0, 1, 8) + piece)
    return b"".join(packet.ljust(256, b"\0") for packet in packets)


class SummaryTests(TerminalCase):
    def test_clock(self):
        clock = summary.Clock(1_000_000_000, 1_700_000_000, 500_000_000)
        for metadata in METADATA, in_packets(METADATA, "<"), in_packets(METADATA, ">"):
            self.assertEqual(summary.read_clock(metadata), clock)
        self.assertEqual(clock.wall(10**9), 1_700_000_001.5)

    def test_no_clock(self):
        self.assertEqual(summary.read_clock(b"/* CTF 1.8 */").wall(10**9), 1)

    def test_metadata_that_is_cut_short(self):
        whole = in_packets(METADATA, "<")
        for end in range(4, len(whole)):
            self.assertTrue(METADATA.decode().startswith(summary.metadata_text(whole[:end])))

    def test_streams(self):
        make_trace(self.home / "host" / "kernel")
        traces = summary.find_traces(self.home)
        self.assertEqual(
            list(summary.summarize(traces, self.home)),
            [
                summary.Stream(
                    "host/kernel", "channel0_0", 2, 1_700_000_000.5, 1_700_000_002.5, bytes=8192, lost=5
                ),
                summary.Stream("host/kernel", "channel0_1", 0, None, None, bytes=0, lost=0),
            ],
        )

    def test_metadata_without_a_word_is_no_trace(self):
        make_trace(self.home / "kernel", metadata=b"")
        self.assertEqual(summary.find_traces(self.home), [])


class ViewTests(TerminalCase):
    def setUp(self):
        super().setUp()
        self.succeeds("create", "session1")
        self.patch(shutil, "which", lambda program: None)
        self.patch(os, "environ", os.environ | {"TZ": "UTC"})
        self.trace = self.home / "lttng-traces" / "host" / "session1-20261122-150000"

    def say_where(self, **changes):
        self.daemon.sessions["session1"] = facts(**changes)

    def check_table(self, told):
        heads, full, empty = told.splitlines()
        self.assertEqual(heads.split(), ["trace", "stream", "packets", "from", "to", "size", "lost"])
        self.assertIn("kernel", full)
        self.assertIn("channel0_0", full)
        self.assertRegex(full, r":\d\d\.500000 .*:\d\d\.500000 +8.0 KiB +5$")
        self.assertRegex(empty, r"channel0_1 +0 +- +- +0 bytes +0$")

    def test_a_trace_on_this_machine(self):
        make_trace(self.home / "mine" / "kernel")
        self.say_where(path=str(self.home / "mine"))
        self.check_table(self.succeeds("view", "--summary"))
        self.check_table(self.succeeds("view", "session1", "--summary"))

    def test_a_trace_of_a_relay_daemon_on_this_machine(self):
        make_trace(self.trace / "kernel")
        self.say_where(path="host/session1-20261122-150000", network=True)
        self.check_table(self.succeeds("view", "--summary"))
        self.check_table(
            self.succeeds("view", "--summary", "--relay-output", str(self.home / "lttng-traces"))
        )

    def test_a_trace_on_another_machine(self):
        self.say_where(path="host/session1", network=True, output="tcp4://relay:5342/ [data: 5343]")
        told = self.fails("view")
        self.assertIn("the trace went to tcp4://relay:5342/ [data: 5343] as host/session1", told)
        self.assertIn("--relay-output", told)

    def test_no_trace_yet(self):
        self.assertEqual(
            self.fails("view"), "session session1 has no trace yet: its consumer was never enabled"
        )

    def test_a_path(self):
        make_trace(self.trace / "kernel")
        for option in "-t", "--trace-path":
            self.check_table(self.succeeds("view", option, str(self.trace), "--summary"))
        self.assertEqual(self.asked("Describe"), [{"session": "session1"}])  # by create

    def test_a_path_without_a_trace(self):
        self.assertEqual(self.fails("view", "-t", str(self.home)), f"there is no trace in {self.home}")
        self.assertEqual(self.fails("view", "-t", "/nowhere"), "there is no folder /nowhere")

    def test_many_traces(self):
        for name in "kernel", "python":
            make_trace(self.trace / name)
        told = self.succeeds("view", "-t", str(self.trace), "--summary")
        self.assertEqual(told.count("channel0_0"), 2)

    def test_without_a_viewer(self):
        make_trace(self.trace / "kernel")
        result = self.run_command("view", "-t", str(self.trace))
        self.assertEqual(result.exit_code, 0)
        self.assertTrue(result.stderr.startswith(f"Warning: {VIEWER} is not installed"), result.stderr)
        self.check_table(result.stdout)

    def test_json(self):
        make_trace(self.trace / "kernel")
        streams = json.loads(self.succeeds("view", "-t", str(self.trace), "--json"))
        self.assertEqual([stream["packets"] for stream in streams], [2, 0])
        self.assertEqual(streams[0]["end"], 1_700_000_002.5)

    def test_a_damaged_index(self):
        make_trace(self.trace / "kernel")
        (self.trace / "kernel" / "index" / "channel0_0.idx").write_bytes(bytes(64))
        self.assertIn("channel0_0.idx: no index file", self.fails("view", "-t", str(self.trace), "--summary"))

    def test_a_viewer(self):
        make_trace(self.trace / "kernel")
        make_trace(self.trace / "python")
        told = self.home / "told"
        for option in "-e", "--viewer":
            result = self.run_command(
                "view", "-t", str(self.trace), option, f"sh -c 'echo \"$@\" >{told}' sh"
            )
            self.assertEqual(result.exit_code, 0)
            self.assertEqual(told.read_text(), f"{self.trace}/kernel {self.trace}/python\n")

    def test_the_exit_status_is_that_of_the_viewer(self):
        make_trace(self.trace / "kernel")
        for command, status in ("sh -c 'exit 3'", 3), ("sh -c 'kill -PIPE $$'", 141):
            result = self.run_command("view", "-t", str(self.trace), "-e", command)
            self.assertEqual((result.exit_code, result.stderr), (status, ""))

    def test_a_session_and_a_path(self):
        make_trace(self.trace / "kernel")
        told = self.fails("view", "session1", "-t", str(self.trace))
        self.assertIn("not both", told)

    def test_no_such_viewer(self):
        make_trace(self.trace / "kernel")
        for viewer, reason in (
            ("nosuchviewer -x", "No such file or directory"),
            ("less '", "No closing quotation"),
        ):
            told = self.fails("view", "-t", str(self.trace), "-e", viewer)
            self.assertIn(f"the viewer {viewer!r} cannot be run: ", told)
            self.assertIn(reason, told)

    def test_babeltrace2_where_it_is(self):
        make_trace(self.trace / "kernel")
        tool = self.home / VIEWER
        tool.write_text(f'#!/bin/sh\necho "$@" >{self.home}/told\n')
        tool.chmod(0o755)
        self.patch(shutil, "which", lambda program: str(tool))
        self.patch(os, "environ", os.environ | {"PATH": f"{self.home}:{os.environ['PATH']}"})
        self.assertEqual(self.run_command("view", "-t", str(self.trace)).exit_code, 0)
        self.assertEqual(Path(self.home, "told").read_text(), f"{self.trace}/kernel\n")
