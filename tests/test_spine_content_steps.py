"""The comparison of two stretches of samples at its limits: which samples agree, how far a stretch reaches, when it counts.

The loops run as plain Python here. `test_spine_content.py` has the search as a whole.
"""

from __future__ import annotations

import numpy as np
import pytest

from myograph._common import content
from myograph._common.content import marks_of

BLOCK, REACH = content.block_of(40)


@pytest.fixture(autouse=True)
def _uncompiled(monkeypatch):
    for name, loop in list(vars(content).items()):
        if hasattr(loop, "py_func"):
            monkeypatch.setattr(content, name, loop.py_func)


def noise(seed, n=320, scale=10.0):
    return scale * np.random.default_rng(seed).standard_normal(n)


def other_than(x, seed, *stretches):
    """Return another signal that equals x in the stretches (first, stop) alone."""
    y = noise(seed, len(x))
    for first, stop in stretches:
        y[first:stop] = x[first:stop]
    return y


def line(gain=1.0, offset=0.0, mean=0.0, spread=1.0):
    return float(gain), float(offset), float(mean), float(spread)


# 1. Marks.


@pytest.mark.parametrize("n", [BLOCK + 1, BLOCK + 5, BLOCK + REACH - 1])
def test_a_signal_that_is_shorter_than_a_window_has_one_mark(n):
    half = BLOCK // 2
    x = noise(0, n)
    x[n - BLOCK + half :] += 70  # the last place where a mark may stand is the steepest
    with np.errstate(over="ignore"):  # hashes are modulo 2**64
        (at,) = marks_of(x[None], 40).at
    assert at == n - BLOCK - 1


@pytest.mark.parametrize(
    ("length", "levels"), [(16, 16), (20, 16), (24, 13), (32, 10), (46, 6), (64, 5), (500, 5)]
)  # fmt: skip
def test_short_blocks_are_rounded_to_more_levels(monkeypatch, length, levels):
    asked = []
    monkeypatch.setattr(content, "_mark", lambda x, block, reach, levels, *rest: asked.append(levels) or 0)
    marks_of(noise(0)[None], length)
    assert asked == [levels]


