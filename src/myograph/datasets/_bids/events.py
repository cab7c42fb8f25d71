"""Events of a BIDS recording: reads and writes the labels and repetitions of all samples, and the breaks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from myograph.datasets._bids.side_files import AGAIN, cell, number
from myograph.datasets._formats.description import word
from myograph.datasets._formats.edf import spans
from myograph.datasets._labels import codes, counted, numbered
from myograph.errors import DataError
from myograph.recording import Recording, run_starts

BOUNDARY = "boundary"  # the event at which recording restarted, named as in EEGLAB
COLUMNS = ("onset", "duration", "trial_type", "repetition")
MEANING = {
    "trial_type": {
        "LongName": "Label",
        "Description": "What the person did from the onset for the duration. 'boundary': recording restarted at this "
        "sample, so the signal before and after is not continuous. n/a: unlabelled.",
    },
    "repetition": {
        "LongName": "Repetition",
        "Description": "Number of the repetition to which this stretch belongs. Training and test data should not share a "
        "repetition of a label within a session.",
    },
}


def label_in(row: dict[str, str]) -> str:
    """Return the label of an event, or "" without one."""
    text = word(cell(row, "trial_type"))
    return "" if text == BOUNDARY else text


def read_events(
    rows: list[dict[str, str]], n: int, rate_hz: float, known: list[str], path: Path
) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """Return (time,) labels as indices into `known`, (time,) repetitions, and the breaks.

    An event without a duration lasts until the next one. Without a column `repetition`, the n-th event of a label is
    its repetition n. Rest without numbers has the repetition number of the movement before it.

    Raises
    ------
    DataError : an onset, duration or repetition is not a number.
    """
    joints = [r for r in rows if cell(r, "trial_type") == BOUNDARY]
    rows = [r for r in rows if cell(r, "trial_type") != BOUNDARY]
    at = {round(_seconds(r, "onset", path) * rate_hz) for r in joints}
    breaks = tuple(sorted(b for b in at if 0 < b < n))
    if not rows:
        return np.full(n, -1, np.int32), np.ones(n, np.int32), breaks
    onsets = np.array([_seconds(r, "onset", path) for r in rows])
    durations = np.array([number(r, "duration", path) or 0.0 for r in rows])
    label = codes(spans(n, rate_hz, onsets, durations, [label_in(r) for r in rows]).astype(str), known, path)
    if "repetition" not in rows[0]:
        return label, counted(label, {}), breaks
    numbers = [word(cell(r, "repetition")) for r in rows]
    track = spans(n, rate_hz, onsets, durations, numbers).astype(str)
    rest = known.index("rest") if "rest" in known else None
    if any(value for value, row in zip(numbers, rows) if label_in(row) == "rest"):
        rest = None  # rest has its own numbers, including 0
    return label, numbered(track, label, rest, path), breaks


def _seconds(row: dict[str, str], key: str, path: Path) -> float:
    found = number(row, key, path)
    if found is None:
        raise DataError(f"{path}: an event has no {key}; {AGAIN}")
    return found


def event_rows(recording: Recording) -> list[dict[str, Any]]:
    """Return one row per stretch of equal label and repetition and one per break, in order of time."""
    rows: list[dict[str, Any]] = []
    starts = sorted({*run_starts(recording.label, recording.repetition).tolist(), *recording.breaks})
    for start, stop in zip(starts, [*starts[1:], recording.n_samples]):
        onset = start / recording.rate_hz
        if start in recording.breaks:
            rows.append({"onset": onset, "duration": 0.0, "trial_type": BOUNDARY})
        label, repetition = int(recording.label[start]), int(recording.repetition[start])
        if label < 0 and repetition == 0:
            continue
        rows.append(
            {
                "onset": onset,
                "duration": (stop - start) / recording.rate_hz,
                "trial_type": recording.label_names[label] if label >= 0 else None,
                "repetition": repetition,
            }
        )
    return rows


def labels_of(tables: Sequence[list[dict[str, str]]]) -> set[str]:
    """Return all labels of several tables of events."""
    return {label_in(row) for rows in tables for row in rows} - {""}
