"""The relay daemon goes away while an application never rests: each event is in the trace, once."""

import contextlib
import os
import signal
import sys
from pathlib import Path
from unittest import skipIf

from twisted.internet import reactor
from twisted.internet.task import deferLater

from tests.interop.genuine import child_of
from tests.interop.test_switch import GENUINE, OURS, SwitchCase
from tests.interop.test_ust import UNAVAILABLE
from tests.waiting import until

TIMES = 10
PROXY = 8342  # control port of what may break
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

    async def check(self, root="", may_repeat=False):
        """End it all; see that all events are there, each once."""
        for before, after in zip(self.before, await self.memories(), strict=True):
            self.assertLess(after, before + MEMORY)
        emitted, facts = await self.end()
        numbers = [number for part in self.parts for number in self.read(f"{root}{part}")[0]]
        if not may_repeat:
            self.assertEqual(len(numbers), len(set(numbers)))
        self.assertEqual(len(set(numbers)), emitted - facts["discarded"])
        self.assertEqual((facts["lost"], facts["dropped"], facts["spooled"]), (0, 0, 0))


@skipIf(UNAVAILABLE, UNAVAILABLE)
class OursTests(ResumeCase):
    """Our relay daemon keeps the session: there is one trace."""

    def start_again(self):
        return self.space.start_our_relayd(self.outputs["ours"][1], OURS, OURS + 1, OURS + 2)

    async def test_killed_and_started_again_ten_times(self):
        await self.hold()
        relay = self.ours
        for time in range(1, TIMES + 1):
            self.kill(relay)
            await self.until_away()
            relay = self.start_again()
            await self.until_connected(time)
            await self.until_delivered()
        await self.check()

    async def test_ended_and_started_again(self):
        await self.hold()
        self.space.terminate(self.ours)
        await self.until_away()
        await self.until_more("spooled")
        self.start_again()
        await self.until_connected(1)
        await self.until_delivered()
        await self.check()

    async def test_stopped_while_it_is_away(self):
        """What was recorded is held, and delivered when the relay daemon is back."""
        await self.hold()
        self.kill(self.ours)
        await self.until_away()
        await self.until_more("spooled")
        facts = await self.session.stop()
        self.assertEqual(facts["state"], "stopped")
        self.assertGreater(facts["facts"]["spooled"], 0)
        self.start_again()
        await self.until_connected(1)

        async def is_delivered():
            return not await self.count("spooled")

        await until(is_delivered, "nothing to be held")
        os.kill(child_of(self.ticker), signal.SIGTERM)
        self.ticker.stdout.readline()
        (part,) = self.parts
        facts = (await self.session.destroy())["facts"]
        numbers, _ = self.read(part)
        self.assertEqual(numbers, sorted(set(numbers)))
        self.assertGreaterEqual(len(numbers), numbers[-1] - numbers[0] + 1 - facts["discarded"])
        self.assertEqual((facts["dropped"], facts["lost"]), (0, 0))

    async def test_destroyed_while_it_is_away(self):
        """It is not waited for: what it has not confirmed goes to a local folder."""
        await self.hold()
        self.kill(self.ours)
        await self.until_away()
        await self.until_more("spooled")
        folder = (await self.session.destroy())["connection"]["fallback"]
        numbers, _ = self.read(Path(folder))
        self.assertTrue(numbers)
        self.assertEqual(numbers, sorted(set(numbers)))
        client = await self.client()
        self.assertEqual(await client.sessions(), [])

    async def test_the_network_is_down_for_a_while(self):
        """Too short for anybody to miss the other."""
        await self.hold()
        for seconds in (1, 5):
            self.space.run("ip", "link", "set", "lo", "down")
            await deferLater(reactor, seconds)
            self.space.run("ip", "link", "set", "lo", "up")
            await self.until_delivered()
        await self.check()

    async def test_reset_in_the_middle_of_a_packet(self):
        program = Path(__file__).parent / "programs" / "lossy_proxy.py"
        ports = (PROXY, OURS, PROXY + 1, OURS + 1)
        proxy = self.space.converse(sys.executable, program, *ports)
        self.addCleanup(proxy.stdout.close)
        self.addCleanup(proxy.stdin.close)
        self.assertEqual(proxy.stdout.readline(), "ready\n")
        self.outputs["ours"] = (f"net://127.0.0.1:{PROXY}:{PROXY + 1}", self.outputs["ours"][1])
        await self.hold()
        for time in range(1, TIMES + 1):
            proxy.stdin.write("reset\n")
            proxy.stdin.flush()
            self.assertEqual(proxy.stdout.readline(), "reset\n")
            await self.until_connected(time)
            await self.until_delivered()
        await self.check()

    async def test_its_disk_is_full_for_a_while(self):
        folder = self.outputs["ours"][1]
        self.space.terminate(self.ours)
        folder.mkdir(exist_ok=True)
        self.space.run("mount", "-t", "tmpfs", "-o", "size=96m", "none", folder)
        self.start_again()
        await self.hold()
        root = f"/proc/{self.space.first_process}/root"
        full = Path(f"{root}{folder}/full")
        with full.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(1 << 16))
        await self.until_away()
        await self.until_more("spooled")
        await deferLater(reactor, 5)
        full.unlink()
        await self.until_connected(1)
        await self.until_delivered()
        await self.check(root)


@skipIf(UNAVAILABLE, UNAVAILABLE)
class OthersTests(ResumeCase):
    """There is another trace; what was not confirmed before may be in both."""

    async def test_a_genuine_relay_daemon_ended_and_started_again(self):
        await self.hold("theirs")
        self.space.terminate(self.theirs)
        await self.until_away()
        await self.until_more("spooled")
        folder = self.outputs["theirs"][1]
        self.space.start_genuine_relayd(folder, GENUINE, GENUINE + 1, GENUINE + 2)
        await self.until_connected(1)
        self.parts.append(folder / (await self.session.describe())["path"])
        await self.until_delivered()
        await self.check(may_repeat=True)

    async def test_on_in_a_local_folder(self):
        await self.hold("ours", on_loss="local")
        self.space.terminate(self.ours)

        async def is_local():
            return (await self.session_connection())["fallback"]

        self.parts.append(Path(await until(is_local, "the trace to go on in a local folder")))
        await self.until_delivered()
        self.assertEqual((await self.session.describe())["path"], str(self.parts[-1]))
        await self.check(may_repeat=True)

    async def test_no_more_than_so_much_is_held(self):
        await self.hold("ours", spool_size=1 << 20, spool_drop="newest")
        self.kill(self.ours)
        await self.until_away()
        await self.until_more("dropped")
        self.assertLessEqual(await self.count("spooled"), 1 << 20)
