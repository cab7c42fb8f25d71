"""Compile a method's loops in the calling process, before its folds are timed or distributed over processes."""

from __future__ import annotations

from typing import cast

import numpy as np
from sklearn.base import BaseEstimator, clone

from myograph.features.transformer import Features
from myograph.methods._forest import FastRandomForest
from myograph.windows import Windows

FEW = 3  # windows: enough for a common grid, so that the same code runs as for whole recordings


def warm(estimator: BaseEstimator, windows: Windows) -> None:
    """Run the features and the forest of a classical method on a few windows; the estimator is not changed.

    The compiled loops are cached on disk for other processes. The loops of networks are not compiled here.
    """
    for part in [estimator, *estimator.get_params(deep=True).values()]:
        if isinstance(part, Features):
            cast(Features, clone(part)).fit_transform(windows[:FEW])
        elif isinstance(part, FastRandomForest):
            FastRandomForest(1).fit([[0.0], [1.0]], [0, 1]).predict(np.zeros((1, 1)))
