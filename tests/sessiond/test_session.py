"""A session's steps and their order, with everything around it noted instead of done."""

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.consumer.relay import RelaySession
from lttngnet.errors import Code, CommandError
from lttngnet.sessiond.consumers import NOTHING
from lttngnet.sessiond.link import Established
from lttngnet.sessiond.outlet import Surroundings
from lttngnet.sessiond.session import Session
from lttngnet.uri import Output, parse_argument, parse_pair
from lttngnet.wire.relay import NIL

NETWORK = parse_argument("net://127.0.0.1", "/")
FAILURE = CommandError(Code.RELAYD_CONNECT_FAIL, "refused; nothing was established")


class Notes:
    """What was done, in order; what fails on demand."""

    def __init__(self):
        self.done = []
        self.fails = set()
        self.archiving = None

    def note(self, what):
        self.done.append(what)
        if what in self.fails:
            raise FAILURE


class Domain:
    """Notes what it is asked for."""

    def __init__(self, name, notes):
        self.name, self.notes, self.events = name, notes, []

    async def enable_events(self, channel, names, options):
        self.notes.note(f"{self.name} enable")
        self.events += names
        return list(names)

    async def enable_channel(self, channel, options):
        self.notes.note(f"{self.name} channel {options}")

    async def disable_events(self, channel, names):
        self.events = []

    def is_empty(self):
        return not self.events

    async def attach(self, courier):
        self.notes.note(f"{self.name} attach")

    async def start(self):
        self.notes.note(f"{self.name} start")

    async def stop(self):
        self.notes.note(f"{self.name} stop")

    async def detach(self):
        self.notes.note(f"{self.name} detach")

    async def destroy(self):
        self.notes.note(f"{self.name} destroy")

    def describe(self):
        return {"channels": [{"name": "channel0", "events": list(self.events)}]}


class Consumer:
    """Notes what it is told."""

    pid = 4242
    problem = ""

    def __init__(self, notes, on_lost):
        self.notes, self.lose = notes, on_lost
        self.counted = dict(NOTHING)

    async def connect(self, link):
        self.notes.note("connect")
        return self.problem

    async def use_directory(self, path):
        self.notes.note(f"use {path}")
        return self.problem

    async def snapshot_to_relay(self, link, name, chunk, max_size):
        self.notes.note(f"snapshot {chunk} {name}" + f" {max_size}" * bool(max_size))

    async def snapshot_to_folder(self, path, max_size):
        self.notes.note(f"snapshot {path}" + f" {max_size}" * bool(max_size))

    async def begin(self):
        self.notes.note("begin")

    async def end(self):
        self.notes.note("end")

    async def close_chunk(self, keep):
        self.notes.note("archive" if keep else "delete")
        return "there" if keep else ""

    async def archived(self):
        """Archive at once, unless the test wants to say when."""
        if self.notes.archiving is not None:
            await self.notes.archiving

    async def mute(self, hold):
        self.notes.note("hold" if hold else "mute")

    async def unmute(self):
        self.notes.note("unmute")

    async def facts(self):
        return self.counted

    async def finish(self):
        self.notes.note("finish")

    def dismiss(self):
        self.notes.note("dismiss")


class HoldingConsumer(Consumer):
    """One that outlives its relay daemon."""

    def when_away(self, gone, moved):
        self.gone = gone

    async def connect(self, link, policy=None):
        return await super().connect(link)

    async def resume(self, link):
        self.notes.note("resume")


