"""Comparison of methods: paired statistics over people, with correction for the number of comparisons.

Values are paired by position: `a[i]` and `b[i]` belong to the same person (or fold). Windows of one person are not
independent, so a test over windows would call any difference significant. All tests here are over people, except
`corrected_t`, which is for the folds of one person.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast, get_args

import numpy as np
import scipy

from myograph.errors import ConfigError, ShapeError

Test = Literal["wilcoxon", "permutation", "t"]
_NAMES = {"wilcoxon": "Wilcoxon", "permutation": "permutation test", "t": "paired t"}
_MOST_ENUMERATED = 20  # largest number of people for which all 2^n sign patterns are counted


@dataclass(frozen=True)
class Comparison:
    """One paired comparison, `a` minus `b`.

    Attributes
    ----------
    a, b, test, n : names of the methods, name of the test, number of pairs.
    difference : mean of the differences, in the unit of the values.
    p, p_holm : two-sided p, and p after Holm's correction if it is one of several comparisons (otherwise equal to `p`).
    effect : matched-pairs rank-biserial correlation for "wilcoxon" (-1 to 1), otherwise Cohen's d of the differences.

    >>> found = paired([0.9, 0.8, 0.7], [0.8, 0.6, 0.4])
    >>> found.n, round(found.difference, 3), found.least_p
    (3, 0.2, 0.25)
    """

    a: str
    b: str
    test: Test
    n: int
    difference: float
    p: float
    p_holm: float
    effect: float

    @property
    def least_p(self) -> float:
        """The smallest p that the test can give for this number of pairs, whatever the values.

        With 2^n signings of the differences it is 2 / 2^n. Five people cannot be significant at 0.05.
        """
        return 0.0 if self.test == "t" else 2.0 ** (1 - self.n)

    def __str__(self) -> str:
        corrected = ", Holm" if self.p_holm != self.p else ""
        effect = "r" if self.test == "wilcoxon" else "d"
        text = f"{_NAMES[self.test]} against {self.b}: p = {self.p_holm:.3g}{corrected}, {effect} = {self.effect:.2f}"
        hopeless = f"; cannot be significant with {self.n} people" if self.least_p > 0.05 else ""
        return f"{text}, n = {self.n}{hopeless}"


@dataclass(frozen=True)
class Friedman:
    """Result of `friedman`: do the ranks of several methods over people differ?

    Attributes
    ----------
    statistic : corrected for ties, chi-squared distributed with (methods - 1) degrees of freedom.
    p, p_f : p of `statistic`, and of Iman and Davenport's F (1980), which is less conservative for few people.
    kendall_w : agreement of the people about the order of the methods, 0 to 1.
    mean_rank : mean rank of each method by name; 1 is the highest value.
    n : number of people.

    >>> friedman({"net": [0.9, 0.8, 0.9], "svm": [0.8, 0.7, 0.8], "lda": [0.7, 0.6, 0.7]}).kendall_w
    1.0
    """

    statistic: float
    p: float
    kendall_w: float
    mean_rank: dict[str, float]
    n: int
    p_f: float = float("nan")


@dataclass(frozen=True)
class Nemenyi:
    """Result of `nemenyi`: all pairs of methods after Friedman's test.

    Attributes
    ----------
    mean_rank : mean rank of each method by name; 1 is the highest value.
    critical_difference : mean ranks further apart than this differ at level `alpha`.
    p : p of each pair of names, corrected for the number of pairs.
    n, alpha : number of people, and level.

    >>> found = nemenyi({"net": [0.9, 0.8, 0.9], "svm": [0.8, 0.7, 0.8], "lda": [0.7, 0.6, 0.7]})
    >>> round(found.critical_difference, 3)
    1.914
    """

    mean_rank: dict[str, float]
    critical_difference: float
    p: dict[tuple[str, str], float]
    n: int
    alpha: float


def paired(
    a: Sequence[float], b: Sequence[float], test: Test = "wilcoxon", names: tuple[str, str] = ("a", "b")
) -> Comparison:
    """Compare two methods over the same people.

    Parameters
    ----------
    a, b : one value per person.
    test : "wilcoxon" is the signed-rank test (Wilcoxon 1945), exact for few pairs without ties; it assumes a symmetric
        distribution of the differences. "permutation" flips the signs of the differences (Fisher 1935, section 21): all
        signings up to 20 people, 100 000 random ones above. "t" is Student's test, for normally distributed
        differences.
    names : names of the two methods.

    Raises
    ------
    ShapeError : not two rows of the same length with 2 or more finite numbers.
    ConfigError : another test.

    >>> print(paired([0.9, 0.8, 0.7, 0.9, 0.8, 0.9], [0.8, 0.6, 0.6, 0.5, 0.7, 0.6], names=("net", "lda")))
    Wilcoxon against lda: p = 0.0312, r = 1.00, n = 6
    """
    if test not in get_args(Test):
        raise ConfigError(f"test must be {', '.join(map(repr, get_args(Test)))}, got {test!r}")
    x, y = _together({names[0]: a, names[1]: b})
    # 0.9 - 0.8 and 0.8 - 0.7 differ in the last bit; without rounding, equal differences would not be ties.
    grain = 10.0 ** np.floor(np.log10(max(np.abs([x, y]).max(), 1e-300)) - 11)
    whole = np.round((x - y) / grain)
    d = whole * grain
    spread = d.std(ddof=1)
    if not d.any():
        p = 1.0
    elif test == "wilcoxon":
        p = float(cast(Any, scipy.stats.wilcoxon(d)).pvalue)
    elif test == "permutation":
        p = _signings(whole)
    else:
        p = float(cast(Any, scipy.stats.ttest_1samp(d, 0.0)).pvalue) if spread else 0.0
    if not d.any():
        effect = 0.0
    elif test == "wilcoxon":
        effect = _rank_biserial(d)
    else:
        effect = float(d.mean() / spread) if spread else float(np.copysign(np.inf, d.mean()))
    return Comparison(*names, test, len(d), float(d.mean()), p, p, effect)


def _signings(d: np.ndarray, n_draws: int = 100_000) -> float:
    """Return the two-sided p: the fraction of sign patterns with a sum at least as far from 0 as the observed one."""
    if len(d) > _MOST_ENUMERATED:
        signs = np.random.default_rng(0).integers(0, 2, (n_draws, len(d)), dtype=np.int8) * 2 - 1
        as_far = np.abs(signs @ d) >= abs(d.sum())
        return float((as_far.sum() + 1) / (n_draws + 1))  # the observed differences count as well
    sums = np.zeros(1)
    for value in d:
        sums = np.concatenate([sums + value, sums - value])
    return float((np.abs(sums) >= abs(d.sum())).mean())


def compare(values: Mapping[str, Sequence[float]], reference: str, test: Test = "wilcoxon") -> dict[str, Comparison]:
    """Compare every other method with `reference` (as `reference` minus the other), with Holm's correction over all of
    them.

    Parameters
    ----------
    values : name of each method to one value per person, with the people in the same order.
    reference : name of the method that the others are compared with.
    test : as in `paired`.

    Raises
    ------
    ConfigError : `reference` is not among the names.
    ShapeError : as in `paired`.

    >>> values = {"net": [0.9, 0.8, 0.7, 0.9, 0.8, 0.9], "lda": [0.8, 0.6, 0.6, 0.5, 0.7, 0.6], "svm": [0.9] * 6}
    >>> {name: round(found.p_holm, 4) for name, found in compare(values, reference="net").items()}
    {'lda': 0.0625, 'svm': 0.25}
    """
    if reference not in values:
        raise ConfigError(f"reference must be one of {', '.join(values)}, got {reference!r}")
    others = [name for name in values if name != reference]
    found = [paired(values[reference], values[name], test, (reference, name)) for name in others]
    corrected = holm([c.p for c in found])
    return {c.b: replace(c, p_holm=p) for c, p in zip(found, corrected.tolist())}


def holm(p: Sequence[float]) -> np.ndarray:
    """Return p-values corrected for their number (Holm 1979), in the order given.

    The k-th smallest of m is multiplied by m - k + 1; no corrected value is below that of a smaller p, and none exceeds
    1.

    >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    raw = np.asarray(p, float)
    if raw.ndim != 1 or not ((raw >= 0) & (raw <= 1)).all():
        raise ShapeError(f"p must be one row of probabilities from 0 to 1, got {p!r}")
    order = np.argsort(raw, kind="stable")
    corrected = np.empty_like(raw)
    corrected[order] = np.minimum(np.maximum.accumulate(raw[order] * (len(raw) - np.arange(len(raw)))), 1.0)
    return corrected


