"""Filters of second-order sections: Butterworth low-, high- and band-pass, notch, mains comb."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy

from myograph.errors import ConfigError
from myograph.preprocessing.base import FILTERS, Filter, Push, check_below_nyquist, check_positive, check_whole
from myograph.recording import Layout

ENERGY = 0.99  # fraction of the impulse response's energy within a filter's reach
LONGEST = 1 << 24  # longest impulse response that is computed; the reach of a longer one follows from its slowest pole


class SectionsFilter(Filter):
    """Base class of filters of second-order sections; a new filter only defines `sections(rate_hz)`.

    The initial state is the steady state for the first sample, so that an electrode's offset causes no step response.

    >>> class Half(SectionsFilter):
    ...     def sections(self, rate_hz):
    ...         return np.array([[0.5, 0, 0, 1, 0, 0]])
    >>> Half().stream(1000.0, 1).push(np.array([[2.0, 4.0]]))
    array([[1., 2.]])
    """

    def sections(self, rate_hz: float) -> np.ndarray:
        """Return the (section, 6) coefficients for a sampling rate, in the form of `scipy.signal.sosfilt`."""
        raise NotImplementedError

    def reach_samples(self, rate_hz: float) -> int:
        response, slowest = impulse_response(self.sections(rate_hz))
        return holding(np.square(response)) if response is not None else decay(slowest, math.sqrt(1 - ENERGY))

    def _start(self, rate_hz: float, n_channels: int, layout: Layout | None) -> Push:
        from myograph._common.simd import as_signal
        from myograph.preprocessing._section_kernel import filter_sections

        sos = np.ascontiguousarray(self.sections(rate_hz), np.float64)
        steady = np.asarray(scipy.signal.sosfilt_zi(sos))
        state: np.ndarray | None = None

        def push(x: np.ndarray) -> np.ndarray:
            nonlocal state
            if state is None:
                state = steady * x[:, :1, None].astype(np.float64)
            return filter_sections(sos, as_signal(x), state)

        return push


def impulse_response(sos: np.ndarray) -> tuple[np.ndarray | None, float]:
    """Return the impulse response of (section, 6) coefficients, and the magnitude of the slowest pole.

    The response ends when its slowest part has decayed to a millionth. It is None if it is longer than LONGEST samples.

    >>> response, slowest = impulse_response(np.array([[1.0, 0, 0, 1, -0.5, 0]]))
    >>> response[:3], slowest
    (array([1.  , 0.5 , 0.25]), 0.5)
    """
    slowest = float(np.abs(np.asarray(scipy.signal.sos2zpk(sos)[1])).max())
    n = decay(slowest, 1e-6)
    if n > LONGEST:
        return None, slowest
    unit = np.zeros(n + 1)
    unit[0] = 1
    return np.asarray(scipy.signal.sosfilt(sos, unit)), slowest


def decay(pole: float, to: float) -> int:
    """Return the number of samples after which powers of a pole's magnitude have decayed to the fraction `to`.

    >>> decay(pole=0.5, to=0.125)
    3
    """
    return math.ceil(math.log(to) / math.log(pole)) if pole > 0 else 0


def holding(energy: np.ndarray) -> int:
    """Return the first index up to which the values contain the fraction ENERGY of their sum.

    >>> holding(np.array([50.0, 49.5, 0.5]))
    1
    """
    total = np.cumsum(energy)
    return int(np.searchsorted(total, ENERGY * total[-1]))


@FILTERS.register("low_pass")
@dataclass(frozen=True)
class LowPass(SectionsFilter):
    """Butterworth low-pass filter with half power at `cutoff_hz`.

    Raises
    ------
    ConfigError : `cutoff_hz` is not positive, `order` is not a whole number from 1, or (when it is applied) the
        cutoff is not below half the sampling rate.

    >>> LowPass(40.0, order=2).sections(1000.0).shape
    (1, 6)
    """

    cutoff_hz: float
    order: int = 4

    def __post_init__(self) -> None:
        check_positive(self, cutoff_hz=self.cutoff_hz)
        check_whole(self, order=self.order)

    def sections(self, rate_hz: float) -> np.ndarray:
        check_below_nyquist(self, self.cutoff_hz, rate_hz)
        return np.asarray(scipy.signal.butter(self.order, self.cutoff_hz, "lowpass", fs=rate_hz, output="sos"))


@FILTERS.register("high_pass")
@dataclass(frozen=True)
class HighPass(SectionsFilter):
    """Butterworth high-pass filter with half power at `cutoff_hz`; errors as for `LowPass`.

    >>> stream = HighPass(20.0).stream(rate_hz=1000.0, n_channels=1)
    >>> bool(abs(stream.push(np.full((1, 5), 9000.0))).max() < 1e-6)  # an offset is removed from the first sample on
    True
    """

    cutoff_hz: float
    order: int = 4

    def __post_init__(self) -> None:
        check_positive(self, cutoff_hz=self.cutoff_hz)
        check_whole(self, order=self.order)

    def sections(self, rate_hz: float) -> np.ndarray:
        check_below_nyquist(self, self.cutoff_hz, rate_hz)
        return np.asarray(scipy.signal.butter(self.order, self.cutoff_hz, "highpass", fs=rate_hz, output="sos"))


@FILTERS.register("band_pass")
@dataclass(frozen=True)
class BandPass(SectionsFilter):
    """Butterworth band-pass filter with half power at `low_hz` and `high_hz`; each edge has the given order.

    Raises
    ------
    ConfigError : as for `LowPass`, or `low_hz` is not below `high_hz`.

    >>> BandPass(20.0, 450.0, order=4).sections(2000.0).shape
    (4, 6)
    """

    low_hz: float = 20.0
    high_hz: float = 450.0
    order: int = 4

    def __post_init__(self) -> None:
        check_positive(self, low_hz=self.low_hz, high_hz=self.high_hz)
        check_whole(self, order=self.order)
        if self.low_hz >= self.high_hz:
            raise ConfigError(f"BandPass: low_hz must be below high_hz, got {self.low_hz:g} and {self.high_hz:g}")

    def sections(self, rate_hz: float) -> np.ndarray:
        check_below_nyquist(self, self.high_hz, rate_hz)
        return np.asarray(
            scipy.signal.butter(self.order, (self.low_hz, self.high_hz), "bandpass", fs=rate_hz, output="sos")
        )


@FILTERS.register("notch")
@dataclass(frozen=True)
class Notch(SectionsFilter):
    """Notch filter that removes one frequency; its width at half power is `frequency_hz / q`.

    Raises
    ------
    ConfigError : a value is not positive, or (when it is applied) the frequency or the width is not below half the
        sampling rate.

    >>> Notch(50.0, q=30.0).sections(1000.0).shape
    (1, 6)
    """

    frequency_hz: float = 50.0
    q: float = 30.0

    def __post_init__(self) -> None:
        check_positive(self, frequency_hz=self.frequency_hz, q=self.q)

    def sections(self, rate_hz: float) -> np.ndarray:
        check_below_nyquist(self, self.frequency_hz, rate_hz)
        width_hz = self.frequency_hz / self.q
        if width_hz >= rate_hz / 2:  # its poles would be outside the unit circle
            raise ConfigError(
                f"{self}: a notch of {width_hz:g} Hz width is too wide for a rate of {rate_hz:g} Hz; choose q above "
                f"{self.frequency_hz / (rate_hz / 2):.3g}"
            )
        return scipy.signal.tf2sos(*scipy.signal.iirnotch(self.frequency_hz, self.q, fs=rate_hz))


@FILTERS.register("mains_comb")
@dataclass(frozen=True)
class MainsComb(SectionsFilter):
    """One notch at the mains frequency and one at each harmonic up to `up_to_hz`; None means half the rate.

    All notches have the same width at half power, `frequency_hz / q`. A true comb filter would need a sampling rate
    that is a multiple of the mains frequency.

    Raises
    ------
    ConfigError : as for `Notch`, or `up_to_hz` is below the mains frequency.

    >>> len(MainsComb(50.0, up_to_hz=150.0).sections(1000.0))
    3
    """

    frequency_hz: float = 50.0
    q: float = 30.0
    up_to_hz: float | None = None

    def __post_init__(self) -> None:
        check_positive(self, frequency_hz=self.frequency_hz, q=self.q)
        if self.up_to_hz is not None and not self.up_to_hz >= self.frequency_hz:
            raise ConfigError(
                f"MainsComb: up_to_hz must be at least the mains frequency, {self.frequency_hz:g} Hz; got "
                f"{self.up_to_hz}"
            )

    def sections(self, rate_hz: float) -> np.ndarray:
        check_below_nyquist(self, self.frequency_hz, rate_hz)
        limit = math.inf if self.up_to_hz is None else self.up_to_hz
        harmonics, k = [], 1
        while k * self.frequency_hz < rate_hz / 2 and k * self.frequency_hz <= limit:
            harmonics.append(Notch(k * self.frequency_hz, k * self.q).sections(rate_hz))
            k += 1
        return np.concatenate(harmonics)
