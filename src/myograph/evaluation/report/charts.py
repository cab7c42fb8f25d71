"""Small SVG charts for the report: they scale with the page, follow its light or dark theme, and show values on hover."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np


def tip(text: str) -> str:
    """The attribute that the page's script shows as a tooltip; also read out by screen readers."""
    return f'data-tip="{escape(text)}" aria-label="{escape(text)}"'


def bars(
    names: Sequence[str],
    values: Sequence[float],
    other: Sequence[float] | None = None,
    mean: float | None = None,
    notes: Sequence[str] | None = None,
    kind: str = "",
) -> str:
    """Horizontal bars from 0 to 1, one a name, with an optional second series as dots and a line at the mean."""
    row, left, right, top = 24, 142, 48, 8
    width = 480
    inner = width - left - right
    height = top + row * len(names) + 22
    x = lambda v: left + inner * min(max(v, 0.0), 1.0)  # noqa: E731
    parts = [_open(width, height, "bars")]
    for tick in (0, 0.25, 0.5, 0.75, 1):
        parts.append(f'<line class="grid" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{top}" y2="{height - 20}"/>')
        parts.append(f'<text class="tick" x="{x(tick):.1f}" y="{height - 5}" text-anchor="middle">{tick:.0%}</text>')
    for i, (name, value) in enumerate(zip(names, values)):
        y = top + row * i
        note = f"{name}: {value:.1%}" + (f", {notes[i]}" if notes else "")
        parts.append(f'<g class="hit" tabindex="0" {tip(note)}>')
        parts.append(f'<rect class="row" x="0" y="{y}" width="{width}" height="{row}"/>')
        parts.append(f'<text x="{left - 10}" y="{y + 16}" text-anchor="end">{escape(_short(name, 18))}</text>')
        size = max(x(value) - left, 1)
        parts.append(f'<rect class="bar {kind}" x="{left}" y="{y + 4}" width="{size:.1f}" height="{row - 8}" rx="3"/>')
        if other is not None:
            parts.append(f'<circle class="other" cx="{x(other[i]):.1f}" cy="{y + row / 2}" r="5"/>')
        parts.append(f'<text class="value" x="{width - right + 6}" y="{y + 16}">{value:.1%}</text></g>')
    if mean is not None:
        parts.append(f'<line class="mean" x1="{x(mean):.1f}" x2="{x(mean):.1f}" y1="{top - 4}" y2="{height - 20}"/>')
    return "".join([*parts, "</svg>"])


