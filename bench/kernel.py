"""What an event of the kernel costs, and how many are kept: with our two daemons, and with trace-cmd.

    python -m bench.kernel [--pairs 5] [--count 500000] [--converters compiled,numpy] [--json FILE]

Both trace all system calls of the machine into buffers of 4 MiB for each CPU while ``dd`` makes as many as it
can, and send them over TCP, on this machine, to a receiver that writes to memory. Runs alternate, each with
fresh processes in a namespace of its own. Needs root, tracefs and trace-cmd.
"""

import argparse
import json
import os
import platform
import resource
import shutil
import signal
import statistics
import sys
import tempfile
from pathlib import Path

from lttngnet.sources.ftrace.converter import MODULES, VARIABLE
from lttngnet.sources.ftrace.tracefs import Instance, Tracefs, TracefsUnavailable
from tests.interop.genuine import Namespace, child_of, has_ended
from tests.interop.ours import program
from tests.waiting import DEADLINE, wait_until

TRACE_CMD = "trace-cmd"
TARGETS = {"compiled": 0.75, "numpy": 1.1}
"""What CPU for each event is to be at most, of trace-cmd's."""
BUFFER = 4096  # KiB for each CPU
PORT = 5398
TICKS = os.sysconf("SC_CLK_TCK")
TRACE = "/dev/shm/trace"  # in the namespace: its memory

SETTLE = """
cd "$1"
echo 1 > one
mount --bind one /proc/sys/kernel/ftrace_enabled
for each in set_ftrace_filter set_ftrace_notrace set_ftrace_pid set_ftrace_notrace_pid; do
    : > empty.$each
    for folder in "$2" "$3"; do
        [ -e $folder/$each ] && mount --bind empty.$each $folder/$each
    done
done
exit 0
"""
"""trace-cmd writes to the files of the function tracer, and gives up where a virtual machine forbids it."""


def missing():
    """Return why nothing can be measured here, or None."""
    if os.geteuid() != 0:
        return "needs root"
    lacking = [tool for tool in (TRACE_CMD, "unshare", "nsenter", "ip", "dd") if shutil.which(tool) is None]
    if lacking:
        return f"not installed: {', '.join(lacking)}"
    try:
        Tracefs.find()
    except TracefsUnavailable as problem:
        return str(problem)
    return None


def measure(kind, count):
    """Return what one run gave: see `summary` for the names."""
    with tempfile.TemporaryDirectory() as folder:
        space = Namespace(folder)
        try:
            load = os.getloadavg()[0]
            run = run_trace_cmd if kind == TRACE_CMD else run_ours
            cpu, stats = run(space, kind, count)
        finally:
            place = Path(f"/proc/{space.first_process}/ns/pid").stat().st_ino
            space.close()
            for path in instances_of(place):  # of a run that failed
                Tracefs.find().remove(Instance(path), (0.1,) * 50)
    kept = sum(each.read for each in stats)
    lost = sum(each.discarded + each.entries for each in stats)
    return {
        "kind": kind,
        "events": kept,
        "kept": 100 * kept / (kept + lost),
        "ns": 1e9 * cpu / kept,
        "load": load,
    }


def work(space, count):
    """Make system calls, two events each."""
    space.run("dd", "if=/dev/zero", "of=/dev/null", "bs=1", f"count={count}", timeout=600)


def run_ours(space, converter, count):
    """Trace with our daemons; return the seconds of CPU that it took, and what the kernel counted."""
    space.environment[VARIABLE] = converter
    space.start_our_relayd(TRACE)
    space.start_our_sessiond("--no-ust")
    for line in (
        "create flood --set-url=net://127.0.0.1",
        f"enable-channel -k c --subbuf-size={BUFFER // 4}K --num-subbuf=4",
        "enable-event -k -c c --syscall -a",
        "start",
    ):
        space.run(program("lttngnet"), *line.split())
    (path,) = instances_of(Path(f"/proc/{space.first_process}/ns/pid").stat().st_ino)
    began = cpu_seconds(space)
    work(space, count)
    space.run(program("lttngnet"), "stop", timeout=600)
    took = cpu_seconds(space) - began
    stats = Instance(path).stats().values()
    space.run(program("lttngnet"), "destroy", timeout=600)
    return took, list(stats)


def instances_of(place):
    """Return the instances of our session daemon in a namespace of that number."""
    return list((Tracefs.find().root / "instances").glob(f"lttng-flood-*.{place}"))


