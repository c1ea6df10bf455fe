"""Live viewers see what our session daemon records, in time, through our relay daemon and the genuine one."""

import re
import sys
import time
from pathlib import Path
from unittest import skipIf

from lttngnet.sources.ftrace.tracefs import Instance, Tracefs, TracefsUnavailable
from tests.interop import test_live, test_ust
from tests.interop.genuine import missing
from tests.interop.ours import PROGRAM, text_of
from tests.waiting import DEADLINE, wait_until

try:
    INSTANCES = Tracefs.find().root / "instances"
    NO_KERNEL = missing()
except TracefsUnavailable as problem:
    NO_KERNEL = str(problem)

UNAVAILABLE = missing()
PERIOD = 0.5  # seconds of the live timer
SOON = 4 * PERIOD  # seconds between an event and its being shown
EVENT = re.compile(r"^\[([\d:.]+)\] .* steps:step: { cpu_id = (\d+) }, .*vpid = (\d+).* n = (\d+) }$", re.M)


def shown(numbers):
    """Return what a viewer shows of the last of these events."""
    return f" n = {numbers[-1]} }}"


class LiveCase(test_ust.Case):
    def setUp(self):
        super().setUp()
        self.start_relayd()

    def start_relayd(self):
        self.space.start_our_relayd(self.traces)

    async def live_session(self):
        return await (await self.client()).create("s1", "net://127.0.0.1", live=int(PERIOD * 1e6))

    def listing(self):
        """Return URL, timer, streams and clients of the one session."""
        text = self.space.run("babeltrace2", "-i", "lttng-live", test_live.HERE)
        ((url, *numbers),) = test_live.SESSION.findall(text)
        return url, *map(int, numbers)

    def attach(self, name, clients):
        """Return a viewer, once it is attached; so many are then."""
        viewer = test_live.Viewer(self.space, name, self.listing()[0])
        wait_until(lambda: self.listing()[-1] == clients, f"{clients} clients are attached")
        return viewer

    def shows(self, viewer, what, times=1):
        """Wait until a viewer has shown something so often; return the seconds for which that was."""
        begin = time.monotonic()
        wait_until(
            lambda: viewer.log.read_text().count(what) >= times,
            lambda: f"{times} times {what} in what the viewer shows:\n{viewer.log.read_text()}",
        )
        return time.monotonic() - begin

    def in_time(self, delays):
        """One of several events was shown in time; of the others a busy machine may be the cause."""
        self.assertLess(min(delays), SOON)


class ApplicationsMixin:
    several = True  # viewers at a time

    async def session(self, **options):
        session = await self.live_session()
        await session.enable_channel("userspace", "c", **options)
        await session.add_contexts("userspace", ["vpid"])
        await session.enable_events("userspace", ["steps:step"], channel="c")
        await session.enable_consumer()  # so that there is something to attach to
        return session

    def seen(self, viewer):
        """Return what a viewer has shown, in order: of each event its CPU, process and number."""
        found = EVENT.findall(viewer.log.read_text())
        times = [float(stamp) for stamp, *_ in found]
        self.assertEqual(times, sorted(times))
        return [tuple(map(int, facts)) for _, *facts in found]

    async def test_early_and_late(self):
        """The first viewer is attached before anything is recorded, and so before there are streams."""
        session = await self.session()
        self.assertEqual(self.listing()[1:], (int(PERIOD * 1e6), 0, 0))
        early = self.attach("early", 1)
        running = self.steps()
        await session.start()
        delays = [self.shows(early, shown(running.step(30)))]
        if not self.several:
            self.space.terminate(early.process)
            self.assertEqual([number for *_, number in self.seen(early)], list(range(30)))
            wait_until(lambda: self.listing()[-1] == 0, "nobody is attached")
        late = self.attach("late", 2 if self.several else 1)
        last = early if self.several else late
        delays += [self.shows(last, shown(running.step(25))) for _ in range(4)]
        await session.stop()
        await session.destroy()
        self.in_time(delays)
        if self.several:
            self.assertEqual(early.process.wait(DEADLINE), 0)
            self.assertEqual([number for *_, number in self.seen(early)], list(range(130)))
        self.assertEqual(late.process.wait(DEADLINE), 0)
        numbers = [number for *_, number in self.seen(late)]
        self.assertEqual(numbers, list(range(130))[-len(numbers) :])
        self.assertGreaterEqual(len(numbers), 100)
        lines, errors = text_of(self.traces)
        self.assertEqual((len(lines), errors), (130, ""))

    async def test_applications_that_come_and_go(self):
        """Each has a trace of its own, which the viewer hears of while it is attached."""
        session = await self.session(buffers="pid")
        viewer = self.attach("viewer", 1)
        await session.start()
        first = self.steps()
        numbers = {first.vpid: first.step(20)}
        delays = [self.shows(viewer, " steps:step: ", 20)]
        second = self.steps()
        numbers[second.vpid] = second.step(30)

        def hears_of_the_second():
            # With a genuine session daemon as well, a viewer asks for streams only when given a packet.
            numbers[first.vpid] += first.step(1)
            return f"vpid = {second.vpid} " in viewer.log.read_text()

        wait_until(hears_of_the_second, "events of the second")
        # What was not sent before it ends, a viewer of the genuine relay daemon may miss.
        self.shows(viewer, " steps:step: ", sum(map(len, numbers.values())))
        first.end()
        for _ in range(3):
            numbers[second.vpid] += second.step(10)
            delays.append(self.shows(viewer, " steps:step: ", sum(map(len, numbers.values()))))
        await session.stop()
        await session.destroy()
        self.assertEqual(viewer.process.wait(DEADLINE), 0)
        found = {}
        for _, process, number in self.seen(viewer):
            found.setdefault(process, []).append(number)
        self.assertEqual(found, numbers)
        self.in_time(delays)


