"""How many events of an application that records flat out are lost, with our daemons and the genuine ones.

    python -m bench.ust [--pairs 5] [--events 5000000] [--output folder|relay] [--json FILE] [--check]

Runs alternate, each in a namespace of its own with fresh daemons, and write to memory. Needs root, the
genuine tools and gcc, as the tests do.
"""

import argparse
import json
import os
import platform
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path

from lttngnet.ctf.index import read_index
from tests.interop import programs
from tests.interop.genuine import TWISTD, Namespace, missing
from tests.interop.ours import program
from tests.waiting import wait_until

KINDS = ("genuine", "ours")
COMMANDS = {"genuine": ("lttng", "--no-sessiond"), "ours": (program("lttngnet"),)}
TRACE = "dev/shm/trace"  # in the namespace: its memory
TICKS = os.sysconf("SC_CLK_TCK")


def measure(kind, options):
    """Return what one run gave: see `summary` for the names."""
    with tempfile.TemporaryDirectory() as folder:
        space = Namespace(folder)
        try:
            return run_in(space, kind, options)
        finally:
            space.close()


def run_in(space, kind, options):
    """Return what a run gave in a namespace."""
    trace = f"/{TRACE}"
    outside = Path(f"/proc/{space.first_process}/root/{TRACE}")
    if options.output == "relay":
        start = space.start_genuine_relayd if kind == "genuine" else space.start_our_relayd
        start(trace)
    if kind == "genuine":
        space.start_genuine_sessiond()
    else:
        space.start(*TWISTD, "-n", "--pidfile=", "lttng-sessiond", "--no-kernel", log="sessiond.log")
        wait_until(outside.parents[2].joinpath("run/lttng/lttng-ust-sock-8").exists, "our session daemon")
    where = "-U net://127.0.0.1" if options.output == "relay" else f"-o {trace}"
    for line in (
        f"create flood {where}",
        f"enable-channel -u c --subbuf-size={options.subbuf_size} --num-subbuf={options.num_subbuf}",
        "enable-event -u -c c flood:*",
        "start",
    ):
        space.run(*COMMANDS[kind], *line.split())
    path = programs.build("flood", space.folder)
    emitters = [space.converse(path) for _ in range(options.emitters)]
    for each in emitters:
        assert each.stdout.readline() == "ready\n"
    load = os.getloadavg()[0]
    before = cpu_seconds(space, {each.pid for each in emitters})
    begin = time.monotonic()
    for each in emitters:
        each.stdin.write(f"{options.events}\n")
        each.stdin.flush()
    times = [int(each.stdout.readline()) for each in emitters]
    recorded = time.monotonic()
    cpu = cpu_seconds(space, {each.pid for each in emitters}) - before
    for each in emitters:
        each.stdin.close()
        each.wait()
        each.stdout.close()
    begin_of_stop = time.monotonic()
    space.run(*COMMANDS[kind], "stop", timeout=120)
    stopped = time.monotonic()
    space.run(*COMMANDS[kind], "destroy", timeout=120)
    total = options.events * options.emitters
    lost = discarded(outside)
    if options.check:
        command = ["babeltrace2", trace, "-c", "sink.utils.counter", "-p", "step=+0"]
        counted = re.search(r"([0-9,]+) Event messages", space.run(*command, timeout=300))
        found = int(counted[1].replace(",", ""))
        assert found + lost == total, f"{found} events are there, {lost} are lost, {total} were recorded"
    return {
        "kind": kind,
        "lost": 100 * lost / total,
        "ns": sum(times) / total,
        "seconds": recorded - begin,
        "cpu": cpu,
        "stop": stopped - begin_of_stop,
        "load": load,
    }


def discarded(folder):
    """Return how many events could not be recorded, as the index files say."""
    return sum(
        max((entry.events_discarded for entry in read_index(path.read_bytes())), default=0)
        for path in folder.rglob("*.idx")
    )


def cpu_seconds(space, without):
    """Return the CPU time of all daemons in a namespace."""
    place = Path(f"/proc/{space.first_process}/ns/pid").readlink()
    total = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (
                process.joinpath("ns/pid").readlink() != place
                or "flood" in process.joinpath("comm").read_text()
            ):
                continue
            fields = process.joinpath("stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def summary(runs):
    """Return median and spread of every figure, by kind.

    ``lost``: percent of the events; ``ns``: of the application, for each; ``seconds``: that it needed;
    ``cpu``: seconds of all daemons meanwhile; ``stop``: seconds of that command; ``load``: before.
    """
    figures = {}
    for kind in KINDS:
        mine = [run for run in runs if run["kind"] == kind]
        figures[kind] = {
            name: {
                "median": statistics.median(run[name] for run in mine),
                "least": min(run[name] for run in mine),
                "most": max(run[name] for run in mine),
            }
            for name in mine[0]
            if name != "kind"
        }
    return figures


def page(figures):
    """Return the summary as lines of a table."""
    names = ("lost", "ns", "cpu", "stop", "load")
    lines = [f"{'':10}" + "".join(f"{name:>26}" for name in names)]
    for kind, of_kind in figures.items():
        cells = [
            f"{of_kind[name]['median']:.2f} ({of_kind[name]['least']:.2f} - {of_kind[name]['most']:.2f})"
            for name in names
        ]
        lines.append(f"{kind:10}" + "".join(f"{cell:>26}" for cell in cells))
    return "\n".join(lines)


def main():
    """Do as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--events", type=int, default=5_000_000, help="of each emitter")
    parser.add_argument("--emitters", type=int, default=1)
    parser.add_argument("--subbuf-size", type=int, default=1 << 20)
    parser.add_argument("--num-subbuf", type=int, default=4)
    parser.add_argument("--output", choices=("folder", "relay"), default="folder")
    parser.add_argument("--check", action="store_true", help="read the trace: every event is there or lost")
    parser.add_argument("--json", type=Path, help="write every run to this file")
    options = parser.parse_args()
    if (why := missing()) is not None:
        sys.exit(why)
    runs = []
    for pair in range(options.pairs):
        for kind in KINDS if pair % 2 == 0 else KINDS[::-1]:
            runs.append(measure(kind, options))
            print(" ".join(f"{k}={v if isinstance(v, str) else round(v, 2)}" for k, v in runs[-1].items()))
    figures = summary(runs)
    print(page(figures))
    if options.json:
        machine = {"cpus": os.cpu_count(), "kernel": platform.release(), "python": platform.python_version()}
        asked = {name: value for name, value in vars(options).items() if name != "json"}
        text = json.dumps({"machine": machine, "options": asked, "figures": figures, "runs": runs}, indent=1)
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
