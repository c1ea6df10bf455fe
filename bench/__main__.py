"""Compare the relay daemons, case by case."""

import argparse
import resource
import sys
import tempfile
from pathlib import Path

from bench import enclosure, load, machine, report
from bench.cases import CASES
from bench.comparing import run
from bench.receivers import genuine, ours

BUILD = Path(__file__).parents[1] / "build"


def parse(arguments: list[str]) -> argparse.Namespace:
    """Return what the command line says."""
    names = [case.name for case in CASES]
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, epilog=f"The cases: {', '.join(names)}"
    )
    parser.add_argument("case", nargs="*", help="a case, or what its name begins with; all of them")
    parser.add_argument("--quick", action="store_true", help="less of everything, in two minutes")
    parser.add_argument(
        "--pairs", type=int, help="that count of each case (5, quick: 3); one more is dropped"
    )
    parser.add_argument(
        "--into",
        type=Path,
        default=BUILD / "bench",
        help="folder for relay.json, relay.inc and relay.svg (build/bench)",
    )
    parser.add_argument(
        "--disk", type=Path, default=BUILD, help="folder on the disk that is to be written to (build)"
    )
    options = parser.parse_args(arguments)
    options.pairs = options.pairs or (3 if options.quick else 5)
    wanted = tuple(options.case) or ("",)
    options.cases = [
        case for case in CASES if case.name.startswith(wanted) and not (options.quick and case.quick is None)
    ]
    if not options.cases:
        parser.error(f"no case begins with {' or '.join(wanted)}")
    return options


def main(arguments: list[str]) -> int:
    """Measure, say what came of it, and write it; return 1 if a case failed."""
    options = parse(arguments)
    if machine.genuine_version() is None:
        sys.exit("bench: there is nothing to compare with: lttng-relayd is not installed")
    enclosure.enter([sys.executable, "-m", "bench", *arguments])
    try:
        program = load.build(BUILD)
    except load.LoadFailed as problem:
        sys.exit(f"bench: the load cannot be built: {problem}")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # for the idle sessions, both ends
    both = genuine(), ours()
    with (
        tempfile.TemporaryDirectory(prefix="bench-", dir=options.disk) as disk,
        tempfile.TemporaryDirectory(prefix="bench-", dir="/dev/shm") as memory,
    ):
        folders = {"disk": Path(disk), "memory": Path(memory)}
        results = {"machine": machine.facts(folders), "pairs": options.pairs, "cases": []}
        for case in options.cases:
            folder = folders["disk" if case.on_disk else "memory"]
            outcome = run(case, options.pairs, options.quick, program, folder, both)
            results["cases"].append(outcome)
            print("\n".join(report.lines(outcome)), flush=True)
    report.write(results, options.into, "relay")
    return int(any("problem" in outcome for outcome in results["cases"]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
