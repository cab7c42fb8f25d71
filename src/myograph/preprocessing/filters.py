"""Filters: frozen settings that make a stream for live samples and apply to whole recordings, with the same result.

Every filter states its reach: how far back in time its output still depends on the input. Training windows within that
reach of a test window would carry samples of the test into training.

Every filter is causal and keeps its state, so that chunks of any size give bit for bit what one pass gives;
`ZeroPhase` is the one exception, and says so. Whatever is recursive or summed is so in float64; results have the
samples' own dtype.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar, Literal

import numpy as np
from scipy import signal as sps

from myograph._common.registry import Registry
from myograph.errors import ConfigError
from myograph.preprocessing import spatial
from myograph.recording import Layout, Recording, as_chunk, one_after_another

FILTERS = Registry("filter", "myograph.preprocessing.filters")

Push = Callable[[np.ndarray], np.ndarray]
ENERGY = 0.99  # of an impulse response lies within a filter's reach
LONGEST = 1 << 24  # samples of an impulse response that are computed; a longer one is judged by its slowest pole
BLOCK = 1 << 18  # samples of all channels handled at a time: bounds the memory of one pass over a long recording


class FilterStream:
    """A filter at work on live samples.

    Attributes
    ----------
    rate_hz, n_channels, layout : of what comes out; what the next filter of a chain is given.
    """

    def __init__(self, push: Push, n_channels_in: int, rate_hz: float, n_channels: int, layout: Layout | None):
        self._push, self._n_in = push, n_channels_in
        self.rate_hz, self.n_channels, self.layout = rate_hz, n_channels, layout

    def push(self, chunk: np.ndarray) -> np.ndarray:
        """Filter the next (channel, time) samples; any number of them, none included.

        Raises
        ------
        ShapeError : other axes or another number of channels.
        SignalError : not real numbers, NaN or infinite ones; the filter's state is as before the call.
        """
        chunk = as_chunk(chunk, self._n_in)
        n = chunk.shape[1]
        if n == 0:
            return np.empty((self.n_channels, 0), chunk.dtype)
        step = max(256, BLOCK // self._n_in)
        pieces = [self._push(chunk[:, i : i + step]).astype(chunk.dtype, copy=False) for i in range(0, n, step)]
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces, axis=1)


class Filter:
    """What all filters share. A new one defines `_start`, and `_output` if it changes the rate or the channels."""

    causal: ClassVar[bool] = True

    def apply(self, recording: Recording) -> Recording:
        """The recording with filtered samples. Each stretch between two breaks is filtered by itself: the samples
        before a break (of another file, or before a gap) have no effect on those after it."""
        return one_after_another([self._apply(part) for part in recording.parts()])

    def _apply(self, recording: Recording) -> Recording:
        """The same for a recording without breaks: one push of all samples."""
        stream = self.stream(recording.rate_hz, recording.n_channels, recording.layout)
        return recording.with_signal(stream.push(recording.signal), layout=stream.layout)

    def stream(self, rate_hz: float, n_channels: int, layout: Layout | None = None) -> FilterStream:
        """A fresh state for live samples of that rate and that many channels.

        Raises
        ------
        ConfigError : the filter does not fit the rate or the layout.
        """
        _positive(self, rate_hz=rate_hz, n_channels=n_channels)
        return FilterStream(
            self._start(rate_hz, n_channels, layout), n_channels, *self._output(rate_hz, n_channels, layout)
        )

    def reach_samples(self, rate_hz: float) -> int:
        """How many input samples before the current one hold 99 % of the energy of the filter's impulse response.

        0 for a filter whose output depends on the current sample only. `ZeroPhase` reaches as far into the future.

        Raises
        ------
        ConfigError : the filter does not fit the rate, or its class does not define its reach.
        """
        raise ConfigError(
            f"{type(self).__name__} does not state its reach; define reach_samples(rate_hz), or derive it from "
            "SampleFilter if its output depends on the current sample only"
        )

    def output_rate_hz(self, rate_hz: float) -> float:
        """Sampling rate of the output for input of the given rate."""
        return rate_hz

    def _start(self, rate_hz: float, n_channels: int, layout: Layout | None) -> Push:
        """A function with a state of its own, from (channel, time) samples, at least one, to filtered ones."""
        raise NotImplementedError

    def _output(self, rate_hz: float, n_channels: int, layout: Layout | None) -> tuple[float, int, Layout | None]:
        """Rate, number of channels and layout of what comes out."""
        return self.output_rate_hz(rate_hz), n_channels, layout


class SampleFilter(Filter):
    """A filter whose output at one time depends only on the channels' samples at that time."""

    def reach_samples(self, rate_hz: float) -> int:
        return 0


