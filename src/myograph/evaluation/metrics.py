"""What predictions are worth: per-window metrics, calibration, the vote over a trial, and intervals over subjects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from sklearn import metrics as sk

METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy": sk.accuracy_score,
    "balanced_accuracy": lambda y, p: per_class_recall(y, p)["recall"].mean(),
    "macro_f1": lambda y, p: sk.f1_score(y, p, average="macro", labels=np.unique(y), zero_division=0),
    "kappa": lambda y, p: _kappa(y, p),
}
TITLES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Class-balanced accuracy",
    "macro_f1": "Macro F1",
    "kappa": "Cohen's kappa",
    "calibration_error": "Calibration error",
    "trial_vote_accuracy": "Accuracy, vote over a trial",
}


def score(predictions: pd.DataFrame) -> dict[str, float]:
    """All metrics of one set of predictions.

    predictions : rows with `y_true`, `y_pred`, `confidence` (NaN where the method gives none) and the columns that
        name a trial (fold, subject, recording, repetition).

    Returns a value for each key of `TITLES`; calibration_error is NaN where no confidence was given.
    """
    true, pred = predictions["y_true"].to_numpy(str), predictions["y_pred"].to_numpy(str)
    values = {name: float(metric(true, pred)) for name, metric in METRICS.items()}
    values["calibration_error"] = calibration_error(true == pred, predictions["confidence"].to_numpy(float))
    voted = trial_votes(predictions)
    values["trial_vote_accuracy"] = float((voted["y_true"] == voted["y_pred"]).mean())
    return values


def per_class_recall(y_true: np.ndarray, y_pred: np.ndarray) -> pd.DataFrame:
    """Recall and support of each class that occurs in `y_true`: its mean is the class-balanced accuracy
    (Zhai et al. 2017, Eq. 4)."""
    classes, of = np.unique(y_true, return_inverse=True)
    support = np.bincount(of, minlength=len(classes))
    hits = np.bincount(of, weights=y_true == y_pred, minlength=len(classes))
    return pd.DataFrame({"label": classes, "recall": hits / support, "n": support})


def confusion(y_true: np.ndarray, y_pred: np.ndarray, labels: list[str]) -> np.ndarray:
    """(true, predicted) counts in the order of `labels`."""
    return sk.confusion_matrix(y_true, y_pred, labels=labels)


def calibration_error(correct: np.ndarray, confidence: np.ndarray, n_bins: int = 15) -> float:
    """Expected calibration error: |accuracy - mean confidence| over equal-width bins of confidence, weighted by
    their size (Naeini et al. 2015; Guo et al. 2017). NaN where the method gives no confidence."""
    if not len(confidence) or np.isnan(confidence).any():
        return float("nan")
    of_bin = np.clip((confidence * n_bins).astype(int), 0, n_bins - 1)
    size = np.bincount(of_bin, minlength=n_bins)
    gap = np.abs(
        np.bincount(of_bin, weights=correct, minlength=n_bins)
        - np.bincount(of_bin, weights=confidence, minlength=n_bins)
    )
    return float(gap.sum() / size.sum())


def trial_votes(predictions: pd.DataFrame) -> pd.DataFrame:
    """One row a trial (fold, recording, repetition and true label): the label that most of its windows were given;
    ties go to the one whose windows were surer, then to the first by name."""
    confidence = predictions["confidence"].fillna(1.0)
    trial = ["fold", "subject", "recording", "repetition", "y_true"]
    votes = (
        predictions.assign(confidence=confidence)
        .groupby([*trial, "y_pred"], observed=True)["confidence"]
        .agg(["size", "sum"])
        .reset_index()
        .sort_values(["size", "sum", "y_pred"], ascending=[False, False, True], kind="stable")
    )
    return votes.drop_duplicates(trial)[[*trial, "y_pred"]].sort_values(trial).reset_index(drop=True)


def summarise(values: np.ndarray, seed: int = 0, n_draws: int = 10_000) -> dict[str, Any]:
    """Mean, standard deviation (n - 1) and a percentile bootstrap 95 % interval of the mean over `values`.

    One value has no spread: std, low and high are NaN.
    """
    values = np.asarray(values, float)
    values = values[~np.isnan(values)]
    nan = float("nan")
    if not len(values):
        return {"mean": nan, "std": nan, "low": nan, "high": nan, "n": 0}
    if len(values) == 1:
        return {"mean": float(values[0]), "std": nan, "low": nan, "high": nan, "n": 1}
    rng = np.random.default_rng(seed)
    means = values[rng.integers(0, len(values), (n_draws, len(values)))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return {
        "mean": float(values.mean()),
        "std": float(values.std(ddof=1)),
        "low": float(low),
        "high": float(high),
        "n": len(values),
    }


def _kappa(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    if len(np.unique(np.concatenate([y_true, y_pred]))) == 1:
        return 1.0  # scikit-learn gives 0/0 where one class is all there is, and it was always found
    return sk.cohen_kappa_score(y_true, y_pred)
