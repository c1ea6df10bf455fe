"""Files that are opened when something is written to them, and closed when there are too many."""

import os
import resource
from errno import EMFILE, ENOSPC
from pathlib import Path, PurePosixPath

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.relayd.store import pool as pool_module
from lttngnet.relayd.store.files import File
from lttngnet.relayd.store.pool import FEWEST, Pool, open_files_limit
from tests.descriptors import open_files


class PoolTestCase(SynchronousTestCase):
    def setUp(self):
        self.root = Path(self.mktemp())
        self.pool = Pool(self.root, 4)
        self.before = open_files()

    def file(self, name):
        return File(self.pool.create(lambda: PurePosixPath("sub", name)))

    def read(self, name):
        return (self.root / "sub" / name).read_bytes()


class PoolTests(PoolTestCase):
    def test_no_more_are_open_than_said(self):
        files = [self.file(str(number)) for number in range(20)]
        for turn in b"ab":
            for file in files:
                file.append(bytes([turn]), 1)
                self.assertLessEqual(open_files() - self.before, 4)
        self.assertEqual({self.read(str(number)) for number in range(20)}, {b"a\0b\0"})
        for file in files:
            file.close()
            file.close()
        self.assertEqual((open_files(), len(self.pool)), (self.before, 0))

    def test_the_one_in_use_stays_open(self):
        busy = self.file("busy")
        for number in range(9):
            self.file(str(number))
            busy.append(b"x")
        (self.root / "sub/busy").unlink()  # so that it could not be opened again
        busy.append(b"x")

    def test_a_file_whose_folder_moved(self):
        folder = ["sub"]
        file = File(self.pool.create(lambda: PurePosixPath(folder[0], "file")))
        file.append(b"one")
        for number in range(4):
            self.file(str(number))
        folder[0] = "other"
        self.pool.tree.rename(PurePosixPath("sub"), PurePosixPath("other"))
        file.append(b"two")
        self.assertEqual((self.root / "other/file").read_bytes(), b"onetwo")

    def test_a_file_that_was_replaced_is_not_written_to(self):
        file = self.file("file")
        for number in range(4):
            self.file(str(number))
        (self.root / "sub/file").rename(self.root / "sub/old")
        (self.root / "sub/file").write_bytes(b"not ours")
        self.assertRaises(OSError, file.append, b"more")
        self.assertEqual(self.read("file"), b"not ours")
        file.close()

    def test_a_file_that_we_unlink_stays_open(self):
        old = self.file("file")
        old.append(b"old")
        new = self.file("file")
        new.append(b"new")
        others = [self.file(str(number)) for number in range(9)]
        target = others[-1]
        old.append(b"er")
        list(old.move_tail(0, target))
        self.assertEqual((self.read("file"), self.read("8")), (b"new", b"older"))
        self.assertLessEqual(open_files() - self.before, 4)

    def test_unlinked_files_do_not_fill_the_pool(self):
        files = [self.file("file") for _ in range(9)]
        for file in files:
            file.append(b"x", 3)
            self.assertLessEqual(open_files() - self.before, 4)
        self.assertEqual(self.read("file"), b"x\0\0\0")
        self.assertRaises(OSError, list, files[0].move_tail(0, files[-1]))
        for file in files:
            file.close()
        self.assertEqual(open_files(), self.before)

    def test_a_close_that_fails_is_told_to_who_wrote(self):
        first = self.file("first")
        close, failing = os.close, []

        def full(number):
            close(number)
            if number in failing:
                failing.clear()
                raise OSError(ENOSPC, "quota")

        failing.append(first.descriptor.open)
        self.patch(pool_module.os, "close", full)
        for number in range(4):
            self.file(str(number))  # none of these is to blame
        self.assertRaises(OSError, first.append, b"x")
        self.assertRaises(OSError, first.close)
        self.assertRaises(OSError, first.close)

    def test_descriptors_that_others_took(self):
        files = [self.file(str(number)) for number in range(3)]
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        taken = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (open_files() + 20, hard))
        try:
            while True:
                taken.append(os.open("/dev/null", os.O_RDONLY))
        except OSError as problem:
            self.assertEqual(problem.errno, EMFILE)
        try:
            files.append(self.file("3"))
            for file in files:
                file.append(b"x")
        finally:
            for number in taken:
                os.close(number)
        self.assertEqual({self.read(str(number)) for number in range(4)}, {b"x"})

    def test_limits(self):
        self.patch(pool_module, "descriptor_limit", lambda: 1024)
        limits = [open_files_limit(wanted) for wanted in (None, 100, 2000, 1)]
        self.assertEqual(limits, [512, 100, 512, FEWEST])


class AnyUseTests(PoolTestCase):
    """However files are written, made anew and closed, what stands in them is as if all had been open."""

    @settings(max_examples=50, deadline=None)
    @given(
        acts=st.lists(st.tuples(st.integers(0, 7), st.sampled_from("wwwwnc"), st.integers(0, 9)), max_size=60)
    )
    def test_contents(self, acts):
        self.pool = Pool(Path(self.mktemp()), 3)
        self.root = self.pool.tree.root
        files, contents = {}, {}
        for name, act, amount in acts:
            file = files.get(name)
            if act == "n" or file is None:
                if file is not None:
                    file.close()
                files[name], contents[name] = self.file(str(name)), b""
            elif act == "c":
                file.close()
                del files[name]
            else:
                file.append(b"y" * amount, amount)
                contents[name] += b"y" * amount + bytes(amount)
        self.assertEqual({name: self.read(str(name)) for name in contents}, contents)
        for file in files.values():
            file.close()
        self.assertEqual(open_files(), self.before)
