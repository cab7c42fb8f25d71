"""Compiled loops that merge the sums of blocks (`_kernels`) into those of windows.

Merges follow a tree that depends on the number of blocks in a window alone, so a row's bits do not depend on where in
a batch, or in which chunk of a stream, it was computed. All merges run over blocks and channels at once.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from myograph._kernels import EXP_FLOOR, _exp

# How groups of rows merge: by adding; by the larger; as means and deviations; as softmax sums; as counts of sign
# changes, with first and last value, of samples (CROSSED) and of slopes (TURNED).
ADD, LARGER, DEVIATE, SOFTEN, CROSSED, TURNED = range(6)


@njit(nogil=True, cache=True, error_model="numpy")
def _follow(kind, x, xr, xo, x_samples, y, yr, yo, y_samples, n, level, e, bits):
    """x[xr, xo + i] becomes itself followed by y[yr, yo + i], for i < n, with the group's further rows xr + 1, ..."""
    a, b = x[xr, xo : xo + n], y[yr, yo : yo + n]
    if kind == ADD:
        for i in range(n):
            a[i] += b[i]
    elif kind == LARGER:
        for i in range(n):
            a[i] = max(a[i], b[i])
    elif kind == DEVIATE:
        a1, b1 = x[xr + 1, xo : xo + n], y[yr + 1, yo : yo + n]
        share = y_samples / (x_samples + y_samples)
        for i in range(n):
            d = b[i] - a[i]
            a[i] += d * share
            a1[i] += b1[i] + d * d * (x_samples * share)
    elif kind == SOFTEN:
        a1, b1 = x[xr + 1, xo : xo + n], y[yr + 1, yo : yo + n]
        a2, b2 = x[xr + 2, xo : xo + n], y[yr + 2, yo : yo + n]
        for i in range(n):
            e[0, i] = max(-abs(a[i] - b[i]), EXP_FLOOR)
        _exp(e[0], n, e[1], bits)
        for i in range(n):
            swap = a[i] < b[i]
            high_total, high_weighted = (b1[i], b2[i]) if swap else (a1[i], a2[i])
            total, weighted = (a1[i], a2[i]) if swap else (b1[i], b2[i])
            a[i] = max(a[i], b[i])
            a1[i] = high_total + e[1, i] * total
            a2[i] = high_weighted + e[1, i] * (weighted + e[0, i] * total)
    else:
        a1, b1 = x[xr + 1, xo : xo + n], y[yr + 1, yo : yo + n]
        a2, b2 = x[xr + 2, xo : xo + n], y[yr + 2, yo : yo + n]
        for i in range(n):
            a[i] += b[i] + _changed(kind, a2[i], b1[i], level)
            a1[i] = a1[i] if a1[i] != 0 else b1[i]
            a2[i] = b2[i] if b2[i] != 0 else a2[i]


@njit(nogil=True, cache=True, error_model="numpy")
def _changed(kind, before, after, level):
    """1 where two neighbouring values (or slopes) change sign by enough to count, else 0."""
    opposite = ((before > 0) & (after < 0)) | ((before < 0) & (after > 0))
    size = abs(before - after) if kind == CROSSED else max(abs(before), abs(after))
    return 1.0 if opposite & (size >= level) else 0.0


@njit(nogil=True, cache=True, error_model="numpy")
def append(kinds, rows, left, first, left_samples, right, right_samples, m, level):
    """Blocks first .. first + m - 1 of `left` become themselves followed by blocks 0 .. m - 1 of `right`."""
    n = left.shape[2]
    x, y = left.reshape(left.shape[0], -1), right.reshape(right.shape[0], -1)
    e, bits = np.empty((2, m * n)), np.empty(m * n, np.int64)
    for g in range(len(kinds)):
        threshold = level[0] if kinds[g] == CROSSED else level[1]
        _follow(kinds[g], x, rows[g], first * n, left_samples, y, rows[g], 0, right_samples, m * n, threshold, e, bits)


