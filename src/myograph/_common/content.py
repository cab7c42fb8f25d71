"""Find stretches of samples that occur twice, independent of position, scale, offset, polarity, channel and number type.

The search has three steps:

1. Each channel gets a mark at the steepest sample within every `reach` samples. The same samples have the same marks
   wherever they occur (winnowing, Schleimer et al. 2003, doi:10.1145/872757.872770).
2. The block of samples around a mark is scaled to its own range and rounded coarsely. Its hash is the fingerprint of the
   mark. Two marks with equal fingerprints are a candidate.
3. The samples around each candidate are compared. A stretch counts only if it contains enough information that its own past
   does not predict, because constant, slowly drifting and periodic signals are similar without being copies.

Time and memory grow linearly with the number of samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from myograph._common.jit import kernel, part

MIN_BITS = 128.0  # information in bits that two signals must share at one lag to count as copies
MIN_PART = 12.0  # information in bits around one mark that is needed to continue the comparison
TOLERANCE = 0.03  # fraction of a block's standard deviation; a copy rounded to whole numbers is still within it
RING = 128  # size of the ring buffer for a queue of at most 97 samples; a power of two
SETTLING = 512  # first samples of a trial that are no evidence of a copy; at most half of the samples that agree
ORDER = 4  # order of the linear prediction


@dataclass(frozen=True)
class Match:
    """Samples `start` to `start + n` of signal `first` equal samples `other_start` to `other_start + n` of `second`."""

    first: int
    second: int
    start: int
    other_start: int
    n: int


@dataclass(frozen=True)
class Marks:
    """The marks of one signal. key, channel, at : (mark,) fingerprint, channel, and first sample of the block around it."""

    key: np.ndarray
    channel: np.ndarray
    at: np.ndarray


def block_of(length: int) -> tuple[int, int]:
    """Return (block, reach) in samples, so that any `length` samples (16 or more) contain at least one whole marked block."""
    block = min(max(length // 2, 8), 32)
    return block, min(max(length - block, 8), 96)


def marks_of(signal: np.ndarray, length: int) -> Marks:
    """Return the marks of a (channel, time) signal, to find stretches of at least `length` samples."""
    block, reach = block_of(length)
    keys, ats, counts = [], [], []
    room = 3 * signal.shape[1] // reach + 16
    key, at = np.empty(room, np.uint64), np.empty(room, np.int32)
    levels, queue = min(max(160 // block, 5), 16), (np.empty(RING, np.int64), np.empty(RING, signal.dtype))
    for row in signal:
        row = _readonly(row)
        n = _mark(row, block, reach, levels, key, at, *queue)
        if n > len(key):
            key, at = np.empty(n, np.uint64), np.empty(n, np.int32)
            n = _mark(row, block, reach, levels, key, at, *queue)
        keys.append(key[:n].copy())
        ats.append(at[:n].copy())
        counts.append(n)
    channel = np.repeat(np.arange(len(signal), dtype=np.int16), counts)
    return Marks(np.concatenate(keys), channel, np.concatenate(ats))


def matches(
    signals: Sequence[np.ndarray],
    marks: Sequence[Marks],
    length: int,
    starts: Sequence[Sequence[int]] | None = None,
) -> list[Match]:
    """Return all stretches of about `length` samples or more that two signals share, or that occur twice in one of them.

    Parameters
    ----------
    signals : (channel, time) arrays.
    marks : for each signal, the result of `marks_of(signal, length)`.
    length : shortest stretch in samples.
    starts : for each signal, the first sample of each trial; None means sample 0 only. The transient of an amplifier or a
        filter that is switched on is similar in all trials, so equal first samples of two trials are no evidence.
    """
    begins = [np.array([0] if starts is None else starts[i], np.int64) for i in range(len(signals))]
    columns = _links(marks, length)
    found: list[Match] = []
    borders = np.flatnonzero(np.any(np.diff(columns[:, :2], axis=0) != 0, axis=1)) + 1
    for links in np.split(columns, borders) if len(columns) else []:
        a, b = int(links[0, 0]), int(links[0, 1])
        kind = np.result_type(signals[a], signals[b])
        x, y = (_readonly(signals[i].astype(kind, copy=False)) for i in (a, b))
        long = np.zeros(len(links), bool)
        _long(x, y, links[:, 2:], *block_of(length), long)
        if long.any():  # usually none is; then `_verify` is not even compiled
            stretches, bits = _verify(x, y, links[long, 2:], *block_of(length), begins[a], begins[b])
            found += _evident(a, b, stretches, bits)
    return found


def _links(marks: Sequence[Marks], length: int) -> np.ndarray:
    """Return what pairs of marks with equal fingerprints suggest, each once and in ascending order: (link, 6), the columns
    being the two signals, the two channels, the lag and the first sample. In one signal, the lag is `length` or more."""
    of, pairs = _candidates(marks)
    if not len(pairs):
        return np.zeros((0, 6), np.int64)
    channel, at = (np.concatenate([getattr(m, name) for m in marks]).astype(np.int64) for name in ("channel", "at"))
    one, other = pairs.T
    apart = (of[one] != of[other]) | (abs(at[other] - at[one]) >= length)  # at shorter lags, windows overlap
    one, other = one[apart], other[apart]
    lag, n_channels = at[other] - at[one], int(channel.max()) + 1
    # Two keys that sort as the six columns do; sorting by six takes minutes for the millions of links of a grid.
    signals = of[one].astype(np.int64) * len(marks) + of[other]
    where = (signals * n_channels + channel[one]) * n_channels + channel[other]
    when = (lag << 31) + at[one]
    order = np.lexsort((when, where))
    where, when = where[order], when[order]
    new = np.append(True, (where[1:] != where[:-1]) | (when[1:] != when[:-1]))[: len(order)]
    one, other = one[order[new]], other[order[new]]
    return np.stack([of[one], of[other], channel[one], channel[other], lag[order[new]], at[one]], 1)


def _candidates(marks: Sequence[Marks]) -> tuple[np.ndarray, np.ndarray]:
    """Return (signal of each mark, pairs of marks with equal fingerprints).

    Each mark is paired with the two previous marks of the same fingerprint, and with the first."""
    of = np.repeat(np.arange(len(marks), dtype=np.int32), [len(m.key) for m in marks])
    order, key = _repeated(np.concatenate([m.key for m in marks]) if marks else np.zeros(0, np.uint64))
    new = np.append(True, key[1:] != key[:-1]) if len(key) else np.zeros(0, bool)
    later = np.flatnonzero(~new)
    if not len(later):
        return of, np.zeros((0, 2), np.int64)
    first = np.maximum.accumulate(np.where(new, np.arange(len(key)), 0))[later]
    partner = np.concatenate([later - 1, np.maximum(later - 2, first), first])
    return of, order[np.stack([partner, np.tile(later, 3)], 1)]


def _repeated(key: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (positions, keys) of the keys that occur at least twice, sorted by key and then by position."""
    order = np.argsort(key, kind="stable")
    key = key[order]
    equal = key[1:] == key[:-1]
    several = np.append(equal, False) | np.append(False, equal)
    return order[several[: len(order)]], key[several[: len(order)]]


