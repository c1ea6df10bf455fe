"""Hand-made clients of the genuine relay daemon: ours answers the same, where it does not mean to differ.

How it means to differ is told on the pages about the protocol.
"""

from twisted.trial.unittest import SynchronousTestCase

from lttngnet.errors import Code
from lttngnet.wire import relay as wire
from lttngnet.wire.listing import SessionList, SessionRecord
from lttngnet.wire.viewer import Flags, IndexStatus, NextIndex, StreamList
from tests.captures import Capture
from tests.relayd.replaying import Relay, plain, utc

ENDS = ("TCP-FIN", "TCP-RST")
LISTS = ("ATTACH_SESSION_REPLY", "GET_NEW_STREAMS_REPLY")
NO_SESSION = wire.SessionCreated(0, Code.FATAL).pack()
NO_STREAM = bytes.fromhex("ffffffffffffffff") + wire.Status(Code.UNKNOWN).pack()
EXISTS = wire.ChunkExists(Code.OK, 1).pack()


class Probe:
    """A capture, and what our relay daemon does when it is sent the client's side of it.

    Args:
        name: of the capture.
        folder: for what the daemon writes.
        restarts: connections before which the genuine daemon had to be started again.
        used: numbers that the genuine daemon uses up for what it refuses, and ours does not: the names of the
            store's counters, by the entry after which it does so.

    Attributes:
        answers: by connection, what was answered to each question.
        hung_up: the connections that the daemon closed before the client did.
        relay: the `Relay` at the end.
    """

    def __init__(self, name, folder, restarts=(), used=None):
        self.capture = Capture(name)
        self.relay = Relay(folder)
        self.answers = {}
        self.hung_up = set()
        connections = {}
        for entry in self.capture.entries():
            name, message = entry["connection"], entry["msg"]
            if entry["dir"] == "s2c":
                continue
            if message == "TCP-CONNECT":
                if name in restarts:
                    self.relay = Relay(folder)
                connections[name] = self.relay.connect(name.rstrip("0123456789"))
                self.answers[name] = []
            elif message not in ENDS:
                self.answers[name].append(connections[name].send(bytes.fromhex(entry["hex"])))
                for counter in (used or {}).get(entry["i"], ()):
                    next(getattr(self.relay.store, counter))
            elif name in connections:
                self._end(name, connections.pop(name))
        for name, connection in connections.items():
            self._end(name, connection)

    def _end(self, name, connection):
        if connection.is_closed:
            self.hung_up.add(name)
        connection.close()

    def genuine(self, number):
        """Return the genuine daemon's message of that entry."""
        (entry,) = (entry for entry in self.capture.entries() if entry["i"] == number)
        return bytes.fromhex(entry["hex"])

    def said(self, name):
        """Return the entries of a connection that are the genuine daemon's."""
        return [e for e in self.capture.entries() if e["connection"] == name and e["dir"] == "s2c"]

    def genuine_hung_up(self):
        """Return the connections that the genuine daemon closed, or could not accept."""
        first = {}
        for entry in self.capture.entries():
            if entry["msg"] in ENDS:
                first.setdefault(entry["connection"], entry["dir"])
        return {name for name, direction in first.items() if direction == "s2c"}


