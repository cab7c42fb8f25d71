"""Labels and repetition numbers of samples, from the contents of files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from myograph.errors import DataError, unknown_name
from myograph.recording import run_starts


def spread_to_rest(resting: np.ndarray, moving: np.ndarray, repetition: np.ndarray) -> np.ndarray:
    """Return (time,) repetitions in which rest has the repetition number of the movement before it.

    Rest at the start has the number of the movement after it.

    resting, moving : (time,) masks.

    >>> label = np.array([0, 1, 1, 0, 2, 0])
    >>> spread_to_rest(label == 0, label > 0, np.array([0, 1, 1, 0, 3, 0]))
    array([1, 1, 1, 1, 3, 3])
    """
    numbers = repetition.copy()
    at_move, at_rest = np.flatnonzero(moving), np.flatnonzero(resting)
    if len(at_move):
        before = np.searchsorted(at_move, at_rest) - 1
        numbers[at_rest] = repetition[at_move[np.maximum(before, 0)]]
    return numbers


def codes(track: np.ndarray, known: list[str], path: Path) -> np.ndarray:
    """Return (time,) the index into `known` of each sample's label, -1 if it is blank.

    Raises
    ------
    DataError : an unknown label.
    """
    values, inverse = np.unique(track, return_inverse=True)
    index = {value: i for i, value in enumerate(known)}
    for value in values.tolist():
        if value != "" and value not in index:
            error = unknown_name("label", value, known)
            raise DataError(f"{path}: {error} Add it to [labels] in the description, or correct the file")
    return np.array([index.get(v, -1) for v in values.tolist()], np.int32)[inverse]


def numbered(track: np.ndarray, label: np.ndarray, rest: int | None, path: Path) -> np.ndarray:
    """Return (time,) repetitions from text. Rest without numbers, or always with 0, gets those of the movements before
    it.

    rest : index of the label that means rest.

    Raises
    ------
    DataError : a labelled sample has no number, or a number is negative or not whole.
    """
    values, inverse = np.unique(track, return_inverse=True)
    try:
        whole = [int(v) if v != "" else -1 for v in values.tolist()]
        if any(n < 0 and v != "" for n, v in zip(whole, values.tolist())):
            raise ValueError(f": {values.tolist()[int(np.argmin(whole))]!r}")
    except ValueError as error:
        raise DataError(
            f"{path}: a repetition must be a whole number from 0, got {error.args[0].rsplit(': ', 1)[-1]}; correct it"
        ) from error
    found = np.array(whole, np.int32)[inverse]
    resting = label == (-2 if rest is None else rest)
    moving = (label >= 0) & ~resting
    if rest is not None and resting.any() and (found[resting] <= 0).all() and (found[moving] > 0).any():
        found = spread_to_rest(resting, moving & (found > 0), found)
    lacking = np.flatnonzero((label >= 0) & (found < 0))
    if len(lacking):
        raise DataError(
            f"{path}: {len(lacking)} samples have a label but no repetition, the first is sample {lacking[0] + 1}; fill "
            "them, or remove their labels"
        )
    return np.maximum(found, 0)


def counted(label: np.ndarray, seen: dict[int, int]) -> np.ndarray:
    """Return (time,) repetitions for files without them: the n-th contiguous run of a label is its repetition n.

    seen : number of earlier runs of each label, which is updated.

    >>> seen = {}
    >>> counted(np.array([0, 0, 1, 0]), seen), counted(np.array([0, 1]), seen)
    (array([1, 1, 1, 2], dtype=int32), array([3, 2], dtype=int32))
    """
    repetition = np.zeros(len(label), np.int32)
    starts = run_starts(label)
    for start, stop in zip(starts, [*starts[1:], len(label)]):
        value = int(label[start])
        seen[value] = seen.get(value, 0) + 1
        repetition[start:stop] = seen[value]
    return repetition
