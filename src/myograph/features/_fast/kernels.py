"""Compiled loops behind the fast features: partial sums of blocks of samples, one step long (`merges` combines them).

A tile holds up to ROWS samples of up to LANES lanes in the first-level cache; a lane is one channel of one block. Eight
lanes at a time keep their sums in registers over the tile's samples (`_common.simd`). Each block has two sets of sums:
`inner`, of the block alone, and `full`, including the differences that reach back over its left edge. A window is the
inner sums of its first block merged with the full sums of the others. Nothing is ever subtracted: variances are merged
as (mean, sum of squared deviations), softmax entropies as (maximum, sum without it, weighted sum), and crossings as
(count, first and last nonzero value).
"""

from __future__ import annotations

import numpy as np

from myograph._common import simd
from myograph._common.jit import kernel, part
from myograph._common.simd import WIDTH, fill, load, store
from myograph.features._base import EXP_FLOOR

LANES, ROWS = 48, 48  # of a tile; twice as many lanes if blocks are at most half as long

# Rows of a tile's accumulators: those that are added, then those that are merged in other ways, then the sums of
# ln(x^2 + EPS) instead of x: LOG + SQUARE, LOG + STEP, ...
ABS, SQUARE, LOG_1P, STEP, STEP_SQUARE, STEP_ABOVE = range(6)
LOG_ABS, ROOT_POSITIVE, ROOT_NEGATIVE, CUBE, TOTAL, ABOVE, BEND, BEND_SQUARE = range(6, 14)
CROSSINGS, CROSSINGS_FIRST, CROSSINGS_LAST, TURNS, TURNS_FIRST, TURNS_LAST = range(14, 20)
MEAN, DEVIATION, PEAK, SOFT_PEAK, SOFT_OTHERS, SOFT_WEIGHTED = range(20, 26)
LOG = 26
N_ROWS = LOG + 14
ADDS = (np.arange(N_ROWS) < CROSSINGS) | (np.arange(N_ROWS) >= LOG)
# How a block's `full` sum differs from its `inner` sum: not at all (one array then holds both); by an added term for the
# left edge; or in another way, for counts of sign changes.
ALONE, ADDED, COUNTED = range(3)
EDGES = np.full(N_ROWS, ALONE, np.int8)
for _row in (STEP, STEP_SQUARE, STEP_ABOVE, BEND, BEND_SQUARE):
    EDGES[[_row, LOG + _row]] = ADDED
EDGES[CROSSINGS:MEAN] = COUNTED
# The rows outside OTHERS serve the most used features, such as MAV, WL, ZC, SSC, RMS, MOB and COMP. There is a kernel for
# these alone and one for all rows, because the compilation time grows with the number of sums.
OTHERS = np.ones(N_ROWS, np.bool_)
OTHERS[[ABS, SQUARE, STEP, STEP_SQUARE, STEP_ABOVE, BEND, BEND_SQUARE, *range(CROSSINGS, MEAN)]] = False

SMALLEST_NORMAL = float(np.finfo(np.float64).tiny)
EPS = float(np.finfo(np.float64).eps)


@part
def _plain_sums(buf, rows, n, level, acc):
    """CUBE, TOTAL, ABOVE and PEAK. All four together cost about as much as one of them."""
    one = fill(1.0)
    for i in range(0, n, WIDTH):
        cube, total, above = load(acc, CUBE, i), load(acc, TOTAL, i), load(acc, ABOVE, i)
        peak = load(acc, PEAK, i)
        for t in range(2, rows + 2):
            v = load(buf, t, i)
            cube = cube + abs(v * v * v)
            total = total + v
            above = simd.select(abs(v) >= fill(level), above + one, above)
            peak = simd.higher(peak, v)
        store(acc, CUBE, i, cube)
        store(acc, TOTAL, i, total)
        store(acc, ABOVE, i, above)
        store(acc, PEAK, i, peak)


