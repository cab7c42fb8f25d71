"""Compiled loops behind the fast features: partial sums of step-long blocks of samples (`_merges` makes windows of them).

A tile holds up to ROWS samples of up to LANES lanes in the first-level cache, a lane being one channel of one block,
so that the inner loops run over lanes with unit stride. Two sets of sums are kept of each block: `inner`, of the block
by itself, and `full`, with the differences that reach back over its left edge. A window is the inner sums of its first
block merged with the full sums of the others. Nothing is ever subtracted: variances merge (mean, sum of squared
deviations), softmax entropies (maximum, sum, weighted sum), crossings (count, first and last value that is not zero).
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

LANES = 48
ROWS = 32

# Rows of a tile's accumulators. Those that add up, then those that merge in other ways, then the sums of ln(x^2 + EPS)
# in the place of x: LOG + SQUARE, LOG + STEP, ...
ABS, SQUARE, LOG_1P, LOG_ABS, ROOT_POSITIVE, ROOT_NEGATIVE, CUBE, TOTAL, ABOVE = range(9)
STEP, STEP_SQUARE, STEP_ABOVE, BEND, BEND_SQUARE = range(9, 14)
CROSSINGS, CROSSINGS_FIRST, CROSSINGS_LAST, TURNS, TURNS_FIRST, TURNS_LAST = range(14, 20)
MEAN, DEVIATION, PEAK, SOFT_PEAK, SOFT_TOTAL, SOFT_WEIGHTED = range(20, 26)
LOG = 26
N_ROWS = LOG + 14
ADDS = (np.arange(N_ROWS) < CROSSINGS) | (np.arange(N_ROWS) >= LOG)

LN2 = math.log(2.0)
LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
LOG2_E = 1 / LN2
SMALLEST_NORMAL = float(np.finfo(np.float64).tiny)
EPS = float(np.finfo(np.float64).eps)
LARGEST = float(np.finfo(np.float64).max)
EXP_FLOOR = -708.0
FRACTION, ONE_BITS = np.int64(0x000FFFFFFFFFFFFF), np.int64(0x3FF0000000000000)


@njit(nogil=True, cache=True, error_model="numpy")
def _exp(v, n, out, bits):
    """out[:n] = exp(v[:n]) for v <= 0, clipped below at EXP_FLOOR; `bits` is the int64 view of scratch `n` long."""
    scale = bits.view(np.float64)
    for i in range(n):
        x = max(v[i], EXP_FLOOR)
        k = np.floor(x * LOG2_E + 0.5)
        r = (x - k * LN2_HIGH) - k * LN2_LOW
        bits[i] = (np.int64(k) + 1023) << 52
        p = 1 / 6227020800.0
        p = p * r + 1 / 479001600.0
        p = p * r + 1 / 39916800.0
        p = p * r + 1 / 3628800.0
        p = p * r + 1 / 362880.0
        p = p * r + 1 / 40320.0
        p = p * r + 1 / 5040.0
        p = p * r + 1 / 720.0
        p = p * r + 1 / 120.0
        p = p * r + 1 / 24.0
        p = p * r + 1 / 6.0
        p = p * r + 0.5
        p = p * r + 1.0
        out[i] = p * r + 1.0
    for i in range(n):
        out[i] *= scale[i]


@njit(nogil=True, cache=True, error_model="numpy")
def _log(v, n, out, bits):
    """out[:n] = ln(v[:n]) for normal v > 0."""
    value = bits.view(np.float64)
    for i in range(n):
        value[i] = v[i]
    for i in range(n):
        out[i] = float((bits[i] >> 52) - 1023)
        bits[i] = (bits[i] & FRACTION) | ONE_BITS
    for i in range(n):
        m, e = value[i], out[i]
        high = m > 1.4142135623730951
        m = 0.5 * m if high else m
        e = e + 1.0 if high else e
        s = (m - 1.0) / (m + 1.0)
        z = s * s
        p = 1 / 23.0
        p = p * z + 1 / 21.0
        p = p * z + 1 / 19.0
        p = p * z + 1 / 17.0
        p = p * z + 1 / 15.0
        p = p * z + 1 / 13.0
        p = p * z + 1 / 11.0
        p = p * z + 1 / 9.0
        p = p * z + 1 / 7.0
        p = p * z + 1 / 5.0
        p = p * z + 1 / 3.0
        p = p * z + 1.0
        out[i] = e * LN2 + 2.0 * s * p


@njit(nogil=True, cache=True, error_model="numpy")
def _sizes(buf, rows, n, cubes, totals, acc):
    for t in range(2, rows + 2):
        for i in range(n):
            v = abs(buf[t, i])
            acc[ABS, i] += v
            acc[SQUARE, i] += v * v
    if cubes:
        for t in range(2, rows + 2):
            for i in range(n):
                v = abs(buf[t, i])
                acc[CUBE, i] += v * v * v
    if totals:
        for t in range(2, rows + 2):
            for i in range(n):
                acc[TOTAL, i] += buf[t, i]


@njit(nogil=True, cache=True, error_model="numpy")
def _roots(buf, rows, n, acc):
    for t in range(2, rows + 2):
        for i in range(n):
            acc[ROOT_POSITIVE, i] += math.sqrt(max(buf[t, i], 0.0))
            acc[ROOT_NEGATIVE, i] += math.sqrt(max(-buf[t, i], 0.0))


@njit(nogil=True, cache=True, error_model="numpy")
def _add_logs_1p(buf, rows, n, acc, scratch, bits):
    """acc[LOG_1P] += sum of ln(1 + |x|); products of eight are taken apart, unless one of them overflows."""
    value = bits.view(np.float64)
    for i in range(n):
        scratch[0, i] = 1.0
        scratch[1, i] = 0.0
    for first in range(2, rows + 2, 8):
        for t in range(first, min(first + 8, rows + 2)):
            for i in range(n):
                scratch[0, i] *= 1.0 + abs(buf[t, i])
        for i in range(n):
            value[i] = scratch[0, i]
        for i in range(n):
            scratch[1, i] += float((bits[i] >> 52) - 1023)
            bits[i] = (bits[i] & FRACTION) | ONE_BITS
        overflow = 0.0
        for i in range(n):
            overflow += 1.0 if scratch[0, i] > LARGEST else 0.0
            scratch[0, i] = value[i]
        if overflow > 0.0:
            _add_logs(buf, rows, n, 1.0, acc, LOG_1P, scratch, bits)
            return
    _log(scratch[0], n, scratch[2], bits)
    for i in range(n):
        acc[LOG_1P, i] += scratch[1, i] * LN2 + scratch[2, i]


@njit(nogil=True, cache=True, error_model="numpy")
def _add_logs(buf, rows, n, shift, acc, row, product, bits):
    """acc[row] += sum of ln(shift + |x|): exponents add, mantissas multiply, one logarithm at the end."""
    value = bits.view(np.float64)
    for i in range(n):
        product[0, i] = 1.0
        product[1, i] = 0.0
    for t in range(2, rows + 2):
        for i in range(n):
            v = shift + abs(buf[t, i])
            small = v < SMALLEST_NORMAL
            value[i] = v * 18014398509481984.0 if small else v
            product[1, i] -= 54.0 if small else 0.0
        for i in range(n):
            product[1, i] += float((bits[i] >> 52) - 1023)
            bits[i] = (bits[i] & FRACTION) | ONE_BITS
        for i in range(n):
            product[0, i] *= value[i] if shift + abs(buf[t, i]) > 0.0 else 0.0
    for i in range(n):
        acc[row, i] += product[1, i] * LN2 + math.log(product[0, i])


@njit(nogil=True, cache=True, error_model="numpy")
def _steps(buf, begin, end, n, level, acc):
    """Differences of the buffer's rows begin .. end - 1 from the rows before them."""
    for t in range(begin, end):
        for i in range(n):
            d = abs(buf[t, i] - buf[t - 1, i])
            acc[STEP, i] += d
            acc[STEP_SQUARE, i] += d * d
            acc[STEP_ABOVE, i] += 1.0 if d > level else 0.0


