"""rotate, enable-rotation, disable-rotation, clear."""

import json

from lttngnet.errors import Code, CommandError
from tests.cli.terminal import TerminalCase
from tests.fake_daemon import facts


class RotationTests(TerminalCase):
    def setUp(self):
        super().setUp()
        self.succeeds("create", "session1")

    def test_rotate(self):
        told = self.succeeds("rotate")
        self.assertEqual(told, "The archive of session session1 is at /traces/archives/0\n")
        told = json.loads(self.succeeds("rotate", "other", "--json"))
        self.assertEqual(told, {"name": "other", "path": "/traces/archives/0"})
        self.assertEqual(self.asked("Rotate"), [{"session": "session1"}, {"session": "other"}])

    def test_nothing_to_archive(self):
        self.daemon.path = ""
        self.assertEqual(self.succeeds("rotate"), "Session session1 had nothing to archive.\n")

    def test_refused(self):
        self.daemon.refuse["Rotate"] = CommandError(Code.ROTATION_NOT_AVAILABLE, "it is live")
        self.assertEqual(self.fails("rotate"), "it is live")

    def test_by_itself(self):
        told = self.succeeds("enable-rotation", "--timer", "10s", "--size", "4M")
        self.assertEqual(
            told,
            "Session session1 is rotated every 10000000 us.\n"
            "Session session1 is rotated every 4194304 bytes.\n",
        )
        self.assertEqual(
            self.asked("EnableRotation"),
            [
                {"session": "session1", "kind": "timer", "amount": 10_000_000},
                {"session": "session1", "kind": "size", "amount": 4 << 20},
            ],
        )
        self.assertIn("say when to rotate", self.fails("enable-rotation"))

    def test_not_by_itself(self):
        told = self.succeeds("disable-rotation", "-s", "x", "--timer")
        self.assertEqual(told, "The periodic rotation of session x is disabled.\n")
        self.succeeds("disable-rotation", "--size")
        self.assertEqual(
            self.asked("DisableRotation"),
            [{"session": "x", "kind": "timer"}, {"session": "session1", "kind": "size"}],
        )
        self.assertIn("say which rotation", self.fails("disable-rotation"))

    def test_is_listed(self):
        self.daemon.sessions["session1"] = facts(rotation={"timer": 5, "size": 0}, rotated=2)
        self.assertIn("Rotated: 2 times, every 5 us", self.succeeds("list", "session1"))


class ClearTests(TerminalCase):
    def test_one(self):
        self.assertEqual(self.succeeds("clear", "session1"), "Session session1 cleared.\n")
        self.assertEqual(self.asked("Clear"), [{"session": "session1"}])

    def test_all(self):
        self.assertEqual(self.succeeds("clear", "--all"), "There is no session.\n")
        for name in "ab":
            self.daemon.sessions[name] = facts(name)
        self.assertEqual(self.succeeds("clear", "-a"), "Session a cleared.\nSession b cleared.\n")
        self.assertIn("not both", self.fails("clear", "-a", "b"))
