"""Spectral images of windows: spectrograms, wavelet images, and principal components per channel.

Each image is computed from the samples of its window alone, so live and recorded windows give the same image.
Percentiles and components are learnt in `fit`, from the rows given there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, cast

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view
from scipy import signal as sps
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from myograph._common.fitted import WindowsTransformer, as_windows
from myograph.errors import ConfigError, ShapeError
from myograph.recording import check_finite
from myograph.windows import Windows

BATCH = 512  # windows per batch
CACHED = 1 << 16  # values per transform, so that they fit in the processor's second-level cache

# Positions of the principal components by rank in Zhai et al. 2017, figure 1B.
PLACEMENT = np.array(
    [
        [22, 10, 11, 12, 23],
        [21, 9, 2, 3, 13],
        [20, 8, 1, 4, 14],
        [19, 7, 6, 5, 15],
        [25, 18, 17, 16, 24],
    ]
)
# Peak (in radians per scale) and logarithm of the gain of each analytic wavelet; Torrence and Compo 1998, table 1.
WAVELETS = {
    "morlet": (6.0, lambda u: -((u - 6) ** 2) / 2),
    "paul": (4.0, lambda u: 4 * np.log(u / 4) + 4 - u),
    "ricker": (np.sqrt(2), lambda u: np.log(u**2 / 2) + 1 - u**2 / 2),
}


def power_spectrogram(
    x: np.ndarray, segment: int, hop: int, window: str = "hamming", n_bins: int | None = None
) -> np.ndarray:
    """Power of overlapping segments.

    Frames are `segment` samples long and `hop` samples apart; an incomplete last frame is dropped. Bin k is at k rate /
    segment Hz. The power is |X|^2 divided by the squared sum of the window function: a sine of amplitude A on a bin
    gives A^2 / 4, as does the square of SciPy's `stft`.

    Parameters
    ----------
    x : (..., time) float32 or float64.
    segment, hop : length of a frame and distance between frames, in samples.
    window : name of a SciPy window function.
    n_bins : number of bins to keep, from 0 Hz on; None keeps all.

    Returns
    -------
    (..., frequency, frame) in the squared unit of x and the dtype of x.

    Raises
    ------
    ShapeError : the segments do not fit the windows.

    Examples
    --------
    >>> sine = np.cos(np.pi / 2 * np.arange(64))
    >>> power = power_spectrogram(sine, segment=16, hop=8)
    >>> power.shape, float(power[4, 0].round(4))
    ((9, 7), 0.25)
    """
    x = np.asarray(x)
    if x.dtype not in (np.float32, np.float64):
        x = x.astype(np.float32)
    if not 1 <= segment <= x.shape[-1] or hop < 1:
        raise ShapeError(
            f"segments of {segment} samples every {hop} do not fit windows of {x.shape[-1]} samples; lengthen the "
            "windows or shorten the segments"
        )
    available = segment // 2 + 1
    n_bins = available if n_bins is None else min(n_bins, available)
    taper = np.asarray(sps.get_window(window, segment))
    taper = (taper / taper.sum()).astype(x.dtype)
    lead = x.shape[:-1]
    rows = x.reshape(-1, x.shape[-1])
    segments = sliding_window_view(rows, segment, axis=-1)[:, ::hop]
    n_frames = segments.shape[1]
    power = np.empty((len(rows), n_frames, n_bins), x.dtype)
    step = max(1, CACHED // (n_frames * segment))
    tapered = np.empty((min(step, len(rows)), n_frames, segment), x.dtype)
    for i in range(0, len(rows), step):
        some = segments[i : i + step]
        spectrum = np.asarray(scipy.fft.rfft(np.multiply(some, taper, out=tapered[: len(some)]), axis=-1))
        parts = spectrum.view(x.dtype)  # real and imaginary parts alternate
        np.multiply(parts, parts, out=parts)
        np.add(parts[..., 0 : 2 * n_bins : 2], parts[..., 1 : 2 * n_bins : 2], out=power[i : i + step])
    return power.reshape(*lead, n_frames, n_bins).swapaxes(-1, -2)


def wavelet_amplitude(
    x: np.ndarray, rate_hz: float, frequencies_hz: Sequence[float] | np.ndarray, wavelet: str = "morlet"
) -> np.ndarray:
    """Amplitude of the analytic wavelet transform.

    Each wavelet is scaled so that it passes its own frequency with gain 1: a sine of amplitude A gives A. The signal is
    padded with zeros.

    Source: Torrence and Compo 1998, doi:10.1175/1520-0477(1998)079<0061:APGTWA>2.0.CO;2. Deviation: gain 1 instead of
    unit energy; the real Ricker (Mexican hat) wavelet is used in its analytic form, whose modulus is smooth.

    Parameters
    ----------
    x : (..., time) float32 or float64.
    rate_hz : samples per second.
    frequencies_hz : (frequency,) in Hz, above 0 and below half the rate.
    wavelet : "morlet", "paul" or "ricker".

    Returns
    -------
    (..., frequency, time) in the unit and the dtype of x.

    Raises
    ------
    ConfigError : an unknown wavelet, or a frequency out of range.

    Examples
    --------
    >>> sine = 3 * np.sin(2 * np.pi * 100 * np.arange(1000) / 1000)
    >>> wavelet_amplitude(sine, rate_hz=1000, frequencies_hz=[100, 300])[:, 500].round(2)
    array([3., 0.])
    """
    if wavelet not in WAVELETS:
        raise ConfigError(f"wavelet must be one of {', '.join(WAVELETS)}, got {wavelet!r}")
    x = np.asarray(x)
    if x.dtype not in (np.float32, np.float64):
        x = x.astype(np.float32)
    n = x.shape[-1]
    frequencies = np.asarray(frequencies_hz, float)
    if (frequencies <= 0).any() or (frequencies >= rate_hz / 2).any():
        raise ConfigError(
            f"wavelet frequencies lie above 0 and below half the rate ({rate_hz / 2:g} Hz): {frequencies}"
        )
    # Padded by one window, or by six periods of the lowest frequency, after which every wavelet has decayed.
    wanted = n + min(n, int(np.ceil(6 * rate_hz / frequencies.min())))
    size = cast(int, scipy.fft.next_fast_len(wanted))
    peak, log_gain = WAVELETS[wavelet]
    positive = np.arange(1, (size + 1) // 2)
    gain = np.zeros((len(frequencies), size), x.dtype)
    gain[:, positive] = 2 * np.exp(log_gain(peak * positive * rate_hz / size / frequencies[:, None]))
    spectrum = np.asarray(scipy.fft.fft(x, size, axis=-1))
    return np.abs(np.asarray(scipy.fft.ifft(spectrum[..., None, :] * gain, axis=-1))[..., :n])


def _floating(X: Any) -> Any:
    """Windows as `as_windows` returns them; arrays are float32 or float64."""
    X = as_windows(X)
    return X if isinstance(X, Windows) or X.dtype in (np.float32, np.float64) else X.astype(np.float32)


def _gather(X: Any, rows: Any) -> np.ndarray:
    return X.batch(rows) if isinstance(X, Windows) else X[rows]


class _Images(WindowsTransformer, BaseEstimator):
    """Images of windows, clipped at percentiles learnt per channel and scaled to [0, 1].

    Percentiles are computed over at most `sample` windows, evenly spaced over those given; up to that number they are
    exact.
    """

    rate_hz: float | None
    percentiles: tuple[float, float]
    sample: int

    def _image(self, x: np.ndarray, rate_hz: float) -> np.ndarray:
        """Return the (window, channel, frequency, frame) images of (window, channel, time) samples."""
        raise NotImplementedError

    def fit(self, X: Any, y: Any = None) -> _Images:
        """Learn each channel's percentiles from windows: `Windows` or a (window, channel, time) array.

        Raises
        ------
        ShapeError : other axes, no windows, or windows that are too short.
        ConfigError : an array without `rate_hz`, settings that do not fit the rate, or `y` holds only one class.
        """
        X = _floating(X)
        rate = X.rate_hz if self.rate_hz is None and isinstance(X, Windows) else self.rate_hz
        if rate is None:
            raise ConfigError(f"an array has no sampling rate; give {type(self).__name__}(rate_hz=...)")
        if not (np.isfinite(rate) and rate > 0):
            raise ConfigError(f"{type(self).__name__}: rate_hz must be a positive number of Hz, got {rate!r}")
        if self.sample < 1:
            raise ConfigError(f"{type(self).__name__}: sample must be 1 window or more, got {self.sample!r}")
        low, high = self.percentiles
        if not 0 <= low < high <= 100:
            raise ConfigError(f"percentiles must be two rising numbers from 0 to 100, got {self.percentiles}")
        if len(X) == 0:
            raise ShapeError("there are no windows to learn percentiles from")
        self._learn_kind(X, y, rate)
        rows = np.unique(np.linspace(0, len(X) - 1, min(len(X), self.sample)).round().astype(int))
        parts = [self._image(_gather(X, rows[i : i + BATCH]), rate) for i in range(0, len(rows), BATCH)]
        values = [np.concatenate([p[:, c].ravel() for p in parts]) for c in range(X.shape[1])]
        self.low_, self.high_ = np.array([np.percentile(v, (low, high)) for v in values], np.float64).T
        self.rate_hz_, self.n_channels_, self.n_samples_ = float(rate), X.shape[1], X.shape[2]
        self.image_shape_ = parts[0].shape[2:]
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Return the (window, channel, frequency, frame) images, from 0 to 1, in the dtype of the windows.

        Raises
        ------
        NotFittedError : `fit` was not called.
        ShapeError : windows with other channels or another length than in `fit`.
        SignalError : windows of another rate or unit than in `fit`.
        """
        check_is_fitted(self)
        X = _floating(X)
        if len(X):
            self._refuse_other(X)
        out = np.empty((len(X), self.n_channels_, *self.image_shape_), X.dtype)
        low = self.low_[:, None, None].astype(X.dtype)
        span = self.high_ - self.low_
        scale = np.where(span > 0, 1 / np.where(span > 0, span, 1), 0)[:, None, None].astype(X.dtype)
        for i in range(0, len(X), BATCH):
            image = self._image(_gather(X, slice(i, i + BATCH)), self.rate_hz_)
            np.clip((image - low) * scale, 0, 1, out=out[i : i + BATCH])
        return out


