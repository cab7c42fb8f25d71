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

    x, out: (channel, time). State, changed in place: last (channel, 2) samples; the block now filling (channel, width)
    and its sum so far, prefix (channel,); sums from each place of the block before to its end, suffix
    (channel, width + 1). Sums within fixed blocks (van Herk 1992) neither drift nor depend on where chunks end.
    """
    n_channels, n_samples = x.shape
    scale = 1.0 / width
    for c in range(n_channels):
        a, b = last[c, 0], last[c, 1]
        total = prefix[c]
        values, tail = block[c], suffix[c]
        at = n_before % width
        t = 0
        while t < n_samples:
            stop = min(n_samples, t + width - at)
            count = stop - t
            # Loops without a branch inside: the first one runs in vector registers.
            for i in range(min(2, count)):
                new = np.float64(x[c, t + i])
                values[at + i] = abs(b * b - a * new)
                a, b = b, new
            for i in range(2, count):
                here = np.float64(x[c, t + i - 1])
                values[at + i] = abs(here * here - np.float64(x[c, t + i - 2]) * np.float64(x[c, t + i]))
            if count > 2:
                a, b = np.float64(x[c, stop - 2]), np.float64(x[c, stop - 1])
            first_block = n_before + t < width
            for i in range(count):
                total += values[at + i]
                if first_block:
                    out[c, t + i] = total / (at + i + 1)
                else:
                    out[c, t + i] = (total + tail[at + i + 1]) * scale
            at += count
            t = stop
            if at == width:
                running = 0.0
                for i in range(width - 1, -1, -1):
                    running += values[i]
                    tail[i] = running
                total = 0.0
                at = 0
        last[c, 0], last[c, 1] = a, b
        prefix[c] = total
