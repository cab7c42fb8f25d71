"""SVG charts of decisions in time: prompts and decisions, latency, and Fitts' law."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from myograph._common.runs import run_starts
from myograph._common.svg import begin, tip

ROW_S = 60.0
MOST_ROWS = 30
COLOURS = 6  # colours of the report's style, c0 to c5


def timeline(truth: Sequence[str], decided: Sequence[str], time_s: Sequence[float], step_s: float, rest: str) -> str:
    """Return a chart of prompts (above) and decisions (below), in rows of a minute or more; rest is left blank.

    The first row is the row of the first decision.

    truth : (decision,) "" if unknown. time_s : (decision,) time of each decision.
    """
    if not len(time_s):
        return ""
    end = float(time_s[-1])
    row_s = max(ROW_S, ROW_S * math.ceil((end - float(time_s[0])) / ROW_S / MOST_ROWS))
    first = int(float(time_s[0]) // row_s)
    rows = max(math.ceil(end / row_s) - first, 1)
    left, width, strip, gap = 56, 960, 14, 14
    row_height = 2 * strip + gap
    parts = [begin(width, rows * row_height + 22, "timeline")]
    colour = {name: i % COLOURS for i, name in enumerate(sorted({*truth, *decided} - {"", rest}))}
    x = lambda s: left + (width - left - 8) * s / row_s  # noqa: E731
    for row in range(rows):
        top = row * row_height
        parts.append(
            f'<text class="tick" x="{left - 8}" y="{top + strip + 4}" text-anchor="end">{(first + row) * row_s:.0f} s</text>'
        )
        for k in range(2):
            y = top + k * strip
            parts.append(f'<rect class="lane" x="{left}" y="{y}" width="{width - left - 8}" height="{strip - 2}"/>')
    for lane, names in enumerate((truth, decided)):
        for start, stop, name in _spans(names, time_s, step_s):
            if name in ("", rest):
                continue
            for row in range(int(start // row_s), int(min(stop, end - 1e-9) // row_s) + 1):
                a, b = max(start, row * row_s), min(stop, (row + 1) * row_s)
                note = f"{('prompted', 'decided')[lane]} {name}, {start:.2f} s to {stop:.2f} s"
                parts.append(
                    f'<rect class="c{colour[name]}" x="{x(a - row * row_s):.1f}" y="{(row - first) * row_height + lane * strip}" '
                    f'width="{max(x(b) - x(a), 0.8):.1f}" height="{strip - 2}" {tip(note)}/>'
                )
    for tick in np.linspace(0, row_s, 7):
        y, anchor = rows * row_height + 8, "end" if tick == row_s else "middle"
        parts.append(f'<text class="tick" x="{x(tick):.1f}" y="{y}" text-anchor="{anchor}">{tick:.0f} s</text>')
    return "".join([*parts, "</svg>", legend(colour)])


def legend(colour: Mapping[str, int]) -> str:
    """Return the legend: names beside their colours."""
    keys = "".join(
        f'<span class="key"><svg width="12" height="12" aria-hidden="true"><rect class="c{i}" width="12" height="12" rx="3"/>'
        f"</svg>{escape(name)}</span>"
        for name, i in colour.items()
    )
    return f'<p class="small soft">{keys}</p>'


def histogram(values: Sequence[float], unit: str, marks: Mapping[str, float]) -> str:
    """Return a histogram of values up to the 99.5th percentile; `marks` are drawn as lines with their names."""
    found = np.asarray(values, float)
    found = found[np.isfinite(found)]
    if not len(found):
        return ""
    high = max(float(np.percentile(found, 99.5)), *marks.values(), 1e-9) * 1.05
    counts, edges = np.histogram(found, bins=40, range=(0, high))
    left, width, height, top = 12, 480, 190, 18
    x = lambda v: left + (width - 2 * left) * v / high  # noqa: E731
    y = lambda n: height - 24 - (height - 24 - top) * n / max(counts.max(), 1)  # noqa: E731
    parts = [begin(width, height, "histogram")]
    for n, a, b in zip(counts, edges, edges[1:]):
        note = tip(f"{a:.2g} to {b:.2g} {unit}: {n} decisions")
        parts.append(
            f'<rect class="bar" x="{x(a):.1f}" y="{y(n):.1f}" width="{max(x(b) - x(a) - 1, 1):.1f}" '
            f'height="{y(0) - y(n):.1f}" {note}/>'
        )
    for tick, anchor in zip(np.linspace(0, high, 5), ("start", *["middle"] * 3, "end")):
        parts.append(
            f'<text class="tick" x="{x(tick):.1f}" y="{height - 8}" text-anchor="{anchor}">{tick:.3g} {escape(unit)}</text>'
        )
    for name, value in marks.items():
        parts.append(f'<line class="mean" x1="{x(value):.1f}" x2="{x(value):.1f}" y1="{top}" y2="{height - 24}"/>')
        parts.append(f'<text class="tick" x="{x(value):.1f}" y="{top - 5}" text-anchor="middle">{escape(name)}</text>')
    return "".join([*parts, "</svg>"])


def movement_times(rows: Sequence[Mapping[str, float]], line: Mapping[str, float]) -> str:
    """Return a chart of movement time over index of difficulty, one point per reached target, with the regression line."""
    points = [(r["difficulty"], r["movement_s"]) for r in rows if r["completed"]]
    if not points:
        return ""
    left, width, height, top = 44, 480, 240, 10
    x_high = max(p[0] for p in points) * 1.1
    y_high = max(p[1] for p in points) * 1.15
    x = lambda v: left + (width - left - 12) * v / x_high  # noqa: E731
    y = lambda v: height - 34 - (height - 34 - top) * v / y_high  # noqa: E731
    parts = [begin(width, height, "fitts")]
    for tick in np.linspace(0, y_high, 4):
        parts.append(f'<line class="grid" x1="{left}" x2="{width - 12}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        parts.append(f'<text class="tick" x="{left - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:.1f} s</text>')
    for tick in np.linspace(0, x_high, 5):
        parts.append(f'<text class="tick" x="{x(tick):.1f}" y="{height - 18}" text-anchor="middle">{tick:.1f}</text>')
    parts.append(
        f'<text class="tick" x="{width / 2}" y="{height - 3}" text-anchor="middle">index of difficulty (bit)</text>'
    )
    slope, intercept = line["slope"], line["intercept"]
    if math.isfinite(slope):
        a, b = min(p[0] for p in points), max(p[0] for p in points)
        parts.append(
            f'<line class="mean" x1="{x(a):.1f}" y1="{y(intercept + slope * a):.1f}" '
            f'x2="{x(b):.1f}" y2="{y(intercept + slope * b):.1f}"/>'
        )
    for difficulty, seconds in points:
        note = tip(f"{difficulty:.2f} bit, {seconds:.2f} s")
        parts.append(f'<circle class="c0" cx="{x(difficulty):.1f}" cy="{y(seconds):.1f}" r="4.5" {note}/>')
    return "".join([*parts, "</svg>"])


def decision_tiles(found: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the metrics of `myograph.live.metrics.all_metrics` as titles, values and remarks."""
    false, onset, offset = found["false_activations"], found["onset_delay"], found["offset_delay"]
    missed = f"{found['missed_activations']} of {found['contractions']}"
    tiles = [
        ("Total error", _percent(found["total_error"]), "wrong decisions, of all decisions"),
        ("Active error", _percent(found["active_error"]), "wrong decisions other than rest, of all decisions"),
        (
            "Active error (LibEMG)",
            _percent(found["libemg_active_error"]),
            "wrong decisions, of those that are not rest",
        ),
        ("Instability", _plain(found["instability"], 3), "changes in excess of the prompts, per decision"),
        (
            "False activations per hour",
            _plain(false["per_hour"], 1),
            f"{false['events']} in {60 * false['hours']:.1f} min of rest, 95 % interval "
            f"{_plain(false['low'], 1)} to {_plain(false['high'], 1)}",
        ),
        ("Missed activations", missed, "contractions without any correct decision"),
        (
            "Onset delay",
            _ms(onset["p50_ms"]),
            f"median; 90 %: {_ms(onset['p90_ms'])}; never: {_percent(onset['never'])}",
        ),
        (
            "Offset delay",
            _ms(offset["p50_ms"]),
            f"median; 90 %: {_ms(offset['p90_ms'])}; never: {_percent(offset['never'])}",
        ),
    ]
    if "aurc" in found:
        tiles.append(("AURC", _plain(found["aurc"], 4), "mean error over all coverages, most confident first"))
    return [{"title": title, "value": value, "note": note} for title, value, note in tiles]


