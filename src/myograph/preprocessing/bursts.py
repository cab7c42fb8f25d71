"""Bursts of muscle activity: their onsets and offsets, live or offline, and windows cut from the onsets.

Activity is the smoothed Teager-Kaiser energy of each channel. It depends on amplitude and frequency together, which
distinguishes muscle activity from slow artefacts and noise. A constant offset distorts it, so raw signals must be
high-pass filtered first. Sources: Kaiser 1990, doi:10.1109/ICASSP.1990.115702; for EMG onsets Solnik et al. 2010,
doi:10.1007/s00421-010-1521-8.
"""

from __future__ import annotations

import math
from copy import copy
from dataclasses import dataclass, field

import numpy as np

from myograph.errors import ConfigError, ShapeError, SignalError, WindowError
from myograph.recording import Recording, as_chunk, run_starts

SEGMENT_S = 0.25  # segments, of which the quietest give the baseline


def teager_kaiser(x: np.ndarray) -> np.ndarray:
    """Teager-Kaiser energy psi[n] = x[n]^2 - x[n-1] x[n+1]. For A sin(w n) it is A^2 sin^2(w), exactly.

    Source: Kaiser 1990, equation 8. float32 stays float32; all other types are computed in float64.

    Parameters
    ----------
    x : (..., time), at least three samples; ShapeError otherwise.

    Returns
    -------
    (..., time - 2), in the squared unit of x.

    >>> teager_kaiser(2 * np.sin(np.pi / 6 * np.arange(5))).round(6)
    array([1., 1., 1.])
    """
    from myograph.preprocessing._burst_kernel import teager_kaiser_rows

    x = np.asarray(x)
    if x.ndim < 1 or x.shape[-1] < 3:
        raise ShapeError(f"the Teager-Kaiser energy needs three samples, got an array of shape {x.shape}")
    x = np.ascontiguousarray(x, np.float32 if x.dtype == np.float32 else np.float64)
    out = np.empty((*x.shape[:-1], x.shape[-1] - 2), x.dtype)
    teager_kaiser_rows(x.reshape(-1, x.shape[-1]), out.reshape(-1, out.shape[-1]))
    return out


