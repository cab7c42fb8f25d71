"""The columns of a table of windows: read-only arrays of whole numbers; names are stored as one code per row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from myograph.errors import ShapeError, WindowError

NAMES = ("label", "subject", "session")
DTYPES: dict[str, type[np.integer]] = {
    "recording": np.int32,
    "start": np.int64,
    "stop": np.int64,
    "label": np.intp,
    "subject": np.intp,
    "session": np.intp,
    "repetition": np.int32,
    "position": np.int32,
    "channel": np.int16,
}
COLUMNS = tuple(DTYPES)


def frozen(array: np.ndarray) -> np.ndarray:
    """Return the same array, made read-only."""
    array.flags.writeable = False
    return array


def numbers(name: str, values: Any) -> np.ndarray:
    """Return a read-only copy of a column of whole numbers.

    Raises
    ------
    WindowError : other values, other axes, or numbers too large for the column.
    """
    given = np.asarray(values)
    whole = given.astype(DTYPES[name]) if given.dtype.kind in "iub" else None
    if whole is None or given.ndim != 1 or not (np.can_cast(given.dtype, whole.dtype) or np.array_equal(whole, given)):
        raise WindowError(
            f"the column {name} must hold one whole number per window that fits {np.dtype(DTYPES[name])}, got "
            f"{given.dtype} of shape {given.shape}; correct the table"
        )
    return frozen(whole)


def names(name: str, values: Any) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return a column of names as (window,) codes, and the name of each code: the categories of a pandas Categorical,
    or else the distinct values in order of appearance.

    Raises
    ------
    WindowError : a row without a name.
    """
    if isinstance(getattr(values, "dtype", None), pd.CategoricalDtype):
        categorical = pd.Categorical(values)
        codes, known = np.asarray(categorical.codes), list(categorical.categories)
    else:
        codes, known = pd.factorize(np.asarray(values, dtype=object))
    if (codes < 0).any():
        row = int(np.argmax(codes < 0))
        raise WindowError(f"the column {name} has no name in row {row}; name it, or leave such rows out")
    return frozen(codes.astype(DTYPES[name])), tuple(map(str, known))


