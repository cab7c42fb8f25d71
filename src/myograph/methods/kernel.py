"""Support vector machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from scipy.special import softmax
from sklearn.base import BaseEstimator

from myograph.methods._pipeline import TIME_DOMAIN, chosen_by_repetition, pipeline_of
from myograph.methods._svc import FastSVC
from myograph.methods.registry import METHODS


@METHODS.register
def svm(
    features: str | Sequence[str] | Any = TIME_DOMAIN,
    C: float = 10.0,
    gamma: str | float = "scale",
    search: bool = False,
    log: bool = True,
    feature_options: dict[str, Any] | None = None,
    seed: int = 0,
) -> BaseEstimator:
    """Support vector machine with an RBF kernel on z-scored (and by default log-scaled) features.

    Parameters
    ----------
    features : names or groups of the feature registry, or a transformer of windows (then without `feature_options`).
    C, gamma : penalty and kernel width, as in scikit-learn's `SVC`.
    search : choose C and gamma by cross-validation over repetitions of the training windows (Atzori et al. 2014)
        instead of using the given values.
    log : whether to transform features to a logarithmic scale first; see `LogScale`.
    feature_options : further arguments of `Features`.
    seed : seed of the folds of the search.

    Examples
    --------
    >>> import numpy as np
    >>> from myograph.methods import svm
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(40) % 2
    >>> X = rng.standard_normal((40, 2, 100)) * np.where(y, [[1.0], [9.0]], [[9.0], [1.0]]).T[:, :, None]
    >>> svm().fit(X, y).predict(X[:4])
    array([0, 1, 0, 1])
    """
    pipeline = pipeline_of(FastSVC(C=C, gamma=cast(Any, gamma)), features, log, feature_options)
    if not search:
        return pipeline
    grid = {"classify__C": [1.0, 10.0, 100.0], "classify__gamma": ["scale", 0.001, 0.01]}
    return chosen_by_repetition(pipeline, grid, seed)


class SoftSVC(FastSVC):
    """`SVC` with probabilities computed from its margins: softmax(sharpness * one-against-rest margins).

    Platt scaling would fit five more machines and give nearly the same probabilities. These probabilities are meant for
    combining with another classifier; they are not calibrated (see `Calibrated`).

    Examples
    --------
    >>> import numpy as np
    >>> from myograph.methods import SoftSVC
    >>> machine = SoftSVC().fit(np.array([[0.0], [1.0], [5.0], [6.0]]), [0, 0, 1, 1])
    >>> machine.predict_proba(np.array([[0.5]])).round(2)
    array([[1., 0.]])
    """

    sharpness = 3.0

    def predict_proba(self, X: Any) -> np.ndarray:
        """(window, class) probabilities."""
        margins = self.decision_function(X)
        if margins.ndim == 1:
            margins = np.stack([-margins, margins], axis=1)
        return softmax(self.sharpness * margins, axis=1)
