"""SVG charts of the report: they scale with the page, follow its light or dark theme, and show values on hover."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from myograph._common.svg import begin, shorten, tip

FEW_LABELS = 14  # a confusion matrix of more has no numbers in its cells
MOST_NAMED = 60  # and of more than this, no names
LONGEST_LABEL = 18


def bars(
    names: Sequence[str],
    values: Sequence[float],
    other: Sequence[float] | None = None,
    mean: float | None = None,
    notes: Sequence[str] | None = None,
    kind: str = "",
) -> str:
    """Horizontal bars from 0 to 1, one per name.

    Parameters
    ----------
    names, values : name and value of each bar; values are fractions.
    other : a second series, drawn as dots.
    mean : position of a vertical line.
    notes : text of each bar's tooltip.
    kind : class of the bars in the style, such as "leaky".

    >>> bars(["a", "b"], [0.5, 0.75], other=[0.25, 0.5]).count("<circle")
    2
    """
    longest = min(max(map(len, names), default=0), 24)
    row, left, right, top, width = 24, max(142, 26 + 8 * longest), 48, 8, 480
    inner = width - left - right
    height = top + row * len(names) + 22
    x = lambda v: left + inner * min(max(v, 0.0), 1.0)  # noqa: E731
    parts = [begin(width, height, "bars")]
    for tick in (0, 0.25, 0.5, 0.75, 1):
        parts.append(f'<line class="grid" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{top}" y2="{height - 20}"/>')
        parts.append(f'<text class="tick" x="{x(tick):.1f}" y="{height - 5}" text-anchor="middle">{tick:.0%}</text>')
    for i, (name, value) in enumerate(zip(names, values)):
        y = top + row * i
        note = f"{name}: {value:.1%}" + (f", {notes[i]}" if notes else "")
        parts.append(f'<g class="hit" tabindex="0" {tip(note)}>')
        parts.append(f'<rect class="row" x="0" y="{y}" width="{width}" height="{row}"/>')
        parts.append(f'<text x="{left - 10}" y="{y + 16}" text-anchor="end">{escape(shorten(name, longest))}</text>')
        size = max(x(value) - left, 1)
        parts.append(f'<rect class="bar {kind}" x="{left}" y="{y + 4}" width="{size:.1f}" height="{row - 8}" rx="3"/>')
        if other is not None:
            parts.append(f'<circle class="other" cx="{x(other[i]):.1f}" cy="{y + row / 2}" r="5"/>')
        parts.append(f'<text class="value" x="{width - right + 6}" y="{y + 16}">{value:.1%}</text></g>')
    if mean is not None:
        parts.append(f'<line class="mean" x1="{x(mean):.1f}" x2="{x(mean):.1f}" y1="{top - 4}" y2="{height - 20}"/>')
    return "".join([*parts, "</svg>"])


def twins(names: Sequence[str], values: Sequence[tuple[float, float]]) -> str:
    """Two bars from 0 to 1 per name: the leaky score, and below it the honest one.

    >>> twins(["random split"], [(0.99, 0.7)]).count("<rect")
    2
    """
    row, left, right, top, width = 40, 300, 110, 8, 760
    height = top + row * len(names) + 24
    x = lambda v: left + (width - left - right) * min(max(v, 0.0), 1.0)  # noqa: E731
    parts = [begin(width, height, "dots")]
    for tick in (0, 0.25, 0.5, 0.75, 1):
        parts.append(f'<line class="grid" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{top}" y2="{height - 22}"/>')
        parts.append(f'<text class="tick" x="{x(tick):.1f}" y="{height - 6}" text-anchor="middle">{tick:.0%}</text>')
    for i, (name, pair) in enumerate(zip(names, values)):
        y = top + row * i
        parts.append(f'<text x="{left - 12}" y="{y + 22}" text-anchor="end">{escape(shorten(name, 44))}</text>')
        for kind, colour, value, below in (("LEAKY", "bad", pair[0], 4), ("honest", "good", pair[1], 19)):
            size, note = max(x(value) - left, 1), tip(f"{name}, {kind}: {value:.1%}")
            parts.append(f'<rect class="{colour}" x="{left}" y="{y + below}" width="{size:.1f}" height="13" {note}/>')
            parts.append(f'<text class="value" x="{x(value) + 6:.1f}" y="{y + below + 11}">{kind} {value:.1%}</text>')
    return "".join([*parts, "</svg>"])


def reliability(bins: pd.DataFrame) -> str:
    """A reliability diagram: one dot per bin of the confidence, with a size that grows with the number of windows, and
    the diagonal on which confidence equals accuracy.

    Parameters
    ----------
    bins : result of `myograph.evaluation.metrics.reliability`.

    >>> reliability(pd.DataFrame({"confidence": [0.75], "accuracy": [0.5], "n": [2]})).count("<circle")
    1
    """
    left, right, top, inner = 64, 24, 12, 320
    width, height = left + inner + right, top + inner + 50
    x = lambda v: left + inner * v  # noqa: E731
    y = lambda v: top + inner * (1 - v)  # noqa: E731
    parts = [begin(width, height, "reliability", natural=True).replace("max-width:none", "max-width:100%")]
    for tick in (0, 0.25, 0.5, 0.75, 1):
        parts.append(f'<line class="grid" x1="{left}" x2="{x(1)}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        parts.append(f'<text class="tick" x="{left - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:.0%}</text>')
        parts.append(f'<text class="tick" x="{x(tick):.1f}" y="{y(0) + 18:.1f}" text-anchor="middle">{tick:.0%}</text>')
    parts.append(f'<line class="mean" x1="{x(0)}" x2="{x(1)}" y1="{y(0)}" y2="{y(1)}"/>')
    points = [(x(c), y(a)) for c, a in zip(bins["confidence"], bins["accuracy"])]
    path = "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in points)
    parts.append(f'<path class="person" d="{path}"/>')
    total = bins["n"].sum()
    for (a, b), row in zip(points, bins.to_dict("records")):
        note = f"confidence {row['confidence']:.1%}, accuracy {row['accuracy']:.1%}, {row['n']} windows"
        parts.append(
            f'<circle class="c0" cx="{a:.1f}" cy="{b:.1f}" r="{3 + 10 * (row["n"] / total) ** 0.5:.1f}" {tip(note)}/>'
        )
    parts.append(f'<text class="tick" x="{x(0.5):.1f}" y="{height - 8}" text-anchor="middle">confidence</text>')
    parts.append(
        f'<text class="tick" transform="translate(14 {y(0.5):.1f}) rotate(-90)" text-anchor="middle">accuracy</text>'
    )
    return "".join([*parts, "</svg>"])


def matrix(counts: np.ndarray, labels: Sequence[str]) -> str:
    """A confusion matrix with normalised rows: one row per true label, one column per predicted label.

    A cell shows its share of the row in percent, if there are few labels and the share rounds to 1 % or more.

    Parameters
    ----------
    counts : (label, label) numbers of windows.
    labels : names of the labels.

    >>> matrix(np.array([[3, 1], [0, 4]]), ["rest", "fist"]).count('class="cell')
    4
    """
    n = len(labels)
    few = n <= FEW_LABELS
    cell, letter, font = (22, 7.2, "") if few else (12, 5.8, 'style="font-size:10px"')
    left = 12 + letter * max((len(shorten(name, LONGEST_LABEL)) for name in labels), default=0)
    side = cell * n
    width, height = left + side + 4, side + left + 4
    # Few labels fit the width of a phone; a chart of many is scrolled there.
    size = f"width:100%;max-width:{(1.5 if few else 1) * width:.0f}px;min-width:{0 if few else 0.9 * width:.0f}px"
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    parts = [f'<svg class="chart matrix" viewBox="0 0 {width:.0f} {height:.0f}" role="img" style="{size}">']
    for i, true in enumerate(labels):
        y = 2 + cell * i
        if n <= MOST_NAMED:
            name = escape(shorten(true, LONGEST_LABEL))
            parts.append(f'<text x="{left - 6:.1f}" y="{y + cell / 2 + 4:.1f}" text-anchor="end" {font}>{name}</text>')
            x, below = left + cell * i + cell / 2 + 4, side + 10
            turned = f"translate({x:.1f} {below}) rotate(-90)"
            parts.append(f'<text transform="{turned}" text-anchor="end" {font}>{name}</text>')
        for j, predicted in enumerate(labels):
            value, count = float(share[i, j]), int(counts[i, j])
            right, x = "correct" if i == j else "wrong", left + cell * j
            what = f"{true} classified as {predicted}"
            parts.append(
                f'<rect class="cell {right}" x="{x:.1f}" y="{y}" width="{cell - 1}" height="{cell - 1}" '
                f'style="--v:{value:.3f}" {tip(f"{what}: {value:.1%} ({count} of {int(counts[i].sum())} windows)")}/>'
            )
            if few and round(100 * value):
                ink, middle = "on" if value > 0.6 else "", f'x="{x + cell / 2:.1f}" y="{y + cell / 2 + 4:.1f}"'
                parts.append(f'<text class="pct {ink}" {middle} text-anchor="middle">{100 * value:.0f}</text>')
    return "".join([*parts, "</svg>"])


def signals(glimpse: dict[str, Any]) -> str:
    """A segment of a recording, one channel below the other, with windows at the bottom, coloured by label.

    Parameters
    ----------
    glimpse : `low` and `high`, (channel, point) envelopes of the signal, of which the first 8 channels are drawn;
        `begin_s` and `step_s` of the points; `windows` with `start_s`, `stop_s` and `label` each.

    >>> window = {"start_s": 0.1, "stop_s": 0.3, "label": "fist"}
    >>> glimpse = {"low": [[-1.0, -2.0]], "high": [[1.0, 2.0]], "begin_s": 0.0, "step_s": 0.2, "windows": [window]}
    >>> signals(glimpse).count('class="win')
    1
    """
    low, high = np.array(glimpse["low"][:8]), np.array(glimpse["high"][:8])
    n, points = low.shape
    left, lane, width = 44, 46, 960
    lanes = lane * n
    # Overlapping windows are drawn on separate lanes so that each is visible.
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
    start, end = glimpse["begin_s"], glimpse["begin_s"] + glimpse["step_s"] * points
    x = lambda s: left + (width - left - 8) * (s - start) / (end - start)  # noqa: E731
    at = x(start + glimpse["step_s"] * (np.arange(points) + 0.5))
    parts = [begin(width, height, "signals")]
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
    for i, second in enumerate(np.linspace(start, end, 5)):
        anchor = ("start", "middle", "middle", "middle", "end")[i]
        parts.append(
            f'<text class="tick" x="{x(second):.1f}" y="{height - 8}" text-anchor="{anchor}">{second:.2f} s</text>'
        )
    return "".join([*parts, "</svg>"])


def paired(values: pd.DataFrame) -> str:
    """One line per row of the table across the columns, and a bar at the mean of each column.

    Parameters
    ----------
    values : one row per person (or fold), one column per run.

    >>> paired(pd.DataFrame({"lda": [0.5, 0.6], "svm": [0.6, 0.8]}, index=["anna", "ben"])).count('class="person"')
    2
    """
    n = values.shape[1]
    left, step, top, inner = 48, 165, 14, 260
    width, height = left + step * n, top + inner + 44
    low, high = float(values.min().min()), float(values.max().max())
    pad = (high - low) * 0.08 or 0.05
    low, high = low - pad, high + pad
    x = lambda i: left + step * (i + 0.5)  # noqa: E731
    y = lambda v: top + inner * (high - v) / (high - low)  # noqa: E731
    parts = [begin(width, height, "paired", natural=True)]
    for tick in np.linspace(low + pad, high - pad, 5):
        parts.append(f'<line class="grid" x1="{left}" x2="{width}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        parts.append(f'<text class="tick" x="{left - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:.2f}</text>')
    for who, row in zip(values.index, values.to_numpy(float)):
        path = "M" + "L".join(f"{x(i):.1f} {y(v):.1f}" for i, v in enumerate(row))
        parts.append(f'<path class="person" d="{path}"/>')
        for i, v in enumerate(row):
            note = tip(f"{who}, {values.columns[i]}: {v:.3f}")
            parts.append(f'<circle class="c0" cx="{x(i):.1f}" cy="{y(v):.1f}" r="4" {note}/>')
    for i, (name, mean) in enumerate(values.mean().items()):
        parts.append(f'<rect class="means" x="{x(i) - 26:.1f}" y="{y(mean) - 1.5:.1f}" width="52" height="3"/>')
        label = escape(shorten(str(name), 26))
        parts.append(f'<text x="{x(i):.1f}" y="{height - 18}" text-anchor="middle">{label}</text>')
    return "".join([*parts, "</svg>"])


def dots(
    names: Sequence[str],
    values: Sequence[Sequence[float]],
    honest: Sequence[Sequence[float] | None] | None = None,
    leaky: Sequence[bool] | None = None,
) -> str:
    """One row per name with a dot per value (of a person or fold) and a bar at the mean.

    Parameters
    ----------
    names : names of the rows.
    values : values of each row, as fractions.
    honest : the honest values of each leaky row, None for other rows.
    leaky : rows whose dots are drawn in the colour of a warning.

    >>> dots(["a"], [[0.5, 0.7]]).count("<circle")
    2
    """
    row, left, right, top, width = 26, 300, 60, 8, 760
    everything = [v for each in [*values, *(h for h in honest or () if h)] for v in each if np.isfinite(v)]
    low = np.floor((min(everything, default=0.0) - 0.02) * 10) / 10
    high = min(1.0, np.ceil((max(everything, default=1.0) + 0.02) * 10) / 10)
    height = top + row * len(names) + 24
    x = lambda v: left + (width - left - right) * (v - low) / (high - low)  # noqa: E731
    parts = [begin(width, height, "dots")]
    spacing = 0.1 if high - low < 0.75 else 0.2
    for tick in np.arange(np.ceil(low / spacing - 1e-9) + 0.0, high / spacing + 1e-9) * spacing:
        parts.append(f'<line class="grid" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{top}" y2="{height - 22}"/>')
        parts.append(f'<text class="tick" x="{x(tick):.1f}" y="{height - 6}" text-anchor="middle">{tick:.0%}</text>')
    for i, name in enumerate(names):
        y = top + row * (i + 0.5)
        parts.append(f'<text x="{left - 12}" y="{y + 4:.1f}" text-anchor="end">{escape(shorten(name, 44))}</text>')
        kind = "bad" if leaky and leaky[i] else "c0"
        # Honest dots are drawn slightly lower, so that they do not cover the leaky ones.
        for each, colour, below in ((values[i], kind, 0), ((honest[i] if honest else None) or (), "good", 6)):
            for v in each:
                note = tip(f"{name}{', honest' if colour == 'good' else ''}: {v:.1%}")
                parts.append(f'<circle class="{colour}" cx="{x(v):.1f}" cy="{y + below:.1f}" r="4" {note}/>')
            if len(each):
                mean = float(np.mean(each))
                parts.append(
                    f'<rect class="means" x="{x(mean) - 1.5:.1f}" y="{y + below - 9:.1f}" width="3" height="18"/>'
                )
        parts.append(f'<text class="value" x="{width - right + 8}" y="{y + 4:.1f}">{np.mean(values[i]):.1%}</text>')
    return "".join([*parts, "</svg>"])


def ecdf(panels: Mapping[str, Mapping[str, Sequence[float]]], x: str, least: float = -np.inf) -> str:
    """Empirical distribution functions: the share of values at or below each value, two panels side by side.

    Parameters
    ----------
    panels : title of a panel to its series, name to values; every panel has the same names.
    x : name of the horizontal axis, which all panels share.
    least : where the axis begins if there are lower values; lines then begin above 0 %.

    >>> ecdf({"RMS": {"now": [0.5, 0.75], "later": [0.25]}}, "R²").count("<path")
    2
    """
    values = np.concatenate([np.asarray(v, float) for series in panels.values() for v in series.values()])
    low, high = max(float(values.min()), least), float(values.max())
    low, high = (low, high) if high > low else (low - 0.05, high + 0.05)
    width, side, tall, left, top = 760, 310, 150, 56, 24
    rows = -(-len(panels) // 2)
    height = rows * (tall + 70) + 24
    parts = [begin(width, height, "ecdf")]
    for k, (title, series) in enumerate(panels.items()):
        x0, y0 = left + (k % 2) * (side + 70), top + (k // 2) * (tall + 70)
        px = lambda v, x0=x0: x0 + side * (min(max(v, low), high) - low) / (high - low)  # noqa: E731
        py = lambda share, y0=y0: y0 + tall * (1 - share)  # noqa: E731
        parts.append(f'<text x="{x0}" y="{y0 - 8}">{escape(title)}</text>')
        for tick in (0, 0.5, 1):
            parts.append(f'<line class="grid" x1="{x0}" x2="{x0 + side}" y1="{py(tick):.1f}" y2="{py(tick):.1f}"/>')
            parts.append(
                f'<text class="tick" x="{x0 - 6}" y="{py(tick) + 4:.1f}" text-anchor="end">{100 * tick:.0f} %</text>'
            )
        for tick in np.linspace(low, high, 5):
            parts.append(f'<line class="grid" x1="{px(tick):.1f}" x2="{px(tick):.1f}" y1="{y0}" y2="{y0 + tall}"/>')
            parts.append(
                f'<text class="tick" x="{px(tick):.1f}" y="{y0 + tall + 15}" text-anchor="middle">{tick:.2g}</text>'
            )
        parts.append(f'<text class="tick" x="{x0}" y="{y0 + tall + 30}">{escape(x)}</text>')
        for c, (name, each) in enumerate(series.items()):
            ordered = np.sort(np.asarray(each, float))
            path = f"M{px(low):.1f} {py(0):.1f}"
            for i, v in enumerate(ordered):
                path += f"H{px(v):.1f}V{py((i + 1) / len(ordered)):.1f}"
            note = tip(f"{title}, {name}: median {np.median(ordered):.3g}, n = {len(ordered)}")
            parts.append(f'<path class="series s{c % 6}" d="{path}H{px(high):.1f}" {note}/>')
    for c, name in enumerate(next(iter(panels.values()))):
        parts.append(f'<circle class="p{c % 6}" cx="{left + 6 + 130 * c}" cy="{height - 16}" r="5"/>')
        parts.append(f'<text x="{left + 18 + 130 * c}" y="{height - 12}">{escape(shorten(name, 15))}</text>')
    return "".join([*parts, "</svg>"])