@njit(nogil=True, cache=True, error_model="numpy")
def link(kinds, rows, full, first, m, level):
    """Make counts of sign changes additive: count the change from the block before, and carry last values on."""
    for g in range(len(kinds)):
        if kinds[g] >= CROSSED:
            threshold = level[0] if kinds[g] == CROSSED else level[1]
            row = rows[g]
            for b in range(max(first, 1), first + m):
                for c in range(full.shape[2]):
                    before = full[row + 2, b - 1, c]
                    full[row, b, c] += _changed(kinds[g], before, full[row + 1, b, c], threshold)
                    full[row + 2, b, c] = full[row + 2, b, c] if full[row + 2, b, c] != 0 else before


@njit(nogil=True, cache=True, error_model="numpy")
def window_sums(kinds, rows, inner, full, tail, m, blocks, block_samples, tail_samples, level, out):
    """Windows of `blocks` whole blocks, and a tail where tail_samples > 0.

    inner, full : (row, block, channel) sums of consecutive blocks, `full` linked; tail : full sums of the first
    tail_samples of each block. out : (row, window, channel), written for window i < m from inner[i],
    full[i + 1 .. i + blocks - 1] and tail[i + blocks].
    """
    n_c = full.shape[2]
    o, f, t = out.reshape(out.shape[0], -1), full.reshape(full.shape[0], -1), tail.reshape(tail.shape[0], -1)
    most = (m + blocks) * n_c
    now, then = np.empty((3, most)), np.empty((3, most))
    e, bits = np.empty((2, most)), np.empty(most, np.int64)
    n = m * n_c
    for g in range(len(kinds)):
        kind, row = kinds[g], rows[g]
        adding = ADD if kind >= CROSSED else kind
        deep = 3 if adding == SOFTEN else (2 if adding == DEVIATE else 1)
        for r in range(deep):
            for i in range(m):
                for c in range(n_c):
                    out[row + r, i, c] = inner[row + r, i, c]
        rest = blocks - 1
        count = n + (rest - 1) * n_c
        if rest:
            for r in range(deep):
                now[r, :count] = f[row + r, n_c : n_c + count]
        have, place, size = block_samples, 0, 1
        while rest:
            whole = size * block_samples
            if rest & 1:
                _follow(adding, o, row, 0, have, now, 0, place * n_c, whole, n, 0.0, e, bits)
                have += whole
                place += size
            rest >>= 1
            if rest:
                count -= size * n_c
                for r in range(deep):
                    then[r, :count] = now[r, :count]
                _follow(adding, then, 0, 0, whole, now, 0, size * n_c, whole, count, 0.0, e, bits)
                now, then = then, now
                size *= 2
        if kind >= CROSSED:
            _end_counts(kind, row, inner, full, tail, m, blocks, tail_samples > 0, level, out)
        elif tail_samples:
            _follow(adding, o, row, 0, have, t, row, blocks * n_c, tail_samples, n, 0.0, e, bits)


@njit(nogil=True, cache=True, error_model="numpy")
def _end_counts(kind, row, inner, full, tail, m, blocks, with_tail, level, out):
    """Add the tail to windows' counts, and take off a change that reached back over zeros to before the window."""
    threshold = level[0] if kind == CROSSED else level[1]
    for i in range(m):
        end = i + blocks
        for c in range(full.shape[2]):
            if with_tail:
                change = _changed(kind, full[row + 2, end - 1, c], tail[row + 1, end, c], threshold)
                out[row, i, c] += tail[row, end, c] + change
            if inner[row + 2, i, c] == 0:
                b = i + 1
                while b < end and full[row + 1, b, c] == 0:
                    b += 1
                if b < end:
                    out[row, i, c] -= _changed(kind, full[row + 2, b - 1, c], full[row + 1, b, c], threshold)
                elif with_tail:
                    out[row, i, c] -= _changed(kind, full[row + 2, end - 1, c], tail[row + 1, end, c], threshold)
