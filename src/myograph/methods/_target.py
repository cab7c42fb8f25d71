"""Shared by adapters: the windows of a new person or session, and the checks before a method changes because of them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from math import ceil
from typing import Any

import numpy as np

from myograph.errors import ConfigError, NotAdaptedWarning
from myograph.methods._held_out import overlap_of

# `adapt` changes a method only if at least this share of the classes is seen, each in at least WITNESSES non-overlapping
# windows. The share is lower for a new person, whose classes are far from those in training, so that fewer are recognised.
# Chosen on people 1 and 2 of longterm_myo, and on the six people of 3DC.
COVERED, COVERED_NEW, WITNESSES = 0.7, 0.35, 4.0


def overlap_in(X: Any, otherwise: float) -> float:
    """Return the average number of windows that cover the same sample; `otherwise` for arrays, where it is unknown.

    >>> overlap_in(np.zeros((3, 2, 100)), otherwise=5.0)
    5.0
    """
    return overlap_of(X) if hasattr(X, "recordings") and len(X) else float(otherwise)


def groups_of(X: Any, columns: Sequence[str] = ("subject",)) -> np.ndarray:
    """Return the (window,) number of each window's group, such as its person; 0 for arrays.

    >>> from myograph.testing import make_windows
    >>> windows = make_windows(n_subjects=2, n_sessions=2)
    >>> np.unique(groups_of(windows)).tolist(), np.unique(groups_of(windows, ("subject", "session"))).tolist()
    ([0, 1], [0, 1, 2, 3])
    """
    if not hasattr(X, "recordings"):
        return np.zeros(len(X), np.int64)
    return X.table.groupby(list(columns), sort=False, observed=True).ngroup().to_numpy()


def codes_of(y: Any, classes: np.ndarray) -> np.ndarray:
    """Return the (window,) index of each label in the sorted `classes`.

    Raises
    ------
    ConfigError : a label that is not one of the classes.

    >>> codes_of(["fist", "rest"], np.array(["fist", "open", "rest"])).tolist()
    [0, 2]
    """
    y = np.asarray(y)
    if unknown := sorted(set(y.tolist()) - set(classes.tolist())):
        raise ConfigError(
            f"calibrate got windows of the classes {', '.join(map(str, unknown))}, which the training windows did not "
            "contain; fit on people who made these movements, or leave these windows out"
        )
    return np.searchsorted(classes, y)


def source_share(strength: float, n: np.ndarray | float) -> np.ndarray:
    """Return the weight of the training people, strength / (strength + n), if n windows of the target are known.

    It is 1 where n is 0, whatever the strength.

    >>> source_share(10.0, np.array([0.0, 10.0, 30.0])), source_share(0.0, 0.0), source_share(np.inf, 5.0)
    (array([1.  , 0.5 , 0.25]), array(1.), array(1.))
    """
    n = np.asarray(n, float)
    if np.isinf(strength):
        return np.ones_like(n)
    return np.where(n > 0, strength / np.where(n > 0, strength + n, 1.0), 1.0)


def too_few_classes(counts: np.ndarray, known_person: bool) -> str | None:
    """Return why the windows show too few classes to adapt to them; None if they show enough.

    counts : (class,) estimated number of non-overlapping windows of each class.

    >>> too_few_classes(np.array([9.0, 0.5, 0.0]), known_person=True)
    'the windows show 1 of 3 classes for long enough, but 3 are needed'
    """
    seen, least = int((counts >= WITNESSES).sum()), ceil((COVERED if known_person else COVERED_NEW) * len(counts))
    return (
        None
        if seen >= least
        else f"the windows show {seen} of {len(counts)} classes for long enough, but {least} are needed"
    )


def halves(n: int, overlap: float) -> np.ndarray:
    """Return (window,) 0 or 1: two halves that alternate in blocks of two windows' length.

    The blocks are short, so that a movement that is held for a second is in both halves.

    >>> halves(6, overlap=1.0).tolist()
    [0, 0, 1, 1, 0, 0]
    """
    return np.arange(n) // max(round(2 * overlap), 1) % 2


def spread(n: int, most: int) -> np.ndarray:
    """Return at most `most` of n positions, evenly spaced.

    >>> spread(3, most=5).tolist(), spread(9, most=3).tolist()
    ([0, 1, 2], [0, 4, 8])
    """
    return np.arange(n) if n <= most else np.linspace(0, n - 1, most).astype(int)


def not_adapted(why: str) -> None:
    """Warn that `adapt` changed nothing; the warning points at the caller of `adapt`."""
    warnings.warn(f"adapt changed nothing: {why}", NotAdaptedWarning, stacklevel=3)
