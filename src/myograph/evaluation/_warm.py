"""Compile a method's loops in the calling process, before its folds are timed or distributed over processes."""

from __future__ import annotations

from typing import cast

from sklearn.base import BaseEstimator, clone

from myograph.features.transformer import Features
from myograph.windows import Windows

FEW = 3  # windows, enough to run the same code as for whole recordings


def warm(estimator: BaseEstimator, windows: Windows) -> None:
    """Run the features of a classical method on a few windows and `compile_loops` of its parts; nothing is fitted.

    The compiled loops are cached on disk for other processes. The loops of networks are not compiled here.
    """
    for part in [estimator, *estimator.get_params(deep=True).values()]:
        if isinstance(part, Features):
            cast(Features, clone(part)).fit_transform(windows[:FEW])
        elif hasattr(part, "compile_loops"):
            part.compile_loops()