def class_rows(truth: np.ndarray, decided: np.ndarray) -> list[dict[str, Any]]:
    """Return for each class the numbers of true and predicted decisions, recall and precision, for a table."""
    rows = []
    for name in sorted({*truth.tolist(), *decided.tolist()}):
        asked, given = truth == name, decided == name
        both = int((asked & given).sum())
        recall = _percent(both / asked.sum()) if asked.any() else ""
        precision = _percent(both / given.sum()) if given.any() else ""
        rows.append(
            {
                "name": name,
                "asked": int(asked.sum()),
                "given": int(given.sum()),
                "recall": recall,
                "precision": precision,
            }
        )
    return rows


def counts_matrix(truth: np.ndarray, decided: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Return (class, class) counts, with one row per true class, and the names."""
    names = sorted({*truth.tolist(), *decided.tolist()})
    code = {name: i for i, name in enumerate(names)}
    counts = np.zeros((len(names), len(names)), int)
    np.add.at(counts, ([code[t] for t in truth.tolist()], [code[d] for d in decided.tolist()]), 1)
    return counts, names


def _spans(names: Sequence[str], time_s: Sequence[float], step_s: float) -> list[tuple[float, float, str]]:
    """Return (from, to, name) of each run of equal names; a decision lasts until the next one or a break of the stream."""
    array, times = np.asarray(names).astype(str), np.asarray(time_s, float)
    broken = np.flatnonzero(np.diff(times) > 1.5 * step_s) + 1
    starts = np.union1d(run_starts(np.unique(array, return_inverse=True)[1]), broken).astype(int)
    stops = np.append(starts[1:], len(array))
    return [(float(times[a]), float(times[b - 1]) + step_s, str(array[a])) for a, b in zip(starts, stops)]


def _percent(value: float | None) -> str:
    return "–" if value is None or not math.isfinite(value) else f"{100 * value:.1f} %"


def _plain(value: float | None, digits: int) -> str:
    return "–" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def _ms(value: float | None) -> str:
    return "–" if value is None or not math.isfinite(value) else f"{value:.0f} ms"
