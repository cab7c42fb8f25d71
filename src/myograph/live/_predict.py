"""A fitted method as it works on a stream: features by running sums, everything else one window at a time.

Each window is answered alone, live and offline alike. That is what makes the answers equal to the last bit, however the
samples come in: a matrix product over several windows rounds otherwise than one over a single window.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import expit, softmax
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import VotingClassifier
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import StandardScaler

from myograph.features.stream import FeatureStream
from myograph.features.transformer import Features
from myograph.methods import LogScale, ProductOfViews
from myograph.windows import Windowing

Window = Any  # (1, channel, time) samples, or None where no step reads them
Transform = Callable[[Window], Any]
Answer = Callable[[Window], tuple[Any, np.ndarray | None]]


class StreamPredictor:
    """Probabilities of a fitted estimator, window by window.

    Parameters
    ----------
    estimator : fitted on Windows.
    classes : names in the decoder's order.
    windowing, rate_hz, n_channels : of the windows, after the filters.
    """

    def __init__(self, estimator: Any, classes: tuple[str, ...], windowing: Windowing, rate_hz: float, n_channels: int):
        self._windowing, self._rate_hz, self._n_channels = windowing, rate_hz, n_channels
        self._streams: list[FeatureStream] = []
        self._stream_of: dict[str, int] = {}
        self._rows: list[np.ndarray] = []
        self.needs_samples = False
        self._answer = self._compile(estimator)
        self._index = {name: i for i, name in enumerate(classes)}

    def push(self, piece: np.ndarray) -> None:
        """Take the next (channel, time) samples, which complete at most one window."""
        for i, stream in enumerate(self._streams):
            rows = stream.push(piece)
            if len(rows):
                self._rows[i] = rows[-1:]

    def answer(self, window: Window) -> tuple[int, np.ndarray]:
        """(class index, (class,) probabilities) of the window that was completed last; NaN where there are none."""
        label, proba = self._answer(window)
        shares = np.full(len(self._index), np.nan) if proba is None else np.asarray(proba, float)
        return self._index[str(label)], shares

    def _compile(self, estimator: Any) -> Answer:
        if type(estimator) is Pipeline:
            *before, last = [step for _, step in estimator.steps if step not in (None, "passthrough")]
            return self._classifier(last, self._chain(before))
        if type(estimator) in (VotingClassifier, ProductOfViews) and estimator.voting == "soft":
            return self._vote(estimator)
        return self._classifier(estimator, self._chain([]))

    def _classifier(self, last: Any, prepare: Transform) -> Answer:
        classes = np.asarray(last.classes_)
        if not hasattr(last, "predict_proba"):
            return lambda window: (last.predict(prepare(window))[0], None)
        if hasattr(last, "module_") or isinstance(
            last, LinearDiscriminantAnalysis
        ):  # they predict the most probable class
            shares = self._shares_of(last)

            def most_probable(window: Window) -> tuple[Any, np.ndarray]:
                proba = shares(prepare(window))[0]
                return classes[proba.argmax()], proba

            return most_probable

        def both(window: Window) -> tuple[Any, np.ndarray]:
            rows = prepare(window)
            return last.predict(rows)[0], last.predict_proba(rows)[0]

        return both

    def _vote(self, estimator: Any) -> Answer:
        views = [self._shares(view) for view in estimator.estimators_]
        weights = estimator._weights_not_none
        classes = np.asarray(estimator.classes_)

        def vote(window: Window) -> tuple[Any, np.ndarray]:
            shares = [view(window) for view in views]
            if type(estimator) is ProductOfViews:
                proba = softmax(estimator.log_product(shares), axis=1)[0]
            else:
                proba = np.average(shares, axis=0, weights=weights)[0]
            return classes[proba.argmax()], proba

        return vote

    def _shares(self, view: Any) -> Transform:
        """(1, class) probabilities of one classifier of a vote."""
        steps = (
            [step for _, step in view.steps if step not in (None, "passthrough")] if type(view) is Pipeline else [view]
        )
        prepare, shares = self._chain(steps[:-1]), self._shares_of(steps[-1])
        return lambda window: shares(prepare(window))

    def _shares_of(self, last: Any) -> Callable[[Any], np.ndarray]:
        return _discriminant(last) if isinstance(last, LinearDiscriminantAnalysis) else last.predict_proba

    def _chain(self, steps: list[Any]) -> Transform:
        if not steps:
            self.needs_samples = True
            return lambda window: window
        first, rest = self._first(steps[0]), [_plain(step) for step in steps[1:]]

        def prepare(window: Window) -> Any:
            rows = first(window)
            for transform in rest:
                rows = transform(rows)
            return rows

        return prepare

    def _first(self, step: Any) -> Transform:
        """The step that meets the samples: alone it may be answered by running sums."""
        if type(step) is Features:
            return self._features(step)
        if type(step) is Pipeline:
            return self._chain([s for _, s in step.steps if s not in (None, "passthrough")])
        if type(step) is FeatureUnion and not step.transformer_weights:
            parts = [s for _, s in step.transformer_list if s not in ("drop",)]
            if all(s != "passthrough" for s in parts):
                found = [self._first(s) for s in parts]
                return lambda window: np.hstack([part(window) for part in found])
        self.needs_samples = True
        return step.transform

    def _features(self, features: Features) -> Transform:
        key = repr([(name, value) for name, value in features.get_params().items() if name != "n_jobs"])
        if key not in self._stream_of:  # views of one method ask for the same features
            self._stream_of[key] = len(self._streams)
            self._streams.append(features.stream(self._rate_hz, self._n_channels, self._windowing))
            self._rows.append(np.empty((0, 0)))
        i = self._stream_of[key]
        return lambda window: self._rows[i]


def _plain(step: Any) -> Transform:
    """A fitted step as plain array arithmetic: for one row, scikit-learn's checks of its input take most of the time."""
    if type(step) is LogScale:
        return step.scaled
    if type(step) is StandardScaler:
        mean, scale = step.mean_ if step.with_mean else 0.0, step.scale_ if step.with_std else 1.0
        return lambda rows: (rows - mean) / scale
    return step.transform


def _discriminant(last: LinearDiscriminantAnalysis) -> Callable[[np.ndarray], np.ndarray]:
    """(1, class) probabilities of a linear discriminant, as `predict_proba` computes them."""
    coef, intercept = last.coef_.T.copy(), last.intercept_

    def proba(rows: np.ndarray) -> np.ndarray:
        scores = rows @ coef + intercept
        if scores.shape[1] == 1:
            positive = expit(scores)
            return np.hstack([1 - positive, positive])
        return softmax(scores, axis=1)

    return proba
