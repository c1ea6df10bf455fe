from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.relayd.refusal import Refusal
from lttngnet.relayd.store import names


class NameTests(SynchronousTestCase):
    def refused(self, judge, name):
        with self.assertRaises(Refusal, msg=repr(name)) as caught:
            judge(name)
        return str(caught.exception)

    def test_components(self):
        for name in ("a", "a b", "a..b", "ä", "metadata", "x" * 255):
            self.assertEqual(names.component(name, "name"), name)
        for name in ("", ".", "..", ".a", "a/b", "/", "a\0", "a\n", "\x7f", "x" * 256, "ä" * 128):
            self.refused(lambda name: names.component(name, "name"), name)

    def test_chunk_names(self):
        self.assertEqual(names.chunk_name("snapshot-1-20261122-124830-0"), "snapshot-1-20261122-124830-0")
        self.refused(names.chunk_name, "a.b")

    def test_stream_paths(self):
        for path, judged in (
            ("ust/uid/0/64-bit", "ust/uid/0/64-bit"),
            ("/vm/s1-20261122-124548//ust/uid", "vm/s1-20261122-124548/ust/uid"),
            ("ust/pid/.hidden-1-20261122-124548", "ust/pid/.hidden-1-20261122-124548"),
        ):
            self.assertEqual(str(names.stream_path(path)), judged)
        for path in (
            "",
            "/",
            ".",
            "..",
            "a/..",
            "a/../b",
            "a/./b",
            ".tmp_new_chunk/a",
            "a\0b",
            "a/" + "b" * 256,
        ):
            self.refused(names.stream_path, path)

    def test_base_paths(self):
        self.assertEqual(str(names.base_path("some/dir")), "some/dir")
        for path in ("/some/dir", "../x", "x/..", "a/" * 3000):
            self.refused(names.base_path, path)

    def test_depth(self):
        for judge in (names.base_path, names.stream_path):
            self.assertEqual(str(judge("/".join("a" * 128))), "/".join("a" * 128))
            self.assertIn("more than 128 folders", self.refused(judge, "/".join("a" * 129)))

    def test_a_refusal_is_one_short_line(self):
        why = self.refused(names.stream_path, "..\n" * 1000)
        self.assertNotIn("\n", why)
        self.assertLess(len(why), 300)

    @given(st.text(max_size=40))
    def test_no_path_leads_out(self, text):
        for judge in (names.stream_path, names.base_path):
            try:
                path = judge(text)
            except Refusal:
                continue
            self.assertFalse(path.is_absolute())
            self.assertNotIn("..", path.parts)
            self.assertTrue(path.parts)
