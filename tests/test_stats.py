"""Paired statistics against hand counts, textbook tables and SciPy."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as sps

from myograph.errors import ConfigError, ShapeError
from myograph.evaluation.stats import (
    _regions,
    _shares,
    bayesian_signed_rank,
    chance_threshold,
    compare,
    corrected_t,
    equivalent,
    friedman,
    holm,
    nemenyi,
    paired,
    seed_variance,
    t_interval,
)

# Darwin's fifteen pairs of maize, in eighths of an inch: Fisher, The Design of Experiments (1935), sections 17 and 21.
DARWIN = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
# Hours of additional sleep of ten people under two drugs: Student, The Probable Error of a Mean (1908).
SLEEP = (
    [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0],
    [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4],
)
# AUC of four decision trees on fourteen data sets: Demšar (2006), table 6. The 13th is printed as 0.975 twice and ranked
# 2 and 3, from a digit that is not printed.
DEMSAR = {
    "C4.5": [0.763, 0.599, 0.954, 0.628, 0.882, 0.936, 0.661, 0.583, 0.775, 1.0, 0.940, 0.619, 0.972, 0.957],
    "m": [0.768, 0.591, 0.971, 0.661, 0.888, 0.931, 0.668, 0.583, 0.838, 1.0, 0.962, 0.666, 0.981, 0.978],
    "cf": [0.771, 0.590, 0.968, 0.654, 0.886, 0.916, 0.609, 0.563, 0.866, 1.0, 0.965, 0.614, 0.9752, 0.946],
    "m+cf": [0.798, 0.569, 0.967, 0.657, 0.898, 0.931, 0.685, 0.625, 0.875, 1.0, 0.962, 0.669, 0.975, 0.970],
}


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


def test_fishers_worked_example_of_the_permutation_test():
    # "1,726 of the 32,768" signings have a total of 314 or more in size: 5.267 per cent.
    found = paired(DARWIN, [0] * 15, "permutation")
    assert found.p == pytest.approx(1726 / 32768)
    assert found.difference == pytest.approx(314 / 15)
    # Section 17: t = 2.148 with 14 degrees of freedom.
    student = paired(DARWIN, [0] * 15, "t")
    assert student.p == pytest.approx(2 * sps.t.sf(2.148, 14), rel=2e-3)
    assert student.effect == pytest.approx(2.148 / np.sqrt(15), rel=1e-3)


def test_permutations_that_are_drawn_agree_with_those_that_are_counted(monkeypatch):
    exact = paired(DARWIN, [0] * 15, "permutation").p
    monkeypatch.setattr("myograph.evaluation.stats._MOST_ENUMERATED", 3)
    assert paired(DARWIN, [0] * 15, "permutation").p == pytest.approx(exact, abs=0.004)  # five standard errors


def test_permutations_agree_with_scipy():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 9))
    theirs = sps.permutation_test((a, b), lambda x, y: (x - y).mean(), permutation_type="samples", n_resamples=np.inf)
    assert paired(a, b, "permutation").p == pytest.approx(theirs.pvalue, abs=1e-6)


def test_students_worked_example_of_the_paired_t_test_and_its_interval():
    found = paired(*SLEEP, test="t")
    assert found.difference == pytest.approx(-1.58)
    assert found.p == pytest.approx(0.002833, abs=5e-7)
    differences = np.subtract(*SLEEP)
    assert t_interval(differences) == pytest.approx((-2.4598858, -0.7001142), abs=1e-6)
    assert t_interval(differences, 0.9) == pytest.approx(sps.t.interval(0.9, 9, -1.58, sps.sem(differences)))


def test_demsars_worked_example_of_friedman_and_nemenyi():
    found, pairs = friedman(DEMSAR), nemenyi(DEMSAR)
    assert list(found.mean_rank.values()) == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=5e-4)
    assert pairs.mean_rank == found.mean_rank
    # The paper's 9.28 leaves out the correction for ties.
    ranks = np.array(list(found.mean_rank.values()))
    uncorrected = 12 * 14 / (4 * 5) * ((ranks**2).sum() - 4 * 25 / 4)
    assert uncorrected == pytest.approx(9.28, abs=0.01)
    assert found.statistic == pytest.approx(sps.friedmanchisquare(*DEMSAR.values()).statistic, abs=1e-9)
    assert found.statistic > uncorrected
    assert found.p_f == pytest.approx(sps.f.sf(13 * found.statistic / (42 - found.statistic), 3, 39))
    assert pairs.critical_difference == pytest.approx(1.25, abs=0.005)
    assert all(
        (p < 0.05) == (abs(ranks[i] - ranks[j]) > pairs.critical_difference)
        for (i, j), p in zip([(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)], pairs.p.values())
    )


@pytest.mark.parametrize(("k", "q"), [(3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (8, 3.031), (10, 3.164)])
def test_critical_values_are_those_of_demsars_table_5(k, q):
    rng = np.random.default_rng(0)
    found = nemenyi({str(i): rng.normal(size=20) for i in range(k)})
    assert found.critical_difference / np.sqrt(k * (k + 1) / (6 * 20)) == pytest.approx(q, abs=1e-3)


def test_wilcoxon_of_demsars_first_two_trees():
    # Section 3.1.3 ranks the same pair: 93 against 12, where a difference of zero is split between the two sides.
    d = np.subtract(DEMSAR["m"], DEMSAR["C4.5"]).round(6)
    ranks = sps.rankdata(np.abs(d))
    halves = ranks[d == 0].sum() / 2
    assert ranks[d > 0].sum() + halves == pytest.approx(93)
    assert paired(DEMSAR["m"], DEMSAR["C4.5"]).p < 0.05


def test_equivalence_agrees_with_two_one_sided_tests_of_scipy():
    a, b = SLEEP
    d = np.subtract(a, b)
    for margin in (0.5, 1.58, 2.5, 4.0):
        above = sps.ttest_1samp(d, -margin, alternative="greater").pvalue
        below = sps.ttest_1samp(d, margin, alternative="less").pvalue
        assert equivalent(a, b, margin) == pytest.approx(max(above, below), abs=1e-9)
    assert equivalent([1, 2], [1, 2], 0.1) == 0.0
    assert equivalent([2, 3], [1, 2], 0.1) == 1.0


def test_corrected_t_by_hand():
    # Differences 1, 2, 3 over the three folds of a 3-fold split: variance 1, (1/3 + 1/2) of it, t = 2 / sqrt(5/6).
    t = 2 / np.sqrt(5 / 6)
    assert corrected_t([1, 2, 3], [0, 0, 0], 1 / 2) == pytest.approx(1 - t / np.sqrt(2 + t**2))
    assert corrected_t([1, 2, 3], [0, 0, 0], 0.0) == pytest.approx(paired([1, 2, 3], [0, 0, 0], "t").p)
    assert corrected_t([1, 2], [1, 2], 0.5) == 1.0


@pytest.mark.parametrize(("n", "k"), [(20, 2), (40, 2), (100, 2), (60, 4), (84, 7)])
def test_guessing_rarely_exceeds_the_chance_threshold(n, k):
    # Counted from the binomial distribution: above it at most 5 %, from it on more than 5 %.
    from math import comb

    threshold = round(chance_threshold(n, k) * n)
    tail = lambda least: sum(comb(n, i) * (1 / k) ** i * (1 - 1 / k) ** (n - i) for i in range(least, n + 1))  # noqa: E731
    assert tail(threshold + 1) <= 0.05 < tail(threshold)


def test_it_is_said_when_so_few_people_cannot_be_significant():
    five, six = ([i + 1.5 for i in range(n)] for n in (5, 6))
    assert paired(five, range(5)).least_p == pytest.approx(0.0625) == paired([9, 7, 8, 6, 9], [1, 2, 3, 4, 5.5]).p
    assert str(paired(five, range(5))).endswith("n = 5; cannot be significant with 5 people")
    assert str(paired(six, range(6))).endswith("n = 6")
    assert paired(five, range(5), "permutation").p == pytest.approx(0.0625)


def test_errors_say_what_came():
    with pytest.raises(ShapeError, match="equally long"):
        paired([1, 2, 3], [1, 2])
    with pytest.raises(ShapeError, match="NaN"):
        paired([1, np.nan], [1, 2])
    with pytest.raises(ShapeError, match="3 or more methods, got 2"):
        friedman({"a": [1, 2], "b": [1, 2]})
    with pytest.raises(ConfigError, match="one of a, b"):
        compare({"a": [1, 2], "b": [1, 2]}, "c")
    with pytest.raises(ConfigError, match="'wilcoxon', 'permutation', 't'"):
        paired([1, 2], [2, 1], test="u")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="margin must be a positive difference"):
        equivalent([1, 2], [1, 2], 0)
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


def test_bayesian_signed_rank_of_one_more_person_than_the_prior_in_closed_form():
    # Two equal differences far above the margin. Only the pseudo-difference paired with itself is not above it, with
    # share w0^2, so the answer is "better" where w0 < sqrt(1/2); w0 has a Beta(0.5, 2) distribution.
    found = bayesian_signed_rank([5.0, 5.0], [1.0, 1.0], margin=1.0)
    assert found.better == pytest.approx(sps.beta.cdf(np.sqrt(0.5), 0.5, 2), abs=5 * 0.5 / np.sqrt(50_000))
    assert found.worse == 0
    second_moment = 0.5 * 1.5 / (2.5 * 3.5)
    assert found.expected == pytest.approx((1 - second_moment, second_moment, 0), abs=1e-12)


def test_bayesian_signed_rank_on_fishers_maize_against_loops_over_every_pair():
    # Fisher's fifteen differences; the shares are the definition, written as loops, under the same weights.
    draws = np.random.default_rng(3).dirichlet([0.5, *np.ones(15)], 400)
    z = [0, *DARWIN]
    expected = np.zeros((400, 3))
    for draw, w in enumerate(draws):
        for i in range(16):
            for j in range(16):
                mean = (z[i] + z[j]) / 2
                expected[draw, 0 if mean > 8 else 2 if mean < -8 else 1] += w[i] * w[j]
    assert _shares(_regions(np.array(DARWIN, float), 8.0), draws) == pytest.approx(expected, abs=1e-6)
    found = bayesian_signed_rank(DARWIN, [0] * 15, margin=8.0)
    many = _shares(
        _regions(np.array(DARWIN, float), 8.0), np.random.default_rng(9).dirichlet([0.5, *np.ones(15)], 50_000)
    )
    winners = np.bincount(many.argmax(axis=1), minlength=3) / 50_000
    assert (found.better, found.equivalent, found.worse) == pytest.approx(tuple(winners), abs=0.015)
    assert found.expected == pytest.approx(tuple(many.mean(axis=0)), abs=0.005)
    assert sum(found.expected) == pytest.approx(1)


def test_bayesian_signed_rank_turns_round_with_the_sign_and_refuses_a_negative_margin():
    one, other = (bayesian_signed_rank(*pair, margin=0.5) for pair in (SLEEP, SLEEP[::-1]))
    assert one.expected == pytest.approx(other.expected[::-1])
    assert one.worse == pytest.approx(other.better, abs=0.015)
    with pytest.raises(ConfigError, match="margin"):
        bayesian_signed_rank(*SLEEP, margin=-1)


# Calcium in per cent, four determinations on each of four turnip leaves: Snedecor and Cochran, Statistical Methods, 6th
# edition (1967), table 10.13.1: mean squares 0.2961 and 0.0066, variance between leaves 0.0724.
LEAVES = [[3.28, 3.09, 3.03, 3.03], [3.52, 3.48, 3.38, 3.38], [2.88, 2.80, 2.81, 2.76], [3.34, 3.38, 3.23, 3.26]]


def test_snedecors_turnip_leaves():
    found = seed_variance(LEAVES)
    assert found.seeds == pytest.approx(0.0066, abs=5e-5)
    assert found.people == pytest.approx(0.0724, abs=5e-5)
    assert found.standard_error == pytest.approx(np.sqrt(0.2961 / 16), rel=1e-3)


def test_variance_of_seeds_is_that_of_restricted_maximum_likelihood():
    smf = pytest.importorskip("statsmodels.formula.api")
    table = pd.DataFrame([{"y": value, "person": str(i)} for i, row in enumerate(LEAVES) for value in row])
    model = smf.mixedlm("y ~ 1", table, groups=table["person"]).fit(reml=True, method="powell", ftol=1e-15)
    found = seed_variance(LEAVES)
    assert found.people == pytest.approx(float(model.cov_re.iloc[0, 0]), abs=1e-6)
    assert found.seeds == pytest.approx(float(model.scale), abs=1e-6)


def test_two_one_sided_tests_agree_with_statsmodels():
    weightstats = pytest.importorskip("statsmodels.stats.weightstats")
    p, _, _ = weightstats.ttost_paired(np.array(SLEEP[0]), np.array(SLEEP[1]), -2.5, 2.5)
    assert equivalent(*SLEEP, margin=2.5) == pytest.approx(p, abs=1e-9)
