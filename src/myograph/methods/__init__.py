"""Named methods: unfitted scikit-learn estimators over windows. Every network is also a method.

>>> from myograph.methods import METHODS
>>> METHODS.create("svm", C=1.0, features=["MAV", "WL"])["classify"].C
1.0
>>> "myonet" in METHODS
True
"""

from __future__ import annotations

from myograph._common.lazy import attach

_HOME_OF = {
    "METHODS": "registry",
    "AlignedLDA": "aligned",
    "Calibrated": "calibrated",
    "CalibratedLDA": "calibrated",
    "FastLDA": "_discriminant",
    "LogScale": "_pipeline",
    "ProductOfViews": "views",
    "SHAPE": "views",
    "SoftSVC": "kernel",
    "TIME_DOMAIN": "_pipeline",
    "aligned_lda": "aligned",
    "knn": "neighbours",
    "lda": "linear",
    "lda_svm": "views",
    "random_forest": "forest",
    "svm": "kernel",
}
__all__ = [*_HOME_OF]  # pyright: ignore[reportUnsupportedDunderAll]
__getattr__, __dir__ = attach(__name__, _HOME_OF)