class Spectrogram(_Images):
    """Power spectrograms as in Zhai et al. 2017, doi:10.3389/fnins.2017.00379.

    The defaults are those of the paper: 256-point Hamming segments, 184 points of overlap, the first 95 bins, and each
    channel clipped at its 1st and 99th percentile and scaled to [0, 1]. A window of 400 samples at 2 kHz gives 95 x 3.
    The paper does not say whether it uses power or magnitude, or on which windows percentiles are computed. Here the
    image is power, and percentiles are learnt in `fit`.

    Parameters
    ----------
    rate_hz : sampling rate in Hz; None takes it from `Windows`.
    segment_ms, hop_ms : length of a segment and distance between segments in ms, rounded to samples.
    highest_hz : bins above this frequency are left out.
    window : name of a SciPy window function.
    percentiles : percentiles at which each channel is clipped; (0, 100) keeps all values.
    sample : largest number of windows from which percentiles are learnt.

    Examples
    --------
    >>> windows = np.random.default_rng(0).normal(size=(5, 2, 400))
    >>> images = Spectrogram(rate_hz=2000).fit_transform(windows)
    >>> images.shape, float(images.min()), float(images.max())
    ((5, 2, 95, 3), 0.0, 1.0)
    """

    def __init__(
        self,
        rate_hz: float | None = None,
        segment_ms: float = 128.0,
        hop_ms: float = 36.0,
        highest_hz: float = 735.0,
        window: str = "hamming",
        percentiles: tuple[float, float] = (1.0, 99.0),
        sample: int = 5000,
    ):
        self.rate_hz = rate_hz
        self.segment_ms = segment_ms
        self.hop_ms = hop_ms
        self.highest_hz = highest_hz
        self.window = window
        self.percentiles = percentiles
        self.sample = sample

    def _image(self, x: np.ndarray, rate_hz: float) -> np.ndarray:
        if self.highest_hz < 0:
            raise ConfigError(f"{type(self).__name__}: highest_hz must be 0 or more, got {self.highest_hz!r}")
        segment, hop = round(self.segment_ms * rate_hz / 1000), round(self.hop_ms * rate_hz / 1000)
        n_bins = int(self.highest_hz * segment / rate_hz + 1e-9) + 1
        return power_spectrogram(x, segment, hop, self.window, n_bins)


