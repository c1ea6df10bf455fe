"""Ratios as a picture: SVG, by hand."""

import math
import statistics
from typing import NamedTuple
from xml.sax.saxutils import escape

ROW, LEFT, RIGHT, TOP = 20, 430, 30, 34  # pixels
WIDTH = 960
MARKS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20)
REACHED, MISSED, QUIET = "#2a6f97", "#c1440e", "#999"


class Bar(NamedTuple):
    """A row of the picture.

    Attributes:
        label: what it is the ratio of.
        ratios: of all pairs.
        least: that was to be reached, where more is better.
        most: that was to be kept below, where less is.
    """

    label: str
    ratios: list[float]
    least: float | None
    most: float | None

    @property
    def is_reached(self) -> bool:
        """Whether the median is where it was to be."""
        median = statistics.median(self.ratios)
        return median >= self.least if self.least is not None else median <= (self.most or 0)


def plot(bars: list[Bar]) -> str:
    """Return a picture of the bars: every ratio a dot, the median a bigger one, on a logarithmic scale."""
    height = TOP + ROW * len(bars) + 10
    values = [value for bar in bars for value in (*bar.ratios, bar.least or bar.most or 1) if value > 0]
    lowest, highest = min([0.5, *values]) / 1.1, max([2.0, *values]) * 1.1
    scale = (WIDTH - LEFT - RIGHT) / math.log(highest / lowest)

    def x(value: float) -> str:
        return f"{LEFT + math.log(max(value, lowest) / lowest) * scale:.1f}"

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
    ]
    for mark in MARKS:
        if lowest <= mark <= highest:
            colour, width = ("#333", 1.5) if mark == 1 else ("#ddd", 1)
            parts += [
                f'<line x1="{x(mark)}" x2="{x(mark)}" y1="{TOP - 8}" y2="{height - 6}" '
                f'stroke="{colour}" stroke-width="{width}"/>',
                f'<text x="{x(mark)}" y="{TOP - 14}" text-anchor="middle">× {mark:g}</text>',
            ]
    for number, bar in enumerate(bars):
        y = TOP + ROW * number + ROW // 2
        colour = REACHED if bar.is_reached else MISSED
        goal = bar.least if bar.least is not None else bar.most or 1
        low, high = min(bar.ratios), max(bar.ratios)
        parts.append(f'<text x="{LEFT - 10}" y="{y + 4}" text-anchor="end">{escape(bar.label)}</text>')
        parts.append(f'<line x1="{x(low)}" x2="{x(high)}" y1="{y}" y2="{y}" stroke="{colour}"/>')
        at = f'x1="{x(goal)}" x2="{x(goal)}" y1="{y - 8}" y2="{y + 8}"'
        parts.append(f'<line {at} stroke="{QUIET}" stroke-width="3"/>')
        parts += [f'<circle cx="{x(ratio)}" cy="{y}" r="2.5" fill="{colour}"/>' for ratio in bar.ratios]
        parts.append(f'<circle cx="{x(statistics.median(bar.ratios))}" cy="{y}" r="5" fill="{colour}"/>')
    return "\n".join((*parts, "</svg>", ""))
