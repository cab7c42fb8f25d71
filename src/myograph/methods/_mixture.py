"""How far the classes of a linear discriminant have shifted, estimated from unlabelled windows.

A linear discriminant is a mixture of normal distributions with a common covariance. In coordinates in which this covariance
is the identity, the mean of class k on a new day is m_k + b + d_k: the shift b is common to all classes, and d_k belongs to
class k. Both have normal priors around zero. Therefore few windows cause only a small shift, and a class that is not seen
moves with the others. The proportions of the classes are estimated as well. `moved` finds the most probable b and d by
expectation-maximisation (Dempster, Laird & Rubin 1977; the prior as in Gauvain & Lee 1994, doi:10.1109/89.279278).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from myograph.methods._target import halves

STEPS = 30


@dataclass(frozen=True)
class Prior:
    """Strength of the priors, as a number of non-overlapping windows that would have the same weight.

    common : for the shift b that all classes share.
    own : for the shift d_k of each class; infinity keeps d_k at 0.
    """

    common: float
    own: float


@dataclass(frozen=True)
class Moved:
    """The most probable shift of the classes.

    offsets : (class, column) shift b + d_k.
    evidence : mean log probability of the windows, minus the penalty of the prior.
    counts : (class,) estimated number of non-overlapping windows of each class.
    """

    offsets: np.ndarray
    evidence: float
    counts: np.ndarray


def whitening(covariance: np.ndarray) -> np.ndarray:
    """Return the (column, column) matrix W such that the rows x @ W have the identity as their covariance."""
    return np.linalg.inv(np.linalg.cholesky(covariance)).T


def log_densities(z: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Return the (window, class) log density of each class at each window, up to a constant. Both arguments are whitened."""
    return z @ means.T - 0.5 * (np.square(z).sum(axis=1)[:, None] + np.square(means).sum(axis=1))


def evidence(z: np.ndarray, means: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Return the mean log probability of the windows if all classes are equally frequent. weight : (window,)."""
    return float(np.average(_log_sum(log_densities(z, means))[0], weights=weight) - np.log(len(means)))


def limited(z: np.ndarray, means: np.ndarray, found: Moved) -> np.ndarray:
    """Return (window,) weights of at most 1 that limit the weight of each class to twice that of the median class.

    Otherwise the windows of a very frequent class would also attract the means of its neighbours.

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
    """Return the most probable shift of the classes.

    Parameters
    ----------
    z : (window, column) unlabelled windows, whitened.
    means : (class, column) means of the classes before the shift, whitened.
    overlap : average number of windows that cover the same sample; this many count as one.
    prior : strength of the priors.
    steps : number of iterations.
    margin : the search is run twice: from no shift, and from the common shift that moves the mean of the classes to that of
        the windows. The second result is used if its evidence exceeds that of the first by more than this margin.
    weight : (window,) weight of each window; None gives each the weight 1.

    >>> z = np.array([[-1.0], [-1.0], [3.0], [3.0]])
    >>> moved(z, np.array([[-2.0], [2.0]]), overlap=1.0, prior=Prior(0.0, np.inf)).offsets.round(2)
    array([[1.],
           [1.]])
    """
    weight = np.ones(len(z)) if weight is None else weight
    centre = np.average(z, axis=0, weights=weight) - means.mean(axis=0)
    near, far = (_moved_from(b, z, means, weight / overlap, prior, steps) for b in (np.zeros(z.shape[1]), centre))
    return far if far.evidence > near.evidence + margin else near


def pays(
    before: np.ndarray,
    after: np.ndarray,
    means: np.ndarray,
    overlap: float,
    prior: Prior,
    margin: float,
    weight: np.ndarray,
) -> bool:
    """Return whether what is learnt from one half of the windows makes the other half more probable (see `halves`).

    Parameters
    ----------
    before, after : (window, column) windows, whitened, without and with the rotation that was found.
    means : (class, column) means of the classes, whitened.
    overlap, prior, margin, weight : as in `moved`.

    >>> z = np.tile([[-1.0], [-1.0], [3.0], [3.0]], (8, 1))
    >>> means, one = np.array([[-2.0], [2.0]]), np.ones(32)
    >>> pays(z, z, means, 1.0, Prior(1.0, np.inf), margin=0.0, weight=one)
    True
    >>> pays(z - 1, z - 1, means, 1.0, Prior(1.0, np.inf), margin=0.0, weight=one)
    False
    """
    block, gain = halves(len(after), overlap), 0.0
    for held in (0, 1):
        rows = block == held
        taught = moved(after[~rows], means, overlap, prior, margin=margin, weight=weight[~rows]).offsets
        gain += evidence(after[rows], means + taught, weight[rows]) - evidence(before[rows], means, weight[rows])
    return gain > 0


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
        # The freer a class's own shift d_k, the less its windows determine b.
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
    """Return the (window,) logarithm of the sum over classes, and the (window, class) share of each class in the sum."""
    most = joint.max(axis=1, keepdims=True)
    share = np.exp(joint - most)
    total = share.sum(axis=1, keepdims=True)
    return (most + np.log(total))[:, 0], share / total
