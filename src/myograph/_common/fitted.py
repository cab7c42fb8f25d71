"""What estimators accept as windows, the kind of windows that one was fitted on, and the refusal of another kind.

Every estimator that takes windows calls this, so that all methods refuse the same input with the same words.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import TransformerMixin

from myograph._common.columns import distinct
from myograph._common.seen import no_leakage_warning, remember, warn_of_leakage
from myograph.errors import ConfigError, ShapeError, SignalError

if TYPE_CHECKING:
    from myograph.windows import Windows

SAME_RATE = 1e-3
"""Rates that differ by less than this share are the same: clocks of recorders differ by about as much."""


def as_windows(X: Any) -> Windows | np.ndarray:
    """Return X as `Windows` or as a finite (window, channel, time) array of real numbers; there may be no windows.

    Raises
    ------
    ShapeError : other axes, no channels or no samples.
    SignalError : not real numbers, or NaN or infinite samples. A Recording has checked its samples already.

    Examples
    --------
    >>> as_windows([[[1.0, -3.0, 2.0]]]).shape
    (1, 1, 3)
    >>> as_windows(np.zeros((8, 200)))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    myograph.errors.ShapeError: X is Windows or a (window, channel, time) array, got shape (8, 200); use x[None] for ...
    """
    if hasattr(X, "recordings"):
        return X
    X = np.asarray(X)
    if X.dtype.kind not in "fiub":
        raise SignalError(f"samples are real numbers, got an array of {X.dtype}")
    if X.ndim != 3 or 0 in X.shape[1:]:
        raise ShapeError(
            f"X is Windows or a (window, channel, time) array, got shape {X.shape}; use x[None] for one window, "
            "x[:, None] for windows of one channel"
        )
    if not all_finite(X):
        bad = int(np.argwhere(~np.isfinite(X))[0, 0])
        raise SignalError(f"X holds NaN or infinite samples, the first in window {bad}; repair or leave it out")
    return X


def all_finite(x: np.ndarray) -> bool:
    """Whether there is no NaN and no infinity. One sum shows this unless it overflows.

    >>> all_finite(np.array([1.0, np.inf])), all_finite(np.array([1e308, 1e308]))
    (False, True)
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(x.dtype.kind != "f" or np.isfinite(x.sum(dtype=np.float64)) or np.isfinite(x).all())


@dataclass(frozen=True)
class Kind:
    """The kind of some windows, as far as it is known.

    Parameters
    ----------
    n_channels : channels per window.
    n_samples : samples per window; None where the windows differ in length, as bursts do, or it is unknown.
    rates_hz : the sampling rates; empty where they are unknown, as those of an array are.
    units : the units of the samples; empty where they are unknown.

    Examples
    --------
    >>> from myograph.windows import Windows
    >>> from myograph.recording import Recording
    >>> windows = Windows.cut(Recording(np.zeros((2, 2000)), rate_hz=2000, label=np.zeros(2000, int), subject="1"))
    >>> fitted = Kind.of(windows)
    >>> fitted
    Kind(n_channels=2, n_samples=400, rates_hz=(2000.0,), units=('uV',))
    >>> fitted.refuse_other(Kind.of(np.zeros((7, 3, 400))), "this method")
    Traceback (most recent call last):
    myograph.errors.ShapeError: this method was fitted on windows of 2 channels, got 3; select the channels as for fitting
    """

    n_channels: int
    n_samples: int | None = None
    rates_hz: tuple[float, ...] = ()
    units: tuple[str, ...] = ()

    @classmethod
    def of(cls, X: Any, rate_hz: float | None = None) -> Kind:
        """The kind of a Windows, or of a (window, channel, time) array sampled at `rate_hz`.

        Raises
        ------
        ShapeError : there are no windows in a Windows, or they differ in their numbers of channels.
        """
        if not hasattr(X, "recordings"):
            return cls(int(X.shape[1]), int(X.shape[2]), () if rate_hz is None else (float(rate_hz),))
        n_channels = int(X.n_channels)
        lengths = distinct(X.column("stop") - X.column("start"))
        recordings = [X.recordings[i] for i in distinct(X.column("recording"))]
        rates = tuple(sorted({float(r.rate_hz) for r in recordings}))
        units = tuple(sorted({str(r.unit) for r in recordings}))
        return cls(n_channels, int(lengths[0]) if len(lengths) == 1 else None, rates, units)

    def refuse_other(self, given: Kind, who: str) -> None:
        """Raise an error where windows differ in kind from those that `who` was fitted on. What is unknown is allowed.

        Raises
        ------
        ShapeError : another number of channels, or another length of window.
        SignalError : another rate, or another unit.
        """
        if given.n_channels != self.n_channels:
            raise ShapeError(
                f"{who} was fitted on windows of {self.n_channels} channels, got {given.n_channels}; select the channels "
                "as for fitting"
            )
        for rate in given.rates_hz:
            if self.rates_hz and not any(math.isclose(rate, known, rel_tol=SAME_RATE) for known in self.rates_hz):
                raise SignalError(
                    f"{who} was fitted at {_listed([f'{r:g}' for r in self.rates_hz])} Hz, got {rate:g} Hz; resample the "
                    "recordings to the rate of fitting, or fit at their rate"
                )
        for unit in given.units:
            if self.units and unit not in self.units:
                raise SignalError(
                    f"{who} was fitted on samples in {_listed(self.units)}, got samples in {unit}; convert the recordings "
                    "to the unit of fitting, or fit in their unit"
                )
        if self.n_samples is not None and given.n_samples != self.n_samples:
            found = "several lengths" if given.n_samples is None else f"{given.n_samples} samples"
            raise ShapeError(
                f"{who} was fitted on windows of {self.n_samples} samples, got windows of {found}; cut the windows as for "
                "fitting"
            )