def _evident(first: int, second: int, stretches: np.ndarray, bits: np.ndarray) -> list[Match]:
    """Return the stretches, merged over channels, for the lags at which they together contain enough information."""
    found: list[Match] = []
    for lag in np.unique(stretches[:, 0]):
        mine = stretches[:, 0] == lag
        if bits[mine].sum() < MIN_BITS:
            continue
        at = stretches[mine]
        at = at[np.argsort(at[:, 1], kind="stable")]
        stop = np.maximum.accumulate(at[:, 1] + at[:, 2])
        begins = np.flatnonzero(np.append(True, at[1:, 1] > stop[:-1]))
        ends = np.append(begins[1:], len(at)) - 1
        found += [
            Match(first, second, int(at[i, 1]), int(at[i, 1] + lag), int(stop[j] - at[i, 1]))
            for i, j in zip(begins, ends)
        ]
    return found


def _readonly(array: np.ndarray) -> np.ndarray:
    """Return a contiguous and read-only view, so that each kernel is compiled only once per number type."""
    array = np.ascontiguousarray(array).view()
    array.flags.writeable = False
    return array


@kernel
def _mark(x, block, reach, levels, key, at, queue, steepness):  # pragma: no cover
    """Write the fingerprints and first samples of the marked blocks of one channel, and return their number.

    queue, steepness : working memory for RING positions in order of time; their steepness decreases towards the tail.
    """
    n, half = len(x), block // 2
    head = tail = 0
    last, count = -1, 0
    for t in range(half, n - block + half):
        steep = abs(x[t + 1] - x[t])
        while tail > head and steepness[(tail - 1) & (RING - 1)] <= steep:
            tail -= 1
        queue[tail & (RING - 1)], steepness[tail & (RING - 1)] = t, steep
        tail += 1
        if queue[head & (RING - 1)] <= t - reach:
            head += 1
        best = queue[head & (RING - 1)]
        if best == last or (t - half + 1 < reach and t + 1 < n - block + half):
            continue
        last = best
        hashed, telling = _fingerprint(x, best - half, block, x[best + 1] < x[best], levels)
        if telling:
            if count < len(key):
                key[count] = hashed
                at[count] = best - half
            count += 1
    return count


