"""One compiled step of the discrete wavelet transform, many rows at a time."""

from __future__ import annotations

import numpy as np

from myograph._common import simd
from myograph._common.jit import njit
from myograph._common.simd import WIDTH, fill, load, store


@njit(nogil=True, cache=True, error_model="numpy")
def dwt(x, low, high):
    """Convolve with two filters of equal, even length and keep every second value; borders are mirrored.

    x: (row, time); returns (row, coefficient) of each, floor((time + taps - 1) / 2) coefficients, as PyWavelets' `dwt`
    in its mode "symmetric": out[o] = sum_k filter[k] x[2 o + 1 - k].
    """
    rows, n = x.shape
    taps = len(low)
    m, half = (n + taps - 1) // 2, taps // 2
    # Vector stores write past the end of a row into the next row, which is computed later.
    out = np.empty((2, rows * m + WIDTH))
    # The mirrored row with even and odd samples separated, so that neighbouring coefficients read neighbouring memory.
    phases = np.zeros((2, m + half + WIDTH))
    # phases[odd, i] is sample 2 (i - lead) + odd; from `lead` to `end` both samples of a pair lie in the row.
    lead, end = half - 1, half - 1 + n // 2
    for row in range(rows):
        pairs, even, odds = x[row, : n // 2 * 2].reshape(-1, 2), phases[0, lead:end], phases[1, lead:end]
        for k in range(len(pairs)):
            even[k], odds[k] = pairs[k, 0], pairs[k, 1]
        for k in range(lead + m + half - 1 - end):
            i = k if k < lead else end + k - lead
            for odd in range(2):
                j = (2 * (i - lead) + odd) % (2 * n)
                phases[odd, i] = x[row, j if j < n else 2 * n - 1 - j]
        for o in range(0, m, WIDTH):
            a, d = fill(0.0), fill(0.0)
            for s in range(half):
                e, q = load(phases, 0, o + s), load(phases, 1, o + s)
                a = simd.muladd(q, fill(low[taps - 2 - 2 * s]), simd.muladd(e, fill(low[taps - 1 - 2 * s]), a))
                d = simd.muladd(q, fill(high[taps - 2 - 2 * s]), simd.muladd(e, fill(high[taps - 1 - 2 * s]), d))
            store(out, 0, row * m + o, a)
            store(out, 1, row * m + o, d)
    return out[0, : rows * m].reshape(rows, m), out[1, : rows * m].reshape(rows, m)
