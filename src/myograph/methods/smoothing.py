"""The default method: a classifier whose decision for a window also uses the windows shortly before it."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from myograph._common.runs import stretch_starts
from myograph.errors import ConfigError
from myograph.methods.registry import METHODS
from myograph.windows import Windows

GATE = 4.0  # how quickly the weight of an earlier window falls as its amplitude differs
SHARPNESS = 0.1  # how much surer several windows are than one; windows that overlap say nearly the same
LEAST = 1e-6  # added to probabilities, so that no single window can exclude a class


class Smoothed(MetaEstimatorMixin, ClassifierMixin, BaseEstimator):
    """Any classifier with probabilities, whose decision for a window also uses the windows shortly before it.

    The log probabilities of the window are averaged with those of the windows up to `past_ms` before it, in the same
    recording and after the same break. The weight of an earlier window is (smaller amplitude / larger amplitude)^4 of the
    two windows. At the start and at the end of a movement the amplitude changes, so the windows before the change count
    less. Changes are still decided later than by the classifier alone, and false activations are rarer: with rest as a class
    and 500 ms, on two people of NinaPro DB5, by 175 ms at the start of a movement and 25 ms at its end, with 1 false
    activation instead of 19. A movement that becomes another of the same strength is decided up to 250 ms later.

    The earlier windows are cut from the recording at the step of the training windows. They need not be among the given
    windows, so a score equals that of a decoder that runs through the whole recording. Only earlier samples are read, and
    no labels. Evaluation treats `past_ms` like the reach of a filter: training windows whose samples would be read for a
    test window are left out, or refused.

    The earlier windows of an array's rows are unknown. For arrays, and if the training windows are more than `past_ms`
    apart, the probabilities are those of the classifier.

    Source: after the majority vote of Englehart & Hudgins 2003, doi:10.1109/TBME.2003.813539. The average and its weights are
    ours; docs/default-method.md describes how they were chosen.

    Parameters
    ----------
    estimator : a classifier over windows with `predict_proba`, unfitted.
    past_ms : how far before the window the earliest window starts; 0 uses no earlier windows.

    Attributes
    ----------
    estimator_ : the fitted classifier.
    classes_ : (class,) labels.
    step_ms_ : the step of the training windows; infinite for arrays, or if no two windows are of the same recording.

    Raises
    ------
    ConfigError : `past_ms` is negative or not a number, or the classifier has no `predict_proba`.

    Examples
    --------
    >>> from myograph.methods import lda
    >>> from myograph.testing import make_windows
    >>> windows = make_windows(n_repetitions=4, n_classes=4)
    >>> train, test = windows.where(repetition=(1, 2)), windows.where(repetition=4)
    >>> method = Smoothed(lda()).fit(train, train.y)
    >>> method.step_ms_, method.predict_proba(test.without_labels()).shape == (len(test), 4)
    (50.0, True)
    >>> bool((method.predict(test) == method.classes_[method.predict_proba(test).argmax(axis=1)]).all())
    True
    """

    def __init__(self, estimator: Any = None, past_ms: float = 500.0):
        self.estimator = estimator
        self.past_ms = past_ms

    def fit(self, X: Any, y: Any = None) -> Smoothed:
        """Fit the classifier on labelled windows. X : Windows, or (window, channel, sample) array."""
        if not (isinstance(self.past_ms, (int, float, np.number)) and 0 <= self.past_ms < np.inf):
            raise ConfigError(f"past_ms must be a number of milliseconds, 0 or more, got {self.past_ms!r}")
        if not hasattr(self.estimator, "predict_proba"):
            raise ConfigError(
                f"Smoothed averages class probabilities, but {type(self.estimator).__name__} has no predict_proba; choose "
                "another classifier, or wrap it in sklearn.calibration.CalibratedClassifierCV"
            )
        self.estimator_ = cast(Any, clone(self.estimator)).fit(X, X.y if y is None else y)
        self.step_ms_ = 1000 * _step(X) / X.rate_hz if isinstance(X, Windows) else np.inf
        return self

    @property
    def classes_(self) -> np.ndarray:
        return np.asarray(self.estimator_.classes_)

    def predict(self, X: Any) -> np.ndarray:
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return (window, class) probabilities. X : Windows, or (window, channel, sample) array."""
        check_is_fitted(self, "estimator_")
        n = self.n_before(self.step_ms_) if isinstance(X, Windows) else 0
        if n == 0 or len(X) == 0:
            return np.asarray(self.estimator_.predict_proba(X))
        every, place = _with_past(X, n, round(self.step_ms_ * X.rate_hz / 1000))
        proba = np.asarray(self.estimator_.predict_proba(every))
        amplitude = np.concatenate([np.abs(part).mean(axis=(1, 2), dtype=np.float64) for part in every.batches()])
        return averaged(proba[place], np.where(place < 0, np.nan, amplitude[place]))

    def n_before(self, step_ms: float) -> int:
        """Return the number of earlier windows that count, for windows every `step_ms`.

        >>> Smoothed(past_ms=250).n_before(step_ms=50.0), Smoothed(past_ms=250).n_before(step_ms=300.0)
        (5, 0)
        """
        return int(self.past_ms / step_ms + 1e-6)

    @available_if(lambda self: hasattr(self.estimator, "adapt"))
    def adapt(self, X: Any) -> Smoothed:
        """Let the classifier learn from unlabelled windows, if it can."""
        self.estimator_.adapt(X)
        return self

    @available_if(lambda self: hasattr(self.estimator, "calibrate"))
    def calibrate(self, X: Any, y: Any = None) -> Smoothed:
        """Let the classifier learn from some labelled windows of a new person or day, if it can."""
        self.estimator_.calibrate(X, X.y if y is None else y)
        return self


