"""Compiled loops that merge the sums of blocks (`kernels`) into those of windows.

The order of the merges is a tree that depends only on the number of blocks per window. A row is therefore identical bit
for bit wherever in a batch, or in whichever chunk of a stream, it is computed. All merges run over blocks and channels
at once.
"""

from __future__ import annotations

import math

import numpy as np

from myograph._common import simd
from myograph._common.jit import kernel, part
from myograph._common.simd import WIDTH, fill, load, store
from myograph.features._base import EXP_FLOOR

# How groups of rows are merged: by addition; by the maximum; as means and deviations; as softmax sums. Those from REACH on
# differ between `inner` and `full`: by addition (REACH); as counts of sign changes, with first and last value, of samples
# (CROSSED) and of slopes (TURNED).
ADD, LARGER, DEVIATE, SOFTEN, REACH, CROSSED, TURNED = range(7)

# Forms of a feature that is computed from one sum: the sum; the mean over the window's samples, or over its differences,
# which are one fewer; the roots of these means.
SUM, MEAN, MEAN_OF_STEPS, ROOT_MEAN, ROOT_MEAN_OF_STEPS = range(5)


@part
def _follow(kind, z, zr, zo, x, xr, xo, x_samples, y, yr, yo, y_samples, n, level):
    """Set z[zr, zo + i] to x[xr, xo + i] followed by y[yr, yo + i], for i < n, with the group's further rows zr + 1,
    ...

    Up to seven elements after the last are written too.
    """
    if kind in (ADD, REACH):
        for i in range(0, n, WIDTH):
            store(z, zr, zo + i, load(x, xr, xo + i) + load(y, yr, yo + i))
    elif kind == LARGER:
        for i in range(0, n, WIDTH):
            store(z, zr, zo + i, simd.higher(load(x, xr, xo + i), load(y, yr, yo + i)))
    elif kind == DEVIATE:
        part = y_samples / (x_samples + y_samples)
        share, both = fill(part), fill(x_samples * part)
        for i in range(0, n, WIDTH):
            mean = load(x, xr, xo + i)
            d = load(y, yr, yo + i) - mean
            squares = load(x, xr + 1, xo + i) + load(y, yr + 1, yo + i)
            store(z, zr, zo + i, simd.muladd(d, share, mean))
            store(z, zr + 1, zo + i, simd.muladd(d * d, both, squares))
    elif kind == SOFTEN:
        for i in range(0, n, WIDTH):
            a, b = load(x, xr, xo + i), load(y, yr, yo + i)
            d = simd.higher(fill(0.0) - abs(a - b), fill(EXP_FLOOR))
            e = simd.select(d > fill(EXP_FLOOR), simd.exp(d), fill(0.0))
            a1, b1 = load(x, xr + 1, xo + i), load(y, yr + 1, yo + i)
            a2, b2 = load(x, xr + 2, xo + i), load(y, yr + 2, yo + i)
            swap = a < b
            total, weighted = fill(1.0) + simd.select(swap, a1, b1), simd.select(swap, a2, b2)
            store(z, zr, zo + i, simd.higher(a, b))
            store(z, zr + 1, zo + i, simd.muladd(e, total, simd.select(swap, b1, a1)))
            store(z, zr + 2, zo + i, simd.muladd(e, simd.muladd(d, total, weighted), simd.select(swap, b2, a2)))
    else:
        none = fill(0.0)
        for i in range(0, n, WIDTH):
            first, last = load(x, xr + 1, xo + i), load(x, xr + 2, xo + i)
            y_first, y_last = load(y, yr + 1, yo + i), load(y, yr + 2, yo + i)
            change = _changes(kind, last, y_first, fill(level))
            store(z, zr, zo + i, load(x, xr, xo + i) + load(y, yr, yo + i) + change)
            store(z, zr + 1, zo + i, simd.select(first == none, y_first, first))
            store(z, zr + 2, zo + i, simd.select(y_last == none, last, y_last))


@part
def _changes(kind, before, after, level):
    """1 where two neighbouring values (or slopes) change sign by enough to count, else 0."""
    none = fill(0.0)
    opposite = (simd.lower(before, after) < none) & (simd.higher(before, after) > none)
    size = abs(before - after) if kind == CROSSED else simd.higher(abs(before), abs(after))
    return simd.select(opposite & (size >= level), fill(1.0), none)


@part
def _changed(kind, before, after, level):
    """`_changes` for one pair."""
    opposite = ((before > 0) & (after < 0)) | ((before < 0) & (after > 0))
    size = abs(before - after) if kind == CROSSED else max(abs(before), abs(after))
    return 1.0 if opposite & (size >= level) else 0.0