def reach_samples(filters: Filter | Iterable[Filter], rate_hz: float) -> int:
    """The sum of the filters' reaches, in samples at the rate that the last one gives, rounded up.

    Parameters
    ----------
    filters : one filter, or several in the order in which they are applied.
    rate_hz : sampling rate of the first filter's input.

    Raises
    ------
    ConfigError : a filter does not fit its rate, or does not state its reach.

    >>> reach_samples((Rectify(), MovingRMS(100.0)), rate_hz=1000.0)
    99
    >>> reach_samples((MovingRMS(100.0), Resample(200.0)), rate_hz=1000.0)  # 99 + 100 samples at 1000 Hz
    40
    """
    seconds = Fraction(0)
    for one in _as_tuple(filters):
        if not hasattr(one, "reach_samples"):
            raise ConfigError(
                f"{one!r} does not state its reach; derive its class from myograph.preprocessing.Filter and define "
                "reach_samples(rate_hz)"
            )
        seconds += one.reach_samples(rate_hz) / Fraction(rate_hz)
        rate_hz = one.output_rate_hz(rate_hz)
    return math.ceil(seconds * Fraction(rate_hz))


def apply_all(filters: Filter | Iterable[Filter], recording: Recording) -> Recording:
    """The recording after each filter in turn."""
    for one in _as_tuple(filters):
        recording = one.apply(recording)
    return recording


def stream_all(
    filters: Filter | Iterable[Filter], rate_hz: float, n_channels: int, layout: Layout | None = None
) -> FilterStream:
    """One stream that runs the filters in turn; each is set up for what the one before gives."""
    streams: list[FilterStream] = []
    rate, n, where = float(rate_hz), n_channels, layout
    for one in _as_tuple(filters):
        streams.append(one.stream(rate, n, where))
        rate, n, where = streams[-1].rate_hz, streams[-1].n_channels, streams[-1].layout

    def push(x: np.ndarray) -> np.ndarray:
        for stream in streams:
            x = stream.push(x)
        return x

    return FilterStream(push, n_channels, rate, n, where)


def _as_tuple(filters: Filter | Iterable[Filter]) -> tuple[Filter, ...]:
    return (filters,) if isinstance(filters, Filter) else tuple(filters)


def _positive(owner: object, **values: float) -> None:
    for name, value in values.items():
        if not (isinstance(value, numbers.Real) and np.isfinite(value) and value > 0):
            raise ConfigError(f"{type(owner).__name__}: {name} is a positive number, got {value!r}")


def _order(owner: object, order: int) -> None:
    if not isinstance(order, (int, np.integer)) or order < 1:
        raise ConfigError(f"{type(owner).__name__}: order is a whole number from 1, got {order!r}")


def _below_nyquist(owner: object, frequency_hz: float, rate_hz: float) -> None:
    if frequency_hz >= rate_hz / 2:
        raise ConfigError(
            f"{owner}: {frequency_hz:g} Hz does not exist at a rate of {rate_hz:g} Hz; choose a frequency below "
            f"{rate_hz / 2:g} Hz, half the rate"
        )


