"""Comparison of finished runs on the same test windows under the same protocol, with statistics paired by person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
import pandas as pd

from myograph._common.files import plain
from myograph.errors import ConfigError, ResultsError, unknown_name
from myograph.evaluation.metrics import MIN_FOR_INTERVAL, TITLES, summarise
from myograph.evaluation.scores import Scores
from myograph.evaluation.stats import Comparison, compare

ALPHA = 0.05
_SAME_WINDOWS = ["fold", "recording", "start", "stop", "y_true"]


@dataclass(frozen=True, eq=False)
class RunComparison:
    """A comparison of several runs; see `compare_runs`.

    Attributes
    ----------
    metric : a key of `myograph.evaluation.metrics.TITLES`.
    reference : name of the run that the others are compared with.
    values : one row per person and one column per run. If all runs test one person, one row per fold.
    over : "subject" or "fold": the meaning of a row of `values`, over which means are taken.
    tests : name of each other run to its paired Wilcoxon test, Holm-corrected. Empty if there is one person only.
    question, protocol, dataset : the question that the scores answer, and the data.

    >>> from myograph import LeaveOneSubjectOut, Recipe, evaluate
    >>> from myograph.testing import make_recording
    >>> recordings = [make_recording(name, seed=i) for i, name in enumerate(["anna", "ben"])]
    >>> recipe = lambda method: Recipe("example", "mine", LeaveOneSubjectOut(), method, rest="keep")
    >>> found = compare_runs({method: evaluate(recipe(method), recordings) for method in ("lda", "knn")})
    >>> found.ranked, found.table.index.tolist(), found.notes[0]
    (False, [0, 1], '2 people: no interval and no ranking (at least 6 are needed)')
    >>> found.as_dict()["reference"], found.to_latex().count("tabular")
    ('lda', 2)
    """

    metric: str
    reference: str
    values: pd.DataFrame
    over: str
    tests: dict[str, Comparison]
    question: str
    protocol: str
    dataset: str

    @property
    def ranked(self) -> bool:
        """Whether there are enough people for a ranking and for intervals."""
        return self.over == "subject" and len(self.values) >= MIN_FOR_INTERVAL

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row per run: mean, std, low, high (95 % interval, NaN for fewer than six people), difference from the
        reference, effect (rank-biserial correlation), p, and p after Holm's correction. With six people or more, the
        best run is first.
        """
        rows = []
        for name in self.values:
            found = summarise(self.values[name].to_numpy(float))
            if not self.ranked:
                found.update(low=float("nan"), high=float("nan"))
            test = self.tests.get(str(name))
            # `compare` tests the reference minus the other run; readers expect the other run minus the reference.
            tested = {
                "difference": float((self.values[name] - self.values[self.reference]).mean()),
                "effect": -test.effect if test else float("nan"),
                "p": test.p if test else float("nan"),
                "p_holm": test.p_holm if test else float("nan"),
            }
            rows.append({"run": name, **found, **tested})
        table = pd.DataFrame(rows)
        if self.ranked:
            table = table.sort_values("mean", ascending=False, kind="stable", ignore_index=True)
        return table

    @property
    def notes(self) -> list[str]:
        """Remarks that are needed to interpret the table, one sentence each."""
        n = len(self.values)
        if self.over == "fold":
            return [f"one person was tested: {n} folds share training windows, so there is no test and no ranking"]
        notes = []
        if not self.ranked:
            notes.append(f"{n} people: no interval and no ranking (at least {MIN_FOR_INTERVAL} are needed)")
        least = least_p(n, len(self.tests))
        if least > ALPHA:
            notes.append(
                f"no difference can be significant with {n} people: the smallest p of {len(self.tests)} Wilcoxon "
                f"test{'s' if len(self.tests) > 1 else ''} with Holm's correction is {least:.2g}"
            )
        return notes

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON of `myograph compare --json`: plain values, with NaN as None."""
        return plain(
            {
                "metric": self.metric,
                "reference": self.reference,
                "dataset": self.dataset,
                "protocol": self.protocol,
                "question": self.question,
                "over": self.over,
                "n": len(self.values),
                "ranked": self.ranked,
                "notes": self.notes,
                "runs": self.table.to_dict("records"),
                "values": [{self.over: str(key), **row} for key, row in self.values.to_dict("index").items()],
            }
        )

    def to_latex(self) -> str:
        """Return the table in LaTeX, for a paper that uses the booktabs package."""
        lines = [r"\begin{tabular}{lrrrr}", r"\toprule"]
        lines += [rf"Method & {TITLES[self.metric]} & Difference & Effect & $p$ (Holm) \\", r"\midrule"]
        for row in self.table.to_dict("records"):
            cells = [f"${100 * row['mean']:.1f} \\pm {100 * row['std']:.1f}$" if row["n"] > 1 else f"{row['mean']:.3f}"]
            if row["run"] in self.tests:
                cells += [f"${100 * row['difference']:+.1f}$", f"${row['effect']:+.2f}$", f"${row['p_holm']:.3g}$"]
            else:
                cells += ["", "", ""]
            lines.append(" & ".join([_latex(row["run"]), *cells]) + r" \\")
        note = f"% {self.dataset}, {self.protocol}: {self.question}; n = {len(self.values)} {self.over}s"
        return "\n".join([note, *(f"% {text}" for text in self.notes), *lines, r"\bottomrule", r"\end{tabular}", ""])


def compare_runs(scores: Mapping[str, Scores], reference: str | None = None, metric: str = "accuracy") -> RunComparison:
    """Compare runs that tested the same windows of the same data under the same protocol.

    Values of the same person are paired. Each run is compared with the reference by Wilcoxon's signed-rank test over
    people, with Holm's correction; see `myograph.evaluation.stats`.

    Parameters
    ----------
    scores : name to `Scores`, two or more; see `name_runs`.
    reference : name of the run that the others are compared with; the first if None.
    metric : a key of `myograph.evaluation.metrics.TITLES`.

    Raises
    ------
    ConfigError : fewer than two runs.
    UnknownNameError : an unknown reference or metric.
    ResultsError : a run is LEAKY, or data, windows or protocol of two runs differ; the message names what differs.

    >>> compare_runs({})
    Traceback (most recent call last):
    myograph.errors.ConfigError: a comparison needs two runs or more, got 0
    """
    if len(scores) < 2:
        raise ConfigError(f"a comparison needs two runs or more, got {len(scores)}")
    names = list(scores)
    reference = names[0] if reference is None else reference
    if reference not in scores:
        raise unknown_name("run of the comparison", reference, names)
    if metric not in TITLES:
        raise unknown_name("metric", metric, TITLES)
    first = scores[names[0]]
    for name in names:
        if scores[name].leaky:
            raise ResultsError(
                f"{name} is LEAKY, and LEAKY scores are not compared; give its subfolder honest/ instead"
            )
        if what := _difference(first, scores[name]):
            raise ResultsError(f"{names[0]} and {name} cannot be compared: {what}")
    over = first.over
    columns = {}
    for name, found in scores.items():
        table = found.subjects if over == "subject" else found.folds
        columns[name] = table.set_index(over)[metric]
    values = pd.DataFrame(columns)
    if missing := [name for name in names if values[name].isna().any()]:
        raise ResultsError(
            f"{', '.join(missing)} give no {TITLES[metric].lower()} for some {over}s; choose another metric"
        )
    tests = {}
    if over == "subject":
        tests = compare({name: values[name].tolist() for name in names}, reference)
    info = first.info
    return RunComparison(metric, reference, values, over, tests, first.question, info["protocol"], info["dataset"])


def name_runs(scores: Sequence[Scores]) -> dict[str, Scores]:
    """Name each run by its method; if methods repeat, by its recipe, or else by its folder.

    ConfigError if the same folder is given twice.

    >>> from myograph import LeaveOneSubjectOut, Recipe, evaluate
    >>> from myograph.testing import make_recording
    >>> recordings = [make_recording(name, seed=i) for i, name in enumerate(["anna", "ben"])]
    >>> scores = evaluate(Recipe("example", "mine", LeaveOneSubjectOut(), "lda", rest="keep"), recordings)
    >>> list(name_runs([scores]))
    ['lda']
    """
    for key in (
        lambda s: s.info["method"],
        lambda s: s.info["recipe"],
        lambda s: s.folder.name if s.folder else "",
        lambda s: str(s.folder),
    ):
        names = [str(key(each)) for each in scores]
        if len(set(names)) == len(names):
            return dict(zip(names, scores))
    raise ConfigError(f"the same run is given twice: {', '.join(str(s.folder) for s in scores)}")


def least_p(n: int, n_tests: int) -> float:
    """Return the smallest p that a two-sided exact Wilcoxon test of n pairs can give, with Holm's correction over
    n_tests.

    All n differences have the same sign in 2 of 2^n equally likely cases.

    >>> least_p(5, 1)
    0.0625
    """
    return min(max(n_tests, 1) * 2.0 ** (1 - n), 1.0)


def _difference(a: Scores, b: Scores) -> str:
    """Return why two runs cannot be compared, or an empty text."""
    one, other = a.info, b.info
    if set(one["data_hashes"].values()) != set(other["data_hashes"].values()):
        return (
            f"the data differ ({one['dataset']}, {len(one['data_hashes'])} recordings; {other['dataset']}, "
            f"{len(other['data_hashes'])} recordings, not the same content)"
        )
    for what in ("windowing", "rest", "protocol"):
        if one["settings"][what] != other["settings"][what]:
            return f"the {what} differs ({one['settings'][what]}; {other['settings'][what]})"
    tables = [cast(pd.DataFrame, s.predictions[_SAME_WINDOWS]) for s in (a, b)]
    windows = [table.sort_values(_SAME_WINDOWS[:4], ignore_index=True).astype(str) for table in tables]
    if len(windows[0]) != len(windows[1]) or not np.array_equal(windows[0].to_numpy(), windows[1].to_numpy()):
        return f"the test windows differ ({len(windows[0])} and {len(windows[1])} windows)"
    return ""


def _latex(text: Any) -> str:
    return "".join(f"\\{c}" if c in "&%$#_{}" else c for c in str(text))