class LogSpectrogram(Spectrogram):
    """`Spectrogram` in decibels: 10 log10 of the power, then clipped and scaled per channel.

    A power of 0 is replaced by the smallest normal number of the dtype.

    >>> windows = np.random.default_rng(0).normal(size=(5, 2, 400))
    >>> LogSpectrogram(rate_hz=2000).fit_transform(windows).shape
    (5, 2, 95, 3)
    """

    def _image(self, x: np.ndarray, rate_hz: float) -> np.ndarray:
        power = super()._image(x, rate_hz)
        return 10 * np.log10(np.maximum(power, np.finfo(power.dtype).tiny))


class WaveletImages(_Images):
    """Wavelet amplitudes at several frequencies, averaged over frames, with one set of rows per wavelet.

    `transform` returns (window, channel, wavelet x frequency, frame): the rows of the first wavelet, lowest frequency
    first, then those of the next.

    Parameters
    ----------
    rate_hz : sampling rate in Hz; None takes it from `Windows`.
    wavelets : any of "morlet" (fine in frequency), "paul" (fine in time) and "ricker" (Mexican hat).
    lowest_hz, highest_hz, n_frequencies : range and number of logarithmically spaced frequencies. The highest is kept
        at or below 45 % of the rate.
    n_frames : number of parts of equal length over which the amplitudes are averaged.
    percentiles, sample : as in `Spectrogram`.

    Examples
    --------
    >>> windows = np.random.default_rng(0).normal(size=(5, 2, 200))
    >>> images = WaveletImages(rate_hz=1000, n_frequencies=4, n_frames=2)
    >>> images.fit_transform(windows).shape
    (5, 2, 8, 2)
    >>> images.frequencies(rate_hz=1000).round(1)
    array([ 20. ,  56.5, 159.4, 450. ])
    """

    def __init__(
        self,
        rate_hz: float | None = None,
        wavelets: tuple[str, ...] = ("morlet", "ricker"),
        lowest_hz: float = 20.0,
        highest_hz: float = 450.0,
        n_frequencies: int = 16,
        n_frames: int = 8,
        percentiles: tuple[float, float] = (1.0, 99.0),
        sample: int = 2000,
    ):
        self.rate_hz = rate_hz
        self.wavelets = wavelets
        self.lowest_hz = lowest_hz
        self.highest_hz = highest_hz
        self.n_frequencies = n_frequencies
        self.n_frames = n_frames
        self.percentiles = percentiles
        self.sample = sample

    def frequencies(self, rate_hz: float) -> np.ndarray:
        """Return the (frequency,) frequencies in Hz, rising; ConfigError if the range does not fit the rate."""
        if self.n_frequencies < 1:
            raise ConfigError(f"{type(self).__name__}: n_frequencies must be 1 or more, got {self.n_frequencies!r}")
        highest = min(self.highest_hz, 0.45 * rate_hz)
        if not 0 < self.lowest_hz < highest:
            raise ConfigError(
                f"lowest_hz must be above 0 and below {highest:g} Hz at {rate_hz:g} Hz, got {self.lowest_hz}"
            )
        return np.geomspace(self.lowest_hz, highest, self.n_frequencies)

    def _image(self, x: np.ndarray, rate_hz: float) -> np.ndarray:
        n = x.shape[-1]
        if not 1 <= self.n_frames <= n:
            raise ShapeError(f"{self.n_frames} frames do not fit windows of {n} samples; lower n_frames")
        frequencies = self.frequencies(rate_hz)
        edges = np.linspace(0, n, self.n_frames + 1).round().astype(int)
        image = np.empty((*x.shape[:2], len(self.wavelets), len(frequencies), self.n_frames), x.dtype)
        for k, wavelet in enumerate(self.wavelets):
            step = max(1, 16 * CACHED // (x.shape[1] * len(frequencies) * n))
            for i in range(0, len(x), step):
                amplitude = wavelet_amplitude(x[i : i + step], rate_hz, frequencies, wavelet)
                image[i : i + step, :, k] = np.add.reduceat(amplitude, edges[:-1], axis=-1) / np.diff(edges)
        return image.reshape(*x.shape[:2], -1, self.n_frames)


class ChannelPCA(WindowsTransformer, BaseEstimator):
    """Principal component scores of each channel on its own.

    The sign of each component is such that its largest loading is positive.

    Parameters
    ----------
    n_components : scores per channel.
    placement : "spiral" arranges 25 scores as in Zhai et al. 2017, figure 1B, with the first in the middle, and gives
        (window, channel, 5, 5). "ranks" gives (window, channel, n_components), the input of the network `zhai`. "flat"
        gives (window, channel x n_components), channel by channel.

    Attributes
    ----------
    mean_ : (channel, value) mean image.
    components_ : (channel, component, value).
    explained_variance_ : (channel, component).

    Examples
    --------
    >>> images = np.random.default_rng(0).normal(size=(40, 2, 8, 3))
    >>> ChannelPCA(n_components=3, placement="flat").fit(images).transform(images).shape
    (40, 6)
    """

    def __init__(self, n_components: int = 25, placement: Literal["spiral", "ranks", "flat"] = "spiral"):
        self.n_components = n_components
        self.placement = placement

    def fit(self, X: Any, y: Any = None) -> ChannelPCA:
        """Learn components from (window, channel, ...) images or from `Windows`.

        Memory use is limited to batches and (channel, d, d) sums, where d is the number of values per channel.

        Raises
        ------
        ConfigError : an unknown placement, more components than the placement or the data allow, or `y` holds only one
            class.
        ShapeError : fewer than two windows, or no channel axis.
        """
        if self.placement not in ("spiral", "ranks", "flat"):
            raise ConfigError(f"placement must be 'spiral', 'ranks' or 'flat', got {self.placement!r}")
        if self.placement == "spiral" and self.n_components != PLACEMENT.size:
            raise ConfigError(
                f"the spiral has {PLACEMENT.size} places, got n_components={self.n_components}; use 'flat'"
            )
        shape = X.shape
        if len(shape) < 3 or shape[0] < 2:
            raise ShapeError(f"ChannelPCA learns from at least two (window, channel, ...) images, got shape {shape}")
        self._learn_kind(X, y)
        n, n_channels, d = shape[0], shape[1], int(np.prod(shape[2:]))
        if not 1 <= self.n_components <= min(n, d):
            raise ConfigError(
                f"{n} windows of {d} values per channel have at most {min(n, d)} components, got {self.n_components}"
            )
        # Shifted by a first mean, so that sums of squares do not cancel.
        shift = next(self._rows(X)).mean(axis=1, keepdims=True)
        total, gram = np.zeros((n_channels, d)), np.zeros((n_channels, d, d))
        for rows in self._rows(X):
            rows = rows - shift
            total += rows.sum(axis=1)
            gram += rows.swapaxes(1, 2) @ rows
        mean = total / n
        covariance = (gram - n * mean[:, :, None] * mean[:, None, :]) / (n - 1)
        variance, vectors = np.linalg.eigh(covariance)
        vectors = vectors[:, :, ::-1][:, :, : self.n_components]
        largest = np.take_along_axis(vectors, np.abs(vectors).argmax(axis=1)[:, None], axis=1)
        self.mean_ = mean + shift[:, 0]
        self.components_ = (vectors * np.sign(largest)).swapaxes(1, 2)
        self.explained_variance_ = np.maximum(variance[:, ::-1][:, : self.n_components], 0)
        self.n_channels_, self.image_shape_ = n_channels, tuple(shape[2:])
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Return the scores in the dtype of the images, in the shape given by `placement`.

        Raises
        ------
        NotFittedError : `fit` was not called.
        ShapeError : images of another shape than in `fit`.
        SignalError : `Windows` of another rate or unit than in `fit`.
        """
        check_is_fitted(self)
        if tuple(X.shape[1:]) != (self.n_channels_, *self.image_shape_):
            raise ShapeError(
                f"ChannelPCA learnt from images (channel, ...) of shape {(self.n_channels_, *self.image_shape_)}, got "
                f"{tuple(X.shape[1:])}"
            )
        if len(X):
            self._refuse_other(X)
        scores = np.empty((len(X), self.n_channels_, self.n_components), X.dtype)
        weights = self.components_.swapaxes(1, 2)
        at = 0
        for rows in self._rows(X):
            scores[at : at + rows.shape[1]] = ((rows - self.mean_[:, None]) @ weights).swapaxes(0, 1)
            at += rows.shape[1]
        if self.placement == "spiral":
            return scores[..., PLACEMENT - 1]
        return scores if self.placement == "ranks" else scores.reshape(len(X), -1)

    @staticmethod
    def _rows(X: Any) -> Iterator[np.ndarray]:
        """Yield (channel, window, value) float64, one batch at a time."""
        for i in range(0, len(X), BATCH):
            batch = np.asarray(_gather(X, slice(i, i + BATCH)))
            check_finite(batch.reshape(len(batch), -1), "images")
            yield batch.reshape(*batch.shape[:2], -1).swapaxes(0, 1).astype(np.float64)