def matrix(counts: np.ndarray, labels: Sequence[str]) -> str:
    """A confusion matrix, rows normalised: true labels down, predictions across."""
    n = len(labels)
    cell = 42 if n <= 14 else max(12, 560 // n)
    left = 20 + 7 * max((len(_short(name, 22)) for name in labels), default=0)
    side = cell * n
    width, height = left + side + 8, side + left + 8
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    parts = [_open(width, height, "matrix", natural=True)]
    for i, true in enumerate(labels):
        y = 4 + cell * i
        if n <= 60:
            parts.append(
                f'<text x="{left - 8}" y="{y + cell / 2 + 4:.1f}" text-anchor="end">{escape(_short(true, 22))}</text>'
            )
            x, below = left + cell * i + cell / 2 + 4, side + 14
            parts.append(
                f'<text transform="translate({x:.1f} {below}) rotate(-90)" text-anchor="end">'
                f"{escape(_short(true, 22))}</text>"
            )
        for j, predicted in enumerate(labels):
            value, count = float(share[i, j]), int(counts[i, j])
            right = "correct" if i == j else "wrong"
            what = f"{true} taken for {predicted}" if i != j else f"{true} recognised"
            parts.append(
                f'<rect class="cell {right}" x="{left + cell * j}" y="{y}" width="{cell - 1}" height="{cell - 1}" '
                f'style="--v:{value:.3f}" {tip(f"{what}: {value:.1%} ({count} of {int(counts[i].sum())} windows)")}/>'
            )
            if n <= 14 and round(100 * value):
                ink = "on" if value > 0.5 else ""
                parts.append(
                    f'<text class="pct {ink}" x="{left + cell * j + cell / 2:.1f}" y="{y + cell / 2 + 4:.1f}" '
                    f'text-anchor="middle">{100 * value:.0f}</text>'
                )
    return "".join([*parts, "</svg>"])


def signals(glimpse: dict[str, Any]) -> str:
    """A stretch of the recording, channel under channel, with the windows below it, coloured by label."""
    low, high = np.array(glimpse["low"][:8]), np.array(glimpse["high"][:8])
    n, points = low.shape
    left, lane, width = 44, 46, 960
    lanes = lane * n
    # Overlapping windows are laid on as many lanes as it takes for each to be seen.
    tracks: list[float] = []
    placed = []
    for window in glimpse["windows"]:
        track = next((k for k, stop in enumerate(tracks) if stop <= window["start_s"] + 1e-9), len(tracks))
        if track == len(tracks):
            tracks.append(0.0)
        tracks[track] = window["stop_s"]
        placed.append((track, window))
    strip = 9 * min(len(tracks), 12)
    height = lanes + strip + 40
    begin, end = glimpse["begin_s"], glimpse["begin_s"] + glimpse["step_s"] * points
    x = lambda s: left + (width - left - 8) * (s - begin) / (end - begin)  # noqa: E731
    at = x(begin + glimpse["step_s"] * (np.arange(points) + 0.5))
    parts = [_open(width, height, "signals")]
    for channel in range(n):
        middle = lane * channel + lane / 2
        centre = (low[channel] + high[channel]).mean() / 2
        reach = max(np.abs(np.concatenate([low[channel], high[channel]]) - centre).max(), 1e-9)
        up = middle - (high[channel] - centre) / reach * lane * 0.46
        down = middle - (low[channel] - centre) / reach * lane * 0.46
        outline = [*zip(at, up), *zip(at[::-1], down[::-1])]
        path = "M" + "L".join(f"{px:.1f} {py:.1f}" for px, py in outline) + "Z"
        parts.append(f'<path class="trace" d="{path}"><title>channel {channel + 1}</title></path>')
        parts.append(f'<text x="{left - 8}" y="{middle + 4}" text-anchor="end">ch {channel + 1}</text>')
    colours = {name: i for i, name in enumerate(dict.fromkeys(w["label"] for w in glimpse["windows"]))}
    for track, window in placed:
        if track >= 12:
            continue
        size = max(x(window["stop_s"]) - x(window["start_s"]) - 1, 1)
        note = f"{window['label']}: {window['start_s']:.2f} s to {window['stop_s']:.2f} s"
        parts.append(
            f'<rect class="win c{colours[window["label"]] % 6}" x="{x(window["start_s"]):.1f}" '
            f'y="{lanes + 6 + 9 * track}" width="{size:.1f}" height="7" rx="2" {tip(note)}/>'
        )
    for second in np.linspace(begin, end, 5):
        parts.append(
            f'<text class="tick" x="{x(second):.1f}" y="{height - 8}" text-anchor="middle">{second:.2f} s</text>'
        )
    return "".join([*parts, "</svg>"])


def _open(width: float, height: float, kind: str, natural: bool = False) -> str:
    size = f'style="width:{width:.0f}px;max-width:none"' if natural else ""
    return f'<svg class="chart {kind}" viewBox="0 0 {width:.0f} {height:.0f}" role="img" {size}>'


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def lines(figure: dict[str, Any]) -> str:
    """A line chart: `series` name -> values, one for each `x`; `y` names the axis."""
    width, height, left, right, top, bottom = 760, 300, 56, 170, 14, 40
    values = [v for series in figure["series"].values() for v in series if v is not None]
    low, high = min(values, default=0.0), max(values, default=1.0)
    pad = (high - low) * 0.08 or 0.05
    low, high = low - pad, high + pad
    n = max(len(figure["x"]), 2)
    px = lambda i: left + (width - left - right) * i / (n - 1)  # noqa: E731
    py = lambda v: top + (height - top - bottom) * (high - v) / (high - low)  # noqa: E731
    parts = [_open(width, height, "lines")]
    for tick in np.linspace(low + pad, high - pad, 5):
        parts.append(f'<line class="grid" x1="{left}" x2="{width - right}" y1="{py(tick):.1f}" y2="{py(tick):.1f}"/>')
        parts.append(f'<text class="tick" x="{left - 6}" y="{py(tick) + 4:.1f}" text-anchor="end">{tick:.3g}</text>')
    every = max(len(figure["x"]) // 10, 1)
    for i, name in enumerate(figure["x"]):
        if i % every == 0:
            parts.append(
                f'<text class="tick" x="{px(i):.1f}" y="{height - 20}" text-anchor="middle">{escape(str(name))}</text>'
            )
    for k, (name, series) in enumerate(figure["series"].items()):
        points = [(px(i), py(v), v) for i, v in enumerate(series) if v is not None]
        path = "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b, _ in points) if points else ""
        parts.append(f'<path class="series s{k % 6}" d="{path}"/>')
        if len(points) <= 40:
            for a, b, v in points:
                parts.append(f'<circle class="p{k % 6}" cx="{a:.1f}" cy="{b:.1f}" r="3.5" {tip(f"{name}: {v:.3g}")}/>')
        parts.append(f'<circle class="p{k % 6}" cx="{width - right + 18}" cy="{top + 12 + 20 * k}" r="5"/>')
        parts.append(f'<text x="{width - right + 30}" y="{top + 16 + 20 * k}">{escape(_short(str(name), 22))}</text>')
    parts.append(f'<text class="tick" x="{left}" y="{height - 4}">{escape(figure["y"])}</text>')
    return "".join([*parts, "</svg>"])
