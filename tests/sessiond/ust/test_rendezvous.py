"""Applications over real sockets: liars, halves, the slow, the silent, and who hangs up in mid-sentence."""

import contextlib
import errno
import os
import shutil
import socket
import struct
from pathlib import Path
from tempfile import mkdtemp

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from lttngnet.accepting import Entrance
from lttngnet.sessiond.ust import rendezvous
from lttngnet.sessiond.ust.application import ApplicationGone
from lttngnet.sessiond.ust.applications import Applications
from lttngnet.sessiond.ust.rendezvous import Listener, Rendezvous, listen
from lttngnet.wire.ust.commands import Command, Reply
from lttngnet.wire.ust.questions import ChannelAnswer
from lttngnet.wire.ust.registration import HOST, Half
from tests.descriptors import open_files
from tests.sessiond.ust.fake import FakeApplication, registration
from tests.waiting import DEADLINE, until
from tests.wire.ust.test_questions import channel, enum, event

FOREIGN = "be" if HOST == "le" else "le"


class Watcher:
    """Sets up a session of one channel with one stream in every application; answers all questions."""

    def __init__(self):
        self.joined_ones, self.left_ones, self.gone = [], [], []
        self.pipe = os.pipe()

    async def joined(self, application):
        self.joined_ones.append(application)
        try:
            session = await application.create_session()
            application.serve(session, self)
            channel = await application.send_channel(session, b"d" * 100_000, 0, self.pipe[1])
            await application.send_stream(channel, 4096, 0, self.pipe[0], self.pipe[1])
            await application.enable(session)
        except ApplicationGone as why:
            self.gone.append(str(why))
            raise

    def left(self, application):
        self.left_ones.append(application)

    async def describe_channel(self, channel, context_fields):
        return ChannelAnswer(3)

    async def describe_event(self, channel, event):
        return 5

    async def describe_enum(self, name, entries):
        return 9


class RendezvousCase(TestCase):
    patience = DEADLINE
    uid = os.geteuid()

    def setUp(self):
        self.folder = Path(mkdtemp())  # a short path: it holds a socket
        self.addCleanup(shutil.rmtree, self.folder)
        self.path = self.folder / "socket"
        self.applications = Applications()
        self.watcher = Watcher()
        self.applications.watch(self.watcher)
        self.rendezvous = Rendezvous(reactor, self.applications, lambda: 7.0, self.uid, self.patience)
        self.listener = Listener(reactor, listen(self.path), self.rendezvous.accept)
        self.listener.startReading()
        self.fakes = []

    def tearDown(self):
        self.listener.stopReading()
        self.listener.connectionLost()
        self.rendezvous.close()
        for descriptor in self.watcher.pipe:
            os.close(descriptor)
        for fake in self.fakes:
            fake.close()

    def fake(self, **facts):
        made = FakeApplication(self.path, **facts)
        self.fakes.append(made)
        return made

    async def registered(self, **facts):
        """Return an application that is set up."""
        fake = self.fake(**facts)
        await deferToThread(lambda: fake.register().answer_until(Command.REGISTER_DONE))
        return fake

    async def is_turned_away(self, fake, sock):
        self.assertTrue(await deferToThread(fake.hears_the_end, sock))
        self.assertEqual(list(self.applications), [])


