"""The tables and examples of the documentation are those of the code."""

import os
import re
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from unittest import skipUnless

from twisted.trial.unittest import SynchronousTestCase

from lttngnet import cli
from lttngnet.errors import Code
from lttngnet.relayd.commands import HANDLERS
from lttngnet.sources.program import TSDL
from lttngnet.uri import UriError, parse_argument, parse_pair
from lttngnet.wire import listing, relay, viewer
from lttngnet.wire.codec import Message
from lttngnet.wire.relay import Command
from tests.interop.ours import Stage
from tests.waiting import PATIENCE

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
class RuleTests(SynchronousTestCase):
    """Page `consumer`."""

    def test_each_rule_is_shown_by_tests_that_exist(self):
        table = rows("consumer", "rules")
        self.assertGreater(len(table), 30)
        for _, rule, shown in table:
            tests = re.findall(r"`(tests\.[\w.]+)`", shown)
            self.assertTrue(tests, rule)
            for test in tests:
                name, kind, method = test.rsplit(".", 2)
                found = getattr(getattr(import_module(name), kind, None), method, None)
                self.assertTrue(callable(found), f"{test}: {rule}")


@skipUnless(DOC.is_dir(), "the documentation is not here")
class ProtocolTests(SynchronousTestCase):
    """Page `protocol-control`."""

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
        self.table = rows("protocol-control", "relay-commands")

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


def extension(name):
    """Return a sphinx extension of the pages."""
    spec = spec_from_file_location(name, DOC / f"{name}.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@skipUnless(DOC.is_dir(), "the documentation is not here")
@skipUnless(find_spec("sphinx"), "sphinx is not installed")
class LayoutTests(SynchronousTestCase):
    """Tables of fields on the pages `protocol-…`: offsets, types and names are those of the code."""

    def setUp(self):
        self.extension = extension("layout")
        self.tables = []
        for page in sorted(DOC.glob("protocol*.rst")):
            found = re.findall(r"^\.\. layout:: (.*)\n\n((?:   .*\n)+)", page.read_text(), re.M)
            self.assertEqual(len(found), page.read_text().count(".. layout::"), page.name)
            self.tables += [
                (expression, [line[3:] for line in body.splitlines()]) for expression, body in found
            ]

    def test_fields(self):
        for expression, lines in self.tables:
            self.assertIsNone(self.extension.mistake(expression, self.extension.rows_of(lines)))

    def test_mistakes_are_found(self):
        right = ["0    u32        major  2", "4    u32        minor  13"]
        wrong = {
            "a field is missing": right[:1],
            "a field is too much": [*right, "8    u32        patch  0"],
            "another offset": [right[0], "8    u32        minor  13"],
            "another type": [right[0], "4    u64        minor  13"],
            "another name": [right[0], "4    u32        micro  13"],
            "another order": right[::-1],
            "more at another offset": [*right, "9    char[]     name   of it"],
        }
        mistake, rows_of = self.extension.mistake, self.extension.rows_of
        self.assertIsNone(mistake("relay.Version", rows_of(right)))
        self.assertIsNone(mistake("relay.Version", rows_of([*right, "8    char[]     name   of it"])))
        for what, lines in wrong.items():
            self.assertIsNotNone(mistake("relay.Version", rows_of(lines)), what)

    def test_sizes(self):
        for expression, _ in self.tables:
            fields, size = self.extension.fields_of(expression)
            found = getattr(relay, expression.removeprefix("relay."), None)
            if isinstance(found, type) and issubclass(found, Message):
                self.assertEqual((len(fields), size), (len(found.text_widths), found.layout.size))

    def test_every_message_is_shown(self):
        shown = {term for expression, _ in self.tables for term in expression.split(" + ")}
        for module in (relay, viewer, listing):
            short = module.__name__.rpartition(".")[2]
            for name, found in vars(module).items():
                if (
                    isinstance(found, type)
                    and issubclass(found, Message)
                    and found.__module__ == module.__name__
                ):
                    self.assertTrue(not found.layout.size or f"{short}.{name}" in shown, name)

    def test_layouts_that_are_made_of_several(self):
        size = {expression: self.extension.fields_of(expression)[1] for expression, _ in self.tables}
        rotation = "relay.RotateStreams.head + 7 + relay.RotateStreams.number"
        self.assertEqual(size[rotation], len(relay.RotateStreams(0, ()).pack()))
        for minor, expression in (
            (11, "relay.creation._CreateSession211"),
            (15, "relay.creation._CreateSession211 + u32"),
        ):
            self.assertEqual(size[expression] + 3, len(relay.CreateSession("", "").pack(minor)))


@skipUnless(DOC.is_dir(), "the documentation is not here")
class BytesTests(SynchronousTestCase):
    """Examples in bytes on the pages `protocol-control` and `protocol-data`."""

    def check(self, page, *expected):
        text = (DOC / f"{page}.rst").read_text()
        found = re.findall(r"^ {4,}(?:question|answer)? *((?:[0-9a-f]{2} +)+[0-9a-f]{2})$", text, re.M)
        self.assertEqual(bytes.fromhex("".join(found)), b"".join(expected))

    def test_version(self):
        version = relay.Version(relay.MAJOR, relay.MINOR).pack()
        self.check("protocol-control", relay.command(Command.VERSION, version), version)

    def test_packet(self):
        self.check("protocol-data", relay.DataHeader(0, 1, 0, 1052, 4096 - 1052).pack())


@skipUnless(DOC.is_dir(), "the documentation is not here")
class NumberTests(SynchronousTestCase):
    """Tables of numbers on the pages `protocol-control` and `protocol-live`."""

    STATUSES = {
        "CREATE_SESSION": viewer.CreateStatus,
        "ATTACH_SESSION": viewer.AttachStatus,
        "DETACH_SESSION": viewer.DetachStatus,
        "GET_NEW_STREAMS": viewer.StreamsStatus,
        "GET_NEXT_INDEX": viewer.IndexStatus,
        "GET_PACKET": viewer.PacketStatus,
        "GET_METADATA": viewer.MetadataStatus,
    }
    ANSWERS = {
        "CONNECT": viewer.Connect,
        "LIST_SESSIONS": viewer.Status,  # as long as the number of sessions
        "ATTACH_SESSION": viewer.StreamsHead,
        "GET_NEXT_INDEX": viewer.NextIndex,
        "GET_PACKET": viewer.PacketHead,
        "GET_METADATA": viewer.MetadataHead,
        "GET_NEW_STREAMS": viewer.StreamsHead,
        "CREATE_SESSION": viewer.Status,
        "DETACH_SESSION": viewer.Status,
    }

    def test_error_numbers(self):
        told = [(int(number), name) for number, name, _ in rows("protocol-control", "relay-codes")]
        self.assertEqual(told, [(number, Code(number).name) for number, _ in told])

    def test_statuses(self):
        told = [(of, int(number), name) for of, number, name, _ in rows("protocol-live", "live-statuses")]
        self.assertEqual(
            told, [(of, each.value, each.name) for of, kind in self.STATUSES.items() for each in kind]
        )

    def test_live_commands(self):
        told = rows("protocol-live", "live-commands")
        self.assertEqual(
            [(int(number), name) for number, name, *_ in told], [(c.value, c.name) for c in viewer.Command]
        )
        for number, name, payload, answer in told:
            self.assertEqual(int(payload), viewer.QUESTIONS[int(number)].layout.size, name)
            self.assertEqual(int(answer.rstrip("+")), self.ANSWERS[name].layout.size, name)


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
            [*command, DOC, Path(self.mktemp())],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
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
            timeout=PATIENCE,
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
