"""Turned armbands and arrays: which channel takes whose place, and what that does to covariance features."""

from __future__ import annotations

from typing import Any

import numpy as np

from myograph.recording import Layout


def rolls_of(layout: Layout | None, n_channels: int) -> np.ndarray:
    """(roll, channel) numbers of the channels that take each channel's place; the first roll leaves them as they are.

    An armband (a layout that wraps) turns by columns. A grid may have been put on turned along either of its sides.
    Channels off the pattern stay. Without a layout nothing turns.

    >>> rolls_of(Layout.ring(3), 3).tolist()
    [[0, 1, 2], [2, 0, 1], [1, 2, 0]]
    """
    same = np.arange(n_channels)
    if layout is None or len(layout) != n_channels:
        return same[None]
    image = layout.index()
    found = [same]
    for axis in (1,) if layout.wraps else (0, 1):
        for by in range(1, image.shape[axis]):
            turned = np.roll(image, by, axis)
            both = (image >= 0) & (turned >= 0)
            channels = same.copy()
            channels[image[both]] = turned[both]
            if len(np.unique(channels)) == n_channels:  # a pattern with gaps may not turn onto itself
                found.append(channels)
    return np.stack(found)


def sizes_of(rolls: np.ndarray) -> np.ndarray:
    """(roll,) how far each roll turns, in channels: that many rolls by the least turn, the shorter way round.

    >>> sizes_of(rolls_of(Layout.ring(5), 5)).tolist()
    [0, 1, 2, 2, 1]
    """
    found = []
    for roll in rolls:
        shift = np.abs(roll - np.arange(len(roll)))
        found.append(np.min(shift[shift > 0], initial=len(roll)) if shift.any() else 0)
    return np.asarray(found)


def columns_of(roll: np.ndarray) -> np.ndarray:
    """(column,) positions of the entries of a matrix's upper triangle after its rows and columns are rolled.

    >>> columns_of(np.array([1, 0])).tolist()
    [2, 1, 0]
    """
    n = len(roll)
    a, b = np.triu_indices(n)
    place = np.zeros((n, n), np.intp)
    place[a, b] = place[b, a] = np.arange(len(a))
    return place[roll[a], roll[b]]


def common_layout(X: Any) -> Layout | None:
    """The layout of the recordings of these windows, if it is one and the same."""
    layouts = {r.layout for r in getattr(X, "recordings", ())}
    return layouts.pop() if len(layouts) == 1 else None


def align_groups(means: list[np.ndarray], rolls: np.ndarray, most: int = 10) -> list[int]:
    """Which roll of each group brings its class means nearest to the mean of the others'.

    Parameters
    ----------
    means : of each group (class, column), without the group's own mean; NaN where it lacks a class.
    rolls : (roll, column), as positions of columns.
    """
    chosen = [0] * len(means)
    if len(rolls) == 1 or len(means) < 2:
        return chosen
    rolled = [m[:, rolls].transpose(1, 0, 2) for m in means]  # (roll, class, column)
    for _ in range(most):
        before = list(chosen)
        for i, mine in enumerate(rolled):
            others = np.stack([rolled[j][chosen[j]] for j in range(len(means)) if j != i])
            with np.errstate(invalid="ignore"):
                reference = np.nanmean(others, axis=0)
            chosen[i] = int(np.argmin(np.nansum(np.square(mine - reference), axis=(1, 2))))
        if chosen == before:
            break
    return chosen