def friedman(values: Mapping[str, Sequence[float]]) -> Friedman:
    """Friedman's test (1937) over three or more methods on the same people.

    Parameters
    ----------
    values : name of each method to one value per person, with the people in the same order.

    Raises
    ------
    ShapeError : fewer than 3 methods or 2 people, or rows of different lengths.

    >>> found = friedman({"net": [0.9, 0.8, 0.9], "svm": [0.8, 0.7, 0.8], "lda": [0.7, 0.6, 0.7]})
    >>> found.statistic, round(found.p, 4), found.mean_rank
    (6.0, 0.0498, {'net': 1.0, 'svm': 2.0, 'lda': 3.0})
    """
    table, ranks = _ranks(values)
    k, n = table.shape
    rank_of = dict(zip(values, ranks.mean(axis=1).tolist()))
    if (ranks == ranks[0]).all():  # all people tie: SciPy gives 0/0
        return Friedman(0.0, 1.0, 0.0, rank_of, n, 1.0)
    found = cast(Any, scipy.stats.friedmanchisquare(*table))
    statistic = float(found.statistic)
    rest = n * (k - 1) - statistic
    p_f = float(scipy.stats.f.sf((n - 1) * statistic / rest, k - 1, (k - 1) * (n - 1))) if rest > 1e-9 else 0.0
    return Friedman(statistic, float(found.pvalue), statistic / (n * (k - 1)), rank_of, n, p_f)


