"""Rotation and clearing of our sessions, to a folder and to relay daemons; babeltrace2 reads all."""

import contextlib
import re
import sys
from unittest import skipIf

from lttngnet.client import Code
from tests.interop import test_ust
from tests.interop.genuine import Namespace, Ticker, build_application, missing, tree
from tests.interop.ours import text_of
from tests.interop.test_ust import NUMBER, Case
from tests.interop.twins import PINNED
from tests.waiting import until

UNAVAILABLE = missing()
TICK = re.compile(r"demo:tick: .*\{ n = (\d+) \}")


def numbers(folder, pattern=NUMBER):
    """Return the numbers of the events of a trace, which babeltrace2 reads without a complaint."""
    lines, errors = text_of(folder)
    assert not errors, errors
    return sorted(int(pattern.search(line)[1]) for line in lines)


class WhereverMixin:
    """What is archived, and what is deleted, is the same wherever it goes."""

    def archives(self):
        """Return what lies in the archives, in the order of the numbers of the chunks."""
        found = (path for folder in self.traces.rglob("archives") for path in folder.iterdir())
        return sorted(found, key=lambda path: int(path.name.rpartition("-")[2]))

    async def archived(self, count):
        """Return the archives once there are so many: a genuine relay daemon does not say when they are."""
        await until(lambda: len(self.archives()) >= count, f"{count} archives")
        return self.archives()

    async def rotated(self, session, count):
        """Wait until a session was rotated so often."""

        async def reached():
            return (await session.describe())["rotated"] >= count

        await until(reached, f"{count} rotations")

    async def traced(self, **options):
        session = await self.session(**options)
        await session.enable_events("userspace", ["steps:step"], channel="c")
        self.running = self.steps()
        await session.start()
        return session

    async def test_rotate(self):
        session = await self.traced()
        wanted = []
        for count in (100, 50):
            wanted.append(self.running.step(count))
            path = await session.rotate()
            self.assertIn("s1", path)
        wanted.append(self.running.step(30))
        await session.stop()
        await session.rotate()
        await self.assert_refused(Code.ROTATION_MULTIPLE_AFTER_STOP, session.rotate())
        self.running.step(7)
        await session.start()
        later = self.steps()
        later.step(3)
        wanted.append(sorted([*self.running.step(5), 0, 1, 2]))
        self.assertEqual((await session.describe())["rotated"], 3)
        await session.destroy()
        self.assertEqual([numbers(path) for path in await self.archived(4)], wanted)
        for path in self.archives():
            self.assertTrue((path / "ust/uid/0/64-bit/metadata").exists())

    async def test_rotate_while_applications_come_and_go(self):
        session = await self.traced(buffers="pid")
        one, two = self.steps(), self.steps()
        wanted = [sorted(one.step(20) + two.step(10) + self.running.step(2))]
        await session.rotate()
        one.end()
        three = self.steps()
        wanted.append(sorted(three.step(5) + two.step(6)))
        await session.rotate()
        await session.stop()
        two.end()
        await session.rotate()
        await session.start()
        wanted.append(sorted(three.step(4) + self.running.step(1)))
        await session.destroy()
        found = [numbers(path) for path in await self.archived(4)]
        self.assertEqual([each for each in found if each], wanted)

    async def test_rotate_again_and_again(self):
        application = build_application(self.folder)
        session = await self.session(subbuf_size=65536, num_subbuf=64)  # room for some minutes
        await session.enable_events("userspace", ["demo:tick"], channel="c")
        await session.start()
        ticking = Ticker(self.space, application, "ticks", 20)
        for _ in range(6):
            ticking.go_on(500)
            await session.rotate()
        count = ticking.end()
        facts = await session.stop()
        await session.destroy()
        each = [numbers(path, TICK) for path in await self.archived(7)]
        self.assertEqual(facts["facts"]["discarded"], 0)
        self.assertEqual(sorted(number for found in each for number in found), list(range(count)))
        self.assertGreater(min(len(found) for found in each[:6]), 0)

    async def test_rotated_by_itself(self):
        session = await self.traced(subbuf_size=4096)
        await session.enable_rotation("timer", 100_000)
        await self.assert_refused(Code.ROTATION_SCHEDULE_SET, session.enable_rotation("timer", 5))
        await session.enable_rotation("size", 5000)
        wanted = self.running.step(10)
        await self.rotated(session, 2)
        await session.disable_rotation("timer")
        await self.assert_refused(Code.ROTATION_SCHEDULE_NOT_SET, session.disable_rotation("timer"))
        before = (await session.describe())["rotated"]
        wanted += self.running.step(1000)
        await self.rotated(session, before + 1)
        await session.disable_rotation("size")
        facts = await session.stop()
        await session.destroy()
        found = [numbers(path) for path in await self.archived(facts["rotated"] + 1)]
        self.assertEqual(sorted(number for each in found for number in each), wanted)

    async def test_clear(self):
        session = await self.traced()
        self.running.step(100)
        await session.clear()
        wanted = self.running.step(20)
        await session.stop()
        self.assertEqual(sorted(self.read()["steps:step"]), wanted)
        await session.clear()
        await session.clear()
        await until(lambda: not list(self.traces.rglob("metadata")), "all is cleared")
        await self.assert_refused(Code.ROTATION_AFTER_STOP_CLEAR, session.rotate())
        await session.start()
        wanted = [self.running.step(5)]
        await session.rotate()
        self.running.step(5)
        await session.clear()
        wanted.append(self.running.step(6))
        await session.destroy()
        self.assertEqual([numbers(path) for path in await self.archived(2)], wanted)
        await until(lambda: len(list(self.traces.rglob("metadata"))) == 2, "all else is cleared")

    async def test_files_that_give_way(self):
        sizes = {"subbuf_size": 4096, "num_subbuf": 128, "tracefile_size": 8192}
        session = await self.session(**sizes, tracefile_count=3)
        await session.enable_channel("userspace", "all", **sizes)
        await session.enable_events("userspace", ["steps:step"], channel="c")
        await session.enable_events("userspace", ["steps:warning"], channel="all")
        await session.start()
        running = self.steps(prefix=PINNED)  # on one CPU: those of each have files of their own
        for _ in range(60):
            running.step(100)
        await session.stop()
        await session.destroy()
        (trace,) = (path.parent for path in self.traces.rglob("metadata"))
        files = [path.name for path in trace.iterdir() if path.is_file() and path.stat().st_size]
        self.assertLessEqual({name.rpartition("_")[2] for name in files if name[0] == "c"}, set("012"))
        self.assertIn("3", {name.rpartition("_")[2] for name in files if name.startswith("all_")})
        events = self.read()
        self.assertEqual(events["steps:warning"], list(range(6000)))
        self.assertIn(5999, events["steps:step"])
        self.assertLess(len(events["steps:step"]), 5000)

    async def test_metadata_is_written_anew(self):
        session = await self.traced()
        wanted = self.running.step(10)
        before = await until(lambda: self.metadata("steps:step"), "the metadata")
        for turn in range(3):
            await until(self.spoil_metadata, "the metadata that is to be spoiled")
            await session.regenerate("metadata")
            wanted += self.running.step(10)
            await until(
                lambda: [*self.metadata("steps:step").values()] == [*before.values()], "it to be anew"
            )
            if turn == 1:
                await session.rotate()
                await self.archived(1)  # until then the old one is found where the new one is
                await until(lambda: self.metadata("steps:step"), "the metadata of the next chunk")
        await self.assert_refused(Code.NOT_SUPPORTED, session.regenerate("weather"))
        await session.stop()
        await self.assert_refused(Code.SESSION_NOT_STARTED, session.regenerate("metadata"))
        await session.destroy()
        await self.archived(2)
        self.assertEqual(self.read(), {"steps:step": wanted})

    def metadata(self, event):
        """Return the metadata that is being written and has the event, apart from the clock, by its path."""
        paths = [path for path in self.traces.rglob("metadata") if "archives" not in path.parts]
        texts = {path: path.read_text() for path in paths}
        return {path: re.sub("offset = -?[0-9]+;", "", text) for path, text in texts.items() if event in text}

    def spoil_metadata(self):
        """Write over it; whether there was any."""
        found = self.metadata("steps:step")
        for path in found:
            path.write_text("nonsense")
        return found

    async def test_of_other_domains(self):
        """Log records: a program whose stream has nothing in it does not keep a chunk from its archive."""
        session = await (await self.client()).create("s1", self.output("s1"))
        await self.assert_refused(Code.START_SESSION_ONCE, session.rotate())
        await session.clear()
        await session.enable_events("python", ["*"])
        await session.start()
        script = (
            "import logging, sys, lttngnet.logs as logs; logs.install(); "
            "logging.getLogger().addHandler(logging.NullHandler()); "
            "log = logging.getLogger('a'); "
            "print('ready', flush=True); "
            "[(log.warning('n %s', line.strip()), print('done', flush=True)) for line in sys.stdin]"
        )
        programs = [self.space.converse(sys.executable, "-c", script) for _ in range(2)]
        for program in programs:
            self.addCleanup(self.leave, program)
            self.assertEqual(program.stdout.readline(), "ready\n")
        for number in range(3):
            programs[0].stdin.write(f"{number}\n")
            programs[0].stdin.flush()
            self.assertEqual(programs[0].stdout.readline(), "done\n")
            await session.regenerate("metadata")
            await session.rotate()
        await session.destroy()
        texts = ["\n".join(text_of(path)[0]) for path in await self.archived(4)]
        self.assertEqual([re.findall(r'"n (\d)"', text) for text in texts], [["0"], ["1"], ["2"], []])

    def leave(self, program):
        program.stdin.close()
        program.wait()
        program.stdout.close()


