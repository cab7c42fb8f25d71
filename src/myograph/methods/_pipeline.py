"""Parts of several methods: features, logarithmic scale, z-scores, classifier."""

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
"""The default features of a method."""


class LogScale(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Transforms each column to a logarithmic scale: sign(x) log(1 + |x| / (floor * mean |x|)).

    The mean is learnt from the training rows. The amplitudes of resting and active muscles differ by a factor of
    a hundred, and the spread grows with the amplitude; on a logarithmic scale both have similar spreads, as linear
    methods assume. The result does not depend on the unit.

    Parameters
    ----------
    floor : fraction of the mean below which the scale is nearly linear, so that quiet windows are not outliers.

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
        """Learn the mean absolute value of each column. X : (window, column)."""
        mean = np.abs(np.asarray(validate_data(self, X, dtype=np.float64))).mean(axis=0)
        self.scale_ = np.where(mean > 0, self.floor * mean, 1.0)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Return (window, column) float64 on the logarithmic scale."""
        check_is_fitted(self)
        return self.scaled(np.asarray(validate_data(self, X, dtype=np.float64, reset=False)))

    def scaled(self, x: np.ndarray) -> np.ndarray:
        """Transform without checking the input."""
        return np.sign(x) * np.log1p(np.abs(x) / self.scale_)


def features_of(names: Any, options: dict[str, Any] | None) -> Features:
    """Return `Features` for one name or several, with further arguments of `Features`."""
    return Features([names] if isinstance(names, str) else list(names), **(options or {}))


def pipeline_of(
    classifier: BaseEstimator, features: str | Sequence[str] | Any, log: bool, feature_options: dict[str, Any] | None
) -> Pipeline:
    """Return a pipeline of features, logarithmic scale if `log`, z-scores, and classifier."""
    if not hasattr(features, "transform"):
        features = features_of(features, feature_options)
    steps: list[tuple[str, Any]] = [("features", features)]
    if log:
        steps.append(("log", LogScale()))
    return Pipeline([*steps, ("scale", StandardScaler()), ("classify", classifier)])


def chosen_by_repetition(pipeline: Pipeline, grid: dict[str, list[Any]], seed: int) -> GridSearchCV:
    """Return a search for the values of `grid` that are best in cross-validation over repetitions of the training
    windows.
    """
    raises: Any = "raise"  # the type stubs of scikit-learn allow only numbers
    return GridSearchCV(pipeline, grid, cv=PooledSubjects(test_fraction=0.34, seed=seed), error_score=raises)