@part
def _roots(buf, rows, n, acc):
    none = fill(0.0)
    for i in range(0, n, WIDTH):
        positive, negative = load(acc, ROOT_POSITIVE, i), load(acc, ROOT_NEGATIVE, i)
        for t in range(2, rows + 2):
            v = load(buf, t, i)
            positive = positive + simd.root(simd.higher(v, none))
            negative = negative + simd.root(simd.higher(none - v, none))
        store(acc, ROOT_POSITIVE, i, positive)
        store(acc, ROOT_NEGATIVE, i, negative)


@part
def _add_logs_1p(buf, rows, n, seen, acc):
    """Sum of ln(1 + |x|): exponents are added, mantissas multiplied (below 2^ROWS), with one logarithm at the end."""
    for i in range(0, n, WIDTH):
        exponents, product = simd.zeros_int(), fill(1.0)
        for t in range(2, rows + 2):
            v = abs(load(buf, t, i)) + fill(1.0)
            exponents = exponents + simd.exponent_bits(v)
            product = product * simd.mantissa(v)
        found = simd.log(product, simd.reals(exponents) - fill(1023.0 * rows))
        store(acc, LOG_1P, i, load(acc, LOG_1P, i) + found if seen else found)


@part
def _add_logs(buf, rows, n, acc):
    """acc[LOG_ABS] += the sum of ln |x|, as in `_add_logs_1p`; a single zero makes it minus infinity."""
    none = fill(0.0)
    for i in range(0, n, WIDTH):
        exponents, product, scaled = simd.zeros_int(), fill(1.0), none
        for t in range(2, rows + 2):
            v = abs(load(buf, t, i))
            small = v < fill(SMALLEST_NORMAL)
            v = simd.select(small, v * fill(2.0**54), v)
            scaled = simd.select(small, scaled + fill(54.0), scaled)
            exponents = exponents + simd.exponent_bits(v)
            product = simd.select(v > none, product * simd.mantissa(v), none)
        found = simd.log(simd.higher(product, fill(1.0)), simd.reals(exponents) - scaled - fill(1023.0 * rows))
        found = simd.select(product > none, found, fill(-np.inf))
        store(acc, LOG_ABS, i, load(acc, LOG_ABS, i) + found)


@part
def _steps(buf, begin, end, n, acc, row):
    """Differences of the buffer's rows begin .. end - 1 from the rows before them, into acc[row + STEP] and the
    following rows.
    """
    for i in range(0, n, WIDTH):
        size, square = load(acc, row + STEP, i), load(acc, row + STEP_SQUARE, i)
        for t in range(begin, end):
            d = abs(load(buf, t, i) - load(buf, t - 1, i))
            size = size + d
            square = square + d * d
        store(acc, row + STEP, i, size)
        store(acc, row + STEP_SQUARE, i, square)


@part
def _bends(buf, begin, end, n, acc, row):
    """Second differences that end in the buffer's rows begin .. end - 1, into acc[row + BEND] and further."""
    for i in range(0, n, WIDTH):
        size, square = load(acc, row + BEND, i), load(acc, row + BEND_SQUARE, i)
        for t in range(begin, end):
            before = load(buf, t - 1, i)
            d = (load(buf, t, i) - before) - (before - load(buf, t - 2, i))
            size = size + abs(d)
            square = square + d * d
        store(acc, row + BEND, i, size)
        store(acc, row + BEND_SQUARE, i, square)


@part
def _logs_of_squares(buf, end, n, logs, acc):
    """Absolute values and squares of ln(x^2 + EPS). The logarithms stay in `logs` for their first and second
    differences.
    """
    for i in range(0, n, WIDTH):
        size, square = load(acc, LOG + ABS, i), load(acc, LOG + SQUARE, i)
        for t in range(end):
            v = load(buf, t, i)
            v = simd.log(v * v + fill(EPS), fill(0.0))
            store(logs, t, i, v)
            if t >= 2:
                size = size + abs(v)
                square = square + v * v
        store(acc, LOG + ABS, i, size)
        store(acc, LOG + SQUARE, i, square)


