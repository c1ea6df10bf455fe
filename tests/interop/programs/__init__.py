"""C programs that are traced: each is NAME.c and NAME_probes.c, whose tracepoints stand in NAME.h."""

import subprocess
from pathlib import Path

SOURCES = Path(__file__).parent


def build(name, folder):
    """Compile a program, and return its path; it is the same wherever the sources lie."""
    program = Path(folder).absolute() / name
    subprocess.run(
        ["gcc", "-I.", "-o", program, f"{name}.c", f"{name}_probes.c", "-llttng-ust", "-ldl"],
        cwd=SOURCES,
        check=True,
        capture_output=True,
    )
    return program
