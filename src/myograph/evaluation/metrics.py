"""Metrics of predictions: per window, calibration, majority vote per trial; and their mean and interval over people."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy": lambda y, p: float(np.mean(y == p)),
    "balanced_accuracy": lambda y, p: float(np.mean(_recalls(y, p)[1])),
    "macro_f1": lambda y, p: _macro_f1(y, p),
    "kappa": lambda y, p: _kappa(y, p),
}
TITLES: dict[str, str] = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Class-balanced accuracy",
    "macro_f1": "Macro F1",
    "kappa": "Cohen's kappa",
    "calibration_error": "Calibration error",
    "trial_vote_accuracy": "Accuracy, vote over a trial",
}


TRIAL = ["fold", "subject", "recording", "repetition", "y_true"]
MIN_FOR_INTERVAL = 6  # a bootstrap of fewer values gives intervals that are far too narrow


def score(predictions: pd.DataFrame) -> dict[str, float]:
    """Return all metrics of one set of predictions.

    Parameters
    ----------
    predictions : one row per window, with `y_true`, `y_pred`, `confidence` (NaN if the method gives none) and
        the columns that identify a trial (fold, subject, recording, repetition).

    Returns
    -------
    One value for each key of `TITLES`; calibration_error is NaN without confidences.

    >>> trial = {"fold": "a", "subject": "1", "recording": 0, "repetition": 1}
    >>> table = pd.DataFrame({"y_true": ["x", "x", "y"], "y_pred": ["x", "x", "x"], "confidence": 1.0, **trial})
    >>> found = score(table)
    >>> round(found["accuracy"], 3), found["balanced_accuracy"], found["trial_vote_accuracy"]
    (0.667, 0.5, 0.5)
    """
    # Numbers in the order of the names, because texts compare slowly.
    true, pred = np.split(_codes(np.concatenate([predictions[k].to_numpy(object) for k in ("y_true", "y_pred")])), 2)
    values = {name: float(metric(true, pred)) for name, metric in METRICS.items()}
    values["calibration_error"] = calibration_error(true == pred, predictions["confidence"].to_numpy(float))
    rows, voted = _votes(predictions)
    of_trial = predictions["y_true"].to_numpy(object)[rows]
    values["trial_vote_accuracy"] = float(np.mean(of_trial.astype(str) == voted.astype(str)))
    return values


def per_class_recall(y_true: np.ndarray, y_pred: np.ndarray) -> pd.DataFrame:
    """Return recall and number of windows of each class in `y_true`; the mean recall is the class-balanced
    accuracy (Zhai et al. 2017, Eq. 4, doi:10.3389/fnins.2017.00379).

    >>> per_class_recall(np.array(["a", "a", "b"]), np.array(["a", "b", "b"]))["recall"].tolist()
    [0.5, 1.0]
    """
    classes, recall, n = _recalls(y_true, y_pred)
    return pd.DataFrame({"label": classes, "recall": recall, "n": n})


def _recalls(y_true: np.ndarray, y_pred: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    classes, of = np.unique(y_true, return_inverse=True)
    n = np.bincount(of, minlength=len(classes))
    return classes, np.bincount(of, weights=y_true == y_pred, minlength=len(classes)) / n, n


def confusion(y_true: np.ndarray, y_pred: np.ndarray, labels: list[str]) -> np.ndarray:
    """Return the confusion matrix: (true, predicted) counts of windows, in the order of `labels`.

    >>> confusion(np.array(["a", "a", "b"]), np.array(["a", "b", "b"]), ["a", "b"]).tolist()
    [[1, 1], [0, 1]]
    """
    from sklearn.metrics import confusion_matrix

    return confusion_matrix(y_true, y_pred, labels=labels)


N_BINS = 15  # of equal width over the confidence, as in Guo et al. 2017


def calibration_error(correct: np.ndarray, confidence: np.ndarray, n_bins: int = N_BINS) -> float:
    """Return the expected calibration error: |accuracy - mean confidence| in bins of equal width over the confidence,
    weighted by the number of windows in each (Naeini et al. 2015; Guo et al. 2017, arXiv:1706.04599). NaN without
    confidences.

    >>> calibration_error(np.array([True, False]), np.array([0.75, 0.75]))
    0.25
    """
    mean_confidence, accuracy, n = _bins(correct, confidence, n_bins)
    return float((np.abs(accuracy - mean_confidence) * n).sum() / n.sum()) if len(n) else float("nan")


def reliability(correct: np.ndarray, confidence: np.ndarray, n_bins: int = N_BINS) -> pd.DataFrame:
    """Return the reliability diagram as a table: one row per bin of the confidence that has windows.

    Parameters
    ----------
    correct : (window,) whether the prediction is right.
    confidence : (window,) probability of the predicted class. If one is NaN, the table is empty.
    n_bins : number of bins of equal width from 0 to 1.

    Returns
    -------
    DataFrame with the mean `confidence` of the bin's windows, their `accuracy`, and their number `n`.

    >>> reliability(np.array([True, False]), np.array([0.75, 0.75])).to_dict("records")
    [{'confidence': 0.75, 'accuracy': 0.5, 'n': 2}]
    """
    mean_confidence, accuracy, n = _bins(correct, confidence, n_bins)
    return pd.DataFrame({"confidence": mean_confidence, "accuracy": accuracy, "n": n})


def _bins(correct: np.ndarray, confidence: np.ndarray, n_bins: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    known = len(confidence) > 0 and not np.isnan(confidence).any()
    correct, confidence = (np.asarray(a, float) if known else np.zeros(0) for a in (correct, confidence))
    of_bin = np.clip((confidence * n_bins).astype(int), 0, n_bins - 1)
    size = np.bincount(of_bin, minlength=n_bins)
    there = size > 0
    sums = (np.bincount(of_bin, weights=values, minlength=n_bins) for values in (confidence, correct))
    mean_confidence, accuracy = (each[there] / size[there] for each in sums)
    return mean_confidence, accuracy, size[there]


def trial_votes(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the majority vote of each trial's windows; a trial is one fold, recording, repetition and true label.

    If labels tie, the one with the larger sum of confidences wins, then the first by name.

    Returns
    -------
    DataFrame with one row per trial: the columns that name it, `y_true` and the voted `y_pred`.

    >>> trial = {"fold": "a", "subject": "1", "recording": 0, "repetition": 1, "y_true": "x"}
    >>> table = pd.DataFrame({"y_pred": ["x", "y", "x"], "confidence": 0.5, **trial})
    >>> trial_votes(table)["y_pred"].tolist()
    ['x']
    """
    rows, voted = _votes(predictions)
    return predictions.iloc[rows][TRIAL].assign(y_pred=voted).reset_index(drop=True)


