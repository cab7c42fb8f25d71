"""Named methods: unfitted scikit-learn estimators that take windows. Every network is one too."""

from __future__ import annotations

from myograph._common.lazy import attach

_HOME_OF = {
    "METHODS": "registry",
    "LogScale": "classical",
    "ProductOfViews": "classical",
    "SHAPE": "classical",
    "SoftSVC": "classical",
    "TIME_DOMAIN": "classical",
    "knn": "classical",
    "lda": "classical",
    "lda_svm": "classical",
    "random_forest": "classical",
    "svm": "classical",
}
__all__ = [*_HOME_OF]  # pyright: ignore[reportUnsupportedDunderAll]
__getattr__, __dir__ = attach(__name__, _HOME_OF)
