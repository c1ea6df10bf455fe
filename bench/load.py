"""The load: ``relayload``, a C program that behaves as a consumer daemon does, and verifies every byte."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).with_name("relayload.c")
PATIENCE = 300  # seconds for one run


class LoadFailed(Exception):
    """A run did not end well: what is wrong with it is the text."""


def compiler() -> str | None:
    """Return the C compiler, None where there is none."""
    return shutil.which("cc") or shutil.which("gcc")


def build(folder: Path) -> Path:
    """Compile the program into a folder, unless it is there already, and return its path.

    Raises:
        LoadFailed: there is no compiler, or it refuses.
    """
    program = folder / "relayload"
    if program.exists() and program.stat().st_mtime > SOURCE.stat().st_mtime:
        return program
    command = compiler()
    if command is None:
        raise LoadFailed("no C compiler is installed")
    folder.mkdir(parents=True, exist_ok=True)
    made = subprocess.run(
        [command, "-O2", "-Wall", "-pthread", "-o", program, SOURCE],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise LoadFailed(made.stderr)
    return program


def run(program: Path, *arguments: object) -> dict[str, Any]:
    """Run the program to its end, and return what it measured.

    Raises:
        LoadFailed: the relay daemon refused something, or did not write what it was sent.
    """
    command = [str(program), *map(str, arguments)]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        raise LoadFailed(f"not done after {PATIENCE} s") from None
    if ended.returncode:
        raise LoadFailed((ended.stderr or ended.stdout).strip())
    measured: dict[str, Any] = json.loads(ended.stdout)
    return measured
