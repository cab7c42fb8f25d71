"""Prediction of a fitted method on a stream: features by running sums, all other steps one window at a time.

Live and offline, each window is predicted separately, because a matrix product over several windows rounds differently
from one over a single window. The predictions are therefore identical bit for bit, however the samples arrive.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import VotingClassifier
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import StandardScaler

from myograph._common.pipelines import past_ms
from myograph.errors import ConfigError
from myograph.features.stream import FeatureStream
from myograph.features.transformer import Features
from myograph.live._kernels import discriminant
from myograph.methods import AlignedLDA, CalibratedLDA, FastLDA, LogScale, ProductOfViews, Recentred, Smoothed
from myograph.methods.smoothing import averaged
from myograph.windows import Windowing

Window = Any  # (1, channel, time) samples, or None if no step reads them
Transform = Callable[[Window], Any]
Answer = Callable[[Window], tuple[int, np.ndarray]]
DISCRIMINANTS = (LinearDiscriminantAnalysis, FastLDA, CalibratedLDA)


class StreamPredictor:
    """Predicts class and probabilities of a fitted estimator, window by window.

    Parameters
    ----------
    estimator : an estimator fitted on Windows.
    classes : names of the estimator's classes, in its order.
    windowing, rate_hz, n_channels : properties of the windows, after the filters.

    Attributes
    ----------
    answer : function from the last completed (1, channel, time) window to its class index and (class,) probabilities,
        which are NaN if the estimator has none.
    needs_samples : whether `answer` reads the window; otherwise it may be None.
    """

    def __init__(self, estimator: Any, classes: tuple[str, ...], windowing: Windowing, rate_hz: float, n_channels: int):
        self._windowing, self._rate_hz, self._n_channels = windowing, rate_hz, n_channels
        self._streams: list[FeatureStream] = []
        self._stream_of: dict[tuple[int, str], int] = {}
        self._rows: list[np.ndarray] = []
        # Samples of kind 0 are those of the stream. For each later kind: the kind that a `Recentred` multiplies, and its matrix.
        self._mixtures: list[tuple[int, np.ndarray]] = []
        self._kind = 0  # which samples the part that is compiled reads
        self._kind_of: list[int] = []  # which samples each feature stream reads
        self.needs_samples = False
        self._index = {name: i for i, name in enumerate(classes)}
        self.answer = self._compile(estimator)

    def push(self, piece: np.ndarray) -> None:
        """Process the next (channel, time) samples, which may complete at most one window."""
        pieces = [piece]
        for kind, matrix in self._mixtures:
            pieces.append(_mixed(matrix, pieces[kind]))
        for i, (kind, stream) in enumerate(zip(self._kind_of, self._streams)):
            rows = stream.push(pieces[kind])
            if len(rows):
                self._rows[i] = rows[-1:]

    def _compile(self, estimator: Any) -> Answer:
        if type(estimator) is Pipeline:
            return self._classifier(_steps(estimator))
        if type(estimator) in (VotingClassifier, ProductOfViews) and estimator.voting == "soft":
            return self._vote(estimator)
        if type(estimator) is Smoothed:
            return self._smoothed(estimator)
        if type(estimator) is Recentred:
            return self._recentred(estimator)
        if type(estimator) is AlignedLDA:
            return self._aligned(estimator)
        return self._classifier([estimator])

    def _classifier(self, steps: list[Any]) -> Answer:
        last, index = steps[-1], self._index
        if hasattr(last, "module_") or type(last) in DISCRIMINANTS:  # they predict the most probable class
            shares = self._shares(steps)

            def most_probable(window: Window) -> tuple[int, np.ndarray]:
                proba = np.asarray(shares(window)[0], float)
                return int(proba.argmax()), proba

            return most_probable
        prepare, unknown = self._chain(steps[:-1]), np.full(len(index), np.nan)
        if not hasattr(last, "predict_proba"):
            return lambda window: (index[str(last.predict(prepare(window))[0])], unknown)

        def both(window: Window) -> tuple[int, np.ndarray]:
            rows = prepare(window)
            return index[str(last.predict(rows)[0])], np.asarray(last.predict_proba(rows)[0], float)

        return both

    def _vote(self, estimator: Any) -> Answer:
        views = [self._shares(_steps(v) if type(v) is Pipeline else [v]) for v in estimator.estimators_]
        weights = estimator._weights_not_none

        def vote(window: Window) -> tuple[int, np.ndarray]:
            shares = [view(window) for view in views]
            if type(estimator) is ProductOfViews:
                proba = _softmax(estimator.log_product(shares))[0]
            else:
                proba = np.average(shares, axis=0, weights=weights)[0]
            return int(proba.argmax()), proba

        return vote

    def _smoothed(self, estimator: Smoothed) -> Answer:
        answer = self._compile(estimator.estimator_)
        self.needs_samples = True
        step = self._windowing.samples(self._rate_hz)[1]
        recent: deque[tuple[np.ndarray, float]] = deque(maxlen=1 + estimator.n_before(1000 * step / self._rate_hz))

        def smoothed(window: Window) -> tuple[int, np.ndarray]:
            recent.appendleft((answer(window)[1], float(np.abs(window).mean(dtype=np.float64))))
            proba, amplitude = (np.array(values)[None] for values in zip(*recent))
            mean = averaged(proba, amplitude)[0]
            return int(mean.argmax()), mean

        return smoothed

    def _recentred(self, estimator: Recentred) -> Answer:
        matrix, outer = estimator.matrix_, self._kind
        self._mixtures.append((outer, matrix))
        mixture, answers = len(self._mixtures), []
        for classifier, mixes in estimator.classifiers():
            self._kind = mixture if mixes else outer
            answers.append((self._compile(classifier), mixes))
        self._kind = outer
        if len(answers) == 1:
            alone = answers[0][0]
            return lambda window: alone(_mixed(matrix, window) if self.needs_samples else window)

        def together(window: Window) -> tuple[int, np.ndarray]:
            mixed = _mixed(matrix, window) if self.needs_samples else window
            proba = estimator.together([answer(mixed if mixes else window)[1][None] for answer, mixes in answers])[0]
            return int(proba.argmax()), proba

        return together

    def _aligned(self, estimator: AlignedLDA) -> Answer:
        vectors = self._features(estimator.features_)

        def aligned(window: Window) -> tuple[int, np.ndarray]:
            proba = estimator.of_vectors(vectors(window))[0]
            return int(proba.argmax()), proba

        return aligned

    def _shares(self, steps: list[Any]) -> Transform:
        """(1, class) probabilities."""
        before, shares = steps[:-1], steps[-1].predict_proba
        if type(steps[-1]) in DISCRIMINANTS:
            before, shares = _discriminant(steps)
        prepare = self._chain(before)
        return lambda window: shares(prepare(window))

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
        """Compile the first step, the only one that reads samples and may therefore use running sums."""
        if type(step) is Features:
            return self._features(step)
        if type(step) is Pipeline:
            return self._chain(_steps(step))
        if type(step) is FeatureUnion and not step.transformer_weights:
            parts = [s for _, s in step.transformer_list if s not in ("drop",)]
            if all(s != "passthrough" for s in parts):
                found = [self._first(s) for s in parts]
                return lambda window: np.hstack([part(window) for part in found])
        self.needs_samples = True
        return step.transform

    def _features(self, features: Features) -> Transform:
        params = [(name, value) for name, value in features.get_params().items() if name != "n_jobs"]
        key = self._kind, repr(params)
        if key not in self._stream_of:  # views of one method share features
            self._stream_of[key] = len(self._streams)
            self._streams.append(features.stream(self._rate_hz, self._n_channels, self._windowing))
            self._rows.append(np.empty((0, 0)))
            self._kind_of.append(self._kind)
        i = self._stream_of[key]
        return lambda window: self._rows[i]


def check_past(method: Any) -> None:
    """Raise ConfigError if a method that gets single windows from a stream also uses the windows before them.

    >>> check_past(Smoothed(LinearDiscriminantAnalysis()))
    >>> check_past(Pipeline([("smoothed", Smoothed(LinearDiscriminantAnalysis()))]))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    myograph.errors.ConfigError: a decoder gives Pipeline single windows, but a part of it uses the 500 ms before them; put ...
    """
    while type(method) in (Smoothed, Recentred):  # a stream keeps the earlier windows for these
        method = method.estimator
    if past_ms(method):
        raise ConfigError(
            f"a decoder gives {type(method).__name__} single windows, but a part of it uses the {past_ms(method):g} ms before "
            "them; put Smoothed around the whole method instead"
        )


def _mixed(matrix: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """The (..., channel, time) samples multiplied by a (channel, channel) matrix, in their own precision.

    The channels are added in a fixed order; a matrix product rounds differently for chunks of different sizes.
    """
    mixed = matrix[:, :1] * samples[..., :1, :]
    for j in range(1, len(matrix)):
        mixed = mixed + matrix[:, j : j + 1] * samples[..., j : j + 1, :]
    return mixed.astype(np.result_type(samples, np.float32), copy=False)


def _plain(step: Any) -> Transform:
    """Return a fitted step as plain array arithmetic, since for one row scikit-learn's input checks take most of the
    time.
    """
    if type(step) is LogScale:
        return step.scaled
    if type(step) is StandardScaler:
        mean, scale = step.mean_ if step.with_mean else 0.0, step.scale_ if step.with_std else 1.0
        return lambda rows: (rows - mean) / scale
    return step.transform


def _steps(pipeline: Pipeline) -> list[Any]:
    return [step for _, step in pipeline.steps if step not in (None, "passthrough")]


def _discriminant(steps: list[Any]) -> tuple[list[Any], Callable[[np.ndarray], np.ndarray]]:
    """Return the remaining steps before a linear discriminant, and the function that gives (1, class) probabilities.

    A `StandardScaler` directly before the discriminant is merged into its weights, and a `LogScale` before that into
    the same compiled loop.
    """
    *before, last = steps
    weights, intercept, scale = last.coef_.T, last.intercept_, np.zeros(0)
    if weights.shape[1] == 1:  # with two classes: the score of the second; that of the first is 0
        weights, intercept = (np.concatenate([np.zeros_like(a), a], axis=-1) for a in (weights, intercept))
    if len(before) > 1 and type(before[-1]) is StandardScaler:
        scaler = before.pop()
        if scaler.with_std:
            weights = weights / scaler.scale_[:, None]
        if scaler.with_mean:
            intercept = intercept - scaler.mean_ @ weights
    if len(before) > 1 and type(before[-1]) is LogScale:
        scale = before.pop().scale_
    scale, weights, intercept = (np.ascontiguousarray(a, np.float64) for a in (scale, weights, intercept))
    return before, lambda rows: discriminant(rows[0], scale, weights, intercept)[None]


def _softmax(scores: np.ndarray) -> np.ndarray:
    """Return the softmax of one row, (1, class); SciPy's takes four times as long for so few numbers."""
    shares = np.exp(scores - scores.max())
    return shares / shares.sum()
