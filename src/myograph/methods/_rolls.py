"""Rotated armbands and grids: permutations of the channels, and their effect on covariance features."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from myograph.recording import Layout


def rolls_of(layout: Layout | None, n_channels: int) -> np.ndarray:
    """Return (roll, channel): for each roll, the channel that takes the place of each channel; the first is the
    identity.

    An armband (a layout that wraps) is rolled by columns, a grid along either of its sides. Channels outside the
    pattern are not moved. Without a layout there is only the identity.

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
            if len(np.unique(channels)) == n_channels:  # a pattern with gaps may not map onto itself
                found.append(channels)
    return np.stack(found)


def sizes_of(rolls: np.ndarray) -> np.ndarray:
    """Return (roll,) the size of each roll: the number of smallest steps, in the shorter direction.

    >>> sizes_of(rolls_of(Layout.ring(5), 5)).tolist()
    [0, 1, 2, 2, 1]
    """
    found = []
    for roll in rolls:
        shift = np.abs(roll - np.arange(len(roll)))
        found.append(np.min(shift[shift > 0], initial=len(roll)) if shift.any() else 0)
    return np.asarray(found)


def columns_of(roll: np.ndarray) -> np.ndarray:
    """Return (column,) the positions of the entries of a matrix's upper triangle after its rows and columns are rolled.

    >>> columns_of(np.array([1, 0])).tolist()
    [2, 1, 0]
    """
    n = len(roll)
    a, b = np.triu_indices(n)
    place = np.zeros((n, n), np.intp)
    place[a, b] = place[b, a] = np.arange(len(a))
    return place[roll[a], roll[b]]


def common_layout(X: Any) -> Layout | None:
    """Return the layout of the recordings of these windows if they all have the same one, or else None."""
    layouts = {r.layout for r in getattr(X, "recordings", ())}
    return layouts.pop() if len(layouts) == 1 else None


def align_groups(means: list[np.ndarray], rolls: np.ndarray, sizes: np.ndarray, most: int = 10) -> list[int]:
    """Return the roll of each group that brings its class means nearest to the mean of the other groups.

    The class means determine the rolls only up to a roll of all groups together. Of these, the one with the smallest sum of
    sizes is chosen: most groups then stay as they are, and so does a new group that resembles them.

    Parameters
    ----------
    means : for each group the (class, column) class means; NaN for a missing class. The mean over the group's classes does
        not matter.
    rolls : (roll, column), as positions of columns.
    sizes : (roll,), see `sizes_of`.

    >>> ring = rolls_of(Layout.ring(4), 4)
    >>> first = np.array([[5.0, 1.0, 0.0, 0.0], [0.0, 0.0, 9.0, 0.0]])
    >>> align_groups([first, first[:, ring[3]], first[:, ring[3]]], ring, sizes_of(ring))
    [3, 0, 0]
    """
    chosen = [0] * len(means)
    if len(rolls) == 1 or len(means) < 2:
        return chosen
    centred = [m - np.nanmean(m, axis=0) for m in means]
    rolled = [m[:, rolls].transpose(1, 0, 2) for m in centred]  # (roll, class, column)
    for _ in range(most):
        before = list(chosen)
        for i, mine in enumerate(rolled):
            others = np.stack([rolled[j][chosen[j]] for j in range(len(means)) if j != i])
            with warnings.catch_warnings():  # a class that no other group has is not compared
                warnings.simplefilter("ignore", RuntimeWarning)
                reference = np.nanmean(others, axis=0)
            chosen[i] = int(np.argmin(np.nansum(np.square(mine - reference), axis=(1, 2))))
        if chosen == before:
            break
    return _smallest(chosen, rolls, sizes)


def _smallest(chosen: list[int], rolls: np.ndarray, sizes: np.ndarray) -> list[int]:
    """The rolls after a further roll of all groups, where the sum of their sizes is smallest."""
    number = {tuple(roll): k for k, roll in enumerate(rolls.tolist())}
    together = [[number.get(tuple(rolls[k][by].tolist()), -1) for k in chosen] for by in rolls]
    possible = [found for found in together if -1 not in found]  # two rolls along different sides of a grid are no roll
    return min(possible, key=lambda found: sizes[found].sum())
