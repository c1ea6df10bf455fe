import os
from pathlib import Path, PurePosixPath

from twisted.trial.unittest import SynchronousTestCase

from lttngnet.relayd.store.tree import Tree
from tests.descriptors import open_files


class TreeTests(SynchronousTestCase):
    def setUp(self):
        self.root = Path(self.mktemp()).absolute()
        self.outside = Path(self.mktemp()).absolute()
        self.outside.mkdir(parents=True)
        self.tree = Tree(self.root)
        self.addCleanup(os.umask, os.umask(0o027))

    def create(self, path):
        os.close(self.tree.create(PurePosixPath(path)))

    def mode(self, path):
        return (self.root / path).stat().st_mode & 0o777

    def test_folders_and_modes(self):
        made = self.tree.make(PurePosixPath("a/b"))
        self.create("a/b/c/file")
        self.assertEqual([str(path) for path in made], ["a", "a/b"])
        self.assertEqual([self.mode(path) for path in (".", "a", "a/b/c")], [0o750] * 3)
        self.assertEqual(self.mode("a/b/c/file"), 0o640)
        self.assertEqual(self.tree.make(PurePosixPath("a/b")), [])

    def test_the_root_may_go_away(self):
        self.create("a/file")
        for path in sorted(self.root.rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
        self.root.rmdir()
        self.create("a/file")
        self.assertTrue((self.root / "a/file").exists())

    def test_a_reader_keeps_the_old_file(self):
        self.create("file")
        (self.root / "file").write_bytes(b"old")
        with (self.root / "file").open("rb") as reader:
            self.create("file")
            self.assertEqual((reader.read(), (self.root / "file").read_bytes()), (b"old", b""))

    def test_no_link_is_followed(self):
        self.tree.make(PurePosixPath("a"))
        (self.root / "a/link").symlink_to(self.outside)
        (self.root / "link").symlink_to(self.outside)
        (self.outside / "precious").write_text("still here")
        for act in (
            lambda: self.create("link/file"),
            lambda: self.create("a/link/b/file"),
            lambda: self.tree.make(PurePosixPath("link/b")),
            lambda: self.tree.unlink(PurePosixPath("link"), ["precious"]),
            lambda: self.tree.rename(PurePosixPath("a"), PurePosixPath("link/a")),
        ):
            with self.assertRaises(OSError):
                act()
        self.tree.remove_empty(PurePosixPath("link"))
        self.assertEqual([path.name for path in self.outside.iterdir()], ["precious"])

    def test_a_link_in_the_place_of_a_file_is_replaced(self):
        self.tree.make(PurePosixPath("a"))
        (self.root / "a/file").symlink_to(self.outside / "new")
        self.create("a/file")
        self.assertFalse((self.root / "a/file").is_symlink())
        self.assertEqual(list(self.outside.iterdir()), [])

    def test_the_root_may_be_a_link(self):
        self.root.symlink_to(self.outside)
        self.create("file")
        self.assertTrue((self.outside / "file").exists())

    def test_nothing_stays_open(self):
        before = open_files()
        self.create("a/b/file")
        self.tree.rename(PurePosixPath("a/b/file"), PurePosixPath("c/file"))
        with self.assertRaises(OSError):
            self.create("c/file/d")
        self.assertEqual(open_files(), before)
