"""Features of several channels at once, `(..., channel, time)`: phasors and covariances."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from myograph.errors import ConfigError, ShapeError
from myograph.features._base import EPS, centred, feature


def _twice_pairs(p, c):
    return c * (c - 1)


def _triangle(p, c):
    return c * (c + 1) // 2


@feature("RMSPHASOR", axes="channel", outputs=_twice_pairs, shortest=2)
def rmsphasor(x):
    """Phasors of the root mean square: distances between channels placed on a ring.

    With the phasors r_c = RMS_c exp(2 pi i c / C), and d_c the same for the first difference: ln |r_a - r_b| for all
    pairs a < b, then ln(|r_a - r_b| / |d_a - d_b|) for all pairs. Distances are at least EPS. The channels are assumed
    to be equally spaced around the limb, in order.

    Shape: (..., channel, time) -> (..., C (C - 1)).

    Source: Onay & Mert 2020, Biomed. Signal Process. Control 59; as in LibEMG 2.0.3.

    Deviation: LibEMG 2.0.3 keeps the phasors in single precision, and gives -inf or NaN if two of them coincide.

    >>> rmsphasor([[1, -1, 1], [2, -2, 2]]).round(4)
    array([ 1.0986, -0.6931])
    """
    return phasor_distances("RMSPHASOR", *(np.sqrt(np.square(s).mean(-1)) for s in (x, np.diff(x))))


@feature("WLPHASOR", axes="channel", outputs=_twice_pairs, shortest=3)
def wlphasor(x):
    """Phasors of the waveform length: as RMSPHASOR with WL_c = sum |dx_i|, and sum |ddx_i| for the difference.

    Shape: (..., channel, time) -> (..., C (C - 1)).

    Source: as RMSPHASOR.

    >>> wlphasor(np.eye(4)).shape
    (12,)
    """
    d = np.diff(x)
    return phasor_distances("WLPHASOR", *(np.abs(s).sum(-1) for s in (d, np.diff(d))))


def phasor_distances(name, amplitude, change):
    """Return the features of RMSPHASOR and WLPHASOR from amplitudes of the channels and of their differences.

    Parameters
    ----------
    name : the feature that error messages name.
    amplitude, change : amplitude of each channel, and of the difference of its samples: (..., channel).

    Returns
    -------
    For each pair of channels the log distance of their phasors, then that distance relative to the one of the
    differences: (..., channel (channel - 1)).

    >>> phasor_distances("RMSPHASOR", np.array([1.0, 2.0]), np.array([2.0, 4.0])).round(4)
    array([ 1.0986, -0.6931])
    """
    n = amplitude.shape[-1]
    if n < 2:
        raise ShapeError(f"{name}: needs at least 2 channels, got {n} in (..., channel, time)")
    turn = np.exp(2j * np.pi * np.arange(n) / n)
    a, b = np.triu_indices(n, k=1)
    size, step = (
        np.maximum(np.abs(phasor[..., a] - phasor[..., b]), EPS) for phasor in (amplitude * turn, change * turn)
    )
    return np.concatenate([np.log(size), np.log(size / step)], axis=-1)


@feature("COV", axes="channel", outputs=_triangle)
def cov(x):
    """Covariance of the channels: the upper triangle, row by row, of (1/N) sum (x_i - mean)(x_i - mean)^T.

    Shape: (..., channel, time) -> (..., C (C + 1) / 2), in the squared unit of x.

    Source: the population covariance; the order of numpy.triu_indices.

    >>> cov([[1, -1, 1, -1], [2, -2, 2, -2]])
    array([1., 2., 4.])
    """
    c = covariance(x)
    a, b = np.triu_indices(c.shape[-1])
    return c[..., a, b]


@feature("LOGCOV", axes="channel", outputs=_triangle)
def logcov(x, *, shrinkage=0.05):
    """Log-Euclidean covariance: the upper triangle of the matrix logarithm, off-diagonal entries times sqrt(2).

    The matrix is S = (1 - s) C + s (trace(C) / channels) I with COV's matrix C and s = `shrinkage` from 0 to 1.
    Euclidean distances between results are log-Euclidean distances between the matrices. Eigenvalues are at least EPS,
    so zeros give ln(EPS) on the diagonal. A gain common to all channels adds 2 ln(gain) on the diagonal and nothing
    elsewhere.

    Shape: (..., channel, time) -> (..., C (C + 1) / 2), logarithm of the squared unit of x.

    Source: Arsigny, Fillard, Pennec & Ayache 2007, SIAM J. Matrix Anal. Appl. 29(1); shrinkage towards the identity as
    in Ledoit & Wolf 2004, J. Multivar. Anal. 88(2), with a weight of 0.05 (our choice).

    >>> x = np.array([[1.0, -1, 1, -1], [2, 2, -2, -2]])
    >>> (logcov(10 * x) - logcov(x)).round(4)
    array([4.6052, 0.    , 4.6052])
    """
    return symmetric_vector(symmetric_log(shrunk_covariance(x, shrinkage)))


@feature("LOGLAGCOV", axes="channel", outputs=lambda p, c: c * (2 * c + 1), shortest=lambda p, c: _lag(p) + 2)
def loglagcov(x, *, rate_hz, lag_ms=4.0, shrinkage=0.001):
    """LOGCOV of the channels together with the same channels `lag_ms` earlier.

    The delayed copies add the slope of each channel's spectrum and the time differences between channels. The lag is
    round(lag_ms rate_hz / 1000) samples, and at least one.

    Shape: (..., channel, time) -> (..., C (2 C + 1)), logarithm of the squared unit of x.

    Source: the augmented covariance of Carrara & Papadopoulo 2023, arXiv 2302.04508, of order 2; lag and shrinkage
    are our choice.

    >>> loglagcov(np.random.default_rng(0).normal(size=(2, 50)), rate_hz=1000).shape
    (10,)
    """
    lag = _lag({"rate_hz": rate_hz, "lag_ms": lag_ms})
    both = np.concatenate([x[..., lag:], x[..., : x.shape[-1] - lag]], axis=-2)
    return symmetric_vector(symmetric_log(shrunk_covariance(both, shrinkage)))


def _lag(p):
    return max(1, round(p["lag_ms"] * p["rate_hz"] / 1000))


def covariance(x: np.ndarray) -> np.ndarray:
    """Population covariance of the channels.

    Shape: (..., channel, time) -> (..., channel, channel), in the squared unit of x.

    >>> covariance(np.array([[1.0, -1, 1, -1], [2, -2, 2, -2]]))
    array([[1., 2.],
           [2., 4.]])
    """
    c = centred(x)
    return (c @ c.swapaxes(-1, -2)) / x.shape[-1]


def shrunk_covariance(x: np.ndarray, shrinkage: float) -> np.ndarray:
    """Covariance shrunk towards a multiple of the identity: (1 - s) C + s (trace(C) / channels) I with s = `shrinkage`.

    Shape: (..., channel, time) -> (..., channel, channel). ConfigError if the shrinkage is not from 0 to 1.

    >>> shrunk_covariance(np.array([[1.0, -1, 1, -1], [2, -2, 2, -2]]), shrinkage=0.5)
    array([[1.75, 1.  ],
           [1.  , 3.25]])
    """
    scalar = bool(np.isscalar(shrinkage))
    if not (scalar and 0 <= shrinkage <= 1):
        raise ConfigError(f"shrinkage must be a number from 0 to 1, got {shrinkage!r}")
    c = covariance(x)
    level = np.trace(c, axis1=-2, axis2=-1) / c.shape[-1]
    return (1 - shrinkage) * c + shrinkage * level[..., None, None] * np.eye(c.shape[-1])


def symmetric_function(
    matrix: np.ndarray, function: Callable[[np.ndarray], np.ndarray], floor: float = EPS
) -> np.ndarray:
    """Apply `function` to the eigenvalues of symmetric matrices (..., c, c); eigenvalues are raised to at least
    `floor`.

    >>> symmetric_function(np.diag([4.0, 9.0]), np.sqrt)
    array([[2., 0.],
           [0., 3.]])
    """
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * function(np.maximum(values, floor))[..., None, :]) @ vectors.swapaxes(-1, -2)


def symmetric_log(matrix: np.ndarray) -> np.ndarray:
    """Matrix logarithm of symmetric positive definite matrices (..., c, c).

    >>> symmetric_log(np.diag([1.0, np.e]))
    array([[0., 0.],
           [0., 1.]])
    """
    return symmetric_function(matrix, np.log)


def symmetric_vector(matrix: np.ndarray) -> np.ndarray:
    """Upper triangle with the off-diagonal entries times sqrt(2), so that its length is the Frobenius norm.

    Shape: (..., c, c) -> (..., c (c + 1) / 2).

    >>> vector = symmetric_vector(np.array([[1.0, 2.0], [2.0, 4.0]]))
    >>> float(np.linalg.norm(vector).round(12))
    5.0
    """
    a, b, weights = _weighted_triangle(matrix.shape[-1])
    return matrix[..., a, b] * weights


@lru_cache(maxsize=16)
def _weighted_triangle(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows, columns and weights of the upper triangle. They are cached, since for one window computing them
    takes as long as using them."""
    a, b = np.triu_indices(n)
    return a, b, np.where(a == b, 1.0, np.sqrt(2.0))
