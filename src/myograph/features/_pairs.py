"""Compiled counts over all pairs of templates of a window, for sample and fuzzy entropy.

Compiled on first use and cached on disk.
"""

from __future__ import annotations

import math

import numpy as np

from myograph._common import simd
from myograph._common.jit import njit
from myograph._common.simd import LN2, WIDTH, fill, load, store
from myograph.features._base import EPS


def count_matches(x, radius, dim):
    """Count matching pairs of templates of dim and dim + 1 samples: (row, time), radius (row,) -> (row, 2) counts.

    Templates are sorted by their first sample, so that each is compared only with the few later ones within the
    radius. The other samples of the templates are stored in the same order, one row per place in the template.
    """
    order = np.argsort(x[:, : x.shape[1] - dim], axis=1, kind="quicksort")
    return _count_sorted(x, order, radius, dim)


@njit(cache=True, nogil=True, error_model="numpy")
def _count_sorted(x, order, radius, dim):
    rows, n = order.shape
    counts = np.zeros((rows, 2), dtype=np.int64)
    places = np.empty((dim + 1, n + WIDTH))
    places[:, n:] = np.inf  # no sample is within the radius of infinity
    one, none = fill(1.0), fill(0.0)
    for row in range(rows):
        for d in range(dim + 1):
            for i in range(n):
                places[d, i] = x[row, order[row, i] + d]
        r = fill(radius[row])
        shorter, longer = none, none
        end = 0
        for i in range(n):
            while end < n and places[0, end] - places[0, i] <= radius[row]:
                end += 1
            # From lane `end` on, the first samples differ by more than the radius.
            if dim == 2:
                first, second, third = fill(places[0, i]), fill(places[1, i]), fill(places[2, i])
                for j in range(i + 1, end, WIDTH):
                    near = r >= abs(load(places, 0, j) - first)
                    near = near & (r >= abs(load(places, 1, j) - second))
                    shorter = shorter + simd.select(near, one, none)
                    near = near & (r >= abs(load(places, 2, j) - third))
                    longer = longer + simd.select(near, one, none)
            else:
                for j in range(i + 1, end, WIDTH):
                    near = r >= abs(load(places, 0, j) - fill(places[0, i]))
                    for d in range(1, dim):
                        near = near & (r >= abs(load(places, d, j) - fill(places[d, i])))
                    shorter = shorter + simd.select(near, one, none)
                    near = near & (r >= abs(load(places, dim, j) - fill(places[dim, i])))
                    longer = longer + simd.select(near, one, none)
        counts[row, 0], counts[row, 1] = simd.total(shorter), simd.total(longer)
    return counts


@njit(cache=True, nogil=True, error_model="numpy")
def fuzzy_entropies(x, dim, tolerance, power):
    """ln(phi_dim / phi_(dim+1)) of rows of zero mean and unit deviation. x: (row, time) -> (row,).

    The loop runs over the lag between two templates, so that the pairs of one lag are contiguous in memory.
    """
    rows, n = x.shape
    entropy = np.empty(rows)
    steps, far = np.zeros((1, n + WIDTH)), np.zeros((2, n + WIDTH))
    pairs = (n - dim) * (n - dim - 1) / 2
    for row in range(rows):
        s = x[row]
        similar = np.zeros((2, WIDTH))
        for lag in range(1, n - dim):
            for i in range(n - lag):
                steps[0, i] = s[i] - s[i + lag]
            templates = n - dim - lag
            if dim == 2 and power == 2.0:
                _add_likeness_of_two(steps, templates, tolerance, similar)
            else:
                for longer in range(2):
                    _farthest(steps[0], templates, dim + longer, power, far[longer])
                _add_likeness(far, templates, tolerance, similar)
        entropy[row] = math.log(max(similar[0].sum() / pairs, EPS) / max(similar[1].sum() / pairs, EPS))
    return entropy


@njit(cache=True, nogil=True, error_model="numpy")
def _farthest(step, templates, m, power, far):
    """far[i] = max over k < m of |step[i + k] - mean of step[i : i + m]| ** power, of two centred templates."""
    for i in range(templates):
        mean = 0.0
        for k in range(m):
            mean += step[i + k]
        mean /= m
        most = 0.0
        for k in range(m):
            most = max(most, abs(step[i + k] - mean))
        far[i] = most**power


# The loops below call only vector operations: any other call would count references to arrays in every iteration.
LEAST = -1021.0  # 2^LEAST replaces all smaller values


@njit(cache=True, nogil=True, error_model="numpy")
def _add_likeness(far, templates, tolerance, similar):
    scale, floor = fill(-1.0 / (tolerance * LN2)), fill(LEAST)
    for longer in range(2):
        for i in range(0, templates, WIDTH):
            e = simd.exp2(simd.higher(load(far, longer, i) * scale, floor))
            store(similar, longer, 0, load(similar, longer, 0) + simd.first(e, templates - i))


@njit(cache=True, nogil=True, error_model="numpy")
def _add_likeness_of_two(steps, templates, tolerance, similar):
    """`_farthest` and `_add_likeness` in one, for templates of two and three samples and squared distances."""
    scale, floor = fill(-1.0 / (tolerance * LN2)), fill(LEAST)
    quarter, third = fill(-0.25 / (tolerance * LN2)), fill(1.0 / 3.0)
    shorter, longer = load(similar, 0, 0), load(similar, 1, 0)
    for i in range(0, templates, WIDTH):
        a, b, c = load(steps, 0, i), load(steps, 0, i + 1), load(steps, 0, i + 2)
        d = a - b
        e = simd.exp2(simd.higher(d * d * quarter, floor))
        shorter = shorter + simd.first(e, templates - i)
        mean = (a + b + c) * third
        d = simd.higher(simd.higher(abs(a - mean), abs(b - mean)), abs(c - mean))
        e = simd.exp2(simd.higher(d * d * scale, floor))
        longer = longer + simd.first(e, templates - i)
    store(similar, 0, 0, shorter)
    store(similar, 1, 0, longer)
