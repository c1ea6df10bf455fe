"""snapshot record, add-output, del-output, list-output; create --snapshot."""

import json
from pathlib import Path

from tests.cli.terminal import TerminalCase


class SnapshotTests(TerminalCase):
    def setUp(self):
        super().setUp()
        self.succeeds("create", "s1", "--snapshot")

    def test_create(self):
        self.assertTrue(self.asked("CreateSession")[-1]["snapshot"])
        self.assertIn("is for snapshots", self.succeeds("create", "x", "--snapshot"))
        self.assertIn("exclude each other", self.fails("create", "x", "--snapshot", "--live"))
        self.assertIn("exclude each other", self.fails("create", "x", "--snapshot", "--no-consumer"))

    def test_record(self):
        self.assertEqual(
            self.succeeds("snapshot", "record"), "A snapshot of session s1 is at /traces/snapshot-1\n"
        )
        usual = {"session": "s1", "name": "", "output": None, "max_size": 0}
        self.assertEqual(self.asked("RecordSnapshot")[-1], usual)
        self.succeeds("snapshot", "record", "--max-size", "2M")
        self.assertEqual(self.asked("RecordSnapshot")[-1]["max_size"], 2 << 20)
        told = self.succeeds("snapshot", "record", "-s", "x", "-n", "crash", "net://10.0.0.1", "--json")
        self.assertEqual(json.loads(told), {"name": "x", "path": "/traces/snapshot-1"})
        asked = self.asked("RecordSnapshot")[-1]
        self.assertEqual((asked["session"], asked["name"]), ("x", "crash"))
        self.assertEqual(asked["output"]["control"], "tcp4://10.0.0.1:5342/")
        for arguments in (["here"], ["-U", "here"]):
            self.succeeds("snapshot", "record", *arguments)
            self.assertEqual(self.asked("RecordSnapshot")[-1]["output"]["path"], f"{Path.cwd()}/here")
        self.assertIn("exclude each other", self.fails("snapshot", "record", "here", "-U", "there"))

    def test_outputs(self):
        told = self.succeeds("snapshot", "add-output", "-n", "two", "-C", "tcp://h", "-D", "tcp://h")
        self.assertEqual(told, "Snapshot output added to session s1: [2] two: file:///two/\n")
        self.assertEqual(self.asked("AddSnapshotOutput")[-1]["name"], "two")
        self.assertIn("say where", self.fails("snapshot", "add-output"))
        told = self.succeeds("snapshot", "list-output")
        self.assertEqual(told, "Snapshot outputs of session s1:\n    [2] two: file:///two/\n")
        self.assertEqual(json.loads(self.succeeds("snapshot", "list-output", "--json"))[0]["id"], 2)
        self.daemon.outputs.clear()
        self.assertEqual(self.succeeds("snapshot", "list-output"), "Session s1 has no snapshot output.\n")
        told = self.succeeds("snapshot", "del-output", "two")
        self.assertEqual(told, "Snapshot output two of session s1 deleted.\n")
        self.assertEqual(self.asked("DeleteSnapshotOutput"), [{"session": "s1", "which": "two"}])
