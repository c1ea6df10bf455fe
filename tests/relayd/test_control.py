"""What a control connection answers, above all to what is wrong."""

from automat import NoTransition
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.wire import relay as wire
from lttngnet.wire.relay import CloseCommand, Command, command
from tests.relayd.replaying import Relay, utc
from tests.relayd.talking import PATH, Client

UNKNOWN, FATAL, NOMEM, INVALID, PROTOCOL, FILE = 11, 25, 26, 97, 152, 153


class ControlTestCase(SynchronousTestCase):
    def setUp(self):
        utc(self)
        self.relay = Relay(self.mktemp())
        self.client = Client(self.relay)

    def other_client(self):
        return Client(self.relay)


class OrderTests(ControlTestCase):
    def test_before_the_version_nothing_is_answered(self):
        self.assertEqual(self.client.create(), b"")
        self.assertTrue(self.client.control.is_closed)

    def test_before_the_session_nothing_is_answered(self):
        self.client.agree()
        self.assertEqual(self.client.say(Command.STREAMS_SENT), b"")
        self.assertTrue(self.client.control.is_closed)

    def test_a_second_session_is_not_answered(self):
        self.client.stream()
        self.assertEqual(self.client.create("other"), b"")
        self.assertTrue(self.client.control.is_closed)
        self.assertEqual(self.relay.store.sessions, {})

    def test_nothing_is_heard_after_a_mistake(self):
        self.client.control.send(command(Command.STREAMS_SENT) + command(Command.START_DATA))
        self.assertEqual(self.client.control.transport.value(), b"")

    def test_commands_in_one_piece(self):
        hello = command(Command.VERSION, wire.Version(2, 13).pack()) + command(Command.START_DATA)
        self.assertEqual(self.client.control.send(hello), wire.Version(2, 13).pack() + wire.OK.pack())

    def test_another_major_is_told_ours(self):
        answer = self.client.say(Command.VERSION, wire.Version(3, 1).pack())
        self.assertEqual(answer, wire.Version(2, 13).pack())
        self.assertTrue(self.client.control.is_closed)


class NoAnswerTests(ControlTestCase):
    def closes_silently(self, number, payload=b"", minor=13):
        client = Client(self.relay, minor)
        client.stream() if minor >= 11 else (client.agree(), client.create())
        with self.subTest(number=number):
            self.assertEqual(client.say(number, payload), b"")
            self.assertTrue(client.control.is_closed)

    def test_short_payloads(self):
        for number in set(Command) - {
            *(Command.CREATE_SESSION, Command.START_DATA, Command.STREAMS_SENT, Command.VERSION),
        }:
            self.closes_silently(number, b"\0\0\0")

    def test_chunks_of_old_peers(self):
        question = wire.CreateTraceChunk(0, 5).pack()
        self.closes_silently(Command.CREATE_TRACE_CHUNK, question, minor=10)

    def test_metadata_of_an_unknown_stream(self):
        self.closes_silently(Command.SEND_METADATA, wire.MetadataHeader(99, 0).pack() + b"text")

    def test_too_much(self):
        self.client.stream()
        header = wire.CommandHeader(0, (128 << 20) + 1, Command.SEND_METADATA).pack()
        self.assertEqual(self.client.control.send(header), b"")
        self.assertTrue(self.client.control.is_closed)


class ErrorAnswerTests(ControlTestCase):
    """An error is answered, and the connection closed."""

    def test_unknown_commands(self):
        for number in (0, 4, 12, 14, 15, 23, 4000000000):
            client = self.other_client()
            client.stream()
            answer = client.control.send(wire.CommandHeader(0, 0, number).pack())
            self.assertEqual(answer, wire.Status(UNKNOWN).pack())
            self.assertTrue(client.control.is_closed)

    def test_unknown_streams(self):
        for ask, answer in (
            (lambda client: client.index(99, 0), UNKNOWN),
            (lambda client: client.finish(99, 0), UNKNOWN),
            (lambda client: client.pending(99, 0), 0xFFFFFFFF),
            (lambda client: client.rotate(0, (99, 0)), INVALID),
            (lambda client: client.status(Command.RESET_METADATA, wire.ResetMetadata(99, 1).pack()), UNKNOWN),
        ):
            client = self.other_client()
            client.stream()
            self.assertEqual(ask(client), answer)
            self.assertTrue(client.control.is_closed)

    def test_streams_of_others(self):
        (theirs,) = self.client.stream()
        for ask in (
            lambda c: c.index(theirs, 0),
            lambda c: c.finish(theirs, 0),
            lambda c: c.pending(theirs, 0),
        ):
            client = self.other_client()
            client.stream("chan_1")
            ask(client)
            self.assertTrue(client.control.is_closed)
        self.assertEqual(self.client.index(theirs, 0), 10)

    def test_the_same_index_twice(self):
        (stream,) = self.client.stream()
        self.assertEqual([self.client.index(stream, 0), self.client.index(stream, 0)], [10, UNKNOWN])
        self.assertTrue(self.client.control.is_closed)

    def test_chunk_names(self):
        for name in ("a.b", "a/b", "..", "a\nb"):
            client = self.other_client()
            client.agree()
            client.create()
            self.assertEqual(client.chunk(0, name), INVALID)
            self.assertTrue(client.control.is_closed)

    def test_a_chunk_too_many(self):
        self.client.stream()
        self.assertEqual([self.client.chunk(1), self.client.chunk(2)], [10, UNKNOWN])

    def test_unknown_chunks(self):
        (stream,) = self.client.stream()
        self.assertEqual(self.client.rotate(5, (stream, 0)), PROTOCOL)
        client = self.other_client()
        client.stream()
        self.assertEqual(client.close_chunk(5), (NOMEM, ""))
        self.assertTrue(client.control.is_closed)

    def test_two_rotations_at_once(self):
        (stream,) = self.client.stream()
        self.assertEqual(
            [self.client.rotate(None, (stream, 9)), self.client.rotate(None, (stream, 9))], [10, FILE]
        )

    def test_clearing_where_it_is_not_allowed(self):
        client = Client(Relay(self.mktemp(), allows_clear=False))
        client.stream()
        self.assertEqual(client.close_chunk(0, CloseCommand.DELETE), (PROTOCOL, ""))


