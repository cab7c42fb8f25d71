"""Unlabelled windows under a linear discriminant: how far have the classes moved, and what speaks for it?

A linear discriminant is a mixture of normal distributions with one covariance. In coordinates in which that covariance is
the identity, the mean of class k on a new day is m_k + b + d_k: all classes move by b, and each by some d_k more. Both have
normal priors around zero, so few windows move little, and a class of which nothing is seen moves with the others. The
shares of the classes are free. `moved` finds the most probable b and d by expectation-maximisation (Dempster, Laird &
Rubin 1977; the prior as in Gauvain & Lee 1994, doi:10.1109/89.279278).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

STEPS = 30


@dataclass(frozen=True)
class Prior:
    """How strongly the means hold: as strongly as so many windows that do not overlap.

    common : of the movement b that all classes share. own : of each class's own movement d_k; infinite keeps d_k at 0.
    """

    common: float
    own: float


@dataclass(frozen=True)
class Moved:
    """The most probable movement.

    offsets : (class, column), b + d_k. evidence : mean logarithm of the windows' probability, less the prior's penalty.
    counts : (class,) number of windows that belong to each class, where windows that overlap count as one.
    """

    offsets: np.ndarray
    evidence: float
    counts: np.ndarray


def whitening(covariance: np.ndarray) -> np.ndarray:
    """The (column, column) matrix after which the covariance is the identity."""
    return np.linalg.inv(np.linalg.cholesky(covariance)).T


def log_densities(z: np.ndarray, means: np.ndarray) -> np.ndarray:
    """(window, class) logarithm of each class's density at each window, up to a constant; both whitened."""
    return z @ means.T - 0.5 * (np.square(z).sum(axis=1)[:, None] + np.square(means).sum(axis=1))


def evidence(z: np.ndarray, means: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Mean logarithm of the windows' probability where all classes are equally frequent; `weight` is (window,)."""
    return float(np.average(_log_sum(log_densities(z, means))[0], weights=weight) - np.log(len(means)))


def limited(z: np.ndarray, means: np.ndarray, found: Moved) -> np.ndarray:
    """(window,) weights of at most 1, under which no class counts more than twice as much as the median class.

    Otherwise a class that makes up most of the windows would be divided among its neighbours.

    >>> z = np.array([[-9.0]] * 6 + [[0.0], [9.0]])
    >>> means = np.array([[-9.0], [0.0], [9.0]])
    >>> limited(z, means, moved(z, means, overlap=1.0, prior=Prior(1.0, np.inf))).round(2)
    array([0.33, 0.33, 0.33, 0.33, 0.33, 0.33, 1.  , 1.  ])
    """
    share = _log_sum(log_densities(z, means + found.offsets) + _log_shares(found.counts))[1]
    return share @ np.minimum(1.0, 2 * np.median(found.counts) / np.maximum(found.counts, 1e-9))


def moved(
    z: np.ndarray,
    means: np.ndarray,
    overlap: float,
    prior: Prior,
    steps: int = STEPS,
    margin: float = 0.0,
    weight: np.ndarray | None = None,
) -> Moved:
    """The most probable movement of the classes.

    Parameters
    ----------
    z : (window, column) unlabelled windows, whitened. means : (class, column), likewise.
    overlap : number of windows that cover the same samples: so many count as one.
    margin : the search begins where the classes were, and once more with all classes moved so that their mean is that of
        the windows. The second result is taken where it has more evidence than the first by more than this.
    weight : (window,) how much each window counts; None is 1.

    >>> z = np.array([[-1.0], [-1.0], [3.0], [3.0]])
    >>> moved(z, np.array([[-2.0], [2.0]]), overlap=1.0, prior=Prior(0.0, np.inf)).offsets.round(2)
    array([[1.],
           [1.]])
    """
    weight = np.ones(len(z)) if weight is None else weight
    centre = np.average(z, axis=0, weights=weight) - means.mean(axis=0)
    near, far = (_moved_from(b, z, means, weight / overlap, prior, steps) for b in (np.zeros(z.shape[1]), centre))
    return far if far.evidence > near.evidence + margin else near


def _moved_from(b: np.ndarray, z: np.ndarray, means: np.ndarray, weight: np.ndarray, prior: Prior, steps: int) -> Moved:
    k = len(means)
    d = np.zeros_like(means)
    count, log_share = np.zeros(k), np.full(k, -np.log(k))
    found = 0.0
    for _ in range(steps):
        total, share = _log_sum(log_densities(z, means + b + d) + log_share)
        found = float(np.average(total, weights=weight))
        share *= weight[:, None]
        count = share.sum(axis=0)
        log_share = _log_shares(count)
        residual = share.T @ z - count[:, None] * means
        # A class's windows say as much about b as its own movement leaves them to say.
        held = count if np.isinf(prior.own) else count * prior.own / (count + prior.own)
        mean_residual = residual / np.maximum(count, 1e-9)[:, None]
        b = (held[:, None] * mean_residual).sum(axis=0) / max(held.sum() + prior.common, 1e-9)
        if np.isfinite(prior.own):
            d = (residual - count[:, None] * b) / (count + prior.own)[:, None]
    penalty = prior.common * (b @ b) + (prior.own * np.square(d).sum() if np.isfinite(prior.own) else 0.0)
    return Moved(b + d, float(found - 0.5 * penalty / weight.sum()), count)


def _log_shares(count: np.ndarray) -> np.ndarray:
    return np.log((count + 1) / (count.sum() + len(count)))


def _log_sum(joint: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(window,) logarithm of the sum over classes, and (window, class) shares in it."""
    most = joint.max(axis=1, keepdims=True)
    share = np.exp(joint - most)
    total = share.sum(axis=1, keepdims=True)
    return (most + np.log(total))[:, 0], share / total