@kernel
def append(kinds, rows, left, first, left_samples, right, right_samples, m, n, level):
    """Set blocks first .. first + m - 1 of `left` to themselves followed by blocks 0 .. m - 1 of `right`; n channels."""
    for g in range(len(kinds)):
        threshold = level[0] if kinds[g] == CROSSED else level[1]
        row, at = rows[g], first * n
        _follow(kinds[g], left, row, at, left, row, at, left_samples, right, row, 0, right_samples, m * n, threshold)


@part
def _any_zero(values, row, begin, end):
    """Whether values[row, begin:end] holds a zero."""
    found = False
    for i in range(begin, end):
        found |= values[row, i] == 0.0
    return found


@part
def _link(kinds, rows, full, first, m, n, level):
    """Make counts of sign changes additive: count the change from the block before, and copy last values forward."""
    none = fill(0.0)
    for g in range(len(kinds)):
        if kinds[g] < CROSSED:
            continue
        threshold = fill(level[0] if kinds[g] == CROSSED else level[1])
        row, begin, end = rows[g], (first if first > 1 else 1) * n, (first + m) * n
        if not _any_zero(full, row + 2, begin, end):  # no value to copy forward, so the iterations are independent
            for i in range(begin, end, WIDTH):
                change = _changes(kinds[g], load(full, row + 2, i - n), load(full, row + 1, i), threshold)
                store(full, row, i, load(full, row, i) + change)
            continue
        for b in range(begin, end, n):
            for c in range(0, n, WIDTH):
                # Lanes beyond the block's channels belong to the next block: their last values may be copied forward now.
                i = b + c
                before, last = load(full, row + 2, i - n), load(full, row + 2, i)
                change = _changes(kinds[g], before, load(full, row + 1, i), threshold)
                store(full, row, i, load(full, row, i) + simd.first(change, n - c))
                store(full, row + 2, i, simd.select(last == none, before, last))


@part
def _add_runs(full, row, m, n_c, rest, runs, first, out):
    """Set out[row, i] = first[row, i] + the sum of the `rest` blocks after block i, for i < m.

    Runs of 1, 2, 4, ... blocks are added up, and those that make up `rest`, the shortest first, are added to the
    windows. The longest run is added up where it is used. runs : two rows of working memory.
    """
    n, n_rest, size, place = m * n_c, rest * n_c, n_c, 0
    held, have, begin, source = full, row, n_c, first  # runs of the present size begin at held[have, begin]
    while rest > 1:
        at = begin + place
        if rest & 1:
            for i in range(0, n, WIDTH):
                store(out, row, i, load(source, row, i) + load(held, have, at + i))
            source, place, at = out, place + size, at + size
        rest >>= 1
        if rest == 1:
            for i in range(0, n, WIDTH):
                longest = load(held, have, at + i) + load(held, have, at + size + i)
                store(out, row, i, load(source, row, i) + longest)
            return
        to = 0 if begin else 1 - have
        for i in range(0, n + n_rest - 2 * size, WIDTH):
            store(runs, to, i, load(held, have, begin + i) + load(held, have, begin + size + i))
        held, have, begin, size = runs, to, 0, 2 * size
    for i in range(0, n, WIDTH):
        store(out, row, i, load(first, row, i) + load(full, row, n_c + i) if rest else load(first, row, i))


@part
def _merge_runs(kind, full, row, m, n_c, blocks, block_samples, now, then, first, out):
    """Like `_add_runs`, for groups of rows that are not merged by addition; now, then : (3, element) working memory."""
    n, rest = m * n_c, blocks - 1
    if not rest:
        for r in range(3 if kind == SOFTEN else (2 if kind == DEVIATE else 1)):
            for i in range(n):
                out[row + r, i] = first[row + r, i]
    have, place, size = block_samples, n_c, 1
    count = n + (rest - 1) * n_c
    while rest:
        whole = size * block_samples
        runs, at, column = (full, row, place) if size == 1 else (now, 0, place - n_c)
        if rest & 1:
            so_far = first if have == block_samples else out
            _follow(kind, out, row, 0, so_far, row, 0, have, runs, at, column, whole, n, 0.0)
            have += whole
            place += size * n_c
        rest >>= 1
        if rest:
            count -= size * n_c
            begin = n_c if size == 1 else 0
            _follow(kind, then, 0, 0, runs, at, begin, whole, runs, at, begin + size * n_c, whole, count, 0.0)
            now, then = then, now
            size *= 2


