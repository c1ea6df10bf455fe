"""The relay daemon goes away while an application never rests: each event is in the trace, once."""

import contextlib
import os
import signal
from pathlib import Path
from unittest import skipIf

from tests.interop.genuine import child_of
from tests.interop.test_switch import OURS, SwitchCase
from tests.interop.test_ust import UNAVAILABLE
from tests.waiting import until

TIMES = 10
MEMORY = 64 << 10  # KiB that a process may grow


def memory_of(process):
    """Return the KiB that are resident of a process; 0 if it is not there."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    return 0


class ResumeCase(SwitchCase):
    async def hold(self, output="ours", **policy):
        """Let the application tick, and the trace go to a relay daemon whose loss is borne."""
        client = await self.client()
        create, self.relays = client.create, {}

        async def create_with_policy(*arguments, **named):
            session = await create(*arguments, **named)
            await session.set_policy(**({"on_loss": "hold"} | policy))
            return session

        self.patch(client, "create", create_with_policy)
        await self.ticking(output)
        await self.until_more()
        self.before = await self.memories()

    async def memories(self):
        """Return the memory of the consumer process and of the session daemon, in KiB."""
        inside = (await self.session.describe())["consumer"]
        root = Path(f"/proc/{self.space.first_process}/root/proc/{inside}/status")
        grown = [int(line.split()[1]) for line in root.read_text().splitlines() if line.startswith("VmRSS:")]
        return [*grown, memory_of(child_of(self.sessiond))]

    async def until_connected(self, times):
        async def is_connected():
            connection = await self.session_connection()
            return connection["reconnects"] >= times and not connection["away"]

        await until(is_connected, f"the relay daemon to be come back to {times} times")

    async def session_connection(self):
        return (await self.session.describe())["connection"]

    async def until_away(self):
        async def is_away():
            return (await self.session_connection())["away"]

        await until(is_away, "the relay daemon to be missed")

    async def until_delivered(self):
        async def is_delivered():
            return not await self.count("spooled")

        await until(is_delivered, "nothing to be held")
        await self.until_more()

    def kill(self, relay):
        os.kill(child_of(relay), signal.SIGKILL)
        relay.wait()

    async def check(self):
        """End it all; see that all events are there, each once, in one trace."""
        for before, after in zip(self.before, await self.memories(), strict=True):
            self.assertLess(after, before + MEMORY)
        emitted, facts = await self.end()
        (part,) = self.parts
        numbers, _ = self.read(part)
        self.assertEqual(len(numbers), len(set(numbers)))
        self.assertEqual(len(numbers), emitted - facts["discarded"])
        self.assertEqual((facts["lost"], facts["dropped"], facts["spooled"]), (0, 0, 0))


@skipIf(UNAVAILABLE, UNAVAILABLE)
class ResumeTests(ResumeCase):
    def setUp(self):
        super().setUp()
        self.relay = None

    async def restart(self, control=OURS):
        folder = self.outputs["ours"][1]
        self.relay = self.space.start_our_relayd(folder, control, control + 1, control + 2)

    async def test_killed_and_started_again_ten_times(self):
        await self.hold()
        self.relay = self.ours
        for time in range(1, TIMES + 1):
            self.kill(self.relay)
            await self.until_away()
            await self.restart()
            await self.until_connected(time)
            await self.until_delivered()
        await self.check()
