"""Compiled loops that merge the sums of blocks (`kernels`) into those of windows.

The order of the merges is a tree that depends only on the number of blocks per window. So a row is bit for bit the
same wherever in a batch, or in whichever chunk of a stream, it was computed. All merges run over blocks and channels
at once.
"""

from __future__ import annotations

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
# which are one fewer; the roots of these means; the exponential of the mean.
SUM, MEAN, MEAN_OF_STEPS, ROOT_MEAN, ROOT_MEAN_OF_STEPS, EXP_MEAN = range(6)


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
    """The same for one pair."""
    opposite = ((before > 0) & (after < 0)) | ((before < 0) & (after > 0))
    size = abs(before - after) if kind == CROSSED else max(abs(before), abs(after))
    return 1.0 if opposite & (size >= level) else 0.0


@kernel
def append(kinds, rows, left, first, left_samples, right, right_samples, m, level):
    """Set blocks first .. first + m - 1 of `left` to themselves followed by blocks 0 .. m - 1 of `right`."""
    n = left.shape[2]
    x, y = left.reshape(left.shape[0], -1), right.reshape(right.shape[0], -1)
    for g in range(len(kinds)):
        threshold = level[0] if kinds[g] == CROSSED else level[1]
        row, at = rows[g], first * n
        _follow(kinds[g], x, row, at, x, row, at, left_samples, y, row, 0, right_samples, m * n, threshold)


@part
def _any_zero(flat, row, begin, end):
    """Whether flat[row, begin:end] holds a zero."""
    zeros, i = fill(0.0), begin
    while i + WIDTH <= end:
        zeros = zeros + simd.select(load(flat, row, i) == fill(0.0), fill(1.0), fill(0.0))
        i += WIDTH
    found = simd.some(zeros > fill(0.0))
    while i < end:
        found |= flat[row, i] == 0.0
        i += 1
    return found


@part
def _link(kinds, rows, full, first, m, level):
    """Make counts of sign changes additive: count the change from the block before, and copy last values forward."""
    n, flat, none = full.shape[2], full.reshape(full.shape[0], -1), fill(0.0)
    for g in range(len(kinds)):
        if kinds[g] < CROSSED:
            continue
        threshold = fill(level[0] if kinds[g] == CROSSED else level[1])
        row, begin, end = rows[g], max(first, 1) * n, (first + m) * n
        if not _any_zero(flat, row + 2, begin, end):  # no value to copy forward, so the iterations are independent
            for i in range(begin, end, WIDTH):
                change = _changes(kinds[g], load(flat, row + 2, i - n), load(flat, row + 1, i), threshold)
                store(flat, row, i, load(flat, row, i) + change)
        elif n >= WIDTH:  # a register of lanes needs only the block before it, wherever it begins
            for i in range(begin, end, WIDTH):
                before, last = load(flat, row + 2, i - n), load(flat, row + 2, i)
                change = _changes(kinds[g], before, load(flat, row + 1, i), threshold)
                store(flat, row, i, load(flat, row, i) + change)
                store(flat, row + 2, i, simd.select(last == none, before, last))
        else:
            for b in range(max(first, 1), first + m):
                for c in range(0, n, WIDTH):
                    # Lanes beyond the block's channels belong to the next block: their last values may be copied forward now.
                    i = b * n + c
                    before, last = load(flat, row + 2, i - n), load(flat, row + 2, i)
                    change = _changes(kinds[g], before, load(flat, row + 1, i), threshold)
                    store(flat, row, i, load(flat, row, i) + simd.first(change, n - c))
                    store(flat, row + 2, i, simd.select(last == none, before, last))


