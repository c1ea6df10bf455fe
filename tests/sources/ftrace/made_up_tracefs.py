"""A tracefs that is a folder of plain files."""

import tempfile
from pathlib import Path
from shutil import rmtree

from lttngnet.sources.ftrace.names import KernelEvent
from lttngnet.sources.ftrace.tracefs import Instance, Tracefs
from tests.sources.ftrace.made_up import LAYOUTS, PAGE_SIZE

EVENTS = (
    KernelEvent("sched", "sched_switch"),
    KernelEvent("sched", "sched_wakeup"),
    KernelEvent("irq", "softirq_entry"),
    KernelEvent("irq", "irq_handler_entry"),
    KernelEvent("syscalls", "sys_enter_openat"),
    KernelEvent("syscalls", "sys_exit_openat"),
    KernelEvent("raw_syscalls", "sys_enter"),
)
FILES = {
    "tracing_on": "1",
    "trace_clock": "[local] global",
    "buffer_size_kb": "1410",
    "buffer_subbuf_size_kb": "4",
    "buffer_percent": "50",
    "options/overwrite": "1",
    "set_event": "",
}
STATS = """\
entries: {entries}
overrun: {overrun}
commit overrun: 0
bytes: {bytes}
oldest event ts:     0.000000
now ts:   672.703573
dropped events: {dropped}
read events: 0
"""


def make_instance(path, cpus=2, files=FILES):
    """Fill a folder with the files of an instance."""
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    for cpu in range(cpus):
        folder = path / f"per_cpu/cpu{cpu}"
        folder.mkdir(parents=True)
        (folder / "trace_pipe_raw").touch()
        set_stats(path, cpu)
    return Instance(path)


def set_stats(path, cpu, entries=0, overrun=0, dropped=0, bytes=0):
    """Let the kernel count."""
    text = STATS.format(entries=entries, overrun=overrun, dropped=dropped, bytes=bytes)
    (path / f"per_cpu/cpu{cpu}/stats").write_text(text)


def record(path, cpu, pages):
    """Let the kernel record: append sub-buffers."""
    assert len(pages) % PAGE_SIZE == 0
    with (path / f"per_cpu/cpu{cpu}/trace_pipe_raw").open("ab") as file:
        file.write(pages)


class MadeUpTracefs(Tracefs):
    """Instances appear with their files in them, as in the real one."""

    files = FILES

    @classmethod
    def make(cls, case):
        holder = tempfile.TemporaryDirectory()
        case.addCleanup(holder.cleanup)
        root = Path(holder.name)
        (root / "instances").mkdir()
        (root / "available_events").write_text("".join(f"{event.system}:{event.name}\n" for event in EVENTS))
        for layout in LAYOUTS.values():
            (root / "events" / layout.system / layout.name).mkdir(parents=True)
        return cls(root)

    @property
    def instances(self):
        return sorted((self.root / "instances").iterdir())

    def _make_directory(self, path):
        path.mkdir()
        make_instance(path, files=self.files)

    def _remove_directory(self, path):
        rmtree(path)