@njit(nogil=True, cache=True, error_model="numpy")
def _bends(buf, begin, end, n, acc):
    """Second differences that end in the buffer's rows begin .. end - 1."""
    for t in range(begin, end):
        for i in range(n):
            d = (buf[t, i] - buf[t - 1, i]) - (buf[t - 1, i] - buf[t - 2, i])
            acc[BEND, i] += abs(d)
            acc[BEND_SQUARE, i] += d * d


@njit(nogil=True, cache=True, error_model="numpy")
def _crossings(buf, begin, end, n, level, acc):
    for t in range(begin, end):
        for i in range(n):
            v, p, f = buf[t, i], acc[CROSSINGS_LAST, i], acc[CROSSINGS_FIRST, i]
            hit = (((v > 0) & (p < 0)) | ((v < 0) & (p > 0))) & (abs(v - p) >= level)
            acc[CROSSINGS, i] += 1.0 if hit else 0.0
            acc[CROSSINGS_LAST, i] = v if v != 0 else p
            acc[CROSSINGS_FIRST, i] = v if f == 0 else f


@njit(nogil=True, cache=True, error_model="numpy")
def _turns(buf, begin, end, n, level, acc):
    for t in range(begin, end):
        for i in range(n):
            d, p, f = buf[t, i] - buf[t - 1, i], acc[TURNS_LAST, i], acc[TURNS_FIRST, i]
            hit = (((d > 0) & (p < 0)) | ((d < 0) & (p > 0))) & (max(abs(d), abs(p)) >= level)
            acc[TURNS, i] += 1.0 if hit else 0.0
            acc[TURNS_LAST, i] = d if d != 0 else p
            acc[TURNS_FIRST, i] = d if f == 0 else f


