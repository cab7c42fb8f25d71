"""The compiled loop of burst detection; importing it costs numba's import, compiling is cached on disk."""

from __future__ import annotations

import numpy as np
from numba import njit, types

_STATE = types.float64[:, ::1]
_SIGNATURES = [
    types.void(
        types.Array(t, 2, "C", readonly=True), t[:, ::1], types.int64, types.int64, *[_STATE] * 3, types.float64[::1]
    )
    for t in (types.float32, types.float64)
]


@njit(_SIGNATURES, cache=True, nogil=True)
def smoothed_energy(x, out, n_before, width, last, block, suffix, prefix):  # pragma: no cover - compiled
    """Causal moving average of |x[n]^2 - x[n-1] x[n+1]| in one pass.

    x, out: (channel, time). State, changed in place: last (channel, 2) samples; the block now filling (width, channel)
    and its sum so far, prefix (channel,); sums from each place of the block before to its end, suffix
    (width + 1, channel). Sums within fixed blocks (van Herk 1992) neither drift nor depend on where chunks end.
    Sums run along time, so the inner loop over channels is what fits into vector registers.
    """
    n_channels, n_samples = x.shape
    scale = 1.0 / width
    tile = np.empty((width, n_channels))
    t = 0
    at = n_before % width
    while t < n_samples:
        count = min(n_samples - t, width - at)
        for c in range(n_channels):
            a, b = last[c, 0], last[c, 1]
            for i in range(min(2, count)):
                new = np.float64(x[c, t + i])
                block[at + i, c] = abs(b * b - a * new)
                a, b = b, new
            for i in range(2, count):
                here = np.float64(x[c, t + i - 1])
                block[at + i, c] = abs(here * here - np.float64(x[c, t + i - 2]) * np.float64(x[c, t + i]))
            if count > 2:
                a, b = np.float64(x[c, t + count - 2]), np.float64(x[c, t + count - 1])
            last[c, 0], last[c, 1] = a, b
        for i in range(count):
            weight = 1.0 / (at + i + 1) if n_before + t < width else scale
            for c in range(n_channels):
                prefix[c] += block[at + i, c]
                tile[i, c] = (prefix[c] + suffix[at + i + 1, c]) * weight
        for c in range(n_channels):
            for i in range(count):
                out[c, t + i] = tile[i, c]
        at += count
        t += count
        if at == width:
            for c in range(n_channels):
                suffix[width - 1, c] = block[width - 1, c]
                prefix[c] = 0.0
            for i in range(width - 2, -1, -1):
                for c in range(n_channels):
                    suffix[i, c] = suffix[i + 1, c] + block[i, c]
            at = 0
