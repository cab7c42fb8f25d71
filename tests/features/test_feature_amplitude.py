"""Sums and counts against numbers worked out on paper, and against SciPy."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.special
import scipy.stats

from myograph.errors import ConfigError
from myograph.features import EPS, FEATURES

X = np.array([3.0, -2.0, 0.0, 4.0, 4.0, -1.0])  # differences -5 2 4 0 -5, second differences 7 2 -4 -5
R = 50 * np.random.default_rng(11).standard_normal((3, 200))

BY_HAND = {
    "MAV": 14 / 6,
    "MEAN": 8 / 6,
    "IAV": 14,
    "RMS": math.sqrt(46 / 6),
    "VAR": 46 / 6 - (8 / 6) ** 2,
    "SSI": 46,
    "ACT": 46 / 6,
    "WL": 16,
    "MFL": math.log10(16),
    "DASDV": math.sqrt(70 / 5),
    "MAVFD": 16 / 5,
    "MDIFF": 70 / 6,
    "MZP": math.sqrt(70 / 6),
    "MOB": math.sqrt(70 / 46),
    "COMP": math.sqrt(94 * 46) / 70,
    "COR": (70 / 6) / ((94 / 6) * 46),
    "PAP": math.sqrt(46) * math.sqrt(70) / math.sqrt(94),
    "LD": (4 * 3 * 1 * 5 * 5 * 2) ** (1 / 6),
    "LOG": 0.0,
    "MSR": math.hypot(math.sqrt(3) + 4, math.sqrt(2) + 1) / 6,
    "MPK": 4,
    "TM": (27 + 8 + 64 + 64 + 1) / 6,
    "VO": math.sqrt(46 / 6),
    "MLK": math.log(14 + EPS) / 6,
    "MMAV1": (0.5 * 3 + 2 + 0 + 4 + 0.5 * 4 + 0.5 * 1) / 6,  # i = 2, 3, 4 lie within 1.5 .. 4.5
    "MMAV2": (4 / 6 * 3 + 2 + 0 + 4 + 4 / 6 * 4 + 0 * 1) / 6,
    "ZC": 3,  # 3 -2, -2 (0) 4, 4 -1
    "SSC": 2,  # at -2, and once on the flat top 4 4
    "WAMP": 0,
    "MYOP": 0,
}


@pytest.mark.parametrize("name", list(BY_HAND))
def test_by_hand(name):
    assert FEATURES[name](X) == pytest.approx(BY_HAND[name], rel=1e-13, abs=1e-15)


@pytest.mark.parametrize(
    ("x", "threshold", "count"),
    [
        ([-2, 0, 4], 0, 1),
        ([-2, 0, 0, 0, 4], 0, 1),
        ([2, 0, 4], 0, 0),
        ([0, 0, 4, 0], 0, 0),
        ([0, -1, 0, 1, 0, -1], 0, 2),
        ([0, 0, 0], 0, 0),
        ([5, -5, 1, -1], 2, 3),
        ([5, -5, 1, -1], 2.5, 2),
        ([5, -5, 1, -1], 6.5, 1),
        ([-2, 0, 4], 6, 1),
        ([-2, 0, 4], 6.1, 0),
    ],
)
def test_zero_crossings(x, threshold, count):
    assert FEATURES["ZC"](x, threshold=threshold) == count


@pytest.mark.parametrize(
    ("x", "threshold", "count"),
    [
        ([0, 1, 0], 0, 1),
        ([0, 1, 1, 0], 0, 1),
        ([0, 1, 1, 1, 2], 0, 0),
        ([7, 7, 7, 7, 7], 0, 0),
        ([0, 3, 2, 4, 0], 0, 3),
        ([0, 3, 2, 4, 0], 3, 2),  # at 3 (slopes 3, 1), not at 2 (1, 2), at 4 (2, 4)
        ([0, 3, 2, 4, 0], 3.5, 1),
        ([0, 1, 2, 3], 0, 0),
    ],
)
def test_slope_sign_changes(x, threshold, count):
    assert FEATURES["SSC"](x, threshold=threshold) == count


def test_libemg_counts_flat_samples_as_turns_and_misses_crossings_at_zero():
    # Its rules, on one window: (x_i - x_(i-1)) (x_i - x_(i+1)) >= 0, and sign steps of exactly 2.
    flat = np.full(10, 7.0)
    assert ((flat[1:-1] - flat[:-2]) * (flat[1:-1] - flat[2:]) >= 0).sum() == 8
    assert FEATURES["SSC"](flat) == 0
    through_zero = np.array([-1.0, 0, 1, 0, -1])
    assert (np.abs(np.diff(np.sign(through_zero))) == 2).sum() == 0
    assert FEATURES["ZC"](through_zero) == 2


def test_willison_amplitude_and_myopulse_thresholds():
    assert FEATURES["WAMP"](X, threshold=2) == 3  # 5 4 5; a step of exactly 2 is not greater
    assert FEATURES["WAMP"](X, threshold=0) == 4
    assert FEATURES["MYOP"](X, threshold=3) == 0.5  # at least 3: 3 4 4
    for name in ("ZC", "SSC", "WAMP", "MYOP"):
        with pytest.raises(ConfigError, match="threshold must be a finite number, not negative, got -1"):
            FEATURES[name](X, threshold=-1)


def test_counts_by_a_loop_over_samples():
    rng = np.random.default_rng(3)
    for _ in range(50):
        x = rng.integers(-3, 4, size=40).astype(float)
        threshold = float(rng.integers(0, 4))
        nonzero = [v for v in x if v != 0]
        crossings = sum(a * b < 0 and abs(a - b) >= threshold for a, b in itertools.pairwise(nonzero))
        slopes = [b - a for a, b in itertools.pairwise(x) if b != a]
        turns = sum(a * b < 0 and max(abs(a), abs(b)) >= threshold for a, b in itertools.pairwise(slopes))
        assert FEATURES["ZC"](x, threshold=threshold) == crossings
        assert FEATURES["SSC"](x, threshold=threshold) == turns


def test_variance_under_a_large_offset():
    np.testing.assert_allclose(FEATURES["VAR"](R + 2.0**30), FEATURES["VAR"](R), rtol=1e-7)
    np.testing.assert_allclose(FEATURES["VAR"](R), np.var(R, axis=-1), rtol=1e-13)
    assert FEATURES["VAR"](np.full(333, 0.1)) == 0


def test_log_detector_is_the_geometric_mean():
    np.testing.assert_allclose(FEATURES["LOG"](R), scipy.stats.gmean(np.abs(R), axis=-1), rtol=1e-12)


def test_shape_of_the_distribution_against_scipy():
    np.testing.assert_allclose(FEATURES["SKEW"](R**3), scipy.stats.skew(R**3, axis=-1), rtol=1e-10)
    np.testing.assert_allclose(FEATURES["KURT"](R), scipy.stats.kurtosis(R, axis=-1, fisher=False), rtol=1e-10)
    for name in ("SKEW", "KURT"):
        assert FEATURES[name](np.full(333, 0.1)) == 0


def test_l_score_is_half_the_mean_distance_of_two_samples():
    distances = np.abs(R[0][:, None] - R[0][None, :])
    n = R.shape[-1]
    assert FEATURES["LS"](R)[0] == pytest.approx(distances.sum() / (n * (n - 1)) / 2, rel=1e-12)


def test_v_order_and_temporal_moment():
    np.testing.assert_allclose(FEATURES["VO"](R, order=3), FEATURES["TM"](R, order=3) ** (1 / 3), rtol=1e-13)
    with pytest.raises(ConfigError, match="order must be a whole number"):
        FEATURES["TM"](R, order=2.5)


def test_mav_slope():
    x = np.array([1.0, -1, 2, 2, -5, 5, 9])
    np.testing.assert_allclose(FEATURES["MAVSLP"](x, segments=3), [1, 3])  # means 1, 2, 5; the 9 is left over
    np.testing.assert_allclose(FEATURES["MAVSLP"](x), [14 / 3 - 4 / 3] - np.array([2 / 3]))
    many = np.stack([x, 10 * x])
    np.testing.assert_allclose(FEATURES["MAVSLP"](many, segments=3), [[1, 3], [10, 30]])


def test_softmax_entropy_against_scipy():
    x = R / 50
    expected = scipy.stats.entropy(scipy.special.softmax(x, axis=-1), axis=-1)
    np.testing.assert_allclose(FEATURES["ENT"](x), expected, rtol=1e-13)
    assert FEATURES["ENT"](np.full(64, 5e4)) == pytest.approx(math.log(64))
    assert FEATURES["ENT"](np.array([0.0, 0.0, 900.0])) == 0  # exp(900) would overflow
    assert FEATURES["ENT"](np.array([1e5, 1e5, 0.0])) == pytest.approx(math.log(2))


@pytest.mark.parametrize("gap", [10.0, 40.0, 300.0, 700.0])
def test_softmax_entropy_of_a_maximum_that_stands_alone(gap):
    """Far below the rounding of 1: ln(1 + e^-gap) + gap e^-gap / (1 + e^-gap)."""
    e = math.exp(-gap)
    found = FEATURES["ENT"](np.array([50.0 - gap, 50.0, -900.0]))
    np.testing.assert_allclose(found, math.log1p(e) + gap * e / (1 + e), rtol=1e-12)
    assert FEATURES["ENT"](np.array([50.0])) == 0


def test_histogram_by_hand():
    x = np.array([-100.0, -2.9, -0.1, 0.0, 0.1, 1.4, 1.5, 2.9, 3.0, 50.0])
    np.testing.assert_array_equal(FEATURES["HIST"](x, bins=4, sigma=1.0), [2, 1, 3, 4])  # edges -3 -1.5 0 1.5 3
    np.testing.assert_array_equal(FEATURES["HIST"](x + 7, bins=4, sigma=1.0, centre=7.0).sum(), 10)


def test_histogram_sigma_is_the_window_s_own_or_the_caller_s():
    own = FEATURES["HIST"](R)
    assert own.shape == (3, 20)
    np.testing.assert_array_equal(own.sum(-1), 200)
    np.testing.assert_array_equal(own, FEATURES["HIST"](R * np.array([[1.0], [2.0], [1024.0]])))
    rms = np.sqrt(np.mean(R[0] ** 2))
    expected, _ = np.histogram(np.clip(R[0], -2.999 * rms, 2.999 * rms), bins=20, range=(-3 * rms, 3 * rms))
    np.testing.assert_array_equal(own[0], expected)
    sigma = np.array([10.0, 50.0, 1000.0])
    each = FEATURES["HIST"](np.stack([R, R]), sigma=sigma)
    for channel in range(3):
        np.testing.assert_array_equal(each[1, channel], FEATURES["HIST"](R[channel], sigma=sigma[channel]))
    np.testing.assert_array_equal(np.flatnonzero(FEATURES["HIST"](np.zeros(5))), [10])
    with pytest.raises(ConfigError, match="sigma must be finite and not negative"):
        FEATURES["HIST"](R, sigma=-1.0)


def test_modified_means_at_the_quarters_of_a_window_of_four():
    assert FEATURES["MMAV1"](np.ones(4)) == (1 + 1 + 1 + 0.5) / 4  # i = 1 and i = 3 lie on the quarters, inside
    assert FEATURES["MMAV2"](np.ones(4)) == (1 + 1 + 1 + 0) / 4


def test_mavs_by_hand():
    x = np.array([1.0, -3.0, 2.0, 2.0, 5.0, -1.0, 99.0])
    assert FEATURES["MAVS"](x, segments=3).tolist() == [2.0, 2.0, 3.0]
    assert FEATURES["MAVS"](x).tolist() == [2.0, 8 / 3]
