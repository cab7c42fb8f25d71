"""How often two unlabelled windows show the same movement: the check for one movement that makes up most of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from myograph.methods._discriminant import shrunk_discriminant
from myograph.methods._mixture import whitening
from myograph.methods._target import groups_of, spread
from myograph.windows import Windows

COMPARED = 300  # largest number of windows of a session whose pairs are compared
WITHIN = 0.8  # share of the pairs of windows of one movement and session that are near each other in training
# One movement makes up most of the windows if they are alike more often than those of training, by this share of what is possible.
# Chosen on people 1 to 3 of 3DC and people 1 and 2 of longterm_myo: whole sessions have at most 0.10, and 503 of 505 sessions in
# which one movement's windows were repeated until they made up 80 % have more than 0.12 (docs/adaptation.md).
MOST = 0.12
DEAD = 1e-30  # added to variances, so that a channel without signal has a logarithm


@dataclass(frozen=True)
class Sameness:
    """An estimate of the chance that two windows show the same movement, which needs neither their labels nor a classifier.

    Windows are compared by the logarithms of their channels' variances, whitened by the covariance within a movement. Two windows
    are near if their distance is at most `radius`. In training, a share WITHIN of the pairs of one movement and session is
    near, and a share `across` of the pairs of different movements. From the share of near pairs among other windows follows
    how many of their pairs are of one movement. Only differences between windows are compared, so a new person's movements
    may be anywhere; but they must vary about as much as those in training.

    white : (channel, channel), by which the logarithms are multiplied.
    radius : largest distance of near windows.
    across : share of the pairs of different movements, in one session of training, that are near.
    own : chance that two windows of one session of training show the same movement.
    """

    white: np.ndarray
    radius: float
    across: float
    own: float

    @classmethod
    def of(cls, X: Any, y: Any) -> Sameness:
        """Learn from labelled windows of training. X : Windows, or (window, channel, sample) array. y : (window,) labels."""
        rows, session = log_variances(X), groups_of(X, ("subject", "session"))
        code = np.unique(np.asarray(y), return_inverse=True)[1]
        part = np.unique(np.stack([code, session]), axis=1, return_inverse=True)[1].ravel()
        means = np.stack([rows[part == p].mean(axis=0) for p in range(part.max() + 1)])
        white = whitening(shrunk_discriminant(rows - means[part], code).covariance_)
        within, across = [], []
        for s in np.unique(session):
            mine = np.flatnonzero(session == s)
            mine = mine[spread(len(mine), COMPARED)]
            away, same = _distances(rows[mine] @ white), _pairs(code[mine, None] == code[mine])
            within.append(away[same])
            across.append(away[~same])
        near, far = np.concatenate(within), np.concatenate(across)
        radius = float(np.quantile(near, WITHIN)) if len(near) else 0.0
        own = len(near) / max(len(near) + len(far), 1)
        return cls(white, radius, float((far <= radius).mean()) if len(far) else 0.0, own)

    def chance(self, X: Any) -> float:
        """Return the estimated chance, 0 to 1, that two of these windows show the same movement.

        >>> from myograph.testing import make_windows
        >>> windows = make_windows(n_classes=4, n_repetitions=8)
        >>> found = Sameness.of(windows, windows.y)
        >>> louder = 3 * windows.batch()  # four movements, equally often: a quarter of the pairs
        >>> 0.2 < found.chance(louder) < 0.3, found.chance(louder[windows.y == "rest"]) > 0.8
        (True, True)
        """
        if len(X) < 2:
            return 1.0
        rows = log_variances(X)
        away = _distances(rows[spread(len(rows), COMPARED)] @ self.white)
        near = float((away <= self.radius).mean())
        return float(np.clip((near - self.across) / max(WITHIN - self.across, 1e-9), 0.0, 1.0))

    def one_movement(self, X: Any) -> str | None:
        """Return why a method must not adapt to these windows; None if no movement makes up most of them."""
        chance = self.chance(X)
        if chance - self.own <= MOST * (1 - self.own):
            return None
        return f"one movement makes up most of the windows: {chance:.0%} of their pairs are alike, {self.own:.0%} in training"


def log_variances(X: Any) -> np.ndarray:
    """Return the (window, channel) logarithms of the variances of Windows, or of a (window, channel, sample) array.

    A (window, column) array holds features and is returned as it is.

    >>> np.exp(log_variances(np.array([[[1.0, -1.0], [3.0, -3.0]]]))).round(3)
    array([[1., 9.]])
    """
    if not isinstance(X, Windows) and np.ndim(X) == 2:
        return np.asarray(X, float)
    parts = X.batches() if isinstance(X, Windows) else [np.asarray(X)]
    return np.concatenate([np.log(part.var(axis=2, dtype=float) + DEAD) for part in parts])


def _distances(rows: np.ndarray) -> np.ndarray:
    """Return the (pair,) distances of all pairs of rows."""
    squares = np.square(rows).sum(axis=1)
    return np.sqrt(np.maximum(_pairs(squares[:, None] + squares - 2 * rows @ rows.T), 0.0))


def _pairs(matrix: np.ndarray) -> np.ndarray:
    """Return the entries of a (row, row) matrix above its diagonal."""
    return matrix[np.triu_indices(len(matrix), 1)]
