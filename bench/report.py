"""What was measured, for people: lines for a terminal, a table and a plot for a page."""

import json
from pathlib import Path
from typing import Any

from bench.plot import Bar, plot

Values = dict[str, Any]


def lines(outcome: Values) -> list[str]:
    """Return what is to be said of one case on a terminal."""
    if "problem" in outcome:
        return [f"{outcome['title']}: FAILED: {outcome['problem']}"]
    said = [outcome["title"]]
    for quantity in outcome["quantities"]:
        verdict = {True: "", False: "  missed", None: ""}[quantity["is_reached"]]
        said.append(
            f"    {quantity['what']:<10} {_number(quantity['genuine_median']):>8} "
            f"{_number(quantity['ours_median']):>8} {quantity['unit']:<13} x{_spread(quantity)}"
            f"   {_target(quantity)}{verdict}"
        )
    elsewhere = [value for run in outcome["weather"] for value in run["elsewhere"]]
    loads = [run["load"] for run in outcome["weather"]]
    said.append(
        f"    load {min(loads)}-{max(loads)}, processors busy elsewhere {min(elsewhere)}-{max(elsewhere)}"
    )
    return said


def write(results: Values, folder: Path, name: str) -> None:
    """Write what a page includes: NAME.json, NAME.svg, and NAME.inc, which shows the plot and has the table.

    Args:
        results: "machine", "pairs" and "cases".
        folder: of all three.
        name: of what was measured.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    bars = [
        Bar(f"{case['title']}: {q['what']}", q["ratios"], q["least"], q["most"])
        for case in results["cases"]
        for q in case.get("quantities", ())
        if not q["is_absolute"] and (q["least"] or q["most"])
    ]
    (folder / f"{name}.svg").write_text(plot(bars))
    (folder / f"{name}.inc").write_text(page(results, f"{folder.name}/{name}.svg"))


def page(results: Values, picture: str) -> str:
    """Return the reStructuredText of the results.

    Args:
        results: see `write`.
        picture: path of the plot, for the page that includes this.
    """
    machine = results["machine"]
    folders = ", ".join(f"{name}: {kind}" for name, kind in machine["folders"].items())
    virtual = ", virtual" if machine["hypervisor"] else ""
    about = (
        f"Measured {machine['date']}, {results['pairs']} pairs, on {machine['processor']} "
        f"({machine['cores']} cores{virtual}), {machine['memory_gib']} GiB, Linux {machine['kernel']}, "
        f"{folders}. Python {machine['python']}, Twisted {machine['twisted']}, lttngnet "
        f"{machine['lttngnet']} with the plane in {machine['plane']}, {machine['genuine']}. "
        f"Load before the first run: {machine['load']}."
    )
    rows = [
        ".. list-table::",
        "   :header-rows: 1",
        "   :widths: 34 10 12 12 18 10 8 8",
        "",
        "   * - "
        + "\n     - ".join(("case", "", "genuine", "ours", "ratio (from – to)", "goal", "load", "others")),
    ]
    for case in results["cases"]:
        rows += _rows(case)
    figure = [f".. figure:: {picture}", "", "   The ratio of each pair, their median, and the goal (a bar)."]
    return "\n".join((about, "", *rows, "", *figure, ""))


def _rows(case: Values) -> list[str]:
    if "problem" in case:
        return ["   * - " + "\n     - ".join((case["title"], "*failed*", "", "", "", "", "", ""))]
    loads = max(run["load"] for run in case["weather"])
    elsewhere = max(value for run in case["weather"] for value in run["elsewhere"])
    rows = []
    for number, quantity in enumerate(case["quantities"]):
        goal = _target(quantity) + ("" if quantity["is_reached"] is not False else " **missed**")
        cells = (
            "" if number else case["title"],
            quantity["what"],
            f"{_number(quantity['genuine_median'])} {quantity['unit']}",
            f"{_number(quantity['ours_median'])} {quantity['unit']}",
            f"**{quantity['ratio']:.2f}** ({min(quantity['ratios']):.2f} – {max(quantity['ratios']):.2f})",
            goal,
            "" if number else f"{loads:.1f}",
            "" if number else f"{elsewhere:.1f}",
        )
        rows.append("   * - " + "\n     - ".join(cells))
    return rows


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _spread(quantity: Values) -> str:
    ratios = quantity["ratios"]
    return f"{quantity['ratio']:.2f} ({min(ratios):.2f}-{max(ratios):.2f})"


def _target(quantity: Values) -> str:
    unit = f" {quantity['unit']}" if quantity["is_absolute"] else ""
    if quantity["least"] is not None:
        return f"≥ {quantity['least']:g}{unit}"
    return f"≤ {quantity['most']:g}{unit}" if quantity["most"] is not None else ""
