"""Sessions that outlive their connections, and their daemon."""

import itertools

from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.ctf.index import read_index
from lttngnet.relayd.store.journal import FOLDER, read
from lttngnet.relayd.store.kept import Kept
from lttngnet.wire.relay import Command, Status
from lttngnet.wire.relay.extension import Extension, KeepSession, Progress
from tests.relayd.replaying import Relay, utc
from tests.relayd.resuming import IDENTITY, METADATA, SECRET, Sender, check_whole, script
from tests.relayd.talking import Client
from tests.relayd.watching import Viewer

QUICK = (Phase.explicit, Phase.reuse, Phase.generate)  # to shrink takes minutes


def journals(relay):
    folder = relay.output / FOLDER
    return sorted(folder.iterdir()) if folder.is_dir() else []


class ResumeCase(SynchronousTestCase):
    def setUp(self):
        utc(self)
        self.begin()
        self.addCleanup(lambda: self.relay.store._pool.close())

    def begin(self):
        """Have a new relay daemon."""
        if hasattr(self, "relay"):
            self.relay.store._pool.close()
        self.relay = Relay(self.mktemp())

    def connect(self, kind):
        return self.relay.connect(kind)

    def kill(self):
        """Let another daemon begin with what is on the disk now."""
        self.relay.store._pool.close()  # as the kernel does for a process that is killed
        self.relay = Relay(self.relay.output)
        self.relay.store.recover()

    def undisturbed(self, **how):
        relay = Relay(self.mktemp())
        sender = Sender(relay.connect, **how)
        sender.begin()
        for _ in script(sender):
            pass
        sender.end()
        self.assertEqual(relay.store.sessions, {})
        return relay.files()