@part
def _sizes_and_moments(buf, rows, n, seen, moments, acc):
    """ABS and SQUARE; with `moments`, merge mean and sum of squared deviations into those of the `seen` samples before.

    Deviations are computed from the tile's first sample and corrected at its end. Since that sample is one of the
    `rows`, the sum about the mean is at least 1 / rows of the sum about it, so little precision is lost; a constant
    tile has deviations of zero.
    """
    share = rows / (seen + rows)
    for i in range(0, n, WIDTH):
        size, square = fill(0.0), fill(0.0)
        if seen:
            size, square = load(acc, ABS, i), load(acc, SQUARE, i)
        base = load(buf, 2, i)
        sum_d, sum_d2 = fill(0.0), fill(0.0)
        for t in range(2, rows + 2):
            v = load(buf, t, i)
            d = v - base
            size = size + abs(v)
            square = simd.muladd(v, v, square)
            sum_d = sum_d + d
            sum_d2 = simd.muladd(d, d, sum_d2)
        store(acc, ABS, i, size)
        store(acc, SQUARE, i, square)
        if moments:
            shift = sum_d * fill(1.0 / rows)
            mean = base + shift
            deviation = simd.higher(sum_d2 - sum_d * shift, fill(0.0))
            if seen:
                before = load(acc, MEAN, i)
                d = mean - before
                mean = before + d * fill(share)
                deviation = deviation + load(acc, DEVIATION, i) + d * d * fill(seen * share)
            store(acc, MEAN, i, mean)
            store(acc, DEVIATION, i, deviation)


