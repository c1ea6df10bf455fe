"""Where snapshots go, and what is asked for to have one recorded."""

from lttngnet.errors import Code
from lttngnet.sessiond.session import Session
from lttngnet.uri import Output, parse_pair
from tests.sessiond.test_session import NETWORK, SessionCase


class SnapshotTests(SessionCase):
    def session(self, output=NETWORK, **options):
        return Session("s1", 3, 1000, output, self.surroundings(), snapshot=True, **options)

    def surroundings(self):
        surroundings = super().surroundings()
        surroundings.domains = {"userspace": surroundings.domains["python"]} | surroundings.domains
        return surroundings

    def started(self, **options):
        session = self.session(**options)
        self.do(session.enable_events("userspace", "channel0", ["*"], {}), session.start())
        return session

    def names(self):
        return [name for name in self.notes.done if name.startswith("snapshot")]

    def test_nothing_is_established_before(self):
        session = self.session()
        self.do(session.enable_events("userspace", "channel0", ["*"], {}))
        done = self.do(session.start())
        self.assertNotIn("establish", done)
        self.assertNotIn("connect", done)

    def test_at_a_relay_daemon(self):
        session = self.started()
        self.successResultOf(session.record_snapshot("", None))
        self.assertRegex(self.successResultOf(session.record_snapshot("b", NETWORK)), r"^host/2/b-[0-9-]+-1$")
        one, two = self.wanted
        self.assertEqual((one.snapshot, one.name, one.created, one.session), (True, "s1", 1000, 3))
        self.assertEqual(one, two)
        self.assertRegex(" ".join(self.names()), r"^snapshot 0 snapshot-1-\S+-0 snapshot 1 b-\S+-1$")

    def test_in_a_folder(self):
        session = self.started(output=Output(path="/traces"))
        path = self.successResultOf(session.record_snapshot("", None))
        self.assertRegex(path, r"^/traces/snapshot-1-[0-9]{8}-[0-9]{6}-0$")
        self.assertEqual(self.names(), [f"snapshot {path}"])
        path = self.successResultOf(session.record_snapshot("", Output(path="/there")))
        self.assertRegex(path, r"^/there/snapshot-0-\S+-1$")

    def test_one_output(self):
        session = self.started()
        self.refused(session.add_snapshot_output("two", NETWORK), Code.SNAPSHOT_OUTPUT_EXIST)
        self.refused(session.delete_snapshot_output("2"), Code.INVALID)
        self.do(session.delete_snapshot_output("snapshot-1"))
        self.refused(session.record_snapshot("", None), Code.SNAPSHOT_FAIL)
        self.refused(session.add_snapshot_output("a.b", NETWORK), Code.INVALID)
        self.do(session.add_snapshot_output("", Output(path="/two")))
        self.assertEqual((self.result["id"], self.result["name"]), (2, "snapshot-2"))
        self.do(session.delete_snapshot_output("2"))
        self.assertEqual(self.successResultOf(session.snapshot_outputs()), [])

    def test_refusals(self):
        session = self.session()
        self.refused(session.record_snapshot("", None), Code.START_SESSION_ONCE)
        self.refused(self.enable(session), Code.SNAPSHOT_UNSUPPORTED)
        self.refused(session.enable_channel("kernel", "c", {}), Code.SNAPSHOT_UNSUPPORTED)
        self.refused(session.enable_rotation("timer", 5), Code.ROTATION_NOT_AVAILABLE)
        session = self.started()
        self.refused(session.rotate(), Code.ROTATION_NOT_AVAILABLE)
        self.refused(session.record_snapshot("a/b", None), Code.INVALID)
        self.refused(session.record_snapshot("", None, -1), Code.MAX_SIZE_INVALID)
        self.refused(session.record_snapshot("", None, 1 << 63), Code.MAX_SIZE_INVALID)
        half = parse_pair("tcp://127.0.0.1", None, "/")
        self.refused(session.record_snapshot("", half), Code.INVALID)
        other = SessionCase.session(self)
        self.refused(other.record_snapshot("", None), Code.NOT_SNAPSHOT_SESSION)
