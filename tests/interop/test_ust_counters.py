"""What the daemon tells of each channel of a session, with a real application: what was recorded and lost."""

import os
import signal
from unittest import skipIf

from tests.interop.test_ust import UNAVAILABLE, Case
from tests.interop.test_ust_interplay import outside

EVENTS = 20_000


@skipIf(UNAVAILABLE, UNAVAILABLE)
class CounterTests(Case):
    async def test_each_channel_counts_for_itself(self):
        """Nothing is consumed for a while: one channel discards, one overwrites, one has room."""
        session = await self.session(subbuf_size=4096, num_subbuf=2)
        flight = {"subbuf_size": 4096, "num_subbuf": 2, "overwrite": True}
        await session.enable_channel("userspace", "flight", **flight)
        await session.enable_channel("userspace", "roomy", subbuf_size=4 << 20)
        for name in ("c", "flight", "roomy"):
            await session.enable_events("userspace", ["steps:step"], name)
        steps = self.steps()
        await session.start()
        steps.step(1)  # the event is known then
        consumer = outside((await session.describe())["consumer"], self.space)
        os.kill(consumer, signal.SIGSTOP)
        try:
            steps.step(EVENTS)
        finally:
            os.kill(consumer, signal.SIGCONT)
        facts = await session.stop()
        told = {channel["name"]: channel["facts"] for channel in facts["domains"][0]["channels"]}
        self.assertGreater(told["c"]["discarded"], 0)
        self.assertEqual(told["c"]["lost"], 0)
        self.assertGreater(told["flight"]["lost"], 0)
        self.assertEqual((told["roomy"]["discarded"], told["roomy"]["lost"]), (0, 0))
        for counter in ("discarded", "lost", "packets", "bytes"):
            self.assertEqual(sum(each[counter] for each in told.values()), facts["facts"][counter], counter)
        await session.destroy()
