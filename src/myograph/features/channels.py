"""Features of several channels at once, `(..., channel, time)`: phasors and covariances."""

from __future__ import annotations

from collections.abc import Callable

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

    With phasors r_c = RMS_c exp(2 pi i c / C) and d_c likewise of the first difference: ln |r_a - r_b| for all pairs
    a < b, then ln(|r_a - r_b| / |d_a - d_b|) for all pairs. Distances are EPS at least. Channels are taken as equally
    spaced, in order, around the limb.

    Shape: (..., channel, time) -> (..., C (C - 1)).

    Source: Onay & Mert 2020, Biomed. Signal Process. Control 59; as in LibEMG 2.0.3.

    Deviation: LibEMG 2.0.3 holds the phasors in single precision, and gives -inf or NaN where two of them coincide.
    """
    return _phasor_distances("RMSPHASOR", *(np.sqrt(np.square(s).mean(-1)) for s in (x, np.diff(x))))


@feature("WLPHASOR", axes="channel", outputs=_twice_pairs, shortest=3)
def wlphasor(x):
    """Phasors of the waveform length: as RMSPHASOR with WL_c = sum |dx_i|, and sum |ddx_i| for the difference.

    Shape: (..., channel, time) -> (..., C (C - 1)).

    Source: as RMSPHASOR.
    """
    d = np.diff(x)
    return _phasor_distances("WLPHASOR", *(np.abs(s).sum(-1) for s in (d, np.diff(d))))


def _phasor_distances(name, amplitude, change):
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
    """
    c = covariance(x)
    a, b = np.triu_indices(c.shape[-1])
    return c[..., a, b]


@feature("LOGCOV", axes="channel", outputs=_triangle)
def logcov(x, *, shrinkage=0.05):
    """Log-Euclidean covariance: the upper triangle of the matrix logarithm, off-diagonal entries times sqrt(2).

    Of S = (1 - s) C + s (trace(C) / channels) I with COV's matrix C and s = `shrinkage` in 0..1. Euclidean distances
    between results are log-Euclidean distances between the matrices. Eigenvalues are EPS at least, so zeros give
    ln(EPS) on the diagonal; a gain common to all channels adds 2 ln(gain) there and nothing elsewhere.

    Shape: (..., channel, time) -> (..., C (C + 1) / 2), logarithm of the squared unit of x.

    Source: Arsigny, Fillard, Pennec & Ayache 2007, SIAM J. Matrix Anal. Appl. 29(1); shrinkage towards the identity as
    Ledoit & Wolf 2004, J. Multivar. Anal. 88(2), its weight of 0.05 our choice.
    """
    return symmetric_vector(symmetric_log(shrunk_covariance(x, shrinkage)))


@feature("LOGLAGCOV", axes="channel", outputs=lambda p, c: c * (2 * c + 1), shortest=lambda p, c: _lag(p) + 2)
def loglagcov(x, *, rate_hz, lag_ms=4.0, shrinkage=0.001):
    """LOGCOV of the channels and of the same channels `lag_ms` earlier: adds how each channel's spectrum leans and
    which channel leads.

    The lag is round(lag_ms rate_hz / 1000) samples, one at least.

    Shape: (..., channel, time) -> (..., C (2 C + 1)), logarithm of the squared unit of x.

    Source: the augmented covariance of Carrara & Papadopoulo 2023, arXiv 2302.04508, of order 2; lag and shrinkage
    are our choice.
    """
    lag = _lag({"rate_hz": rate_hz, "lag_ms": lag_ms})
    both = np.concatenate([x[..., lag:], x[..., : x.shape[-1] - lag]], axis=-2)
    return symmetric_vector(symmetric_log(shrunk_covariance(both, shrinkage)))


def _lag(p):
    return max(1, round(p["lag_ms"] * p["rate_hz"] / 1000))


def covariance(x: np.ndarray) -> np.ndarray:
    """Population covariance. Shape: (..., channel, time) -> (..., channel, channel)."""
    c = centred(x)
    return (c @ c.swapaxes(-1, -2)) / x.shape[-1]


def shrunk_covariance(x: np.ndarray, shrinkage: float) -> np.ndarray:
    """(1 - s) C + s (trace(C) / channels) I. Shape: (..., channel, time) -> (..., channel, channel)."""
    scalar = bool(np.isscalar(shrinkage))
    if not (scalar and 0 <= shrinkage <= 1):
        raise ConfigError(f"shrinkage is a number from 0 to 1, got {shrinkage!r}")
    c = covariance(x)
    level = np.trace(c, axis1=-2, axis2=-1) / c.shape[-1]
    return (1 - shrinkage) * c + shrinkage * level[..., None, None] * np.eye(c.shape[-1])


def symmetric_function(
    matrix: np.ndarray, function: Callable[[np.ndarray], np.ndarray], floor: float = EPS
) -> np.ndarray:
    """`function` of the eigenvalues, taken as `floor` at least, of symmetric matrices (..., c, c)."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * function(np.maximum(values, floor))[..., None, :]) @ vectors.swapaxes(-1, -2)


def symmetric_log(matrix: np.ndarray) -> np.ndarray:
    """Matrix logarithm of symmetric positive matrices (..., c, c)."""
    return symmetric_function(matrix, np.log)


def symmetric_vector(matrix: np.ndarray) -> np.ndarray:
    """The upper triangle with sqrt(2) off the diagonal, so that lengths are Frobenius norms: (..., c (c + 1) / 2)."""
    a, b = np.triu_indices(matrix.shape[-1])
    return matrix[..., a, b] * np.where(a == b, 1.0, np.sqrt(2.0))
