"""Access to the parts of methods: the steps of pipelines, and what wrapped estimators read."""

from __future__ import annotations

from typing import Any


def before_last(model: Any, X: Any) -> Any:
    """Return the input of the last step of a fitted pipeline for these windows; `X` itself if there is no earlier step.

    The steps are called in turn, because `Pipeline.transform` refuses a pipeline of steps that learn nothing as not
    fitted.

    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import FunctionTransformer
    >>> before_last(make_pipeline(FunctionTransformer(np.abs), LogisticRegression()), np.array([[-1.0]]))
    array([[1.]])
    """
    from sklearn.pipeline import Pipeline

    if isinstance(model, Pipeline):
        for _, step in model.steps[:-1]:
            if step is not None and step != "passthrough":
                X = step.transform(X)
    return X


def past_ms(estimator: Any) -> float:
    """Return how far before its windows a method reads samples, in ms: the largest `past_ms` of its parts.

    Of myograph's methods only `Smoothed` reads such samples. A user's class that does so states it as an attribute
    `past_ms`; the samples are otherwise hidden from it.

    >>> from myograph.methods import METHODS
    >>> past_ms(METHODS.create("smoothed")), past_ms(METHODS.create("lda"))
    (500.0, 0.0)
    """
    parts = [estimator, *(estimator.get_params(deep=True).values() if hasattr(estimator, "get_params") else [])]
    given = [getattr(part, "past_ms", 0.0) for part in parts if not isinstance(part, type)]
    return max(float(value) for value in [0.0, *given] if isinstance(value, (int, float)))
