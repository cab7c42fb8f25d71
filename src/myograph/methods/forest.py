"""Random forests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sklearn.pipeline import Pipeline

from myograph.methods._forest import FastRandomForest
from myograph.methods._pipeline import TIME_DOMAIN, pipeline_of
from myograph.methods.registry import METHODS


@METHODS.register
def random_forest(
    features: str | Sequence[str] | Any = TIME_DOMAIN,
    n_trees: int = 100,
    log: bool = True,
    feature_options: dict[str, Any] | None = None,
    seed: int = 0,
) -> Pipeline:
    """Random forest of `n_trees` trees of full depth.

    Parameters
    ----------
    features : names or groups of the feature registry, or a transformer of windows (then without `feature_options`).
    n_trees : number of trees.
    log : whether to transform features to a logarithmic scale first; see `LogScale`.
    feature_options : further arguments of `Features`.
    seed : seed of the bootstrap samples and of the features tried at each split.

    Examples
    --------
    >>> import numpy as np
    >>> from myograph.methods import random_forest
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(40) % 2
    >>> X = rng.standard_normal((40, 2, 100)) * np.where(y, [[1.0], [9.0]], [[9.0], [1.0]]).T[:, :, None]
    >>> random_forest(n_trees=9).fit(X, y).predict(X[:4])
    array([0, 1, 0, 1])
    """
    return pipeline_of(FastRandomForest(n_trees, random_state=seed), features, log, feature_options)