@part
def _add_runs(full, row, m, n_c, rest, runs, first, out):
    """Set out[row, i] = first[row, i] + the sum of the `rest` blocks after block i, for i < m, added as in
    `window_sums`.

    Intermediate sums are read and written as few times as possible: two doublings are one pass if the size between them
    is not needed, the largest runs are added where they are used, and four runs are added to the windows at once.
    """
    n = m * n_c
    if not rest:
        for i in range(n):
            out[row, i] = first[row, i]
        return
    # The runs that make up a window: their row in `runs` (-1 is `full` itself) and their first element.
    where, begin, count = np.empty(64, np.int64), np.empty(64, np.int64), 0
    held, have, last, place, top = full, row, 0, n_c, 0
    while rest >> top + 1:
        top += 1
    for level in range(top):
        if not rest >> level & 1 and level + 1 < top:
            continue
        while last < level:
            offset, to = n_c if last == 0 else 0, min(last + 2, level)
            shift = n_c << last
            length = n + (rest - (1 << to)) * n_c
            if to == last + 2:
                for i in range(offset, offset + length, WIDTH):
                    a = load(held, have, i) + load(held, have, i + shift)
                    b = load(held, have, i + 2 * shift) + load(held, have, i + 3 * shift)
                    store(runs, to, i - offset, a + b)
            else:
                for i in range(offset, offset + length, WIDTH):
                    store(runs, to, i - offset, load(held, have, i) + load(held, have, i + shift))
            held, have, last = runs, to, to
        if rest >> level & 1:
            where[count], begin[count] = (-1, place) if level == 0 else (level, place - n_c)
            count += 1
            place += n_c << level
    if top == 0:
        for i in range(0, n, WIDTH):
            store(out, row, i, load(first, row, i) + load(full, row, place + i))
        return
    h, d = place if last == 0 else place - n_c, n_c << last
    source, done = first, 0
    while count - done > 3:
        a, ar = (full, row) if where[done] < 0 else (runs, where[done])
        ao, br, bo = begin[done], where[done + 1], begin[done + 1]
        for i in range(0, n, WIDTH):
            store(out, row, i, load(source, row, i) + load(a, ar, ao + i) + load(runs, br, bo + i))
        source, done = out, done + 2
    a, ar = (full, row) if count == done or where[done] < 0 else (runs, where[done])
    ao, br, bo, cr, co = begin[done], where[done + 1], begin[done + 1], where[done + 2], begin[done + 2]
    if count - done == 0:
        for i in range(0, n, WIDTH):
            whole = load(held, have, h + i) + load(held, have, h + d + i)
            store(out, row, i, load(source, row, i) + whole)
    elif count - done == 1:
        for i in range(0, n, WIDTH):
            whole = load(held, have, h + i) + load(held, have, h + d + i)
            store(out, row, i, load(source, row, i) + load(a, ar, ao + i) + whole)
    elif count - done == 2:
        for i in range(0, n, WIDTH):
            whole = load(held, have, h + i) + load(held, have, h + d + i)
            two = load(source, row, i) + load(a, ar, ao + i) + load(runs, br, bo + i)
            store(out, row, i, two + whole)
    else:
        for i in range(0, n, WIDTH):
            whole = load(held, have, h + i) + load(held, have, h + d + i)
            two = load(source, row, i) + load(a, ar, ao + i) + load(runs, br, bo + i)
            store(out, row, i, two + load(runs, cr, co + i) + whole)


@part
def _merge_runs(kind, full, row, m, n_c, blocks, block_samples, now, then, first, out):
    """As `_add_runs`, for groups of rows that are not merged by addition; now, then : (3, element) working memory."""
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
def _end_counts(kind, row, inner, full, tail, m, blocks, with_tail, level, out):
    """Add the tail to windows' counts, and remove a change that reaches back over zeros to before the window."""
    threshold = level[0] if kind == CROSSED else level[1]
    if not with_tail and not _any_zero(inner.reshape(inner.shape[0], -1), row + 2, 0, m * inner.shape[2]):
        return
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


