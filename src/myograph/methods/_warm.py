"""Compile in the calling process what a method runs, before its folds are timed or given to several processes."""

from __future__ import annotations

from typing import cast

import numpy as np
from sklearn.base import BaseEstimator, clone

from myograph.features.transformer import Features
from myograph.methods._forest import FastRandomForest
from myograph.windows import Windows

FEW = 3  # windows: enough for a common grid, which is the route that whole recordings take


def warm(estimator: BaseEstimator, windows: Windows) -> None:
    """Run the features and the forest of a classical method on a few windows; the estimator is left as it is.

    The compiled loops are kept on disk, where other processes find them. A network's own loops are not compiled here.
    """
    for part in [estimator, *estimator.get_params(deep=True).values()]:
        if isinstance(part, Features):
            cast(Features, clone(part)).fit_transform(windows[:FEW])
        elif isinstance(part, FastRandomForest):
            FastRandomForest(1).fit([[0.0], [1.0]], [0, 1]).predict(np.zeros((1, 1)))
