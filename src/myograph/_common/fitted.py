"""The check of an estimator's input: what is accepted as windows, and whether it agrees with the windows in `fit`.

Every estimator over windows uses it, so that all methods refuse the same input with the same message.
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
"""Rates that differ by less than this fraction are equal, because the clocks of recorders differ by about as much."""


def as_windows(X: Any) -> Windows | np.ndarray:
    """Return X as `Windows` or as a finite (window, channel, time) array of real numbers; there may be no windows.

    Raises
    ------
    ShapeError : other axes, no channels or no samples.
    SignalError : not real numbers, or NaN or infinite samples. (The samples of a Recording have already been checked.)

    Examples
    --------
    >>> as_windows([[[1.0, -3.0, 2.0]]]).shape
    (1, 1, 3)
    >>> as_windows(np.zeros((8, 200)))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    myograph.errors.ShapeError: X must be Windows or a (window, channel, time) array, got shape (8, 200); use x[None] for ...
    """
    if hasattr(X, "recordings"):
        return X
    X = np.asarray(X)
    if X.dtype.kind not in "fiub":
        raise SignalError(f"samples must be real numbers, got an array of {X.dtype}")
    if X.ndim != 3 or 0 in X.shape[1:]:
        raise ShapeError(
            f"X must be Windows or a (window, channel, time) array, got shape {X.shape}; use x[None] for one window, "
            "x[:, None] for windows of one channel"
        )
    if not all_finite(X):
        bad = int(np.argwhere(~np.isfinite(X))[0, 0])
        raise SignalError(f"X holds NaN or infinite samples, the first in window {bad}; repair or leave it out")
    return X


def all_finite(x: np.ndarray) -> bool:
    """Return whether there is no NaN and no infinity. A single sum decides this unless it overflows.

    >>> all_finite(np.array([1.0, np.inf])), all_finite(np.array([1e308, 1e308]))
    (False, True)
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(x.dtype.kind != "f" or np.isfinite(x.sum(dtype=np.float64)) or np.isfinite(x).all())


@dataclass(frozen=True)
class Kind:
    """The kind of windows: channels, length, rates and units, as far as known.

    Parameters
    ----------
    n_channels : channels per window.
    n_samples : samples per window; None if it is unknown or windows differ in length, as bursts do.
    rates_hz : the sampling rates; empty if unknown, as for an array.
    units : the units of the samples; empty if unknown.

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
        """Return the kind of Windows, or of a (window, channel, time) array sampled at `rate_hz`.

        Raises
        ------
        ShapeError : Windows are empty, or differ in their numbers of channels.
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
        """Raise an error if windows differ in kind from those on which `who` was fitted. Unknown properties are
        ignored.

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
    n_features_in_ : channels of the windows in `fit`.
    n_samples_ : samples per window in `fit`; None if the windows differed in length.
    rates_hz_, units_ : tuples of rates and units of the windows in `fit`; empty if unknown, as for an array.
    """

    n_features_in_: int
    n_samples_: int | None
    rates_hz_: tuple[float, ...]
    units_: tuple[str, ...]

    def _learn_kind(self, X: Any, y: Any, rate_hz: float | None = None) -> Kind:
        """Remember the kind of the windows and, if there are labels, which windows they are: without labels the
        transformer is not part of a method that could be scored."""
        need_two_classes(y)
        kind = Kind.of(X, rate_hz)
        self.n_features_in_, self.n_samples_ = kind.n_channels, kind.n_samples
        self.rates_hz_, self.units_ = kind.rates_hz, kind.units
        remember(self, X if y is not None else None)
        return kind

    def _refuse_other(self, X: Any) -> None:
        """Refuse windows of another kind than in `fit`, and warn of windows that share samples with those in `fit`."""
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
            # files of earlier versions store only the number of channels
            n_samples: int | None = getattr(self, "n_samples_", None)
            rates_hz: tuple[float, ...] = getattr(self, "rates_hz_", ())
            units: tuple[str, ...] = getattr(self, "units_", ())
            Kind(self.n_features_in_, n_samples, rates_hz, units).refuse_other(kind, type(self).__name__)

    def fit_transform(self, X: Any, y: Any = None, **parameters: Any) -> Any:
        """`fit`, then `transform` of the same windows."""
        with no_leakage_warning():
            return super().fit_transform(X, y, **parameters)


def need_two_classes(y: Any) -> None:
    """Refuse labels that are all equal, with which a classifier would always predict the same class.

    None, and targets of several columns, are allowed.

    Raises
    ------
    ConfigError : there is only one class.

    Examples
    --------
    >>> need_two_classes(["fist", "fist"])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    myograph.errors.ConfigError: y holds only the class 'fist' in 2 windows, but a classifier needs two ...
    """
    y = None if y is None else np.asarray(y)
    if y is not None and y.ndim == 1 and len(y) and bool(np.all(y == y[0])):
        raise ConfigError(
            f"y holds only the class {y[:1].tolist()[0]!r} in {len(y)} windows, but a classifier needs two classes or "
            "more; choose recordings or a split with more labels"
        )
