"""Entropies against loops that follow the papers' definitions, and against values known in closed form."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from numba import njit

from myograph._common import simd
from myograph.errors import ConfigError
from myograph.features import FEATURES
from myograph.features._pairs import count_matches

R = 50 * np.random.default_rng(21).standard_normal((2, 3, 70))
TIES = np.random.default_rng(22).integers(-2, 3, size=(4, 60)).astype(float)


def matches(s, m, r, templates):
    return sum(
        max(abs(s[i + k] - s[j + k]) for k in range(m)) <= r for i, j in itertools.combinations(range(templates), 2)
    )


def sample_entropy(s, dim, r):
    templates = len(s) - dim
    b, a = matches(s, dim, r, templates), matches(s, dim + 1, r, templates)
    return math.log(b / a) if a and b else math.log(templates * (templates - 1) / 2)


def fuzzy_entropy(s, dim, tolerance, power):
    s = (s - s.mean()) / s.std()
    phi = []
    for m in (dim, dim + 1):
        t = [s[i : i + m] - s[i : i + m].mean() for i in range(len(s) - dim)]
        phi.append(
            np.mean([math.exp(-(np.abs(u - v).max() ** power) / tolerance) for u, v in itertools.combinations(t, 2)])
        )
    return math.log(phi[0] / phi[1])


@pytest.mark.parametrize(("dim", "tolerance"), [(1, 0.2), (2, 0.3), (3, 0.5), (2, 0.01)])
def test_sample_entropy_by_loops(dim, tolerance):
    value = FEATURES["SAMPEN"](R, dim=dim, tolerance=tolerance)
    for index in np.ndindex(2, 3):
        s = R[index]
        assert value[index] == pytest.approx(sample_entropy(s, dim, tolerance * s.std()), rel=1e-12)


def test_matches_by_hand():
    # Templates of one sample start at 0 1 2 3: pairs within 1 are (0,1) (0,2) (1,2); with the next sample
    # (1,2) -> |2-1|, (0,2) -> |1-9| no, (0,1) -> |1-2|: (0,1) stays, (1,2) has |2-9| and goes.
    s = np.array([[1.0, 1.0, 2.0, 9.0, 5.0]])
    np.testing.assert_array_equal(count_matches(s, np.array([1.0]), 1), [[3, 1]])


def test_sample_entropy_counts_ties_exactly():
    for s in TIES:
        for dim in (1, 2, 4):
            counts = count_matches(s[None], np.array([1.0]), dim)[0]
            templates = len(s) - dim
            assert counts[0] == matches(s, dim, 1.0, templates)
            assert counts[1] == matches(s, dim + 1, 1.0, templates)


def test_sample_entropy_at_its_limits():
    assert FEATURES["SAMPEN"](np.full(50, 3.3)) == 0
    ramp = np.arange(50.0) ** 3  # no two templates of two within a hundredth of the deviation
    assert FEATURES["SAMPEN"](ramp[::-1] * (-1.0) ** np.arange(50), tolerance=1e-6) == math.log(48 * 47 / 2)
    sine = np.sin(2 * np.pi * 0.01 * np.arange(600))
    assert FEATURES["SAMPEN"](sine) < 0.2 < FEATURES["SAMPEN"](np.random.default_rng(0).standard_normal(600))
    np.testing.assert_allclose(FEATURES["SAMPEN"](R * 2.0**-20), FEATURES["SAMPEN"](R), rtol=1e-13)


def test_sample_entropy_of_white_noise_has_its_known_value():
    # Independent normal samples match with P = 2 Phi(r / sqrt 2) - 1 each, so the expectation tends to -ln P.
    x = np.random.default_rng(9).standard_normal((20, 1500))
    expected = -math.log(math.erf(0.3 / 2))
    assert FEATURES["SAMPEN"](x).mean() == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(("dim", "tolerance", "power"), [(2, 0.3, 2), (1, 0.2, 2), (3, 0.4, 1), (2, 0.3, 2.5)])
def test_fuzzy_entropy_by_loops(dim, tolerance, power):
    value = FEATURES["FUZZYEN"](R, dim=dim, tolerance=tolerance, power=power)
    for index in np.ndindex(2, 3):
        assert value[index] == pytest.approx(fuzzy_entropy(R[index], dim, tolerance, power), rel=1e-10)


def test_fuzzy_entropy_of_a_constant_is_zero_and_far_pairs_do_not_underflow():
    assert FEATURES["FUZZYEN"](np.full(50, 3.3)) == 0
    spikes = np.zeros(64)
    spikes[[10, 40]] = 1e6
    assert np.isfinite(FEATURES["FUZZYEN"](spikes, tolerance=1e-3))


@njit
def register_exponentials(y, out):
    for i in range(0, len(y), simd.WIDTH):
        v = simd.load(y.reshape(1, -1), 0, i)
        simd.store(out, 0, i, simd.exp(v))
        simd.store(out, 1, i, simd.exp2(v))
        simd.store(out, 2, i, simd.log(simd.fill(1.0) - v, simd.fill(3.0)))


def test_exponentials_and_logarithms_to_a_few_units_in_the_last_place():
    y = -np.concatenate([np.random.default_rng(1).exponential(20, 3000), [0.0, 1e-300, 0.34657, 0.34658, 699.99, 0.5]])
    y = np.append(y, np.zeros(-len(y) % simd.WIDTH))
    out = np.empty((3, len(y)))
    register_exponentials(y, out)
    np.testing.assert_allclose(out[0], [math.exp(v) for v in y], rtol=4.5e-16)
    np.testing.assert_allclose(out[1], [2.0**v for v in y], rtol=2e-15)
    np.testing.assert_allclose(out[2], [math.log(1 - v) + 3 * math.log(2) for v in y], rtol=9e-16)


def test_multiscale_entropy_coarse_grains_and_keeps_the_radius():
    value = FEATURES["MSE"](R, scales=3)
    for index in np.ndindex(2, 3):
        s = R[index]
        for scale in (1, 2, 3):
            n = len(s) // scale
            coarse = np.array([s[i * scale : (i + 1) * scale].mean() for i in range(n)])
            assert value[index][scale - 1] == pytest.approx(sample_entropy(coarse, 2, 0.3 * s.std()), rel=1e-12)
    np.testing.assert_array_equal(value[..., 0], FEATURES["SAMPEN"](R))


def test_permutation_entropy_of_the_paper():
    # Bandt and Pompe's example: 4 7 9 10 6 11 3 has, at order 2, four rises and two falls (0.918 bits), and at order 3
    # the orderings 012 012 201 ... with frequencies 2 2 1 of 5 (1.522 bits).
    x = [4, 7, 9, 10, 6, 11, 3]
    assert FEATURES["PERMEN"](x, order=2) / math.log(2) == pytest.approx(0.918, abs=5e-4)
    assert FEATURES["PERMEN"](x, order=3) / math.log(2) == pytest.approx(1.522, abs=5e-4)


@pytest.mark.parametrize(("order", "delay"), [(2, 1), (3, 1), (4, 2), (5, 3)])
def test_permutation_entropy_by_sorting(order, delay):
    for s in TIES:
        n = len(s) - (order - 1) * delay
        seen = [tuple(np.argsort(s[i : i + order * delay : delay], kind="stable")) for i in range(n)]
        p = np.array([seen.count(kind) for kind in set(seen)]) / n
        assert FEATURES["PERMEN"](s, order=order, delay=delay) == pytest.approx(-(p * np.log(p)).sum(), abs=1e-12)


def test_permutation_entropy_at_its_limits():
    assert FEATURES["PERMEN"](np.zeros(30)) == 0
    assert FEATURES["PERMEN"](np.arange(30.0)) == 0
    noise = np.random.default_rng(2).standard_normal(20000)
    assert FEATURES["PERMEN"](noise) == pytest.approx(math.log(6), abs=1e-3)
    with pytest.raises(ConfigError, match="order must be 2 to 7"):
        FEATURES["PERMEN"](noise, order=8)


def test_options_that_do_not_fit():
    for name, option in (("SAMPEN", {"dim": 0}), ("FUZZYEN", {"tolerance": 0.0}), ("MSE", {"scales": 1.5})):
        with pytest.raises(ConfigError, match=name):
            FEATURES[name](R, **option)
