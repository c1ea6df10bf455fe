"""The tables and examples of the documentation are those of the code."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from unittest import skipUnless

from twisted.trial.unittest import SynchronousTestCase

from lttngnet import cli
from lttngnet.relayd.commands import HANDLERS
from lttngnet.sources.program import TSDL
from lttngnet.uri import UriError, parse_argument, parse_pair
from lttngnet.wire import relay
from lttngnet.wire.relay import Command
from tests.interop.ours import Stage

DOC = Path(__file__).parents[1] / "doc"
HOME = "/home/ana"


def rows(page, name):
    """Return the rows of a list-table of a page, without its head; each a list of cells."""
    text = (DOC / f"{page}.rst").read_text().partition(f":name: {name}\n\n")[2].partition("\n\n")[0]
    return [re.split(r"\n     - ", row.strip("\n")) for row in text.split("   * - ")[2:]]


def bare(cell):
    """Return the literal text of a cell; None for a dash."""
    return None if cell == "—" else cell.strip("`")


@skipUnless(DOC.is_dir(), "the documentation is not here")
class UriTests(SynchronousTestCase):
    """Pages `uris`."""

    def check(self, told, parse, *arguments):
        try:
            output = parse(*arguments, HOME)
        except UriError as problem:
            self.assertTrue(told.startswith("*refused:* "), (arguments, str(problem)))
            self.assertIn(told.removeprefix("*refused:* "), str(problem))
        else:
            warned = " *(with a warning)*" if output.warnings else ""
            self.assertEqual(told, f"``{output}``{warned}", arguments)

    def test_one_uri(self):
        table = rows("uris", "one-uri")
        self.assertGreater(len(table), 25)
        for written, told in table:
            self.check(told, parse_argument, bare(written))

    def test_pairs(self):
        table = rows("uris", "pairs")
        self.assertGreater(len(table), 15)
        for control, data, told in table:
            self.check(told, parse_pair, bare(control), bare(data))


@skipUnless(DOC.is_dir(), "the documentation is not here")
class ProtocolTests(SynchronousTestCase):
    """Page `protocol`."""

    PAYLOADS = {
        Command.VERSION: relay.Version.layout,
        Command.GET_CONFIGURATION: relay.GetConfiguration.layout,
        Command.RESET_METADATA: relay.ResetMetadata.layout,
        Command.SEND_METADATA: relay.MetadataHeader.layout,
        Command.CLOSE_STREAM: relay.StreamPosition.layout,
        Command.DATA_PENDING: relay.StreamPosition.layout,
        Command.BEGIN_DATA_PENDING: relay.SessionQuery.layout,
        Command.END_DATA_PENDING: relay.SessionQuery.layout,
        Command.QUIESCENT_CONTROL: relay.StreamQuery.layout,
        Command.TRACE_CHUNK_EXISTS: relay.ChunkQuery.layout,
        Command.CREATE_TRACE_CHUNK: relay.CreateTraceChunk.head,
        Command.CLOSE_TRACE_CHUNK: relay.CloseTraceChunk.layout,
    }
    ANSWERS = {
        Command.VERSION: relay.Version.layout,
        Command.GET_CONFIGURATION: relay.Configuration.layout,
        Command.CREATE_SESSION: relay.SessionCreated.head,
        Command.ADD_STREAM: relay.StreamAdded.layout,
        Command.CLOSE_TRACE_CHUNK: relay.ChunkClosed.head,
        Command.TRACE_CHUNK_EXISTS: relay.ChunkExists.layout,
    }

    def setUp(self):
        self.table = rows("protocol", "relay-commands")

    def test_numbers(self):
        told = {int(number): name for number, name, *_ in self.table}
        self.assertEqual(told, {each.value: each.name for each in Command})

    def test_sizes(self):
        sent = relay.SendIndex(*range(10)).pack(relay.MINOR), relay.RotateStreams(None, ()).pack()
        empty = (relay.CreateSession("", "").pack(relay.MINOR), relay.AddStream("", "").pack(relay.MINOR))
        sizes = {each: layout.size for each, layout in self.PAYLOADS.items()}
        sizes |= {Command.SEND_INDEX: len(sent[0]), Command.ROTATE_STREAMS: len(sent[1])}
        nuls = (3, 2)  # that end the texts: of CREATE_SESSION name, host and base path; of ADD_STREAM two
        sizes |= {
            Command.CREATE_SESSION: len(empty[0]) - nuls[0],
            Command.ADD_STREAM: len(empty[1]) - nuls[1],
            Command.START_DATA: 0,
            Command.STREAMS_SENT: 0,
        }
        for number, name, _, payload, answer, *_ in self.table:
            command = Command(int(number))
            self.assertEqual(int(payload.rstrip("+")), sizes[command], name)
            if command is Command.SEND_METADATA:
                self.assertEqual(answer, "none")
            else:
                size = self.ANSWERS.get(command, relay.Status.layout).size
                self.assertEqual(int(re.match(r"\d+", answer)[0]), size, name)

    def test_since(self):
        for number, name, since, *_ in self.table:
            handler = HANDLERS.get(Command(int(number)))
            if handler is not None and handler.since:
                self.assertEqual(since, f"2.{handler.since}", name)

    def test_refusals(self):
        for number, name, *_, refusal in self.table:
            handler = HANDLERS.get(Command(int(number)))
            if handler is not None and refusal != "—":
                self.assertEqual("stays" in refusal, handler.stays, name)
                self.assertEqual(refusal == "closed", handler.failed is None, name)


@skipUnless(DOC.is_dir(), "the documentation is not here")
class PageTests(SynchronousTestCase):
    def test_every_verb_is_shown(self):
        shown = re.findall(r"^\.\. helptext:: lttngnet (\S+)$", (DOC / "commands.rst").read_text(), re.M)
        self.assertEqual(shown, list(cli.main.commands))

    def test_fields_of_a_python_event(self):
        told = [bare(field) for field, *_ in rows("python", "python-fields")]
        found = re.findall(r" _(\w+)(?:\[17\])?;", TSDL)
        self.assertEqual(sorted(told), sorted(found))

    @skipUnless(find_spec("sphinx"), "sphinx is not installed")
    def test_the_pages_are_made_without_a_warning(self):
        command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
        run = subprocess.run(
            [*command, DOC, Path(self.mktemp())], capture_output=True, text=True, timeout=120, check=False
        )
        self.assertEqual((run.returncode, run.stderr), (0, ""))


@skipUnless(DOC.is_dir(), "the documentation is not here")
class ExampleTests(SynchronousTestCase):
    """Page `api`."""

    def setUp(self):
        self.stage = Stage(self.mktemp())
        self.addCleanup(self.stage.close)
        self.stage.relayd()
        self.stage.sessiond("--no-kernel")

    def run_example(self, name, *arguments):
        run = subprocess.run(
            [sys.executable, DOC / "examples" / name, *arguments],
            env=self.stage.environ,
            cwd=self.stage.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        return run.stdout

    def test_trace(self):
        self.stage.traced_program()
        said = self.run_example("trace.py", self.stage.url, "0.1")
        self.assertRegex(said, rf"^0 events, 0 lost, in {os.uname().nodename}/example-\d{{8}}-\d{{6}}\n$")
        self.assertEqual(self.stage.lttngnet("list --json").json(), [])

    def test_trace_says_why_not(self):
        said = self.run_example("trace.py", "net://127.0.0.1:1:2", "0.1")
        self.assertRegex(said, r"^the \w+ connection to .* \(LTTng's number 104\)\n$")

    def test_rfc(self):
        said = self.run_example("rfc.py", self.stage.url)
        self.assertRegex(said, r"^session1 was enabled, its trace \S+/session1-\d{8}-\d{6}\n$")
