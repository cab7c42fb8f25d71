"""Changes of the sampling rate, and filters without delay for offline use."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar, cast

import numpy as np
import scipy

from myograph.errors import ConfigError
from myograph.preprocessing.base import FILTERS, Filter, FilterStream, Push, check_positive
from myograph.preprocessing.sections import ENERGY, SectionsFilter, decay, holding, impulse_response
from myograph.recording import Layout, Recording


@FILTERS.register("resample")
@dataclass(frozen=True)
class Resample(Filter):
    """Change the sampling rate with a linear-phase polyphase filter.

    The filter is that of `scipy.signal.resample_poly`: Kaiser window, 10 zero crossings per side. The output lags by
    `delay_ms(rate_hz)`, half the filter's length; `ZeroPhase(Resample(...))` is the same filter without the lag, for
    recordings. Labels and repetitions are those of the nearest input sample and are not delayed.

    Parameters
    ----------
    rate_hz : sampling rate of the output.

    Raises
    ------
    ConfigError : `rate_hz` is not positive, or (when applied) is not a ratio of whole numbers up to 2000 of the input
        rate.

    >>> Resample(200.0).ratio(1000.0), Resample(200.0).delay_ms(1000.0)
    ((1, 5), 50.0)
    """

    rate_hz: float

    def __post_init__(self) -> None:
        check_positive(self, rate_hz=self.rate_hz)

    def ratio(self, rate_hz: float) -> tuple[int, int]:
        """Return (up, down): the ratio of the output rate to the given rate in whole numbers."""
        for largest in (10, 100, 1000, 2000):  # the simplest ratio that fits, since rates in files are rounded
            ratio = Fraction(self.rate_hz / rate_hz).limit_denominator(largest)
            if ratio and abs(float(ratio) * rate_hz / self.rate_hz - 1) <= 1e-6:
                break
        else:
            raise ConfigError(
                f"{self}: no ratio of whole numbers up to 2000 leads from {rate_hz:g} Hz to {self.rate_hz:g} Hz; "
                f"the nearest is {float(ratio) * rate_hz:.6f} Hz"
            )
        return ratio.numerator, ratio.denominator

    def taps(self, rate_hz: float) -> np.ndarray:
        """Return the (tap,) anti-alias filter at `up` times the given rate, with gain 1 at 0 Hz.

        >>> float(Resample(200.0).taps(1000.0).sum().round(6))
        1.0
        """
        widest = max(self.ratio(rate_hz))
        if widest == 1:
            return np.ones(1)
        kaiser = cast(Any, ("kaiser", 5.0))  # SciPy declares `window` as str but documents tuples as well
        return np.asarray(scipy.signal.firwin(20 * widest + 1, 1 / widest, window=kaiser))

    def delay_ms(self, rate_hz: float) -> float:
        """Return the delay of the output for input of the given rate."""
        return len(self.taps(rate_hz)) // 2 / (self.ratio(rate_hz)[0] * rate_hz) * 1000

    def output_rate_hz(self, rate_hz: float) -> float:
        return float(self.rate_hz)

    def reach_samples(self, rate_hz: float) -> int:
        """Return the exact reach: the whole length of the anti-alias filter."""
        return -(-(len(self.taps(rate_hz)) - 1) // self.ratio(rate_hz)[0])

    def _apply(self, recording: Recording) -> Recording:
        stream = self.stream(recording.rate_hz, recording.n_channels)
        return self._with(recording, stream.push(recording.signal))

    def _with(self, recording: Recording, signal: np.ndarray) -> Recording:
        up, down = self.ratio(recording.rate_hz)
        nearest = (2 * down * np.arange(signal.shape[1]) + up) // (2 * up)
        nearest = np.minimum(nearest, recording.n_samples - 1)
        return recording.with_signal(
            signal,
            rate_hz=self.rate_hz,
            label=recording.label[nearest],
            repetition=recording.repetition[nearest],
        )

    def _start(self, rate_hz: float, n_channels: int, layout: Layout | None) -> Push:
        up, down = self.ratio(rate_hz)
        taps = self.taps(rate_hz) * up
        n_seen, n_given = 0, 0

        def needed_from(output: int) -> int:
            """Return the first input sample that an output needs, or the one before it on which an output falls."""
            return (output * down - len(taps) + 1) // up // down * down

        first = needed_from(0)
        kept: np.ndarray | None = None

        def push(x: np.ndarray) -> np.ndarray:
            nonlocal kept, first, n_seen, n_given
            x = x.astype(np.float64)
            if kept is None:
                kept = np.repeat(x[:, :1], -first, axis=1)
            buffer = np.concatenate([kept, x], axis=1)
            n_seen += x.shape[1]
            stop = -(-n_seen * up // down)
            offset = first // down * up
            y = scipy.signal.upfirdn(taps, buffer, up, down, axis=-1)[:, n_given - offset : stop - offset]
            n_given = stop
            again = needed_from(stop)
            kept, first = buffer[:, again - first :], again
            return y

        return push


@dataclass(frozen=True)
class ZeroPhase(Filter):
    """A filter without delay: applied forwards and backwards or, for `Resample`, centred on each sample.

    It needs later samples, so it cannot run live. Filtering forwards and backwards also doubles the order: the power at
    the cutoff is a quarter instead of a half.

    Parameters
    ----------
    filter : a filter made of second-order sections (`LowPass`, `BandPass`, `Notch`, …), or `Resample`.

    Raises
    ------
    ConfigError : `filter` is another filter; `stream` always raises it; `apply` raises it if the recording is too
        short.

    >>> from myograph.preprocessing import LowPass
    >>> ZeroPhase(LowPass(1.0, order=1)).causal
    False
    """

    filter: SectionsFilter | Resample
    causal: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not isinstance(self.filter, (SectionsFilter, Resample)):
            raise ConfigError(
                f"ZeroPhase needs a filter of second-order sections (LowPass, BandPass, Notch, …) or Resample, got "
                f"{self.filter!r}; apply other filters separately: (Rectify(), ZeroPhase(LowPass(1.0)))"
            )

    def _apply(self, recording: Recording) -> Recording:
        """Return the recording with filtered samples; ConfigError if it is too short to be extended at its ends."""
        x, rate = recording.signal, recording.rate_hz
        if not isinstance(self.filter, SectionsFilter):
            up, down = self.filter.ratio(rate)
            taps = self.filter.taps(rate)
            rows = [scipy.signal.resample_poly(c.astype(np.float64), up, down, window=taps, padtype="edge") for c in x]
            return self.filter._with(recording, np.array(rows).astype(x.dtype, copy=False))
        sos = self.filter.sections(rate)
        y = np.empty_like(x)
        try:
            for row, channel in zip(y, x):
                row[:] = scipy.signal.sosfiltfilt(sos, channel.astype(np.float64))
        except ValueError as error:
            raise ConfigError(
                f"{self}: {recording.name} has {recording.n_samples} samples, too few to filter forwards and backwards "
                f"({error}); use a longer recording or the causal {type(self.filter).__name__}"
            ) from error
        return recording.with_signal(y)

    def output_rate_hz(self, rate_hz: float) -> float:
        return self.filter.output_rate_hz(rate_hz)

    def reach_samples(self, rate_hz: float) -> int:
        """Return the number of samples before, and as many after, the current one that hold 99 % of the energy."""
        if isinstance(self.filter, Resample):
            return -(-self.filter.reach_samples(rate_hz) // 2)
        response, slowest = impulse_response(self.filter.sections(rate_hz))
        if response is None:
            return decay(slowest, math.sqrt(1 - ENERGY))
        n = len(response)
        both_ways = scipy.signal.correlate(response, response, method="fft")[n - 1 :]  # forwards, then backwards
        energy = np.square(both_ways)
        energy[1:] *= 2
        return holding(energy)

    def stream(self, rate_hz: float, n_channels: int, layout: Layout | None = None) -> FilterStream:
        raise ConfigError(f"{self} needs later samples, so it cannot run live; use {self.filter} instead")
