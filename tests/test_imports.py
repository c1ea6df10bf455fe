"""Imports point one way: a part knows only those that stand in its line."""

import ast
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import lttngnet

ROOT = Path(lttngnet.__file__).parent
EVERYWHERE = {"errors", "interfaces", "ctf"}
MAY_KNOW = {
    "errors": set(),
    "log": set(),
    "rundir": set(),
    "startup": set(),
    "sparing": set(),
    "accepting": {"log"},
    "uri": {"errors"},
    "endpoints": {"uri"},
    "listening": {"uri"},
    "ctf": set(),
    "filters": {"errors"},
    "interfaces": {"ctf"},
    "wire": {"uri", "errors"},
    "logs": {"wire", "errors", "filters"},
    "sources": {"log", "wire", *EVERYWHERE},
    "consumer": {"log", "sources", "wire", *EVERYWHERE},
    "sessiond": {
        "accepting",
        "consumer",
        "filters",
        "sources",
        "wire",
        "uri",
        "endpoints",
        "rundir",
        "startup",
        "log",
        *EVERYWHERE,
    },
    "relayd": {
        "wire",
        "uri",
        "listening",
        "rundir",
        "startup",
        "sparing",
        "accepting",
        "log",
        *EVERYWHERE,
    },
    "client": {"wire", "uri", "errors", "rundir"},
    "cli": {"client", "ctf", "uri", "errors", "rundir"},
    "__main__": {"cli"},
    "demo": {"cli", "sources", "rundir", "wire"},
}
NO_TWISTED = (
    "ctf",
    "uri",
    "errors",
    "filters",
    "rundir",
    "logs",
    "wire/agent",
    "wire/codec",
    "wire/datagram",
    "wire/framing",
    "wire/relay",
    "wire/records",
    "wire/viewer",
    "wire/listing",
    "wire/ust",
)


def imports(path):
    """Yield the modules that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


class ImportTests(SynchronousTestCase):
    def test_one_way(self):
        for path in ROOT.rglob("*.py"):
            part = path.relative_to(ROOT).with_suffix("").parts[0]
            for name in imports(path):
                package, _, known = name.partition(".")
                known = known.partition(".")[0]
                if package == "lttngnet" and known and known != part:
                    self.assertIn(known, MAY_KNOW[part], f"{path} imports {name}")

    def test_no_twisted_where_only_bytes_are_meant(self):
        for path in ROOT.rglob("*.py"):
            if str(path.relative_to(ROOT)).startswith(NO_TWISTED) and path.name != "taps.py":
                found = [name for name in imports(path) if name.partition(".")[0] in ("twisted", "zope")]
                self.assertEqual(found, [], path)