class SectionsFilter(Filter):
    """A filter made of second-order sections.

    It starts as if the first sample had come for ever, so that an electrode's offset makes no step.
    """

    def sections(self, rate_hz: float) -> np.ndarray:
        """(section, 6) coefficients at a rate, as SciPy's sosfilt takes them."""
        raise NotImplementedError

    def reach_samples(self, rate_hz: float) -> int:
        response, slowest = _impulse_response(self.sections(rate_hz))
        return _holds(np.square(response)) if response is not None else _decay(slowest, math.sqrt(1 - ENERGY))

    def _start(self, rate_hz: float, n_channels: int, layout: Layout | None) -> Push:
        sos = self.sections(rate_hz)
        steady = sps.sosfilt_zi(sos)[:, None, :]
        state: np.ndarray | None = None

        def push(x: np.ndarray) -> np.ndarray:
            nonlocal state
            x = x.astype(np.float64)
            if state is None:
                state = steady * x[:, :1]
            y, state = sps.sosfilt(sos, x, axis=-1, zi=state)
            return y

        return push


def _impulse_response(sos: np.ndarray) -> tuple[np.ndarray | None, float]:
    """The response until its slowest part has decayed to a millionth, None if that takes longer than LONGEST; and the
    magnitude of the slowest pole."""
    slowest = float(np.abs(sps.sos2zpk(sos)[1]).max())
    n = _decay(slowest, 1e-6)
    if n > LONGEST:
        return None, slowest
    unit = np.zeros(n + 1)
    unit[0] = 1
    return sps.sosfilt(sos, unit), slowest


def _decay(pole: float, to: float) -> int:
    """Samples until powers of a pole's magnitude have fallen to a fraction."""
    return math.ceil(math.log(to) / math.log(pole)) if pole > 0 else 0


def _holds(energy: np.ndarray) -> int:
    """The last index that is needed so that the values up to it hold ENERGY of the sum."""
    total = np.cumsum(energy)
    return int(np.searchsorted(total, ENERGY * total[-1]))


@FILTERS.register("low_pass")
@dataclass(frozen=True)
class LowPass(SectionsFilter):
    """Butterworth low-pass: half power at `cutoff_hz`."""

    cutoff_hz: float
    order: int = 4

    def __post_init__(self) -> None:
        _positive(self, cutoff_hz=self.cutoff_hz)
        _order(self, self.order)

    def sections(self, rate_hz: float) -> np.ndarray:
        _below_nyquist(self, self.cutoff_hz, rate_hz)
        return sps.butter(self.order, self.cutoff_hz, "lowpass", fs=rate_hz, output="sos")


@FILTERS.register("high_pass")
@dataclass(frozen=True)
class HighPass(SectionsFilter):
    """Butterworth high-pass: half power at `cutoff_hz`."""

    cutoff_hz: float
    order: int = 4

    def __post_init__(self) -> None:
        _positive(self, cutoff_hz=self.cutoff_hz)
        _order(self, self.order)

    def sections(self, rate_hz: float) -> np.ndarray:
        _below_nyquist(self, self.cutoff_hz, rate_hz)
        return sps.butter(self.order, self.cutoff_hz, "highpass", fs=rate_hz, output="sos")


@FILTERS.register("band_pass")
@dataclass(frozen=True)
class BandPass(SectionsFilter):
    """Butterworth band-pass: half power at `low_hz` and `high_hz`, each edge falling off with `order`."""

    low_hz: float = 20.0
    high_hz: float = 450.0
    order: int = 4

    def __post_init__(self) -> None:
        _positive(self, low_hz=self.low_hz, high_hz=self.high_hz)
        _order(self, self.order)
        if self.low_hz >= self.high_hz:
            raise ConfigError(f"BandPass: low_hz is below high_hz, got {self.low_hz:g} and {self.high_hz:g}")

    def sections(self, rate_hz: float) -> np.ndarray:
        _below_nyquist(self, self.high_hz, rate_hz)
        return sps.butter(self.order, (self.low_hz, self.high_hz), "bandpass", fs=rate_hz, output="sos")


