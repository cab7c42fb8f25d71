"""Base classes of all filters, which give the same result for whole recordings and for live samples.

A filter is a frozen dataclass of settings. `apply(recording)` filters a whole recording; `stream(rate_hz, n_channels)`
returns a state for live samples. Every filter is causal and keeps its state between chunks, so chunks of any size give
the same result as one pass, bit for bit; `ZeroPhase` is the only exception. Recursions and sums are computed in
float64. The output has the input's dtype.

Every filter also states its reach: how far back in time its output depends on the input. A training window within that
reach of a test window would contain information about test samples.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Iterable
from dataclasses import replace
from fractions import Fraction
from typing import ClassVar

import numpy as np

from myograph._common.registry import Registry
from myograph.errors import ConfigError
from myograph.recording import Layout, Recording, as_chunk, one_after_another

FILTERS = Registry("filter", "myograph.preprocessing.filters")

Push = Callable[[np.ndarray], np.ndarray]
"""A function from (channel, time) samples to (channel, time) filtered samples that keeps the filter's state between
calls.
"""
BLOCK = 1 << 18  # samples of all channels together; limits the memory that one pass over a long recording needs


class FilterStream:
    """A filter with its state for live samples; created by `Filter.stream`.

    Attributes
    ----------
    rate_hz, n_channels, layout : properties of the output, for which the next filter of a chain is created.

    >>> from myograph.preprocessing import Rectify
    >>> stream = Rectify().stream(rate_hz=1000.0, n_channels=1)
    >>> stream.push(np.array([[-1.0, 2.0]]))
    array([[1., 2.]])
    """

    def __init__(self, push: Push, n_channels_in: int, rate_hz: float, n_channels: int, layout: Layout | None):
        self._push, self._n_in = push, n_channels_in
        self.rate_hz, self.n_channels, self.layout = rate_hz, n_channels, layout

    def push(self, chunk: np.ndarray) -> np.ndarray:
        """Filter the next samples.

        Parameters
        ----------
        chunk : (channel, time) real numbers. Any number of samples is allowed, including none.

        Returns
        -------
        (channel, time) filtered samples, float32 or float64 as the chunk.

        Raises
        ------
        ShapeError : the chunk has other axes or another number of channels.
        SignalError : the chunk has NaN or infinite samples, or is not of real numbers. The filter's state is then the
            same as before the call.
        """
        return self._filter(as_chunk(chunk, self._n_in))

    def _filter(self, chunk: np.ndarray) -> np.ndarray:
        """Filter a chunk that has been checked."""
        n = chunk.shape[1]
        if n == 0:
            return np.empty((self.n_channels, 0), chunk.dtype)
        step = max(256, BLOCK // self._n_in)
        if n <= step:
            return self._push(chunk).astype(chunk.dtype, copy=False)
        pieces = [self._push(chunk[:, i : i + step]).astype(chunk.dtype, copy=False) for i in range(0, n, step)]
        return np.concatenate(pieces, axis=1)


class Filter:
    """Base class of all filters.

    A new filter defines `_start` and `reach_samples`. It also defines `output_rate_hz` if it changes the rate, and
    `_output` if it changes the channels. A filter whose output depends only on the current sample derives from
    `SampleFilter`.

    >>> from myograph.preprocessing import MovingRMS
    >>> recording = Recording(np.full((1, 4), -3.0), 1000.0, None, "anna")
    >>> MovingRMS(2.0).apply(recording).signal
    array([[3., 3., 3., 3.]])
    >>> MovingRMS(2.0).reach_samples(rate_hz=1000.0), MovingRMS(2.0).output_rate_hz(rate_hz=1000.0)
    (1, 1000.0)
    """

    causal: ClassVar[bool] = True
    """Whether the output never depends on later samples; False for `ZeroPhase` only."""

    def apply(self, recording: Recording) -> Recording:
        """Return the recording with filtered samples.

        Each stretch between two breaks is filtered separately: the samples before a break (of another file, or before a
        gap) do not affect those after it.

        Raises
        ------
        ConfigError : the filter does not fit the recording's rate or layout.
        """
        done = one_after_another([self._apply(part) for part in recording.parts()])
        reach = recording.reach_samples + self.reach_samples(recording.rate_hz)
        return replace(done, reach_samples=math.ceil(reach * Fraction(done.rate_hz) / Fraction(recording.rate_hz)))

    def _apply(self, recording: Recording) -> Recording:
        """`apply` for a recording without breaks."""
        stream = self.stream(recording.rate_hz, recording.n_channels, recording.layout)
        return recording.with_signal(stream.push(recording.signal), layout=stream.layout)

    def stream(self, rate_hz: float, n_channels: int, layout: Layout | None = None) -> FilterStream:
        """Return a new state for live samples.

        Parameters
        ----------
        rate_hz, n_channels : properties of the samples.
        layout : positions of their electrodes; only spatial filters need it.

        Raises
        ------
        ConfigError : the filter does not fit the rate or the layout.

        >>> from myograph.preprocessing import MovingRMS
        >>> stream = MovingRMS(2.0).stream(rate_hz=1000.0, n_channels=1)
        >>> stream.push(np.array([[3.0, 3.0]])), stream.push(np.array([[-3.0]]))
        (array([[3., 3.]]), array([[3.]]))
        """
        check_positive(self, rate_hz=rate_hz, n_channels=n_channels)
        return FilterStream(
            self._start(rate_hz, n_channels, layout), n_channels, *self._output(rate_hz, n_channels, layout)
        )

    def reach_samples(self, rate_hz: float) -> int:
        """Return the number of input samples before the current one that hold 99 % of the energy of the filter's
        impulse response.

        It is 0 for a filter whose output depends only on the current sample. `ZeroPhase` reaches as far into the
        future.

        Raises
        ------
        ConfigError : the filter does not fit the rate, or its class does not define its reach.
        """
        raise ConfigError(
            f"{type(self).__name__} does not state its reach; define reach_samples(rate_hz), or derive it from "
            "SampleFilter if its output depends on the current sample only"
        )

    def output_rate_hz(self, rate_hz: float) -> float:
        """Return the sampling rate of the output for input of the given rate."""
        return rate_hz

    def _start(self, rate_hz: float, n_channels: int, layout: Layout | None) -> Push:
        """Return a function with its own state that filters (channel, time) samples; it is called with at least one
        sample.
        """
        raise NotImplementedError

    def _output(self, rate_hz: float, n_channels: int, layout: Layout | None) -> tuple[float, int, Layout | None]:
        """Return rate, number of channels and layout of the output."""
        return self.output_rate_hz(rate_hz), n_channels, layout


class SampleFilter(Filter):
    """Base class of filters without memory, whose output depends only on the channels' current samples.

    >>> class Negative(SampleFilter):
    ...     def _start(self, rate_hz, n_channels, layout):
    ...         return np.negative
    >>> Negative().stream(1000.0, 1).push(np.array([[1.0, 2.0]])), Negative().reach_samples(1000.0)
    (array([[-1., -2.]]), 0)
    """

    def reach_samples(self, rate_hz: float) -> int:
        return 0


def reach_samples(filters: Filter | Iterable[Filter], rate_hz: float) -> int:
    """Return the sum of the filters' reaches, in samples at the output rate of the last one, rounded up.

    Parameters
    ----------
    filters : one filter, or several in the order in which they are applied.
    rate_hz : sampling rate of the first filter's input.

    Raises
    ------
    ConfigError : a filter does not fit its rate, or does not state its reach.

    >>> from myograph.preprocessing import MovingRMS, Rectify, Resample
    >>> reach_samples((Rectify(), MovingRMS(100.0)), rate_hz=1000.0)
    99
    >>> reach_samples((MovingRMS(100.0), Resample(200.0)), rate_hz=1000.0)  # 99 + 100 samples at 1000 Hz
    40
    """
    seconds = Fraction(0)
    for one in as_tuple(filters):
        seconds += _reach_of(one, rate_hz) / Fraction(rate_hz)
        rate_hz = one.output_rate_hz(rate_hz)
    return math.ceil(seconds * Fraction(rate_hz))


def _reach_of(one: Filter, rate_hz: float) -> int:
    if not hasattr(one, "reach_samples"):
        raise ConfigError(
            f"{one!r} does not state its reach; derive its class from myograph.preprocessing.Filter and define "
            "reach_samples(rate_hz)"
        )
    return one.reach_samples(rate_hz)


def apply_all(filters: Filter | Iterable[Filter], recording: Recording) -> Recording:
    """Return the recording after all filters, in order.

    Parameters
    ----------
    filters : one filter, or several in the order in which they are applied.

    Raises
    ------
    ConfigError : a filter does not fit the recording's rate or layout, or does not state its reach.

    >>> from myograph.preprocessing import Rectify, Resample
    >>> recording = Recording(-np.ones((1, 1000)), 1000.0, None, "anna")
    >>> out = apply_all([Rectify(), Resample(200.0)], recording)
    >>> out.rate_hz, out.n_samples
    (200.0, 200)
    """
    for one in as_tuple(filters):
        reach = recording.reach_samples + _reach_of(one, recording.rate_hz)
        done = one.apply(recording)
        reach = math.ceil(reach * Fraction(done.rate_hz) / Fraction(recording.rate_hz))
        recording = done if done.reach_samples >= reach else replace(done, reach_samples=reach)
    return recording


def stream_all(
    filters: Filter | Iterable[Filter], rate_hz: float, n_channels: int, layout: Layout | None = None
) -> FilterStream:
    """Return one stream that applies the filters in order; each is created for the output of the previous one.

    Raises
    ------
    ConfigError : a filter does not fit the rate or layout of its input, or is not causal.

    >>> from myograph.preprocessing import Rectify, Resample
    >>> stream = stream_all([Rectify(), Resample(200.0)], rate_hz=1000.0, n_channels=1)
    >>> stream.rate_hz, stream.push(np.zeros((1, 10))).shape
    (200.0, (1, 2))
    """
    streams: list[FilterStream] = []
    rate, n, where = float(rate_hz), n_channels, layout
    for one in as_tuple(filters):
        streams.append(one.stream(rate, n, where))
        rate, n, where = streams[-1].rate_hz, streams[-1].n_channels, streams[-1].layout

    def push(x: np.ndarray) -> np.ndarray:
        for stream in streams:
            x = stream._filter(x)
        return x

    return FilterStream(push, n_channels, rate, n, where)


def as_tuple(filters: Filter | Iterable[Filter]) -> tuple[Filter, ...]:
    """Return one filter, or several, as a tuple.

    >>> from myograph.preprocessing import Rectify
    >>> as_tuple(Rectify())
    (Rectify(),)
    """
    return (filters,) if isinstance(filters, Filter) else tuple(filters)


def check_positive(owner: object, **values: float) -> None:
    """Raise ConfigError unless each value is a finite number above 0.

    >>> check_positive(Filter(), rate_hz=-1.0)
    Traceback (most recent call last):
    myograph.errors.ConfigError: Filter: rate_hz must be a positive number, got -1.0
    """
    for name, value in values.items():
        if not (isinstance(value, numbers.Real) and np.isfinite(value) and value > 0):
            raise ConfigError(f"{type(owner).__name__}: {name} must be a positive number, got {value!r}")


def check_whole(owner: object, **values: int) -> None:
    """Raise ConfigError unless each value is a whole number of at least 1.

    >>> check_whole(Filter(), order=0)
    Traceback (most recent call last):
    myograph.errors.ConfigError: Filter: order must be a whole number from 1, got 0
    """
    for name, value in values.items():
        if not isinstance(value, (int, np.integer)) or value < 1:
            raise ConfigError(f"{type(owner).__name__}: {name} must be a whole number from 1, got {value!r}")


def check_below_nyquist(owner: object, frequency_hz: float, rate_hz: float) -> None:
    """Raise ConfigError unless the frequency is below half the sampling rate.

    >>> check_below_nyquist("LowPass", 499.0, rate_hz=1000.0)
    """
    if frequency_hz >= rate_hz / 2:
        raise ConfigError(
            f"{owner}: {frequency_hz:g} Hz does not exist at a rate of {rate_hz:g} Hz; choose a frequency below "
            f"{rate_hz / 2:g} Hz, half the rate"
        )
