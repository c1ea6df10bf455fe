"""Bytes of a file for a viewer, in pieces that somebody else may send."""

import os
import tempfile

from twisted.trial.unittest import SynchronousTestCase

from lttngnet.relayd.position import Extent, Reader

CONTENT = bytes(range(100))


class ExtentTests(SynchronousTestCase):
    def setUp(self):
        with tempfile.NamedTemporaryFile() as file:
            file.write(CONTENT)
            file.flush()
            self.reader = Reader(os.open(file.name, os.O_RDONLY))
        self.addCleanup(self.reader.close)

    def test_pieces(self):
        extent = Extent(self.reader, 10, 25)
        self.assertEqual(list(extent.pieces(10)), [CONTENT[10:20], CONTENT[20:30], CONTENT[30:35]])

    def test_pieces_that_somebody_else_sends(self):
        """He sends as many as he can; what he cannot is read, and then he may go on."""
        asked, can = [], [4, 0, 6, 0, 5]

        def send_file(descriptor, offset, length):
            asked.append((os.pread(descriptor, 1, offset)[0], length))
            return min(length, can.pop(0))

        extent = Extent(self.reader, 10, 35)
        pieces = list(extent.pieces(10, send_file))
        self.assertEqual(pieces, [b"", CONTENT[14:24], b"", CONTENT[30:40], b""])
        self.assertEqual(asked, [(10, 10), (14, 10), (24, 10), (30, 10), (40, 5)])

    def test_a_file_that_was_shortened(self):
        extent = Extent(self.reader, 95, 10)
        self.assertRaises(OSError, list, extent.pieces(10))
        self.assertRaises(OSError, list, extent.pieces(10, lambda descriptor, offset, length: 0))
        self.assertIsNone(self.reader.read_if_there(95, 10))
        self.assertEqual(self.reader.read_if_there(95, 5), CONTENT[95:])
