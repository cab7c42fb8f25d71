"""Delsys Trigno Discover exports (CSV) as a Table: pairs of columns (time, value), each sensor at its own rate."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from myograph._common.units import microvolts_per
from myograph.datasets._formats import clock
from myograph.datasets._formats.description import Description
from myograph.datasets._formats.edf import chosen_rate, with_annotations
from myograph.datasets._formats.guard import OWN_AGAIN
from myograph.datasets._formats.table import Table, distinct
from myograph.datasets._formats.text import decode, is_number
from myograph.errors import DataError

TIME = "Time Series (s)"
MOST_HEADER_LINES = 40


@dataclass(frozen=True)
class _Column:
    """One signal: its cell in a row, the cell of its times, and its header entries."""

    at: int
    times_at: int
    name: str
    unit: str
    rate_hz: float


def read_trigno_discover(path: Path, description: Description) -> Table:
    """Read the EMG of an export at its own rate; other sensors are left out unless `channels` names them.

    Each signal has its own times, which are compared with its rate. Slower signals end in blank cells. A table of
    markers to the right of the samples, if present, gives the annotations.

    Raises
    ------
    DataError : the file is not an export, a cell inside a signal is blank, or the signals differ in rate.
    """
    rows = list(csv.reader(decode(path).split("\n"), skipinitialspace=True))
    head = next((i for i, r in enumerate(rows[:MOST_HEADER_LINES]) if any(TIME in c for c in r)), None)
    if head is None or head + 2 >= len(rows):
        raise DataError(
            f"{path} is not a Trigno Discover export: no column is named '… {TIME}'; export it as CSV again"
        )
    columns = _columns(path, rows, head)
    first = head + 2
    while first < len(rows) and not any(is_number(c) for c in rows[first][:2]):
        first += 1  # the row of sample periods
    names = [c.name for c in columns]
    stated = {c.name: c.unit for c in columns}
    emg = {c.name for c in columns if "EMG" in c.name.upper() and microvolts_per(c.unit) is not None}
    rate_hz = chosen_rate(path, names, [c.rate_hz for c in columns], emg, description)
    values: dict[str, np.ndarray] = {}
    notes: list[tuple[str, str]] = []
    breaks: set[int] = set()
    for column in columns:
        wanted = column.rate_hz == rate_hz and (not description.channels or _named(column, names, description))
        values[column.name] = _numbers(path, rows, first, column.at, column.name) if wanted else np.empty(0)
        if wanted and column.name in emg:
            times = _numbers(path, rows, first, column.times_at, f"times of {column.name}")
            found, gaps = clock.compare(times[: len(values[column.name])], rate_hz, f"times of {column.name}")
            notes += [n for n in found if n not in notes]
            breaks |= set(gaps)
    lengths = {len(v) for v in values.values() if len(v)}
    shortest = min(lengths, default=0)
    if not shortest:
        raise DataError(f"{path} holds no samples of {', '.join(sorted(emg)) or 'EMG'}; {OWN_AGAIN}")
    if len(lengths) > 1:
        notes.append((f"signals end after {sorted(lengths)} samples", "all are shortened to the shortest"))
    values = {n: v[:shortest] for n, v in values.items()}
    onsets, texts = _markers(rows, first, max(max(c.at, c.times_at) for c in columns))
    table = with_annotations(values, rate_hz, stated, onsets, np.zeros(len(onsets)), texts)
    to_uv = {n: f for n, f in (table.to_uv or {}).items() if n in emg or description.channels}
    return Table(
        table.columns, True, rate_hz, to_uv, stated, tuple(notes), tuple(sorted(b for b in breaks if b < shortest))
    )


def _named(column: _Column, names: list[str], description: Description) -> bool:
    return any(c == column.name or c == names.index(column.name) + 1 for c in description.channels or ())


def _columns(path: Path, rows: list[list[str]], head: int) -> list[_Column]:
    """Return the signals described by the header's rows of sensors, channels and rates."""
    sensors = _filled(rows[head - 2]) if head >= 2 else []
    rates = rows[head + 1]
    found: list[_Column] = []
    times_at = -1
    for at, cell in enumerate(rows[head]):
        text = cell.strip()
        if TIME in text:
            times_at = at
            continue
        match = re.fullmatch(r"(.+?)\s*\(([^()]*)\)", text)
        rate = re.match(r"\s*([\d.]+)\s*Hz", rates[at] if at < len(rates) else "")
        if match is None or times_at < 0 or rate is None:
            continue
        sensor = sensors[at] if at < len(sensors) else ""
        found.append(_Column(at, times_at, f"{sensor}: {match[1]}" if sensor else match[1], match[2], float(rate[1])))
    if not found:
        raise DataError(
            f"{path}: no column below '… {TIME}' has a name with a unit and a rate in Hz; export it as CSV again"
        )
    names = distinct(c.name for c in found)
    return [_Column(c.at, c.times_at, name, c.unit, c.rate_hz) for c, name in zip(found, names)]


def _filled(row: list[str]) -> list[str]:
    """Return a row of names in which blank cells repeat the name before them; serial numbers in brackets are removed."""
    found, current = [], ""
    for cell in row:
        current = re.sub(r"\s*\(\d+\)$", "", cell.strip()) or current
        found.append(current)
    return found


def _numbers(path: Path, rows: list[list[str]], first: int, at: int, name: str) -> np.ndarray:
    """Return the numbers of a column up to its first blank cell, after which no number may follow."""
    cells = [r[at].strip() if at < len(r) else "" for r in rows[first:]]
    n = next((i for i, c in enumerate(cells) if not c), len(cells))
    if any(cells[n:]):
        raise DataError(f"{path}: {name!r} has a blank cell in line {first + n + 1} and numbers after it; {OWN_AGAIN}")
    odd = next((i for i, c in enumerate(cells[:n]) if not is_number(c)), None)
    if odd is not None:
        raise DataError(f"{path}, line {first + odd + 1}: {cells[odd]!r} in {name!r} is not a number; {OWN_AGAIN}")
    return np.array([float(c) for c in cells[:n]])


def _markers(rows: list[list[str]], first: int, last_at: int) -> tuple[np.ndarray, list[str]]:
    """Return onsets in seconds and texts from the table of markers to the right of the samples."""
    for row in rows[max(0, first - 3) : first]:
        names = [c.strip() for c in row]
        if "Time (s)" in names[last_at + 1 :]:
            at = names.index("Time (s)", last_at + 1)
            texts_at = [i for i in (_find(names, "Label", last_at), _find(names, "Name", last_at)) if i is not None]
            found = []
            for cells in rows[first:]:
                if at < len(cells) and is_number(cells[at]):
                    text = next((cells[i].strip() for i in texts_at if i < len(cells) and cells[i].strip()), "marker")
                    found.append((float(cells[at]), text))
            found.sort()
            return np.array([t for t, _ in found]), [t for _, t in found]
    return np.zeros(0), []


def _find(names: list[str], name: str, after: int) -> int | None:
    return next((i for i, n in enumerate(names) if i > after and n == name), None)
