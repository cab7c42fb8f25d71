"""The estimator that `myograph.audit.audited` returns."""

from __future__ import annotations

import copy
from typing import Any

from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from myograph._common.seen import no_leakage_warning, remember, warn_of_leakage


def _asks(name: str) -> Any:
    """Return a method of `AuditedEstimator` that calls the method of this name of the fitted estimator."""

    def ask(self: Any, X: Any, *args: Any, **kwargs: Any) -> Any:
        check_is_fitted(self)
        warn_of_leakage(self, X)
        with no_leakage_warning():  # an estimator of myograph inside would repeat the warning
            return getattr(self.estimator_, name)(X, *args, **kwargs)

    ask.__name__ = name
    ask.__doc__ = f"`{name}` of the fitted estimator, with a LeakageWarning for windows that share with those of `fit`."
    return available_if(lambda self: hasattr(getattr(self, "estimator_", self.estimator), name))(ask)


class AuditedEstimator(MetaEstimatorMixin, BaseEstimator):
    """The estimator returned by `audited`, which remembers the windows on which it was fitted.

    Parameters
    ----------
    estimator : any scikit-learn estimator or pipeline; it is cloned in `fit`.

    Attributes
    ----------
    estimator_ : the fitted clone. Its other attributes (`classes_`, `n_features_in_`, …) are available on this object.
    """

    def __init__(self, estimator: Any):
        self.estimator = estimator

    def fit(self, X: Any, y: Any = None, **parameters: Any) -> AuditedEstimator:
        """Fit a clone of the estimator. `Windows` are remembered, an array is not."""
        fresh: Any = clone(self.estimator)
        self.estimator_: Any = fresh.fit(X, y, **parameters)
        remember(self, X)
        return self

    predict = _asks("predict")
    predict_proba = _asks("predict_proba")
    predict_log_proba = _asks("predict_log_proba")
    decision_function = _asks("decision_function")
    score_samples = _asks("score_samples")
    transform = _asks("transform")

    @available_if(lambda self: hasattr(self.estimator, "score"))
    def score(self, X: Any, y: Any = None, **parameters: Any) -> float:
        """`score` of the fitted estimator, with a LeakageWarning for windows that share with those of `fit`."""
        check_is_fitted(self)
        warn_of_leakage(self, X)
        with no_leakage_warning():
            return self.estimator_.score(X, y, **parameters)

    @available_if(lambda self: hasattr(self.estimator, "transform"))
    def fit_transform(self, X: Any, y: Any = None, **parameters: Any) -> Any:
        """`fit`, then `transform` of the same windows."""
        return self.fit(X, y, **parameters).estimator_.transform(X)

    @available_if(lambda self: hasattr(self.estimator, "partial_fit"))
    def partial_fit(self, X: Any, y: Any = None, **parameters: Any) -> AuditedEstimator:
        """Continue to fit on these windows."""
        again = hasattr(self, "estimator_")
        if not again:
            self.estimator_ = clone(self.estimator)
        self.estimator_.partial_fit(X, y, **parameters)
        remember(self, X, more=again)
        return self

    @available_if(lambda self: hasattr(getattr(self, "estimator_", self.estimator), "adapt"))
    def adapt(self, X: Any) -> AuditedEstimator:
        """Call `adapt` of the fitted estimator. From then on, these windows count as fitted on."""
        check_is_fitted(self)
        self.estimator_.adapt(X)
        remember(self, X, more=True)
        return self

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "estimator_" not in self.__dict__:
            raise AttributeError(
                f"{type(self).__name__} has no attribute {name!r}; fitted attributes exist after fit(X, y)"
            )
        return getattr(self.estimator_, name)

    def __sklearn_is_fitted__(self) -> bool:
        return "estimator_" in self.__dict__

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import get_tags  # only in versions of scikit-learn with tags

        return copy.deepcopy(get_tags(self.estimator))

    @property
    def _estimator_type(self) -> Any:  # for versions before 1.6
        return getattr(self.estimator, "_estimator_type", None)
