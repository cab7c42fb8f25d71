"""The scikit-learn transformer of features; it takes Windows or (window, channel, time) arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from myograph._common.fitted import WindowsTransformer, as_windows
from myograph.errors import ConfigError, ShapeError
from myograph.features._fast.extract import extract, sources
from myograph.features._fast.plan import requests
from myograph.features.stream import FeatureStream
from myograph.windows import Windowing, Windows


class Features(WindowsTransformer, BaseEstimator):
    """Turn windows into a table of features with one row per window.

    Nothing is learnt from the data, and a row depends on its window alone. Overlapping windows of a recording share
    computations if the feature allows it.

    Parameters
    ----------
    names : names of features or of groups ("HTD"), see `myograph.features.FEATURES`; case does not matter.
    options : parameters of single features, `{"AR": {"order": 6}}`.
    rate_hz : sampling rate in Hz, for features that need one when X is an array; Windows have their own.
    threshold : threshold, in the signal's unit, of all features that have one (ZC, SSC, WAMP, ...) unless `options`
        sets it; None keeps the features' defaults.
    n_jobs : number of threads; -1 means one per processor.

    Attributes
    ----------
    n_features_in_ : number of channels of the windows in `fit`.
    n_samples_ : number of samples per window in `fit`; None if the windows differ in length.
    rates_hz_, units_ : tuples of the rates and units of the windows in `fit`; empty if unknown, as for an array.
    rate_hz_ : the common rate of the windows in `fit`, used for arrays if `rate_hz` is None; None if there was no
        single known rate.

    After `fit`, `transform` refuses windows with other channels, length, rate or unit. Windows of any length are
    allowed if those in `fit` differed in length. In a method (fitted with `y`), windows that share samples or a repetition with those of `fit`
    give a LeakageWarning.

    Raises
    ------
    UnknownNameError : a name that is neither a feature nor a group, or an option that the feature does not have.
    ShapeError : X is not (window, channel, time), its windows have other channels or another length than in `fit`, or
        are too short.
    SignalError : NaN or infinite samples, or another rate or unit than in `fit`.
    ConfigError : an option has an invalid value, a rate is needed but unknown, or `y` in `fit` holds only one class.

    Examples
    --------
    >>> x = np.array([[[1.0, -3.0, 2.0], [0.0, 0.0, 6.0]]])  # one window of two channels
    >>> features = Features(["MAV", "WL"]).fit(x)
    >>> features.transform(x)
    array([[2., 2., 9., 6.]])
    >>> list(features.get_feature_names_out())
    ['MAV_ch0', 'MAV_ch1', 'WL_ch0', 'WL_ch1']
    >>> stream = features.stream(rate_hz=1000, n_channels=2, windowing=Windowing(length_ms=3, step_ms=1))
    >>> stream.push(x[0])
    array([[2., 2., 9., 6.]])
    """

    def __init__(
        self,
        names: str | Sequence[str] = ("MAV", "WL", "ZC", "SSC"),
        options: Mapping[str, Mapping[str, Any]] | None = None,
        rate_hz: float | None = None,
        threshold: float | None = None,
        n_jobs: int = 1,
    ):
        self.names = names
        self.options = options
        self.rate_hz = rate_hz
        self.threshold = threshold
        self.n_jobs = n_jobs

    def fit(self, X: Windows | np.ndarray, y: Any = None) -> Features:
        """Check the parameters and remember the kind of the windows: channels, length, rates and units."""
        X = as_windows(X)
        wanted = self._requests()
        kind = self._learn_kind(X, y, self.rate_hz)
        one_rate = kind.rates_hz[0] if len(kind.rates_hz) == 1 else None
        self.rate_hz_ = self.rate_hz if self.rate_hz is not None else one_rate
        # With several rates, columns are named for the first; `transform` refuses rates with other numbers of columns.
        rate_hz = next(X.by_recording())[0].rate_hz if isinstance(X, Windows) and len(X) else self.rate_hz_
        self._columns = [c for r in wanted for c in r.columns(self.n_features_in_, rate_hz)]
        return self

    def transform(self, X: Windows | np.ndarray) -> np.ndarray:
        """Return (window, column) float64: features in the order of `names`, then their outputs, then channels."""
        X = as_windows(X)
        parts = sources(X, self.rate_hz if self.rate_hz is not None else getattr(self, "rate_hz_", None))
        self._refuse_other(X)
        return extract(parts, self._requests(), len(X), self.n_jobs)

    def stream(self, rate_hz: float, n_channels: int, windowing: Windowing | None = None) -> FeatureStream:
        """Return a stream that computes the same features of a live signal: `push(chunk)` returns the rows of completed
        windows.

        Samples are (channel, time) and are converted to float64. The grid of windows starts at the first sample. The
        argument `rate_hz` is used, not the rate of this object.
        """
        return FeatureStream(self._requests(), float(rate_hz), n_channels, windowing or Windowing())

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the columns: `MAV_ch0`, and numbered for a feature with several outputs: `AR.0_ch0`."""
        check_is_fitted(self, "n_features_in_")
        if input_features is not None and len(input_features) != self.n_features_in_:
            raise ShapeError(f"input_features names {len(input_features)} channels, there are {self.n_features_in_}")
        return np.asarray(self._columns, dtype=object)

    def _requests(self):
        if not isinstance(self.n_jobs, (int, np.integer)) or self.n_jobs == 0:
            raise ConfigError(f"n_jobs must be a number of threads, or -1 for all processors, got {self.n_jobs!r}")
        return requests(self.names, self.options, self.threshold)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        return tags