def coded(values: Sequence[str], counts: Sequence[int]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return a column of names in which the i-th value occurs `counts[i]` times."""
    known = tuple(dict.fromkeys(values))
    codes = np.array([known.index(v) for v in values], np.intp)
    return frozen(np.repeat(codes, counts)), known


def joined(parts: Sequence[tuple[np.ndarray, tuple[str, ...]]]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Concatenate several columns of names."""
    known = tuple(dict.fromkeys(name for _, some in parts for name in some))
    code_of = {name: code for code, name in enumerate(known)}
    codes = [np.array([code_of[name] for name in some], np.intp)[rows] for rows, some in parts]
    return frozen(np.concatenate(codes)), known


def intervals_of(windowing: Any, recording: Any) -> dict[str, np.ndarray]:
    """Return the columns that a windowing returns for one recording, as arrays of equal length.

    Raises
    ------
    WindowError : columns that differ in length or are not (window,), or a label that has no name.
    """
    columns = {name: np.asarray(values) for name, values in windowing.intervals(recording).items()}
    start, label = columns["start"], columns["label"]
    if not recording.label_names:
        label = columns["label"] = np.zeros_like(label)  # all have the single name "", see `cut`
    if start.ndim != 1 or any(values.shape != start.shape for values in columns.values()):
        shapes = ", ".join(f"{name} {values.shape}" for name, values in columns.items())
        raise WindowError(
            f"intervals() of {windowing} must return columns with one entry per window; for {recording.name} their "
            f"shapes are {shapes}"
        )
    if ((label < 0) | (label >= max(len(recording.label_names), 1))).any():
        raise WindowError(
            f"intervals() of {windowing} gives labels {label.min()} to {label.max()} for {recording.name}, which has "
            f"{len(recording.label_names)} label names, counted from 0; leave out unlabelled windows (-1)"
        )
    return columns


def cut(recordings: Sequence[Any], windowing: Any) -> dict[str, Any]:
    """Return all columns of the windows that a windowing finds in several recordings. Windows of a recording without
    label names have the label "".

    Raises
    ------
    WindowError : there is no window in any recording, only some of the recordings have label names, or an error of
        `intervals_of`.
    """
    bare = [r.name for r in recordings if not r.label_names]
    if bare and len(bare) < len(recordings):
        raise WindowError(
            f"{len(bare)} of {len(recordings)} recordings have no labels, the first is {bare[0]}; cut them separately"
        )
    parts = [intervals_of(windowing, recording) for recording in recordings]
    counts = [len(part["start"]) for part in parts]
    if not sum(counts):
        raise WindowError(
            f"{windowing} finds no window in {len(recordings)} recordings: every labelled stretch is shorter "
            "than a window, or nothing is labelled; shorten the windows or check the labels"
        )
    plain = ("start", "stop", "repetition", "position")
    columns: dict[str, Any] = {name: np.concatenate([part[name] for part in parts]) for name in plain}
    columns["recording"] = np.repeat(np.arange(len(recordings)), counts)
    columns["channel"] = np.concatenate([p.get("channel", np.full(n, -1)) for p, n in zip(parts, counts)])
    label = joined([(part["label"], recording.label_names or ("",)) for part, recording in zip(parts, recordings)])
    for name, (codes, known) in {
        "label": label,
        "subject": coded([r.subject for r in recordings], counts),
        "session": coded([r.session for r in recordings], counts),
    }.items():
        columns[name] = pd.Categorical.from_codes(codes, list(known))
    return columns


def check_rows(columns: dict[str, np.ndarray], recordings: Sequence[Any]) -> None:
    """Check that the samples and the channel of every row exist, because compiled loops do not check this.

    Raises
    ------
    ShapeError : columns of different lengths.
    WindowError : a row refers to samples or a channel that do not exist.
    """
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ShapeError(f"the columns of Windows must have one entry per window, got lengths {lengths}")
    of, start, stop, channel = (columns[name] for name in ("recording", "start", "stop", "channel"))
    n = len(recordings)
    if ((of < 0) | (of >= n)).any():
        raise WindowError(
            f"rows point to recordings {of.min()} to {of.max()}, but there are {n}, counted from 0; correct the table"
        )
    n_samples = np.array([r.n_samples for r in recordings], int)[of]
    for wrong in np.flatnonzero((start < 0) | (stop <= start) | (stop > n_samples))[:1]:
        here, recording = of == of[wrong], recordings[int(of[wrong])]
        raise WindowError(
            f"windows are outside {recording.name}'s {recording.n_samples} samples, or contain none: starts are from "
            f"{start[here].min()} to {start[here].max()}, stops from {stop[here].min()} to {stop[here].max()}; check "
            "the table, or what intervals() of the windowing returns"
        )
    for i, recording in enumerate(recordings):
        here = np.flatnonzero(of == i) if recording.breaks else np.zeros(0, np.intp)
        first, last = (np.searchsorted(recording.breaks, at[here], side="right") for at in (start, stop - 1))
        for wrong in here[first != last][:1]:
            raise WindowError(
                f"a window of {recording.name}, samples {start[wrong]} to {stop[wrong]}, spans a break: recording began "
                "again there (another file, or a gap); cut each of recording.stretches() separately"
            )
    n_channels = np.array([r.n_channels for r in recordings], int)[of]
    for wrong in np.flatnonzero((channel < -1) | (channel >= n_channels))[:1]:
        raise WindowError(
            f"a window is channel {channel[wrong]} of {recordings[int(of[wrong])].name}, which has {n_channels[wrong]} "
            "channels, counted from 0 (-1 is all of them); check the table, or what intervals() of the windowing returns"
        )


def distinct(numbers: np.ndarray) -> np.ndarray:
    """Return sorted distinct whole numbers, for small non-negative numbers (recordings, lengths): 10 times faster than
    np.unique.
    """
    return np.flatnonzero(np.bincount(numbers))


def row_positions(rows: Any, n: int) -> Any:
    """Return an index into `n` windows as one position, a slice, or an array of positions or a mask.

    Raises
    ------
    IndexError : anything else, such as the name of a column, or a mask of another length.
    """
    if isinstance(rows, tuple):
        if len(rows) != 2 or rows[1] is not Ellipsis:
            raise IndexError("Windows are indexed by rows only; take channels or samples from batch(rows)")
        rows = rows[0]
    if isinstance(rows, (int, np.integer, slice)):
        return rows
    rows = np.atleast_1d(np.asarray(rows))
    if rows.dtype.kind not in "iub" and rows.size:
        raise IndexError(
            f"Windows are indexed by row positions or a mask, got {rows.dtype}; use w.column(name) for a column and "
            "w.where(...) to select by value"
        )
    if rows.dtype == bool and len(rows) != n:
        raise IndexError(f"a mask over {n} windows must have {n} entries, got {len(rows)}")
    if rows.ndim != 1:
        raise IndexError(f"Windows are indexed by a 1-D array of positions or a mask, got an array of {rows.shape}")
    return rows if rows.size else rows.astype(np.intp)
