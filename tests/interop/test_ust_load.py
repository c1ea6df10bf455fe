"""Real applications that record as fast as they can, or die while they do: what was recorded is counted."""

import signal
from unittest import skipIf

from tests.interop import test_ust
from tests.interop.genuine import missing
from tests.waiting import until

UNAVAILABLE = missing()
MANY = 300_000


class LoadMixin:
    async def begin(self, **options):
        session = await self.session(**options)
        await session.enable_events("userspace", ["steps:step"], channel="c")
        await session.start()
        return session

    async def test_every_event_is_recorded_or_counted(self):
        """In buffers that are far too small: nothing is missed without a word."""
        running = self.steps()
        session = await self.begin(subbuf_size=4096, num_subbuf=2)
        numbers = running.step(MANY)
        await session.stop()
        facts = (await session.describe())["facts"]
        await session.destroy()
        lines, _ = test_ust.text_of(self.traces)  # which warns of what was discarded
        recorded = [int(found[1]) for line in lines if (found := test_ust.NUMBER.search(line))]
        self.assertEqual(len(recorded) + facts["discarded"], MANY)
        self.assertLessEqual(set(recorded), set(numbers))
        self.assertEqual(len(set(recorded)), len(recorded))

    async def test_killed_in_the_middle_of_events(self):
        """A buffer may be stuck for good then. Nobody waits for it, and what came out of it can be read."""
        session = await self.begin()
        for _ in range(3):
            running = self.steps()
            running.process.stdin.write("1000000000\n")
            running.process.stdin.flush()

            async def has_recorded():
                return (await session.describe())["facts"]["packets"]

            await until(has_recorded, "packets")
            running.signal(signal.SIGKILL)
            running.process.wait()
        await session.stop()
        await session.destroy()
        lines, errors = test_ust.text_of(self.traces)
        self.assertTrue(lines)
        self.assertNotIn("ERROR", errors)


@skipIf(UNAVAILABLE, UNAVAILABLE)
class FolderLoadTests(LoadMixin, test_ust.Case):
    pass


@skipIf(UNAVAILABLE, UNAVAILABLE)
class OurRelayLoadTests(LoadMixin, test_ust.RelayCase):
    def start_relayd(self):
        self.space.start_our_relayd(self.traces)
