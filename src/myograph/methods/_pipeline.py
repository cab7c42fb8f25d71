"""What several methods are built from: features, a logarithmic scale, z-scores, a classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted, validate_data

from myograph.features.transformer import Features
from myograph.protocols import PooledSubjects

TIME_DOMAIN = ("MAV", "WL", "ZC", "SSC", "RMS")
"""The features that a method uses if none are named."""


class LogScale(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Put each column on a logarithmic scale: sign(x) log(1 + |x| / (floor * mean |x|)).

    The mean is learnt from the training rows. Muscles at rest and at work differ in amplitude by a factor of a hundred,
    and the spread grows with the amplitude; on a logarithmic scale both have similar spreads, as a linear method
    assumes. The result does not depend on the unit.

    Parameters
    ----------
    floor : the scale is close to linear below this share of the mean, so that near-silent windows are not outliers.

    Attributes
    ----------
    scale_ : (column,), floor * mean |x|.

    Examples
    --------
    >>> import numpy as np
    >>> from myograph.methods import LogScale
    >>> LogScale(floor=1.0).fit_transform(np.array([[0.0], [2.0]])).round(3)
    array([[0.   ],
           [1.099]])
    """

    def __init__(self, floor: float = 0.1):
        self.floor = floor

    def fit(self, X: Any, y: Any = None) -> LogScale:
        """Learn the mean size of each column. X : (window, column)."""
        mean = np.abs(np.asarray(validate_data(self, X, dtype=np.float64))).mean(axis=0)
        self.scale_ = np.where(mean > 0, self.floor * mean, 1.0)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """(window, column) float64 on the logarithmic scale."""
        check_is_fitted(self)
        return self.scaled(np.asarray(validate_data(self, X, dtype=np.float64, reset=False)))

    def scaled(self, x: np.ndarray) -> np.ndarray:
        """`transform` without checking the input."""
        return np.sign(x) * np.log1p(np.abs(x) / self.scale_)


def features_of(names: Any, options: dict[str, Any] | None) -> Features:
    """`Features` of a name, or of several, with further arguments of `Features`."""
    return Features([names] if isinstance(names, str) else list(names), **(options or {}))


def pipeline_of(
    classifier: BaseEstimator, features: str | Sequence[str] | Any, log: bool, feature_options: dict[str, Any] | None
) -> Pipeline:
    """Features, logarithmic scale if `log`, z-scores, classifier."""
    if not hasattr(features, "transform"):
        features = features_of(features, feature_options)
    steps: list[tuple[str, Any]] = [("features", features)]
    if log:
        steps.append(("log", LogScale()))
    return Pipeline([*steps, ("scale", StandardScaler()), ("classify", classifier)])


def chosen_by_repetition(pipeline: Pipeline, grid: dict[str, list[Any]], seed: int) -> GridSearchCV:
    """The pipeline with the values of `grid` that do best on the training windows, cross-validated by repetition."""
    raises: Any = "raise"  # the stubs of scikit-learn know numbers alone
    return GridSearchCV(pipeline, grid, cv=PooledSubjects(test_fraction=0.34, seed=seed), error_score=raises)
