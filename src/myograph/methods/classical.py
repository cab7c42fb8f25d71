"""The classical methods: unfitted scikit-learn estimators that take windows.

>>> from myograph.methods import METHODS
>>> METHODS.create("svm", C=1.0, features=["MAV", "WL"])["classify"].C
1.0
>>> "myonet" in METHODS
True
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from scipy.special import softmax
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.ensemble import VotingClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted, validate_data

from myograph.features.transformer import Features
from myograph.methods._fast import FastLDA, FastRandomForest, FastSVC
from myograph.methods.registry import METHODS
from myograph.protocols import PooledSubjects

TIME_DOMAIN = ("MAV", "WL", "ZC", "SSC", "RMS")
SHAPE = ("MOB", "COMP", "SKEW", "AR")


class LogScale(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Compress each column to sign(x) log(1 + |x| / (floor * mean |x|)), with the mean of the training rows.

    Amplitudes of resting and working muscles differ by a factor of a hundred, and their spread grows with them. On a
    logarithmic scale both have a similar spread, which a linear method needs. The result does not depend on the unit.

    floor : share of the mean below which the scale becomes linear, so that silence is not an outlier.

    >>> LogScale(floor=0.1).fit_transform([[1.0], [100.0], [1000.0]]).round(2).ravel().tolist()
    [0.03, 1.32, 3.34]
    """

    def __init__(self, floor: float = 0.1):
        self.floor = floor

    def fit(self, X: np.ndarray, y: Any = None) -> LogScale:
        mean = np.abs(np.asarray(validate_data(self, X, dtype=np.float64))).mean(axis=0)
        self.scale_ = np.where(mean > 0, self.floor * mean, 1.0)
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        check_is_fitted(self)
        return self.scaled(np.asarray(validate_data(self, X, dtype=np.float64, reset=False)))

    def scaled(self, x: np.ndarray) -> np.ndarray:
        """`transform` of rows (row, column) that have been checked already."""
        return np.sign(x) * np.log1p(np.abs(x) / self.scale_)


def _features(names: Any, options: dict[str, Any] | None) -> Features:
    return Features([names] if isinstance(names, str) else list(names), **(options or {}))


def _pipeline(classifier: BaseEstimator, features: Any, log: bool, feature_options: dict[str, Any] | None) -> Pipeline:
    if not hasattr(features, "transform"):
        features = _features(features, feature_options)
    steps: list[tuple[str, Any]] = [("features", features)]
    if log:
        steps.append(("log", LogScale()))
    return Pipeline([*steps, ("scale", StandardScaler()), ("classify", classifier)])


@METHODS.register
def lda(
    features: Sequence[str] = TIME_DOMAIN,
    shrinkage: str | float | None = "auto",
    log: bool = True,
    feature_options: dict[str, Any] | None = None,
) -> Pipeline:
    """Linear discriminant analysis with Ledoit-Wolf shrinkage on features that are log-scaled (by default) and z-scored.

    features : names or groups of the feature registry, or a transformer of windows (then without `feature_options`).
    shrinkage : "auto", a number from 0 to 1, or None.
    log : put features on a logarithmic scale first, see `LogScale`.
    feature_options : further arguments of `Features`.

    >>> [name for name, _ in lda(features=["MAV"], log=False).steps]
    ['features', 'scale', 'classify']
    """
    classifier = FastLDA(solver="lsqr", shrinkage=shrinkage)
    return _pipeline(classifier, features, log, feature_options)


@METHODS.register
def svm(
    features: Sequence[str] = TIME_DOMAIN,
    C: float = 10.0,
    gamma: str | float = "scale",
    search: bool = False,
    log: bool = True,
    feature_options: dict[str, Any] | None = None,
    seed: int = 0,
) -> BaseEstimator:
    """Support vector machine with an RBF kernel on features that are log-scaled (by default) and z-scored.

    search : choose C and gamma by cross-validation over repetitions of the training windows (Atzori et al. 2014)
        instead of using those given.

    >>> sorted(svm(search=True).param_grid)
    ['classify__C', 'classify__gamma']
    """
    pipeline = _pipeline(FastSVC(C=C, gamma=gamma), features, log, feature_options)
    if not search:
        return pipeline
    grid = {"classify__C": [1.0, 10.0, 100.0], "classify__gamma": ["scale", 0.001, 0.01]}
    return GridSearchCV(pipeline, grid, cv=PooledSubjects(test_fraction=0.34, seed=seed))


