"""Which folder is whose."""

from twisted.trial.unittest import SynchronousTestCase

from lttngnet.rundir import candidates, default_rundir, home


class RundirTests(SynchronousTestCase):
    def test_of_root(self):
        self.assertEqual(default_rundir({"HOME": "/root", "LTTNG_HOME": "/elsewhere"}, 0), "/run/lttng")

    def test_of_a_user(self):
        self.assertEqual(default_rundir({"HOME": "/home/alice"}, 1000), "/home/alice/.lttng")

    def test_lttng_home_comes_before_home(self):
        self.assertEqual(default_rundir({"HOME": "/home/alice", "LTTNG_HOME": "/data"}, 1000), "/data/.lttng")

    def test_lttng_rundir_comes_first(self):
        for uid in 0, 1000:
            environ = {"HOME": "/home/alice", "LTTNG_HOME": "/data", "LTTNG_RUNDIR": "/tmp/run"}
            self.assertEqual(default_rundir(environ, uid), "/tmp/run")
            self.assertEqual(candidates(environ, uid), ["/tmp/run"])

    def test_an_empty_variable_is_none(self):
        environ = {"HOME": "/home/alice", "LTTNG_HOME": "", "LTTNG_RUNDIR": ""}
        self.assertEqual(default_rundir(environ, 1000), "/home/alice/.lttng")

    def test_nobody_has_a_home(self):
        self.assertEqual(home({}), "/")

    def test_a_user_may_fall_back_to_the_daemon_of_root(self):
        self.assertEqual(candidates({"HOME": "/home/alice"}, 1000), ["/home/alice/.lttng", "/run/lttng"])
        self.assertEqual(candidates({"HOME": "/root"}, 0), ["/run/lttng"])
