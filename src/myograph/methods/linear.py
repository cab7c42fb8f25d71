"""Linear discriminant analysis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sklearn.pipeline import Pipeline

from myograph.methods._pipeline import TIME_DOMAIN, pipeline_of
from myograph.methods.calibrated import CalibratedLDA
from myograph.methods.registry import METHODS


@METHODS.register
def lda(
    features: str | Sequence[str] | Any = TIME_DOMAIN,
    shrinkage: str | float | None = "auto",
    log: bool = True,
    feature_options: dict[str, Any] | None = None,
) -> Pipeline:
    """Linear discriminant analysis with Ledoit-Wolf shrinkage on z-scored (and by default log-scaled) features.

    Its probabilities are calibrated; see `CalibratedLDA`.

    Parameters
    ----------
    features : names or groups of the feature registry, or a transformer of windows (then without `feature_options`).
    shrinkage : "auto" (Ledoit-Wolf), a number from 0 to 1, or None.
    log : whether to transform features to a logarithmic scale first; see `LogScale`.
    feature_options : further arguments of `Features`.

    Examples
    --------
    >>> import numpy as np
    >>> from myograph.methods import lda
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(40) % 2
    >>> X = rng.standard_normal((40, 2, 100)) * np.where(y, [[1.0], [9.0]], [[9.0], [1.0]]).T[:, :, None]
    >>> lda().fit(X, y).predict(X[:4])
    array([0, 1, 0, 1])
    """
    return pipeline_of(CalibratedLDA(solver="lsqr", shrinkage=shrinkage), features, log, feature_options)