def run_trace_cmd(space, kind, count):
    """Trace with trace-cmd; as `run_ours`."""
    tracefs = Tracefs.find()
    name = f"bench-{os.getpid()}"
    folder = tracefs.root / "instances" / name
    folder.mkdir()
    (folder / "tracing_on").write_text("0")  # which trace-cmd changes when it is ready
    try:
        space.run("sh", "-c", SETTLE, "settle", space.folder, tracefs.root, folder)
        space.run("mkdir", TRACE)
        listener = space.start(TRACE_CMD, "listen", "-p", PORT, "-d", TRACE, log="listen.log")
        space.wait_for(listener, lambda: space.listens(PORT), "listen.log")
        options = ["-N", f"127.0.0.1:{PORT}", "-t", "-B", name, "-b", BUFFER, "-C", "mono", "-e", "syscalls"]
        alike = ["--no-filter", "--compression", "none"]  # as we do it
        record = space.start(TRACE_CMD, "record", *options, *alike, "-k", log="record.log")
        is_recording = (folder / "tracing_on").read_text
        space.wait_for(record, lambda: is_recording() == "1\n", "record.log")
        began = cpu_seconds(space)
        work(space, count)
        ended = children_seconds()
        os.kill(child_of(record), signal.SIGINT)
        record.wait(DEADLINE)
        by_record = children_seconds() - ended
        serving = Path(f"/proc/{child_of(listener)}/task/{child_of(listener)}/children")
        wait_until(lambda: all(map(has_ended, serving.read_text().split())), "the trace to be put together")
        took = cpu_seconds(space) + by_record - began
        return took, list(Instance(folder).stats().values())
    finally:
        tracefs.remove(Instance(folder), (0.1,) * 50)


def children_seconds():
    """Return the CPU time of all processes that we have waited for, and of those that these waited for."""
    return sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])


def cpu_seconds(space):
    """Return the CPU time of all processes in a namespace, and of those that they waited for."""
    place = Path(f"/proc/{space.first_process}/ns/pid").readlink()
    total = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if process.joinpath("ns/pid").readlink() == place:
                fields = process.joinpath("stat").read_text().rpartition(")")[2].split()
                total += sum(map(int, fields[11:15]))
        except OSError:
            continue
    return total / TICKS


def compare(converters, pairs, count):
    """Run all kinds in turn, and tell what came of each; return the runs."""
    runs = []
    kinds = [TRACE_CMD, *converters]
    for pair in range(pairs + 1):
        for kind in kinds if pair % 2 == 0 else kinds[::-1]:
            found = measure(kind, count)
            print(*(f"{k}={v if isinstance(v, str) else round(v, 1)}" for k, v in found.items()), flush=True)
            if pair:  # the first one warms up
                runs.append(found | {"pair": pair})
    return runs


def summary(runs):
    """Return of each kind median, least and most of every figure, and the median of the ratios of the pairs.

    ``events``: in the trace; ``kept``: percent of those that occurred; ``ns``: of CPU for each, both ends
    together; ``load``: before.
    """
    figures = {}
    for kind in dict.fromkeys(run["kind"] for run in runs):
        mine = [run for run in runs if run["kind"] == kind]
        beside = {run["pair"]: run for run in runs if run["kind"] == TRACE_CMD}
        figures[kind] = {
            name: {
                "median": statistics.median(run[name] for run in mine),
                "least": min(run[name] for run in mine),
                "most": max(run[name] for run in mine),
                "ratio": statistics.median(run[name] / max(beside[run["pair"]][name], 1e-9) for run in mine),
            }
            for name in ("events", "kept", "ns", "load")
        }
    return figures


def page(figures):
    """Return the summary as lines of a table."""
    lines = [f"{'':10}{'CPU ns for each event':>30}{'ratio':>8}{'events kept, %':>28}   target"]
    for kind, of_kind in figures.items():
        cells = [
            f"{of_kind[name]['median']:.1f} ({of_kind[name]['least']:.1f} - {of_kind[name]['most']:.1f})"
            for name in ("ns", "kept")
        ]
        target = f"<= {TARGETS[kind]}" if kind in TARGETS else ""
        lines.append(f"{kind:10}{cells[0]:>30}{of_kind['ns']['ratio']:>8.2f}{cells[1]:>28}   {target}")
    return "\n".join(lines)


def main():
    """Do as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--count", type=int, default=500_000, help="of reads and writes, two events each")
    parser.add_argument("--converters", default="compiled,numpy", help=f"of {', '.join(MODULES)}")
    parser.add_argument("--json", type=Path, help="write every run to this file")
    options = parser.parse_args()
    converters = options.converters.split(",")
    if unknown := set(converters) - set(MODULES):
        parser.error(f"no such converter: {', '.join(unknown)}")
    if (why := missing()) is not None:
        sys.exit(f"bench: {why}")
    runs = compare(converters, options.pairs, options.count)
    figures = summary(runs)
    print(page(figures))
    if options.json:
        machine = {"cpus": os.cpu_count(), "kernel": platform.release(), "python": platform.python_version()}
        facts = {"machine": machine, "count": options.count, "figures": figures, "runs": runs}
        options.json.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