@skipIf(UNAVAILABLE, UNAVAILABLE)
class FolderTests(WhereverMixin, Case):
    pass


class RelayCase(test_ust.RelayCase):
    relay_options = ()


class AtRelayMixin:
    async def test_clear_live(self):
        session = await (await self.client()).create("s1", self.output("s1"), live=20_000)
        await session.enable_events("userspace", ["steps:step"], channel="c")
        running = self.steps()
        await session.start()
        running.step(10)
        await session.clear()
        wanted = running.step(5)
        await self.assert_refused(Code.ROTATION_NOT_AVAILABLE, session.rotate())
        await session.destroy()
        self.assertEqual(self.read(), {"steps:step": wanted})

    async def test_clear_is_not_allowed(self):
        self.space.terminate(self.relayd)
        self.relay_options = ("--disallow-clear",)
        self.start_relayd()
        session = await self.session()
        await session.enable_events("userspace", ["steps:step"], channel="c")
        await session.start()
        await self.assert_refused(Code.CLEAR_RELAY_DISALLOWED, session.clear())
        await session.rotate()
        await session.destroy()


@skipIf(UNAVAILABLE, UNAVAILABLE)
class OurRelayTests(WhereverMixin, AtRelayMixin, RelayCase):
    def start_relayd(self):
        self.relayd = self.space.start_our_relayd(self.traces, options=self.relay_options)


