"""What our session daemon records of applications is complete, wherever it goes; nothing is left behind."""

import re
from collections import Counter, defaultdict
from pathlib import Path
from unittest import skipIf

from twisted.internet.threads import deferToThread

from tests.interop import programs, test_ust
from tests.interop.genuine import child_of, missing
from tests.interop.ours import text_of
from tests.waiting import until

UNAVAILABLE = missing()
LTTNG = ("lttng", "--no-sessiond")
EACH = 50_000  # events of each of two processes
TEXT = "an event as long as others often are"
DROP = re.compile(rf' flood:drop: .*vpid = (\d+) .* n = (\d+), text = "{TEXT}" }}$')
GENUINE_PORTS = (6342, 6343, 6344)
TOGETHER, TIMES, EVENTS = 20, 5, 20


def numbers_of(folder):
    """Return the numbers of the events of each process in a trace, in the order of their times."""
    lines, errors = text_of(folder)
    assert errors == "", errors
    found = defaultdict(list)
    for line in lines:
        process, number = DROP.search(line).groups()
        found[int(process)].append(int(number))
    return dict(found)


@skipIf(UNAVAILABLE, UNAVAILABLE)
class PairingTests(test_ust.Case):
    """A hundred thousand events, one by one.

    The buffers have room for them all: with small ones, though applications waited for room, some events were
    discarded on a busy machine, with the genuine daemons as well. `test_ust_load` is about small ones.
    """

    def flood(self):
        """Let two processes record as fast as they can."""
        path = programs.build("flood", self.folder)
        running = [self.space.converse(path) for _ in range(2)]
        for each in running:
            self.addCleanup(each.stdout.close)
            self.assertEqual(each.stdout.readline(), "ready\n")
        for each in running:
            each.stdin.write(f"{EACH}\n")
            each.stdin.flush()
        for each in running:
            self.assertGreater(int(each.stdout.readline()), 0)
            each.stdin.close()
            self.assertEqual(each.wait(), 0)

    def check(self, folder):
        found = numbers_of(folder)
        self.assertEqual(len(found), 2)
        for numbers in found.values():
            self.assertEqual(numbers, list(range(EACH)))

    async def test_of_ours(self):
        """To our relay daemon, to the genuine one, and into a folder, all at once."""
        folders = [self.folder / name for name in ("ours", "genuine", "local")]
        self.space.start_our_relayd(folders[0])
        self.space.start_genuine_relayd(folders[1], *GENUINE_PORTS)
        control, data, _ = GENUINE_PORTS
        outputs = ("net://127.0.0.1", f"net://127.0.0.1:{control}:{data}", f"file://{folders[2]}")
        daemon = await self.client()
        sessions = []
        for number, output in enumerate(outputs):
            session = await daemon.create(f"s{number}", output)
            await session.enable_channel("userspace", "c", subbuf_size=1 << 20, num_subbuf=8)
            await session.add_contexts("userspace", ["vpid"])
            await session.enable_events("userspace", ["flood:*"], channel="c")
            await session.start()
            sessions.append(session)
        await deferToThread(self.flood)
        for session, folder in zip(sessions, folders, strict=True):
            facts = (await session.stop())["facts"]
            self.assertEqual((facts["discarded"], facts["lost"]), (0, 0))
            self.assertGreater(facts["packets"], 5)
            await session.destroy()
            self.check(folder)

    def test_of_a_genuine_session_daemon(self):
        self.space.terminate(self.sessiond)
        folder = self.folder / "relayed"
        self.space.start_our_relayd(folder)
        self.space.start_genuine_sessiond()
        for line in (
            "create s -U net://127.0.0.1",
            "enable-channel -u c --subbuf-size=8M",
            "add-context -u -t vpid",
            "enable-event -u -c c flood:*",
            "start",
        ):
            self.space.run(*LTTNG, *line.split())
        self.flood()
        for line in ("stop", "destroy"):
            self.space.run(*LTTNG, *line.split())
        self.check(folder)


def held(process):
    """Return what a process has: open files, threads, children, and buffers of applications.

    The indexes of streams that stay do not count: one is made with the first packet.
    """
    place = Path(f"/proc/{process}")
    return {
        "files": sum(not path.resolve().name.endswith(".idx") for path in (place / "fd").iterdir()),
        "threads": sum(1 for _ in (place / "task").iterdir()),
        "children": len(children(process)),
        "buffers": (place / "maps").read_text().count("memfd:lttng-ust"),
    }


def children(process):
    """Return the processes that a process has started."""
    return [int(each) for each in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


@skipIf(UNAVAILABLE, UNAVAILABLE)
class CrowdTests(test_ust.Case):
    """A hundred applications, twenty at a time."""

    def run_some(self, number):
        """Let so many applications record, all at once, and end."""
        command = ("sh", "-c", f"echo {EVENTS} | {self.folder}/flood")
        outcomes = self.space.run_together(*[command] * number)
        self.assertEqual([status for status, _ in outcomes], [0] * number, outcomes)

    async def settled(self, session, condition):
        """Wait until the daemon knows no application any more, and what it did of them is done."""

        async def is_settled():
            return not (await session.describe())["domains"][0]["applications"] and condition()

        await until(is_settled, "all applications to be gone")

    async def come_and_go(self, buffers):
        """Compare what is held after one application, and after many, and at last."""
        programs.build("flood", self.folder)
        session = await self.session(buffers=buffers, subbuf_size=4096)
        daemon = child_of(self.sessiond)
        at_first = held(daemon)
        await session.add_contexts("userspace", ["vpid"])
        await session.enable_events("userspace", ["flood:*"], channel="c")
        await session.start()
        (consumer,) = children(daemon)
        await deferToThread(self.run_some, 1)
        await self.settled(session, lambda: buffers == "uid" or not held(consumer)["buffers"])
        before = [held(each) for each in (daemon, consumer)]
        for _ in range(TIMES):
            await deferToThread(self.run_some, TOGETHER)
        await self.settled(session, lambda: [held(each) for each in (daemon, consumer)] == before)
        facts = (await session.stop())["facts"]
        await session.destroy()
        self.assertEqual((facts["discarded"], facts["lost"]), (0, 0))
        await until(lambda: held(daemon) == at_first, lambda: f"{at_first}, not {held(daemon)}")
        self.assertFalse(Path(f"/proc/{consumer}").exists())
        shared = {path.name for path in Path(f"/proc/{daemon}/root/dev/shm").iterdir()}
        self.assertLessEqual(shared, {"lttng-ust-wait-8", "lttng-ust-wait-8-0"})
        return before

    async def test_buffers_of_a_user(self):
        _, consumer = await self.come_and_go("uid")
        self.assertGreater(consumer["buffers"], 0)
        found = Counter(number for numbers in numbers_of(self.traces).values() for number in numbers)
        self.assertEqual(found, dict.fromkeys(range(EVENTS), 1 + TIMES * TOGETHER))

    async def test_buffers_of_a_process(self):
        _, consumer = await self.come_and_go("pid")
        self.assertEqual(consumer["buffers"], 0)
        found = numbers_of(self.traces)
        self.assertEqual(len(found), 1 + TIMES * TOGETHER)
        self.assertEqual(set(map(tuple, found.values())), {tuple(range(EVENTS))})
        self.assertEqual(sum(1 for _ in self.traces.rglob("ust/pid/flood-*")), len(found))
