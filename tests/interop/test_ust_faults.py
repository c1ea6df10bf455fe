"""Applications, consumer processes and daemons that die, starve or cheat: what others record is complete."""

import contextlib
import os
import resource
import signal
import socket
import struct
from pathlib import Path
from unittest import skipIf

from twisted.internet import reactor

from lttngnet.client import Code, CommandError, connect
from lttngnet.wire.ust.registration import MAGIC
from tests.interop import programs, test_ust
from tests.interop.genuine import child_of, has_ended, missing
from tests.interop.ours import text_of
from tests.waiting import until

UNAVAILABLE = missing()
FOR_EVER = 1 << 40
REGISTRATION = struct.pack("=14I16s64x", MAGIC, 9, 0, 1, 1, 0, 0, 64, 8, 8, 8, 8, 8, 0, b"half")
MARGIN = 64  # descriptors that the daemon keeps for everything else


class FaultCase(test_ust.Case):
    def setUp(self):
        super().setUp()
        self.addCleanup(self.check_the_daemon)

    def check_the_daemon(self):
        self.assertNotIn("Traceback", self.log())

    def flood(self):
        """Return a program that records as fast as it can."""
        process = self.space.converse(programs.build("flood", self.folder))
        self.addCleanup(process.stdout.close)
        self.assertEqual(process.stdout.readline(), "ready\n")
        process.stdin.write(f"{FOR_EVER}\n")
        process.stdin.flush()
        self.addCleanup(self.kill, process)
        return process

    def kill(self, process):
        if process.poll() is None:
            os.kill(child_of(process), signal.SIGKILL)
        process.stdin.close()
        process.wait()

    async def begin(self, name="s1", events=("flood:*", "steps:step"), **options):
        session = await self.session(name, **options)
        await session.add_contexts("userspace", ["vpid"])
        await session.enable_events("userspace", list(events), channel="c")
        await session.start()
        return session

    def trace_of(self, process, name="s1"):
        """Return the numbers in the trace of a process whose buffers are its own."""
        (folder,) = (self.traces / name).glob(f"ust/pid/steps-{process}-*")
        lines, errors = text_of(folder)
        self.assertEqual(errors, "")
        return [int(test_ust.NUMBER.search(line)[1]) for line in lines]


@skipIf(UNAVAILABLE, UNAVAILABLE)
class StoppedTests(FaultCase):
    environment = {"LTTNG_APP_SOCKET_TIMEOUT": "2"}

    async def test_killed_and_stopped_at_full_speed(self):
        """With buffers of a user it may be that one is stuck; nobody waits for that. Others are complete."""
        calm = self.steps()
        limits = {"tracefile_size": 1 << 20, "tracefile_count": 2}
        shared = await self.begin("shared", **limits)
        session = await self.begin(buffers="pid", **limits)
        wild = [self.flood() for _ in range(3)]
        killed, frozen = wild[:2], wild[2]
        self.addCleanup(frozen.send_signal, signal.SIGCONT)
        vpid, numbers = calm.vpid, calm.step(100)

        async def packets():
            return (await session.describe())["facts"]["packets"] > 20

        await until(packets, "packets of those at full speed")
        for process in killed:
            self.kill(process)
        os.kill(child_of(frozen), signal.SIGSTOP)
        numbers += calm.step(100)
        for each in (session, shared):
            await each.stop()
            await each.destroy()
        self.assertEqual(self.trace_of(vpid), numbers)
        for folder in self.traces.glob("s1/ust/pid/flood-*"):
            lines, _ = text_of(folder)
            self.assertTrue(lines)
        calm.step(1)


