"""The compiled loops of burst detection. Importing this module imports numba; compiled code is cached on disk.

All loops have the same inputs: x (channel, time), the samples before it, and the time `begin` of the first energy,
which is -1 if there is an earlier sample (psi needs the next sample, so the energy is one sample behind). They process
tiles that fit in the first-level cache. The energy of a sample depends only on the `width` + 2 samples around it, added
in a fixed order, so it has the same bits in whichever piece it is computed.
"""

from __future__ import annotations

import numpy as np

from myograph._common import simd
from myograph._common.jit import njit
from myograph._common.simd import WIDTH, fill, load, neighbours, rows_of, store

TILE = 2048
PSI, OTHER, OUT = range(3)  # rows of a tile


@njit(nogil=True, cache=True)
def teager_kaiser_rows(x, out):  # pragma: no cover - compiled
    """psi of each row. x: (row, time); out: (row, time - 2)."""
    n = out.shape[1]
    for r in range(len(x)):
        before, here, after, to = x[r, :n], x[r, 1 : n + 1], x[r, 2 : n + 2], out[r]
        for i in range(n):
            to[i] = here[i] * here[i] - before[i] * after[i]


@njit(nogil=True, cache=True)
def _add(w, a, at, step, terms, b, n):  # pragma: no cover - compiled
    """w[b, i] = w[a, at + i] + w[a, at + i + step] + ..., one to five terms, for i < n."""
    if terms == 1:
        for i in range(0, n, WIDTH):
            store(w, b, i, load(w, a, at + i))
    elif terms == 2:
        for i in range(0, n, WIDTH):
            store(w, b, i, load(w, a, at + i) + load(w, a, at + i + step))
    elif terms == 3:
        for i in range(0, n, WIDTH):
            store(w, b, i, load(w, a, at + i) + load(w, a, at + i + step) + load(w, a, at + i + 2 * step))
    else:
        for i in range(0, n, WIDTH):
            two = load(w, a, at + i) + load(w, a, at + i + step)
            two = two + (load(w, a, at + i + 2 * step) + load(w, a, at + i + 3 * step))
            if terms == 5:
                two = two + load(w, a, at + i + 4 * step)
            store(w, b, i, two)


@njit(nogil=True, cache=True)
def _add_eight(w, a, b, n):  # pragma: no cover - compiled
    """w[b, i] = w[a, i] + ... + w[a, i + 7] for i < n, which shifts registers instead of loading each term like `_add`."""
    one, after = load(w, a, 0), load(w, a, WIDTH)
    two = one + neighbours(one, after, 1)
    one, after = after, load(w, a, 2 * WIDTH)
    next_two = one + neighbours(one, after, 1)
    four = two + neighbours(two, next_two, 2)
    for i in range(0, n, WIDTH):
        one, two, after = after, next_two, load(w, a, i + 3 * WIDTH)
        next_two = one + neighbours(one, after, 1)
        next_four = two + neighbours(two, next_two, 2)
        store(w, b, i, four + neighbours(four, next_four, 4))
        four = next_four


@njit(nogil=True, cache=True)
def _moving_sum(w, width, n):  # pragma: no cover - compiled
    """w[OUT, i] = w[PSI, i] + ... + w[PSI, i + width - 1] for i < n; the other rows are overwritten.

    Any width is composed of sums of a few neighbours, and of sums of these: every step runs in vector registers along
    time, nothing is subtracted, and rounding errors do not accumulate.
    """
    # No literals as arguments, because a function would be compiled again for each of them.
    a, b, taken, size = np.int64(PSI), np.int64(OTHER), np.int64(0), np.int64(1)
    left, length = width, n + width - 1
    while left:
        base = min(left, 4)
        for divisor in (2, 3, 5, 4):
            if left % divisor == 0:
                base = divisor
        if left == 5 or (size == 1 and left >= 8):
            base = min(left, 8)
        rest, last = left % base, left == base
        while rest:
            terms = min(rest, 5)
            _add(w, a, taken, size, terms, b if taken else OUT, n)
            if taken:
                _plus(w, b, n)
            taken += terms * size
            rest -= terms
        length -= (base - 1) * size
        to, at, length = (b if taken else OUT, taken, n) if last else (b, 0, length)
        if base == 8 and not (last and taken):
            _add_eight(w, a, to, length)
        else:
            _add(w, a, at, size, base, to, length)
        if last:
            break
        a, b = b, a
        size *= base
        left //= base
    if taken:
        _plus(w, b, n)


@njit(nogil=True, cache=True)
def _plus(w, a, n):  # pragma: no cover - compiled
    for i in range(0, n, WIDTH):
        store(w, OUT, i, load(w, OUT, i) + load(w, a, i))


@njit(nogil=True, cache=True)
def _psi(x, c, before, first, count, width, w):  # pragma: no cover - compiled
    """w[PSI, i] = |psi| of channel c at time first + i, for i < count. before: the last width + 1 samples before x."""
    edge = min(max(1 - first, 0), count)  # number of values of psi that need `before`
    lanes = edge + (count - edge) // WIDTH * WIDTH
    flat, ahead = x.reshape(-1), c * x.shape[1] + first + TILE
    for i in range(edge, lanes, WIDTH):
        j = first + i
        simd.prefetch(flat, ahead + i)
        here = load(x, c, j)
        store(w, PSI, i, abs(here * here - load(x, c, j - 1) * load(x, c, j + 1)))
    for k in range(edge + count - lanes):
        i = k if k < edge else lanes + k - edge
        j = first + i
        left = x[c, j - 1] if j >= 1 else before[c, width + j]
        here = x[c, j] if j >= 0 else before[c, width + 1 + j]
        right = x[c, j + 1] if j >= -1 else before[c, width + 2 + j]
        w[PSI, i] = abs(np.float64(here) * np.float64(here) - np.float64(left) * np.float64(right))


