"""Real applications between several sessions, and a consumer process that takes nothing for a while."""

import os
import re
import signal
from pathlib import Path
from unittest import skipIf

from twisted.internet.defer import Deferred, gatherResults

from tests.interop import test_ust
from tests.interop.test_ust import UNAVAILABLE
from tests.waiting import until


def outside(process, space):
    """Return our number of a process that a namespace knows by another."""
    first = Path(f"/proc/{space.first_process}/ns/pid").readlink()
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            is_there = (status.with_name("ns") / "pid").readlink() == first
            if is_there and re.search(rf"^NSpid:\t\d+\t{process}$", status.read_text(), re.MULTILINE):
                return int(status.parent.name)
        except OSError:
            continue  # it has ended
    raise AssertionError(f"there is no process {process}")


class InterplayCase(test_ust.Case):
    async def until_applications(self, session, count):
        """Wait until so many applications are known, and return."""

        async def are_known():
            return (await session.describe())["domains"][0]["applications"] == count

        await until(are_known, f"{count} applications")

    async def recording(self, name="s1", **options):
        session = await self.session(name, **options)
        await session.enable_events("userspace", ["steps:step"], channel="c")
        return session


@skipIf(UNAVAILABLE, UNAVAILABLE)
class InterplayTests(InterplayCase):
    async def test_two_sessions(self):
        """Each records what happens between its start and its stop, whatever the other does meanwhile."""
        first, second = await self.recording("first"), await self.recording("second", buffers="pid")
        running = self.steps()
        await first.start()
        only_first = running.step(10)
        await second.start()
        both = running.step(10)
        await first.stop()
        only_second = running.step(10) + self.steps().step(5)
        ending = [Deferred.fromCoroutine(each) for each in (first.destroy(), second.stop())]
        await gatherResults(ending)
        running.step(10)
        await second.destroy()
        self.assertEqual(self.read("first"), {"steps:step": only_first + both})
        self.assertEqual(self.read("second"), {"steps:step": sorted(both + only_second)})

    async def test_processes_end_and_begin_while_nothing_is_consumed(self):
        """Stopping delivers what all of them recorded."""
        session = await self.recording(buffers="pid")
        ended = self.steps()
        await session.start()
        numbers = ended.step(20)
        await session.disable_consumer(hold=True)
        ended.end()
        await self.until_applications(session, 0)
        numbers += self.steps().step(5)
        await session.stop()
        await session.destroy()
        self.assertEqual(self.read(), {"steps:step": sorted(numbers)})


@skipIf(UNAVAILABLE, UNAVAILABLE)
class HangingTests(InterplayCase):
    environment = {"LTTNG_UST_REGISTER_TIMEOUT": "3000"}  # which is LTTng's default

    async def test_a_consumer_process_that_hangs(self):
        """An application waits only so long for the number of an event; then it registers anew."""
        session = await self.recording()
        running = self.steps()
        await self.until_applications(session, 1)
        await session.start()
        numbers = running.step(10)
        consumer = outside((await session.describe())["consumer"], self.space)
        os.kill(consumer, signal.SIGSTOP)
        try:
            await session.enable_events("userspace", ["steps:warning"], channel="c")
        finally:
            os.kill(consumer, signal.SIGCONT)
        await until(lambda: self.log().count("Registered: application steps") >= 2, "it registers anew")
        more = running.step(10)
        await session.destroy()
        self.assertEqual(self.read(), {"steps:step": numbers + more, "steps:warning": more})
