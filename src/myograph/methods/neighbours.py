"""Nearest neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.neighbors import KNeighborsClassifier

from myograph.methods._pipeline import TIME_DOMAIN, chosen_by_repetition, pipeline_of
from myograph.methods.registry import METHODS


@METHODS.register
def knn(
    features: str | Sequence[str] | Any = TIME_DOMAIN,
    k: int = 5,
    search: bool = False,
    log: bool = True,
    feature_options: dict[str, Any] | None = None,
    seed: int = 0,
) -> BaseEstimator:
    """k nearest neighbours on z-scored (and by default log-scaled) features.

    Parameters
    ----------
    features : names or groups of the feature registry, or a transformer of windows (then without `feature_options`).
    k : number of neighbours.
    search : choose k by cross-validation over repetitions of the training windows instead of using the given value.
    log : whether to transform features to a logarithmic scale first; see `LogScale`.
    feature_options : further arguments of `Features`.
    seed : seed of the folds of the search.

    Examples
    --------
    >>> import numpy as np
    >>> from myograph.methods import knn
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(40) % 2
    >>> X = rng.standard_normal((40, 2, 100)) * np.where(y, [[1.0], [9.0]], [[9.0], [1.0]]).T[:, :, None]
    >>> knn(k=3).fit(X, y).predict(X[:4])
    array([0, 1, 0, 1])
    """
    pipeline = pipeline_of(KNeighborsClassifier(n_neighbors=k), features, log, feature_options)
    if not search:
        return pipeline
    grid = {"classify__n_neighbors": [1, 3, 5, 9, 15]}
    return chosen_by_repetition(pipeline, grid, seed)
