"""The command ``lttngnet``: a module a family of verbs, and nothing heavy imported before it is needed."""

import errno
from typing import Any

import click

from lttngnet.cli import archives, channels, consumers, events, processes, sessions, snapshots, states, view
from lttngnet.cli.terminal import Terminal
from lttngnet.errors import CommandError
from lttngnet.uri import UriError

HELP = """Trace this machine, and have the trace sent to another one.

A session daemon (`twistd lttng-sessiond`) runs on the machine that is traced, a relay daemon
(`twistd lttng-relayd`) on the one that receives. Then, on the traced machine:

\b
    lttngnet create session1
    lttngnet enable-consumer net://192.168.1.10
    lttngnet enable-event -a -k
    lttngnet start
    lttngnet stop

The session that was created last is the current one; every verb works on it unless it is told another name.
`lttngnet VERB --help` says more of a verb.
"""


class Verbs(click.Group):
    """The verbs in the order of their use; what goes wrong by a user's hand is one sentence."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs as they were added, not sorted by name."""
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a verb."""
        try:
            return super().invoke(ctx)
        except (CommandError, UriError) as problem:
            raise click.ClickException(str(problem)) from None
        except OSError as problem:
            if problem.errno == errno.EPIPE:  # whoever read our output is gone: click ends silently
                raise
            raise click.ClickException(str(problem)) from None


@click.group(cls=Verbs, help=HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--rundir", metavar="DIR", help="The session daemon's run-time folder.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but warnings, errors and what was asked for.")
@click.version_option(None, "-V", "--version", package_name="lttngnet")
@click.pass_context
def main(ctx: click.Context, rundir: str | None, quiet: bool) -> None:
    """Read what stands before the verb."""
    ctx.obj = Terminal(rundir or None, quiet)


for verb in (
    sessions.create,
    consumers.enable_consumer,
    consumers.disable_consumer,
    channels.enable_channel,
    channels.disable_channel,
    events.enable_event,
    events.disable_event,
    channels.add_context,
    processes.track,
    processes.untrack,
    sessions.start,
    sessions.stop,
    archives.rotate,
    archives.enable_rotation,
    archives.disable_rotation,
    archives.clear,
    snapshots.snapshot,
    sessions.regenerate,
    sessions.destroy,
    states.list_sessions,
    states.status,
    view.view,
    sessions.set_session,
    states.version,
):
    main.add_command(verb)