@METHODS.register
def knn(
    features: Sequence[str] = TIME_DOMAIN,
    k: int = 5,
    search: bool = False,
    log: bool = True,
    feature_options: dict[str, Any] | None = None,
    seed: int = 0,
) -> BaseEstimator:
    """k nearest neighbours on features that are log-scaled (by default) and z-scored.

    search : choose k by cross-validation over repetitions of the training windows instead of using the one given.

    >>> knn(k=3)["classify"].n_neighbors
    3
    """
    pipeline = _pipeline(KNeighborsClassifier(n_neighbors=k), features, log, feature_options)
    if not search:
        return pipeline
    grid = {"classify__n_neighbors": [1, 3, 5, 9, 15]}
    return GridSearchCV(pipeline, grid, cv=PooledSubjects(test_fraction=0.34, seed=seed))


@METHODS.register
def random_forest(
    features: Sequence[str] = TIME_DOMAIN,
    n_trees: int = 100,
    log: bool = True,
    feature_options: dict[str, Any] | None = None,
    seed: int = 0,
) -> Pipeline:
    """Random forest of `n_trees` trees of full depth.

    >>> random_forest(n_trees=10)["classify"].n_estimators
    10
    """
    return _pipeline(FastRandomForest(n_trees, random_state=seed), features, log, feature_options)


class SoftSVC(FastSVC):
    """`SVC` with probabilities computed from its margins: softmax(sharpness * one-against-rest margins).

    They serve to combine it with another classifier and are not calibrated (see the calibration error of the scores).
    Platt's scaling would fit five more machines to obtain nearly the same.
    """

    sharpness = 3.0

    def predict_proba(self, X: Any) -> np.ndarray:
        margins = self.decision_function(X)
        if margins.ndim == 1:
            margins = np.stack([-margins, margins], axis=1)
        return softmax(self.sharpness * margins, axis=1)


class ProductOfViews(VotingClassifier):
    """Several classifiers with different features, whose probabilities are multiplied.

    In a product, one classifier that is certain that a class is wrong has an effect; in a mean the others would outvote
    it.

    floor : added to each probability first, so that no classifier can exclude a class alone.
    """

    floor = 1e-3

    def predict_proba(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        return softmax(self.log_product([view.predict_proba(X) for view in cast(list, self.estimators_)]), axis=1)

    def log_product(self, probabilities: Sequence[np.ndarray]) -> np.ndarray:
        """(window, class) logarithm of the product, not normalised; `probabilities` has one (window, class) array per view."""
        return np.sum([np.log(p + self.floor) for p in probabilities], axis=0)


@METHODS.register
def lda_svm(
    C: float = 10.0, gamma: str | float = "scale", feature_options: dict[str, Any] | None = None
) -> ProductOfViews:
    """The default: the product of two linear discriminant analyses and two support vector machines.

    The discriminant analyses use log time-domain features with shape and LOGCOV, and with LOGLAGCOV. The RBF machines
    use log time-domain features alone, and with the amplitudes of the window's halves. It was chosen among 70
    combinations by cross-validation over repetitions inside the train parts of four data sets; docs/default-method.md
    has the table.

    >>> [name for name, _ in lda_svm().estimators]
    ['covariance', 'lagged', 'kernel', 'halves']
    """

    def view(classifier: BaseEstimator, others: Sequence[str], more: Sequence[str] = ()) -> Pipeline:
        amplitudes = Pipeline([("features", _features((*TIME_DOMAIN, *more), feature_options)), ("log", LogScale())])
        parts = [("amplitudes", amplitudes)]
        if others:
            parts.append(("others", _features(others, feature_options)))
        return Pipeline([("features", FeatureUnion(parts)), ("scale", StandardScaler()), ("classify", classifier)])

    linear = FastLDA(solver="lsqr", shrinkage="auto")
    kernel = SoftSVC(C=C, gamma=gamma)
    views = [
        ("covariance", view(linear, (*SHAPE, "LOGCOV"))),
        ("lagged", view(linear, ("LOGLAGCOV",))),
        ("kernel", view(kernel, ())),
        ("halves", view(kernel, (), more=("MAVS",))),
    ]
    return ProductOfViews(views, voting="soft")