class ProbeTests(SynchronousTestCase):
    def setUp(self):
        utc(self)

    def check(self, probe, differences, hung_up=frozenset(), files=()):
        """Compare all answers, all ends of connections and all files.

        Args:
            probe: that was replayed.
            differences: answers of ours that are not the genuine daemon's, by entry; for each reason.
            hung_up: connections that only one of both daemons closed.
            files: folders whose files are not compared.
        """
        ours = {number: answer for some in differences.values() for number, answer in some.items()}
        for number, answer in ours.items():
            self.assertNotEqual(answer, probe.genuine(number), number)
        for name, answers in probe.answers.items():
            said = [each for each in probe.said(name) if each["hex"] or each["i"] in ours]
            expected = [ours.get(each["i"], bytes.fromhex(each["hex"])) for each in said]
            came = [answer for answer in answers if answer]
            if name.startswith("live"):
                kinds = [each["msg"] for each in said]
                expected, came = (
                    [as_set(*each) for each in zip(kinds, some, strict=False)] for some in (expected, came)
                )
                self.assertEqual(came, expected, name)
            else:
                self.assertEqual(b"".join(map(plain, came)).hex(), b"".join(expected).hex(), name)
        self.assertEqual(probe.hung_up ^ probe.genuine_hung_up(), hung_up)
        written, expected = (
            {path: facts for path, facts in found.items() if not path.startswith(files)}
            for found in (probe.relay.files(), probe.capture.files())
        )
        self.assertEqual(written, expected)
        self.assertEqual(probe.relay.store.sessions, {})

    def test_15(self):
        """Peers of every version, mistakes of every kind, rotations, what viewers may ask."""
        used = {number: ["_numbers"] for number in (349, 356, 363, 1119)} | {
            445: ["_handles", "_trace_numbers"]
        }
        probe = Probe("15-probe", self.mktemp(), ("control81", "control83"), used)
        crowd = probe.genuine(1001)  # the streams of the session that viewers attach to
        differences = {
            "A session is made after the version was agreed on": {281: b""},
            "A base path is relative, and leads to a folder below": {350: NO_SESSION, 357: NO_SESSION},
            "A stream that is refused has no handle": {422: NO_STREAM, 446: NO_STREAM},
            "What cannot be read is not answered": {448: b"", 461: b"", 474: b"", 574: b""},
            "TRACE_CHUNK_EXISTS tells the truth": dict.fromkeys((487, 751, 785, 819, 909), EXISTS),
            "A viewer that knows 2.15 is told 2.15": {935: probe.genuine(935)[:-5] + b"\x0f" + bytes(4)},
            "Sessions are listed in the order in which they were made": {970: swapped(probe.genuine(970))},
            "A seek that is unknown attaches nothing, and a session may have many viewers": {
                991: crowd,
                993: crowd,
            },
            "A stream is told to be inactive before its first packet, too": {
                1024: NextIndex(0, 0, 0, 0, 110, 0, 5, IndexStatus.INACTIVE, Flags.NONE).pack()
            },
            "New streams are told of where there are some, and whatever the status": {
                1030: probe.genuine(1030)[:-4] + Flags.NONE.to_bytes(4, "big"),
                1054: probe.genuine(1054)[:-4] + Flags.NEW_STREAMS.to_bytes(4, "big"),
                1056: probe.genuine(1056)[:-4] + Flags.NEW_STREAMS.to_bytes(4, "big"),
            },
            "A base path of 2047 folders is refused, and ends no daemon": {1112: NO_SESSION},
            "A rotation behind packets that have come ends no daemon": {1151: wire.OK.pack() * 2},
        }
        self.check(
            probe,
            differences,
            {"control29", "control79", "control80", "control83", "data19"},
            ("hostx/rot7-20231114-221320/.tmp_new_chunk/",),  # the session in which the genuine daemon ended
        )

    def test_20(self):
        """Viewers, while there are rotations, and while trace files are overwritten."""
        probe = Probe("20-probe-viewer", self.mktemp())
        session = SessionRecord(4, 1000000, 0, 2, "h" * 63, "lh")
        differences = {
            "A host name that is too long for a viewer is cut": {224: SessionList((session,)).pack()},
            "New streams are told of where there are some": {
                number: probe.genuine(number)[:-4] + Flags.NEW_METADATA.to_bytes(4, "big")
                for number in (37, 145)
            },
        }
        self.check(
            probe, differences, {"live5"}, ("hostx/lk-20231114-221320/",)
        )  # whose connection is not in the capture


def as_set(message, answer):
    """Return an answer to a viewer, its streams in any order."""
    if message in LISTS:
        streams = StreamList.unpack(answer)
        return streams.status, frozenset(streams.streams), len(answer)
    return answer.hex()


def swapped(listing):
    """Return a list of two sessions the other way round."""
    half = (len(listing) - 4) // 2
    return listing[:4] + listing[4 + half :] + listing[4 : 4 + half]