class _Energy:
    """Smoothed |psi| of samples x (channel, time): mean of the last `width` values, or of all values at the start.

    psi needs the next sample, so the last sample has no value yet, and `begin` = -1 refers to the sample before x. The
    sample before the first one of the stream is taken as equal to it. Values are float64, computed on request.
    """

    def __init__(self, x: np.ndarray, width: int, before: np.ndarray | None = None, age: int = 0):
        from myograph._common.simd import as_signal

        self._x, self._width, self._age = as_signal(x), width, age
        self._begin = 0 if before is None else -1
        self._before = np.repeat(x[:, :1].astype(np.float64), width + 1, axis=1) if before is None else before
        self.n = max(x.shape[1] - 1 - self._begin, 0)

    def _samples(self) -> tuple[np.ndarray, np.ndarray, int, int, int]:
        return self._x, self._before, self._begin, self._width, self._age

    def values(self, n: int | None = None) -> np.ndarray:
        """Return the first (channel, n) energies; all if None."""
        from myograph.preprocessing import _burst_kernel

        out = np.empty((len(self._x), self.n if n is None else n))
        _burst_kernel.energies(*self._samples(), out)
        return out

    def after(self, n: int) -> _Energy:
        """Return the same energies without the first n values."""
        rest = copy(self)
        rest._begin, rest._age, rest.n = self._begin + n, self._age + n, self.n - n
        return rest

    def segments(self, size: int) -> np.ndarray:
        """Return (channel, segment, 4): mean, sum of squared deviations, minimum, maximum of each `size` energies."""
        from myograph.preprocessing import _burst_kernel

        out = np.empty((len(self._x), self.n // size, 4))
        _burst_kernel.segments(*self._samples(), size, out)
        return out

    def above(self, limit: np.ndarray, needed: int, segments: np.ndarray | None = None, size: int = 1) -> np.ndarray:
        """Return (n,): whether at least `needed` channels are above their limit. Known `segments` save most of the
        work.
        """
        from myograph.preprocessing import _burst_kernel

        out = np.empty(self.n, np.bool_)
        known = np.empty((len(self._x), 0, 4)) if segments is None else segments
        limit = np.array(limit, np.float64)
        _burst_kernel.crossings(*self._samples(), limit, needed, size, known, out)
        return out


class EnergyStream:
    """Smoothed |psi| of live samples: the mean of the last `width` values, or of all values at the start.

    psi needs the next sample, so the output is one sample behind: after n samples there are n - 1 values. The sample
    before the first is taken as equal to it.

    >>> EnergyStream(n_channels=1, width=2).push(np.array([[0.0, 1.0, 0.0, -1.0]]))
    array([[0. , 0.5, 1. ]])
    >>> EnergyStream(n_channels=1, width=2).next(np.array([[0.0, 1.0, 0.0, -1.0]])).n
    3
    """

    def __init__(self, n_channels: int, width: int):
        self._n_channels, self._width = n_channels, width
        self._before: np.ndarray | None = None
        self._age = 0

    def push(self, x: np.ndarray) -> np.ndarray:
        """Return (channel, time) energy in float64 of (channel, time) samples; one value fewer on the first call."""
        return self.next(x).values()

    def next(self, x: np.ndarray) -> _Energy:
        """Return the energies of the next samples, computed on request."""
        energy = _Energy(x, self._width, self._before, self._age)
        if x.shape[1]:
            n = self._width + 1
            self._before = np.ascontiguousarray(np.concatenate([energy._before, x[:, -n:]], axis=1)[:, -n:])
        self._age += energy.n
        return energy


@dataclass(frozen=True)
class Baseline:
    """Mean and standard deviation of each channel's energy at rest, both (channel,) in the squared unit of the signal.

    >>> Baseline(mean=np.array([1.0]), sd=np.array([0.5])).mean
    array([1.])
    """

    mean: np.ndarray
    sd: np.ndarray


@dataclass(frozen=True)
class BurstDetector:
    """Detects bursts, during which the energy exceeds mean + k sd of the baseline.

    The defaults are our choice, in the middle of a wide range of settings that count the bursts of two public biceps
    recordings correctly.

    Parameters
    ----------
    k : threshold above the baseline's mean, in its standard deviations.
    smooth_ms : length of the causal moving average over the energy.
    quietest : if no baseline is given, it is learnt from this fraction of the recording: the quarter seconds of lowest
        energy in each channel. There must be more rest than this; otherwise hardly any bursts are found.
    baseline_s : learn the baseline from these first seconds instead, which must be rest; no bursts are detected in
        them.
    m_of_n : active if the energy was above the threshold in at least m of the last n samples: the double threshold of
        Bonato et al. 1998, doi:10.1109/10.661154; (1, 1) is the single threshold.
    vote : fraction of the channels that must be active at once (at least one channel).
    gap_ms : a shorter pause does not end a burst.
    min_duration_ms : shorter bursts are dropped.
    refractory_ms : time after the offset of a burst in which there is no onset.

    Examples
    --------
    >>> signal = np.random.default_rng(0).normal(size=(1, 4000))
    >>> signal[:, 2000:2500] *= 20
    >>> recording = Recording(signal, 1000.0, None, "anna")
    >>> detector = BurstDetector()
    >>> detector.detect(recording)
    array([[2001, 2498]])
    >>> stream = detector.stream(1000.0, 1, baseline=detector.calibrate(recording))
    >>> stream.push(signal)
    array([[2001, 2498]])
    """

    k: float = 7.0
    smooth_ms: float = 80.0
    quietest: float = 0.3
    baseline_s: float | None = None
    m_of_n: tuple[int, int] = (1, 1)
    vote: float = 0.0
    gap_ms: float = 250.0
    min_duration_ms: float = 150.0
    refractory_ms: float = 0.0

    def __post_init__(self) -> None:
        for name in ("k", "smooth_ms"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"BurstDetector: {name} must be a positive number, got {getattr(self, name)}")
        for name in ("gap_ms", "min_duration_ms", "refractory_ms"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"BurstDetector: {name} must be zero or more, got {getattr(self, name)}")
        if not 0 < self.quietest <= 1:
            raise ConfigError(f"BurstDetector: quietest must be a fraction above 0 and up to 1, got {self.quietest}")
        if not 0 <= self.vote <= 1:
            raise ConfigError(f"BurstDetector: vote must be a fraction of the channels from 0 to 1, got {self.vote}")
        if self.baseline_s is not None and not self.baseline_s > 0:
            raise ConfigError(f"BurstDetector: baseline_s must be a positive number of seconds, got {self.baseline_s}")
        m, n = self.m_of_n if np.shape(self.m_of_n) == (2,) else (0, 0)
        if not (isinstance(m, (int, np.integer)) and isinstance(n, (int, np.integer)) and 1 <= m <= n):
            raise ConfigError(
                f"BurstDetector: m_of_n must be two whole numbers (m, n) with 1 <= m <= n, got {self.m_of_n}"
            )

    def detect(self, recording: Recording, baseline: Baseline | None = None) -> np.ndarray:
        """Return (burst, 2) onset and offset samples, including a burst that continues to the end of the recording.

        The offset is moved earlier by `smooth_ms`, the delay of the moving average.

        Raises
        ------
        SignalError : the recording is too short to learn a baseline.
        """
        stream = BurstStream(self, recording.rate_hz, recording.n_channels, baseline)
        energy = stream.energy.next(recording.signal)
        if baseline is None and self.baseline_s is None:
            size, segments = self._segments(energy, recording)
            stream.baseline = self._quietest(segments, size)
            active = energy.above(stream.limit(), stream.needed, segments, size)
            return np.concatenate([stream.decide(active), stream.finish()])
        return np.concatenate([stream.take(energy), stream.finish()])

    def calibrate(self, recording: Recording) -> Baseline:
        """Return the baseline that `detect` would use for this recording, for use in a stream."""
        energy = BurstStream(self, recording.rate_hz, recording.n_channels).energy.next(recording.signal)
        if self.baseline_s is None:
            size, segments = self._segments(energy, recording)
            return self._quietest(segments, size)
        n = round(self.baseline_s * recording.rate_hz)
        if energy.n < n:
            raise SignalError(f"{recording.name} is shorter than baseline_s={self.baseline_s:g}")
        return _statistics(energy.values(n))

    def stream(self, rate_hz: float, n_channels: int, baseline: Baseline | None = None) -> BurstStream:
        """Return a detector for live samples; ConfigError without a baseline and without `baseline_s`."""
        if baseline is None and self.baseline_s is None:
            raise ConfigError(
                "a live burst detector cannot find the quietest part of future samples: give it a baseline "
                "(BurstDetector.calibrate(recording)) or set baseline_s to seconds of rest at the start"
            )
        return BurstStream(self, rate_hz, n_channels, baseline)

    def _segments(self, energy: _Energy, recording: Recording) -> tuple[int, np.ndarray]:
        size = max(round(SEGMENT_S * recording.rate_hz), 2)
        if energy.n // size < 4:
            raise SignalError(
                f"{recording.name} has {recording.duration_s:.2g} s, which is too short to find rest (at least "
                f"{4 * SEGMENT_S:g} s); give a baseline"
            )
        return size, energy.segments(size)

    def _quietest(self, segments: np.ndarray, size: int) -> Baseline:
        means = segments[..., 0]
        n_quiet = max(round(self.quietest * means.shape[1]), 2)
        rows = np.argpartition(means, n_quiet - 1, axis=1)[:, :n_quiet]
        quiet, squares = np.take_along_axis(means, rows, 1), np.take_along_axis(segments[..., 1], rows, 1)
        # The variance of all samples of the segments: within the segments plus between them.
        return Baseline(quiet.mean(axis=1), np.sqrt(squares.mean(axis=1) / size + quiet.var(axis=1)))


class BurstStream:
    """A burst detector for live samples; created by `BurstDetector.stream`.

    Attributes
    ----------
    baseline : baseline of the threshold; None while it is being learnt.
    onset : sample at which the current burst began, or None.
    energy : the smoothed energy of the samples pushed.
    needed : number of channels that must be active at once.

    >>> stream = BurstDetector(baseline_s=1.0, gap_ms=100.0).stream(1000.0, 1)
    >>> signal = np.random.default_rng(0).normal(size=(1, 4000))
    >>> signal[:, 2000:2500] *= 20
    >>> stream.push(signal[:, :2400]), stream.onset
    (array([], shape=(0, 2), dtype=int64), 2001)
    >>> len(stream.take(stream.energy.next(signal[:, 2400:]))), stream.limit().shape
    (1, (1,))
    >>> len(stream.decide(np.zeros(100, bool))), len(stream.finish())
    (0, 0)
    """

    def __init__(self, detector: BurstDetector, rate_hz: float, n_channels: int, baseline: Baseline | None = None):
        if baseline is not None and not (np.shape(baseline.mean) == np.shape(baseline.sd) == (n_channels,)):
            raise ShapeError(
                f"the baseline's mean and sd are {np.shape(baseline.mean)} and {np.shape(baseline.sd)}, the signal has "
                f"{n_channels} channels; calibrate on the same channels"
            )
        samples = lambda ms: round(ms * rate_hz / 1000)  # noqa: E731
        self._detector, self._n_channels = detector, n_channels
        self._smooth = max(samples(detector.smooth_ms), 1)
        self._gap, self._shortest = max(samples(detector.gap_ms), 1), samples(detector.min_duration_ms)
        self._refractory = samples(detector.refractory_ms)
        self.needed = max(1, math.ceil(detector.vote * n_channels))
        self._calibration = 0 if detector.baseline_s is None else round(detector.baseline_s * rate_hz)
        self.energy = EnergyStream(n_channels, self._smooth)
        self._waiting: list[np.ndarray] = []
        self._history = np.zeros(detector.m_of_n[1] - 1, np.int64)
        self._n = 0
        self._last_active, self._allowed = 0, 0
        self.baseline = baseline
        self.onset: int | None = None

    def push(self, chunk: np.ndarray) -> np.ndarray:
        """Return (burst, 2) onset and offset samples, counted from the start of the stream, of finished bursts.

        Raises
        ------
        ShapeError : the chunk is not (channel, time).
        SignalError : the samples are not real numbers, or NaN or infinite.
        """
        return self.take(self.energy.next(as_chunk(chunk, self._n_channels)))

    def take(self, energy: _Energy) -> np.ndarray:
        """Return the bursts that end in the next energies; the first energies are used to learn the baseline if
        necessary.
        """
        if self.baseline is None:
            n = min(self._calibration - self._n, energy.n)
            self._waiting.append(energy.values(n))
            self._n += n
            if self._n < self._calibration:
                return np.empty((0, 2), np.int64)
            self.baseline = _statistics(np.concatenate(self._waiting, axis=1))
            self._waiting = []
            energy = energy.after(n)
        return self.decide(energy.above(self.limit(), self.needed))

    def limit(self) -> np.ndarray:
        """Return the (channel,) energy above which a channel is active."""
        assert self.baseline is not None
        return self.baseline.mean + self._detector.k * self.baseline.sd

    def decide(self, active: np.ndarray) -> np.ndarray:
        """Return the bursts that end in the next samples; `active` (time,) is True if enough channels are above their
        limit.
        """
        m, n = self._detector.m_of_n
        if n > 1:
            recent = np.concatenate([self._history, active])
            total = np.concatenate([[0], np.cumsum(recent)])
            self._history = recent[len(recent) - n + 1 :]
            active = total[n:] - total[:-n] >= m
        return self._advance(active)

    def _advance(self, active: np.ndarray) -> np.ndarray:
        found: list[tuple[int, int]] = []
        starts = run_starts(active)
        for start, stop in zip(starts, np.append(starts[1:], len(active))):
            if not active[start]:
                continue
            begin, end = self._n + int(start), self._n + int(stop)
            if self.onset is not None and begin - self._last_active > self._gap:
                found += self._close()
            if self.onset is None:
                begin = max(begin, self._allowed)
                if begin >= end:
                    continue
                self.onset = begin
            self._last_active = end
        self._n += len(active)
        if self.onset is not None and self._n - self._last_active > self._gap:
            found += self._close()
        return np.array(found, np.int64).reshape(-1, 2)

    def finish(self) -> np.ndarray:
        """Return (burst, 2): the current burst, if any, with its offset set to the present sample."""
        return np.array(self._close() if self.onset is not None else [], np.int64).reshape(-1, 2)

    def _close(self) -> list[tuple[int, int]]:
        assert self.onset is not None
        onset, self.onset = self.onset, None
        offset = max(self._last_active - self._smooth + 1, onset + 1)
        if offset - onset < self._shortest:
            return []
        self._allowed = offset + self._refractory
        return [(onset, offset)]


def _statistics(energy: np.ndarray) -> Baseline:
    return Baseline(energy.mean(axis=1, dtype=np.float64), energy.std(axis=1, dtype=np.float64))


@dataclass(frozen=True)
class Bursts:
    """A windowing: one window of `length_ms` from the onset of each burst.

    A window's label is the recording's label at the window's middle. The bursts of one label are its repetitions 1, 2,
    3, …, so that protocols and the audit work on them. A burst gets no window if it is too near the end of the
    recording, or begins within the window of the previous burst.

    Parameters
    ----------
    length_ms : duration of a window.
    detector : the burst detector.
    unlabelled_as : name of the label given to unlabelled bursts; None leaves them out.

    Examples
    --------
    >>> signal, label = np.random.default_rng(0).normal(size=(1, 4000)), np.zeros(4000, int)
    >>> signal[:, 2000:2500] *= 20
    >>> recording = Recording(signal, 1000.0, label, "anna")
    >>> Bursts(length_ms=300.0).intervals(recording)["start"]
    array([2001])
    """

    length_ms: float = 500.0
    detector: BurstDetector = field(default_factory=BurstDetector)
    unlabelled_as: str | None = None

    def __post_init__(self) -> None:
        if not self.length_ms > 0:
            raise WindowError(f"length_ms must be a positive duration in milliseconds, got {self.length_ms}")

    def intervals(self, recording: Recording) -> dict[str, np.ndarray]:
        """Return the columns start, stop, label, repetition and position, like `Windowing.intervals`.

        Raises
        ------
        WindowError : a window is shorter than a sample, or the recording has no label `unlabelled_as`.
        """
        length = round(self.length_ms * recording.rate_hz / 1000)
        if length < 1:
            raise WindowError(
                f"{self.length_ms:g} ms are less than one sample at {recording.rate_hz:g} Hz; increase length_ms"
            )
        fallback = -1
        if self.unlabelled_as is not None:
            if self.unlabelled_as not in recording.label_names:
                raise WindowError(
                    f"{recording.name} has no label named {self.unlabelled_as!r} for unlabelled bursts; its "
                    f"label_names are {', '.join(recording.label_names) or 'empty'}"
                )
            fallback = recording.label_names.index(self.unlabelled_as)
        starts, labels, repetitions = [], [], []
        seen: dict[int, int] = {}
        free = 0
        for onset in self.detector.detect(recording)[:, 0].tolist():
            if onset < free or onset + length > recording.n_samples:
                continue
            if any(onset < b < onset + length for b in recording.breaks):
                continue
            label = int(recording.label[onset + length // 2])
            label = fallback if label < 0 else label
            if label < 0:
                continue
            free = onset + length
            seen[label] = seen.get(label, 0) + 1
            starts.append(onset)
            labels.append(label)
            repetitions.append(seen[label])
        start = np.array(starts, np.int64)
        return {
            "start": start,
            "stop": start + length,
            "label": np.array(labels, np.int32),
            "repetition": np.array(repetitions, np.int32),
            "position": np.zeros(len(start), np.int32),
        }
