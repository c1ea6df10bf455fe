"""C programs that are traced: each is NAME.c and NAME_probes.c, whose tracepoints stand in NAME.h."""

import os
import shutil
import subprocess
from pathlib import Path

from tests import once

SOURCES = Path(__file__).parent


def build(name, folder):
    """Put a program into a folder, and return its path."""
    names = (f"{name}.h", f"{name}.c", f"{name}_probes.c")
    return compiled(name, {each: (SOURCES / each).read_text() for each in names}, folder)


def compiled(name, sources, folder):
    """Put a program into a folder, and return its path; it is compiled once for all tests.

    Args:
        name: of the program.
        sources: the text of each file that it is compiled of.
        folder: an existing one.
    """

    def compile_it(place):
        for each, text in sources.items():
            (place / each).write_text(text)
        files = [each for each in sources if each.endswith(".c")]
        command = ["gcc", "-I.", "-o", name, *files, "-llttng-ust", "-ldl"]
        subprocess.run(command, cwd=place, check=True, capture_output=True)

    made = once.made(name, *(word for pair in sources.items() for word in pair), make=compile_it) / name
    program = Path(folder).absolute() / name
    if not program.exists():
        try:
            os.link(made, program)  # a copy could not be run while a process that was just forked has it open
        except OSError:  # another file system
            shutil.copy(made, program)
    return program
