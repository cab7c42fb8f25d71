"""Adaptation without labels: estimators with `adapt(windows)`, which `SessionStream` calls after scoring each session.

All of them wrap a classifier and have the same interface: `fit(X, y)` on labelled windows, `predict`, and `adapt(X)`,
which learns from the windows of a later session without their labels. True labels are used only from the first session.

In a scikit-learn pipeline only the last step keeps learning. What the earlier steps learnt from the first session
(scales, percentiles, components) does not change.
"""

from __future__ import annotations

import numbers
from typing import Any, Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from myograph._common.pipelines import before_last
from myograph._common.seen import no_leakage_warning
from myograph.errors import ConfigError
from myograph.methods._discriminant import solve
from myograph.windows import Windows


class _Adapter(MetaEstimatorMixin, ClassifierMixin, BaseEstimator):
    """A classifier that adapts; `estimator_` is the current version."""

    estimator: Any

    def fit(self, X: Any, y: Any = None) -> Any:
        self.estimator_ = _clone(self.estimator).fit(X, y)
        return self

    @property
    def classes_(self) -> np.ndarray:
        """Classes of the current estimator; after an adaptation these may be fewer than at first."""
        return np.asarray(self.estimator_.classes_)

    def adapt(self, X: Any) -> Any:
        """Learn from the windows of one finished session, without their labels."""
        raise TypeError(f"{type(self).__name__} defines no adapt(X)")

    @property
    def _last(self) -> Any:
        """The step that learns: the last step of a pipeline, or the estimator itself."""
        return self.estimator_[-1] if isinstance(self.estimator_, Pipeline) else self.estimator_

    def _before_last(self, X: Any) -> Any:
        """Return the input of the last step for these windows."""
        with no_leakage_warning():  # these windows are used to learn, not scored
            return before_last(self.estimator_, X)

    def _refit_last(self, X: Any, y: np.ndarray) -> None:
        """Fit a new last step on the output of the frozen steps."""
        self._replace_last(_clone(self._last).fit(X, y))

    def _replace_last(self, fresh: Any) -> None:
        if isinstance(self.estimator_, Pipeline):
            steps = [*self.estimator_.steps[:-1], (self.estimator_.steps[-1][0], fresh)]
            self.estimator_ = Pipeline(steps, memory=self.estimator_.memory)
        else:
            self.estimator_ = fresh

    def predict(self, X: Any) -> np.ndarray:
        check_is_fitted(self, "estimator_")
        return np.asarray(self.estimator_.predict(X))

    def _need_probabilities(self, instead: str) -> None:
        if not hasattr(self.estimator_, "predict_proba"):
            raise ConfigError(
                f"{type(self).__name__} needs class probabilities, but {type(self._last).__name__} has no "
                f"predict_proba; {instead}"
            )

    @property
    def predict_proba(self) -> Any:
        check_is_fitted(self, "estimator_")
        return self.estimator_.predict_proba


class SelfRecalibrating(_Adapter):
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


class PseudoLabel(_Adapter):
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


class LDAMeans(_Adapter):
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
        last = self._last
        if not isinstance(last, LinearDiscriminantAnalysis) or last.solver != "lsqr":
            raise ConfigError(
                f"LDAMeans needs a pipeline that ends in LinearDiscriminantAnalysis(solver='lsqr'), got {last!r}"
            )
        if not hasattr(last, "covariance_"):
            raise ConfigError(
                f"LDAMeans needs the covariance, which was left out for {last.means_.shape[1]} columns; give the discriminant "
                "store_covariance=True, or choose fewer features"
            )
        features = np.asarray(self._before_last(X))
        predicted = last.predict(features)
        for k, name in enumerate(last.classes_):
            rows = features[predicted == name]
            if len(rows):
                last.means_[k] += self.rate * (rows.mean(axis=0) - last.means_[k])
        weights = solve(last.covariance_, last.means_.T).T
        offset = -0.5 * np.einsum("kf,kf->k", last.means_, weights) + np.log(last.priors_)
        temperature = getattr(last, "temperature_", 1.0)
        weights, offset = weights / temperature, offset / temperature
        if len(last.classes_) == 2:
            last.coef_, last.intercept_ = weights[1:] - weights[:1], offset[1:] - offset[:1]
        else:
            last.coef_, last.intercept_ = weights, offset
        return self


class AdaBN(_Adapter):
    """Replace a network's batch-norm statistics by those of the new session.

    If the session's windows are scored afterwards, the result is transductive.

    Source: Li et al. 2017; for surface EMG Du et al. 2017, doi:10.3390/s17030458.

    Parameters
    ----------
    estimator : a `NeuralClassifier` with batch norm, or a pipeline that ends in one.

    >>> from myograph.testing import make_windows
    >>> from myograph.training import NeuralClassifier
    >>> windows = make_windows(n_sessions=2)
    >>> monday, tuesday = windows.where(session=1), windows.where(session=2)
    >>> network = NeuralClassifier("myonet", {"bands": 1, "combinations": 2, "hidden": 4}, epochs=1, device="cpu")
    >>> method = AdaBN(network).fit(monday, monday.y)
    >>> first = method.estimator_.module_.mlp[0].running_mean
    >>> bool((method.adapt(tuesday).estimator_.module_.mlp[0].running_mean != first).any())
    True
    """

    def __init__(self, estimator: Any = None):
        self.estimator = estimator

    def adapt(self, X: Any) -> AdaBN:
        from myograph.training.transfer import adapt_batch_norm

        self._replace_last(adapt_batch_norm(self._last, self._before_last(X)))
        return self


def _clone(estimator: Any) -> Any:
    return clone(estimator)


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
