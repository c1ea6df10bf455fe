"""Metadata that is written anew: whoever reads it finds something whole, whenever that is."""

from errno import ENOSPC

from twisted.trial.unittest import SynchronousTestCase

from lttngnet.relayd.store import tree
from lttngnet.wire.relay import CloseCommand, Command, MetadataHeader, ResetMetadata, command
from tests.relayd.hostility import WatchedRelay
from tests.relayd.replaying import utc
from tests.relayd.talking import PATH, Client

FOLDER = f"vm/walk-20261122-124548/{PATH}"
LONG = b"long" * 50000  # comes in more than one piece


class AnewTests(SynchronousTestCase):
    def setUp(self):
        utc(self)
        self.relay = WatchedRelay(self.mktemp())
        self.client = Client(self.relay)
        (self.stream,) = self.client.stream("metadata")
        self.client.metadata(self.stream, b"old")

    def reset(self, stream=None):
        asked = ResetMetadata(stream or self.stream, 1).pack()
        self.assertEqual(self.client.status(Command.RESET_METADATA, asked), 10)

    def read(self, folder=FOLDER):
        return (self.relay.output / folder / "metadata").read_bytes()

    def leave(self):
        """Go; nothing stays in the output folder but the metadata."""
        for connection in (self.client.control, self.client.data):
            connection.close()
        self.relay.settle()
        self.assertEqual(self.relay.left_over(), {})
        self.assertEqual({name.rpartition("/")[2] for name in self.relay.files()} - {"metadata"}, set())

    def test_what_there_is_stays_until_something_whole_takes_its_place(self):
        self.reset()
        self.assertEqual(self.read(), b"old")
        whole = command(Command.SEND_METADATA, MetadataHeader(self.stream, 2).pack() + LONG)
        self.client.control.send(whole[:150000])
        self.assertEqual(self.read(), b"old")
        with (self.relay.output / FOLDER / "metadata").open("rb") as file:
            self.client.control.send(whole[150000:])
            self.assertEqual(file.read(), b"old")
        self.assertEqual(self.read(), LONG + bytes(2))
        self.client.metadata(self.stream, b"more")
        self.assertEqual(self.read(), LONG + bytes(2) + b"more")
        self.leave()

    def test_again_and_again(self):
        for number in range(3):
            self.reset()
            self.reset()
            self.client.metadata(self.stream, b"%d" % number)
            self.assertEqual(self.read(), b"%d" % number)
        self.leave()

    def test_the_end_before_anything_comes(self):
        """It is to be empty, as the genuine relay daemon leaves it."""
        self.reset()
        self.leave()
        self.assertEqual(self.read(), b"")

    def test_the_end_in_the_middle_of_what_comes(self):
        self.reset()
        whole = command(Command.SEND_METADATA, MetadataHeader(self.stream, 0).pack() + LONG)
        self.client.control.send(whole[:150000])
        self.leave()
        self.assertEqual(self.read(), b"old")

    def test_the_chunk_moves_meanwhile(self):
        self.reset()
        self.client.chunk(1)
        self.client.metadata(self.stream, b"new")
        self.assertEqual(self.read(f"vm/walk-20261122-124548/.tmp_old_chunk/{PATH}"), b"new")
        self.client.rotate(1, (self.stream, 0))
        self.client.metadata(self.stream, b"next")
        self.client.close_chunk(0, CloseCommand.MOVE_TO_COMPLETED)
        (archived,) = (self.relay.output / "vm/walk-20261122-124548/archives").iterdir()
        self.assertEqual((archived / PATH / "metadata").read_bytes(), b"new")
        self.leave()

    def test_the_chunk_is_deleted_meanwhile(self):
        self.reset()
        self.client.chunk(1)
        self.client.rotate(1, (self.stream, 0))
        self.client.close_chunk(0, CloseCommand.DELETE)
        self.relay.settle()
        self.client.metadata(self.stream, b"next")
        self.leave()
        self.assertEqual(self.relay.files().keys(), {f"{FOLDER}/metadata"})

    def test_files_that_are_closed_meanwhile(self):
        """The pool has room for 16; this one is found again by the name that it has then."""
        self.reset()
        self.others()
        self.client.metadata(self.stream, b"new")
        self.others()
        self.client.metadata(self.stream, b"more")
        self.assertEqual(self.read(), b"newmore")
        for connection in (self.client.control, self.client.data):
            connection.close()
        self.relay.settle()
        self.assertEqual(self.relay.left_over(), {})

    def others(self):
        for number in range(20):
            self.client.add(f"chan_{number}")

    def test_two_streams_of_that_name(self):
        """The last one that is whole has it; the other goes on to a file that nobody sees."""
        second = self.client.add("metadata")
        for stream in (self.stream, second):
            self.reset(stream)
        for text, stream in ((b"one", self.stream), (b"two", second), (b"three", self.stream)):
            self.client.metadata(stream, text)
        self.assertEqual(self.read(), b"two")
        self.leave()

    def test_a_disk_that_fails(self):
        def fail(*arguments, **more):
            raise OSError(ENOSPC, "No space left on device")

        self.reset()
        self.patch(tree.os, "replace", fail)
        self.client.metadata(self.stream, b"new")
        self.assertTrue(self.client.control.is_closed)
        self.leave()
        self.assertEqual(self.read(), b"old")