@part
def _fingerprint(x, start, block, falls, levels):  # pragma: no cover
    """Return (hash, whether the block has enough distinct levels and changes to be distinguished from others)."""
    low = high = float(x[start])
    for i in range(start + 1, start + block):
        low = x[i] if x[i] < low else low
        high = x[i] if x[i] > high else high
    span = high - low
    if not span > 0:
        return np.uint64(0), False
    hashed, seen, changes, before = np.uint64(14695981039346656037), 0, 0, -1
    for i in range(start, start + block):
        z = (high - x[i]) / span if falls else (x[i] - low) / span
        # Whole-number samples give simple fractions; with this offset they do not lie on the borders between levels.
        level = int(z * levels + 0.377)
        hashed = (hashed ^ np.uint64(level + 1)) * np.uint64(1099511628211)
        hashed ^= hashed >> np.uint64(29)
        seen |= 1 << level
        changes += level != before
        before = level
    distinct = 0
    while seen:
        distinct += seen & 1
        seen >>= 1
    return hashed, distinct >= 4 and 4 * changes > block


@kernel
def _long(a, b, links, block, reach, found):  # pragma: no cover
    """Write whether the two signals agree for long enough around each candidate. Candidates are as in `_verify`."""
    stop = -1
    for k in range(len(links)):
        channel, other, lag, here = links[k, 0], links[k, 1], links[k, 2], links[k, 3]
        same = _continues(links, k)
        if same and here + block <= stop:
            continue
        begin, end, _ = _extend(a[channel], b[other], here, lag, block, reach)
        stop = max(end, stop) if same else end
        found[k] = end - begin >= block + reach - 2


@part
def _continues(links, k):  # pragma: no cover
    """Return whether a candidate has the same channels and the same lag as the previous one."""
    return (
        k > 0 and links[k, 0] == links[k - 1, 0] and links[k, 1] == links[k - 1, 1] and links[k, 2] == links[k - 1, 2]
    )


