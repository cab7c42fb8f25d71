"""Charts of a suite's page, as SVG: critical differences, scores against cost, calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
import pandas as pd

from myograph._common.svg import begin, shorten, tip
from myograph.evaluation.stats import Nemenyi

STYLE = """<style>
svg { background: #fff; color: #17202b; font: 12.5px system-ui, sans-serif; }
text { fill: #17202b; } .tick { fill: #5c6b7c; font-size: 11px; } .grid { stroke: #e1e6ec; }
.axis { stroke: #17202b; } .same { stroke: #17202b; stroke-width: 4; } .series { fill: none; stroke-width: 2; }
.person { fill: none; stroke: #5c6b7c; opacity: .45; } .means { fill: #17202b; } .front { fill: none; stroke: #5c6b7c; stroke-dasharray: 4 4; }
.s0 { stroke: #1668b8; } .s1 { stroke: #d9772b; } .s2 { stroke: #2a9d6f; } .s3 { stroke: #a457b8; } .s4 { stroke: #c2a01a; } .s5 { stroke: #cf4a63; }
.p0, .c0 { fill: #1668b8; } .p1 { fill: #d9772b; } .p2 { fill: #2a9d6f; } .p3 { fill: #a457b8; } .p4 { fill: #c2a01a; } .p5 { fill: #cf4a63; }
.cell.correct { fill: rgb(22 104 184 / calc(.06 + .94 * var(--v))); } .cell.wrong { fill: rgb(205 82 40 / calc(.03 + 1.6 * var(--v))); }
</style>"""


def standalone(svg: str) -> str:
    """Return a chart as a separate SVG file, with the colours of the page's light theme."""
    begin_tag, _, rest = svg.partition(">")
    return f'{begin_tag} xmlns="http://www.w3.org/2000/svg">{STYLE}{rest}'


def critical_difference(found: Nemenyi) -> str:
    """Return a critical-difference diagram (Demšar 2006, figure 1): methods at their mean ranks; a bar joins methods
    whose mean ranks are within the critical difference, that is, do not differ significantly.
    """
    names = sorted(found.mean_rank, key=lambda name: found.mean_rank[name])
    k = len(names)
    groups = cliques([found.mean_rank[name] for name in names], found.critical_difference)
    width, left, right, row = 640, 150, 150, 20
    axis = 46
    first = axis + 14 + 9 * len(groups)
    half = (k + 1) // 2
    height = first + row * half + 14
    x = lambda rank: left + (width - left - right) * (rank - 1) / max(k - 1, 1)  # noqa: E731
    parts = [begin(width, height, "critical")]
    parts.append(f'<line class="axis" x1="{x(1):.1f}" x2="{x(k):.1f}" y1="{axis}" y2="{axis}"/>')
    for rank in range(1, k + 1):
        parts.append(f'<line class="axis" x1="{x(rank):.1f}" x2="{x(rank):.1f}" y1="{axis - 5}" y2="{axis}"/>')
        parts.append(f'<text class="tick" x="{x(rank):.1f}" y="{axis - 9}" text-anchor="middle">{rank}</text>')
    long = min(x(1 + found.critical_difference), width - 10)
    parts.append(f'<line class="axis" x1="{x(1):.1f}" x2="{long:.1f}" y1="16" y2="16"/>')
    parts.append(f'<text class="tick" x="{x(1):.1f}" y="11">critical difference {found.critical_difference:.2f}</text>')
    for i, name in enumerate(names):
        rank, on_left = found.mean_rank[name], i < half
        y = first + row * (i if on_left else k - 1 - i)
        end, anchor = (left - 8, "end") if on_left else (width - right + 8, "start")
        parts.append(f'<path class="series axis" style="stroke-width:1" d="M{x(rank):.1f} {axis}V{y}H{end}"/>')
        label = f"{shorten(name, 15)} {rank:.2f}"
        parts.append(
            f'<text x="{end + (-5 if on_left else 5)}" y="{y + 4}" text-anchor="{anchor}" {tip(name)}>{escape(label)}</text>'
        )
    for i, (low, high) in enumerate(groups):
        y = axis + 8 + 9 * i
        a, b = x(found.mean_rank[names[low]]) - 4, x(found.mean_rank[names[high]]) + 4
        parts.append(f'<line class="same" x1="{a:.1f}" x2="{b:.1f}" y1="{y}" y2="{y}"/>')
    return "".join([*parts, "</svg>"])


def cliques(ranks: Sequence[float], within: float) -> list[tuple[int, int]]:
    """Return the first and last position of each maximal run of sorted ranks within a distance.

    >>> cliques([1.0, 1.5, 2.4, 4.0], within=1.0)
    [(0, 1), (1, 2)]
    """
    found: list[tuple[int, int]] = []
    for i, rank in enumerate(ranks):
        last = max(j for j in range(i, len(ranks)) if ranks[j] - rank <= within)
        if last > i and (not found or last > found[-1][1]):
            found.append((i, last))
    return found


def front(cost: Sequence[float], score: Sequence[float]) -> list[int]:
    """Return the positions of the Pareto-optimal points (no other point is better in both cost and score), by rising
    cost.

    >>> front([1.0, 2.0, 3.0], [0.8, 0.7, 0.9])
    [0, 2]
    """
    found: list[int] = []
    for i in sorted(range(len(cost)), key=lambda i: (cost[i], -score[i])):
        if not found or score[i] > score[found[-1]]:
            found.append(i)
    return found


def against_cost(table: pd.DataFrame, cost: str, score: str) -> str:
    """Return a chart of score over cost (logarithmic axis), one point per method; a dashed line joins the Pareto front.

    table : columns method, `cost` (above 0) and `score`.
    """
    width, height, left, right, top, bottom = 640, 320, 56, 120, 16, 44
    at = np.log10(table[cost].to_numpy(float))
    value = table[score].to_numpy(float)
    low, high = float(at.min()) - 0.1, float(at.max()) + 0.1
    floor, roof = float(value.min()) - 0.02, float(value.max()) + 0.02
    x = lambda v: left + (width - left - right) * (v - low) / (high - low)  # noqa: E731
    y = lambda v: top + (height - top - bottom) * (roof - v) / (roof - floor)  # noqa: E731
    parts = [begin(width, height, "scatter")]
    for tick in np.linspace(floor, roof, 5):
        parts.append(f'<line class="grid" x1="{left}" x2="{width - right}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        parts.append(f'<text class="tick" x="{left - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:.2f}</text>')
    for tick in np.linspace(low, high, 5):
        text = f"{10**tick:.3g}"
        parts.append(f'<text class="tick" x="{x(tick):.1f}" y="{height - 24}" text-anchor="middle">{text}</text>')
    best = front(at.tolist(), value.tolist())
    path = "M" + "L".join(f"{x(at[i]):.1f} {y(value[i]):.1f}" for i in best)
    parts.append(f'<path class="front" d="{path}"/>')
    for i, name in enumerate(table["method"]):
        note = tip(f"{name}: {score} {value[i]:.3f}, {cost} {10 ** at[i]:.4g}")
        parts.append(f'<circle class="p{i % 6}" cx="{x(at[i]):.1f}" cy="{y(value[i]):.1f}" r="5" {note}/>')
        parts.append(f'<text x="{x(at[i]) + 8:.1f}" y="{y(value[i]) + 4:.1f}">{escape(shorten(str(name), 18))}</text>')
    parts.append(f'<text class="tick" x="{left}" y="{height - 6}">{escape(cost)}</text>')
    return "".join([*parts, "</svg>"])


def calibration(curves: Mapping[str, pd.DataFrame]) -> str:
    """Return a chart of accuracy over confidence, one line per method; the diagonal is perfect calibration.

    curves : method to a table with columns confidence and accuracy, one row per bin.
    """
    width, height, left, right, top, bottom = 520, 340, 48, 150, 14, 40
    x = lambda v: left + (width - left - right) * v  # noqa: E731
    y = lambda v: top + (height - top - bottom) * (1 - v)  # noqa: E731
    parts = [begin(width, height, "calibration")]
    for tick in (0, 0.25, 0.5, 0.75, 1):
        parts.append(f'<line class="grid" x1="{left}" x2="{x(1):.1f}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        parts.append(f'<text class="tick" x="{left - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:.2f}</text>')
        parts.append(f'<text class="tick" x="{x(tick):.1f}" y="{height - 22}" text-anchor="middle">{tick:.2f}</text>')
    parts.append(f'<path class="front" d="M{x(0)} {y(0)}L{x(1)} {y(1)}"/>')
    for k, (name, curve) in enumerate(curves.items()):
        points = list(zip(curve["confidence"].tolist(), curve["accuracy"].tolist()))
        path = "M" + "L".join(f"{x(a):.1f} {y(b):.1f}" for a, b in points)
        parts.append(f'<path class="series s{k % 6}" d="{path}"/>')
        for a, b in points:
            note = tip(f"{name}: {b:.3f} correct at confidence {a:.3f}")
            parts.append(f'<circle class="p{k % 6}" cx="{x(a):.1f}" cy="{y(b):.1f}" r="3.5" {note}/>')
        parts.append(f'<circle class="p{k % 6}" cx="{x(1) + 14:.1f}" cy="{top + 12 + 20 * k}" r="5"/>')
        parts.append(f'<text x="{x(1) + 24:.1f}" y="{top + 16 + 20 * k}">{escape(shorten(name, 18))}</text>')
    parts.append(
        f'<text class="tick" x="{left}" y="{height - 4}">confidence; vertical axis: fraction of correct windows</text>'
    )
    return "".join([*parts, "</svg>"])
