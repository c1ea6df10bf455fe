"""Arguments of commands: JSON, as long as it may be, and no longer; open files, each with its own command."""

import os
import resource
import socket
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.protocols.amp import UnknownRemoteError
from twisted.trial.unittest import SynchronousTestCase, TestCase

from lttngnet.consumer.process import adopt
from lttngnet.errors import Code, CommandError, WireError
from lttngnet.wire import amp
from tests.waiting import PATIENCE, until

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


class JsonTests(SynchronousTestCase):
    def through_a_box(self, value):
        box = amp.List.makeResponse({"sessions": value}, None)
        for key, piece in box.items():
            self.assertLessEqual(len(key), 255)
            self.assertLessEqual(len(piece), 65535)
        return amp.List.parseResponse(box, None)["sessions"]

    @given(VALUES)
    def test_survives(self, value):
        self.assertEqual(self.through_a_box(value), value)

    def test_longer_than_one_value(self):
        names = [f"event_{number}" for number in range(20_000)]
        self.assertEqual(self.through_a_box(names), names)

    def test_too_long(self):
        with self.assertRaises(WireError):
            self.through_a_box("x" * (amp.PIECE * amp.MOST_PIECES))


class RefusedTests(SynchronousTestCase):
    @given(st.sampled_from(list(Code)), st.text())
    def test_carries_an_error(self, code, sentence):
        error = amp.Refused(str(amp.Refused.because(CommandError(code, sentence)))).to_error()
        self.assertEqual((error.code, error.sentence), (code, sentence))


class FilesTests(TestCase):
    """Open files between two ends of a real connection."""

    timeout = PATIENCE

    async def setUp(self):
        self.near, self.far = Near(), Far()
        for protocol, end in zip((self.near, self.far), socket.socketpair(), strict=True):
            adopt(reactor, end.detach(), protocol)
        self.addCleanup(self.hang_up)

    async def hang_up(self):
        for protocol in (self.near, self.far):
            if protocol.transport is not None:
                protocol.transport.loseConnection()
        await DeferredList([self.near.over, self.far.over])

    def file(self, text):
        """Return an open file that holds a text."""
        descriptor = os.memfd_create("test")
        self.addCleanup(os.close, descriptor)
        os.write(descriptor, text.encode())
        return descriptor

    def ask(self, number, descriptors, facts=None):
        arguments = {"number": number, "kind": "", "what": "", "facts": facts, "descriptors": descriptors}
        return Deferred.fromCoroutine(amp.ask(self.near, amp.AskSource, **arguments))

    async def test_each_command_has_its_own(self):
        """Many commands in flight, also such as do not fit into the socket's buffer."""
        asked = []
        for number in range(30):
            files = [self.file(f"{number}.{which}") for which in range(number)]
            asked.append(self.ask(number, files, facts="x" * (number % 4 * 200_000)))
        for number, answer in enumerate(asked):
            self.assertEqual((await answer)["facts"], [f"{number}.{which}" for which in range(number)])
        self.assertEqual(self.far._descriptors, {})

    async def test_many(self):
        files = [self.file(str(which)) for which in range(400)]
        self.assertEqual(len((await self.ask(0, files))["facts"]), 400)

    async def test_there_and_back(self):
        """Both directions at once."""
        asked = [self.ask(number, [self.file(f"there {number}")]) for number in range(9)]
        given = [
            Deferred.fromCoroutine(
                amp.ask(self.far, amp.GiveBack, number=number, descriptors=[self.file(f"back {number}")])
            )
            for number in range(9)
        ]
        for number, answer in enumerate(asked):
            self.assertEqual((await answer)["facts"], [f"there {number}"])
        for number, answer in enumerate(given):
            await answer
            self.assertEqual(self.near.given[number], [f"back {number}"])

    async def test_too_many(self):
        with self.assertRaises(WireError):
            await self.ask(0, [0] * (amp.MOST_DESCRIPTORS + 1))

    async def test_not_open(self):
        """Nothing is sent, and the connection lives."""
        files = [self.file("open"), os.dup(0)]
        os.close(files[1])
        with self.assertRaises(OSError):
            await self.ask(0, files)
        self.assertEqual((await self.ask(1, [self.file("next")]))["facts"], ["next"])

    async def test_nobody_there(self):
        await self.hang_up()
        with self.assertRaises(ConnectionLost):
            await self.ask(0, [self.file("late")])

    async def test_no_room(self):
        """The receiver can open too little: it hangs up, and keeps none of what did arrive."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        files = [self.file(str(which)) for which in range(20)]
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        asked = self.ask(0, files)
        taken = {int(each.name) for each in Path("/proc/self/fd").iterdir()}
        resource.setrlimit(resource.RLIMIT_NOFILE, (sorted(set(range(soft)) - taken)[10], hard))
        with self.assertRaises((ConnectionDone, UnknownRemoteError)):
            await asked
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        self.assertEqual(len(self.flushLoggedErrors(WireError)), 1)
        await self.hang_up()
        self.assertEqual(open_files(), 20)  # the test's own

    async def test_one_missed(self):
        """Files that are not those that the command was sent with are not taken for them."""
        self.near.transport.sendFileDescriptor(self.file("stray"))
        with self.assertRaises((ConnectionDone, UnknownRemoteError)):
            await self.ask(0, [self.file("wanted")])
        self.assertEqual(len(self.flushLoggedErrors(WireError)), 1)
        await self.hang_up()
        self.assertEqual(open_files(), 2)

    async def test_lost_on_the_way(self):
        """Files whose command never comes whole are closed with the connection."""
        self.near.transport.sendFileDescriptor(self.file("lonely"))
        self.near.transport.write(b"\x00")  # half a length
        await until(lambda: self.far._descriptors, "the file to arrive")
        self.assertEqual(open_files(), 2)
        await self.hang_up()
        self.assertEqual(open_files(), 1)


def open_files():
    """Return how many of the files that a test makes are open."""
    return sum(
        each.is_symlink() and str(each.readlink()).startswith("/memfd:test")
        for each in Path("/proc/self/fd").iterdir()
    )


class End(amp.Channel):
    def __init__(self):
        super().__init__()
        self.over = Deferred()

    def connectionLost(self, reason):
        super().connectionLost(reason)
        self.over.callback(None)


class Near(End):
    def __init__(self):
        super().__init__()
        self.given = {}

    @amp.answers(amp.GiveBack)
    async def give_back(self, number, descriptors):
        self.given[number] = take_texts(descriptors)


class Far(End):
    @amp.answers(amp.AskSource)
    async def ask_source(self, number, kind, what, facts, descriptors):
        return {"facts": take_texts(descriptors)}


def take_texts(descriptors):
    """Return what files hold, and close them."""
    texts = [os.pread(each, 100, 0).decode() for each in descriptors]
    amp.close_all(descriptors)
    return texts