def averaged(proba: np.ndarray, amplitude: np.ndarray) -> np.ndarray:
    """Return (window, class) probabilities that take earlier windows into account.

    Parameters
    ----------
    proba : (window, 1 + earlier, class) probabilities of the window itself, then of the earlier ones, the nearest first.
    amplitude : (window, 1 + earlier) mean absolute values, in any unit. NaN stands for a window that does not exist.

    >>> proba = np.array([[[0.4, 0.6], [0.9, 0.1]]])
    >>> averaged(proba, np.array([[10.0, 10.0]])).round(2)[0].tolist()  # the earlier window was as strong
    [0.72, 0.28]
    >>> averaged(proba, np.array([[10.0, 1.0]])).round(2)[0].tolist()  # the earlier window was at rest
    [0.4, 0.6]
    """
    amplitude = np.maximum(amplitude, np.finfo(float).tiny)
    weight = np.nan_to_num((np.minimum(amplitude, amplitude[:, :1]) / np.maximum(amplitude, amplitude[:, :1])) ** GATE)
    total = weight.sum(axis=1, keepdims=True)
    mean = np.einsum("wb,wbc->wc", weight, np.log(proba + LEAST)) / total
    return softmax(mean * total**SHARPNESS, axis=1)


def _step(windows: Windows) -> float:
    """The most frequent distance in samples between successive windows of one recording and channel; infinite without."""
    of, channel, start = (windows.column(name) for name in ("recording", "channel", "start"))
    order = np.lexsort((start, channel, of))
    same = (np.diff(of[order]) == 0) & (np.diff(channel[order]) == 0)
    steps, count = np.unique(np.diff(start[order])[same], return_counts=True)
    count = count[steps > 0]
    return float(steps[steps > 0][count.argmax()]) if len(count) else np.inf


def _with_past(windows: Windows, n: int, step: int) -> tuple[Windows, np.ndarray]:
    """The windows together with up to n before each, and the (window, 1 + n) row of each in them; -1 if there is none."""
    of, channel, start = (windows.column(name).astype(np.int64) for name in ("recording", "channel", "start"))
    begin = np.empty(len(start), np.int64)
    for k, recording in enumerate(windows.recordings):
        here = of == k
        begin[here] = stretch_starts(recording.breaks, start[here])
    starts = start[:, None] - step * np.arange(n + 1)
    exists = starts >= begin[:, None]
    row = np.broadcast_to(np.arange(len(start))[:, None], starts.shape)[exists]
    longest = max(r.n_samples for r in windows.recordings) + 1
    key = (of * (channel.max() + 2) + channel + 1)[row] * longest + starts[exists]
    key, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    place = np.full(starts.shape, -1, np.int64)
    place[exists] = inverse
    begins = key % longest
    return windows[row[first]].with_columns(start=begins, stop=begins + windows.n_samples), place


@METHODS.register
def smoothed(classifier: str = "lda_svm", past_ms: float = 500.0, **options: Any) -> Smoothed:
    """The default method: another method whose decisions also use the windows shortly before: see `Smoothed`.

    Parameters
    ----------
    classifier : name of the method.
    past_ms : how far before the window the earliest window starts.
    options : of the method.

    Examples
    --------
    >>> from myograph.methods import smoothed
    >>> smoothed("knn", past_ms=100).estimator["classify"]
    KNeighborsClassifier()
    """
    return Smoothed(METHODS.create(classifier, **options), past_ms)