@njit(nogil=True, cache=True, error_model="numpy")
def _changes(buf, begin, end, n, level, acc, scratch):
    """What `_steps`, `_crossings` and `_turns` add for the buffer's rows begin .. end - 1, where no sample and no step is zero.

    Says whether that was so; if not, only the steps are right.
    """
    for i in range(n):
        scratch[0, i] = 0.0
        scratch[1, i] = 0.0
        scratch[2, i] = 0.0
    for t in range(begin, end):
        for i in range(n):
            v, p = buf[t, i], buf[t - 1, i]
            d, before = v - p, p - buf[t - 2, i]
            size = abs(d)
            acc[STEP, i] += size
            acc[STEP_SQUARE, i] += d * d
            acc[STEP_ABOVE, i] += 1.0 if size > level[2] else 0.0
            scratch[0, i] += 1.0 if ((v < 0) != (p < 0)) & (size >= level[0]) else 0.0
            scratch[1, i] += 1.0 if ((d < 0) != (before < 0)) & (max(size, abs(before)) >= level[1]) else 0.0
            scratch[2, i] += 1.0 if (v == 0) | (d == 0) | (p == 0) | (before == 0) else 0.0
    zeros = 0.0
    for i in range(n):
        zeros += scratch[2, i]
    if zeros > 0.0:
        return False
    for i in range(n):
        acc[CROSSINGS, i] += scratch[0, i]
        acc[TURNS, i] += scratch[1, i]
        acc[CROSSINGS_LAST, i] = buf[end - 1, i]
        acc[TURNS_LAST, i] = buf[end - 1, i] - buf[end - 2, i]
    return True


@njit(nogil=True, cache=True, error_model="numpy")
def _deviations(buf, rows, n, seen, acc, scratch):
    """Merge mean and sum of squared deviations of the buffer's samples into those of the `seen` samples before."""
    for i in range(n):
        scratch[0, i] = 0.0
        scratch[1, i] = 0.0
    # Relative to the first sample, so that a constant block deviates by exactly zero.
    for t in range(3, rows + 2):
        for i in range(n):
            scratch[0, i] += buf[t, i] - buf[2, i]
    for i in range(n):
        scratch[0, i] = buf[2, i] + scratch[0, i] / rows
    for t in range(2, rows + 2):
        for i in range(n):
            d = buf[t, i] - scratch[0, i]
            scratch[1, i] += d * d
    share = rows / (seen + rows)
    for i in range(n):
        d = scratch[0, i] - acc[MEAN, i]
        acc[MEAN, i] = acc[MEAN, i] + d * share if seen else scratch[0, i]
        acc[DEVIATION, i] += scratch[1, i] + (d * d * (seen * share) if seen else 0.0)


