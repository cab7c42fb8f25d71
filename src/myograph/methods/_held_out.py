"""Predictions for training windows that were held out of the fit: the basis of calibrated probabilities."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from sklearn.base import clone
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.pipeline import Pipeline

from myograph._common.columns import distinct
from myograph.methods._discriminant import ClassRows

FOLDS = 4  # at most; one fold per repetition, for ten repetitions, would cost more and gives nearly the same result
WHOLE = 4  # with this many repetitions or more, the first and the last are never held out


def held_out_folds(X: Any, code: np.ndarray) -> np.ndarray:
    """Return the (window,) number of the fold in which each window is held out; -1 for windows that are never held out.

    Windows of one repetition are in the same fold. If a session has four repetitions or more, its first and last are never
    held out. The first differs from all later ones (on NinaPro DB1 its accuracy is 65 %, that of the later ones 85 %), and
    neither of the two lies between others. If the repetitions are unknown, as for arrays, or no session has more than one,
    the windows of each class are divided in the given order into four parts, which are used as repetitions.

    Parameters
    ----------
    X : Windows or array.
    code : (window,) index of each window's class.

    >>> held_out_folds(np.zeros((8, 1)), np.repeat([0, 1], 4)).tolist()
    [-1, 0, 1, -1, -1, 0, 1, -1]
    """
    if hasattr(X, "recordings"):
        pair = np.unique([X.table[name].cat.codes for name in ("subject", "session")], axis=1, return_inverse=True)[1]
        rank, several = _ranks(pair.ravel(), np.asarray(X.column("repetition")))
        if (several > 1).any():
            return _dealt(rank, several)
    size = np.bincount(code)[code]
    return np.where(size < WHOLE, -1, _dealt(_place(code) * WHOLE // size, np.full(len(code), WHOLE)))


def overlap_of(windows: Any) -> float:
    """Return the average number of windows that cover the same sample.

    >>> from myograph.testing import make_windows
    >>> overlap_of(make_windows())
    2.8
    """
    order = np.lexsort((windows.column("start"), windows.column("recording")))
    start, stop, of = (windows.column(name)[order] for name in ("start", "stop", "recording"))
    reached = np.where(np.append(False, of[1:] == of[:-1]), np.append(0, stop[:-1]), 0)
    return float((stop - start).sum() / np.maximum(stop - np.maximum(start, reached), 0).sum())


def _ranks(group: np.ndarray, number: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the (window,) rank of each number among those of its group, and how many different numbers its group has."""
    rank, several = np.zeros(len(group), np.int64), np.zeros(len(group), np.int64)
    for g in distinct(group):
        rows = group == g
        there, rank[rows] = np.unique(number[rows], return_inverse=True)
        several[rows] = len(there)
    return rank, several


def _dealt(rank: np.ndarray, several: np.ndarray) -> np.ndarray:
    ends = (several >= WHOLE) & ((rank == 0) | (rank == several - 1))
    number = np.where(several >= WHOLE, rank - 1, rank) % FOLDS
    return np.where(ends | (several < 2), -1, number)


def every_nth(code: np.ndarray, n: int) -> np.ndarray:
    """Return (row,) whether a row is kept if only every n-th row of each class is, starting with the first.

    >>> every_nth(np.array([0, 0, 1, 0, 1]), 2).tolist()
    [True, False, True, True, False]
    """
    return _place(code) % n == 0


def _place(code: np.ndarray) -> np.ndarray:
    """Return the (row,) number of rows of the same class before each row."""
    order = np.argsort(code, kind="stable")
    place = np.empty(len(code), np.int64)
    place[order] = np.arange(len(code)) - np.searchsorted(code[order], code[order])
    return place


def held_out_proba(
    classifier: Any, X: Any, code: np.ndarray, fold: np.ndarray, n_classes: int, learnt: np.ndarray | None = None
) -> np.ndarray:
    """Return (window, class) probabilities: for each held-out window, those of the classifier fitted on the other folds.

    They are NaN for windows that are never held out, and for windows of a class that does not occur in the other folds.

    Parameters
    ----------
    classifier : fitted on all windows. A linear discriminant is not fitted again: its coefficients without a fold are
        computed from the class means and the pooled covariance of the other rows, with the shrinkage of all windows and the
        class proportions of the other folds.
    X : Windows, or (window, column) table.
    code : (window,) index of each window's class.
    fold : as returned by `held_out_folds`.
    n_classes : number of classes.
    learnt : (window,) whether a classifier that is fitted again may use the window; None allows all.
    """
    last, table = classifier, X
    if isinstance(classifier, Pipeline):
        last, table = classifier[-1], classifier[:-1].transform(X)
    if isinstance(last, LinearDiscriminantAnalysis) and last.solver == "lsqr" and last.covariance_estimator is None:
        return _of_discriminant(last, np.asarray(table, float), code, fold, n_classes)
    proba = np.full((len(code), n_classes), np.nan)
    for f in range(int(fold.max(initial=-1)) + 1):
        out, train = np.flatnonzero(fold == f), np.flatnonzero((fold != f) & (learnt if learnt is not None else True))
        known = np.unique(code[train])
        out = out[np.isin(code[out], known)]
        if len(out) and len(known) > 1:
            proba[out] = 0.0
            fitted = cast(Any, clone(classifier)).fit(X[train], code[train])
            proba[np.ix_(out, known)] = fitted.predict_proba(X[out])
    return proba


def _of_discriminant(
    model: LinearDiscriminantAnalysis, x: np.ndarray, code: np.ndarray, fold: np.ndarray, n_classes: int
) -> np.ndarray:
    proba = np.full((len(code), n_classes), np.nan)
    classes = ClassRows.of(x, code, n_classes, model.shrinkage)
    for f in range(int(fold.max(initial=-1)) + 1):
        rows = np.flatnonzero(fold == f)
        count, means, pooled = classes.without(rows)
        known = np.flatnonzero(count)
        out = rows[np.isin(code[rows], known)]
        if len(out) and len(known) > 1:
            weights = pooled.solve(means[known].T)
            score = x[out] @ weights - 0.5 * np.einsum("kc,ck->k", means[known], weights) + np.log(count[known])
            score = (score - score.max(axis=1, keepdims=True)) / getattr(model, "temperature_", 1.0)
            proba[out] = 0.0
            proba[np.ix_(out, known)] = np.exp(score) / np.exp(score).sum(axis=1, keepdims=True)
    return proba
