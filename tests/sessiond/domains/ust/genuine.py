"""What an application asks the genuine session daemon, and the metadata that comes of it.

``python -m tests.sessiond.domains.ust.genuine`` fills ``tests/captures/ust``: a folder for buffers by user,
one for buffers by process. It needs root, strace, and the genuine tools.
"""

import gzip
import json
import re
import struct
import tempfile
from pathlib import Path

from lttngnet.wire.ust.questions import ChannelQuestion, EnumQuestion, EventQuestion, Questions
from lttngnet.wire.ust.registration import MAGIC
from tests import captures
from tests.interop import programs
from tests.interop.genuine import Namespace

FOLDER = Path(captures.__file__).parent / "ust"
SCENARIOS = {
    "uid": (
        "enable-channel -u rich --buffers-uid",
        "enable-channel -u plain --buffers-uid",
        "add-context -u -c rich -t vpid -t procname -t vtid -t pthread_id -t vuid -t veuid -t vsuid -t vgid"
        " -t vegid -t vsgid -t ip -t cgroup_ns -t ipc_ns -t mnt_ns -t net_ns -t pid_ns -t time_ns -t user_ns"
        " -t uts_ns -t perf:thread:page-fault -t $app.shop:item.count",
        "enable-event -u -c rich --all",
        "enable-event -u -c plain kinds:*",
    ),
    "pid": (
        "enable-channel -u only --buffers-pid",
        "add-context -u -c only -t vpid",
        "enable-event -u -c only kinds:arrays",
        "enable-event -u -c only kinds:info",
    ),
}

_NOTIFY = 1
_SENT = re.compile(r"sendmsg\((\d+), .*msg_iov=\[(.*?)\], msg_iovlen")
_PART = re.compile(r'iov_base="((?:\\x..)*)"')
_STREAM = re.compile(r"^stream \{\s*id = (\d+);", re.MULTILINE)


class Recorded:
    """What was recorded of one application.

    Attributes:
        metadata: the text that the genuine session daemon wrote.
        session: name of the session.
        channels: by the application's handle: the number of the stream.
    """

    def __init__(self, scenario):
        folder = FOLDER / scenario
        self.metadata = (folder / "metadata").read_text()
        self.session = scenario
        facts = json.loads((folder / "facts.json").read_text())
        self.channels = {int(handle): number for handle, number in facts["channels"].items()}
        self._questions = gzip.decompress((folder / "questions.gz").read_bytes())

    def questions(self):
        """Yield what the application asked, in its order."""
        return _asked(self._questions)

    def answer(self, registry):
        """Have a registry answer all; return its answers to questions about events, with the questions."""
        events = []
        for number in self.channels.values():
            registry.add_channel(number, f"channel {number}")
        for question in self.questions():
            match question:
                case EventQuestion(channel=channel):
                    events.append((registry.event(self.channels[channel], question), question))
                case ChannelQuestion(channel=channel, fields=fields):
                    registry.channel(self.channels[channel], fields)
                case EnumQuestion(name=name, entries=entries):
                    registry.enum(name, entries)
        return events


def _asked(data):
    questions = Questions()
    questions.receive(data)
    while (question := questions.next()) is not None:
        yield question
    assert not len(questions)


def sent(trace):
    """Return the bytes that went over the notify socket, of what strace wrote of a program."""
    found = bytearray()
    notify = None
    for line in trace.splitlines():
        call = _SENT.search(line)
        if call is None:
            continue
        data = b"".join(bytes.fromhex(part.replace("\\x", "")) for part in _PART.findall(call[2]))
        words = struct.unpack_from("=14I", data) if len(data) >= 56 else (0,)
        if words[0] == MAGIC:
            notify = call[1] if words[13] == _NOTIFY else notify
        elif call[1] == notify:
            found += data
    return bytes(found)


def record(folder):
    """Record every scenario anew."""
    namespace = Namespace(folder)
    try:
        program = programs.build("kinds", folder)
        namespace.start_genuine_sessiond()
        for scenario, commands in SCENARIOS.items():
            _record(namespace, program, scenario, commands)
    finally:
        namespace.close()


def _record(namespace, program, scenario, commands):
    output, trace = namespace.folder / scenario, namespace.folder / f"{scenario}.strace"
    for line in (f"create {scenario} -o {output}", *commands, "start"):
        namespace.run("lttng", "--no-sessiond", *line.split())
    namespace.run("strace", "-f", "-e", "trace=sendmsg", "-xx", "-s", 1 << 24, "-o", trace, program)
    namespace.run("lttng", "--no-sessiond", "destroy", scenario)
    (metadata,) = output.rglob("metadata")
    text = namespace.run("babeltrace2", "-o", "ctf-metadata", metadata.parent)
    questions = sent(trace.read_text())
    handles = [asked.channel for asked in _asked(questions) if isinstance(asked, ChannelQuestion)]
    numbers = [int(number) for number in _STREAM.findall(text)]  # in the same order
    place = FOLDER / scenario
    place.mkdir(parents=True, exist_ok=True)
    (place / "metadata").write_text(text)
    (place / "questions.gz").write_bytes(gzip.compress(questions, mtime=0))
    facts = {"channels": dict(zip(handles, numbers, strict=True))}
    (place / "facts.json").write_text(json.dumps(facts) + "\n")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        record(Path(temporary))
