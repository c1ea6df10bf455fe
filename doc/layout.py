"""A sphinx extension: ``.. layout:: relay.Version`` shows the fields of a message as a table.

The rows are written in the page, ``offset type name meaning``, and compared with the code: with a `Message`
class, a `Struct`, or several of these joined by ``+``; there a number stands for so many bytes that mean
nothing, ``u8``, ``u32`` and ``u64`` for a field. What is longer than they say has types that end in ``[]``.
"""

import re
from collections.abc import Iterator
from struct import Struct
from types import ModuleType
from typing import Any, NamedTuple

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from sphinx.application import Sphinx

from lttngnet.ctf import index
from lttngnet.wire import datagram, listing, relay, viewer
from lttngnet.wire.codec import Message
from lttngnet.wire.relay import datagrams, extension

MODULES: dict[str, ModuleType] = {
    "relay": relay,
    "viewer": viewer,
    "listing": listing,
    "index": index,
    "datagram": datagram,
    "datagrams": datagrams,
    "extension": extension,
}
TYPES = {"B": "u8", "I": "u32", "Q": "u64"}


class Row(NamedTuple):
    """A row of a table, as it stands in the page."""

    offset: str
    type: str
    name: str
    meaning: str = ""


class Field(NamedTuple):
    """A field, as the code has it; some have no name there."""

    offset: int
    type: str
    name: str | None


def rows_of(lines: list[str]) -> list[Row]:
    """Return what the lines of a table say; those that are indented go on with the one before."""
    joined: list[str] = []
    for line in lines:
        if line[:1].isspace() and joined:
            joined[-1] += " " + line.strip()
        elif line.strip():
            joined.append(line)
    return [Row(*line.split(None, 3)) for line in joined]


def fields_of(expression: str) -> tuple[list[Field], int]:
    """Return the fields of a layout, and its size."""
    fields, size = [], 0
    for term in expression.split(" + "):
        for length, kind, name in _parts(term):
            fields.append(Field(size, kind, name))
            size += length
    return fields, size


def _parts(term: str) -> Iterator[tuple[int, str, str | None]]:
    if term.isdecimal():
        yield int(term), f"byte[{term}]", None
        return
    letters = {kind: letter for letter, kind in TYPES.items()}
    if term in letters:
        yield Struct(">" + letters[term]).size, term, None
        return
    module, *path = term.split(".")
    found: Any = MODULES[module]
    for name in path:
        found = getattr(found, name)
    if isinstance(found, Struct):
        for count, letter in re.findall(r"(\d*)([BIQ])", found.format):
            for _ in range(int(count or 1)):
                yield Struct(">" + letter).size, TYPES[letter], None
        return
    assert issubclass(found, Message)
    for name, kind in zip(found.names, found.kinds, strict=True):
        form = kind.__metadata__[0]
        text = "char" if kind.__origin__ is str else "byte"
        yield Struct(">" + form).size, TYPES.get(form) or f"{text}[{form[:-1]}]", name


def mistake(expression: str, rows: list[Row]) -> str | None:
    """Tell how a table differs from the code; None if it does not."""
    fields, size = fields_of(expression)
    for place, field in enumerate(fields):
        if place == len(rows):
            return f"{expression}: {field} is missing"
        offset, kind, name, _ = rows[place]
        if (offset, kind) != (str(field.offset), field.type) or field.name not in (None, name):
            return f"{expression}: {field}, not {rows[place]}"
    for place, row in enumerate(rows[len(fields) :]):
        if row.offset != ("…" if place else str(size)) or not row.type.endswith("[]"):
            return f"{expression} of {size} bytes: {row} is too much"
    return None


class Layout(Directive):
    """Shows the fields of a message."""

    required_arguments = 1
    final_argument_whitespace = True
    has_content = True

    def run(self) -> list[nodes.Node]:
        """Make the table."""
        rows = rows_of(list(self.content))
        wrong = mistake(self.arguments[0], rows)
        if wrong:
            raise self.error(wrong)
        lines = [".. list-table::", "   :header-rows: 1", "   :widths: 8 12 22 58", ""]
        for offset, kind, name, meaning in [Row("Offset", "Type", "Field", "Meaning"), *rows]:
            lines += [f"   * - {offset}", f"     - {kind}", f"     - {name}", f"     - {meaning}"]
        node = nodes.Element()
        self.state.nested_parse(StringList(lines, self.content.source(0)), self.content_offset, node)
        return list(node.children)


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive."""
    app.add_directive("layout", Layout)
    return {"parallel_read_safe": True}