class RendezvousTests(RendezvousCase):
    async def test_both_orders(self):
        for order in (tuple(Half), tuple(reversed(Half))):
            fake = self.fake()
            await deferToThread(fake.register, order)
            heard = await deferToThread(fake.answer_until, Command.REGISTER_DONE)
            self.assertEqual(
                heard,
                [
                    Command.TRACER_VERSION,
                    Command.CREATE_SESSION,
                    Command.CHANNEL,
                    Command.STREAM,
                    Command.ENABLE,
                    Command.REGISTER_DONE,
                ],
            )
            self.assertEqual(len(fake.files), 3)
            fake.close()
            await until(lambda: not len(self.applications), "it is gone")
        self.assertEqual(self.watcher.joined_ones, self.watcher.left_ones)

    async def test_who_it_is_says_the_kernel(self):
        await self.registered(pid=1, name=b"../../x")
        (application,) = self.applications
        facts = application.facts
        self.assertEqual((facts.pid, facts.uid, facts.gid), (os.getpid(), os.getuid(), os.getgid()))
        self.assertEqual(
            (facts.vpid, facts.name, facts.tracer, facts.abi), (1, "../../x", (2, 13, 5), (9, 0))
        )
        self.assertEqual((facts.bits, facts.byte_order, facts.registered), (64, HOST, 7.0))
        self.assertEqual(str(application), f"application ../../x ({os.getpid()})")

    async def test_questions(self):
        fake = await self.registered()
        session = fake.value - 4  # the numbers are given in order
        for question, size, expected in (
            (event(session), 44, (0, 0, 5)),
            (channel(session), 48, (1, 0, 3)),
            (enum(session), 48, (2, 0, 9)),
            (event(1), 44, (0, -22, 0)),
        ):
            answer = await deferToThread(fake.ask, question, size)
            self.assertEqual(struct.unpack_from("=IiI", answer), expected)

    async def test_a_question_during_a_command(self):
        fake = self.fake()

        def play():
            fake.register()
            while fake.heard[-1:] != [Command.STREAM]:
                fake.answer()
            session = fake.value - 2
            handle, command, _ = fake.take()
            answers = [fake.ask(event(session), 44), fake.ask(channel(session), 48)]
            fake.command.sendall(Reply(handle, command, 0, 0, b"").pack())
            fake.answer()
            return [struct.unpack_from("=IiI", answer) for answer in answers]

        self.assertEqual(await deferToThread(play), [(0, 0, 5), (1, 0, 3)])
        self.assertEqual(fake.heard[-1], Command.REGISTER_DONE)

    async def test_other_bits_and_other_byte_order(self):
        for facts in ({"bits": 32}, {"order": FOREIGN}):
            fake = await self.registered(**facts)
            self.assertEqual(fake.heard, [Command.TRACER_VERSION, Command.REGISTER_DONE])
            self.assertEqual((list(self.applications), self.watcher.joined_ones), ([], []))
            fake.close()

    async def test_what_is_no_registration(self):
        half = Half.COMMAND
        for data in (
            b"GET / HTTP/1.0\r\n".ljust(136),
            bytes(136),
            b"\xff" * 136,
            registration(half, major=7),
            registration(half, bits=63),
            registration(2),
            registration(half) + b"!",
            bytes(1 << 20),
        ):
            fake = self.fake()
            sock = fake.connect()

            def say(sock=sock, data=data):
                with contextlib.suppress(ConnectionError):  # it may be over before all is said
                    sock.sendall(data)

            await deferToThread(say)
            await self.is_turned_away(fake, sock)
        self.assertEqual(len(self.rendezvous), 0)

    async def test_who_hangs_up_between_any_two_messages(self):
        """Also with a command half answered, and in the middle of a registration."""
        for answers in range(6):
            for amid in (False, True):
                fake = self.fake()

                def play(fake=fake, answers=answers, amid=amid):
                    fake.register()
                    for _ in range(answers):
                        fake.answer()
                    if amid:
                        fake.take()
                        fake.command.sendall(bytes(100))

                await deferToThread(play)
                fake.close()
                await until(lambda: not len(self.applications), (answers, amid))
                await until(lambda: not self.rendezvous._applications, (answers, amid))
        for size in (0, 1, 135):
            fake = self.fake()
            await deferToThread(lambda fake=fake, size=size: fake.connect().sendall(registration(0)[:size]))
            fake.close()
        for half in Half:
            fake = self.fake()
            await deferToThread(fake.introduce, half)
            fake.close()
        await until(lambda: not len(self.rendezvous), "the halves are gone")
        self.assertEqual(self.watcher.joined_ones, self.watcher.left_ones)
        await self.registered()

    async def test_a_half_that_comes_again(self):
        """A process that was killed between its two connections, and another one with its number."""
        fake = self.fake()
        old = await deferToThread(fake.introduce, Half.COMMAND)
        await deferToThread(lambda: fake.register().answer_until(Command.REGISTER_DONE))
        self.assertTrue(await deferToThread(fake.hears_the_end, old))
        self.assertEqual((len(self.rendezvous), len(self.applications)), (0, 1))

    async def test_halves_that_are_left_behind(self):
        """A process that begins anew again and again, faster than the daemon looks."""
        for _ in range(20):
            fake = self.fake()
            fake.introduce(Half.NOTIFY)
            fake.introduce(Half.COMMAND)
            fake.close()
            fake.introduce(Half.NOTIFY)
            fake.close()
        await self.registered()
        self.assertEqual(len(self.applications), 1)

    async def test_many_halves(self):
        self.patch(rendezvous, "HALVES_LIMIT", 10)
        fake = self.fake()
        sockets = await deferToThread(lambda: [fake.connect() for _ in range(30)])
        await deferToThread(fake.hears_the_end, sockets[19])
        self.assertEqual(len(self.rendezvous), 10)
        other = await self.registered()
        self.assertEqual(other.heard[-1], Command.REGISTER_DONE)

    async def test_a_process_that_registers_without_end(self):
        fakes = [await self.registered() for _ in range(rendezvous.APPLICATIONS_PER_PROCESS + 2)]
        for old in fakes[:2]:
            self.assertTrue(await deferToThread(old.hears_the_end, old.command))
        self.assertEqual(len(self.applications), rendezvous.APPLICATIONS_PER_PROCESS)
        answer = await deferToThread(fakes[-1].ask, enum(fakes[-1].value - 4), 48)
        self.assertEqual(struct.unpack_from("=IiI", answer), (2, 0, 9))

    async def test_one_mistake_is_one_applications(self):
        good = await self.registered()
        for mistake in (
            lambda fake: fake.command.sendall(b"unasked"),
            lambda fake: fake.notify.sendall(b"\xff\xff\xff\xff"),
            lambda fake: fake.notify.sendall(event(1)[:272] + b"\xff" * 12 + bytes(32)),
            lambda fake: fake.notify.shutdown(socket.SHUT_RDWR),
        ):
            bad = await self.registered()
            await deferToThread(mistake, bad)
            self.assertTrue(await deferToThread(bad.hears_the_end, bad.command))
            self.assertTrue(await deferToThread(bad.hears_the_end, bad.notify))
            self.assertEqual(len(self.applications), 1)
        answer = await deferToThread(good.ask, enum(good.value - 4), 48)
        self.assertEqual(struct.unpack_from("=IiI", answer), (2, 0, 9))

    async def test_answers_that_are_wrong(self):
        for changes in ({"handle": 77}, {"command": Command.RELEASE}, {"error": -1030}):
            fake = self.fake()

            def play(fake=fake, changes=changes):
                fake.register()
                fake.answer()
                fake.answer(**changes)
                return fake.hears_the_end(fake.command)

            self.assertTrue(await deferToThread(play))
        self.assertEqual((list(self.applications), len(self.watcher.gone)), ([], 3))

    async def test_descriptors_that_a_peer_sends_are_not_kept(self):
        fake = await self.registered()
        before = open_files()
        question = enum(fake.value - 4)
        socket.send_fds(fake.notify, [question[:10]], [0, 1, 2])
        fake.notify.sendall(question[10:])
        await deferToThread(fake.receive, fake.notify, 48)
        self.assertEqual(open_files(), before)

    async def test_who_reads_slowly(self):
        """A description of a channel that the socket has no room for."""
        fake = await self.registered()
        (application,) = self.applications
        sent = Deferred.fromCoroutine(application.send_channel(1, b"x" * (1 << 20), 0, self.watcher.pipe[1]))
        await deferToThread(fake.answer)
        await sent
        self.assertEqual(fake.tail, b"x" * (1 << 20))

    async def test_everybody_is_left_alone_in_the_end(self):
        fake = await self.registered()
        half = await deferToThread(self.fake().connect)
        await until(lambda: len(self.rendezvous), "the half is there")
        self.rendezvous.close()
        for sock in (fake.command, fake.notify, half):
            self.assertTrue(await deferToThread(fake.hears_the_end, sock))
        self.assertEqual(len(self.rendezvous), 0)