def nemenyi(values: Mapping[str, Sequence[float]], alpha: float = 0.05) -> Nemenyi:
    """Nemenyi's comparison of all pairs of methods by their mean ranks, after a significant `friedman`.

    The critical difference is the one that critical-difference diagrams show (Nemenyi 1963; Demšar 2006, section
    3.2.2).

    Raises
    ------
    ShapeError : as in `friedman`.

    >>> found = nemenyi({"net": [0.9, 0.8, 0.9], "svm": [0.8, 0.7, 0.8], "lda": [0.7, 0.6, 0.7]})
    >>> round(found.p["net", "lda"], 4)
    0.038
    """
    table, ranks = _ranks(values)
    k, n = table.shape
    scale = np.sqrt(k * (k + 1) / (6 * n))
    mean = ranks.mean(axis=1)
    names = list(values)
    p = {
        (names[i], names[j]): float(
            scipy.stats.studentized_range.sf(abs(mean[i] - mean[j]) / scale * np.sqrt(2), k, np.inf)
        )
        for i in range(k)
        for j in range(i + 1, k)
    }
    critical = float(scipy.stats.studentized_range.isf(alpha, k, np.inf) / np.sqrt(2) * scale)
    return Nemenyi(dict(zip(names, mean.tolist())), critical, p, n, alpha)