class SessionCase(SynchronousTestCase):
    """A session of which everything around is noted."""

    consumers = Consumer

    def setUp(self):
        self.notes = Notes()
        self.wanted = []
        self.clock = Clock()

    def session(self, output=NETWORK, name="s1"):
        return Session(name, 3, 1000, output, self.surroundings())

    def surroundings(self):
        domains = {
            name: lambda session, other, name=name: Domain(name, self.notes) for name in ("kernel", "python")
        }
        return Surroundings("host", NIL, domains, self.spawn, self.establish, lambda: 1000, self.clock)

    def spawn(self, name, on_lost):
        self.notes.note("spawn")
        self.consumer = self.consumers(self.notes, on_lost)
        return self.consumer

    async def establish(self, output, wanted):
        self.wanted.append(wanted)
        self.notes.note("establish")
        return Established(-1, -1, RelaySession(13, 1, f"host/{len(self.wanted)}"))

    def do(self, *commands):
        """Take the results of commands; return what was done since the last time."""
        for command in commands:
            self.result = self.successResultOf(command)
        done, self.notes.done = self.notes.done, []
        return done

    def refused(self, command, code):
        error = self.failureResultOf(command, CommandError).value
        self.assertEqual(error.code, code, error)
        return str(error)

    def state(self, session):
        return self.successResultOf(session.describe())["state"]

    def enable(self, session, domain="python"):
        return session.enable_events(domain, "channel0", ["*"], {})

    def active(self, **options):
        session = self.session(**options)
        self.do(self.enable(session), session.start())
        return session


