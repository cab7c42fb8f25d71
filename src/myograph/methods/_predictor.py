"""A fitted pipeline as one plain function of a window, for live use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from sklearn.ensemble import VotingClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from myograph._common.fitted import Kind, all_finite
from myograph._common.simd import as_signal
from myograph.errors import ShapeError, SignalError
from myograph.features._fast.plan import FeaturePlan
from myograph.features._fast.sums import scattered
from myograph.features.transformer import Features
from myograph.methods._pipeline import LogScale
from myograph.methods.views import ProductOfViews

Step = Callable[[np.ndarray], np.ndarray]


def fast_predictor(
    estimator: Any, n_channels: int, n_samples: int, rate_hz: float | None = None
) -> Callable[[np.ndarray], Any]:
    """`window -> label` of a fitted method: the same label as `estimator.predict(window[None])[0]`, with less overhead.

    Pipelines of Features, LogScale and StandardScaler, soft votes over such pipelines, and grid searches that chose one
    are replaced by plain array calls. Any other step runs unchanged. The estimator must not be refitted afterwards.

    window : (channel, time) of n_channels and n_samples, floating point or integer.
    rate_hz : sampling rate in Hz; None means the rate at which Features was fitted.

    Raises
    ------
    sklearn.exceptions.NotFittedError : the estimator is not fitted.
    ShapeError : another number of channels or samples than in `fit`, or windows shorter than a feature needs.
    SignalError : another rate than in `fit`.
    ConfigError : a feature needs a rate and none is known.

    The function raises ShapeError for a window of another shape, SignalError for NaN or infinite samples.
    """
    check_is_fitted(estimator)
    decide = _decide(estimator, n_channels, n_samples, rate_hz)

    def predict(window: np.ndarray) -> Any:
        window = np.asarray(window)
        if window.shape != (n_channels, n_samples):
            raise ShapeError(f"a window is (channel, time) = {(n_channels, n_samples)}, got shape {window.shape}")
        if window.dtype.kind not in "fiub":
            raise SignalError(f"samples are real numbers, got an array of {window.dtype}")
        if not all_finite(window):
            raise SignalError("the window holds NaN or infinite samples; repair or leave it out")
        return decide(window[None])

    return predict


def _decide(estimator: Any, n_channels: int, n_samples: int, rate_hz: float | None) -> Callable[[np.ndarray], Any]:
    if isinstance(estimator, GridSearchCV):
        return _decide(estimator.best_estimator_, n_channels, n_samples, rate_hz)
    if type(estimator) is Pipeline:
        prepare, last = _prepare(estimator, n_channels, n_samples, rate_hz)
        return lambda window: last.predict(prepare(window))[0]
    voting = type(estimator) in (VotingClassifier, ProductOfViews) and estimator.voting == "soft"
    if not voting or not all(type(e) is Pipeline for e in estimator.estimators_):
        return lambda window: estimator.predict(window)[0]
    views = [_prepare(e, n_channels, n_samples, rate_hz) for e in estimator.estimators_]
    weights = estimator._weights_not_none  # None, or those of the views that were not dropped
    classes: np.ndarray = estimator.classes_  # type: ignore[assignment]

    def vote(window: np.ndarray) -> Any:
        shares = [last.predict_proba(prepare(window)) for prepare, last in views]
        if type(estimator) is ProductOfViews:
            return classes[estimator.log_product(shares)[0].argmax()]
        return classes[np.average(shares, axis=0, weights=weights)[0].argmax()]

    return vote


def _prepare(pipeline: Pipeline, n_channels: int, n_samples: int, rate_hz: float | None) -> tuple[Step, Any]:
    """(1, channel, time) -> (1, column) of all steps but the last, and the last."""
    *before, last = [step for _, step in pipeline.steps if step is not None and step != "passthrough"]
    return _chain([_step(step, n_channels, n_samples, rate_hz) for step in before]), last


def _chain(steps: list[Step]) -> Step:
    def prepare(rows: np.ndarray) -> np.ndarray:
        for step in steps:
            rows = step(rows)
        return rows

    return prepare


def _step(step: Any, n_channels: int, n_samples: int, rate_hz: float | None) -> Step:
    # Exact types only: a subclass may behave differently.
    if type(step) is Features:
        return _features(step, n_channels, n_samples, rate_hz)
    if type(step) is LogScale:
        return step.scaled
    if type(step) is StandardScaler:
        mean = np.asarray(step.mean_) if step.with_mean else 0.0
        width = np.asarray(step.scale_) if step.with_std else 1.0
        return lambda rows: (rows - mean) / width
    if type(step) is Pipeline:
        return _chain(
            [_step(s, n_channels, n_samples, rate_hz) for _, s in step.steps if s not in (None, "passthrough")]
        )
    beside = step.transformer_list if type(step) is FeatureUnion and not step.transformer_weights else []
    if beside and not any(isinstance(s, str) for _, s in beside):
        parts = [_step(s, n_channels, n_samples, rate_hz) for _, s in beside]
        return lambda rows: np.hstack([part(rows) for part in parts])
    return cast(Step, step.transform)


def _features(features: Features, n_channels: int, n_samples: int, rate_hz: float | None) -> Step:
    known = features.rate_hz if features.rate_hz is not None else getattr(features, "rate_hz_", None)
    features.refuse_other(Kind(n_channels, n_samples, () if rate_hz is None else (float(rate_hz),)))
    rate_hz = known if known is not None else rate_hz
    return _Rows(FeaturePlan(features._requests(), n_channels, n_samples, rate_hz))


class _Rows:
    """(1, channel, time) -> (1, column): the features of one window by the kernels that `Features` uses."""

    def __init__(self, plan: FeaturePlan):
        self._plan, self._start = plan, np.zeros(1, np.int64)

    def __call__(self, window: np.ndarray) -> np.ndarray:
        plan, row = self._plan, np.empty((1, self._plan.n_columns))
        if plan.table is not None:
            ((_, sums),) = scattered(plan.table, as_signal(window[0]), self._start, plan.length, 1)
            plan.put_sums(row, slice(1), sums)
        if plan.by_samples:
            plan.put_samples(row, slice(1), window.astype(np.float64))
        return row
