"""babeltrace2's sessions with the genuine relay daemon: ours answers the same, where it was not better."""

from twisted.trial.unittest import SynchronousTestCase

from lttngnet.wire import viewer as wire
from lttngnet.wire.viewer import Flags, IndexStatus, StreamsStatus
from tests.captures import Capture
from tests.relayd.replaying import InSteps, Relay, utc


class LiveReplayTests(SynchronousTestCase):
    def setUp(self):
        utc(self)

    def differences(self, name):
        """Replay a capture; return the answers to viewers that are not the genuine ones.

        Returns:
            The kind of the answer, what was expected and what came, by the entry of the capture.
        """
        capture, relay = Capture(name), Relay(self.mktemp())
        connections, said, found = {}, {}, {}
        for entry in capture.entries("control", "data", "live"):
            connection, message = entry["connection"], entry["msg"]
            if entry["dir"] == "s2c":
                if connection in said and entry["hex"]:
                    expected, came = bytes.fromhex(entry["hex"]), said.pop(connection)
                    if as_set(message, expected) != as_set(message, came):
                        found[entry["i"]] = (message, expected, came)
            elif message == "TCP-CONNECT":
                connections[connection] = relay.connect(connection.rstrip("0123456789"))
            elif message == "TCP-FIN":
                connections[connection].close()
            else:
                answer = connections[connection].send(bytes.fromhex(entry["hex"]))
                if connection.startswith("live"):
                    said[connection] = answer
        self.assertEqual((said, relay.store.sessions), ({}, {}))
        self.assertEqual(relay.files(), capture.files())
        return found

    def check_flags(self, difference):
        """The genuine relay daemon says that there are new streams, and then it has none to tell."""
        message, expected, came = difference
        self.assertEqual(message, "GET_NEXT_INDEX_REPLY")
        self.assertEqual(expected[:-4], came[:-4])
        flags = [wire.NextIndex.unpack(answer).flags for answer in (expected, came)]
        self.assertEqual(flags, [Flags.NEW_STREAMS, Flags.NONE])

    def check_rest(self, difference):
        """The genuine relay daemon hangs up a closed stream; ours has packets that were not read before."""
        message, expected, came = difference
        self.assertEqual(message, "GET_NEXT_INDEX_REPLY")
        statuses = [wire.NextIndex.unpack(answer).status for answer in (expected, came)]
        self.assertEqual(statuses, [IndexStatus.HUNG_UP, IndexStatus.OK])

    def test_one_application(self):
        found = self.differences("03-live-uid")
        self.assertEqual(list(found), [79])
        self.check_flags(found[79])

    def test_an_application_that_comes_later(self):
        found = self.differences("11-live-pid-newstreams")
        self.assertEqual(list(found), [83, 139, 291, 293, 295, 297, 339])
        for entry in (83, 139):
            self.check_flags(found[entry])
        for entry in (291, 293, 295, 297):
            self.check_rest(found[entry])
        statuses = [wire.StreamList.unpack(answer).status for answer in found[339][1:]]
        self.assertEqual(statuses, [StreamsStatus.HUNG_UP, StreamsStatus.OK])  # as the rest was never read

    def test_clear(self):
        found = self.differences("21-live-clear")
        self.assertEqual(list(found), [70])
        self.check_flags(found[70])


def as_set(message, answer):
    """Return an answer, its streams in any order."""
    if message in ("ATTACH_SESSION_REPLY", "GET_NEW_STREAMS_REPLY"):
        streams = wire.StreamList.unpack(answer)
        return streams.status, frozenset(streams.streams), len(answer)
    return answer


class LiveReplayInStepsTests(InSteps, LiveReplayTests):
    """The same, with everybody's turns as short as they can be."""
