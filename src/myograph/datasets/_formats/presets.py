"""Text files of known recording programs, selected by `preset` in the description."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from myograph.datasets._formats import clock
from myograph.datasets._formats.description import Description
from myograph.datasets._formats.guard import OWN_AGAIN
from myograph.datasets._formats.table import Table, distinct
from myograph.datasets._formats.text import decode, read_text
from myograph.datasets._formats.trigno import read_trigno_discover
from myograph.errors import DataError

MYO_HZ = 200.0
# Supply in V and gain of the EMG sensors, from the data sheets: biosignalsplux EMG, BITalino EMG (revolution).
OPENSIGNALS = {"bitalino": (3.3, 1009.0), "biosignalsplux": (3.0, 1000.0), "channeller": (3.0, 1000.0)}
Note = tuple[str, str]


def read_opensignals(path: Path, description: Description) -> Table:
    """Read OpenSignals text (PLUX, BITalino): the JSON header states columns, rate, resolution and sensors.

    Channels of EMG sensors are converted to µV by the transfer function of the data sheet, (counts / 2^bits - 1/2) x
    supply / gain. For an unknown device, or values converted by the program, the description must state the unit.
    Source: PLUX, OpenSignals file specification.
    """
    names, facts = [], []
    for device in _opensignals_header(path):
        columns = [str(c) for c in device["column"]]
        labels = [str(v) for v in device.get("label") or columns[len(columns) - len(device["channels"]) :]]
        facts += [(device, labels)]
        names += columns
    names = distinct(names)
    table = read_text(path, replace(description, delimiter="\t", header=False, channels=None, **_no_facts(description)))
    if len(table.columns) != len(names):
        raise DataError(
            f"{path} has {len(table.columns)} columns, but its header names {len(names)}: {', '.join(names)}; "
            f"{OWN_AGAIN}"
        )
    columns = dict(zip(names, table.columns.values()))
    rates = {float(device["sampling rate"]) for device, _ in facts}
    if len(rates) != 1:
        raise DataError(f"{path} holds devices of several rates ({sorted(rates)}); record them into separate files")
    to_uv: dict[str, float] = {}
    stated: dict[str, str] = {}
    notes: list[Note] = []
    breaks: list[int] = []
    start = 0
    for device, _ in facts:
        own = names[start : start + len(device["column"])]
        start += len(own)
        n = len(device["channels"])
        sensors = [str(s).upper() for s in (device.get("sensor") or ["RAW"] * n)][-n:]
        bits = list(device.get("resolution") or [16] * n)[-n:]
        known = next(
            (v for key, v in OPENSIGNALS.items() if str(device.get("device", "")).lower().startswith(key)), None
        )
        for name, sensor, resolution in zip(own[-n:], sensors, bits):
            if sensor.endswith("EMG") and known and not device.get("convertedValues"):
                share = np.asarray(table_numbers(columns[name]), np.float64) / 2.0 ** int(resolution) - 0.5
                columns[name] = share * (known[0] / known[1] * 1e6)
                to_uv[name], stated[name] = 1.0, "uV"
            elif sensor.endswith("EMG"):
                stated[name] = "converted by OpenSignals" if device.get("convertedValues") else "counts"
        if own[0].lower().startswith("nseq"):
            found, lost = counted(columns[own[0]], own[0])
            notes, breaks = [*notes, *found], [*breaks, *lost]
    return Table(columns, True, rates.pop(), to_uv, stated, tuple(notes), tuple(sorted(set(breaks))))


def table_numbers(column: np.ndarray) -> np.ndarray:
    """Return a column that must hold numbers; ValueError if it holds text."""
    if column.dtype.kind not in "iufb":
        raise ValueError("a column of samples holds text")
    return column


def _no_facts(description: Description) -> dict[str, Any]:
    """Return facts whose names do not occur in the text file."""
    return {"label": False, "subject": None, "session": None, "repetition": None, "time": False}


def _opensignals_header(path: Path) -> list[dict[str, Any]]:
    for line in islice(decode(path).split("\n"), 5):
        if line.startswith("# {"):
            found = json.loads(line[2:])
            devices = [d for d in found.values() if isinstance(d, dict)]
            if devices and all({"column", "channels", "sampling rate"} <= set(d) and d["channels"] for d in devices):
                return devices
    raise DataError(
        f"{path} is not an OpenSignals text file: no JSON header with column, channels and sampling rate; {OWN_AGAIN}"
    )


def read_openbci(path: Path, description: Description) -> Table:
    """Read OpenBCI GUI logs: EXG channels in µV, rate from the header. Lost samples are found by the sample index."""
    head = [line for line in islice(decode(path).split("\n"), 12) if line.startswith("%")]
    rate = next((m for line in head if (m := re.search(r"Sample Rate\s*=\s*([\d.]+)", line))), None)
    if rate is None:
        raise DataError(f"{path} is not an OpenBCI log: it lacks the line %Sample Rate = … Hz; {OWN_AGAIN}")
    table = read_text(path, replace(description, delimiter=",", channels=None))
    names = list(table.columns)
    if table.named:
        chosen = [n for n in names if re.match(r"EXG Channel \d+$", n)]
    else:
        count = next((m for line in head if (m := re.search(r"Number of channels\s*=\s*(\d+)", line))), None)
        chosen = names[1 : 1 + int(count[1])] if count else []
    if not chosen:
        raise DataError(f"{path} has no columns EXG Channel 0, …, it has {', '.join(names[:12])}; {OWN_AGAIN}")
    notes, breaks = counted(table.columns[names[0]], names[0])
    return Table(
        table.columns,
        table.named,
        float(rate[1]),
        dict.fromkeys(chosen, 1.0),
        dict.fromkeys(chosen, "uV"),
        notes,
        breaks,
    )


def read_myo(path: Path, description: Description) -> Table:
    """Read logs of the Myo armband: columns emg1 to emg8 at 200 Hz in counts, optionally after a time stamp."""
    table = read_text(path, replace(description, channels=None))
    names = list(table.columns)
    if table.named:
        chosen = [n for n in names if re.fullmatch(r"(emg|ch|channel)[ _]?\d+", n.strip().lower())]
    else:
        chosen = names[1:9] if len(names) >= 9 else names[:8]
    if len(chosen) not in (8, 16):
        raise DataError(
            f"{path} has {len(chosen)} columns of a Myo armband, expected 8, it has {', '.join(names[:12])}; {OWN_AGAIN}"
        )
    return Table(table.columns, table.named, MYO_HZ, dict.fromkeys(chosen, 1.0), {}, table.notes, table.breaks)


def counted(numbers: np.ndarray, name: str) -> tuple[tuple[Note, ...], tuple[int, ...]]:
    """Return where a sample counter jumps, as notes and breaks; the counter restarts after its largest value.

    >>> notes, breaks = counted(np.array([253, 254, 255, 0, 1, 5, 6]), "index")
    >>> notes[0][0], breaks
    ("column 'index': 3 samples are missing before sample 6", (5,))
    """
    if numbers.dtype.kind not in "iuf" or len(numbers) < 3 or not np.isfinite(numbers).all():
        return (), ()
    whole = np.rint(numbers).astype(np.int64)
    steps = np.diff(whole)
    ahead = steps[steps > 0]
    if not len(ahead):
        return (), ()
    values, counts = np.unique(ahead, return_counts=True)
    usual = int(values[np.argmax(counts)])
    top = int(whole.max())
    period = next((p for p in (16, 201, 256, 4096, 65_536) if top < p and (steps < 0).any()), None)
    period = top + usual if period is not None and period - top > 4 * usual else period
    jumps = steps % period if period else steps
    at = np.flatnonzero(jumps != usual) + 1
    if len(at) > max(1.0, len(steps) / 10):  # not a sample counter
        return (), ()
    notes = [
        (
            f"column {name!r}: {max(1, int(jumps[k - 1]) // usual - 1)} samples are missing before sample {k + 1}"
            if jumps[k - 1] > 0
            else f"column {name!r} repeats at sample {k + 1}",
            "samples were lost in transmission; no window spans the gap",
        )
        for k in at[:5].tolist()
    ]
    if len(at) > 5:
        notes.append((f"column {name!r} jumps at {len(at)} places", "samples were lost; no window spans a gap"))
    return tuple(notes), tuple(int(k) for k in at)


PRESETS: dict[str, Callable[[Path, Description], Table]] = {
    "trigno_discover": read_trigno_discover,
    "opensignals": read_opensignals,
    "openbci": read_openbci,
    "myo": read_myo,
}


def detect(path: Path) -> str | None:
    """Return the preset that fits a text file's first lines, or None."""
    lines = list(islice(decode(path).split("\n"), 8))
    first = lines[0] if lines else ""
    if first.startswith("Application:") and "Trigno Discover" in first:
        return "trigno_discover"
    if first.startswith("# OpenSignals"):
        return "opensignals"
    if first.startswith("%OpenBCI"):
        return "openbci"
    cells = [c.strip().lower() for c in first.split(",")]
    if cells[:1] and clock.is_time(cells[0]) and cells[1:9] == [f"emg{i}" for i in range(1, 9)]:
        return "myo"
    return None