@njit(nogil=True, cache=True, error_model="numpy")
def _softmax(buf, rows, n, seen, acc, scratch, bits):
    """Merge the softmax sums of the buffer's samples into those of the `seen` samples before."""
    m, e = scratch[0], scratch[1]
    for i in range(n):
        m[i] = buf[2, i]
    for t in range(3, rows + 2):
        for i in range(n):
            m[i] = max(m[i], buf[t, i])
    if seen:
        for i in range(n):
            m[i] = max(m[i], acc[SOFT_PEAK, i])
            acc[SOFT_PEAK, i] = max(acc[SOFT_PEAK, i] - m[i], EXP_FLOOR)
        _exp(acc[SOFT_PEAK], n, e, bits)
        for i in range(n):
            weighted, total = acc[SOFT_WEIGHTED, i], acc[SOFT_TOTAL, i]
            acc[SOFT_WEIGHTED, i] = e[i] * (weighted + acc[SOFT_PEAK, i] * total)
            acc[SOFT_TOTAL, i] = e[i] * total
    for i in range(n):
        acc[SOFT_PEAK, i] = m[i]
    for t in range(2, rows + 2):
        for i in range(n):
            m[i] = max(buf[t, i] - acc[SOFT_PEAK, i], EXP_FLOOR)
        _exp(m, n, e, bits)
        for i in range(n):
            acc[SOFT_TOTAL, i] += e[i]
            acc[SOFT_WEIGHTED, i] += m[i] * e[i]


@njit(nogil=True, cache=True, error_model="numpy")
def _add_tile(buf, logs, rows, n, seen, want, level, acc, edge, scratch, bits):
    """Add `rows` samples of `n` lanes to the accumulators of their blocks, of which `seen` samples came before.

    buf : (ROWS + 2, LANES), samples from row 2 on, the two before them in rows 0 and 1.
    level : thresholds of crossings, turns, steps and samples.
    """
    end = rows + 2
    step_begin, bend_begin = (2, 2) if seen else (3, min(4, end))
    if want[ABS] or want[SQUARE] or want[CUBE] or want[TOTAL]:
        _sizes(buf, rows, n, want[CUBE], want[TOTAL], acc)
    if want[ABOVE]:
        for t in range(2, end):
            for i in range(n):
                acc[ABOVE, i] += 1.0 if abs(buf[t, i]) >= level[3] else 0.0
    if want[ROOT_POSITIVE]:
        _roots(buf, rows, n, acc)
    if want[LOG_1P]:
        _add_logs_1p(buf, rows, n, acc, scratch, bits)
    if want[LOG_ABS]:
        _add_logs(buf, rows, n, 0.0, acc, LOG_ABS, scratch, bits)
    steps = want[STEP] or want[STEP_SQUARE] or want[STEP_ABOVE]
    if want[BEND] or want[BEND_SQUARE]:
        _bends(buf, 2, bend_begin, n, edge)
        _bends(buf, bend_begin, end, n, acc)
    # The first two rows of a block set the first values; after them all three may go in one pass, if it is long.
    middle = end if rows < 24 else (2 if seen else 4)
    if steps:
        _steps(buf, 2, step_begin, n, level[2], edge)
        _steps(buf, step_begin, middle, n, level[2], acc)
    if want[CROSSINGS]:
        _crossings(buf, 2, middle, n, level[0], acc)
    if want[TURNS]:
        _turns(buf, 2, step_begin, n, level[1], edge)
        _turns(buf, step_begin, middle, n, level[1], acc)
    if middle < end and steps and want[CROSSINGS] and want[TURNS]:
        steps = False
        if not _changes(buf, middle, end, n, level, acc, scratch):
            _crossings(buf, middle, end, n, level[0], acc)
            _turns(buf, middle, end, n, level[1], acc)
    elif middle < end:
        if want[CROSSINGS]:
            _crossings(buf, middle, end, n, level[0], acc)
        if want[TURNS]:
            _turns(buf, middle, end, n, level[1], acc)
    if steps:
        _steps(buf, middle, end, n, level[2], acc)
    if want[LOG + SQUARE]:
        for t in range(end):
            for i in range(n):
                scratch[0, i] = buf[t, i] * buf[t, i] + EPS
            _log(scratch[0], n, logs[t], bits)
        log_acc, log_edge = acc[LOG:], edge[LOG:]
        _sizes(logs, rows, n, False, False, log_acc)
        _steps(logs, 2, step_begin, n, np.inf, log_edge)
        _steps(logs, step_begin, end, n, np.inf, log_acc)
        _bends(logs, 2, bend_begin, n, log_edge)
        _bends(logs, bend_begin, end, n, log_acc)
    if want[MEAN]:
        _deviations(buf, rows, n, seen, acc, scratch)
    if want[PEAK]:
        for t in range(2, end):
            for i in range(n):
                acc[PEAK, i] = max(acc[PEAK, i], buf[t, i])
    if want[SOFT_PEAK]:
        _softmax(buf, rows, n, seen, acc, scratch, bits)