def steps(values, block=32):
    """Return a block of runs of about equal length with these values."""
    return np.array(values, float)[np.arange(block) * len(values) // block]


@pytest.mark.parametrize(
    ("values", "distinguished"),
    [
        ([1, 0, 1, 2, 4, 2, 1, 0, 1], True),  # 9 runs in 32 samples, 4 levels
        ([1, 0, 1, 2, 4, 2, 1, 0], False),  # 8 runs
        ([1, 0, 1, 4, 1, 4, 1, 0, 1, 0, 1], False),  # 3 levels
        ([3, 3, 3], False),
    ],
)
def test_a_block_needs_four_levels_and_a_change_in_more_than_every_fourth_sample(values, distinguished):
    x = steps(values)
    with np.errstate(over="ignore"):
        hashed, enough = content._fingerprint(x, 0, 32, False, 5)
        assert enough == distinguished
        assert content._fingerprint(-3 * x + 7, 0, 32, True, 5) == (hashed, enough)


def test_the_fingerprint_of_a_block_depends_on_its_own_samples_alone():
    with np.errstate(over="ignore"):
        for i in range(32):
            x = noise(30, 32)
            x[i] = -200.0
            alone = content._fingerprint(x, 0, 32, False, 5)
            for outside in (0.0, 1e6):
                assert content._fingerprint(np.pad(x, 9, constant_values=outside), 9, 32, False, 5) == alone


# 2. Candidates.


@pytest.mark.parametrize(
    ("row", "continues"),
    [((1, 2, 3, 50), True), ((0, 2, 3, 50), False), ((1, 1, 3, 50), False), ((1, 2, 4, 50), False)],
)
def test_a_candidate_continues_the_one_before_if_channels_and_lag_are_the_same(row, continues):
    links = np.array([(1, 2, 3, 10), row])
    assert bool(content._continues(links, 1)) is continues
    assert not content._continues(links, 0)
    assert not content._continues(links[[0, 0]], 0)


@pytest.mark.parametrize(("at", "since"), [(0, 0), (9, 9), (10, 0), (11, 1), (29, 19), (30, 0), (99, 69)])
def test_samples_since_the_last_start_of_a_trial(at, since):
    assert content._since_start(at, np.array([0, 10, 30])) == since


def long(x, y, *links):
    found = np.zeros(len(links), bool)
    content._long(x[None], y[None], np.array(links), BLOCK, REACH, found)
    return found.tolist()


@pytest.mark.parametrize(("n", "counts"), [(BLOCK + REACH - 2, True), (BLOCK + REACH - 3, False)])
def test_the_shortest_stretch_may_lack_two_samples_of_block_and_reach(n, counts):
    x = noise(1)
    assert long(x, other_than(x, 2, (100, 100 + n)), (0, 0, 0, 110)) == [counts]


def test_a_candidate_inside_the_stretch_of_another_is_not_compared_again():
    x = noise(3)
    y = other_than(x, 4, (100, 200), (240, 300))
    stop = 110 + BLOCK + 2 * (REACH - 1)  # here, a stretch is followed over twice `REACH` samples
    third = (0, 0, 0, stop + 5)
    inside, after = (0, 0, 0, stop - BLOCK), (0, 0, 0, stop + 1 - BLOCK)
    assert long(x, y, (0, 0, 0, 110), inside, (0, 0, 0, 250)) == [True, False, True]
    assert long(x, y, (0, 0, 0, 110), after, third) == [True, True, False]
    assert long(x, np.append(0, y), (0, 0, 0, 110), (0, 0, 1, 120)) == [False, True]  # another lag is another stretch


def verified(x, y, *links, starts=(0,), other_starts=(0,)):
    return content._verify(
        x[None], y[None], np.array(links), BLOCK, REACH, np.array(starts), np.array(other_starts)
    )  # fmt: skip


def test_stretches_at_two_lags_and_two_places_are_found_once_each():
    x = noise(5)
    y = other_than(x, 6, (30, 90), (200, 270), (280, 320))
    y[100:180] = x[103:183]
    shifted, plain = (
        (20, 110, 130),
        (40, 60, 70, 210, 230, 285),
    )  # at 20 nothing is alike; at 70 the block ends as the stretch
    found, bits = verified(x, y, *((0, 0, -3, at) for at in shifted), *((0, 0, 0, at) for at in plain))
    assert found.tolist() == [[-3, 103, 80], [0, 30, 60], [0, 200, 70], [0, 280, 40]]
    assert (bits > 128).all()


# 3. Agreement of samples.


def test_a_constant_signal_has_no_line():
    x, flat = noise(7, 40), np.full(40, 3.0)
    for one, other in ((x, flat), (flat, x), (flat, flat)):
        assert content._fit(one, other, 0, 40, 0, 0.0, 0.0, np.inf) == (0.0, 0.0, 0.0, 0.0)


def test_errors_up_to_the_limit_are_within_it():
    x = np.arange(40.0)
    y = x.copy()
    y[7] += 2
    for limit, used in ((2.0, np.arange(40)), (1.9, np.delete(np.arange(40), 7))):
        gain, offset, mean, _ = content._fit(x, y, 0, 40, 0, 1.0, 0.0, limit)
        assert (gain, offset, mean) == pytest.approx((*np.polyfit(x[used], y[used], 1), y[used].mean()))
    assert content._agrees(np.zeros(1), np.array([0.03]), 0, 0, line(mean=0.03))
    assert not content._agrees(np.zeros(1), np.array([5.04]), 0, 0, line(offset=5, mean=5))
    assert content._agrees(np.zeros(1), np.array([5.03]), 0, 0, line(offset=5, mean=5))


REACHES = {
    "three in a row disagree": ("ddd", True),
    "four in a row disagree": ("dddd", False),
    "three, and after one that agrees another": ("ddd.d", True),
    "three, and after one that agrees two more": ("ddd.dd", False),
    "one in four": ("d...d...d...d...d...d...d", True),
    "three, and after twelve that agree as many again": ("ddd............ddd.d", True),
    "every second": ("d.d.d.d.d", False),
    "two that agree by chance": ("d..dddd", False),
    "three that agree": ("d...dddd", 54),
}


@pytest.mark.parametrize("case", REACHES)
@pytest.mark.parametrize("step", [1, -1])
def test_a_stretch_ends_where_samples_close_together_disagree(case, step):
    pattern, expected = REACHES[case]
    x = noise(8, 101)
    y = x.copy()
    y[51 : 51 + len(pattern)] += [99.0 * (sample == "d") for sample in pattern]
    last = {True: 100, False: 50}.get(expected, expected)
    if step < 0:
        x, y, last = x[::-1], y[::-1], 100 - last
    assert content._reach(x, y, 50 - 20 * step, 0, step, line(), 1000) == last


def test_the_first_samples_of_a_stretch_may_disagree_as_the_others():
    x = noise(9, 60)
    y = x.copy()
    y[[20, 21, 22, 24]] += 99
    assert content._reach(x, y, 20, 0, 1, line(), 1000) == 59


# 4. The stretch around a block.


@pytest.mark.parametrize("lag", [0, 7, -7])
def test_a_stretch_has_every_sample_that_agrees_and_no_other(lag):
    x = noise(10)
    for first, here in ((60, 90), (61, 90)):
        y = noise(11, 340)
        y[first + lag : 200 + lag] = x[first:200]
        begin, end, fitted = content._extend(x, y, here, lag, BLOCK, 1000)
        assert (begin, end) == (first, 200)
        assert fitted == pytest.approx((1, 0, x[first:200].mean(), x[first:200].std()))
    begin, end, _ = content._extend(x, y, here, lag, BLOCK, 5)
    assert (begin, end) == (here - 4 - 4, here + BLOCK + 4 + 4)  # twice


def test_the_line_is_fitted_to_the_whole_stretch():
    x = noise(12)
    y = -3 * x + 70 + noise(13, scale=0.2)
    begin, end, (gain, offset, mean, spread) = content._extend(x, y, 100, 0, BLOCK, 1000)
    assert (begin, end) == (0, 320)
    assert (gain, offset) == pytest.approx(tuple(np.polyfit(x, y, 1)))
    assert (mean, spread) == pytest.approx((y.mean(), y.std()))


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_changed_samples_in_the_block_are_left_out_whatever_the_unit(scale):
    x = noise(14, scale=scale) + 30 * scale
    y = 2 * x + 7 * scale
    y[105] += 12 * scale
    y[112] -= 10 * scale
    begin, end, fitted = content._extend(x, y, 100, 0, BLOCK, 1000)
    assert (begin, end) == (0, 320)
    assert fitted[:2] == pytest.approx((2, 7 * scale))


def test_three_quarters_of_a_block_must_agree():
    x = noise(17)
    for n in (BLOCK // 4, BLOCK // 4 + 1):
        y = x.copy()
        y[100 : 100 + BLOCK : 2][:n] += 50
        begin, end, _ = content._extend(x, y, 100, 0, BLOCK, 1000)
        assert (end - begin == 320) is (n == BLOCK // 4)
    begin, end, _ = content._extend(x, noise(18), 100, 0, BLOCK, 1000)
    assert (begin, end) == (100, 100)
    begin, end, _ = content._extend(x, np.zeros(320), 100, 0, BLOCK, 1000)
    assert (begin, end) == (100, 100)


# 5. Information.


def information(x, y, begin, end, lag, fitted):
    """The formula by NumPy: `_information` in other words."""
    gain, offset, mean, spread = fitted
    mine, theirs = x[begin:end], y[begin + lag : end + lag]
    past = np.stack([mine[4 - k : len(mine) - k] for k in (1, 2, 3, 4)], axis=1) - mine.mean()
    new = mine[4:] - mine.mean()
    new = new - past @ np.linalg.lstsq(past, new, rcond=None)[0]
    apart = ((theirs - offset) / gain - mine)[4:] ** 2
    agree = (np.abs(theirs - gain * mine - offset) <= 0.03 * (spread + np.abs(theirs - mean)))[4:]
    if not agree.any():
        return 0.0
    step = np.abs(np.diff(mine))
    error = np.average(apart[agree], weights=new[agree] ** 2)
    against = 16 * error + step[step > 0].min() ** 2 / 6 + (5e-7 * np.abs(mine).max()) ** 2
    return np.sum(0.5 * np.log2(1 + new**2 / against) - np.minimum(0.72 * apart / against, 8))


def with_jumps(x, at):
    y = x.copy()
    y[at] += 30
    return y


SLOW = np.convolve(noise(20, 340), np.ones(8) / 8, "valid")[:320]
PAIRS = {
    "the same samples": (noise(17), noise(17)),
    "with some error": (noise(17), noise(17) + noise(18, scale=0.05)),
    "whole numbers": (np.rint(noise(17, scale=3)), np.rint(noise(17, scale=3))),
    "in volts": (noise(17, scale=1e-5), noise(17, scale=1e-5) + noise(18, scale=1e-8)),
    "in volts, the same": (noise(17, scale=1e-5), noise(17, scale=1e-5)),
    "on a large offset": (noise(17) + 1e6, noise(17) + 1e6),
    "samples that disagree": (noise(17), with_jumps(noise(17) + noise(18, scale=0.05), [50, 90, 91])),
    "slow": (SLOW, SLOW + noise(18, scale=0.02)),
    "slow, with jumps": (SLOW, with_jumps(SLOW, [60, 100])),
}


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize(("begin", "end", "lag"), [(0, 320, 0), (13, 150, 0), (13, 150, 9), (40, 160, -9)])
def test_information_is_what_the_past_does_not_predict_against_error_and_step(pair, begin, end, lag):
    x, same = PAIRS[pair]
    y = np.roll(2.5 * same + 4, lag)
    if begin:
        x = x.copy()
        x[begin - 1] = np.nextafter(x[begin], np.inf)  # a smaller step outside the stretch
    inside = y[begin + lag : end + lag]
    fitted = line(2.5, 4.0, inside.mean(), inside.std())
    expected = information(x, y, begin, end, lag, fitted)
    assert content._information(x, y, begin, end, lag, fitted) == pytest.approx(expected, rel=1e-5, abs=1e-3)


def test_stretches_of_which_no_sample_agrees_tell_nothing():
    x = noise(17)
    assert content._information(x, x + 1e6, 0, 320, 0, line(spread=10.0)) == 0.0


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_the_predictor_is_the_same_in_every_unit(scale):
    weights = content._predictor(scale * SLOW, 10, 300, scale * SLOW[10:300].mean())
    centred = SLOW - SLOW[10:300].mean()
    past = np.stack([centred[14 - k : 300 - k] for k in (1, 2, 3, 4)], axis=1)
    expected = np.linalg.solve(past.T @ past + 1e-9 * np.eye(4) * (past[:, 0] @ past[:, 0]), past.T @ centred[14:300])
    np.testing.assert_allclose(weights, expected, rtol=1e-9)


def test_a_constant_signal_is_predicted_by_its_mean():
    assert content._predictor(np.full(60, 3.0), 0, 60, 3.0).tolist() == [0, 0, 0, 0]


# 6. What counts.


def transient(n=1400):
    x = noise(21, n)
    return x, x.copy()


def told(x, y, begin, end):
    return information(x, y, begin, end, 0, line(1, 0, y[begin:end].mean(), y[begin:end].std()))


@pytest.mark.parametrize(
    ("n", "begin"), [(1400, 512), (1024, 512), (300, 150), (301, 150)], ids=["long", "border", "even", "odd"]
)  # fmt: skip
def test_the_settling_after_the_start_of_both_trials_tells_nothing(n, begin):
    x, y = transient(n)
    (found,), (bits,) = verified(x, y, (0, 0, 0, 20))
    assert found.tolist() == [0, 0, n]
    assert bits == pytest.approx(told(x, y, begin, n), rel=1e-6)


@pytest.mark.parametrize(
    ("starts", "other_starts", "settles"),
    [
        ([0], [0], False),
        ([0, 41], [0, 46], True),
        ([0, 40], [0, 46], False),
        ([0, 41], [0, 45], False),
        ([0, 41], [0], False),
        ([0], [0, 46], False),
    ],
)
def test_a_stretch_settles_if_it_begins_within_reach_of_a_start_in_both(starts, other_starts, settles):
    x = noise(22)
    y = other_than(x, 23, (60, 300))
    late = np.append(noise(24, 5), y)
    (found,), (bits,) = verified(x, late, (0, 0, 5, 90), starts=starts, other_starts=other_starts)
    assert found.tolist() == [5, 60, 240]
    assert bits == pytest.approx(told(x, y, 180 if settles else 60, 300), rel=1e-6)


def test_the_line_of_what_is_settled_leaves_out_changed_samples():
    x, y = transient(400)
    y[300] += 40
    _, (bits,) = verified(x, y, (0, 0, 0, 20))
    exact = line(1, 0, np.delete(y[200:], 100).mean(), np.delete(y[200:], 100).std())
    assert bits == pytest.approx(information(x, y, 200, 400, 0, exact), rel=1e-6)


def test_a_transient_before_a_constant_is_no_evidence():
    x = noise(24, 120)
    x[60:] = 3.0
    (found,), (bits,) = verified(x, x.copy(), (0, 0, 0, 20))
    assert found.tolist() == [0, 0, 120]
    assert bits == 0.0


def drift(error):
    """Return two samplings of one slow drift, which its past predicts but for little."""
    x = np.cumsum(np.cumsum(noise(25, 120, scale=0.01)))
    return x, x + noise(26, 120, scale=error)


@pytest.mark.parametrize(("error", "found"), [(0.0033, True), (0.0034, False)])
def test_a_part_must_tell_twelve_bits(error, found):
    x, y = drift(error)
    begin, end, fitted = content._extend(x, y, 50, 0, BLOCK, REACH)
    bits = content._information(x, y, begin, end, 0, fitted)
    assert 12 <= bits < 13 if found else 11 < bits < 12
    assert (len(verified(x, y, (0, 0, 0, 50))[0]) == 1) is found
