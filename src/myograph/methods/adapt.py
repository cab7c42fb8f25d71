"""Adaptation without labels: estimators with `adapt(windows)`, which `SessionStream` calls after scoring each session.

All of them wrap a classifier and have the same interface: `fit(X, y)` on labelled windows, `predict`, and `adapt(X)`,
which learns from the windows of a later session without their labels. True labels are used only from the first session.
Some also have `calibrate(X, y)`, which learns from a few labelled windows of a new person or session. `CORAL`,
`PriorWeightedLDA`, `PersonExperts`, `Prototypes` and `AlignedLDA` are in modules of their own.

In a scikit-learn pipeline only the last step keeps learning. What the earlier steps learnt from the first session
(scales, percentiles, components) does not change.
"""

from __future__ import annotations

import numbers
from typing import Any, Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from myograph.errors import ConfigError
from myograph.methods._adapter import Adapter
from myograph.methods._discriminant import decide_by, need_means_and_covariance
from myograph.methods._sameness import Sameness
from myograph.methods._target import codes_of, not_adapted
from myograph.methods.registry import METHODS
from myograph.windows import Windows


class SelfRecalibrating(Adapter):
    """Retrain on the method's own corrected predictions of each finished session.

    Windows are sorted by time before smoothing. Smoothing uses later windows, so adaptation happens after a session.

    Source: Zhai et al. 2017, doi:10.3389/fnins.2017.00379, "Self-recalibrating classifier".

    Parameters
    ----------
    estimator : a classifier; one with `partial_fit` (a network) is fine-tuned, others are fitted again.
    policy : "none" never retrains. "all", the default, retrains on the labelled first session and on every corrected
        one. "last", the paper's policy, retrains only on the latest corrected session and discards the true labels:
        on the five people of `longterm_myo` it loses 22 to 40 points of accuracy, on nearly every day. Use it only to
        reproduce the paper.
    correction : "median" replaces each class probability by its median over neighbouring windows before choosing the
        largest (Eqs. 2-3); "mode" replaces each label by the most frequent one around it (Eq. 1).
    half_width : number of neighbours on each side, 10 in the paper.
    epochs : epochs of fine-tuning under "last" (our choice, since the paper gives none).

    Raises
    ------
    ConfigError : an invalid option, or a classifier without `predict_proba` for the median.

    Examples
    --------
    >>> from myograph.methods import lda
    >>> from myograph.testing import make_windows
    >>> windows = make_windows(n_sessions=2)
    >>> monday, tuesday = windows.where(session=1), windows.where(session=2)
    >>> method = SelfRecalibrating(lda(), half_width=2).fit(monday, monday.y)
    >>> bool((method.correct(tuesday) == tuesday.y).mean() > 0.9)
    True
    >>> len(method.adapt(tuesday).seen_)
    2
    """

    def __init__(
        self,
        estimator: Any = None,
        policy: Literal["none", "all", "last"] = "all",
        correction: Literal["median", "mode"] = "median",
        half_width: int = 10,
        epochs: int = 10,
    ):
        self.estimator = estimator
        self.policy = policy
        self.correction = correction
        self.half_width = half_width
        self.epochs = epochs

    def fit(self, X: Any, y: Any = None) -> SelfRecalibrating:
        if self.policy not in ("none", "all", "last") or self.correction not in ("median", "mode"):
            raise ConfigError(
                f"policy must be none, all or last, and correction median or mode, got {self.policy!r} and "
                f"{self.correction!r}"
            )
        for name in ("half_width", "epochs"):
            value = getattr(self, name)
            if not isinstance(value, (int, np.integer)) or value < 0:
                raise ConfigError(f"{name} must be a whole number of at least 0, got {value!r}")
        super().fit(X, y)
        if self.policy != "none" and self.correction == "median":
            self._need_probabilities("use correction='mode', or another classifier")
        self.seen_ = [(self._before_last(X), np.asarray(X.y if y is None else y))] if self.policy == "all" else []
        return self

    def adapt(self, X: Any) -> SelfRecalibrating:
        """Learn from the windows of one finished session."""
        if self.policy == "none":
            return self
        corrected, given = self.correct(X), self._before_last(X)
        if self.policy == "all":
            self.seen_.append((given, corrected))
            self._refit_last(*_join(self.seen_))
        elif hasattr(self._last, "partial_fit"):
            for _ in range(self.epochs):
                self._last.partial_fit(given, corrected)
        elif len(np.unique(corrected)) > 1:
            self._refit_last(given, corrected)
        return self

    def correct(self, X: Any) -> np.ndarray:
        """Return (window,) corrected labels, in the order of the rows."""
        order = _in_time(X)
        if self.correction == "median":
            smooth = median_over_neighbours(self.predict_proba(X)[order], self.half_width)
            corrected = self.classes_[smooth.argmax(axis=1)]
        else:
            corrected = mode_over_neighbours(self.predict(X)[order], self.half_width)
        return corrected[np.argsort(order)]


