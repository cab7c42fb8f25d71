"""Shared by the fast classifiers: the check of their input, and flat arrays made from a fitted estimator."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from sklearn.base import BaseEstimator

# Stored outside the estimator, so that predicting does not change an estimator, its pickle or its clone. Each entry
# holds the fitted arrays from which it was made, so that a refit is detected.
_prepared: WeakKeyDictionary[BaseEstimator, Any] = WeakKeyDictionary()


def plain(estimator: BaseEstimator, X: Any) -> bool:
    """Return whether X needs no conversion by scikit-learn and causes none of its errors."""
    return (
        type(X) is np.ndarray
        and X.ndim == 2
        and len(X) > 0
        and X.dtype in (np.float64, np.float32)
        and X.shape[1] == getattr(estimator, "n_features_in_", None)
        and not hasattr(estimator, "feature_names_in_")  # otherwise scikit-learn warns that X has no names
        and bool(np.isfinite(X.sum(dtype=np.float64)))  # if the sum of finite numbers overflows, scikit-learn decides
    )


def prepared(estimator: BaseEstimator, kind: Any) -> Any:
    """Return `kind.of(estimator)`, computed at the first call after a fit."""
    found = _prepared.get(estimator)
    if found is None or any(a is not b for a, b in zip(found.source, kind.source_of(estimator))):
        found = _prepared[estimator] = kind.of(estimator)
    return found