class ResumeTests(ResumeCase):
    def disturbed(self, disturb, **how):
        """Run the script, and disturb it after each step; see that nothing is missing, and nothing twice."""
        self.begin()
        sender = Sender(self.connect, **how)
        sender.begin()
        for step, _ in enumerate(script(sender)):
            disturb(sender, step)
        sender.end()
        self.assertEqual(self.relay.store.sessions, {})
        self.assertEqual(journals(self.relay), [])
        self.assertEqual(self.relay.files(), self.undisturbed(**how))
        return sender

    def test_cut_after_every_step(self):
        def cut(sender, step):
            sender.lose()
            self.assertIsNone(sender.resume())

        self.disturbed(cut)

    def test_killed_after_every_step(self):
        def kill(sender, step):
            self.kill()
            self.assertIsNone(sender.resume())

        for limit in ((0, 0), (64, 0), (64, 3), (1, 1)):
            with self.subTest(limit=limit):
                self.disturbed(kill, limit=limit)

    def test_taken_over_while_the_old_connections_seem_to_live(self):
        before = []

        def come_again(sender, step):
            before[:] = [sender.control, sender.data]
            self.assertIsNone(sender.resume())
            self.assertTrue(before[0].is_closed)

        self.disturbed(come_again)

    def test_ended_and_started_after_every_step(self):
        def end(sender, step):
            self.relay.store.close()
            check_whole(self, self.relay.output)
            self.kill()
            self.assertIsNone(sender.resume())

        self.disturbed(end)

    def test_what_is_said_while_it_is_away_comes_later(self):
        def away(sender, step):
            if step % 3 == 0:
                sender.lose("control", "data")
            elif step % 3 == 2:
                self.assertIsNone(sender.resume())

        self.begin()
        sender = Sender(self.connect)
        sender.begin()
        for step, _ in enumerate(script(sender)):
            away(sender, step)
        if not sender.is_up:
            sender.resume()
        sender.end()
        self.assertEqual(self.relay.files(), self.undisturbed())

    @settings(max_examples=40, deadline=None, phases=QUICK, derandomize=True)
    @given(st.data())
    def test_cut_or_killed_in_the_middle_of_anything(self, data):
        def disturb(sender, step):
            if not sender.is_up or not data.draw(st.booleans()):
                return
            streams = [key for key in sender.sent if sender.said[key][3] and sender.sent[key]]
            if streams:
                key = data.draw(st.sampled_from(streams))
                name = sender.said[key][1]()
                if b"metadata" not in name:
                    number = sender.sent[key]
                    sender.sent[key] += 1
                    packet = sender.bytes_of(key, number)
                    self.send_some(data, sender.data, packet)
                    if data.draw(st.booleans()):
                        sender.ask(Command.SEND_INDEX, sender.index_of(key, number))
            if data.draw(st.booleans()):
                self.kill()
            else:
                sender.lose(*data.draw(st.permutations(["control", "data"])))
            self.assertIsNone(sender.resume())

        self.begin()
        sender = Sender(self.connect, limit=data.draw(st.sampled_from([(0, 0), (40, 0), (40, 2)])))
        sender.begin()
        for step, _ in enumerate(script(sender)):
            disturb(sender, step)
        for key in list(sender.sent):
            self.assertLessEqual(sender.sent[key], 40)
        expected = {sender.handle(key): sender.sent[key] for key in sender.sent}
        told = {each.stream: each for each in sender.progress().streams}
        for handle, progress in told.items():
            self.assertFalse(sender.data.is_closed)
            self.assertEqual(progress, Progress(handle, expected[handle], expected[handle]))
        sender.end()
        check_whole(self, self.relay.output)

    def send_some(self, data, connection, packet):
        connection.send(packet[: data.draw(st.integers(0, len(packet)))])

    def test_the_index_of_a_trace_file_that_is_overwritten_does_not_count(self):
        """The beginning of a packet is longer than the packet that had its place."""
        sender = Sender(self.connect, limit=(1, 2))
        sender.begin()
        sender.chunk(0)
        one = sender.add()
        sender.send(one, 2)
        sender.sent[one] = 3
        packet = sender.bytes_of(one, 2)
        sender.data.send(packet[:-1])
        self.kill()
        self.assertIsNone(sender.resume())
        sender.end()
        relay = Relay(self.mktemp())
        other = Sender(relay.connect, limit=(1, 2))
        other.begin()
        other.chunk(0)
        other.send(other.add(), 3)
        other.end()
        self.assertEqual(self.relay.files(), relay.files())

    def test_the_wrong_secret(self):
        sender = Sender(self.connect)
        sender.begin()
        for _ in itertools.islice(script(sender), 5):
            pass
        stranger = Sender(self.connect)
        self.assertEqual(stranger.resume(b"x" * 32), 32)
        sender.send(2)
        self.assertTrue(sender.is_up and not sender.control.is_closed)
        sender.lose()
        self.assertEqual(sender.resume(b"x" * 32), 32)
        self.assertIsNone(sender.resume())

    def test_a_journal_does_not_hold_the_secret(self):
        sender = Sender(self.connect)
        sender.begin()
        (journal,) = journals(self.relay)
        self.assertEqual(journal.name, IDENTITY.hex())
        self.assertNotIn(SECRET.hex(), journal.read_text())

    def test_who_is_not_waited_for_any_more(self):
        clock = Clock()
        relay = self.relay
        relay.store._reactor = clock
        sender = Sender(self.connect)
        sender.begin()
        for _ in itertools.islice(script(sender), 6):
            pass
        sender.lose()
        clock.advance(599)
        self.assertEqual(len(relay.store.sessions), 1)
        clock.advance(2)
        clock.pump([1] * 200)
        self.assertEqual((relay.store.sessions, journals(relay), clock.getDelayedCalls()), ({}, [], []))
        self.assertEqual(sender.resume(), 32)
        check_whole(self, relay.output)

    def test_a_live_viewer_of_a_session_that_waits(self):
        sender = Sender(self.connect, live=200000)
        sender.begin()
        sender.chunk(0)
        text, one = sender.add("metadata"), sender.add("chan_0")
        sender.describe(text)
        sender.publish()
        sender.send(one, 2)
        viewer = Viewer(self.relay).ready()
        _, streams = viewer.attach()
        handle = sender.handle(one)
        self.assertIn(handle, streams)
        self.assertEqual(viewer.metadata(sender.handle(text)), METADATA)
        self.assertEqual(len(viewer.all(handle)), 2)
        sender.lose()
        self.assertEqual(viewer.all(handle), [])
        self.assertFalse(viewer.is_closed)
        sender.send(one, 3)
        sender.resume()
        self.assertEqual(len(viewer.all(handle)), 3)
        self.kill()
        viewer = Viewer(self.relay).ready()
        viewer.attach()
        self.assertEqual(viewer.metadata(sender.handle(text)), METADATA)
        self.assertEqual(len(viewer.all(handle)), 5)
        sender.send(one, 1) if sender.resume() is None else self.fail()
        self.assertEqual(len(viewer.all(handle)), 1)


