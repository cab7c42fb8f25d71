"""Covariance matrices of windows as vectors in the tangent space at their mean over the training windows."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from myograph.errors import ConfigError, ShapeError, SignalError
from myograph.features.channels import shrunk_covariance, symmetric_function, symmetric_log, symmetric_vector
from myograph.windows import Windows


class TangentSpace(TransformerMixin, BaseEstimator):
    """Windows to tangent vectors of their channels' covariance.

    With S the covariance of a window, shrunk as in the feature LOGCOV, and M the mean of the training windows' S: the
    upper triangle of log(M^-1/2 S M^-1/2), off-diagonal entries times sqrt(2). Euclidean distances between vectors
    approximate Riemannian distances between the matrices near M, so any linear classifier follows.

    A gain common to all channels, in training and in use, leaves the vectors as they are. With `shrinkage=0` every
    invertible mixing of the channels (other gains, another reference) only rotates them; the shrinkage, which sees the
    channels' own scale, breaks that slightly.

    Parameters
    ----------
    shrinkage : 0 to 1, the weight of (trace / channels) I; above 0 where a window may have fewer samples than channels.
    mean : "riemann", the matrix M at which the mean of log(M^-1/2 S M^-1/2) is zero, or "log-euclidean",
        exp(mean of log S): one pass, and no iteration.

    Attributes
    ----------
    mean_ : (channel, channel), M.
    n_features_in_ : channels.

    Raises
    ------
    ShapeError : X is not (window, channel, time), is empty, or has other channels than in `fit`.
    SignalError : NaN or infinite samples, or training windows without any variance.
    ConfigError : an option's value does not fit.

    Source: Barachant, Bonnet, Congedo & Jutten 2012, IEEE Trans. Biomed. Eng. 59(4); the mean by the fixed-point
    iteration of Moakher 2005, SIAM J. Matrix Anal. Appl. 26(3).
    """

    def __init__(self, shrinkage: float = 0.05, mean: str = "riemann"):
        self.shrinkage = shrinkage
        self.mean = mean

    def fit(self, X: Windows | np.ndarray, y: Any = None) -> TangentSpace:
        """Learn the mean of the windows' covariance matrices."""
        if self.mean not in ("riemann", "log-euclidean"):
            raise ConfigError(f"mean is 'riemann' or 'log-euclidean', got {self.mean!r}")
        matrices = self._matrices(X)
        if len(matrices) == 0:
            raise ShapeError("TangentSpace needs at least one training window, got none")
        power = np.trace(matrices, axis1=1, axis2=2)
        if not power.any():
            raise SignalError("all training windows are constant; is the signal recorded, and in the right unit?")
        matrices = matrices[power > 0]  # a window without variance has no direction: it would drag the mean to zero
        start = symmetric_function(symmetric_log(matrices).mean(0), np.exp, floor=-np.inf)
        self.mean_ = riemannian_mean(matrices, start) if self.mean == "riemann" else start
        self.n_features_in_ = matrices.shape[1]
        return self

    def transform(self, X: Windows | np.ndarray) -> np.ndarray:
        """(window, channels (channels + 1) / 2) float64."""
        check_is_fitted(self, "mean_")
        matrices = self._matrices(X)
        if matrices.shape[1] != self.n_features_in_:
            raise ShapeError(f"X has {matrices.shape[1]} channels, TangentSpace was fitted on {self.n_features_in_}")
        whiten = symmetric_function(self.mean_, lambda v: v**-0.5)
        return symmetric_vector(symmetric_log(whiten @ matrices @ whiten))

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """`TANGENT_ch0_ch0`, `TANGENT_ch0_ch1`, ..: the pair of channels of every column."""
        check_is_fitted(self, "mean_")
        a, b = np.triu_indices(self.n_features_in_)
        return np.asarray([f"TANGENT_ch{i}_ch{j}" for i, j in zip(a, b)], dtype=object)

    def _matrices(self, X: Windows | np.ndarray) -> np.ndarray:
        batches = X.batches() if isinstance(X, Windows) else [np.asarray(X)]
        parts = [self._shrunk(batch) for batch in batches]
        if not parts:
            return np.empty((0, X.shape[1], X.shape[1]))
        return np.concatenate(parts)

    def _shrunk(self, batch: np.ndarray) -> np.ndarray:
        if batch.ndim != 3 or batch.shape[2] == 0:
            raise ShapeError(f"X is (window, channel, time), got an array of shape {batch.shape}")
        if not np.isfinite(batch).all():
            raise SignalError("samples are NaN or infinite; repair or drop these windows first")
        return shrunk_covariance(np.ascontiguousarray(batch, dtype=np.float64), self.shrinkage)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        return tags


def riemannian_mean(matrices: np.ndarray, start: np.ndarray, tolerance: float = 1e-10, most: int = 100) -> np.ndarray:
    """The symmetric positive matrix M at which log(M^-1/2 S M^-1/2) averages to zero.

    matrices: (n, c, c), start: (c, c) -> (c, c). Stops when that average is below `tolerance`, or no longer shrinks.
    """
    mean, step, last = start, 1.0, np.inf
    for _ in range(most):
        root, whiten = symmetric_function(mean, np.sqrt), symmetric_function(mean, lambda v: v**-0.5)
        average = symmetric_log(whiten @ matrices @ whiten).mean(0)
        size = np.linalg.norm(average)
        if size < tolerance:
            break
        step = step if size < last else step / 2
        if step < 1e-3:
            break
        last = min(last, size)
        mean = root @ symmetric_function(step * average, np.exp, floor=-np.inf) @ root
        mean = (mean + mean.T) / 2
    return mean
