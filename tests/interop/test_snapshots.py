"""Snapshots of our sessions, in folders and at relay daemons; babeltrace2 reads every one."""

from pathlib import Path
from unittest import skipIf

from lttngnet.client import Code
from tests.interop.genuine import missing, undated
from tests.interop.test_archives import numbers
from tests.interop.test_ust import Case, RelayCase
from tests.interop.twins import PINNED
from tests.waiting import until

UNAVAILABLE = missing()


class WhereverMixin:
    """A snapshot is the same wherever it goes."""

    async def traced(self, **options):
        session = await (await self.client()).create("s1", self.output("s1"), snapshot=True)
        if options:
            await session.enable_channel("userspace", "c", **options)
        await session.enable_events("userspace", ["steps:step"], channel="c")
        return session

    def folder_of(self, path):
        """Return where a snapshot lies."""
        (found,) = {each for each in self.traces.rglob("*") if each.is_dir() and str(each).endswith(path)}
        return found

    async def test_record(self):
        session = await self.traced()
        running = self.steps()
        await self.assert_refused(Code.START_SESSION_ONCE, session.snapshot())
        await session.start()
        wanted = [running.step(100)]
        paths = [await session.snapshot()]
        wanted.append(wanted[0] + running.step(50))
        paths.append(await session.snapshot("other"))
        await session.stop()
        paths.append(await session.snapshot(output=self.output("elsewhere")))
        wanted.append(wanted[1])
        paths.append(await session.snapshot(output=f"file://{self.traces}/here"))
        wanted.append(wanted[1])
        await session.start()
        await session.clear()
        wanted.append(running.step(5))
        paths.append(await session.snapshot())
        names = [undated(Path(path).name) for path in paths]
        self.assertEqual(
            names,
            [
                "snapshot-1-DATE-0",
                "other-DATE-1",
                "snapshot-0-DATE-2",
                "snapshot-0-DATE-3",
                "snapshot-1-DATE-4",
            ],
        )
        await session.destroy()
        self.assertEqual([numbers(self.folder_of(path)) for path in paths], wanted)
        self.assertEqual(list(self.traces.rglob("*.idx")), [])
        for path in paths:
            files = {each.name for each in self.folder_of(path).glob("ust/uid/0/64-bit/*")}
            self.assertLessEqual({"metadata", "c_0"}, files)

    async def test_the_newest_events(self):
        session = await self.traced(subbuf_size=4096, num_subbuf=4)
        running = self.steps(prefix=PINNED)  # each CPU has buffers of its own
        await session.start()
        for _ in range(40):
            running.step(100)
        path = await session.snapshot()
        again = await session.snapshot("again")
        cpus = len({each.name for each in self.folder_of(path).glob("ust/uid/0/64-bit/c_*")})
        small = await session.snapshot("small", max_size=2 * cpus * 4096)
        self.assertTrue((await session.describe())["snapshot"])
        await self.assert_refused(Code.MAX_SIZE_INVALID, session.snapshot(max_size=4096 * cpus - 1))
        await session.destroy()
        streams = [each.stat().st_size for each in self.folder_of(small).glob("ust/uid/0/64-bit/c_*")]
        self.assertLessEqual(sum(streams), 2 * cpus * 4096)
        self.assertEqual(numbers(self.folder_of(small))[-1], 3999)
        for each in (path, again):
            found = numbers(self.folder_of(each))
            self.assertEqual(found[-1], 3999)
            self.assertLess(len(found), 3000)

    async def test_of_processes_that_come_and_go(self):
        session = await self.traced(buffers="pid")
        running, gone = self.steps(), self.steps()
        await session.start()
        gone.step(10)
        gone.end()

        async def has_left():
            return (await session.describe())["domains"][0]["applications"] == 1

        await until(has_left, "the daemon to know that one has ended")
        wanted = running.step(5)
        path = await session.snapshot()
        await session.destroy()
        self.assertEqual(set(wanted), set(numbers(self.folder_of(path))))


@skipIf(UNAVAILABLE, UNAVAILABLE)
class FolderTests(WhereverMixin, Case):
    async def test_outputs(self):
        session = await self.traced()
        running = self.steps()
        await session.start()
        (output,) = await session.snapshot_outputs()
        self.assertEqual((output["id"], output["name"]), (1, "snapshot-1"))
        await self.assert_refused(Code.SNAPSHOT_OUTPUT_EXIST, session.add_snapshot_output("/x", "two"))
        await self.assert_refused(Code.INVALID, session.delete_snapshot_output("two"))
        await session.delete_snapshot_output(1)
        await self.assert_refused(Code.SNAPSHOT_FAIL, session.snapshot())
        added = await session.add_snapshot_output(self.output("two"), "two")
        self.assertEqual((added["id"], added["name"]), (2, "two"))
        wanted = running.step(5)
        path = await session.snapshot()
        self.assertEqual(undated(Path(path).relative_to(self.traces)), "two/two-DATE-0")
        self.assertEqual(numbers(path), wanted)
        await self.assert_refused(Code.INVALID, session.snapshot("a/b"))
        await session.destroy()

    async def test_refusals(self):
        client = await self.client()
        session = await self.session()
        await self.assert_refused(Code.NOT_SNAPSHOT_SESSION, session.snapshot())
        live = client.create("live", "net://127.0.0.1", live=1000, snapshot=True)
        await self.assert_refused(Code.INVALID, live)
        session = await self.traced_as("s2")
        await self.assert_refused(Code.SNAPSHOT_UNSUPPORTED, session.enable_events("python", ["*"]))
        await session.enable_events("userspace", ["steps:step"])
        await session.start()
        await self.assert_refused(Code.ROTATION_NOT_AVAILABLE, session.rotate())
        await self.assert_refused(Code.RELAYD_CONNECT_FAIL, session.snapshot(output="net://127.0.0.1:1:2"))
        await self.assert_refused(Code.SNAPSHOT_FAIL, session.snapshot(output="/proc/nowhere"))
        await session.destroy()

    async def traced_as(self, name):
        return await (await self.client()).create(name, self.output(name), snapshot=True)


@skipIf(UNAVAILABLE, UNAVAILABLE)
class OurRelayTests(WhereverMixin, RelayCase):
    def start_relayd(self):
        self.space.start_our_relayd(self.traces)


@skipIf(UNAVAILABLE, UNAVAILABLE)
class GenuineRelayTests(WhereverMixin, RelayCase):
    def start_relayd(self):
        self.space.start_genuine_relayd(self.traces)
