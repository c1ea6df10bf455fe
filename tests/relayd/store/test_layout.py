from twisted.trial.unittest import SynchronousTestCase

from lttngnet.relayd.refusal import Refusal
from lttngnet.relayd.store.layout import Grouping, chunk_datetime, old_stream_path, session_path
from lttngnet.wire.relay import CreateSession
from tests.relayd.replaying import utc
from tests.relayd.talking import CREATED

TIME = "20261122-124548"
HOST, SESSION = Grouping.HOST, Grouping.SESSION


class LayoutTests(SynchronousTestCase):
    def setUp(self):
        utc(self)

    def test_sessions(self):
        for grouping, base, has_time, path in (
            (HOST, "", False, f"vm/walk-{TIME}"),
            (HOST, "", True, "vm/walk"),
            (HOST, "some/dir", False, "vm/some/dir"),
            (SESSION, "", False, f"walk/vm-{TIME}"),
            (SESSION, "", True, f"walk/vm-{TIME}"),
            (SESSION, "some/dir", False, f"walk/vm-{TIME}/some/dir"),
        ):
            wanted = CreateSession("walk", "vm", base, name_has_time=has_time, created=CREATED)
            self.assertEqual(str(session_path(wanted, grouping)), path)

    def test_streams_of_old_peers(self):
        for grouping, name, said, path in (
            (HOST, "walk", f"/vm/walk-{TIME}//ust/uid", f"vm/walk-{TIME}/ust/uid"),
            (HOST, "walk", "/vm/some/dir//ust", "vm/some/dir/ust"),
            (SESSION, "walk", "/vm/walk-20200101-000000//ust/uid", "walk/vm-20200101-000000/ust/uid"),
            (SESSION, "walk", "/vm/walk/ust", f"walk/vm-{TIME}/ust"),
            (
                SESSION,
                "auto-20200101-000000",
                "/vm/auto-20200101-000000//ust",
                "auto-20200101-000000/vm-20200101-000000/ust",
            ),
            (SESSION, "walk", "/vm/some/dir//ust", f"walk/vm-{TIME}/some/dir/ust"),
        ):
            self.assertEqual(str(old_stream_path(said, name, grouping, CREATED)), path)

    def test_chunks(self):
        self.assertEqual(chunk_datetime(CREATED), "20261122T124548+0000")

    def test_times_that_are_none(self):
        for seconds in (2**62, 2**64 - 1):
            with self.assertRaises(Refusal):
                chunk_datetime(seconds)

    def test_names_too_long_together(self):
        for wanted in (CreateSession("n" * 240, "vm"), CreateSession("n", "vm", "a/" * 2047)):
            with self.assertRaises(Refusal):
                session_path(wanted, HOST)