def _window_sums(everything):
    """The kernel of all kinds of rows, or of those that add up alone: that one compiles in less time."""

    @kernel
    def window_sums(kinds, rows, edges, inner, full, tail, first, m, blocks, block_samples, tail_samples, level, out):
        """Compute windows of `blocks` whole blocks, plus a tail if tail_samples > 0; then move the blocks that the next
        windows share to the front. This is a single call, since calls from Python cost as much as the sums of a few
        windows.

        inner, full : (row, block, channel) sums of consecutive blocks; those of `full` before block `first` are linked
        already. tail : full sums of the first tail_samples of each block. edges : EDGES of each row. out : (row, window,
        channel), written for window i < m from inner[i], full[i + 1 .. i + blocks - 1] and tail[i + blocks]; where `inner`
        and `full` are equal, from `inner` alone. The arrays have WIDTH more blocks than are used.
        """
        _link(kinds, rows, full, first, m + blocks - 1 - first, level)
        n_c = full.shape[2]
        o, f, t = out.reshape(out.shape[0], -1), full.reshape(full.shape[0], -1), tail.reshape(tail.shape[0], -1)
        inner_flat = inner.reshape(inner.shape[0], -1)
        n = m * n_c
        levels = 1
        while blocks - 1 >> levels:
            levels += 1
        runs = np.empty((max(levels, 6), (m + blocks) * n_c + WIDTH))
        for g in range(len(kinds)):
            kind, row = kinds[g], rows[g]
            adds = kind == ADD or kind >= REACH
            if adds:
                _add_runs(f if kind >= REACH else inner_flat, row, m, n_c, blocks - 1, runs, inner_flat, o)
            elif everything:
                _merge_runs(kind, inner_flat, row, m, n_c, blocks, block_samples, runs[:3], runs[3:], inner_flat, o)
            here = blocks * n_c
            if kind >= CROSSED:
                _end_counts(kind, row, inner, full, tail, m, blocks, tail_samples > 0, level, out)
            elif tail_samples and adds:
                for i in range(0, n, WIDTH):
                    store(o, row, i, load(o, row, i) + load(t, row, here + i))
            elif tail_samples and everything:
                _follow(kind, o, row, 0, o, row, 0, blocks * block_samples, t, row, here, tail_samples, n, 0.0)
        for r in range(len(full)):
            for i in range(0, (blocks - 1) * n_c, WIDTH):
                store(inner_flat, r, i, load(inner_flat, r, n + i))
            if edges[r]:
                for i in range(0, (blocks - 1) * n_c, WIDTH):
                    store(f, r, i, load(f, r, n + i))

    return window_sums


window_sums = {everything: _window_sums(everything) for everything in (False, True)}
"""By whether a row of OTHERS is wanted."""


@kernel
def write(values, window, channel, n_samples, rows, forms, places, out, to):
    """Set out[to[i], places[f] :] to form `forms[f]` of the sums values[rows[f], window[i]] over `n_samples` samples.

    values : (kept row, window, channel). channel : the one channel of each i that is written, or empty for all.
    """
    n_channels = 1 if len(channel) else values.shape[2]
    few = n_channels < WIDTH
    spare = np.zeros((1, WIDTH))  # few channels use the same operations as many, or their last bits would differ
    for f in range(len(forms)):
        x, form, place = values[rows[f]], forms[f], places[f]
        n = fill(float(n_samples - 1 if form in (MEAN_OF_STEPS, ROOT_MEAN_OF_STEPS) else n_samples))
        for i in range(len(to)):
            if few:
                first = channel[i] if len(channel) else 0
                for c in range(n_channels):
                    spare[0, c] = x[window[i], first + c]
                store(spare, 0, 0, _formed(form, load(spare, 0, 0), n))
                for c in range(n_channels):
                    out[to[i], place + c] = spare[0, c]
                continue
            for c in range(0, n_channels, WIDTH):
                first = min(c, n_channels - WIDTH)  # the last register repeats some channels
                store(out, to[i], place + first, _formed(form, load(x, window[i], first), n))


@part
def _formed(form, y, n):
    """Apply a form to a register; n samples or differences."""
    if form != SUM:
        y = y / n
    if form in (ROOT_MEAN, ROOT_MEAN_OF_STEPS):
        y = simd.root(y)
    elif form == EXP_MEAN:
        # Squaring the exponential of half the argument covers the whole range of float64, and gives 0 at minus infinity.
        y = simd.exp(simd.higher(y * fill(0.5), fill(EXP_FLOOR)))
        y = y * y
    return y