class PseudoLabel(Adapter):
    """Fit again on the first session and on the later windows that are predicted with high probability.

    Source: pseudo-labels, Lee 2013 (ICML workshop on challenges in representation learning).

    Parameters
    ----------
    estimator : a classifier with `predict_proba`.
    threshold : lowest accepted probability of the predicted class, 0 to 1.

    >>> from myograph.methods import lda
    >>> from myograph.testing import make_windows
    >>> windows = make_windows(n_sessions=2)
    >>> monday, tuesday = windows.where(session=1), windows.where(session=2)
    >>> method = PseudoLabel(lda()).fit(monday, monday.y).adapt(tuesday)
    >>> len(method.seen_)
    2
    """

    def __init__(self, estimator: Any = None, threshold: float = 0.9):
        self.estimator = estimator
        self.threshold = threshold

    def fit(self, X: Any, y: Any = None) -> PseudoLabel:
        _need_share("threshold", self.threshold)
        super().fit(X, y)
        self._need_probabilities("use another classifier")
        self.seen_ = [(self._before_last(X), np.asarray(X.y if y is None else y))]
        return self

    def adapt(self, X: Any) -> PseudoLabel:
        proba = self.predict_proba(X)
        sure = proba.max(axis=1) >= self.threshold
        if sure.any():
            labels = self.classes_[proba.argmax(axis=1)]
            self.seen_.append((self._before_last(X[np.flatnonzero(sure)]), labels[sure]))
            self._refit_last(*_join(self.seen_))
        return self


class LDAMeans(Adapter):
    """Move the class means of a linear discriminant analysis towards the mean of the windows predicted as each class.

    The covariance does not change (after Vidovic et al. 2016, doi:10.1109/TNSRE.2015.2492619, which also adapts it).

    Parameters
    ----------
    estimator : a pipeline that ends in `LinearDiscriminantAnalysis(solver="lsqr")`.
    rate : weight of the new means, 0 to 1.

    >>> from myograph.methods import lda
    >>> from myograph.testing import make_windows
    >>> windows = make_windows(n_sessions=2)
    >>> monday, tuesday = windows.where(session=1), windows.where(session=2)
    >>> method = LDAMeans(lda(), rate=0.5).fit(monday, monday.y)
    >>> before = method.estimator_[-1].means_.copy()
    >>> bool(np.abs(method.adapt(tuesday).estimator_[-1].means_ - before).max() > 0.01)
    True
    """

    def __init__(self, estimator: Any = None, rate: float = 0.5):
        self.estimator = estimator
        self.rate = rate

    def fit(self, X: Any, y: Any = None) -> LDAMeans:
        _need_share("rate", self.rate)
        super().fit(X, y)
        return self

    def adapt(self, X: Any) -> LDAMeans:
        last = need_means_and_covariance(self._last, "LDAMeans")
        features = np.asarray(self._before_last(X))
        predicted = last.predict(features)
        for k, name in enumerate(last.classes_):
            rows = features[predicted == name]
            if len(rows):
                last.means_[k] += self.rate * (rows.mean(axis=0) - last.means_[k])
        decide_by(last, last.means_, last.covariance_, getattr(last, "temperature_", 1.0))
        return self


