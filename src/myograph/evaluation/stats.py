"""Are two methods really different? Paired tests over subjects, with correction for many comparisons.

Values go together by position: `a[i]` and `b[i]` are of one subject (or one fold). Windows of a subject are no
independent observations, so a test over windows would call any difference significant; these are over subjects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
from scipy import stats as sps

from myograph.errors import ConfigError, ShapeError

Test = Literal["wilcoxon", "t"]


@dataclass(frozen=True)
class Comparison:
    """One paired comparison, `a` less `b`.

    difference : mean of the differences, in the values' unit.
    p : two-sided; `p_holm` after Holm's correction, where it is one of several (else the same as `p`).
    effect : matched-pairs rank-biserial correlation for "wilcoxon" (-1 to 1), Cohen's d of the differences for "t".
    n : pairs. Fewer than 6 cannot give p < 0.05 with "wilcoxon".
    """

    a: str
    b: str
    test: Test
    n: int
    difference: float
    p: float
    p_holm: float
    effect: float

    def __str__(self) -> str:
        corrected = ", Holm" if self.p_holm != self.p else ""
        name = "Wilcoxon" if self.test == "wilcoxon" else "paired t"
        effect = "r" if self.test == "wilcoxon" else "d"
        return f"{name} against {self.b}: p = {self.p_holm:.3g}{corrected}, {effect} = {self.effect:.2f}, n = {self.n}"


@dataclass(frozen=True)
class Friedman:
    """Several methods at once: do their ranks over subjects differ?

    statistic : chi-squared distributed, (methods - 1) degrees of freedom. kendall_w : 0 (no agreement of subjects) to 1.
    mean_rank : of each method by name, 1 is the highest value.
    """

    statistic: float
    p: float
    kendall_w: float
    mean_rank: dict[str, float]
    n: int


def paired(
    a: Sequence[float], b: Sequence[float], test: Test = "wilcoxon", names: tuple[str, str] = ("a", "b")
) -> Comparison:
    """Compare two methods over the same subjects.

    test : "wilcoxon" is the signed-rank test (Wilcoxon 1945), exact for few pairs without ties; "t" is Student's, for
        differences that are normally distributed.

    Raises
    ------
    ShapeError : not two equally long rows of at least 2 numbers.
    """
    if test not in ("wilcoxon", "t"):
        raise ConfigError(f"test is 'wilcoxon' or 't', got {test!r}")
    x, y = _together({names[0]: a, names[1]: b})
    # 0.9 - 0.8 and 0.8 - 0.7 differ in the last bit: unrounded, equal differences would not tie and none be zero.
    unit = 10.0 ** np.floor(np.log10(max(np.abs([x, y]).max(), 1e-300)) - 11)
    d = np.round((x - y) / unit) * unit
    if not d.any():
        p, effect = 1.0, 0.0
    elif test == "wilcoxon":
        p, effect = float(cast(Any, sps.wilcoxon(d)).pvalue), _rank_biserial(d)
    else:
        spread = d.std(ddof=1)
        p = float(cast(Any, sps.ttest_rel(x, y)).pvalue) if spread else 0.0
        effect = float(d.mean() / spread) if spread else float(np.copysign(np.inf, d.mean()))
    return Comparison(*names, test, len(d), float(d.mean()), p, p, effect)


def compare(values: Mapping[str, Sequence[float]], reference: str, test: Test = "wilcoxon") -> dict[str, Comparison]:
    """Every other method against `reference` (as `reference` less the other), with Holm's correction over all of them.

    values : a name to one value a subject, in the same order.
    """
    if reference not in values:
        raise ConfigError(f"reference is one of {', '.join(values)}, got {reference!r}")
    others = [name for name in values if name != reference]
    found = [paired(values[reference], values[name], test, (reference, name)) for name in others]
    corrected = holm([c.p for c in found])
    return {c.b: Comparison(**{**vars(c), "p_holm": p}) for c, p in zip(found, corrected.tolist())}


def holm(p: Sequence[float]) -> np.ndarray:
    """p-values corrected for how many there are (Holm 1979), in the order given: the k-th smallest of m is multiplied
    by m - k + 1, none falls below one that was smaller before, and none exceeds 1."""
    raw = np.asarray(p, float)
    if raw.ndim != 1 or not ((raw >= 0) & (raw <= 1)).all():
        raise ShapeError(f"p is one row of probabilities from 0 to 1, got {p!r}")
    order = np.argsort(raw, kind="stable")
    corrected = np.empty_like(raw)
    corrected[order] = np.minimum(np.maximum.accumulate(raw[order] * (len(raw) - np.arange(len(raw)))), 1.0)
    return corrected


def friedman(values: Mapping[str, Sequence[float]]) -> Friedman:
    """Friedman's test (1937) over three or more methods on the same subjects.

    Raises
    ------
    ShapeError : fewer than 3 methods or 2 subjects, or rows of different lengths.
    """
    if len(values) < 3:
        raise ShapeError(f"Friedman's test compares 3 or more methods, got {len(values)}; for two there is paired()")
    table = _together(values)
    k, n = table.shape
    ranks = k + 1 - sps.rankdata(table, axis=0)
    rank_of = dict(zip(values, ranks.mean(axis=1).tolist()))
    if (ranks == ranks[0]).all():  # every subject ties: SciPy gives 0/0
        return Friedman(0.0, 1.0, 0.0, rank_of, n)
    found = sps.friedmanchisquare(*table)
    statistic = float(found.statistic)
    return Friedman(statistic, float(found.pvalue), statistic / (n * (k - 1)), rank_of, n)


def _together(values: Mapping[str, Sequence[float]]) -> np.ndarray:
    rows = {name: np.asarray(row, float) for name, row in values.items()}
    lengths = {name: row.shape for name, row in rows.items()}
    if len(set(lengths.values())) != 1 or any(row.ndim != 1 or len(row) < 2 for row in rows.values()):
        raise ShapeError(f"paired values are equally long rows of 2 or more numbers, one a subject; got {lengths}")
    table = np.stack(list(rows.values()))
    if not np.isfinite(table).all():
        raise ShapeError("paired values hold NaN or infinity; leave such subjects out of every row")
    return table


def _rank_biserial(d: np.ndarray) -> float:
    """(sum of ranks of positive differences less that of negative ones) / sum of all (Kerby 2014)."""
    d = d[d != 0]
    ranks = sps.rankdata(np.abs(d))
    return float((ranks * np.sign(d)).sum() / ranks.sum())
