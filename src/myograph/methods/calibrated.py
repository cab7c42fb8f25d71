"""Probabilities that say how often a method is right: temperature scaling on repetitions that were held out of training."""

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

LEAST = 1e-12  # probabilities below this are not told apart


def softened(scores: np.ndarray, temperature: float, power: float = 1.0) -> np.ndarray:
    """Return (window, class) logarithms of probabilities, not normalised: -((largest score - score) / temperature)^power.

    The order of the classes does not change. A power of 1 is temperature scaling (Guo, Pleiss, Sun & Weinberger 2017,
    arXiv:1706.04599); the power is our own. It is for scores whose large differences mean less, or more, than small ones.

    >>> softened(np.array([[0.0, -4.0]]), temperature=2.0, power=2.0)
    array([[-0., -4.]])
    """
    return -((np.maximum(scores.max(axis=1, keepdims=True) - scores, 0) / temperature) ** power)


def fit_temperature(scores: np.ndarray, code: np.ndarray) -> float:
    """Return the temperature at which the mean probability of the predicted class is the share of right predictions.

    The temperature of least log loss is not taken here: a few windows that are wrong with a large margin would decide it,
    and all others would be too unsure. Of n windows without an error (n + 1) / (n + 2) count as right (Platt 1999), so that
    they do not make the method certain.

    Parameters
    ----------
    scores : (window, class) logarithms of probabilities, of windows that the method was not fitted on; windows with NaN are
        left out. If none remain, the temperature is 1, which changes nothing.
    code : (window,) true classes.

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
    """Return the temperature and power under which these classes are most probable; (1, 1) if there are no windows.

    Parameters are those of `fit_temperature`. A window's class counts as right with probability (n + 1) / (n + 2).

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
    """Any classifier, with probabilities that say how often it is right.

    The classifier is fitted once more for each of up to four folds of the training windows, and predicts the repetitions
    that were held out. On these answers a temperature and a power are fitted (see `softened`), and the classifier is fitted
    on all windows. Predictions do not change where the classifier predicts its most probable class.

    The probabilities hold for new repetitions of the people and sessions in training. On other people or days a method is
    right less often, and no training window tells how much.

    Folds are whole repetitions of the Windows. For arrays, whose repetitions are unknown, and if there is one repetition only,
    the windows of each class in the given order are divided into four. A class with fewer than four windows is not held
    out; if no window is, probabilities stay as they are.

    `lda` and `lda_svm` calibrate themselves, at less cost.

    Parameters
    ----------
    estimator : a classifier with `predict_proba`, unfitted.

    Attributes
    ----------
    estimator_ : fitted on all windows. classes_ : (class,).
    temperature_, power_ : both 1 if there was nothing to learn them from.

    Raises
    ------
    ConfigError : y holds one class, or the classifier has no `predict_proba`.

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
        """Fit and calibrate. X : Windows or an array. y : (window,) labels; by default those of the Windows."""
        y = np.asarray(X.y if y is None else y)
        need_two_classes(y)
        self.estimator_ = cast(Any, clone(self.estimator)).fit(X, y)
        if not hasattr(self.estimator_, "predict_proba"):
            raise ConfigError(
                f"Calibrated needs a classifier with predict_proba, and {type(self.estimator_).__name__} has none; choose "
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
        """(window,) labels, as the classifier predicts them."""
        check_is_fitted(self, "estimator_")
        return np.asarray(self.estimator_.predict(X))


class CalibratedLDA(FastLDA):
    """Linear discriminant analysis whose scores are divided by a temperature, so that its probabilities hold.

    It learns from rows of features, which do not know their repetitions: the rows of each class, in the given order, are
    divided into four (see `Calibrated`). The solver must be "lsqr"; parameters are those of scikit-learn's class.

    Attributes
    ----------
    temperature_ : `coef_` and `intercept_` are already divided by it.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(200) % 2
    >>> x = np.repeat(rng.normal(size=(50, 3)), 4, axis=0) + 0.5 * y[:, None]  # rows that say the same four times
    >>> CalibratedLDA(solver="lsqr").fit(x, y).temperature_ > 1
    True
    """

    def fit(self, X: Any, y: Any) -> CalibratedLDA:
        """Fit and calibrate. X : (window, column). y : (window,) labels."""
        if self.solver != "lsqr":
            raise ConfigError(f'CalibratedLDA needs solver="lsqr", got {self.solver!r}')
        super().fit(X, y)
        self.temperature_ = 1.0
        code = np.searchsorted(self.classes_, y)
        proba = held_out_proba(self, np.asarray(X), code, held_out_folds(X, code), len(self.classes_))
        self.temperature_ = fit_temperature(np.log(proba + LEAST), code)
        self.coef_, self.intercept_ = self.coef_ / self.temperature_, self.intercept_ / self.temperature_
        return self
