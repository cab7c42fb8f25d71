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
    "AdaBN": "adapt",
    "AlignedLDA": "aligned",
    "CORAL": "correlation",
    "Calibrated": "calibrated",
    "CalibratedLDA": "calibrated",
    "FastLDA": "_discriminant",
    "LogScale": "_pipeline",
    "PersonExperts": "experts",
    "PriorWeightedLDA": "prior_weighted",
    "ProductOfViews": "views",
    "Prototypes": "few_shot",
    "Recentred": "recentring",
    "SHAPE": "views",
    "Smoothed": "smoothing",
    "SoftSVC": "kernel",
    "TIME_DOMAIN": "_pipeline",
    "adabn": "adapt",
    "aligned_lda": "aligned",
    "coral": "correlation",
    "knn": "neighbours",
    "lda": "linear",
    "lda_svm": "views",
    "person_experts": "experts",
    "prior_weighted_lda": "prior_weighted",
    "prototypes": "few_shot",
    "random_forest": "forest",
    "recentred": "recentring",
    "smoothed": "smoothing",
    "svm": "kernel",
}
__all__ = [*_HOME_OF]  # pyright: ignore[reportUnsupportedDunderAll]
__getattr__, __dir__ = attach(__name__, _HOME_OF)