@skipIf(UNAVAILABLE, UNAVAILABLE)
class OurRelayTests(ApplicationsMixin, LiveCase):
    pass


@skipIf(UNAVAILABLE, UNAVAILABLE)
class GenuineRelayTests(ApplicationsMixin, LiveCase):
    several = False  # it lets one attach

    def start_relayd(self):
        self.space.start_genuine_relayd(self.traces)


@skipIf(UNAVAILABLE, UNAVAILABLE)
class ProgramTests(LiveCase):
    """Records of a Python program."""

    def program(self):
        program = self.space.converse(sys.executable, "-c", PROGRAM, cwd=Path(__file__).parents[2])
        self.addCleanup(program.stdout.close)
        self.assertEqual(program.stdout.readline(), "ready\n")
        return program

    async def test_records(self):
        program = self.program()
        session = await self.live_session()
        await session.enable_events("python", ["app"])
        await session.start()
        viewer = self.attach("viewer", 1)
        delays = []
        for number in range(1, 4):
            program.stdin.write("7\n")
            program.stdin.flush()
            self.assertEqual(program.stdout.readline(), "done\n")
            delays.append(self.shows(viewer, '"message 6"', number))
        self.in_time(delays)
        program.stdin.close()
        program.wait()
        await session.stop()
        await session.destroy()
        self.assertEqual(viewer.process.wait(DEADLINE), 0)
        text = viewer.log.read_text()
        self.assertEqual(re.findall(r'"message (\d)"', text), list("0123456" * 3))

    async def test_records_and_events_of_applications(self):
        """Two sources in one live session; one has streams that nobody describes: those of agents."""
        program = self.program()
        session = await self.live_session()
        await session.enable_events("python", ["app"])
        await session.enable_events("userspace", ["steps:step"])
        await session.start()
        running = self.steps()
        viewer = self.attach("viewer", 1)
        for number in range(1, 4):
            program.stdin.write("7\n")
            program.stdin.flush()
            self.assertEqual(program.stdout.readline(), "done\n")
            running.step(20)
            self.shows(viewer, '"message 6"', number)
            self.shows(viewer, " steps:step: ", 20 * number)
        program.stdin.close()
        program.wait()
        await session.stop()
        await session.destroy()
        self.assertEqual(viewer.process.wait(DEADLINE), 0)
        text = viewer.log.read_text()
        self.assertEqual(re.findall(r'"message (\d)"', text), list("0123456" * 3))
        self.assertEqual(re.findall(r"steps:step: .* n = (\d+) }", text), [str(n) for n in range(60)])
        times = re.findall(r"^\[([\d:.]+)\]", text, re.M)
        self.assertEqual((len(times), times), (81, sorted(times)))


@skipIf(NO_KERNEL, NO_KERNEL)
class KernelTests(LiveCase):
    options = ("-v",)

    async def test_marks(self):
        session = await self.live_session()
        await session.enable_events("kernel", ["sched_process_exec"])
        await session.start()
        (path,) = self.instances()
        self.addCleanup(lambda: [Tracefs.find().remove(Instance(each)) for each in self.instances()])
        viewer = self.attach("viewer", 1)
        delays = []
        for number in range(5):
            (path / "trace_marker").write_text(f"mark {number}\n")
            delays.append(self.shows(viewer, f"mark {number}"))
        self.in_time(delays)
        await session.stop()
        await session.destroy()
        self.assertEqual(viewer.process.wait(DEADLINE), 0)
        self.assertEqual(re.findall(r"mark (\d)", viewer.log.read_text()), list("01234"))

    def instances(self):
        """Return those of our session daemon: the kernel has one tracefs for all who run at the same time."""
        namespace = Path(f"/proc/{self.space.first_process}/ns/pid").stat().st_ino
        return list(INSTANCES.glob(f"lttng-s1-*.{namespace}"))