@FILTERS.register("notch")
@dataclass(frozen=True)
class Notch(SectionsFilter):
    """Removes one frequency; the notch is `frequency_hz / q` wide at half power."""

    frequency_hz: float = 50.0
    q: float = 30.0

    def __post_init__(self) -> None:
        _positive(self, frequency_hz=self.frequency_hz, q=self.q)

    def sections(self, rate_hz: float) -> np.ndarray:
        _below_nyquist(self, self.frequency_hz, rate_hz)
        width_hz = self.frequency_hz / self.q
        if width_hz >= rate_hz / 2:  # its poles would lie outside the unit circle
            raise ConfigError(
                f"{self}: a notch {width_hz:g} Hz wide leaves nothing at a rate of {rate_hz:g} Hz; choose q above "
                f"{self.frequency_hz / (rate_hz / 2):.3g}"
            )
        return sps.tf2sos(*sps.iirnotch(self.frequency_hz, self.q, fs=rate_hz))


@FILTERS.register("mains_comb")
@dataclass(frozen=True)
class MainsComb(SectionsFilter):
    """Removes the mains and its harmonics up to `up_to_hz` (all below half the rate if None).

    One notch a harmonic, all of them `frequency_hz / q` wide at half power: a true comb would need a rate that is
    a multiple of the mains frequency.
    """

    frequency_hz: float = 50.0
    q: float = 30.0
    up_to_hz: float | None = None

    def __post_init__(self) -> None:
        _positive(self, frequency_hz=self.frequency_hz, q=self.q)
        if self.up_to_hz is not None and not self.up_to_hz >= self.frequency_hz:
            raise ConfigError(
                f"MainsComb: up_to_hz is at least the mains' own {self.frequency_hz:g} Hz, got {self.up_to_hz}"
            )

    def sections(self, rate_hz: float) -> np.ndarray:
        _below_nyquist(self, self.frequency_hz, rate_hz)
        limit = math.inf if self.up_to_hz is None else self.up_to_hz
        harmonics, k = [], 1
        while k * self.frequency_hz < rate_hz / 2 and k * self.frequency_hz <= limit:
            harmonics.append(Notch(k * self.frequency_hz, k * self.q).sections(rate_hz))
            k += 1
        return np.concatenate(harmonics)


@FILTERS.register("rectify")
@dataclass(frozen=True)
class Rectify(SampleFilter):
    """Absolute value."""

    def _start(self, rate_hz: float, n_channels: int, layout: Layout | None) -> Push:
        return np.abs


@FILTERS.register("envelope")
@dataclass(frozen=True)
class Envelope(Filter):
    """Linear envelope: absolute value, then a Butterworth low-pass at `cutoff_hz`."""

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
    """Root of the mean square of the last `length_ms`; of as many samples as there are while the signal is shorter."""

    length_ms: float = 100.0

    def __post_init__(self) -> None:
        _positive(self, length_ms=self.length_ms)

    def _width(self, rate_hz: float) -> int:
        width = round(self.length_ms * rate_hz / 1000)
        if width < 1:
            raise ConfigError(f"{self} is shorter than one sample at {rate_hz:g} Hz ({1000 / rate_hz:g} ms)")
        return width

    def reach_samples(self, rate_hz: float) -> int:
        """All samples of the mean but the current one: none before them has any effect."""
        return self._width(rate_hz) - 1

    def _start(self, rate_hz: float, n_channels: int, layout: Layout | None) -> Push:
        width = self._width(rate_hz)
        # Sums that only grow from fixed block borders (van Herk 1992): unlike a running sum they neither drift nor
        # depend on where chunks end. `kept` starts at the block before the one that is being filled.
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