@part
def _end_counts(kind, row, inner, full, tail, m, n, blocks, with_tail, level, out):
    """Add the tail to windows' counts, and remove a change that reaches back over zeros to before the window."""
    threshold = level[0] if kind == CROSSED else level[1]
    if not with_tail and not _any_zero(inner, row + 2, 0, m * n):
        return
    for i in range(m * n):
        end = i + blocks * n
        if with_tail:
            out[row, i] += tail[row, end] + _changed(kind, full[row + 2, end - n], tail[row + 1, end], threshold)
        if inner[row + 2, i] == 0:
            b = i + n
            while b < end and full[row + 1, b] == 0:
                b += n
            if b < end or with_tail:
                after = full[row + 1, b] if b < end else tail[row + 1, end]
                out[row, i] -= _changed(kind, full[row + 2, b - n], after, threshold)


def workspace(n_channels: int, most: int, blocks: int) -> np.ndarray:
    """Return the working memory of `window_sums` for up to `most` windows."""
    return np.empty((6, (most + blocks) * n_channels + WIDTH))


def _window_sums(everything):
    """Return the kernel of all kinds of rows, or of additive rows only, which compiles faster."""

    @kernel
    def window_sums(
        kinds, rows, edges, inner, full, tail, first, m, n_c, blocks, block_samples, tail_samples, level, out, runs
    ):  # fmt: skip
        """Compute windows of `blocks` whole blocks, plus a tail if tail_samples > 0; then move the blocks that the next
        windows share to the front. This is a single call, since calls from Python cost as much as the sums of a few
        windows.

        inner, full : (row, block and channel) sums of consecutive blocks of n_c channels; those of `full` before block
        `first` are linked already. tail : full sums of the first tail_samples of each block. edges : EDGES of each row.
        out : (row, window and channel), written for window i < m from inner[i], full[i + 1 .. i + blocks - 1] and
        tail[i + blocks]; where `inner` and `full` are equal, from `inner` alone. The arrays have WIDTH more blocks than
        are used. runs : see `workspace`.
        """
        _link(kinds, rows, full, first, m + blocks - 1 - first, n_c, level)
        n, here = m * n_c, blocks * n_c
        for g in range(len(kinds)):
            kind, row = kinds[g], rows[g]
            adds = kind == ADD or kind >= REACH
            if adds:
                _add_runs(full if kind >= REACH else inner, row, m, n_c, blocks - 1, runs, inner, out)
            elif everything:
                _merge_runs(kind, inner, row, m, n_c, blocks, block_samples, runs[:3], runs[3:], inner, out)
            if kind >= CROSSED:
                _end_counts(kind, row, inner, full, tail, m, n_c, blocks, tail_samples > 0, level, out)
            elif tail_samples and adds:
                for i in range(0, n, WIDTH):
                    store(out, row, i, load(out, row, i) + load(tail, row, here + i))
            elif tail_samples and everything:
                _follow(kind, out, row, 0, out, row, 0, blocks * block_samples, tail, row, here, tail_samples, n, 0.0)
        for r in range(len(full)):
            for i in range(0, here - n_c, WIDTH):
                store(inner, r, i, load(inner, r, n + i))
            if edges[r]:
                for i in range(0, here - n_c, WIDTH):
                    store(full, r, i, load(full, r, n + i))

    return window_sums


window_sums = {everything: _window_sums(everything) for everything in (False, True)}
"""By whether a row of OTHERS is wanted."""


@kernel
def write(values, window, channel, n_samples, rows, forms, places, out, to):
    """Set out[to[i], places[f] :] to form `forms[f]` of the sums values[rows[f], window[i]] over `n_samples` samples.

    values : (kept row, window, channel). channel : the one channel of each i that is written, or empty for all.
    """
    n_channels = 1 if len(channel) else values.shape[2]
    for f in range(len(forms)):
        x, form, place = values[rows[f]], forms[f], places[f]
        n = 1.0 if form == SUM else float(n_samples - 1 if form in (MEAN_OF_STEPS, ROOT_MEAN_OF_STEPS) else n_samples)
        for i in range(len(to)):
            if n_channels < WIDTH:  # a division and a root have the same bits alone as in a register
                first = channel[i] if len(channel) else 0
                for c in range(n_channels):
                    value = x[window[i], first + c] / n
                    out[to[i], place + c] = math.sqrt(value) if form >= ROOT_MEAN else value
                continue
            for c in range(0, n_channels, WIDTH):
                first = c if c < n_channels - WIDTH else n_channels - WIDTH  # the last register repeats some channels
                y = load(x, window[i], first) / fill(n)
                store(out, to[i], place + first, simd.root(y) if form >= ROOT_MEAN else y)
