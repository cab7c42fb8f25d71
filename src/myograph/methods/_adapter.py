"""The base class of adapters: a wrapped classifier whose last step learns from later windows."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.pipeline import Pipeline
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from myograph._common.pipelines import before_last
from myograph._common.seen import no_leakage_warning, remember
from myograph.errors import ConfigError
from myograph.windows import Windows


def has_probabilities(method: Any) -> bool:
    """Whether the classifier that a method wraps has `predict_proba`."""
    return hasattr(getattr(method, "estimator_", method.estimator), "predict_proba")


class Adapter(MetaEstimatorMixin, ClassifierMixin, BaseEstimator):
    """A classifier that adapts; `estimator_` is the current version."""

    estimator: Any

    def fit(self, X: Any, y: Any = None) -> Any:
        self.estimator_ = cast(Any, clone(self.estimator)).fit(X, y)
        return self

    @property
    def classes_(self) -> np.ndarray:
        """Classes of the current estimator; after an adaptation these may be fewer than at first."""
        return np.asarray(self.estimator_.classes_)

    def adapt(self, X: Any) -> Any:
        """Learn from the windows of one finished session, without their labels."""
        raise TypeError(f"{type(self).__name__} defines no adapt(X)")

    @property
    def _last(self) -> Any:
        """The step that learns: the last step of a pipeline, or the estimator itself."""
        return self.estimator_[-1] if isinstance(self.estimator_, Pipeline) else self.estimator_

    def _before_last(self, X: Any) -> Any:
        """Return the input of the last step for these windows."""
        with no_leakage_warning():  # these windows are used to learn, not scored
            return before_last(self.estimator_, X)

    def _refit_last(self, X: Any, y: np.ndarray) -> None:
        """Fit a new last step on the output of the frozen steps."""
        self._replace_last(cast(Any, clone(self._last)).fit(X, y))

    def _replace_last(self, fresh: Any) -> None:
        if isinstance(self.estimator_, Pipeline):
            steps = [*self.estimator_.steps[:-1], (self.estimator_.steps[-1][0], fresh)]
            self.estimator_ = Pipeline(steps, memory=self.estimator_.memory)
        else:
            self.estimator_ = fresh

    def _remember(self, X: Any) -> None:
        """Store that these labelled windows were learnt from, so that a score on them gives a LeakageWarning."""
        first = self.estimator_[0] if isinstance(self.estimator_, Pipeline) else self.estimator_
        if hasattr(first, "_seen"):
            remember(first, X, more=True)

    def _table(self, X: Any) -> np.ndarray:
        """Return the (window, column) input of the last step; ConfigError if it is not a table of numbers."""
        found = self._before_last(X)
        rows = np.empty(0) if isinstance(found, Windows) else np.asarray(found, float)
        if rows.ndim != 2:
            raise ConfigError(
                f"{type(self).__name__} needs a pipeline of features and a classifier, got {type(self.estimator_).__name__}; "
                "give for example METHODS.create('lda')"
            )
        return rows

    def predict(self, X: Any) -> np.ndarray:
        """Return (window,) labels."""
        check_is_fitted(self, "estimator_")
        return np.asarray(self.estimator_.predict(X))

    def _need_probabilities(self, instead: str) -> None:
        if not hasattr(self.estimator_, "predict_proba"):
            raise ConfigError(
                f"{type(self).__name__} needs class probabilities, but {type(self._last).__name__} has no "
                f"predict_proba; {instead}"
            )

    @available_if(has_probabilities)
    def predict_proba(self, X: Any) -> np.ndarray:
        """Return (window, class) probabilities."""
        check_is_fitted(self, "estimator_")
        return np.asarray(self.estimator_.predict_proba(X))
