"""The sink that is a local folder."""

import os
from errno import ENOSPC
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from lttngnet.consumer.directory import DirectorySink
from lttngnet.ctf.index import IndexEntry, read_index
from lttngnet.ctf.packet import Packet
from lttngnet.interfaces import IPacketSink


def packet(content, sequence=0, padding=0):
    return Packet(content, padding, 8 * len(content), 100, 200, 3, 0, 1, sequence)


class DirectorySinkTests(SynchronousTestCase):
    def setUp(self):
        self.folder = Path(self.mktemp()).absolute()
        self.lost = []
        self.sink = DirectorySink(str(self.folder), self.lost.append)

    def do(self, coroutine):
        return self.successResultOf(Deferred.fromCoroutine(coroutine))

    def test_interface(self):
        verifyObject(IPacketSink, self.sink)

    def test_files_as_a_relay_daemon_writes_them(self):
        stream = self.do(self.sink.add_stream("kernel", "channel0_1"))
        metadata = self.do(self.sink.add_stream("kernel", "metadata"))
        self.do(self.sink.publish())
        self.sink.write_metadata(metadata, b"/* CTF")
        self.sink.write_metadata(metadata, b" 1.8 */")
        self.sink.write(stream, packet(memoryview(b"abcd"), 0, padding=4))
        self.sink.write(stream, packet(bytearray(b"efgh"), 1))
        self.do(self.sink.quiesce())
        kernel = self.folder / "kernel"
        self.assertEqual((kernel / "metadata").read_bytes(), b"/* CTF 1.8 */")
        self.assertEqual((kernel / "channel0_1").read_bytes(), b"abcd\0\0\0\0efgh")
        entries = list(read_index((kernel / "index" / "channel0_1.idx").read_bytes()))
        self.assertEqual(
            entries,
            [IndexEntry(0, 64, 32, 100, 200, 3, 0, 1, 0), IndexEntry(8, 32, 32, 100, 200, 3, 0, 1, 1)],
        )
        self.do(self.sink.finish())

    def test_whoever_reads_metadata_that_is_written_anew_finds_some(self):
        metadata = self.do(self.sink.add_stream("kernel", "metadata"))
        path = self.folder / "kernel" / "metadata"
        self.sink.write_metadata(metadata, b"old")
        seen = []
        replace = Path.replace

        def look(aside, target):
            seen.append((path.read_bytes(), aside.name[:1]))
            return replace(aside, target)

        self.patch(Path, "replace", look)
        with path.open("rb") as before:
            self.sink.rewrite_metadata(metadata, b"new")
            self.assertEqual(before.read(), b"old")
        self.sink.write_metadata(metadata, b" and more")
        self.assertEqual((seen, path.read_bytes()), ([(b"old", ".")], b"new and more"))

        def fail(aside, target):
            raise OSError(ENOSPC, "No space left on device")

        self.patch(Path, "replace", fail)
        self.sink.rewrite_metadata(metadata, b"newer")
        self.assertEqual((len(self.lost), path.read_bytes()), (1, b"new and more"))
        self.do(self.sink.finish())
        self.assertEqual([file.name for file in path.parent.iterdir()], ["metadata"])

    def test_a_stream_without_packets_has_no_index(self):
        self.do(self.sink.add_stream("kernel", "channel0_0"))
        self.assertEqual([path.name for path in (self.folder / "kernel").iterdir()], ["channel0_0"])

    def test_a_trace_is_not_overwritten(self):
        """However deep it lies."""
        for path in ("kernel", "ust/uid/0/64-bit"):
            folder = str(self.folder / "other" / path.replace("/", "-"))
            sink = DirectorySink(folder, self.fail)
            self.do(sink.add_stream(path, "metadata"))
            self.do(sink.finish())
            with self.assertRaises(FileExistsError) as caught:
                DirectorySink(folder, self.fail)
            self.assertIn(f"a trace already ({path})", str(caught.exception))

    def test_a_full_disk_ends_the_sink_with_whole_packets(self):
        stream = self.do(self.sink.add_stream("kernel", "channel0_0"))
        self.sink.write(stream, packet(b"abcd"))
        files = self.sink._streams[stream]
        files._trace.close()
        files._trace = FullDisk(self.folder / "kernel" / "channel0_0")
        self.sink.write(stream, packet(b"efgh", 1))
        self.sink.write(stream, packet(b"ijkl", 2))
        self.assertEqual(len(self.lost), 1)
        self.assertIn("cannot write the trace", self.lost[0])
        self.assertIn("No space left on device", self.lost[0])
        self.assertEqual((self.folder / "kernel" / "channel0_0").read_bytes(), b"abcd")


class FullDisk:
    """A file that takes two more bytes, and then has no room."""

    def __init__(self, path):
        self.file = open(path, "r+b", buffering=0)  # noqa: SIM115, PTH123
        self.file.seek(0, os.SEEK_END)
        self.room = 2

    def write(self, data):
        if not self.room:
            raise OSError(28, os.strerror(28))
        written = self.file.write(data[: self.room])
        self.room -= written
        return written

    def truncate(self, size):
        self.file.truncate(size)

    def close(self):
        self.file.close()
