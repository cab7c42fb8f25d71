"""Compiled counts over all pairs of templates of a window, for sample and fuzzy entropy.

Pairs are walked by their distance in time: for one lag, everything is a run over neighbouring samples, which the
compiler turns into vector instructions. Compiled on first use and cached on disk.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from myograph.features._base import EPS


@njit(cache=True, nogil=True, error_model="numpy")
def count_matches(x, radius, dim):
    """Pairs of matching templates of `dim` and dim + 1 samples. x: (row, time), radius: (row,) -> (row, 2) counts."""
    rows, n = x.shape
    counts = np.zeros((rows, 2), dtype=np.int64)
    match = np.empty(n, dtype=np.uint8)
    for row in range(rows):
        s, r = x[row], radius[row]
        shorter = longer = 0
        for lag in range(1, n - dim):
            length = n - lag
            for i in range(length):
                match[i] = abs(s[i] - s[i + lag]) <= r
            templates = length - dim
            for _ in range(dim - 1):
                length -= 1
                for i in range(length):
                    match[i] &= match[i + 1]
            found = np.int32(0)
            for i in range(templates):
                found += match[i]
            shorter += found
            found = np.int32(0)
            for i in range(templates):
                found += match[i] & (abs(s[i + dim] - s[i + dim + lag]) <= r)
            longer += found
        counts[row, 0], counts[row, 1] = shorter, longer
    return counts


@njit(cache=True, nogil=True, error_model="numpy")
def fuzzy_entropies(x, dim, tolerance, power):
    """ln(phi_dim / phi_(dim+1)) of rows of zero mean and unit deviation. x: (row, time) -> (row,)."""
    rows, n = x.shape
    entropy = np.empty(rows)
    step, mean, far, whole = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    for row in range(rows):
        s = x[row]
        similar = np.zeros(2)
        for lag in range(1, n - dim):
            templates = n - dim - lag
            for i in range(n - lag):
                step[i] = s[i] - s[i + lag]
            for longer in range(2):
                _farthest(step, mean, far, templates, dim + longer)
                if power == 2.0:
                    for i in range(templates):
                        far[i] = -(far[i] * far[i]) / tolerance
                else:
                    for i in range(templates):
                        far[i] = -(far[i] ** power) / tolerance
                similar[longer] += _sum_of_exponentials(far, templates, whole)
        pairs = (n - dim) * (n - dim - 1) / 2
        entropy[row] = math.log(max(similar[0] / pairs, EPS) / max(similar[1] / pairs, EPS))
    return entropy


@njit(cache=True, nogil=True, error_model="numpy")
def _farthest(step, mean, far, templates, m):
    """far[i] = max over k < m of |step[i + k] - mean of step[i : i + m]|, the distance of two centred templates."""
    for i in range(templates):
        mean[i] = 0.0
        far[i] = 0.0
    for k in range(m):
        for i in range(templates):
            mean[i] += step[i + k]
    for i in range(templates):
        mean[i] /= m
    for k in range(m):
        for i in range(templates):
            far[i] = max(far[i], abs(step[i + k] - mean[i]))


# exp(y) = 2^w exp(z) with w = round(y / ln 2) and |z| <= ln(2) / 2, for y <= 0, without a branch or a call. Adding
# _SHIFT rounds to a whole number and leaves it in the low bits of the double, from where it moves to the exponent.
_SHIFT = 1.5 * 2.0**52
_LOG2_E = 1 / math.log(2)
_LN2_HIGH = 6.93147180369123816490e-01  # the first 33 bits of ln 2, so that w * _LN2_HIGH is exact
_LN2_LOW = 1.90821492927058770002e-10
_LEAST = -700.0  # exp(-700) = 1e-304 stands for all that is smaller


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc"})
def _polynomial(z):
    """exp(z) for |z| <= 0.35: Taylor's series to degree 12, whose next term is below 2e-16."""
    p = 1.0 / 479001600.0
    p = p * z + 1.0 / 39916800.0
    p = p * z + 1.0 / 3628800.0
    p = p * z + 1.0 / 362880.0
    p = p * z + 1.0 / 40320.0
    p = p * z + 1.0 / 5040.0
    p = p * z + 1.0 / 720.0
    p = p * z + 1.0 / 120.0
    p = p * z + 1.0 / 24.0
    p = p * z + 1.0 / 6.0
    p = p * z + 0.5
    p = p * z + 1.0
    return p * z + 1.0


@njit(cache=True, nogil=True, error_model="numpy")
def _sum_of_exponentials(y, n, whole):
    """Sum of exp(y[i]), i < n, for y <= 0; y and whole are overwritten."""
    bits = whole.view(np.int64)
    for i in range(n):
        y[i] = max(y[i], _LEAST)
        whole[i] = y[i] * _LOG2_E + _SHIFT
    for i in range(n):
        w = whole[i] - _SHIFT
        y[i] = _polynomial((y[i] - w * _LN2_HIGH) - w * _LN2_LOW)
    for i in range(n):
        bits[i] = (bits[i] + 1023) << 52
    total = 0.0
    for i in range(n):
        y[i] *= whole[i]
    for i in range(n):
        total += y[i]
    return total
