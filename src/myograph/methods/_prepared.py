"""What the fast classifiers share: which input they take, and flat arrays made of a fitted estimator."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from sklearn.base import BaseEstimator

# Kept beside the estimator and not in it: predicting leaves no trace in an estimator, its pickle or its clone. Each
# entry holds the fitted arrays that it was made from, so that a refit is noticed.
_prepared: WeakKeyDictionary[BaseEstimator, Any] = WeakKeyDictionary()


def plain(estimator: BaseEstimator, X: Any) -> bool:
    """Whether X needs none of scikit-learn's conversions and gives none of its errors."""
    return (
        type(X) is np.ndarray
        and X.ndim == 2
        and len(X) > 0
        and X.dtype in (np.float64, np.float32)
        and X.shape[1] == getattr(estimator, "n_features_in_", None)
        and not hasattr(estimator, "feature_names_in_")  # else scikit-learn warns that X has none
        and bool(np.isfinite(X.sum(dtype=np.float64)))  # the sum of finite numbers may overflow: scikit-learn decides
    )


def prepared(estimator: BaseEstimator, kind: Any) -> Any:
    """`kind.of(estimator)`, made at the first call after a fit."""
    found = _prepared.get(estimator)
    if found is None or any(a is not b for a, b in zip(found.source, kind.source_of(estimator))):
        found = _prepared[estimator] = kind.of(estimator)
    return found