@njit(nogil=True, cache=True)
def _energy(x, c, before, start, stop, width, age, w):  # pragma: no cover - compiled
    """w[OUT] holds `width` times the energies of channel c at times start to stop.

    age: number of energies of this channel before `start`; the first `width` of the stream are means of fewer values.
    """
    n = stop - start
    _psi(x, c, before, start - width + 1, n + width - 1, width, w)
    _moving_sum(w, width, n)
    for i in range(min(width - 1 - age, n)):
        w[OUT, i] *= width / (age + i + 1)


@njit(nogil=True, cache=True)
def _room(width):  # pragma: no cover - compiled
    """Return rows for TILE energies, the samples before that they need, and padding that is read and written."""
    return rows_of(3, (TILE + width) // WIDTH * WIDTH + 5 * WIDTH)


@njit(nogil=True, cache=True)
def energies(x, before, begin, width, age, out):  # pragma: no cover - compiled
    """Compute all energies. out: (channel, time)."""
    w, scale = _room(width), 1.0 / width
    n = out.shape[1]
    for c in range(len(x)):
        for t in range(0, n, TILE):
            stop = min(t + TILE, n)
            _energy(x, c, before, begin + t, begin + stop, width, age + t, w)
            to, found = out[c, t:stop], w[OUT]
            for i in range(len(to)):
                to[i] = found[i] * scale


@njit(nogil=True, cache=True)
def _moments(w, begin, n):  # pragma: no cover - compiled
    """Return mean, sum of squared deviations, minimum and maximum of w[OUT, begin : begin + n]."""
    lanes = n - n % WIDTH
    total, low, high = 0.0, w[OUT, begin], w[OUT, begin]
    if lanes:
        sums, least, most = fill(0.0), fill(low), fill(high)
        for i in range(begin, begin + lanes, WIDTH):
            v = load(w, OUT, i)
            sums, least, most = sums + v, simd.lower(v, least), simd.higher(v, most)
        total, low, high = simd.total(sums), simd.least(least), simd.greatest(most)
    for i in range(begin + lanes, begin + n):
        v = w[OUT, i]
        total += v
        low, high = min(low, v), max(high, v)
    mean = total / n
    squares, centre = fill(0.0), fill(mean)
    for i in range(begin, begin + lanes, WIDTH):
        d = load(w, OUT, i) - centre
        squares = simd.muladd(d, d, squares)
    total = simd.total(squares)
    for i in range(begin + lanes, begin + n):
        total += (w[OUT, i] - mean) ** 2
    return mean, total, low, high


@njit(nogil=True, cache=True)
def segments(x, before, begin, width, age, size, out):  # pragma: no cover - compiled
    """Compute mean, sum of squared deviations, minimum and maximum energy of each `size` samples. out: (channel,
    segment, 4).
    """
    at_once = max(TILE // size, 1)
    w, scale = _room(max(width, width + size - TILE)), 1.0 / width
    n = out.shape[1]
    for c in range(len(x)):
        for s in range(0, n, at_once):
            last = min(s + at_once, n)
            _energy(x, c, before, begin + s * size, begin + last * size, width, age + s * size, w)
            for i in range(s, last):
                mean, squares, low, high = _moments(w, (i - s) * size, size)
                to = out[c, i]
                to[0], to[1], to[2], to[3] = mean * scale, squares * scale * scale, low * scale, high * scale


@njit(nogil=True, cache=True)
def crossings(x, before, begin, width, age, limit, needed, size, known, out):  # pragma: no cover - compiled
    """Compute whether the energy is above its limit in at least `needed` channels. out: (time,) booleans.

    known : result of `segments` for this size, or (channel, 0, 4). Segments for which it determines the result are
        not computed again.
    """
    w, votes, scale = _room(width), np.empty(TILE, np.int64), 1.0 / width
    n, n_channels = len(out), len(x)
    open_channels = np.empty(n_channels, np.int64)
    t = 0
    while t < n:
        segment = t // size
        stop, sure, n_open = min(t + TILE, n), 0, 0
        for c in range(n_channels):
            if segment < known.shape[1] and known[c, segment, 2] > limit[c]:
                sure += 1
            elif segment >= known.shape[1] or known[c, segment, 3] > limit[c]:
                open_channels[n_open] = c
                n_open += 1
        if segment < known.shape[1]:
            stop = min(stop, (segment + 1) * size)
        if sure >= needed or sure + n_open < needed:
            out[t:stop] = sure >= needed
            t = stop
            continue
        count = stop - t
        votes[:count] = sure
        for o in range(n_open):
            c = open_channels[o]
            _energy(x, c, before, begin + t, begin + stop, width, age + t, w)
            found = w[OUT]
            for i in range(count):
                votes[i] += found[i] * scale > limit[c]
        for i in range(count):
            out[t + i] = votes[i] >= needed
        t = stop
