"""A session daemon that remembers what it was asked, and answers what a test tells it to."""

from twisted.protocols import amp

from lttngnet.errors import Code, CommandError
from lttngnet.wire import amp as wire
from lttngnet.wire.amp import answers


def facts(name="session1", **changes):
    """Return what Describe tells of a session, as it is after `create`, but for some changes."""
    return {
        "name": name,
        "created": 1.0,
        "state": "created",
        "muted": False,
        "output": "file:///traces/",
        "template": "",
        "warnings": [],
        "network": False,
        "live": 0,
        "snapshot": False,
        "rotation": {"timer": 0, "size": 0},
        "rotated": 0,
        "path": "",
        "problem": "",
        "consumer": None,
        "domains": [],
        "facts": dict.fromkeys(
            ("events", "packets", "bytes", "discarded", "lost", "waiting", "spooled", "dropped"), 0
        ),
    } | changes


class Memory:
    """What all connections of a fake daemon share.

    Attributes:
        asked: what clients said, in order: the command's name and its arguments.
        sessions: facts by name.
        fail: raised by every answer, unless None.
        refuse: errors raised by the answers to single commands.
        gone: whether to hang up on every question.
        events: what `ListEvents` answers.
        path: what `Rotate` answers.
        warning: what `EnableConsumer` warns of.
        glances: what `Glance` answers, one after the other; then there is no such session.
        template_warnings: what `SetConsumerUri` warns of.
        outputs: what `ListSnapshotOutputs` answers.
    """

    def __init__(self):
        self.asked = []
        self.sessions = {}
        self.fail = None
        self.refuse = {}
        self.gone = False
        self.events = []
        self.path = "/traces/archives/0"
        self.warning = ""
        self.template_warnings = []
        self.glances = []
        self.outputs = [{"id": 2, "name": "two", "output": "file:///two/"}]


class FakeDaemon(amp.AMP):
    """One connection of a client to the fake daemon."""

    def __init__(self, memory):
        super().__init__()
        self.memory = memory

    def note(self, command, **arguments):
        self.memory.asked.append((command, arguments))
        if self.memory.gone:
            self.transport.abortConnection()
        if error := self.memory.fail or self.memory.refuse.get(command):
            raise error

    @answers(wire.Version)
    async def version(self):
        self.note("Version")
        return {"facts": {"version": "0.1.0", "pid": 42, "domains": ["kernel", "python"]}}

    @answers(wire.CreateSession)
    async def create(self, name, output, no_consumer, live, snapshot):
        asked = {"name": name, "output": output, "no_consumer": no_consumer, "live": live}
        self.note("CreateSession", **asked, snapshot=snapshot)
        name = name or "auto-20261122-150000"
        where = "" if no_consumer else "file:///traces/"
        self.memory.sessions[name] = facts(name, output=where)
        return {"name": name, "output": where}

    @answers(wire.SetConsumerUri)
    async def set_consumer_uri(self, session, output):
        self.note("SetConsumerUri", session=session, output=output)
        warnings = [*output["warnings"], *self.memory.template_warnings]
        return {"output": "tcp4://192.168.1.10:5342/ [data: 5343]", "warnings": warnings}

    @answers(wire.SetPolicy)
    async def set_policy(self, session, policy):
        self.note("SetPolicy", session=session, policy=policy)

    @answers(wire.EnableConsumer)
    async def enable_consumer(self, session):
        self.note("EnableConsumer", session=session)
        return {"output": "host/session1-20261122-150000", "warning": self.memory.warning}

    @answers(wire.DisableConsumer)
    async def disable_consumer(self, session, hold):
        self.note("DisableConsumer", session=session, hold=hold)

    @answers(wire.EnableEvents)
    async def enable_events(self, session, domain, channel, names, options):
        self.note(
            "EnableEvents", session=session, domain=domain, channel=channel, names=names, options=options
        )
        return {"names": names or ["*"]}

    @answers(wire.DisableEvents)
    async def disable_events(self, session, domain, channel, names):
        self.note("DisableEvents", session=session, domain=domain, channel=channel, names=names)

    @answers(wire.EnableChannel)
    async def enable_channel(self, session, domain, channel, options):
        self.note("EnableChannel", session=session, domain=domain, channel=channel, options=options)

    @answers(wire.DisableChannel)
    async def disable_channel(self, session, domain, channel):
        self.note("DisableChannel", session=session, domain=domain, channel=channel)

    @answers(wire.AddContexts)
    async def add_contexts(self, session, domain, channel, names):
        self.note("AddContexts", session=session, domain=domain, channel=channel, names=names)

    @answers(wire.Track)
    async def track(self, session, domain, kind, ids):
        self.note("Track", session=session, domain=domain, kind=kind, ids=ids)

    @answers(wire.Untrack)
    async def untrack(self, session, domain, kind, ids):
        self.note("Untrack", session=session, domain=domain, kind=kind, ids=ids)

    @answers(wire.Regenerate)
    async def regenerate(self, session, what):
        self.note("Regenerate", session=session, what=what)

    @answers(wire.Rotate)
    async def rotate(self, session):
        self.note("Rotate", session=session)
        return {"path": self.memory.path}

    @answers(wire.EnableRotation)
    async def enable_rotation(self, session, kind, amount):
        self.note("EnableRotation", session=session, kind=kind, amount=amount)

    @answers(wire.DisableRotation)
    async def disable_rotation(self, session, kind):
        self.note("DisableRotation", session=session, kind=kind)

    @answers(wire.Clear)
    async def clear(self, session):
        self.note("Clear", session=session)

    @answers(wire.RecordSnapshot)
    async def record_snapshot(self, session, name, output, max_size):
        self.note("RecordSnapshot", session=session, name=name, output=output, max_size=max_size)
        return {"path": "/traces/snapshot-1"}

    @answers(wire.AddSnapshotOutput)
    async def add_snapshot_output(self, session, name, output):
        self.note("AddSnapshotOutput", session=session, name=name, output=output)
        return {"output": self.memory.outputs[-1]}

    @answers(wire.DeleteSnapshotOutput)
    async def delete_snapshot_output(self, session, which):
        self.note("DeleteSnapshotOutput", session=session, which=which)

    @answers(wire.ListSnapshotOutputs)
    async def list_snapshot_outputs(self, session):
        self.note("ListSnapshotOutputs", session=session)
        return {"outputs": self.memory.outputs}

    @answers(wire.ListEvents)
    async def list_events(self, domain, fields):
        self.note("ListEvents", domain=domain, fields=fields)
        return {"events": self.memory.events}

    @answers(wire.Start)
    async def start(self, session):
        self.note("Start", session=session)

    @answers(wire.Stop)
    async def stop(self, session):
        self.note("Stop", session=session)
        return {"facts": self.find(session)}

    @answers(wire.Destroy)
    async def destroy(self, session):
        self.note("Destroy", session=session)
        return {"facts": self.find(session)}

    @answers(wire.List)
    async def list(self):
        self.note("List")
        return {"sessions": list(self.memory.sessions.values())}

    @answers(wire.Glance)
    async def glance(self, session):
        self.note("Glance", session=session)
        if not self.memory.glances:
            raise CommandError(Code.SESSION_NOT_FOUND, f"there is no session {session}")
        return {"facts": self.memory.glances.pop(0)}

    @answers(wire.Describe)
    async def describe(self, session):
        self.note("Describe", session=session)
        return {"facts": self.find(session)}

    def find(self, name):
        if name not in self.memory.sessions:
            raise CommandError(Code.SESSION_NOT_FOUND, f"there is no session {name}")
        return self.memory.sessions[name]
