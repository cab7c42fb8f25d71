"""The compiled loops of burst detection; importing it costs numba's import, compiling is cached on disk.

All of them see the same thing: x (channel, time), the samples before it, and energies at times `begin` and on, where
`begin` is -1 once a sample went before (psi needs the next sample, so energy is one sample behind). They work through
tiles that stay in the processor's nearest cache; the energy of a sample depends on the `width` + 2 samples around it
alone, added in one order, so it is the same bits in whatever piece it is computed.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

TILE = 2048
_F64, _I64 = types.float64, types.int64
_BOOL = types.boolean[::1]
_SAMPLES = [types.Array(t, 2, "C", readonly=True) for t in (types.float32, types.float64)]


@njit(nogil=True, cache=True)
def teager_kaiser_rows(x, out):  # pragma: no cover - compiled
    """psi of each row. x: (row, time); out: (row, time - 2)."""
    n = out.shape[1]
    for r in range(len(x)):
        before, here, after, to = x[r, :n], x[r, 1 : n + 1], x[r, 2 : n + 2], out[r]
        for i in range(n):
            to[i] = here[i] * here[i] - before[i] * after[i]


@njit(nogil=True, cache=True)
def _add(x, step, terms, out, n):  # pragma: no cover - compiled
    """out[i] = x[i] + x[i + step] + ..., one to five terms, for i < n."""
    x0, x1 = x[:n], x[(terms > 1) * step :][:n]
    x2, x3, x4 = x[(terms > 2) * 2 * step :][:n], x[(terms > 3) * 3 * step :][:n], x[(terms > 4) * 4 * step :][:n]
    if terms == 1:
        for i in range(n):
            out[i] = x0[i]
    elif terms == 2:
        for i in range(n):
            out[i] = x0[i] + x1[i]
    elif terms == 3:
        for i in range(n):
            out[i] = x0[i] + x1[i] + x2[i]
    elif terms == 4:
        for i in range(n):
            out[i] = (x0[i] + x1[i]) + (x2[i] + x3[i])
    else:
        for i in range(n):
            out[i] = (x0[i] + x1[i]) + (x2[i] + x3[i]) + x4[i]


@njit(nogil=True, cache=True)
def _moving_sum(a, b, out, width, n):  # pragma: no cover - compiled
    """out[i] = a[i] + ... + a[i + width - 1] for i < n; a and b are overwritten.

    Sums of a few neighbours, then of a few of those, make up any width: every step runs in vector registers along
    time, nothing is ever subtracted, and no rounding error is carried along.
    """
    taken, size, left, length = 0, 1, width, n + width - 1
    while left > 5:
        base = 4
        for divisor in (2, 3, 5, 4):
            if left % divisor == 0:
                base = divisor
        for _ in range(left % base):
            if taken == 0:
                out[:n] = a[:n]
            else:
                part = a[taken : taken + n]
                for i in range(n):
                    out[i] += part[i]
            taken += size
        length -= (base - 1) * size
        _add(a, size, base, b, length)
        a, b = b, a
        size *= base
        left //= base
    if taken == 0:
        _add(a, size, left, out, n)
        return
    _add(a[taken:], size, left, b, n)
    for i in range(n):
        out[i] += b[i]


@njit(nogil=True, cache=True)
def _energy(x, before, start, stop, width, age, a, b, out):  # pragma: no cover - compiled
    """Energies of one channel at times start to stop. before: the last width + 1 samples before x.

    age: energies of this channel before `start` since the stream began; the first `width` are means of fewer.
    """
    n = stop - start
    first = start - width + 1
    count = n + width - 1
    edge = min(max(1 - first, 0), count)  # where psi still reaches into `before`
    for i in range(edge):
        j = first + i
        left = x[j - 1] if j >= 1 else before[width + j]
        here = x[j] if j >= 0 else before[width + 1 + j]
        right = x[j + 1] if j >= -1 else before[width + 2 + j]
        a[i] = abs(np.float64(here) * np.float64(here) - np.float64(left) * np.float64(right))
    rest = count - edge
    if rest > 0:
        j = first + edge
        left, here, right, to = x[j - 1 : j - 1 + rest], x[j : j + rest], x[j + 1 : j + 1 + rest], a[edge:count]
        for i in range(rest):
            to[i] = abs(np.float64(here[i]) * np.float64(here[i]) - np.float64(left[i]) * np.float64(right[i]))
    _moving_sum(a, b, out, width, n)
    scale = 1.0 / width
    fewer = min(max(width - 1 - age, 0), n)
    for i in range(fewer):
        out[i] *= 1.0 / (age + i + 1)
    for i in range(fewer, n):
        out[i] *= scale


@njit([types.void(x, _F64[:, ::1], _I64, _I64, _I64, _F64[:, ::1]) for x in _SAMPLES], cache=True, nogil=True)
def energies(x, before, begin, width, age, out):  # pragma: no cover - compiled
    """Every energy. out: (channel, time)."""
    a, b = np.empty(TILE + width), np.empty(TILE + width)
    n = out.shape[1]
    for c in range(len(x)):
        for t in range(0, n, TILE):
            stop = min(t + TILE, n)
            _energy(x[c], before[c], begin + t, begin + stop, width, age + t, a, b, out[c, t:stop])


@njit(nogil=True, cache=True, fastmath={"reassoc", "nnan", "nsz"})
def _moments(values):  # pragma: no cover - compiled
    """Mean, sum of squared deviations, least and greatest; free to sum in vector registers."""
    total, low, high = 0.0, values[0], values[0]
    for i in range(len(values)):
        v = values[i]
        total += v
        low = v if v < low else low
        high = v if v > high else high
    mean = total / len(values)
    squares = 0.0
    for i in range(len(values)):
        squares += (values[i] - mean) ** 2
    return mean, squares, low, high


@njit([types.void(x, _F64[:, ::1], _I64, _I64, _I64, _I64, _F64[:, :, ::1]) for x in _SAMPLES], cache=True, nogil=True)
def segments(x, before, begin, width, age, size, out):  # pragma: no cover - compiled
    """Mean, sum of squared deviations, least and greatest energy of each `size` samples. out: (channel, segment, 4)."""
    a, b, e = np.empty(TILE + size + width), np.empty(TILE + size + width), np.empty(TILE + size)
    n = out.shape[1]
    at_once = TILE // size + 1
    for c in range(len(x)):
        for s in range(0, n, at_once):
            last = min(s + at_once, n)
            _energy(x[c], before[c], begin + s * size, begin + last * size, width, age + s * size, a, b, e)
            for i in range(s, last):
                out[c, i] = _moments(e[(i - s) * size : (i - s + 1) * size])


@njit(
    [
        types.void(
            x, _F64[:, ::1], _I64, _I64, _I64, _F64[::1], _I64, _I64, types.Array(_F64, 3, "C", readonly=True), _BOOL
        )
        for x in _SAMPLES
    ],
    cache=True,
    nogil=True,
)
def crossings(x, before, begin, width, age, limit, needed, size, known, out):  # pragma: no cover - compiled
    """Is the energy above its limit in at least `needed` channels? out: (time,) of booleans.

    known : what `segments` gave of segments of that size, or (channel, 0, 4). Where it settles the answer for a whole
        segment, nothing is computed again.
    """
    a, b, e, votes = np.empty(TILE + width), np.empty(TILE + width), np.empty(TILE), np.empty(TILE, np.int64)
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
            _energy(x[c], before[c], begin + t, begin + stop, width, age + t, a, b, e)
            for i in range(count):
                votes[i] += e[i] > limit[c]
        for i in range(count):
            out[t + i] = votes[i] >= needed
        t = stop
