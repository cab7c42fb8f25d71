"""Histograms of samples over bins that are learnt from the training windows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from myograph._common.fitted import as_windows
from myograph.features.amplitude import hist
from myograph.windows import Windows


class TrainHistogram(TransformerMixin, BaseEstimator):
    """HIST with bins learnt from training windows: number of samples of a window in each of `bins` equal bins per
    channel.

    The bins cover the channel's mean +- 3 standard deviations over the training windows. This keeps the information
    about the amplitude. `transform` turns windows into (window, channel x bin) counts.

    Source: Atzori et al. 2014, doi:10.1038/sdata.2014.53, who do not say over which samples their sigma is computed.

    Parameters
    ----------
    bins : number of bins per channel.

    Attributes
    ----------
    mean_, sigma_ : (channel,) mean and standard deviation of the training samples.

    Examples
    --------
    >>> windows = np.random.default_rng(0).standard_normal((10, 2, 100))
    >>> TrainHistogram(bins=20).fit(windows).transform(windows).shape
    (10, 40)
    """

    def __init__(self, bins: int = 20):
        self.bins = bins

    def fit(self, X: Windows | np.ndarray, y: Any = None) -> TrainHistogram:
        """Learn the mean and standard deviation of each channel from `Windows` or a (window, channel, time) array."""
        count, first, second = 0, 0.0, 0.0
        for x in _batches(X):
            count += x.shape[0] * x.shape[2]
            first, second = first + x.sum((0, 2)), second + np.square(x).sum((0, 2))
        self.mean_ = np.asarray(first / count)
        self.sigma_ = np.sqrt(np.maximum(second / count - np.square(self.mean_), 0.0))
        return self

    def transform(self, X: Windows | np.ndarray) -> np.ndarray:
        """Return (window, channel x bin) counts; NotFittedError before `fit`."""
        check_is_fitted(self)
        parts = [hist(x, bins=self.bins, sigma=self.sigma_, centre=self.mean_[:, None]) for x in _batches(X)]
        return np.concatenate(parts).reshape(len(X), -1)


def _batches(X: Windows | np.ndarray) -> Iterator[np.ndarray]:
    X = as_windows(X)
    for x in X.batches() if isinstance(X, Windows) else [X]:
        yield x.astype(np.float64)
