"""What a measurement depends on: the machine, what else it does, and the versions of what is compared."""

import os
import platform
import shutil
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from lttngnet.relayd.planes import plane_kind

TICKS = os.sysconf("SC_CLK_TCK")


def facts(folders: dict[str, Path]) -> dict[str, object]:
    """Return what is to be known of the machine and the programs.

    Args:
        folders: that are written to, by name; their file systems are told.
    """
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": _of_first(Path("/proc/cpuinfo"), "model name") or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30), 1),
        "kernel": platform.release(),
        "hypervisor": "hypervisor" in _of_first(Path("/proc/cpuinfo"), "flags").split(),
        "folders": {name: file_system(folder) for name, folder in folders.items()},
        "python": platform.python_version(),
        "twisted": version("twisted"),
        "lttngnet": f"{version('lttngnet')}{_revision()}",
        "plane": plane_kind(os.environ).name,
        "genuine": genuine_version(),
        "load": load(),
    }


def load() -> float:
    """Return the load average of the last minute; the load that is measured counts as well."""
    return round(os.getloadavg()[0], 2)


def busy() -> float:
    """Return how many seconds all processors together have worked, since the machine began."""
    user, nice, system, _idle, _wait, irq, softirq, *_ = Path("/proc/stat").read_text().split()[1:]
    return sum(map(int, (user, nice, system, irq, softirq))) / TICKS


def used_by(pid: int) -> float:
    """Return the processor seconds of a process, all of its threads together; 0 where it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


def file_system(folder: Path) -> str:
    """Return the type of the file system that a folder lies on."""
    found, longest = "", -1
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, where, kind, *_ = line.split()
        if folder.absolute().is_relative_to(where) and len(where) >= longest:
            found, longest = kind, len(where)
    return found


def genuine_version() -> str | None:
    """Return the version of the genuine relay daemon, None where it is not installed."""
    if shutil.which("lttng-relayd") is None:
        return None
    said = subprocess.run(["lttng-relayd", "--version"], capture_output=True, text=True, check=False)
    return (said.stdout or said.stderr).strip().splitlines()[0]


def _revision() -> str:
    """Return which state of the sources this is, where git can tell."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return f" ({said.stdout.strip()})" if said.returncode == 0 else ""


def _of_first(table: Path, key: str) -> str:
    for line in table.read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""
