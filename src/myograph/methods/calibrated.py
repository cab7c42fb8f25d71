"""Calibrated probabilities: temperature scaling on repetitions that were held out of training."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from scipy.optimize import brentq, minimize
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.utils.validation import check_is_fitted

from myograph._common.fitted import need_two_classes
from myograph._common.seen import no_leakage_warning
from myograph.errors import ConfigError
from myograph.methods._discriminant import FastLDA
from myograph.methods._held_out import held_out_folds, held_out_proba

LEAST = 1e-12  # added to probabilities before the logarithm: smaller ones are not distinguished


def softened(scores: np.ndarray, temperature: float, power: float = 1.0) -> np.ndarray:
    """Return (window, class) log probabilities, not normalised: -((largest score - score) / temperature)^power.

    The order of the classes does not change. A power of 1 is temperature scaling (Guo, Pleiss, Sun & Weinberger 2017,
    arXiv:1706.04599). Other powers are our own addition, for scores whose large differences mean less, or more, than their
    size suggests.

    >>> softened(np.array([[0.0, -4.0]]), temperature=2.0, power=2.0)
    array([[-0., -4.]])
    """
    return -((np.maximum(scores.max(axis=1, keepdims=True) - scores, 0) / temperature) ** power)


def fit_temperature(scores: np.ndarray, code: np.ndarray) -> float:
    """Return the temperature at which the mean confidence equals the accuracy.

    Confidence is the probability of the predicted class. The temperature is not the one with the least log loss, because a
    few windows that are wrong by a large margin would determine it, and the confidence of all others would be too low. The
    accuracy over n windows is estimated as (number correct + 1) / (n + 2) (after Platt 1999), so that it is below 1 even
    without an error.

    Parameters
    ----------
    scores : (window, class) log probabilities of windows that the method was not fitted on. Windows with NaN are left out.
        If none remain, the temperature is 1, which changes nothing.
    code : (window,) index of the true class.

    >>> rng = np.random.default_rng(0)
    >>> scores = rng.normal(size=(5000, 3))
    >>> code = np.array([rng.choice(3, p=p) for p in softmax(scores / 2, axis=1)])
    >>> abs(fit_temperature(scores, code) - 2) < 0.2
    True
    """
    scores, code = _known(scores, code)
    away = scores.max(axis=1, keepdims=True) - scores if len(scores) else scores
    if not away.any():
        return 1.0
    right = ((scores.argmax(axis=1) == code).sum() + 1) / (len(code) + 2)
    sure = lambda at: float((1 / np.exp(-away / np.exp(at)).sum(axis=1)).mean()) - right  # noqa: E731
    low, high = np.log(away.mean()) - 8, np.log(away.mean()) + 8
    at = low if sure(low) < 0 else high if sure(high) > 0 else brentq(sure, low, high)
    return float(np.exp(cast(float, at)))


def fit_temperature_and_power(scores: np.ndarray, code: np.ndarray) -> tuple[float, float]:
    """Return the temperature and the power with the least log loss; (1, 1) if there are no windows.

    The parameters are those of `fit_temperature`. The target probability of the true class is (n + 1) / (n + 2) for n
    windows instead of 1 (Platt 1999).

    >>> rng = np.random.default_rng(0)
    >>> scores = rng.normal(size=(5000, 3))
    >>> code = np.array([rng.choice(3, p=p) for p in softmax(softened(scores, 2.0, 1.5), axis=1)])
    >>> np.abs(np.array(fit_temperature_and_power(scores, code)) - [2.0, 1.5]) < 0.2
    array([ True,  True])
    """
    scores, code = _known(scores, code)
    n, n_classes = scores.shape
    away = scores.max(axis=1, keepdims=True) - scores if n else scores
    if not away.any():
        return 1.0, 1.0
    target = np.full((n, n_classes), 1 / (n + 2) / (n_classes - 1))
    target[np.arange(n), code] = (n + 1) / (n + 2)
    log_away = np.log(np.maximum(away, LEAST))

    def loss(at: np.ndarray) -> tuple[float, np.ndarray]:
        power = np.exp(at[1])
        z = np.where(away > 0, -np.exp(np.minimum(power * (log_away - at[0]), 50.0)), 0.0)
        share = np.exp(z)
        total = share.sum(axis=1, keepdims=True)
        off = (share / total - target) * z
        slope = np.array([-power * off.sum(), power * (off * (log_away - at[0])).sum()]) / n
        return float((np.log(total[:, 0]) - (target * z).sum(axis=1)).mean()), slope

    begin = np.array([np.log(away.mean()), 0.0])
    bounds = [(begin[0] - 8, begin[0] + 8), (np.log(0.3), np.log(3.0))]
    found = np.exp(minimize(loss, begin, jac=True, method="L-BFGS-B", bounds=bounds).x)
    return float(found[0]), float(found[1])


def _known(scores: np.ndarray, code: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rows = np.isfinite(scores).all(axis=1)
    return scores[rows], code[rows]


class Calibrated(MetaEstimatorMixin, ClassifierMixin, BaseEstimator):
    """Calibrate the probabilities of any classifier, so that its confidence matches its accuracy.

    The classifier is fitted on all training windows. It is also fitted once for each of up to four folds, and predicts the
    repetitions that were held out of the fold. A temperature and a power are fitted to these held-out predictions (see
    `softened`). `predict` returns the classes that the classifier itself predicts.

    The probabilities are calibrated for new repetitions of the people and sessions in training. On other people or days
    accuracy is usually lower, and the training windows cannot show by how much.

    Folds consist of whole repetitions. The repetitions of arrays are unknown. For arrays, and for Windows with only one
    repetition, the windows of each class are divided into four parts in the given order. A class with fewer than four
    windows is not held out. If no window is held out, the probabilities are not changed.

    `lda` and `lda_svm` are calibrated already, at a lower cost.

    Parameters
    ----------
    estimator : a classifier with `predict_proba`, unfitted.

    Attributes
    ----------
    estimator_ : the classifier, fitted on all windows.
    classes_ : (class,) labels.
    temperature_, power_ : both are 1 if no window was held out.

    Raises
    ------
    ConfigError : `y` holds only one class, or the classifier has no `predict_proba`.

    Examples
    --------
    >>> from myograph.methods import Calibrated, knn
    >>> from myograph.testing import make_windows
    >>> windows = make_windows(n_repetitions=5)
    >>> train, test = windows[windows.column("repetition") < 5], windows.where(repetition=5)
    >>> method = Calibrated(knn()).fit(train, train.y)
    >>> method.predict_proba(test).shape, method.temperature_ != 1.0
    ((14, 2), True)
    >>> bool((method.predict(test) == method.classes_[method.predict_proba(test).argmax(axis=1)]).all())
    True
    """

    def __init__(self, estimator: Any = None):
        self.estimator = estimator

    def fit(self, X: Any, y: Any = None) -> Calibrated:
        """Fit and calibrate. X : Windows or array. y : (window,) labels; by default those of the Windows."""
        y = np.asarray(X.y if y is None else y)
        need_two_classes(y)
        self.estimator_ = cast(Any, clone(self.estimator)).fit(X, y)
        if not hasattr(self.estimator_, "predict_proba"):
            raise ConfigError(
                f"Calibrated needs a classifier with predict_proba, but {type(self.estimator_).__name__} has none; choose "
                "another classifier"
            )
        self.classes_ = np.asarray(self.estimator_.classes_)
        code = np.searchsorted(self.classes_, y)
        with no_leakage_warning():
            fold = held_out_folds(X, code)
            proba = self._held_out(X, y, code, fold)
        self.temperature_, self.power_ = fit_temperature_and_power(np.log(proba + LEAST), code)
        return self

    def _held_out(self, X: Any, y: np.ndarray, code: np.ndarray, fold: np.ndarray) -> np.ndarray:
        return held_out_proba(self.estimator_, X, code, fold, len(self.classes_))

    def predict_proba(self, X: Any) -> np.ndarray:
        """(window, class) probabilities."""
        check_is_fitted(self, "estimator_")
        scores = np.log(np.asarray(self.estimator_.predict_proba(X)) + LEAST)
        return softmax(softened(scores, self.temperature_, self.power_), axis=1)

    def predict(self, X: Any) -> np.ndarray:
        """(window,) labels, as predicted by the classifier."""
        check_is_fitted(self, "estimator_")
        return np.asarray(self.estimator_.predict(X))


class CalibratedLDA(FastLDA):
    """Linear discriminant analysis whose scores are divided by a temperature, so that its probabilities are calibrated.

    It is fitted on a table of features, in which repetitions are unknown. The held-out folds are therefore made by dividing
    the rows of each class into four parts in the given order (see `Calibrated`). The parameters are those of scikit-learn's
    class; the solver must be "lsqr".

    Attributes
    ----------
    temperature_ : `coef_` and `intercept_` are already divided by it.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(200) % 2
    >>> x = np.repeat(rng.normal(size=(50, 3)), 4, axis=0) + 0.5 * y[:, None]  # each row four times
    >>> CalibratedLDA(solver="lsqr").fit(x, y).temperature_ > 1
    True
    """

    def fit(self, X: Any, y: Any) -> CalibratedLDA:
        """Fit and calibrate. X : (window, column). y : (window,) labels."""
        if self.solver != "lsqr":
            raise ConfigError(f'CalibratedLDA needs solver="lsqr", but got {self.solver!r}')
        super().fit(X, y)
        self.temperature_ = 1.0
        code = np.searchsorted(self.classes_, y)
        proba = held_out_proba(self, np.asarray(X), code, held_out_folds(X, code), len(self.classes_))
        self.temperature_ = fit_temperature(np.log(proba + LEAST), code)
        self.coef_, self.intercept_ = self.coef_ / self.temperature_, self.intercept_ / self.temperature_
        return self
