"""Runs of equal values in the tracks of a recording (labels, repetitions), and the sample intervals cut out of them."""

from __future__ import annotations

import numpy as np


def run_starts(*tracks: np.ndarray) -> np.ndarray:
    """Start index of each run over which every track stays constant; tracks are (time,)."""
    if not len(tracks[0]):
        return np.zeros(0, np.intp)
    change = np.zeros(len(tracks[0]) - 1, bool)
    for track in tracks:
        change |= track[1:] != track[:-1]
    return np.concatenate([[0], np.flatnonzero(change) + 1])


def runs_per_label(label: np.ndarray) -> np.ndarray:
    """(time,) repetition numbers where a data set has none: the n-th contiguous run of a label is its repetition n."""
    starts = run_starts(label)
    repetition = np.zeros(len(label), np.int32)
    seen: dict[int, int] = {}
    for start, stop in zip(starts, np.append(starts[1:], len(label))):
        value = int(label[start])
        seen[value] = seen.get(value, 0) + 1
        repetition[start:stop] = seen[value]
    return repetition


def run_numbers(track: np.ndarray) -> np.ndarray:
    """(time,) number of the run that each sample belongs to, counted from 0."""
    number = np.zeros(len(track), np.int32)
    number[run_starts(track)[1:]] = 1
    return np.cumsum(number, dtype=np.int32)


def stretch_numbers(breaks: tuple[int, ...], n: int) -> np.ndarray:
    """(time,) number of the stretch between two breaks that each of `n` samples belongs to, counted from 0.

    >>> stretch_numbers((2, 3), 5)
    array([0, 0, 1, 2, 2], dtype=int32)
    """
    number = np.zeros(n, np.int32)
    number[list(breaks)] = 1
    return np.cumsum(number, dtype=np.int32)


def count_within_runs(*tracks: np.ndarray) -> np.ndarray:
    """0, 1, 2, … within each run over which every track stays constant."""
    n = len(tracks[0])
    starts = run_starts(*tracks)
    return (np.arange(n) - np.repeat(starts, np.diff(np.append(starts, n)))).astype(np.int32)


def starts_within_runs(length: int, step: int, *tracks: np.ndarray) -> np.ndarray:
    """Start of every interval of `length` samples, one each `step` from the start of each run, that fits into the run."""
    runs = run_starts(*tracks)
    counts = np.maximum((np.append(runs[1:], len(tracks[0])) - runs - length) // step + 1, 0)
    first = np.cumsum(counts) - counts
    return np.repeat(runs, counts) + (np.arange(counts.sum()) - np.repeat(first, counts)) * step


def majority(track: np.ndarray, start: np.ndarray, length: int) -> np.ndarray:
    """The value that most samples of each interval have; of equally frequent values, the one that occurs later. Only
    intervals that straddle a change are counted singly."""
    value = track[start].copy()
    changes = np.concatenate([[0], np.cumsum(track[1:] != track[:-1])])
    for i in np.flatnonzero(changes[start + length - 1] != changes[start]):
        window = track[start[i] : start[i] + length][::-1]
        values, first, counts = np.unique(window, return_index=True, return_counts=True)
        best = counts == counts.max()
        value[i] = values[best][np.argmin(first[best])]
    return value