@njit(nogil=True, cache=True, error_model="numpy")
def _load(signal, c0, n_c, first, rows, lane, buf):
    """buf[2:][t, lane + c] = signal[c0 + c, first + t], four channels at a time so that stores are contiguous."""
    for c in range(0, n_c - 3, 4):
        c1 = c0 + c
        s0, s1 = signal[c1, first : first + rows], signal[c1 + 1, first : first + rows]
        s2, s3 = signal[c1 + 2, first : first + rows], signal[c1 + 3, first : first + rows]
        to = lane + c
        for t in range(rows):
            buf[t + 2, to] = s0[t]
            buf[t + 2, to + 1] = s1[t]
            buf[t + 2, to + 2] = s2[t]
            buf[t + 2, to + 3] = s3[t]
    for c in range(n_c - n_c % 4, n_c):
        s = signal[c0 + c, first : first + rows]
        for t in range(rows):
            buf[t + 2, lane + c] = s[t]


@njit(nogil=True, cache=True, error_model="numpy")
def _store(acc, edge, kept, adds, n_b, n_c, b0, c0, out):
    """Write the kept rows of a tile to its blocks and channels, the sums with what `edge` adds to them."""
    for k in range(len(kept)):
        row = kept[k]
        plus = 1.0 if adds[row] else 0.0
        for b in range(n_b):
            to = out[k, b0 + b]
            lane = b * n_c
            for c in range(n_c):
                to[c0 + c] = acc[row, lane + c] + plus * edge[row, lane + c]


@njit(nogil=True, cache=True, error_model="numpy")
def block_sums(signal, start, length, want, kept, adds, level, first, inner, full):
    """Sums of blocks of `length` samples.

    signal : (channel, time); start : (block,) first samples.
    want : (N_ROWS,) bool; kept : rows of the accumulators to write, in the order of `inner` and `full`.
    adds : (N_ROWS,) bool, the rows that add up.
    inner, full : (kept row, block, channel), written from block `first` on.
    """
    n_channels = signal.shape[0]
    width = min(n_channels, LANES)
    together = max(1, LANES // width)
    buf = np.zeros((ROWS + 2, LANES))
    logs = np.zeros((ROWS + 2, LANES))
    acc = np.zeros((N_ROWS, LANES))
    edge = np.zeros((N_ROWS, LANES))
    nothing = np.zeros(N_ROWS, np.bool_)
    scratch = np.zeros((3, LANES))
    bits = np.zeros(LANES, np.int64)
    for c0 in range(0, n_channels, width):
        n_c = min(width, n_channels - c0)
        for b0 in range(0, len(start), together):
            n_b = min(together, len(start) - b0)
            n = n_c * n_b
            for k in range(len(kept)):
                row = kept[k]
                at_first = -np.inf if row == PEAK else 0.0
                for i in range(n):
                    acc[row, i] = at_first
                    edge[row, i] = 0.0
            for b in range(n_b):
                t = start[b0 + b]
                for c in range(n_c):
                    buf[0, b * n_c + c] = signal[c0 + c, t - 2] if t >= 2 else 0.0
                    buf[1, b * n_c + c] = signal[c0 + c, t - 1] if t >= 1 else 0.0
            for seen in range(0, length, ROWS):
                rows = min(ROWS, length - seen)
                if seen:
                    for i in range(n):
                        buf[0, i] = buf[ROWS, i]
                        buf[1, i] = buf[ROWS + 1, i]
                for b in range(n_b):
                    _load(signal, c0, n_c, start[b0 + b] + seen, rows, b * n_c, buf)
                _add_tile(buf, logs, rows, n, seen, want, level, acc, edge, scratch, bits)
            _store(acc, edge, kept, nothing, n_b, n_c, first + b0, c0, inner)
            if want[TURNS]:
                _close_turns(n, level[1], acc, edge)
            _store(acc, edge, kept, adds, n_b, n_c, first + b0, c0, full)


@njit(nogil=True, cache=True, error_model="numpy")
def _close_turns(n, level, acc, edge):
    """Put the slope that reaches back over the left edge before the block's own slopes."""
    for i in range(n):
        d, f, z = edge[TURNS_FIRST, i], acc[TURNS_FIRST, i], acc[TURNS_LAST, i]
        hit = (((d > 0) & (f < 0)) | ((d < 0) & (f > 0))) & (max(abs(d), abs(f)) >= level)
        acc[TURNS, i] += 1.0 if hit else 0.0
        acc[TURNS_FIRST, i] = d if d != 0 else f
        acc[TURNS_LAST, i] = z if z != 0 else d