@skipIf(UNAVAILABLE, UNAVAILABLE)
class ApplicationTests(FaultCase):
    async def test_half_an_application(self):
        """Those that say nothing, a part of who they are, half of it, or too much."""
        session = await self.begin()
        place = str(self.run / "lttng-ust-sock-8")
        for said in (b"", REGISTRATION[:50], REGISTRATION, REGISTRATION + b"more" * 100):
            half = socket.socket(socket.AF_UNIX)
            self.addCleanup(half.close)
            half.connect(place)
            with contextlib.suppress(BrokenPipeError):  # it is hung up on one of us that has too many
                half.sendall(said)
        calm = self.steps()
        numbers = calm.step(5)
        self.assertEqual((await session.describe())["domains"][0]["applications"], 1)
        await session.stop()
        await session.destroy()
        self.assertEqual(self.read(), {(calm.vpid, "steps:step"): numbers})

    async def test_short_of_descriptors(self):
        """Those for which there are none left are not traced, and the log says why; the others are."""
        first = self.steps()
        session = await self.begin(buffers="pid")
        vpid, numbers = first.vpid, first.step(3)
        daemon = child_of(self.sessiond)
        needed = 2 + 2 * os.sysconf("SC_NPROCESSORS_CONF")
        # One more application, which has two sockets; to count descriptors takes one.
        limit = self.descriptors() + MARGIN + needed + 2 + 1
        resource.prlimit(daemon, resource.RLIMIT_NOFILE, (limit, limit))
        second = self.steps()
        second.step(3)
        third = self.steps()
        third.step(3)
        numbers += first.step(3)
        await session.stop()
        await session.destroy()
        self.assertEqual(self.log().count("raise the limit (ulimit -n), or trace fewer processes"), 1)
        self.assertEqual(self.trace_of(vpid), numbers)
        self.assertEqual(self.trace_of(second.vpid), [0, 1, 2])
        self.assertEqual(sum(1 for _ in self.traces.glob("s1/ust/pid/*")), 2)


@skipIf(UNAVAILABLE, UNAVAILABLE)
class ProcessTests(FaultCase):
    async def test_the_consumer_process_is_killed(self):
        """While applications record at full speed; they go on, and so does a new session."""
        wild, calm = self.flood(), self.steps()
        session = await self.begin()
        other = await self.begin("other", ["steps:step"])
        numbers = calm.step(20)
        self.space.run("kill", "-9", str((await session.describe())["consumer"]))

        facts = await self.until_state(session, "lost")
        self.assertIn("was killed by signal 9", facts["problem"])
        numbers += calm.step(20)
        new = await self.begin("new", ["steps:step"])
        later = calm.step(20)
        self.assertIsNone(wild.poll())
        for each in (other, new):
            await each.stop()
            await each.destroy()
        await session.destroy()
        self.assertEqual(self.read("other"), {(calm.vpid, "steps:step"): numbers + later})
        self.assertEqual(self.read("new"), {(calm.vpid, "steps:step"): later})

    async def test_the_session_daemon_is_killed(self):
        """What was recorded is delivered; a new daemon finds the applications."""
        calm = self.steps()
        session = await self.begin()
        vpid, numbers = calm.vpid, calm.step(1000)
        daemon = child_of(self.sessiond)
        (consumer,) = Path(f"/proc/{daemon}/task/{daemon}/children").read_text().split()
        os.kill(daemon, signal.SIGKILL)
        await until(lambda: has_ended(consumer), "the consumer process has delivered")
        self.sessiond.wait()
        self.assertEqual(self.read(), {(vpid, "steps:step"): numbers})
        calm.step(10)
        await self.connection.close()
        self.connection = None
        self.sessiond = self.space.start_our_sessiond(*self.options, log="again.log")

        async def is_found():
            try:
                daemon = await connect(reactor, str(self.run))
            except CommandError:
                return False
            try:
                events = await daemon.events("userspace")
            finally:
                await daemon.close()
            return any(each["name"] == "steps:step" for each in events)

        await until(is_found, "the new daemon knows the application")
        session = await self.begin("again")
        numbers = calm.step(10)
        await session.stop()
        await session.destroy()
        self.assertEqual(self.read("again"), {(vpid, "steps:step"): numbers})


@skipIf(UNAVAILABLE, UNAVAILABLE)
class LibraryTests(FaultCase):
    """Without the library, everything else works."""

    def setUp(self):
        super().setUp()
        self.hide()

    def hide(self):
        """Have the library missing in the namespace."""
        library = self.space.run(
            "sh", "-c", "ldconfig -p | sed -n 's/.*liblttng-ust-ctl.so.5 .*=> //p'"
        ).strip()
        real = self.space.run("readlink", "-f", library).strip()
        empty = self.folder / "empty"
        empty.touch()
        self.space.run("mount", "--bind", empty, real)

    async def test_it_is_missing(self):
        session = await self.session()
        await session.enable_events("userspace", ["steps:step"], channel="c")
        try:
            await session.start()
        except CommandError as refusal:
            self.assertEqual(refusal.code, Code.NO_UST)
            self.assertIn("liblttng-ust-ctl5", str(refusal))
            self.assertNotIn("\n", str(refusal))
        else:
            self.fail("not refused")
        python = await (await self.client()).create("py", self.output("py"))
        await python.enable_events("python", ["app"])
        await python.start()
        await python.stop()
        await python.destroy()
        await session.destroy()