@FILTERS.register("resample")
@dataclass(frozen=True)
class Resample(Filter):
    """Another rate, through a linear-phase polyphase filter (Kaiser window, 10 zero crossings a side, as SciPy's
    `resample_poly`).

    Live output lags by `delay_ms`, half the filter; `ZeroPhase(Resample(...))` is the same filter without the lag,
    for work offline. Labels and repetitions are those of the nearest input sample, not delayed.
    """

    rate_hz: float

    def __post_init__(self) -> None:
        _positive(self, rate_hz=self.rate_hz)

    def ratio(self, rate_hz: float) -> tuple[int, int]:
        """(up, down): the whole-number ratio of the new to the given rate."""
        for largest in (10, 100, 1000, 2000):  # the simplest that fits: rates in files are rounded
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
        """(tap,) anti-alias filter at `up` times the given rate, of unit gain at 0 Hz."""
        widest = max(self.ratio(rate_hz))
        return sps.firwin(20 * widest + 1, 1 / widest, window=("kaiser", 5.0)) if widest > 1 else np.ones(1)

    def delay_ms(self, rate_hz: float) -> float:
        """How far live output lags behind input of the given rate."""
        return len(self.taps(rate_hz)) // 2 / (self.ratio(rate_hz)[0] * rate_hz) * 1000

    def output_rate_hz(self, rate_hz: float) -> float:
        return float(self.rate_hz)

    def reach_samples(self, rate_hz: float) -> int:
        """The whole length of the anti-alias filter: no sample before it has any effect."""
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
            """First input sample of an output, brought back to where an output falls on an input sample."""
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
            y = sps.upfirdn(taps, buffer, up, down, axis=-1)[:, n_given - offset : stop - offset]
            n_given = stop
            again = needed_from(stop)
            kept, first = buffer[:, again - first :], again
            return y

        return push


