"""How many events of an application that records flat out are lost, with our daemons and the genuine ones.

    python -m bench.ust [--pairs 5] [--events 5000000] [--output folder|relay] [--json FILE] [--check]
    python -m bench.ust --report [--pairs 5] [NAME …]

Runs alternate, each in a namespace of its own with fresh daemons, and write to memory. Needs root, the
genuine tools and gcc, as the tests do. With ``--report`` the cases of `CASES` are run, or those that are
named; every run is written to ``ust-results``, and the table in ``UST.rst`` anew.
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
HERE = Path(__file__).parent
RESULTS = HERE / "ust-results"
PAGE = HERE / "UST.rst"
BEGIN, END = ".. Results: begin\n", ".. Results: end\n"  # of what `--report` writes in the page

SMALL = {"subbuf_size": 1 << 16, "events": 2_000_000}
CASES = {
    "folder": ("folder, 1 emitter", {}),
    "relay": ("relay, 1 emitter", {"output": "relay"}),
    "folder-2": ("folder, 2 emitters", {"emitters": 2}),
    "relay-2": ("relay, 2 emitters", {"emitters": 2, "output": "relay"}),
    "small": ("folder, 1 emitter, 4 x 64 KiB", SMALL),
    "small-2": ("folder, 2 emitters, 4 x 64 KiB", SMALL | {"emitters": 2}),
    "small-relay-2": ("relay, 2 emitters, 4 x 64 KiB", SMALL | {"emitters": 2, "output": "relay"}),
}
"""By name: what users read of a case, and its options where they differ from the usual ones."""


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


def ratio(runs, name):
    """Return by how much a figure of ours is that of the genuine run beside it: the median of the pairs."""
    pairs = [{run["kind"]: run[name] for run in runs[at : at + 2]} for at in range(0, len(runs), 2)]
    return statistics.median(pair["ours"] / pair["genuine"] for pair in pairs)


def table(results):
    """Return what `--report` has measured, as a table of reStructuredText."""
    rows = [
        ("what", "who", "lost, %", "ns for an event", "ours : genuine", "CPU s of daemons", "load before")
    ]
    for name, (what, _) in CASES.items():
        if name not in results:
            continue
        result = results[name]
        for kind, figures in result["figures"].items():
            cells = [
                "{median:.{0}f} ({least:.{0}f} - {most:.{0}f})".format(digits, **figures[figure])
                for figure, digits in (("lost", 2), ("ns", 0), ("cpu", 2), ("load", 1))
            ]
            compared = f"{ratio(result['runs'], 'ns'):.2f}" if kind == "ours" else ".."
            first = what if kind == KINDS[0] else ".."
            rows.append((first, kind, *cells[:2], compared, *cells[2:]))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rule = " ".join("=" * width for width in widths)
    lines = [" ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in (rule, lines[0], rule, *lines[1:], rule)) + "\n"


def report(names, usual):
    """Run cases, and write what came of it; those that were not run keep the results they have."""
    for name in names or CASES:
        print(f"{name}: {CASES[name][0]}", flush=True)
        options = argparse.Namespace(**{**vars(usual), **CASES[name][1]})
        RESULTS.joinpath(f"{name}.json").write_text(as_json(compare(options), options))
    results = {path.stem: json.loads(path.read_text()) for path in RESULTS.glob("*.json")}
    text = PAGE.read_text()
    before, after = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
    PAGE.write_text(f"{before}\n{table(results)}\n{after}")


def compare(options):
    """Run both sides in turn, and tell what came of each; return it."""
    runs = []
    for pair in range(options.pairs):
        for kind in KINDS if pair % 2 == 0 else KINDS[::-1]:
            runs.append(measure(kind, options))
            said = [f"{k}={v if isinstance(v, str) else round(v, 2)}" for k, v in runs[-1].items()]
            print(*said, flush=True)
    print(page(summary(runs)))
    print(f"ours : genuine, ns, pair by pair: {ratio(runs, 'ns'):.3f}", flush=True)
    return runs


def as_json(runs, options):
    """Return all there is to say of some runs."""
    machine = {"cpus": os.cpu_count(), "kernel": platform.release(), "python": platform.python_version()}
    asked = {name: value for name, value in vars(options).items() if name not in ("json", "report", "names")}
    facts = {"machine": machine, "options": asked, "figures": summary(runs), "runs": runs}
    return json.dumps(facts, indent=1) + "\n"


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
    parser.add_argument("--report", action="store_true", help="run the cases, and write the page")
    parser.add_argument("names", nargs="*", metavar="NAME", help="of cases for --report: " + ", ".join(CASES))
    options = parser.parse_args()
    if unknown := set(options.names) - set(CASES):
        parser.error(f"no such case: {' '.join(unknown)}")
    if (why := missing()) is not None:
        sys.exit(why)
    if options.report:
        report(options.names, options)
        return
    runs = compare(options)
    if options.json:
        options.json.write_text(as_json(runs, options))


if __name__ == "__main__":
    main()
