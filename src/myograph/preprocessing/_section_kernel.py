"""The compiled loop of filters made of second-order sections."""

from __future__ import annotations

import numpy as np

from myograph._common.jit import kernel

LANES = 8  # channels filtered in parallel, because a single recursion would wait for its own last result


@kernel
def filter_sections(sos, x, state):  # pragma: no cover
    """Filter (channel, time) samples by (section, 6) coefficients; `state` (channel, section, 2) is updated in place.

    The recursion is that of `scipy.signal.sosfilt`, in float64; the result has the dtype of x. The result of a
    channel depends only on its own samples, in a fixed order, so chunks of any size give the same bits as one pass.
    """
    n_channels, n_samples = x.shape
    n_sections = sos.shape[0]
    y = np.empty((n_channels, n_samples), x.dtype)
    z = np.empty((n_sections, 2, LANES))
    now = np.empty(LANES)
    for first in range(0, n_channels, LANES):
        n = min(LANES, n_channels - first)
        for s in range(n_sections):
            for j in range(LANES):
                z[s, 0, j] = state[first + min(j, n - 1), s, 0]
                z[s, 1, j] = state[first + min(j, n - 1), s, 1]
        for t in range(n_samples):
            for j in range(LANES):
                now[j] = x[first + min(j, n - 1), t]
            for s in range(n_sections):
                b0, b1, b2, a1, a2 = sos[s, 0], sos[s, 1], sos[s, 2], sos[s, 4], sos[s, 5]
                for j in range(LANES):
                    came = now[j]
                    left = b0 * came + z[s, 0, j]
                    z[s, 0, j] = b1 * came - a1 * left + z[s, 1, j]
                    z[s, 1, j] = b2 * came - a2 * left
                    now[j] = left
            for j in range(n):
                y[first + j, t] = now[j]
        for s in range(n_sections):
            for j in range(n):
                state[first + j, s, 0] = z[s, 0, j]
                state[first + j, s, 1] = z[s, 1, j]
    return y
