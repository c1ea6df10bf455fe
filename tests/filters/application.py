"""A C program that records rows of values, and which of them the genuine tools let through filters."""

import re
import shlex
import subprocess
from pathlib import Path

HEADER = """
#undef LTTNG_UST_TRACEPOINT_PROVIDER
#define LTTNG_UST_TRACEPOINT_PROVIDER demo
#undef LTTNG_UST_TRACEPOINT_INCLUDE
#define LTTNG_UST_TRACEPOINT_INCLUDE "./row.h"
#if !defined(ROW_H) || defined(LTTNG_UST_TRACEPOINT_HEADER_MULTI_READ)
#define ROW_H
#include <stdint.h>
#include <lttng/tracepoint.h>
#define ARGUMENTS LTTNG_UST_TP_ARGS( \\
    int, row, int64_t, n, uint8_t, u, double, f, const char *, s, const int *, a)
LTTNG_UST_TRACEPOINT_EVENT_CLASS(demo, row, ARGUMENTS,
    LTTNG_UST_TP_FIELDS(
        lttng_ust_field_integer(int, row, row)
        lttng_ust_field_integer(int64_t, n, n)
        lttng_ust_field_integer(uint8_t, u, u)
        lttng_ust_field_float(double, f, f)
        lttng_ust_field_string(s, s)
        lttng_ust_field_array(int, a, a, 3)))
%s
#endif
#include <lttng/tracepoint-event.h>
"""
EVENT = "LTTNG_UST_TRACEPOINT_EVENT_INSTANCE(demo, row, demo, filter%d, ARGUMENTS)"
PROGRAM = """
#define LTTNG_UST_TRACEPOINT_CREATE_PROBES
#define LTTNG_UST_TRACEPOINT_DEFINE
#include "row.h"
static void record(int row, int64_t n, uint8_t u, double f, const char *s, const int *a)
{
%s
}
int main(void)
{
%s
    return 0;
}
"""
RECORD = "    lttng_ust_tracepoint(demo, filter%d, row, n, u, f, s, a);"
CALL = "    record(%d, %dLL, %d, %r, %s, (const int[]){%d, %d, %d});"


def build(folder, filters, rows):
    """Compile a program that records the rows once for each filter, and return its path.

    Args:
        folder: an existing one, to work in.
        filters: how many.
        rows: mappings of the fields; ``row`` becomes the number of each.
    """
    folder = Path(folder).absolute()
    calls = [
        CALL
        % (number, row["n"], row["u"], row["f"], '"{}"'.format(row["s"].replace("\\", "\\\\")), *row["a"])
        for number, row in enumerate(rows)
    ]
    (folder / "row.h").write_text(HEADER % "\n".join(EVENT % number for number in range(filters)))
    records = [RECORD % number for number in range(filters)]
    (folder / "rows.c").write_text(PROGRAM % ("\n".join(records), "\n".join(calls)))
    subprocess.run(
        ["gcc", "-I.", "-o", "rows", "rows.c", "-llttng-ust", "-ldl"],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return folder / "rows"


def passed(space, program, filters):
    """Return for each filter the numbers of the rows that the genuine tools in a namespace let through."""
    space.environment["LTTNG_UST_REGISTER_TIMEOUT"] = "-1"  # as long as it takes
    space.start_genuine_sessiond()
    script = ["set -e", f"lttng create session --output={space.folder}/trace"]
    for number, expression in enumerate(filters):
        script.append(
            f"lttng enable-event --userspace demo:filter{number} --filter={shlex.quote(expression)}"
        )
    space.run("sh", "-c", "\n".join([*script, "lttng start"]))
    space.run(program)
    space.run("lttng", "destroy")
    rows = [[] for _ in filters]
    for line in space.text_of(space.folder / "trace"):
        number, row = re.search(r"demo:filter(\d+):.*\brow = (\d+)", line).groups()
        rows[int(number)].append(int(row))
    return rows
