"""A sphinx extension: ``.. helptext:: lttngnet create`` shows what ``lttngnet create --help`` prints."""

import os
from unittest.mock import patch

from click.testing import CliRunner
from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

from lttngnet.cli import main
from lttngnet.relayd.command import NAME as RELAY_COMMAND
from lttngnet.relayd.foreground import CommandOptions
from lttngnet.relayd.service import Options as RelayOptions
from lttngnet.sessiond.service import Options as SessionOptions

WIDTH = 96
DAEMONS = {"lttng-relayd": RelayOptions, "lttng-sessiond": SessionOptions}


def help_of(command: str) -> str:
    """Return what ``--help`` prints for ``lttngnet``, ``lttngnet VERB``, ``twistd DAEMON``."""
    program, *rest = command.split()
    if program == "twistd":
        (daemon,) = rest
        options = DAEMONS[daemon]()
        return f"Usage: twistd [options of twistd] {daemon} [options]\n{options.getUsage(WIDTH).rstrip()}"
    if program == RELAY_COMMAND:
        options = CommandOptions()
        return f"{options.getSynopsis()}\n{options.getUsage(WIDTH).rstrip()}"
    with patch.dict(os.environ, {"HOME": "/home/ana"}):
        shown = CliRunner().invoke(
            main, [*rest, "--help"], prog_name=program, terminal_width=WIDTH, max_content_width=WIDTH
        )
    if shown.exit_code:
        raise ValueError(f"{command} --help: {shown.output}")
    return shown.output.strip()


class HelpText(Directive):
    """Shows the help of one command."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Make the block of text."""
        return [nodes.literal_block(text=help_of(self.arguments[0]), language="none")]


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive."""
    app.add_directive("helptext", HelpText)
    return {"parallel_read_safe": True}
