"""Line charts as SVG text: they scale with the page, follow its colours, and need no plotting library."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

# For a page without a style; pages of the report set these colours for both themes.
STYLE = """<style>
:root { color-scheme: light dark; }
body { font: 15px system-ui, sans-serif; max-width: 800px; margin: 24px auto; padding: 0 12px; }
.chart { width: 100%; height: auto; font: 12.5px system-ui, sans-serif; } .chart text { fill: currentColor; }
.grid { stroke: currentColor; opacity: .15; } .mark { stroke: currentColor; stroke-dasharray: 3 4; opacity: .6; }
.series { fill: none; stroke-width: 2; }
.s0 { stroke: #1668b8; } .s1 { stroke: #d9772b; } .s2 { stroke: #2a9d6f; }
.s3 { stroke: #a457b8; } .s4 { stroke: #c2a01a; } .s5 { stroke: #cf4a63; }
.p0 { fill: #1668b8; } .p1 { fill: #d9772b; } .p2 { fill: #2a9d6f; }
.p3 { fill: #a457b8; } .p4 { fill: #c2a01a; } .p5 { fill: #cf4a63; }
</style>"""


def tip(text: str) -> str:
    """Return the attribute that the report's script shows as a tooltip; screen readers also read it."""
    return f'data-tip="{escape(text)}" aria-label="{escape(text)}"'


def begin(width: float, height: float, kind: str, natural: bool = False) -> str:
    """Return the opening tag of a chart; a `natural` chart keeps its size instead of filling the page."""
    size = f'style="width:{width:.0f}px;max-width:none"' if natural else ""
    return f'<svg class="chart {kind}" viewBox="0 0 {width:.0f} {height:.0f}" role="img" {size}>'


def shorten(text: str, most: int) -> str:
    """Return the text, shortened with an ellipsis to at most `most` characters."""
    return text if len(text) <= most else text[: most - 1] + "…"


def lines(
    x: Sequence[Any],
    series: Mapping[str, Sequence[float | None]],
    y: str,
    mark: int | None = None,
    dotted: Collection[str] = (),
) -> str:
    """A line chart.

    Parameters
    ----------
    x : names of the positions on the horizontal axis.
    series : name to one value per position, None for a missing value.
    y : name of the vertical axis.
    mark : position of a dotted vertical line.
    dotted : names of series that are drawn dotted; they take the colours of the others, in the same order.

    >>> lines([1, 2], {"loss": [0.5, 0.25]}, "loss").count("<circle")
    3
    >>> lines([1, 2], {"ours": [0.5, 0.25], "paper": [0.6, 0.2]}, "loss", dotted=["paper"]).count("dasharray")
    1
    """
    width, height, left, right, top, bottom = 760, 300, 56, 170, 14, 40
    values = [v for each in series.values() for v in each if v is not None and np.isfinite(v)]
    low, high = min(values, default=0.0), max(values, default=1.0)
    pad = (high - low) * 0.08 or 0.05
    low, high = low - pad, high + pad
    steps = max(len(x) - 1, 1)
    px = lambda i: left + (width - left - right) * i / steps  # noqa: E731
    py = lambda v: top + (height - top - bottom) * (high - v) / (high - low)  # noqa: E731
    parts = [begin(width, height, "lines")]
    for tick in round_between(low, high):
        parts.append(f'<line class="grid" x1="{left}" x2="{width - right}" y1="{py(tick):.1f}" y2="{py(tick):.1f}"/>')
        parts.append(f'<text class="tick" x="{left - 6}" y="{py(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>')
    if mark is not None:
        parts.append(f'<line class="mark" x1="{px(mark):.1f}" x2="{px(mark):.1f}" y1="{top}" y2="{height - bottom}"/>')
    for i in range(0, len(x), max(len(x) // 10, 1)):
        name = escape(str(x[i]))
        parts.append(f'<text class="tick" x="{px(i):.1f}" y="{height - 20}" text-anchor="middle">{name}</text>')
    groups = [[n for n in series if n not in dotted], [n for n in series if n in dotted]]
    colour = {name: i % 6 for group in groups for i, name in enumerate(group)}
    for k, (name, each) in enumerate(series.items()):
        c, dash = colour[name], ' stroke-dasharray="2 5"' if name in dotted else ""
        points = [(px(i), py(v), v) for i, v in enumerate(each) if v is not None and np.isfinite(v)]
        path = "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b, _ in points) if points else ""
        parts.append(f'<path class="series s{c}" d="{path}"{dash}/>')
        if len(points) <= 40:
            for a, b, v in points:
                parts.append(f'<circle class="p{c}" cx="{a:.1f}" cy="{b:.1f}" r="3.5" {tip(f"{name}: {v:.3g}")}/>')
        radius = 3 if name in dotted else 5
        parts.append(f'<circle class="p{c}" cx="{width - right + 18}" cy="{top + 12 + 20 * k}" r="{radius}"/>')
        parts.append(f'<text x="{width - right + 30}" y="{top + 16 + 20 * k}">{escape(shorten(str(name), 22))}</text>')
    parts.append(f'<text class="tick" x="{left}" y="{height - 4}">{escape(y)}</text>')
    return "".join([*parts, "</svg>"])


def round_between(low: float, high: float) -> list[float]:
    """Return three to six round numbers between two different numbers, for the lines of a grid.

    >>> round_between(0.838, 0.926), round_between(-3, 212)
    ([0.84, 0.86, 0.88, 0.9, 0.92], [0.0, 50.0, 100.0, 150.0, 200.0])
    """
    least = (high - low) / 5
    power = 10.0 ** np.floor(np.log10(least))
    step = next(n * power for n in (1, 2, 2.5, 5, 10) if n * power >= least * (1 - 1e-9))
    places = np.arange(np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9) + 1)
    return [float(f"{n * step:.6g}") + 0.0 for n in places]  # -0.0 + 0.0 is 0.0


def standalone(chart: str) -> str:
    """Return a chart as a separate SVG file that contains its style."""
    style = STYLE.replace("body {", "svg {").replace("max-width: 800px; margin: 24px auto; padding: 0 12px;", "")
    opening, rest = chart.split(">", 1)
    return f'{opening} xmlns="http://www.w3.org/2000/svg">{style}{rest}\n'
