"""Paired statistics against hand counts, textbook tables and SciPy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as sps

from myograph.errors import ConfigError, ShapeError
from myograph.evaluation.stats import compare, friedman, holm, paired


def test_wilcoxon_by_hand():
    # Differences 1, 2, 3, 4, -5: negative ranks sum to 5. Of the 32 signings of ranks 1..5, ten have a sum of at most
    # 5 ({} 1 2 3 4 5 12 13 14 23), so p = 2 * 10 / 32; effect (10 - 5) / 15.
    found = paired([1, 2, 3, 4, 0], [0, 0, 0, 0, 5])
    assert found.p == pytest.approx(20 / 32)
    assert found.effect == pytest.approx(1 / 3)
    assert found.difference == pytest.approx(1.0)
    assert found.n == 5


def test_six_pairs_all_better_give_the_smallest_p():
    assert paired([2, 3, 4, 5, 6, 7], [1.9, 2.8, 3.7, 4.6, 5.5, 6.4]).p == pytest.approx(2 / 64)


def test_t_by_hand():
    # Differences 1, 2, 3: mean 2, deviation 1, t = 2 sqrt(3) with 2 degrees of freedom; for 2 degrees the two-sided
    # p is 1 - t / sqrt(2 + t^2).
    found = paired([1, 2, 3], [0, 0, 0], test="t")
    t = 2 * np.sqrt(3)
    assert found.p == pytest.approx(1 - t / np.sqrt(2 + t**2))
    assert found.effect == pytest.approx(2.0)


def test_no_difference_is_p_1_and_one_constant_difference_has_no_spread():
    assert paired([1, 2, 3], [1, 2, 3]).p == 1.0
    found = paired([2, 3, 4], [1, 2, 3], test="t")
    assert found.p == 0.0
    assert found.effect == np.inf


def test_holm_by_hand():
    # Sorted 0.005 0.01 0.03 0.04 times 4 3 2 1 = 0.02 0.03 0.06 0.04, and the last may not fall below 0.06.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_the_raw_value_and_bonferroni_and_keeps_the_order(p):
    corrected = holm(p)
    assert (corrected >= np.array(p)).all()
    assert (corrected <= np.minimum(np.array(p) * len(p), 1) + 1e-12).all()
    assert (np.diff(corrected[np.argsort(p, kind="stable")]) >= 0).all()


def test_compare_corrects_over_all_comparisons():
    rng = np.random.default_rng(0)
    base = rng.normal(size=12)
    values = {"net": base + 1, "a": base + rng.normal(size=12), "b": base + 0.2 * rng.normal(size=12)}
    found = compare(values, "net")
    raw = {k: sps.wilcoxon(values["net"], values[k]).pvalue for k in "ab"}
    assert {k: found[k].p for k in "ab"} == pytest.approx(raw)
    small, large = sorted(raw, key=lambda k: raw[k])
    assert found[small].p_holm == pytest.approx(2 * raw[small])
    assert found[large].p_holm == pytest.approx(max(raw[large], 2 * raw[small]))
    assert "Holm" in str(found[small])


def test_friedman_by_hand():
    # Three methods in the same order for 4 subjects: rank sums 4, 8, 12; 12 / (4*3*4) * (16+64+144) - 3*4*4 = 8 = n(k-1).
    found = friedman({"best": [9, 8, 7, 9], "middle": [5, 5, 5, 5], "worst": [1, 2, 3, 4]})
    assert found.statistic == pytest.approx(8.0)
    assert found.kendall_w == pytest.approx(1.0)
    assert found.mean_rank == {"best": 1.0, "middle": 2.0, "worst": 3.0}
    assert found.p == pytest.approx(np.exp(-4))  # chi-squared with 2 degrees of freedom: exp(-x / 2)


def test_friedman_of_equal_methods():
    assert friedman({"a": [1, 2], "b": [1, 2], "c": [1, 2]}).p == 1.0


def test_errors_say_what_came():
    with pytest.raises(ShapeError, match="equally long"):
        paired([1, 2, 3], [1, 2])
    with pytest.raises(ShapeError, match="NaN"):
        paired([1, np.nan], [1, 2])
    with pytest.raises(ShapeError, match="3 or more methods, got 2"):
        friedman({"a": [1, 2], "b": [1, 2]})
    with pytest.raises(ConfigError, match="one of a, b"):
        compare({"a": [1, 2], "b": [1, 2]}, "c")
    with pytest.raises(ConfigError, match="'wilcoxon' or 't'"):
        paired([1, 2], [2, 1], test="u")  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="0 to 1"):
        holm([1.5])


def test_differences_that_are_equal_but_for_rounding_tie():
    a, b = [0.9, 0.8, 0.7, 0.3, 0.5], [0.8, 0.7, 0.6, 0.1 + 0.2, 0.9]
    tied = paired([90, 80, 70, 30, 50], [80, 70, 60, 30, 90])
    found = paired(a, b)
    assert (found.p, found.effect) == (tied.p, tied.effect)
    assert found.difference == pytest.approx(-0.02)
    assert paired(a, [v - 1e-3 for v in a], "t").p == 0.0
    assert paired([1e-12, 3e-12, 2e-12], [0, 0, 0]).effect == 1
