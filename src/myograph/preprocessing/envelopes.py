"""Amplitude over time: rectification, linear envelope, moving root mean square."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from myograph.errors import ConfigError
from myograph.preprocessing.base import FILTERS, Filter, Push, SampleFilter, check_positive
from myograph.preprocessing.sections import LowPass
from myograph.recording import Layout


@FILTERS.register("rectify")
@dataclass(frozen=True)
class Rectify(SampleFilter):
    """Absolute value of every sample.

    >>> Rectify().stream(rate_hz=1000.0, n_channels=1).push(np.array([[-2.0, 1.0]]))
    array([[2., 1.]])
    """

    def _start(self, rate_hz: float, n_channels: int, layout: Layout | None) -> Push:
        return np.abs


@FILTERS.register("envelope")
@dataclass(frozen=True)
class Envelope(Filter):
    """Linear envelope: absolute value, then a Butterworth low-pass filter; errors as for `LowPass`.

    >>> envelope = Envelope(6.0).stream(rate_hz=1000.0, n_channels=1)
    >>> envelope.push(np.array([[-2.0, -2.0]])).round(6)
    array([[2., 2.]])
    """

    cutoff_hz: float = 6.0
    order: int = 2

    def __post_init__(self) -> None:
        LowPass(self.cutoff_hz, self.order)

    def reach_samples(self, rate_hz: float) -> int:
        return LowPass(self.cutoff_hz, self.order).reach_samples(rate_hz)

    def _start(self, rate_hz: float, n_channels: int, layout: Layout | None) -> Push:
        smooth = LowPass(self.cutoff_hz, self.order)._start(rate_hz, n_channels, layout)
        return lambda x: smooth(np.abs(x))


@FILTERS.register("moving_rms")
@dataclass(frozen=True)
class MovingRMS(Filter):
    """Root mean square of the last `length_ms`; at the start, of the available samples.

    Raises
    ------
    ConfigError : `length_ms` is not positive, or (when it is applied) shorter than one sample.

    >>> MovingRMS(2.0).stream(rate_hz=1000.0, n_channels=1).push(np.array([[3.0, 4.0, 4.0]])).round(3)
    array([[3.   , 3.536, 4.   ]])
    """

    length_ms: float = 100.0

    def __post_init__(self) -> None:
        check_positive(self, length_ms=self.length_ms)

    def _width(self, rate_hz: float) -> int:
        width = round(self.length_ms * rate_hz / 1000)
        if width < 1:
            raise ConfigError(f"{self} is shorter than one sample at {rate_hz:g} Hz ({1000 / rate_hz:g} ms)")
        return width

    def reach_samples(self, rate_hz: float) -> int:
        """Return the exact reach: all samples of the mean except the current one."""
        return self._width(rate_hz) - 1

    def _start(self, rate_hz: float, n_channels: int, layout: Layout | None) -> Push:
        width = self._width(rate_hz)
        # Cumulative sums from fixed block borders, forwards and backwards (van Herk 1992). Unlike a running sum they
        # do not drift, and they do not depend on where chunks end. `kept` starts at the last full block.
        kept = np.empty((n_channels, 0))
        first = 0

        def push(x: np.ndarray) -> np.ndarray:
            nonlocal kept, first
            old = kept.shape[1]
            squares = np.concatenate([kept, np.square(x, dtype=np.float64)], axis=1)
            n = squares.shape[1]
            blocks = np.zeros((n_channels, -(-n // width) * width))
            blocks[:, :n] = squares
            blocks = blocks.reshape(n_channels, -1, width)
            sums = np.cumsum(blocks, axis=2)
            sums[:, 1:, :-1] += np.cumsum(blocks[:, :-1, :0:-1], axis=2)[:, :, ::-1]
            count = np.minimum(first + np.arange(old, n) + 1, width)
            keep = max((first + n) // width - 1, 0) * width - first
            kept, first = squares[:, keep:], first + keep
            return np.sqrt(sums.reshape(n_channels, -1)[:, old:n] / count)

        return push