class AdaBN(Adapter):
    """Replace a network's batch-norm statistics by those of the new session, and fine-tune its last layer if there are labels.

    `adapt` replaces the statistics by those of the unlabelled windows. If these windows are scored afterwards, the result is
    transductive. The windows must be about as class-balanced as those in training: if one movement makes up most of them
    (see `_sameness`), `adapt` changes nothing and gives a NotAdaptedWarning. There is no other guard, so a session that shows
    only some of the movements can make the network worse.

    `calibrate` replaces the statistics by those of the labelled windows, and then trains only the last layer on these windows
    for a few epochs. All earlier weights stay as they are. A later `adapt` keeps the trained layer, and replaces the
    statistics.

    Source: Li et al. 2017; for surface EMG Du et al. 2017, doi:10.3390/s17030458. That `calibrate` trains only the last layer
    is our choice.

    Parameters
    ----------
    estimator : a `NeuralClassifier` with batch norm, or a pipeline that ends in one.
    epochs : passes over the labelled windows in `calibrate`.
    lr : learning rate in `calibrate`; None takes the network's own, which was better than 0.01 on people 1 to 3 of 3DC.

    Attributes
    ----------
    estimator_ : the current network or pipeline.
    adapted_ : whether the last `adapt` or `calibrate` changed anything.

    Raises
    ------
    ConfigError : a network without batch norm, or windows of a class that training did not have (`calibrate`).

    >>> from myograph.testing import make_windows
    >>> from myograph.training import NeuralClassifier
    >>> windows = make_windows(n_sessions=2)
    >>> monday, tuesday = windows.where(session=1), windows.where(session=2)
    >>> network = NeuralClassifier("myonet", {"bands": 1, "combinations": 2, "hidden": 4}, epochs=1, device="cpu")
    >>> method = AdaBN(network).fit(monday, monday.y)
    >>> first = method.estimator_.module_.mlp[0].running_mean
    >>> bool((method.adapt(tuesday).estimator_.module_.mlp[0].running_mean != first).any())
    True
    >>> labelled, before = tuesday.where(repetition=1), method.estimator_.module_.head.weight
    >>> bool((method.calibrate(labelled, labelled.y).estimator_.module_.head.weight != before).any())
    True
    """

    def __init__(self, estimator: Any = None, epochs: int = 20, lr: float | None = None):
        self.estimator = estimator
        self.epochs = epochs
        self.lr = lr

    def fit(self, X: Any, y: Any = None) -> AdaBN:
        """Train the network on labelled windows."""
        super().fit(X, y)
        self.sameness_, self.adapted_ = Sameness.of(X, X.y if y is None else y), False
        return self

    def adapt(self, X: Any) -> AdaBN:
        """Take the batch-norm statistics of these windows."""
        from myograph.training.transfer import adapt_batch_norm

        why = self.sameness_.one_movement(X)
        self.adapted_ = why is None
        if why:
            not_adapted(why)
        else:
            self._replace_last(adapt_batch_norm(self._last, self._before_last(X)))
        return self

    def calibrate(self, X: Any, y: Any = None) -> AdaBN:
        """Take the batch-norm statistics of these windows, then train the last layer on their labels.

        X : windows of a new person or session. y : (window,) labels; by default those of the Windows."""
        from myograph.training.transfer import adapt_batch_norm, train_last_layer

        y = np.asarray(X.y if y is None else y)
        codes_of(y, self.classes_)
        given = self._before_last(X)
        adapted = adapt_batch_norm(self._last, given)
        self._replace_last(train_last_layer(adapted, given, y, self.epochs, self.lr))
        self.adapted_ = True
        return self


@METHODS.register
def adabn(
    model: str = "myonet",
    calibration_epochs: int = 20,
    calibration_lr: float | None = None,
    seed: int = 0,
    **options: Any,
) -> AdaBN:
    """A network whose batch-norm statistics, and with labels its last layer, follow a new session: see `AdaBN`.

    Parameters
    ----------
    model : a network with batch norm, by name.
    calibration_epochs, calibration_lr : passes over the labelled windows, and their learning rate.
    seed, options : further parameters of the `NeuralClassifier`.

    Examples
    --------
    >>> adabn(epochs=5).estimator.epochs
    5
    """
    return AdaBN(METHODS.create(model, seed=seed, **options), calibration_epochs, calibration_lr)


def _need_share(name: str, value: Any) -> None:
    if not isinstance(value, numbers.Real) or not 0 <= float(value) <= 1:
        raise ConfigError(f"{name} must be a share from 0 to 1, got {value!r}")


def median_over_neighbours(values: np.ndarray, half_width: int) -> np.ndarray:
    """Return (window, class) medians over each window and `half_width` neighbours on both sides, fewer at the ends.

    >>> median_over_neighbours(np.array([[0.0], [9.0], [1.0]]), half_width=1).ravel()
    array([4.5, 1. , 5. ])
    """
    padded = np.pad(np.asarray(values, float), ((half_width, half_width), (0, 0)), constant_values=np.nan)
    view = sliding_window_view(padded, 2 * half_width + 1, axis=0)
    return np.stack([np.nanmedian(view[:, k], axis=1) for k in range(view.shape[1])], axis=1)


def mode_over_neighbours(labels: np.ndarray, half_width: int) -> np.ndarray:
    """Return the (window,) most frequent label among each window and `half_width` neighbours on both sides.

    In a tie, the window's own label wins if it is among the most frequent, otherwise the first in sorted order.

    >>> mode_over_neighbours(np.array(["a", "b", "a", "a"]), half_width=1).tolist()
    ['a', 'a', 'a', 'a']
    """
    names, codes = np.unique(labels, return_inverse=True)
    n = len(codes)
    total = np.zeros((n + 1, len(names)), np.int64)
    total[1:] = np.cumsum(np.eye(len(names), dtype=np.int64)[codes], axis=0)
    at = np.arange(n)
    counts = (total[np.minimum(at + half_width + 1, n)] - total[np.maximum(at - half_width, 0)]).astype(float)
    counts[at, codes] += 0.5
    return names[counts.argmax(axis=1)]


def _in_time(X: Any) -> np.ndarray:
    """Return row positions in order of recording and time; an array is assumed to be in order."""
    if not isinstance(X, Windows):
        return np.arange(len(X))
    return np.lexsort((X.table["start"].to_numpy(), X.table["recording"].to_numpy()))


def _join(parts: list[tuple[Any, np.ndarray]]) -> tuple[Any, np.ndarray]:
    y = np.concatenate([labels for _, labels in parts])
    windows = [X for X, _ in parts]
    if all(isinstance(X, Windows) for X in windows):
        return Windows.concatenate(windows), y
    return np.concatenate([np.asarray(X) for X in windows]), y