@kernel
def _verify(a, b, links, block, reach, starts_a, starts_b):  # pragma: no cover
    """Compare the samples around candidates, and return the stretches on which the two signals agree.

    links : sorted candidates (channel, channel, lag, first sample of the block) for which `_long` found agreement.
    starts_a, starts_b : first samples of the trials in each signal.

    Returns (lag, start, number of samples) and the information in bits of each stretch of block + reach samples or more.
    """
    found = np.empty((len(links), 3), np.int64)
    bits = np.empty(len(links))
    count, stop = 0, -1
    for k in range(len(links)):
        channel, other, lag, here = links[k, 0], links[k, 1], links[k, 2], links[k, 3]
        same = _continues(links, k)
        if same and here + block <= stop:
            continue
        x, y = a[channel], b[other]
        begin, end, line = _extend(x, y, here, lag, block, reach)
        told = _information(x, y, begin, end, lag, line)
        if told >= MIN_PART:
            begin, end, line = _extend(x, y, here, lag, block, len(x))
        stop = max(end, stop) if same else end
        if told < MIN_PART:
            continue
        found[count, 0], found[count, 1], found[count, 2] = lag, begin, end - begin
        if _since_start(begin, starts_a) < reach and _since_start(begin + lag, starts_b) < reach:
            begin = min(begin + SETTLING, (begin + end) // 2)
            line = _fit(x, y, begin, end, lag, 0.0, 0.0, np.inf)
            line = _fit(x, y, begin, end, lag, line[0], line[1], 4 * TOLERANCE * line[3])
        bits[count] = _information(x, y, begin, end, lag, line) if line[0] != 0.0 else 0.0
        count += 1
    return found[:count], bits[:count]


@part
def _since_start(at, starts):  # pragma: no cover
    """Return the number of samples since the last start of a trial."""
    last = starts[0]
    for start in starts:
        if start > at:
            break
        last = start
    return at - last


@part
def _fit(x, y, begin, end, lag, gain, offset, limit):  # pragma: no cover
    """Fit y = gain x + offset, and return (gain, offset, mean of y, standard deviation of y).

    Only samples whose error under the given gain and offset is at most `limit` are used. If these do not determine the line,
    the gain is 0."""
    n = sx = sy = 0.0
    x0, y0 = float(x[begin]), float(y[begin + lag])
    for i in range(begin, end):
        if abs(y[i + lag] - gain * x[i] - offset) <= limit:
            n += 1.0
            sx += x[i] - x0
            sy += y[i + lag] - y0
    if n < 4:
        return 0.0, 0.0, 0.0, 0.0
    mx, my = sx / n + x0, sy / n + y0
    xx = xy = yy = 0.0
    for i in range(begin, end):
        if abs(y[i + lag] - gain * x[i] - offset) <= limit:
            xx += (x[i] - mx) ** 2
            xy += (x[i] - mx) * (y[i + lag] - my)
            yy += (y[i + lag] - my) ** 2
    if not (xx > 0 and yy > 0):
        return 0.0, 0.0, 0.0, 0.0
    return xy / xx, my - xy / xx * mx, my, math.sqrt(yy / n)


@part
def _agrees(x, y, i, lag, line):  # pragma: no cover
    gain, offset, mean, spread = line
    return abs(y[i + lag] - gain * x[i] - offset) <= TOLERANCE * (spread + abs(y[i + lag] - mean))


@part
def _reach(x, y, i, lag, step, line, most):  # pragma: no cover
    """Return the last sample that agrees, going from sample i in steps until several samples close together disagree."""
    last, against, row, limit = i, 0, 3, i + step * most
    while 0 <= i < len(x) and 0 <= i + lag < len(y) and against < 16 and i != limit:
        if _agrees(x, y, i, lag, line):
            row += 1
            last = i if row >= 3 else last  # fewer than three in a row may agree by chance
            against -= against > 0
        else:
            row = 0
            against += 4
        i += step
    return last


@part
def _extend(x, y, here, lag, block, most):  # pragma: no cover
    """Return (begin, end, line) of the stretch around a block in which y[t + lag] = gain x[t] + offset.

    Single samples may deviate. begin equals end if the block itself does not agree."""
    begin, end = here, here + block
    line = _fit(x, y, begin, end, lag, 0.0, 0.0, np.inf)
    for _ in range(2):  # a changed or clipped sample distorts the first fit
        worst = 0.0
        for i in range(begin, end):
            error = abs(y[i + lag] - line[0] * x[i] - line[1])
            worst = error if error > worst else worst
        if worst > TOLERANCE * line[3]:
            line = _fit(x, y, begin, end, lag, line[0], line[1], 0.6 * worst)
    for _ in range(2):  # a fit over a longer stretch is more accurate, so it may extend further
        agreeing = 0
        for i in range(here, here + block):
            agreeing += _agrees(x, y, i, lag, line)
        if line[0] == 0.0 or 4 * agreeing < 3 * block:
            return here, here, line
        begin = _reach(x, y, begin, lag, -1, line, most)
        end = _reach(x, y, end - 1, lag, 1, line, most) + 1
        better = _fit(x, y, begin, end, lag, line[0], line[1], 4 * TOLERANCE * line[3])
        line = better if better[0] != 0.0 else line
    return begin, end, line


@part
def _information(x, y, begin, end, lag, line):  # pragma: no cover
    """Return the information in bits that a stretch gives about the other one.

    It is the part of the signal that its own past does not predict, relative to the difference between the two stretches and
    to the step between quantised values."""
    step, largest, mean = np.inf, 0.0, 0.0
    for i in range(begin, end):
        mean += x[i] / (end - begin)
        largest = max(largest, abs(float(x[i])))
        if i > begin and x[i] != x[i - 1]:
            step = min(step, abs(float(x[i]) - x[i - 1]))
    if step == np.inf:
        return 0.0
    weights = _predictor(x, begin, end, mean)
    error = power = 0.0  # weighted by innovation, because quiet parts agree even without a copy
    for i in range(begin + ORDER, end):
        if _agrees(x, y, i, lag, line):
            new = _innovation(x, i, mean, weights) ** 2
            error += new * ((y[i + lag] - line[1]) / line[0] - x[i]) ** 2
            power += new
    if not power > 0.0:
        return 0.0
    noise = 16.0 * error / power + step**2 / 6 + (5e-7 * largest) ** 2
    bits = 0.0
    for i in range(begin + ORDER, end):
        apart = ((y[i + lag] - line[1]) / line[0] - x[i]) ** 2
        bits += 0.5 * math.log2(1.0 + _innovation(x, i, mean, weights) ** 2 / noise) - min(0.72 * apart / noise, 8.0)
    return bits


@part
def _innovation(x, i, mean, weights):  # pragma: no cover
    new = x[i] - mean
    for k in range(ORDER):
        new -= weights[k] * (x[i - 1 - k] - mean)
    return new


@part
def _predictor(x, begin, end, mean):  # pragma: no cover
    """Return the least-squares weights that predict a sample from the ORDER samples before it."""
    m = np.zeros((ORDER, ORDER + 1))
    for i in range(begin + ORDER, end):
        for j in range(ORDER):
            for k in range(ORDER):
                m[j, k] += (x[i - 1 - j] - mean) * (x[i - 1 - k] - mean)
            m[j, ORDER] += (x[i - 1 - j] - mean) * (x[i] - mean)
    ridge = 1e-9 * m[0, 0] + 1e-60
    for j in range(ORDER):
        m[j, j] += ridge
    for j in range(ORDER):  # elimination without pivots: the matrix is positive definite
        for r in range(ORDER):
            if r != j:
                share = m[r, j] / m[j, j] if m[j, j] > 0 else 0.0
                for k in range(j, ORDER + 1):
                    m[r, k] -= share * m[j, k]
    weights = np.zeros(ORDER)
    for j in range(ORDER):
        weights[j] = m[j, ORDER] / m[j, j] if m[j, j] > 0 else 0.0
    return weights