def t_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Student's interval of the mean over people, for normally distributed values.

    >>> low, high = t_interval([0.7, 0.8, 0.9])
    >>> round(low, 3), round(high, 3)
    (0.552, 1.048)
    """
    (x,) = _together({"values": values})
    half = float(scipy.stats.t.ppf((1 + level) / 2, len(x) - 1) * x.std(ddof=1) / np.sqrt(len(x)))
    return float(x.mean()) - half, float(x.mean()) + half


def equivalent(a: Sequence[float], b: Sequence[float], margin: float) -> float:
    """Return p of the hypothesis that the mean difference is at least `margin`: two one-sided t tests (Schuirmann 1987).

    A small p means that the methods are equivalent within the margin. Differences must be normally distributed.

    Parameters
    ----------
    a, b : one value per person.
    margin : the largest difference that would not matter, in the unit of the values.

    >>> equivalent([0.80, 0.82, 0.79, 0.81], [0.80, 0.81, 0.80, 0.81], margin=0.05) < 0.05
    True
    """
    if not margin > 0:
        raise ConfigError(f"margin must be a positive difference in the unit of the values, got {margin!r}")
    x, y = _together({"a": a, "b": b})
    d = x - y
    error = d.std(ddof=1) / np.sqrt(len(d))
    if not error:
        return 0.0 if abs(d.mean()) < margin else 1.0
    return float(scipy.stats.t.sf((margin - abs(d.mean())) / error, len(d) - 1))


@dataclass(frozen=True)
class Posterior:
    """The posterior of `bayesian_signed_rank` given the differences.

    better, equivalent, worse : probabilities that the most likely answer for a new person is that `a` is better than
        `b` by more than the margin, within it, or worse by more than it. They sum to 1.
    expected : posterior means of the three shares themselves, exact; in the same order.
    margin : half the width of the region of practical equivalence, in the unit of the values.
    n : number of pairs.

    >>> bayesian_signed_rank([0.9, 0.8, 0.7], [0.9, 0.8, 0.7], margin=0.01).equivalent
    1.0
    """

    better: float
    equivalent: float
    worse: float
    expected: tuple[float, float, float]
    margin: float
    n: int


def bayesian_signed_rank(
    a: Sequence[float], b: Sequence[float], margin: float, prior: float = 0.5, n_draws: int = 50_000, seed: int = 0
) -> Posterior:
    """The Bayesian counterpart of Wilcoxon's test, with a region of practical equivalence (Benavoli, Mangili, Corani,
    Zaffalon and Ruggeri 2014; Benavoli, Corani, Demšar and Zaffalon 2017, section 4.2, arXiv:1606.04316).

    The differences are given weights from a Dirichlet distribution; a pseudo-difference of 0 with weight `prior` is the
    prior. Of each draw of weights, the means of all pairs of differences fall in three regions with three shares, and
    the largest share names the draw's answer. It assumes that people are drawn independently, and nothing about the
    shape of the distribution.

    Parameters
    ----------
    a, b : one value per person.
    margin : the largest difference that would not matter, in the unit of the values.
    prior : weight of the pseudo-difference; 0.5 is that of the paper.
    n_draws, seed : number of draws and seed of the Monte Carlo estimate; its standard error is at most 0.5 /
        sqrt(n_draws).

    Raises
    ------
    ShapeError : as in `paired`. ConfigError : a negative margin, or a prior that is not positive.

    >>> found = bayesian_signed_rank([0.9, 0.8, 0.7, 0.9, 0.8, 0.9], [0.8, 0.6, 0.6, 0.5, 0.7, 0.6], margin=0.01)
    >>> found.better > 0.95, found.worse < 0.01
    (True, True)
    """
    if not margin >= 0 or not prior > 0:
        raise ConfigError(f"margin must be 0 or more and prior above 0, got margin={margin!r}, prior={prior!r}")
    x, y = _together({"a": a, "b": b})
    regions = _regions(x - y, margin)
    concentration = np.concatenate([[prior], np.ones(len(x))])
    rng = np.random.default_rng(seed)
    counts = np.zeros(3)
    for start in range(0, n_draws, 5_000):
        shares = _shares(regions, rng.dirichlet(concentration, min(5_000, n_draws - start)))
        counts += np.bincount(shares.argmax(axis=1), minlength=3)
    total = concentration.sum()
    moments = (np.outer(concentration, concentration) + np.diag(concentration)) / (total * (total + 1))
    better, same, worse = (counts / n_draws).tolist()
    e = [float((region * moments).sum()) for region in regions]
    return Posterior(better, same, worse, (e[0], e[1], e[2]), margin, len(x))


def _regions(d: np.ndarray, margin: float) -> np.ndarray:
    """Return (region, pair, pair) of 0 and 1: the region of the mean of two differences, pseudo-difference first."""
    z = np.concatenate([[0.0], d])
    mean = (z[:, None] + z[None, :]) / 2
    tiny = 1e-12 * max(float(np.abs(z).max()), margin, 1e-300)  # 0.9 - 0.8 is not 0.1 in the last bit
    above, below = mean > margin + tiny, mean < -margin - tiny
    return np.stack([above, ~above & ~below, below]).astype(float)


def _shares(regions: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the (draw, region) shares of weighted pairs, for (draw, difference) weights."""
    return np.stack([((weights @ region) * weights).sum(axis=1) for region in regions], axis=1)


@dataclass(frozen=True)
class Variance:
    """Components of the variance of scores; see `seed_variance`.

    people, seeds : variances between people, and between seeds of one person, in the unit of the values squared.
    share_of_seeds : seeds / (people + seeds).
    standard_error : of the mean over people and seeds, in the unit of the values.

    >>> seed_variance([[0.9, 0.9], [0.8, 0.8]]).share_of_seeds
    0.0
    """

    people: float
    seeds: float
    share_of_seeds: float
    standard_error: float


