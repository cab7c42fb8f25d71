"""Runs of equal values in the tracks of a recording (labels, repetitions), and sample intervals within them."""

from __future__ import annotations

import numpy as np


def run_starts(*tracks: np.ndarray) -> np.ndarray:
    """Return the start index of each run over which all tracks are constant; tracks are (time,)."""
    if not len(tracks[0]):
        return np.zeros(0, np.intp)
    change = np.zeros(len(tracks[0]) - 1, bool)
    for track in tracks:
        change |= track[1:] != track[:-1]
    return np.concatenate([[0], np.flatnonzero(change) + 1])


def runs_per_label(label: np.ndarray) -> np.ndarray:
    """Return (time,) repetition numbers for a data set without them: the n-th contiguous run of a label is repetition
    n.
    """
    starts = run_starts(label)
    repetition = np.zeros(len(label), np.int32)
    seen: dict[int, int] = {}
    for start, stop in zip(starts, np.append(starts[1:], len(label))):
        value = int(label[start])
        seen[value] = seen.get(value, 0) + 1
        repetition[start:stop] = seen[value]
    return repetition


def run_numbers(track: np.ndarray) -> np.ndarray:
    """Return (time,) the number of each sample's run, counted from 0."""
    number = np.zeros(len(track), np.int32)
    number[run_starts(track)[1:]] = 1
    return np.cumsum(number, dtype=np.int32)


def stretch_numbers(breaks: tuple[int, ...], n: int) -> np.ndarray:
    """Return (time,) the number of the stretch between two breaks for each of `n` samples, counted from 0.

    >>> stretch_numbers((2, 3), 5)
    array([0, 0, 1, 2, 2], dtype=int32)
    """
    number = np.zeros(n, np.int32)
    number[list(breaks)] = 1
    return np.cumsum(number, dtype=np.int32)


def stretch_starts(breaks: tuple[int, ...], at: np.ndarray) -> np.ndarray:
    """Return the first sample of the stretch between two breaks in which each sample of `at` is.

    >>> stretch_starts((20, 30), np.array([0, 19, 20, 35]))
    array([ 0,  0, 20, 30])
    """
    borders = np.array([0, *breaks])
    return borders[np.searchsorted(borders, at, side="right") - 1]


def count_within_runs(*tracks: np.ndarray) -> np.ndarray:
    """Return 0, 1, 2, … within each run over which all tracks are constant."""
    n = len(tracks[0])
    starts = run_starts(*tracks)
    return (np.arange(n) - np.repeat(starts, np.diff(np.append(starts, n)))).astype(np.int32)


def starts_within_runs(length: int, step: int, *tracks: np.ndarray) -> np.ndarray:
    """Return the starts of the intervals of `length` samples, every `step` from the start of a run, that fit into the
    run.
    """
    runs = run_starts(*tracks)
    counts = np.maximum((np.append(runs[1:], len(tracks[0])) - runs - length) // step + 1, 0)
    first = np.cumsum(counts) - counts
    return np.repeat(runs, counts) + (np.arange(counts.sum()) - np.repeat(first, counts)) * step


def majority(track: np.ndarray, start: np.ndarray, length: int) -> np.ndarray:
    """Return the most frequent value in each interval; on a tie, the one that occurs later. Only intervals across a
    change are counted individually.
    """
    value = track[start].copy()
    changes = np.concatenate([[0], np.cumsum(track[1:] != track[:-1])])
    for i in np.flatnonzero(changes[start + length - 1] != changes[start]):
        window = track[start[i] : start[i] + length][::-1]
        values, first, counts = np.unique(window, return_index=True, return_counts=True)
        best = counts == counts.max()
        value[i] = values[best][np.argmin(first[best])]
    return value
