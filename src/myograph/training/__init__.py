"""Training of networks: scikit-learn estimators, the training loop, augmentation, transfer learning."""

from __future__ import annotations

from myograph._common.lazy import attach

_HOME_OF = {
    "FeatureImitatingNet": "imitation",
    "FeatureImitation": "imitation",
    "LayerwiseAutoencoder": "transfer",
    "NeuralClassifier": "estimator",
    "NeuralRegressor": "estimator",
    "adapt_batch_norm": "transfer",
    "fine_tune": "transfer",
    "layerwise_lr": "transfer",
    "progressive": "transfer",
}
__all__ = [*_HOME_OF]  # pyright: ignore[reportUnsupportedDunderAll]
__getattr__, __dir__ = attach(__name__, _HOME_OF)