def _codes(values: np.ndarray) -> np.ndarray:
    """Place of each value among the sorted unique ones."""
    return pd.factorize(values, sort=True)[0]


def _votes(predictions: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return the position of one row of each trial, sorted by the columns that identify trials, and the voted labels."""
    trial = np.zeros(len(predictions), np.int64)
    for name in TRIAL:
        codes = _codes(predictions[name].to_numpy())
        trial = trial * (codes.max(initial=0) + 1) + codes
    label = _codes(predictions["y_pred"].to_numpy())
    votes, first, of, size = np.unique(
        trial * (label.max(initial=0) + 1) + label, return_index=True, return_inverse=True, return_counts=True
    )
    confidence = predictions["confidence"].to_numpy(float)
    sure = np.bincount(of, np.where(np.isnan(confidence), 1.0, confidence), minlength=len(votes))
    order = np.lexsort((label[first], -sure, -size, trial[first]))
    rows = first[order]
    best = rows[np.flatnonzero(np.diff(trial[rows], prepend=-1))]
    return best, predictions["y_pred"].to_numpy(object)[best]


def summarise(values: np.ndarray, seed: int = 0, n_draws: int = 10_000) -> dict[str, Any]:
    """Return mean, standard deviation (n - 1) and bootstrap percentile 95 % interval of the mean over people.

    The interval is that of Efron (1979): people are drawn with replacement `n_draws` times, and `low` and `high` are
    the 2.5th and 97.5th percentile of the means. With fewer than six people there is no interval (`low` and `high` are
    NaN), and with one person no deviation. NaN values are left out.

    >>> found = summarise(np.array([0.5, 0.7, 0.9]))
    >>> round(found["mean"], 3), round(found["std"], 3), found["low"], found["n"]
    (0.7, 0.2, nan, 3)
    """
    values = np.asarray(values, float)
    values = values[~np.isnan(values)]
    n, nan = len(values), float("nan")
    low = high = nan
    if n >= MIN_FOR_INTERVAL:
        rng = np.random.default_rng(seed)
        means = values[rng.integers(0, n, (n_draws, n))].mean(axis=1)
        low, high = np.percentile(means, [2.5, 97.5]).tolist()
    return {
        "mean": float(values.mean()) if n else nan,
        "std": float(values.std(ddof=1)) if n > 1 else nan,
        "low": low,
        "high": high,
        "n": n,
    }


def _counts(y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    """Return (true, predicted) counts of windows over all labels that occur in either."""
    labels, codes = np.unique(np.concatenate([y_true, y_pred]), return_inverse=True)
    n, n_labels = len(y_true), len(labels)
    return np.bincount(codes[:n] * n_labels + codes[n:], minlength=n_labels**2).reshape(n_labels, n_labels)


def _macro_f1(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    """Return the mean over labels in `y_true` of F1 = 2 x hits / (true + predicted)."""
    counts = _counts(y_true, y_pred)
    true, predicted = counts.sum(axis=1), counts.sum(axis=0)
    there = true > 0
    return float(np.mean(2 * np.diag(counts)[there] / (true + predicted)[there]))


def _kappa(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    """Return Cohen's kappa (1960): 1 - observed / expected disagreement, expected from the two distributions of labels."""
    counts = _counts(y_true, y_pred)
    if len(counts) == 1:
        return 1.0  # 0/0: there is only one class, and it was always predicted
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / counts.sum()
    apart = 1 - np.eye(len(counts))
    return float(1 - (apart * counts).sum() / (apart * expected).sum())