class RefusalTests(ControlTestCase):
    """An error is answered, and the connection stays open."""

    def test_sessions(self):
        self.client.agree()
        for wanted in (
            {"name": ""},
            {"name": "a/b"},
            {"name": ".a"},
            {"name": "a\nb"},
            {"name": "n" * 240},
            {"host": ""},
            {"host": ".."},
            {"base_path": "a/../b"},
            {"base_path": "/a"},
            {"base_path": ".."},
            {"sessiond": wire.NIL},
            {"chunk": 3},
            {"created": 2**63},
        ):
            with self.subTest(wanted=wanted):
                self.assertEqual(self.client.create(**wanted), wire.SessionCreated(0, FATAL).pack())
        short = self.client.say(Command.CREATE_SESSION, b"short")
        self.assertEqual(short, wire.SessionCreated(0, FATAL).pack())
        self.assertEqual((self.relay.store.sessions, self.relay.folders()), ({}, []))
        self.assertEqual(self.client.create()[:12], wire.SessionCreated24(1, 10).pack())

    def test_streams(self):
        self.client.stream()
        for name, path in (
            ("../../esc_0", PATH),
            ("", PATH),
            ("..", PATH),
            ("a_0", ""),
            ("a_0", "."),
            ("a_0", ".."),
            ("a_0", "a/.."),
            ("a_0", "/"),
            ("c" * 256, PATH),
        ):
            with self.subTest(name=name, path=path):
                self.assertEqual(self.client.add(name, path), -UNKNOWN)
        self.assertEqual(self.client.add("a_1", "/ust/abs"), 2)

    def test_a_stream_without_a_chunk(self):
        self.client.agree()
        self.client.create()
        self.assertEqual(self.client.add(), -UNKNOWN)
        self.client.chunk()
        self.assertGreater(self.client.add(), 0)

    def test_a_disk_that_fails(self):
        self.client.stream()
        blocked = self.relay.output / "vm/walk-20261122-124548/kernel"
        blocked.write_text("a file where a folder should be")
        self.assertEqual(self.client.add("chan_0", "kernel"), -UNKNOWN)
        self.assertGreater(self.client.add("chan_1"), 0)

    def test_questions_about_unknown_things(self):
        self.client.stream()
        ask = self.client.status
        self.assertEqual(
            [
                ask(Command.QUIESCENT_CONTROL, wire.StreamQuery(99).pack()),
                ask(Command.BEGIN_DATA_PENDING, wire.SessionQuery(99).pack()),
                ask(Command.END_DATA_PENDING, wire.SessionQuery(99).pack()),
            ],
            [10, 10, 0],
        )
        self.assertFalse(self.client.control.is_closed)


class DefectTests(ControlTestCase):
    def test_a_defect_ends_its_connection_alone(self):
        self.client.stream()
        other = self.other_client()
        (stream,) = other.stream("chan_1")
        session = self.relay.store.sessions[1]
        session.publish = lambda: 1 / 0
        with capturedLogs() as log:
            self.assertEqual(self.client.say(Command.STREAMS_SENT), b"")
        self.assertIn("peer", log[0])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertTrue(self.client.control.is_closed)
        self.assertEqual(other.index(stream, 0), 10)

    def test_mistakes_of_peers_are_no_defects(self):
        self.client.create()
        self.assertEqual(self.flushLoggedErrors(NoTransition), [])


class PendingTests(ControlTestCase):
    def test_the_truth(self):
        (stream,) = self.client.stream()
        asked = [self.client.pending(stream, wire.NO_SEQUENCE), self.client.pending(stream, 0)]
        self.client.packet(stream, 0)
        asked.append(self.client.pending(stream, 0))  # its index is not here yet
        self.client.index(stream, 0)
        asked += [self.client.pending(stream, 0), self.client.pending(stream, 1)]
        self.assertEqual(asked, [0, 1, 1, 0, 1])

    def test_streams_that_were_not_asked_for(self):
        stream, metadata = self.client.stream("chan_0", "metadata")
        ask = self.client.status
        session = wire.SessionQuery(1).pack()
        ask(Command.BEGIN_DATA_PENDING, session)
        ended = [ask(Command.END_DATA_PENDING, session)]
        ask(Command.QUIESCENT_CONTROL, wire.StreamQuery(metadata).pack())
        ended.append(ask(Command.END_DATA_PENDING, session))
        self.client.pending(stream, 0)
        ended.append(ask(Command.END_DATA_PENDING, session))
        ask(Command.BEGIN_DATA_PENDING, session)
        ended.append(ask(Command.END_DATA_PENDING, session))
        self.assertEqual(ended, [1, 1, 0, 1])

    def test_closed_streams_are_not_waited_for(self):
        (stream,) = self.client.stream()
        self.client.status(Command.BEGIN_DATA_PENDING, wire.SessionQuery(1).pack())
        self.client.finish(stream, 0)
        ask = (Command.END_DATA_PENDING, wire.SessionQuery(1).pack())
        waiting = self.client.status(*ask)
        self.client.packet(stream, 0)
        self.assertEqual([waiting, self.client.status(*ask)], [1, 0])