@dataclass(frozen=True)
class ZeroPhase(Filter):
    """A filter run so that it delays nothing: forwards and backwards, or symmetrically for `Resample`.

    It looks into the future, so it has no stream. Forwards and backwards also doubles the order: power at the
    cutoff falls to a quarter, not a half.
    """

    filter: Any
    causal: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not isinstance(self.filter, (SectionsFilter, Resample)):
            raise ConfigError(
                f"ZeroPhase takes a filter made of second-order sections (LowPass, BandPass, Notch, …) or Resample, got "
                f"{self.filter!r}; put the others beside it: (Rectify(), ZeroPhase(LowPass(1.0)))"
            )

    def _apply(self, recording: Recording) -> Recording:
        """Raises ConfigError where the recording is too short to be extended at its ends."""
        x, rate = recording.signal, recording.rate_hz
        if isinstance(self.filter, Resample):
            up, down = self.filter.ratio(rate)
            taps = self.filter.taps(rate)
            rows = [sps.resample_poly(c.astype(np.float64), up, down, window=taps, padtype="edge") for c in x]
            return self.filter._with(recording, np.array(rows).astype(x.dtype, copy=False))
        sos = self.filter.sections(rate)
        y = np.empty_like(x)
        try:
            for row, channel in zip(y, x):
                row[:] = sps.sosfiltfilt(sos, channel.astype(np.float64))
        except ValueError as error:
            raise ConfigError(
                f"{self}: {recording.name} has {recording.n_samples} samples, too few to filter forwards and backwards "
                f"({error}); use a longer recording or the causal {type(self.filter).__name__}"
            ) from error
        return recording.with_signal(y)

    def output_rate_hz(self, rate_hz: float) -> float:
        return self.filter.output_rate_hz(rate_hz)

    def reach_samples(self, rate_hz: float) -> int:
        """Samples before, and as many after, the current one that hold 99 % of the energy."""
        if isinstance(self.filter, Resample):
            return -(-self.filter.reach_samples(rate_hz) // 2)
        response, slowest = _impulse_response(self.filter.sections(rate_hz))
        if response is None:
            return _decay(slowest, math.sqrt(1 - ENERGY))
        n = len(response)
        both_ways = sps.correlate(response, response, method="fft")[n - 1 :]  # forwards, then backwards
        energy = np.square(both_ways)
        energy[1:] *= 2
        return _holds(energy)

    def stream(self, rate_hz: float, n_channels: int, layout: Layout | None = None) -> FilterStream:
        raise ConfigError(f"{self} looks into the future, so it cannot run live; use {self.filter} instead")


@FILTERS.register("common_average")
@dataclass(frozen=True)
class CommonAverage(SampleFilter):
    """Takes away the mean of all channels, or with `per_row` that of the channel's own row of the layout (one ring
    of several, one row of a grid); electrodes off the pattern then form a row of their own."""

    per_row: bool = False

    def _start(self, rate_hz: float, n_channels: int, layout: Layout | None) -> Push:
        rows = np.zeros(n_channels, np.intp)
        if self.per_row:
            rows = np.array(spatial.check_layout(layout, n_channels, "CommonAverage(per_row=True)").row)
        groups = [np.flatnonzero(rows == row) for row in np.unique(rows)]

        def push(x: np.ndarray) -> np.ndarray:
            y = x.astype(np.float64)
            for group in groups:
                # Summed channel by channel: np.sum changes its order with the chunk's length.
                mean = y[group[0]].copy()
                for channel in group[1:]:
                    mean += y[channel]
                y[group] -= mean / len(group)
            return y

        return push


@FILTERS.register("differential")
@dataclass(frozen=True)
class Differential(SampleFilter):
    """Next electrode minus this one, along the layout's "columns" (round the arm for a ring) or "rows".

    Electrodes without a next one are left out, those off the pattern stay as they are. A ring keeps all channels.
    """

    along: Literal["columns", "rows"] = "columns"

    def __post_init__(self) -> None:
        if self.along not in ("columns", "rows"):
            raise ConfigError(f"Differential: along is 'columns' or 'rows', got {self.along!r}")

    def _kept(self, n_channels: int, layout: Layout | None) -> tuple[Layout, np.ndarray, np.ndarray]:
        layout = spatial.check_layout(layout, n_channels, str(self))
        following = spatial.next_channel(layout, self.along)
        if not (following >= 0).any():
            raise ConfigError(
                f"{self}: no electrode has a next one along {self.along} in a {layout.shape[0]} x {layout.shape[1]} "
                f"layout; use along={'rows' if self.along == 'columns' else 'columns'!r}"
            )
        kept = np.flatnonzero((following >= 0) | (np.array(layout.row) < 0))
        return layout, kept, following[kept]

    def _output(self, rate_hz: float, n_channels: int, layout: Layout | None) -> tuple[float, int, Layout | None]:
        layout, kept, _ = self._kept(n_channels, layout)
        return rate_hz, len(kept), layout.take(kept)

    def _start(self, rate_hz: float, n_channels: int, layout: Layout | None) -> Push:
        _, kept, following = self._kept(n_channels, layout)
        paired = following >= 0

        def push(x: np.ndarray) -> np.ndarray:
            y = x[kept]
            y[paired] = x[following[paired]] - y[paired]
            return y

        return push


@FILTERS.register("spatial_median_3x3")
@dataclass(frozen=True)
class SpatialMedian3x3(SampleFilter):
    """Median over each electrode and its neighbours (8, fewer at an edge), sample by sample.

    Heals single dead electrodes of a grid. Source: Amma et al. 2015, doi:10.1145/2702123.2702501. Electrodes off
    the pattern stay as they are.
    """

    def _start(self, rate_hz: float, n_channels: int, layout: Layout | None) -> Push:
        patches = spatial.neighbourhoods(spatial.check_layout(layout, n_channels, "SpatialMedian3x3"))

        def push(x: np.ndarray) -> np.ndarray:
            y = x.copy()
            for channels, members in patches:
                y[channels] = spatial.median_of_rows(x[members.T])
            return y

        return push