class SessionTests(SessionCase):
    def test_the_order_of_the_rfc(self):
        session = self.session()
        self.assertEqual(self.do(session.enable_consumer()), ["establish", "spawn", "connect"])
        self.assertEqual(self.result, ("host/1", ""))
        self.do(self.enable(session), self.enable(session, "kernel"))
        self.assertEqual(
            self.do(session.start()),
            ["python attach", "kernel attach", "begin", "python start", "kernel start"],
        )
        self.assertEqual(self.do(session.stop()), ["kernel stop", "python stop", "end"])
        self.assertEqual(self.do(session.start()), ["begin", "python start", "kernel start"])
        self.assertEqual(
            self.do(session.destroy()),
            ["kernel stop", "python stop", "finish", "python destroy", "kernel destroy"],
        )
        self.assertEqual(self.result["state"], "active")

    def test_start_enables_the_consumer(self):
        session = self.session(Output(path="/trace"))
        self.do(self.enable(session))
        self.assertEqual(
            self.do(session.start()), ["spawn", "use /trace", "python attach", "begin", "python start"]
        )

    def test_a_link_that_cannot_be_made_leaves_the_template(self):
        session = self.session()
        self.notes.fails = {"establish"}
        self.refused(session.enable_consumer(), Code.RELAYD_CONNECT_FAIL)
        self.assertEqual(self.state(session), "prepared")
        self.assertEqual(self.notes.done, ["establish"])
        self.notes.fails = set()
        self.do(session.enable_consumer())
        self.assertEqual(self.state(session), "enabled")

    def test_a_consumer_that_cannot_be_had_is_dismissed(self):
        session = self.session()
        self.notes.fails = {"connect"}
        self.refused(session.enable_consumer(), Code.RELAYD_CONNECT_FAIL)
        self.assertEqual(self.notes.done[-1], "dismiss")
        description = self.successResultOf(session.describe())
        self.assertEqual((description["state"], description["path"]), ("prepared", ""))
        self.assertIsNone(description["consumer"])

    def test_a_start_that_fails_lets_nothing_record(self):
        session = self.session()
        self.do(self.enable(session), self.enable(session, "kernel"))
        self.notes.fails = {"kernel start"}
        self.refused(session.start(), Code.RELAYD_CONNECT_FAIL)
        self.assertEqual(self.notes.done[-2:], ["kernel stop", "python stop"])
        self.assertEqual(self.state(session), "stopped")

    def test_a_domain_that_fails_to_stop_does_not_keep_the_others_from_it(self):
        session = self.session()
        self.do(self.enable(session), self.enable(session, "kernel"), session.start())
        self.notes.fails = {"kernel stop"}
        self.assertEqual(self.do(session.stop()), ["kernel stop", "python stop", "end"])

    def test_a_domain_that_comes_while_tracing(self):
        session = self.active()
        self.assertEqual(
            self.do(self.enable(session, "kernel")),
            ["kernel enable", "kernel attach", "begin", "kernel start"],
        )
        self.assertEqual(self.do(self.enable(session, "kernel")), ["kernel enable"])

    def test_a_domain_without_events_is_stopped_all_the_same(self):
        session = self.active()
        self.do(session.disable_events("python", "channel0", []))
        self.assertEqual(self.do(session.stop()), ["python stop", "end"])

    def test_disabled_and_enabled(self):
        session = self.active()
        for hold, done in ((False, "mute"), (True, "hold")):
            self.assertEqual(self.do(session.disable_consumer(hold)), [done])
            self.assertTrue(self.successResultOf(session.describe())["muted"])
            self.assertEqual(self.do(session.enable_consumer()), ["unmute"])
        self.refused(session.enable_consumer(), Code.TRACE_ALREADY_STARTED)

    def test_counters_of_channels(self):
        session = self.active()
        nothing = {"events": 0, "packets": 0, "bytes": 0, "discarded": 0, "lost": 0}
        description = self.successResultOf(session.describe())
        self.assertEqual(description["facts"], nothing | {"waiting": 0, "spooled": 0, "dropped": 0})
        self.assertEqual(description["domains"][0]["channels"][0]["facts"], nothing)
        counted = nothing | {"discarded": 7}
        self.consumer.counted = counted | {"channels": {"python": {"channel0": counted}}}
        description = self.successResultOf(session.describe())
        self.assertEqual(description["facts"], counted)
        self.assertEqual(description["domains"][0]["channels"][0]["facts"], counted)

    def test_a_glance_does_not_wait(self):
        """While it stops, and while it is taken down."""
        session = self.active()
        for name, command, state in (
            ("end", session.stop, "stopping"),
            ("finish", session.destroy, "destroyed"),
        ):
            gate = Deferred()

            async def slowly(gate=gate):
                await gate

            self.patch(self.consumer, name, slowly)
            commanded = command()
            self.assertNoResult(commanded)
            self.consumer.counted = NOTHING | {"waiting": 77}
            told = self.successResultOf(Deferred.fromCoroutine(session.glance()))
            self.assertEqual((told["state"], told["facts"]["waiting"]), (state, 77))
            gate.callback(None)
            self.successResultOf(commanded)

    def test_lost_while_active(self):
        session = self.active()
        self.consumer.counted = NOTHING | {"events": 7}
        self.consumer.lose("the relay daemon closed the data connection")
        self.assertEqual(self.do(), ["dismiss", "python stop", "python detach"])
        description = self.successResultOf(session.describe())
        self.assertEqual((description["state"], description["facts"]["events"]), ("lost", 7))
        self.assertEqual(description["problem"], "the relay daemon closed the data connection")
        for command in (session.start, session.stop, session.disable_consumer):
            self.assertIn("closed the data connection", self.refused(command(), Code.NO_CONSUMER))
        self.assertEqual(self.do(session.destroy()), ["python destroy"])

    def test_lost_and_enabled_again(self):
        session = self.active()
        self.consumer.lose("gone")
        self.do()
        self.assertEqual(self.do(session.enable_consumer()), ["establish", "spawn", "connect"])
        self.assertEqual(self.do(session.start()), ["python attach", "begin", "python start"])

    def test_a_uri_frees_the_consumer(self):
        session = self.active()
        self.do(session.stop())
        self.assertEqual(
            self.do(session.set_consumer_uri(Output(path="/trace"))), ["python detach", "finish"]
        )
        self.assertEqual(self.state(session), "prepared")
        self.assertEqual(self.do(session.start())[:2], ["spawn", "use /trace"])

    def test_a_uri_while_active_waits_until_it_is_enabled(self):
        session = self.active()
        self.assertEqual(self.do(session.set_consumer_uri(Output(path="/trace"))), [])
        told = self.successResultOf(session.describe())
        self.assertEqual((told["state"], told["path"], told["network"]), ("active", "host/1", True))
        self.assertEqual((told["output"], told["template"]), (str(NETWORK), "file:///trace/"))
        self.assertEqual(self.do(session.enable_consumer()), ["use /trace"])
        self.assertEqual(self.result, ("/trace", ""))
        told = self.successResultOf(session.describe())
        self.assertEqual((told["state"], told["path"], told["network"]), ("active", "/trace", False))
        self.assertEqual((told["output"], told["template"]), ("file:///trace/", ""))
        self.refused(session.enable_consumer(), Code.TRACE_ALREADY_STARTED)
        self.do(session.set_consumer_uri(NETWORK))
        self.assertEqual(self.do(session.enable_consumer()), ["establish", "connect"])
        self.assertEqual(self.result, ("host/2", ""))

    def test_halves_while_active(self):
        session = self.active()
        halves = [parse_pair(None, "tcp://127.0.0.1:2", "/"), parse_pair("tcp://127.0.0.1:1", None, "/")]
        self.do(session.set_consumer_uri(halves[0]))
        self.assertIn("control", self.refused(session.enable_consumer(), Code.URL_CTRL_MISS))
        self.do(session.set_consumer_uri(halves[1]))
        self.assertEqual(str(self.result), "tcp4://127.0.0.1:1/ [data: 2]")
        self.assertEqual(self.do(session.enable_consumer()), ["establish", "connect"])

    def test_what_cannot_be_had_changes_nothing(self):
        session = self.active()
        for uri, step in ((NETWORK, "establish"), (NETWORK, "connect"), (Output(path="/t"), "use /t")):
            self.do(session.set_consumer_uri(uri))
            self.notes.fails = {step}
            said = self.refused(session.enable_consumer(), Code.RELAYD_CONNECT_FAIL)
            self.assertIn("the trace still goes to host/1", said)
            told = self.successResultOf(session.describe())
            self.assertEqual(
                (told["state"], told["path"], told["output"]), ("active", "host/1", str(NETWORK))
            )
        self.notes.fails = set()
        self.do()
        self.assertEqual(self.do(session.enable_consumer()), ["use /t"])  # the template is still there

    def test_the_relay_daemon_goes_away_while_a_template_waits(self):
        """What is come back to is where the trace goes, not where it is to go next."""
        session = self.holding()
        self.do(session.set_consumer_uri(Output(path="/trace")))
        self.consumer.gone("cut off", False)
        self.clock.advance(1)
        self.assertEqual(self.do(), ["establish", "connect"])
        self.assertEqual(self.successResultOf(session.describe())["path"], "host/2")

    def test_the_relay_daemon_goes_away_after_another_could_not_be_had(self):
        """The session that was made is resumed, not the one that never was."""
        session = self.holding()
        self.do(session.set_consumer_uri(NETWORK))
        self.notes.fails = {"establish"}
        self.refused(session.enable_consumer(), Code.RELAYD_CONNECT_FAIL)
        self.notes.fails = set()
        self.do()
        self.consumer.gone("cut off", True)
        self.clock.advance(1)
        self.assertEqual(self.do(), ["establish", "resume"])
        made, _, resumed = self.wanted
        self.assertEqual((resumed.identity, resumed.resumes), (made.identity, True))

    def holding(self):
        """Return a session that is active, and holds what is recorded while the relay daemon is away."""
        self.consumers = HoldingConsumer
        session = self.session()
        self.do(session.set_policy({"on_loss": "hold"}, "/local"), self.enable(session), session.start())
        return session

    def test_what_did_not_arrive_where_the_trace_went_before(self):
        session = self.active()
        self.consumer.problem = "not all has arrived"
        self.do(session.set_consumer_uri(Output(path="/trace")), session.enable_consumer())
        self.assertEqual(self.result, ("/trace", "not all has arrived"))

    def test_a_disabled_consumer_that_changes_is_enabled(self):
        session = self.active()
        self.do(session.disable_consumer(True), session.set_consumer_uri(Output(path="/trace")))
        self.assertEqual(self.do(session.enable_consumer()), ["use /trace", "unmute"])
        self.assertFalse(self.successResultOf(session.describe())["muted"])

    def test_a_local_consumer_stays_in_force(self):
        session = self.session(Output(path="/trace"))
        self.do(self.enable(session), session.enable_consumer())
        self.assertEqual(self.do(session.set_consumer_uri(NETWORK)), [])
        self.do(session.start(), session.stop())
        self.assertEqual(self.do(session.enable_consumer()), ["establish", "connect"])
        self.assertEqual(self.state(session), "stopped")
        self.assertEqual(self.do(session.set_consumer_uri(NETWORK)), ["python detach", "finish"])

    def test_lost_beside_a_template(self):
        session = self.active()
        self.do(session.set_consumer_uri(Output(path="/trace")))
        self.consumer.lose("gone")
        self.do()
        self.assertEqual(self.do(session.enable_consumer()), ["spawn", "use /trace"])

    def test_every_relay_session_has_a_folder_of_its_own(self):
        session = self.active(name="auto-20260101-000000")
        for _ in range(2):
            self.do(session.stop(), session.set_consumer_uri(NETWORK), session.start())
        self.assertEqual([wanted.created for wanted in self.wanted], [1000, 1001, 1002])
        self.assertEqual([wanted.name_has_time for wanted in self.wanted], [True, False, False])

    def test_every_base_path_is_used_once(self):
        session = self.active(output=parse_argument("net://127.0.0.1/a", "/"))
        for path in ("a", "b", "a"):
            output = parse_argument(f"net://127.0.0.1/{path}", "/")
            self.do(session.stop(), session.set_consumer_uri(output), session.start())
        self.assertEqual([wanted.base_path for wanted in self.wanted], ["a", "a-2", "b", "a-3"])

    def test_two_halves(self):
        halves = (
            (("tcp://127.0.0.1", None), Code.URL_DATA_MISS),
            ((None, "tcp://127.0.0.1"), Code.URL_CTRL_MISS),
        )
        for (first, missing), (second, _) in (halves, halves[::-1]):
            session = self.session(None)
            self.do(self.enable(session), session.set_consumer_uri(parse_pair(*first, "/")))
            for command in (session.enable_consumer, session.start):
                self.refused(command(), missing)
            self.assertEqual(self.notes.done, [])
            self.do(session.set_consumer_uri(parse_pair(*second, "/")))
            self.assertEqual(self.do(session.start())[:3], ["establish", "spawn", "connect"])

    def test_two_addresses(self):
        """Both are taken, and the user is reminded, also where they come one by one."""
        session = self.session(None)
        self.do(session.set_consumer_uri(parse_pair("tcp://127.0.0.1", None, "/")))
        self.assertEqual(self.result.warnings, ())
        self.do(session.set_consumer_uri(parse_pair(None, "tcp://127.0.0.2", "/")))
        (warning,) = self.result.warnings
        self.assertIn("both must reach the same relay daemon", warning)
        self.do(session.enable_consumer())

    def test_after_enable_a_half_is_a_new_template(self):
        """The other half is not taken from a consumer that is enabled."""
        for begin in (lambda session: session.enable_consumer(), lambda session: session.start()):
            session = self.session()
            self.do(self.enable(session), begin(session))
            self.do(session.set_consumer_uri(parse_pair("tcp://127.0.0.9", None, "/")))
            self.assertEqual(str(self.result), "tcp4://127.0.0.9:5342/ [no data]")
            self.refused(session.enable_consumer(), Code.URL_DATA_MISS)

    def test_no_output(self):
        session = self.session(None)
        self.do(self.enable(session))
        for command in (session.enable_consumer, session.disable_consumer, session.start):
            self.refused(command(), Code.NO_CONSUMER)

    def test_nothing_to_trace(self):
        session = self.session()
        self.refused(session.start(), Code.NO_CHANNEL)
        self.refused(session.disable_events("python", "channel0", []), Code.NO_EVENT)
        self.refused(self.enable(session, "userspace"), Code.UNKNOWN_DOMAIN)

    def test_one_command_after_the_other(self):
        session = self.session()
        gate = Deferred()

        async def slow(output, wanted):
            await gate
            return Established(-1, -1, RelaySession(13, 1, "host/1"))

        session._outlet._surroundings.establish = slow
        enabling, describing = session.enable_consumer(), session.describe()
        self.assertNoResult(enabling)
        self.assertNoResult(describing)
        gate.callback(None)
        self.assertEqual(self.successResultOf(describing)["state"], "enabled")
