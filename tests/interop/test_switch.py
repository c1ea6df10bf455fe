"""The output of an application that never rests changes again and again; each event is in one part of it."""

import os
import re
import signal
from itertools import cycle
from unittest import skipIf

from lttngnet.client import Code
from tests.interop.genuine import build_application, child_of
from tests.interop.ours import text_of
from tests.interop.test_ust import UNAVAILABLE, Case
from tests.waiting import until

SWITCHES = 20
NUMBER = re.compile(r"demo:tick: .*\{ n = (\d+) \}")
LOST = re.compile(r"Tracer discarded (\d+) packets? between")
GENUINE, OURS = 6342, 7342  # control ports; data is on the next one
FOREVER, PAUSE = 1 << 30, 50  # us


class SwitchCase(Case):
    """Two relay daemons, one of them genuine, an application that ticks, and a session."""

    def setUp(self):
        super().setUp()
        self.parts = []
        ours, theirs = self.folder / "ours", self.folder / "theirs"
        self.ours = self.space.start_our_relayd(ours, OURS, OURS + 1, OURS + 2)
        self.theirs = self.space.start_genuine_relayd(theirs, GENUINE, GENUINE + 1, GENUINE + 2)
        self.outputs = {
            "theirs": (f"net://127.0.0.1:{GENUINE}:{GENUINE + 1}", theirs),
            "folder": ("", self.traces),
            "ours": (f"net://127.0.0.1:{OURS}:{OURS + 1}", ours),
        }

    async def ticking(self, output="ours", *under):
        """Let a session be active, and the application tick, started by a command if it is to be."""
        client = await self.client()
        self.session = await client.create("s1", no_consumer=True)
        await self.session.enable_channel("userspace", "c", subbuf_size=16384, num_subbuf=16)
        await self.session.enable_events("userspace", ["demo:tick"], channel="c")
        await self.switch(output)
        await self.session.start()
        self.ticker = self.space.converse(*under, build_application(self.folder), FOREVER, PAUSE)
        self.addCleanup(self.ticker.stdout.close)
        self.addCleanup(self.ticker.stdin.close)
        self.assertEqual(self.ticker.stdout.readline(), "ticking\n")

    async def switch(self, output):
        """Let the trace go there."""
        url, folder = self.outputs[output]
        await self.session.set_consumer_uri(url or f"file://{folder / str(len(self.parts))}")
        self.parts.append(folder / await self.session.enable_consumer())

    async def count(self, what="packets"):
        return (await self.session.describe())["facts"][what]

    async def until_more(self, what="packets"):
        """Wait until there is more of something."""
        before = await self.count(what)

        async def is_more():
            return await self.count(what) > before

        await until(is_more, f"more {what}")

    async def end(self):
        """End it all; return how many events there were, and what the session told last."""
        os.kill(child_of(self.ticker), signal.SIGTERM)
        emitted = int(self.ticker.stdout.readline())
        await self.session.stop()
        facts = (await self.session.destroy())["facts"]
        return emitted, facts

    def read(self, part):
        """Return the numbers of the events of a part, and what babeltrace2 warns of."""
        lines, warnings = text_of(part)
        return [int(NUMBER.search(line)[1]) for line in lines], warnings


@skipIf(UNAVAILABLE, UNAVAILABLE)
class SwitchTests(SwitchCase):
    async def test_no_event_is_lost_and_none_comes_twice(self):
        """Among two relay daemons and folders, twenty times; each part is read by itself."""
        await self.ticking()
        for _, output in zip(range(SWITCHES), cycle(self.outputs), strict=False):
            await self.until_more()
            await self.switch(output)
        await self.until_more()
        emitted, facts = await self.end()
        found = []
        for part in self.parts:
            numbers, _ = self.read(part)
            self.assertEqual(numbers, sorted(numbers), part)
            self.assertTrue(numbers, part)
            found += numbers
        self.assertEqual(len(set(self.parts)), SWITCHES + 1)
        self.assertEqual(len(found), len(set(found)))
        self.assertEqual(len(found), emitted - facts["discarded"])
        self.assertEqual((facts["lost"], facts["dropped"], facts["spooled"]), (0, 0, 0))

    async def test_what_cannot_be_had_changes_nothing(self):
        await self.ticking()
        for uri, code in (
            (f"net://127.0.0.1:{OURS}:9", Code.RELAYD_CONNECT_FAIL),  # control only
            (f"net://127.0.0.1:9:{OURS + 1}", Code.RELAYD_CONNECT_FAIL),
            ("file:///proc/nowhere", Code.CREATE_DIR_FAIL),
        ):
            await self.session.set_consumer_uri(uri)
            await self.assert_refused(code, self.session.enable_consumer())
            await self.until_more()
        emitted, facts = await self.end()
        (part,) = self.parts
        numbers, _ = self.read(part)
        self.assertEqual(len(numbers), emitted - facts["discarded"])

    async def test_disabled_packets_are_lost_and_counted(self):
        """Babeltrace2 tells how many are missing where the numbers of packets go on."""
        cpu = min(os.sched_getaffinity(0))  # there is but one stream with packets before and after
        await self.ticking("ours", "taskset", "-c", str(cpu))
        await self.until_more()
        await self.session.disable_consumer()
        await self.until_more("dropped")
        await self.session.enable_consumer()
        dropped = await self.count("dropped")
        await self.until_more()
        _, facts = await self.end()
        self.assertEqual(facts["dropped"], dropped)
        (part,) = self.parts
        _, warnings = self.read(part)
        self.assertEqual(sum(map(int, LOST.findall(warnings))), dropped)

    async def test_disabled_and_held_they_are_delivered_when_it_is_enabled(self):
        await self.ticking("theirs")
        await self.until_more()
        await self.session.disable_consumer(hold=True)
        await self.until_more("spooled")
        await self.session.enable_consumer()
        await self.until_more()
        await self.session.disable_consumer(hold=True)
        await self.until_more("spooled")
        await self.switch("folder")  # what is kept goes there
        emitted, facts = await self.end()
        found = [number for part in self.parts for number in self.read(part)[0]]
        self.assertEqual(sorted(found), sorted(set(found)))
        self.assertEqual(len(found), emitted - facts["discarded"])
        self.assertEqual((facts["dropped"], facts["spooled"]), (0, 0))
