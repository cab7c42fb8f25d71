"""Access to the steps of scikit-learn pipelines."""

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