def seed_variance(values: Sequence[Sequence[float]]) -> Variance:
    """Return how much of a method's variance is chance in training: the mixed model value = mean + person + seed of the
    person with random, normally distributed effects, by analysis of variance (Snedecor and Cochran 1967, section
    10.13).

    Every person has the same number of seeds. The estimates are then those of restricted maximum likelihood, if none
    is negative; a negative variance between people is set to 0.

    Parameters
    ----------
    values : one row per person, one value per seed, at least two of each. For two methods, give their differences.

    Raises
    ------
    ShapeError : the rows are not of one length, or are too few.

    >>> found = seed_variance([[0.90, 0.92], [0.80, 0.78], [0.70, 0.72]])
    >>> round(found.seeds, 4), round(found.people, 4)
    (0.0002, 0.01)
    """
    table = _together({str(i): row for i, row in enumerate(values)})
    n, k = table.shape
    if n < 2:
        raise ShapeError(f"the variance between people needs two people or more, got {n}")
    between = k * float(table.mean(axis=1).var(ddof=1))
    within = float(table.var(axis=1, ddof=1).mean())
    people = max((between - within) / k, 0.0)
    total = people + within
    return Variance(people, within, within / total if total else 0.0, float(np.sqrt(between / (n * k))))


def corrected_t(a: Sequence[float], b: Sequence[float], test_to_train: float) -> float:
    """Return p of the corrected resampled t test (Nadeau and Bengio 2003), two-sided, over folds of one person.

    Folds share training windows, so their differences are not independent; the variance is enlarged accordingly.

    Parameters
    ----------
    a, b : one value per fold.
    test_to_train : number of test windows divided by number of train windows, 1 / (k - 1) for k folds.

    >>> round(corrected_t([0.9, 0.8, 0.9, 0.8], [0.7, 0.7, 0.8, 0.6], test_to_train=1 / 3), 4)
    0.0424
    """
    x, y = _together({"a": a, "b": b})
    d = x - y
    variance = d.var(ddof=1)
    if not variance:
        return 1.0 if not d.any() else 0.0
    t = d.mean() / np.sqrt((1 / len(d) + test_to_train) * variance)
    return float(2 * scipy.stats.t.sf(abs(t), len(d) - 1))


def chance_threshold(n_windows: int, n_classes: int, alpha: float = 0.05) -> float:
    """Return the accuracy that guessing among equally frequent classes exceeds with a probability of at most `alpha`.

    It assumes independent windows. Windows of one trial are not independent, so give the number of trials instead.

    Source: Combrisson and Jerbi 2015, doi:10.1016/j.jneumeth.2015.01.010.

    >>> chance_threshold(100, 2)
    0.58
    """
    return float(scipy.stats.binom.ppf(1 - alpha, n_windows, 1 / n_classes) / n_windows)


def _ranks(values: Mapping[str, Sequence[float]]) -> tuple[np.ndarray, np.ndarray]:
    """Return (method, person) values and ranks; the highest value of a person has rank 1."""
    if len(values) < 3:
        raise ShapeError(f"Friedman's test compares 3 or more methods, got {len(values)}; use paired() for two")
    table = _together(values)
    return table, len(values) + 1 - scipy.stats.rankdata(table, axis=0)


def _together(values: Mapping[str, Sequence[float]]) -> np.ndarray:
    rows = {name: np.asarray(row, float) for name, row in values.items()}
    lengths = {name: row.shape for name, row in rows.items()}
    if len(set(lengths.values())) != 1 or any(row.ndim != 1 or len(row) < 2 for row in rows.values()):
        raise ShapeError(
            f"paired values must be equally long rows of 2 or more numbers, one per person; got shapes {lengths}"
        )
    table = np.stack(list(rows.values()))
    if not np.isfinite(table).all():
        raise ShapeError("paired values hold NaN or infinity; leave out those people in every row")
    return table


def _rank_biserial(d: np.ndarray) -> float:
    """(sum of the ranks of positive differences - that of negative ones) / sum of all (Kerby 2014)."""
    d = d[d != 0]
    ranks = scipy.stats.rankdata(np.abs(d))
    return float((ranks * np.sign(d)).sum() / ranks.sum())