class RefusalTests(ResumeCase):
    def test_keeping_comes_first_and_once(self):
        client = Client(self.relay)
        client.stream()
        ask = KeepSession(IDENTITY, SECRET).pack()
        self.assertEqual(client.status(Extension.KEEP_SESSION, ask), 152)
        sender = Sender(self.connect)
        sender.begin()
        answer = Status.unpack(sender.ask(Extension.KEEP_SESSION, ask))
        self.assertEqual(answer.code, 152)
        other = Client(self.relay)
        other.agree()
        other.create("other")
        self.assertEqual(other.status(Extension.KEEP_SESSION, ask), 28)
        self.assertFalse(other.control.is_closed)

    def test_snapshots_are_not_kept(self):
        client = Client(self.relay)
        client.agree()
        client.create(snapshot=True)
        self.assertEqual(client.status(Extension.KEEP_SESSION, KeepSession(IDENTITY, SECRET).pack()), 15)

    def test_what_comes_out_of_order(self):
        sender = Sender(self.connect)
        sender.begin()
        sender.chunk(0)
        one = sender.add()
        sender.sent[one] = 5
        sender.data.send(sender.bytes_of(one, 1))
        self.assertTrue(sender.data.is_closed)
        self.assertEqual(sender.ask(Command.SEND_INDEX, sender.index_of(one, 1)), Status(152).pack())
        self.assertTrue(sender.control.is_closed)

    def test_a_number_that_is_too_high(self):
        sender = Sender(self.connect)
        sender.begin()
        self.assertEqual(sender.ask(Command.STREAMS_SENT, b"", 2), b"")
        self.assertTrue(sender.control.is_closed)


class JournalTests(ResumeCase):
    """A journal is input, too."""

    def written(self):
        sender = Sender(self.connect)
        sender.begin()
        for _ in script(sender):
            pass
        (journal,) = journals(self.relay)
        return sender, journal

    def test_names_are_checked_again(self):
        _, journal = self.written()
        whole = journal.read_text()
        for good, bad in (
            ('"vm/walk-20261122-124548"', '"../walk"'),
            ('"ust/uid/0/64-bit"', '"../../etc"'),
            ('"chan_1"', '"../chan_1"'),
            ('"chan_1"', '".hidden"'),
            ('".tmp_new_chunk"', '"../up"'),
            ('"walk"', '"wa/lk"'),
            ('"' + IDENTITY.hex() + '"', '"' + "0" * 32 + '"'),
        ):
            with self.subTest(bad=bad):
                self.assertIn(good, whole)
                journal.write_text(whole.replace(good, bad))
                self.kill()
                self.assertEqual(self.relay.store.sessions, {})
                journal.write_text(whole)

    def test_written_anew_it_says_the_same(self):
        for limit in ((0, 0), (64, 3), (1, 2)):
            self.begin()
            sender = Sender(self.connect, limit=limit)
            sender.begin()
            (journal,) = journals(self.relay)
            for _ in script(sender):
                kept, again = read(journal.read_bytes()), Kept()
                for record in kept.records():
                    again.apply(record)
                self.assertEqual(list(again.records()), list(kept.records()))
                self.assertEqual(again.streams, kept.streams)

    @settings(max_examples=60, deadline=None, phases=QUICK, derandomize=True)
    @given(st.data())
    def test_any_prefix_and_any_truncation(self, data):
        self.begin()
        _, journal = self.written()
        whole = journal.read_bytes()
        journal.write_bytes(whole[: data.draw(st.integers(0, len(whole)), label="journal")])
        for path in sorted(self.relay.output.rglob("*")):
            if path.is_file() and path != journal and data.draw(st.booleans()):
                content = path.read_bytes()
                path.write_bytes(content[: data.draw(st.integers(0, len(content)), label=str(path))])
        self.kill()
        if self.relay.store.sessions:
            check_kept(self, self.relay)

    @settings(max_examples=60, deadline=None, phases=QUICK, derandomize=True)
    @given(st.data())
    def test_any_change(self, data):
        self.begin()
        _, journal = self.written()
        lines = journal.read_bytes().splitlines(keepends=True)
        number = data.draw(st.integers(0, len(lines) - 1))
        at = data.draw(st.integers(0, len(lines[number]) - 1))
        byte = data.draw(st.binary(min_size=1, max_size=1))
        lines[number] = lines[number][:at] + byte + lines[number][at + 1 :]
        journal.write_bytes(b"".join(lines))
        self.kill()
        inside = [path for path in self.relay.output.parent.iterdir() if path != self.relay.output]
        self.assertTrue(all(path.name != "up" for path in inside))


def check_kept(case, relay):
    """See that the streams that are open are whole: packets from the first on, each once."""
    for session in relay.store.sessions.values():
        for stream in session.streams.values():
            files = stream._files
            if stream.is_metadata or files is None or files.index_file is None:
                continue
            folder = relay.output / session.facts.tracing.path / files.chunk.folder / stream.path
            index = folder / "index" / f"{stream.trail.last.path.name}.idx"
            case.assertEqual((index.stat().st_size - 16) % 72, 0)
            at = 0
            for entry in read_index(index.read_bytes()):
                case.assertEqual(entry.offset, at)
                at += entry.packet_size // 8
            case.assertEqual((folder / stream.trail.last.path.name).stat().st_size, at)