@part(inline="always")
def _ask(flat, coming, later, i, k):
    """Prefetch the k-th group of eight samples of the next tile, for one of the eight lanes from `i` on after the
    other.

    Prefetches are issued one at a time between sums: many at once wait for each other, which costs a quarter of the
    time.
    """
    simd.prefetch(flat, coming[i + k % WIDTH] + (later + k // WIDTH * WIDTH))


@part
def _changes(buf, rows, n, seen, level, acc, edge, flat, coming, later, asks):
    """Differences, crossings and turns; a block's first difference goes to `edge`.

    A crossing is counted relative to the last nonzero value, and a turn relative to the last nonzero difference. Before
    there is one, the first value is compared with itself: it has the same sign, so nothing is counted.

    coming, later, asks : the next tile's samples begin at flat[coming[lane] + later], `asks` of each lane.
    """
    none, one = fill(0.0), fill(1.0)
    any_size = level[0] == 0.0 and level[1] == 0.0
    at_crossing, at_turn, at_step = fill(level[0]), fill(level[1]), fill(level[2])
    begin = 2 if seen else 3
    for i in range(0, n, WIDTH):
        before = load(buf, begin - 1, i)
        first_value, first_slope, last, slope = before, none, before, none
        step, square, above, crossings, turns = none, none, none, none, none
        if seen:
            first_value, first_slope = load(acc, CROSSINGS_FIRST, i), load(acc, TURNS_FIRST, i)
            last, slope = load(acc, CROSSINGS_LAST, i), load(acc, TURNS_LAST, i)
            step, square, above = load(acc, STEP, i), load(acc, STEP_SQUARE, i), load(acc, STEP_ABOVE, i)
            crossings, turns = load(acc, CROSSINGS, i), load(acc, TURNS, i)
        else:
            d = before - load(buf, 1, i)
            store(edge, STEP, i, abs(d))
            store(edge, STEP_SQUARE, i, d * d)
            store(edge, STEP_ABOVE, i, simd.select(abs(d) > at_step, one, none))
            store(edge, TURNS_FIRST, i, d)
        t = begin
        while t < rows + 2 and simd.some((first_value == none) | (first_slope == none)):
            v = load(buf, t, i)
            first_value = simd.select(first_value == none, v, first_value)
            first_slope = simd.select(first_slope == none, v - load(buf, t - 1, i), first_slope)
            t += 1
        store(acc, CROSSINGS_FIRST, i, first_value)
        store(acc, TURNS_FIRST, i, first_slope)
        last = simd.select(last == none, first_value, last)
        slope = simd.select(slope == none, first_slope, slope)
        for k in range(rows - 1, asks):
            _ask(flat, coming, later, i, k)
        for t in range(begin, rows + 2):
            if t - begin < asks:
                _ask(flat, coming, later, i, t - begin)
            v = load(buf, t, i)
            d = v - before
            before = v
            size = abs(d)
            step = step + size
            square = simd.muladd(d, d, square)
            above = simd.select(size > at_step, above + one, above)
            some = v != none
            opposite = some & simd.unlike(v, last)
            if not any_size:
                opposite = opposite & (abs(v - last) >= at_crossing)
            crossings = simd.select(opposite, crossings + one, crossings)
            last = simd.select(some, v, last)
            some = d != none
            opposite = some & simd.unlike(d, slope)
            if not any_size:
                opposite = opposite & (simd.higher(size, abs(slope)) >= at_turn)
            turns = simd.select(opposite, turns + one, turns)
            slope = simd.select(some, d, slope)
        store(acc, STEP, i, step)
        store(acc, STEP_SQUARE, i, square)
        store(acc, STEP_ABOVE, i, above)
        store(acc, CROSSINGS, i, crossings)
        store(acc, CROSSINGS_LAST, i, last)
        store(acc, TURNS, i, turns)
        store(acc, TURNS_LAST, i, slope)


@part
def _softmax(buf, rows, n, seen, acc):
    """Merge the softmax sums of the buffer's samples into those of the `seen` samples before.

    The sum excludes the peak's own weight of 1, because it may be smaller than the rounding error of 1. Of two peaks
    that are merged, the larger is kept as the peak, and the smaller is added to the sum.
    """
    floor, none, one = fill(EXP_FLOOR), fill(0.0), fill(1.0)
    for i in range(0, n, WIDTH):
        peak = load(acc, SOFT_PEAK, i) if seen else load(buf, 2, i)
        for t in range(2, rows + 2):
            peak = simd.higher(peak, load(buf, t, i))
        others, weighted, most = none, none, none
        if seen:
            d = simd.higher(load(acc, SOFT_PEAK, i) - peak, floor)
            most, others = simd.select(d > floor, simd.exp(d), none), load(acc, SOFT_OTHERS, i)
            weighted = most * simd.muladd(d, one + others, load(acc, SOFT_WEIGHTED, i))
            others = most * others
        for t in range(2, rows + 2):
            d = simd.higher(load(buf, t, i) - peak, floor)
            e = simd.select(d > floor, simd.exp(d), none)
            others = others + simd.lower(e, most)
            most = simd.higher(e, most)
            weighted = simd.muladd(d, e, weighted)
        store(acc, SOFT_PEAK, i, peak)
        store(acc, SOFT_OTHERS, i, others)
        store(acc, SOFT_WEIGHTED, i, weighted)


@part(inline="always")
def _add_usual(buf, rows, n, seen, want, level, acc, edge, flat, coming, later, asks):
    """Add `rows` samples of `n` lanes to the accumulators of their blocks, of which `seen` samples came before: the rows
    that are not among OTHERS.

    buf : (row, lane), samples from row 2 on, the two before them in rows 0 and 1.
    level : thresholds of crossings, turns, steps and samples. flat, coming, later, asks : see `_changes`.
    """
    if want[ABS] or want[SQUARE] or want[MEAN]:
        _sizes_and_moments(buf, rows, n, seen, want[MEAN], acc)
    if want[STEP] or want[STEP_SQUARE] or want[STEP_ABOVE] or want[CROSSINGS] or want[TURNS]:
        _changes(buf, rows, n, seen, level, acc, edge, flat, coming, later, asks)
    if want[BEND] or want[BEND_SQUARE]:
        begin = 2 if seen else (4 if rows > 2 else rows + 2)
        _bends(buf, 2, begin, n, edge, 0)
        _bends(buf, begin, rows + 2, n, acc, 0)


@part(inline="always")
def _add_others(buf, logs, rows, n, seen, want, level, acc, edge):
    """Like `_add_usual`, for the rows in OTHERS."""
    end = rows + 2
    if want[LOG_1P]:
        _add_logs_1p(buf, rows, n, seen, acc)
    if want[SOFT_PEAK]:
        _softmax(buf, rows, n, seen, acc)
    if want[CUBE] or want[TOTAL] or want[ABOVE] or want[PEAK]:
        _plain_sums(buf, rows, n, level[3], acc)
    if want[ROOT_POSITIVE]:
        _roots(buf, rows, n, acc)
    if want[LOG_ABS]:
        _add_logs(buf, rows, n, acc)
    if want[LOG + SQUARE]:
        step_begin, bend_begin = (2, 2) if seen else (3, 4 if rows > 2 else end)
        _logs_of_squares(buf, end, n, logs, acc)
        _steps(logs, 2, step_begin, n, edge, LOG)
        _steps(logs, step_begin, end, n, acc, LOG)
        _bends(logs, 2, bend_begin, n, edge, LOG)
        _bends(logs, bend_begin, end, n, acc, LOG)


@part
def _fetch(flat, place, n, t, rows, buf, row):
    """buf[row + k, i] = flat[place[i] + t + k] for k < rows."""
    for i in range(0, n, WIDTH):
        if rows < WIDTH:
            for lane in range(i, i + WIDTH):
                for k in range(rows):
                    buf[row + k, lane] = flat[place[lane] + t + k]
        else:
            for k in range(0, rows - WIDTH + 1, WIDTH):
                simd.transpose(flat, place, i, t + k, buf, row + k, i)
            if rows % WIDTH:
                simd.transpose(flat, place, i, t + rows - WIDTH, buf, row + rows - WIDTH, i)


@part
def _places(start, n_channels, n_samples, lane, lanes, place):
    """Return where the samples of `lanes` lanes from `lane` on begin, and the smallest of these starts; lanes after the
    last block repeat the last lane.
    """
    block, i = lane // n_channels, 0
    channel, least = lane - block * n_channels, start[block]
    while i < lanes and block < len(start):
        end = i + n_channels - channel
        end = end if end < lanes else lanes
        for j in range(i, end):
            place[j] = start[block] + (channel + j - i) * n_samples
        least = start[block] if start[block] < least else least
        i, block, channel = end, block + 1, 0
    for j in range(i, lanes):
        place[j] = place[i - 1]
    return least


@part
def _close_turns(n, level, acc, edge):
    """Put the slope that reaches back over the left edge before the block's own slopes."""
    none = fill(0.0)
    for i in range(0, n, WIDTH):
        d, first, last = load(edge, TURNS_FIRST, i), load(acc, TURNS_FIRST, i), load(acc, TURNS_LAST, i)
        opposite = (simd.lower(d, first) < none) & (simd.higher(d, first) > none)
        enough = simd.higher(abs(d), abs(first)) >= fill(level)
        store(acc, TURNS, i, load(acc, TURNS, i) + simd.select(opposite & enough, fill(1.0), none))
        store(acc, TURNS_FIRST, i, simd.select(d == none, first, d))
        store(acc, TURNS_LAST, i, simd.select(last == none, d, last))


def workspace(length: int, n_lanes: int, want: np.ndarray) -> tuple:
    """Return the working memory (the last arguments) of `block_sums` for `length` samples and up to `n_lanes` lanes.

    It is allocated in Python because compiling the allocation would take longer than it could save.
    """
    most, lanes = (ROWS, LANES) if 2 * length > ROWS else (ROWS // 2, 2 * LANES)
    lanes = min(lanes, -(-n_lanes // WIDTH) * WIDTH)
    tiles = -(-length // most)
    tile = -(-length // (tiles * WIDTH)) * WIDTH if tiles > 1 else length
    rows = [tile + 2, tile + 2 if want[LOG + SQUARE] else 0, N_ROWS, N_ROWS]
    return tile, *np.split(simd.aligned(sum(rows), lanes), np.cumsum(rows[:-1])), np.zeros((2, lanes), np.int64)


def _block_sums(everything):
    """Return the kernel of all rows, or of those outside OTHERS, which compiles faster."""

    @kernel
    def block_sums(
        flat, n_samples, n_channels, start, length, want, kept, edges, level, first, inner, full,
        tile, buf, logs, acc, edge, places
    ):  # fmt: skip
        """Compute the sums of blocks of `length` samples.

        flat : the (channel, time) signal of n_samples samples, one channel after another; start : (block,) first samples.
        want : (N_ROWS,) bool; kept : rows of the accumulators to write, in the order of `inner` and `full`.
        edges : EDGES.
        inner, full : (kept row, block and channel), written from block `first` on; they have WIDTH more blocks than that.
            `full` is not written in rows that are ALONE.
        tile, buf, logs, acc, edge, places : see `workspace`.
        """
        n_lanes = len(start) * n_channels
        if n_lanes == 0:
            return
        lanes = places.shape[1]
        changes = want[STEP] or want[STEP_SQUARE] or want[STEP_ABOVE] or want[CROSSINGS] or want[TURNS]
        place, then = places[0], places[1]
        least_then = _places(start, n_channels, n_samples, 0, lanes, then)
        for lane in range(0, n_lanes, lanes):
            mine = lanes if lanes < n_lanes - lane else n_lanes - lane
            n = -(-mine // WIDTH) * WIDTH  # the last register is filled with lanes whose results are not used
            place, then, least = then, place, least_then
            if lane + lanes < n_lanes:
                least_then = _places(start, n_channels, n_samples, lane + lanes, lanes, then)
            for k in range(len(kept)):
                row = kept[k]
                if LOG_ABS <= row < CROSSINGS or row >= LOG or row == PEAK:  # the first tile initialises the others
                    for i in range(0, n, WIDTH):
                        store(acc, row, i, fill(-np.inf if row == PEAK else 0.0))
                        store(edge, row, i, fill(0.0))
            for seen in range(0, length, tile):
                rows = tile if tile < length - seen else length - seen
                if seen:
                    for i in range(n):
                        buf[0, i] = buf[tile, i]
                        buf[1, i] = buf[tile + 1, i]
                    _fetch(flat, place, n, seen, rows, buf, 2)
                elif least >= 2:  # otherwise the samples before them may lie outside the signal
                    _fetch(flat, place, n, -2, rows + 2, buf, 0)
                else:
                    for i in range(n):
                        t = place[i] % n_samples
                        buf[0, i] = flat[place[i] - 2] if t >= 2 else 0.0
                        buf[1, i] = flat[place[i] - 1] if t >= 1 else 0.0
                    _fetch(flat, place, n, 0, rows, buf, 2)
                # Samples of the next tile are prefetched while this one is summed.
                coming, later, asks = (
                    (place, seen + tile, length - seen - tile) if seen + tile < length else (then, 0, length)
                )
                asks = -(-(asks if asks < tile else tile) // WIDTH) * WIDTH
                if not changes:
                    for i in range(0, n, WIDTH):
                        for k in range(asks):
                            _ask(flat, coming, later, i, k)
                _add_usual(buf, rows, n, seen, want, level, acc, edge, flat, coming, later, asks)
                if everything:
                    _add_others(buf, logs, rows, n, seen, want, level, acc, edge)
            to = first * n_channels + lane
            for k in range(len(kept)):
                for i in range(0, n, WIDTH):
                    store(inner, k, to + i, load(acc, kept[k], i))
            if want[TURNS]:
                _close_turns(n, level[1], acc, edge)
            for k in range(len(kept)):
                row = kept[k]
                if edges[row] == ADDED:
                    for i in range(0, n, WIDTH):
                        store(full, k, to + i, load(acc, row, i) + load(edge, row, i))
                elif edges[row] == COUNTED:
                    for i in range(0, n, WIDTH):
                        store(full, k, to + i, load(acc, row, i))

    return block_sums


block_sums = {everything: _block_sums(everything) for everything in (False, True)}
"""By whether a row of OTHERS is wanted."""