def _listed(names: Any) -> str:
    return " or ".join(names)


class WindowsTransformer(TransformerMixin):
    """The base class of transformers of windows. `fit` calls `_learn_kind`, and `transform` calls `_refuse_other`.

    Attributes
    ----------
    n_features_in_ : channels of the windows that it was fitted on.
    n_samples_ : their samples; None where they differ in length.
    rates_hz_, units_ : tuples of their rates and units; empty where these are unknown, as those of an array are.
    """

    n_features_in_: int
    n_samples_: int | None
    rates_hz_: tuple[float, ...]
    units_: tuple[str, ...]

    def _learn_kind(self, X: Any, y: Any, rate_hz: float | None = None) -> Kind:
        """Remember the kind of the windows, and where labels come with them, which windows they are: without labels it
        is not a part of a method that could be scored."""
        need_two_classes(y)
        kind = Kind.of(X, rate_hz)
        self.n_features_in_, self.n_samples_ = kind.n_channels, kind.n_samples
        self.rates_hz_, self.units_ = kind.rates_hz, kind.units
        remember(self, X if y is not None else None)
        return kind

    def _refuse_other(self, X: Any) -> None:
        """Refuse windows of another kind than `fit` saw, and warn of those that share samples with them."""
        self.refuse_other(Kind.of(X))
        warn_of_leakage(self, X)

    def refuse_other(self, kind: Kind) -> None:
        """Raise ShapeError or SignalError if windows of this kind differ from those in `fit`; before `fit` do nothing.

        >>> from myograph import Features
        >>> features = Features("MAV").fit(np.zeros((1, 2, 100)))
        >>> features.refuse_other(Kind.of(np.zeros((1, 2, 100))))
        >>> features.refuse_other(Kind.of(np.zeros((1, 8, 100))))  # doctest: +IGNORE_EXCEPTION_DETAIL
        Traceback (most recent call last):
        myograph.errors.ShapeError: ...
        """
        if hasattr(self, "n_features_in_"):
            # Files of earlier versions store only the channels.
            n_samples: int | None = getattr(self, "n_samples_", None)
            rates_hz: tuple[float, ...] = getattr(self, "rates_hz_", ())
            units: tuple[str, ...] = getattr(self, "units_", ())
            Kind(self.n_features_in_, n_samples, rates_hz, units).refuse_other(kind, type(self).__name__)

    def fit_transform(self, X: Any, y: Any = None, **parameters: Any) -> Any:
        """`fit`, then `transform` of the same windows."""
        with no_leakage_warning():
            return super().fit_transform(X, y, **parameters)


def need_two_classes(y: Any) -> None:
    """Refuse labels that are all the same: a classifier would answer that class to everything.

    None, and targets of several columns, are allowed.

    Raises
    ------
    ConfigError : there is one class.

    Examples
    --------
    >>> need_two_classes(["fist", "fist"])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    myograph.errors.ConfigError: y holds the one class 'fist' in 2 windows, and a classifier needs two classes or more; ...
    """
    y = None if y is None else np.asarray(y)
    if y is not None and y.ndim == 1 and len(y) and bool(np.all(y == y[0])):
        raise ConfigError(
            f"y holds the one class {y[:1].tolist()[0]!r} in {len(y)} windows, and a classifier needs two classes or "
            "more; choose recordings or a split with more labels"
        )