@skipIf(UNAVAILABLE, UNAVAILABLE)
class GenuineRelayTests(WhereverMixin, AtRelayMixin, RelayCase):
    def start_relayd(self):
        self.relayd = self.space.start_genuine_relayd(self.traces, options=self.relay_options)


STEPS = ("tick", "rotate", "tick", "rotate", "tick", "stop", "rotate", "start", "tick", "clear", "tick")


@skipIf(UNAVAILABLE, UNAVAILABLE)
class LayoutTests(Case):
    """What lies in a folder is what a genuine session daemon leaves there."""

    async def ours(self, name, steps, **options):
        session = await self.session(name, **options)
        await session.enable_events("userspace", ["demo:tick"], channel="c")
        await session.start()
        for step in steps:
            if step == "tick":
                self.space.run(*PINNED, self.application, self.ticks)
            else:
                await getattr(session, step)()
        return session

    def genuine(self, space, name, steps, *options):
        lttng = ("lttng", "--no-sessiond")
        space.run(*lttng, "create", name, "-o", space.folder / name)
        space.run(*lttng, "enable-channel", "-u", "c", *options)
        space.run(*lttng, "enable-event", "-u", "-c", "c", "demo:tick")
        space.run(*lttng, "start")
        for step in steps:
            space.run(*((*PINNED, self.application, self.ticks) if step == "tick" else (*lttng, step)))

    ticks = 5

    def setUp(self):
        super().setUp()
        self.application = build_application(self.folder)

    def genuine_daemon(self):
        place = self.folder / "genuine"
        place.mkdir()
        space = Namespace(place)
        self.addCleanup(space.close)
        space.start_genuine_sessiond()
        return space

    async def test_limited_files(self):
        self.ticks = 3000
        space = self.genuine_daemon()
        for name, count in (("limited", 2), ("all", 0)):
            sizes = {"subbuf_size": 4096, "num_subbuf": 32, "tracefile_size": 8192, "tracefile_count": count}
            session = await self.ours(name, ("tick", "stop"), **sizes)
            words = [f"--{option.replace('_', '-')}={value}" for option, value in sizes.items() if value]
            self.genuine(space, name, ("tick", "stop"), *words)
            await session.destroy()
            space.run("lttng", "--no-sessiond", "destroy", name)
            self.assertEqual(self.sizes(self.traces / name), self.sizes(space.folder / name))

    def sizes(self, folder):
        """Return the size of each trace file of the CPU on which there are events."""
        return {
            path.name: path.stat().st_size for path in folder.rglob(f"c_{PINNED[-1]}_*") if path.is_file()
        }

    async def test_folders(self):
        space = self.genuine_daemon()
        place = space.folder
        for count in (1, 2, 4, 6, 7, 8, len(STEPS)):
            name, steps = f"s{count}", STEPS[:count]
            session = await self.ours(name, steps)
            self.genuine(space, name, steps)
            for done in ("before", "after"):
                with contextlib.suppress(AssertionError):
                    await until(
                        lambda name=name: self.tree(self.traces / name) == self.tree(place / name), name
                    )
                self.assertEqual(self.tree(self.traces / name), self.tree(place / name), (steps, done))
                if done == "before":
                    await session.destroy()
                    space.run("lttng", "--no-sessiond", "destroy", name)

    def tree(self, folder):
        """Return all paths, but for indexes: a genuine one has them also of streams that are empty."""
        return tuple(path for path in tree(folder) if "/index" not in path)