class ListenerTests(TestCase):
    def setUp(self):
        folder = Path(mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        self.accepted = []
        self.listener = Listener(self, listen(folder / "socket"), self.accept)
        self.addCleanup(self.listener.connectionLost)
        self.client = socket.socket(socket.AF_UNIX)
        self.addCleanup(self.client.close)
        self.client.connect(str(folder / "socket"))
        self.reading = False

    def accept(self, sock):
        self.accepted.append(sock)
        raise OSError("no room for one more")

    def addReader(self, reader):
        self.reading = True

    def removeReader(self, reader):
        self.reading = False

    def test_one_that_cannot_be_taken_makes_it_not_deaf(self):
        self.listener.doRead()
        (sock,) = self.accepted
        self.assertEqual((sock.fileno(), self.client.recv(1)), (-1, b""))

    def test_no_descriptor_for_one_more(self):
        clock = Clock()
        real = self.listener.socket

        class Short:
            """A socket while there is no descriptor."""

            def accept(self):
                raise OSError(errno.EMFILE, "too many")

        entrance = Entrance("applications", self.listener, clock)
        entrance.startReading()
        self.listener.socket._real = Short()
        self.listener.doRead()
        self.assertEqual((self.reading, self.accepted), (False, []))
        self.listener.socket._real = real
        clock.advance(1)
        self.assertEqual((self.reading, len(self.accepted)), (True, 1))


class AnothersTests(RendezvousCase):
    uid = os.geteuid() + 1

    async def test_an_application_of_another_user(self):
        fake = self.fake()
        await self.is_turned_away(fake, await deferToThread(fake.connect))


class PatienceTests(RendezvousCase):
    patience = 0.2

    async def test_the_silent(self):
        for play in (
            lambda fake: fake.connect(),
            lambda fake: fake.introduce(Half.COMMAND),
            lambda fake: fake.introduce(Half.NOTIFY),
            lambda fake: fake.register(),
        ):
            fake = self.fake()

            def play_in_time(play=play, fake=fake):
                with contextlib.suppress(ConnectionError):  # on a busy machine, it was too late already
                    play(fake)

            await deferToThread(play_in_time)
            for sock in fake.sockets:
                await self.is_turned_away(fake, sock)
        self.assertEqual(len(self.rendezvous), 0)

    async def test_who_falls_silent(self):
        for answers in range(1, 5):
            fake = self.fake()

            def play(fake=fake, answers=answers):
                with contextlib.suppress(ConnectionError, EOFError):  # too late already
                    fake.register()
                    for _ in range(answers):
                        fake.answer()
                return all(map(fake.hears_the_end, fake.sockets))

            self.assertTrue(await deferToThread(play))
            await until(lambda: not list(self.applications), "it is given up")
        for why in self.watcher.gone:
            self.assertIn("it did not answer", why)

    async def test_who_reads_nothing(self):
        self.rendezvous._patience = DEADLINE
        await self.registered()
        (application,) = self.applications
        application._exchange._patience = 0.2
        sent = Deferred.fromCoroutine(application.send_channel(1, b"x" * (1 << 20), 0, self.watcher.pipe[1]))
        await self.assertFailure(sent, ApplicationGone)
        self.assertEqual(self.watcher.left_ones, [application])
