"""Covariance matrices of windows as vectors in the tangent space at the mean of the training windows."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from myograph._common.fitted import WindowsTransformer, as_windows
from myograph.errors import ConfigError, ShapeError, SignalError
from myograph.features.channels import shrunk_covariance, symmetric_function, symmetric_log, symmetric_vector
from myograph.windows import Windows


class TangentSpace(WindowsTransformer, BaseEstimator):
    """Map windows to tangent vectors of their channels' covariance.

    S is the covariance of a window, shrunk as in the feature LOGCOV, and M the mean of S over the training windows. The
    vector is the upper triangle of log(M^-1/2 S M^-1/2), with off-diagonal entries times sqrt(2). Near M, Euclidean
    distances between vectors approximate Riemannian distances between matrices, so a linear classifier can be used.

    A gain common to all channels, in training and in use, does not change the vectors. With `shrinkage=0`, any
    invertible mixing of the channels (other gains, another reference) only rotates them. Shrinkage depends on the scale
    of the channels and slightly breaks this invariance.

    Parameters
    ----------
    shrinkage : 0 to 1, the weight of (trace / channels) I; it must be above 0 if windows may have fewer samples than
        channels.
    mean : "riemann" is the matrix M at which the mean of log(M^-1/2 S M^-1/2) is zero. "log-euclidean" is
        exp(mean of log S), which needs one pass and no iteration.

    Attributes
    ----------
    mean_ : (channel, channel), M.
    n_features_in_, n_samples_, rates_hz_, units_ : the kind of the training windows, as in `Features`.

    Raises
    ------
    ShapeError : X is not (window, channel, time), is empty, or has other channels or another length than in `fit`.
    SignalError : NaN or infinite samples, training windows without any variance, or another rate or unit than in `fit`.
    ConfigError : an option has an invalid value, or `y` in `fit` holds only one class.

    Source: Barachant, Bonnet, Congedo & Jutten 2012, IEEE Trans. Biomed. Eng. 59(4); the mean by the fixed-point
    iteration of Moakher 2005, SIAM J. Matrix Anal. Appl. 26(3).

    Examples
    --------
    >>> windows = np.random.default_rng(0).normal(size=(20, 2, 100))
    >>> space = TangentSpace().fit(windows)
    >>> space.transform(windows).shape
    (20, 3)
    >>> list(space.get_feature_names_out())
    ['TANGENT_ch0_ch0', 'TANGENT_ch0_ch1', 'TANGENT_ch1_ch1']
    """

    def __init__(self, shrinkage: float = 0.05, mean: str = "riemann"):
        self.shrinkage = shrinkage
        self.mean = mean

    def fit(self, X: Windows | np.ndarray, y: Any = None) -> TangentSpace:
        """Learn the mean of the covariance matrices of windows: `Windows` or a (window, channel, time) array."""
        if self.mean not in ("riemann", "log-euclidean"):
            raise ConfigError(f"mean must be 'riemann' or 'log-euclidean', got {self.mean!r}")
        X = as_windows(X)
        matrices = self._matrices(X)
        if len(matrices) == 0:
            raise ShapeError("TangentSpace needs at least one training window, got none")
        power = np.trace(matrices, axis1=1, axis2=2)
        if not power.any():
            raise SignalError("all training windows are constant; is the signal recorded, and in the right unit?")
        self._learn_kind(X, y)
        matrices = matrices[power > 0]  # a window without variance would pull the mean to zero
        start = symmetric_function(symmetric_log(matrices).mean(0), np.exp, floor=-np.inf)
        self.mean_ = riemannian_mean(matrices, start) if self.mean == "riemann" else start
        return self

    def transform(self, X: Windows | np.ndarray) -> np.ndarray:
        """Return the (window, channels (channels + 1) / 2) float64 vectors."""
        check_is_fitted(self, "mean_")
        X = as_windows(X)
        matrices = self._matrices(X)
        if len(X):
            self._refuse_other(X)
        whiten = symmetric_function(self.mean_, lambda v: v**-0.5)
        return symmetric_vector(symmetric_log(whiten @ matrices @ whiten))

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the pair of channels of every column: `TANGENT_ch0_ch0`, `TANGENT_ch0_ch1`, ..."""
        check_is_fitted(self, "mean_")
        a, b = np.triu_indices(self.n_features_in_)
        return np.asarray([f"TANGENT_ch{i}_ch{j}" for i, j in zip(a, b)], dtype=object)

    def _matrices(self, X: Windows | np.ndarray) -> np.ndarray:
        batches = X.batches() if isinstance(X, Windows) else [X]
        parts = [self._shrunk(batch) for batch in batches]
        if not parts:
            return np.empty((0, X.shape[1], X.shape[1]))
        return np.concatenate(parts)

    def _shrunk(self, batch: np.ndarray) -> np.ndarray:
        return shrunk_covariance(np.ascontiguousarray(batch, dtype=np.float64), self.shrinkage)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        return tags


def riemannian_mean(matrices: np.ndarray, start: np.ndarray, tolerance: float = 1e-10, most: int = 100) -> np.ndarray:
    """Return the symmetric positive definite matrix M at which log(M^-1/2 S M^-1/2) averages to zero.

    Parameters
    ----------
    matrices : (n, c, c) symmetric positive definite matrices S.
    start : (c, c) matrix at which the iteration starts.
    tolerance : the iteration stops when the norm of that average is below it, or no longer decreases.
    most : largest number of iterations.

    >>> riemannian_mean(np.stack([np.diag([1.0, 4.0]), np.diag([4.0, 1.0])]), start=np.eye(2)).round(6)
    array([[2., 0.],
           [0., 2.]])
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
