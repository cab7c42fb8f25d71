"""Signal quality of a recording: `inspect` searches for faults of electrodes, amplifiers and file readers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from myograph.recording import Recording, run_starts

Level = Literal["error", "warning", "note"]

# Our choices, set so that the intact raw sEMG data sets that we know give no findings.
MAINS_SHARE = 0.05  # fraction of a channel's power in mains lines
CLIPPED_SHARE = 1e-4  # fraction of a channel's samples at a limit
MANY_VALUES = 32  # more distinct values than a signal of a few counts has
MOST_SEGMENTS = 100  # segments of two seconds in which mains interference is searched
FLAT_S = 1.0  # a stretch without any change
WEAK_RATIO = 0.02  # fraction of the other channels' standard deviation
HELD_SHARE, HELD_SINGLE = (
    0.3,
    0.3,
)  # fraction of samples that repeat the one before; fraction of runs that are one sample long
COPY_CORRELATION = 0.98
PLAUSIBLE_PEAK_UV = (3.0, 20_000.0)


@dataclass(frozen=True)
class Finding:
    """One fault or unusual property: level, place, description, and advice.

    Parameters
    ----------
    level : "error", "warning" or "note".
    where, what, advice : texts.

    >>> print(Finding("warning", "subject 1", "clipped by 3 %", "lower the gain"))
    warning: subject 1: clipped by 3 %; lower the gain
    """

    level: Level
    where: str
    what: str
    advice: str

    def __str__(self) -> str:
        return f"{self.level}: {self.where}: {self.what}; {self.advice}"


def inspect(recording: Recording) -> list[Finding]:
    """Return the faults in the samples of a recording, errors first; an empty list if there are none.

    The checks look for flat and nearly dead channels, samples held several times, clipping, copied or bridged channels,
    channels at the wrong place of a grid, mains interference (50 and 60 Hz with harmonics), offsets, rectified signals,
    and amplitudes that are impossible for muscles in the declared unit. All thresholds are our choice.

    >>> noise = np.random.default_rng(0).normal(size=(2, 4000)) * 30
    >>> inspect(Recording(noise, 1000.0, None, "anna"))
    []
    >>> held = np.repeat(noise[:, :1000], 4, axis=1)
    >>> print(inspect(Recording(held, 1000.0, None, "anna"))[0].what)
    75% of the samples repeat the one before in every channel, typically 4 equal samples in a row
    """
    if recording.n_samples < 2:
        return [Finding("error", recording.name, f"{recording.n_samples} samples", "leave the recording out")]
    spread = np.array([channel.std(dtype=np.float64) for channel in recording.signal])
    mean = np.array([channel.mean(dtype=np.float64) for channel in recording.signal])
    live = spread > 1e-9 * np.abs(mean)
    found = [*_flat(recording, spread, live)]
    if live.any():
        found += _held(recording, live)
        found += _clipped(recording, mean, spread, live)
        found += _copies(recording, live)
        mains_hz, share = mains_share(recording, live)
        # Channels with hum are similar, wherever they are.
        found += _misplaced(recording, live & (share <= MAINS_SHARE))
        found += _mains(recording, mains_hz, share)
        found += _offset(recording, mean, spread, live)
        found += _unit(recording, mean, live)
    return sorted(found, key=lambda f: ("error", "warning", "note").index(f.level))


def _where(recording: Recording, channels: Iterable[int | np.integer]) -> str:
    channels = [int(c) for c in channels]
    if len(channels) == recording.n_channels > 1:
        return f"{recording.name}, all channels"
    named = ", ".join(map(str, channels[:8])) + (", …" if len(channels) > 8 else "")
    return f"{recording.name}, channel{'s' if len(channels) > 1 else ''} {named}"


def _flat(recording: Recording, spread: np.ndarray, live: np.ndarray) -> Iterator[Finding]:
    dead = np.flatnonzero(~live)
    if len(dead):
        yield Finding("error", _where(recording, dead), "no signal at all", "leave these channels out")
    for channel in np.flatnonzero(live):
        others = np.delete(spread, channel)[np.delete(live, channel)]
        if len(others) >= 3 and spread[channel] < WEAK_RATIO * np.median(others):
            yield Finding(
                "warning",
                _where(recording, [channel]),
                f"{spread[channel] / np.median(others):.1%} of the other channels' amplitude",
                "the electrode may be off the skin or its gain wrong: leave the channel out or scale it",
            )
        x = recording.signal[channel]
        starts = run_starts(x)
        lengths = np.diff(np.append(starts, len(x)))
        if x.min() >= 0:
            lengths[x[starts] < x.mean()] = 1  # the lowest value of an envelope at rest
        longest = int(np.argmax(lengths))
        if lengths[longest] >= FLAT_S * recording.rate_hz:
            yield Finding(
                "warning",
                _where(recording, [channel]),
                f"no change for {lengths[longest] / recording.rate_hz:.1f} s from {starts[longest] / recording.rate_hz:.1f} s on",
                "samples were lost or the sensor failed: leave that stretch unlabelled",
            )


def _held(recording: Recording, live: np.ndarray) -> Iterator[Finding]:
    """Find rows that were repeated by a logger that is faster than the sensor."""
    x = recording.signal[live]
    same = (x[:, 1:] == x[:, :-1]).all(axis=0)
    share = float(same.mean())
    if share < HELD_SHARE:
        return
    lengths = np.diff(np.append(np.flatnonzero(np.append(True, ~same)), x.shape[1]))
    # A slow envelope also repeats values, but many of its samples occur only once.
    if (lengths == 1).mean() < HELD_SINGLE:
        yield Finding(
            "warning",
            _where(recording, np.flatnonzero(live)),
            f"{share:.0%} of the samples repeat the one before in every channel, typically {np.median(lengths):.0f} equal samples in a row",
            "the logger was faster than the sensor: keep one sample of each run and correct rate_hz, or record again",
        )


def _clipped(recording: Recording, mean: np.ndarray, spread: np.ndarray, live: np.ndarray) -> Iterator[Finding]:
    shares = np.zeros(recording.n_channels)
    for channel in np.flatnonzero(live):
        x = recording.signal[channel]
        rails = (x.min(), x.max())
        near = [abs(rail - mean[channel]) < 1.5 * spread[channel] for rail in rails]
        if any(near) and len(np.unique(x)) < MANY_VALUES:
            continue  # a square wave of a few counts
        for rail in rails:
            if near == [True, False] and rail == rails[0]:
                continue  # the lowest value of an envelope
            # A peak has its maximum once; clipping gives the limit to all samples that would exceed it.
            at = x == rail
            inside = np.abs(x[~at] - rail)
            beside = np.count_nonzero(inside == inside.min())
            if at.sum() >= 10 and at.sum() > 3 * beside:
                shares[channel] += at.mean()
    clipped = np.flatnonzero(shares > CLIPPED_SHARE)
    if len(clipped):
        yield Finding(
            "warning",
            _where(recording, clipped),
            f"up to {shares.max():.2%} of the samples are clipped at the end of the range",
            "lower the gain; amplitudes of strong contractions are too small in these channels",
        )


def _correlation(recording: Recording, channels: np.ndarray, common_average: bool) -> np.ndarray:
    """Return the (channel, channel) correlations of the differenced signal, over at most about 100 000 samples."""
    n, block = recording.n_samples, 5000
    step = max(block, n * block // 100_000)
    pieces = []
    for start in range(0, n, step):
        piece = recording.signal[channels, start : start + block].astype(np.float64)
        if common_average:
            piece = piece - piece.mean(axis=0)
        pieces.append(np.diff(piece, axis=1))
    x = np.concatenate(pieces, axis=1)
    x -= x.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(x, axis=1)
    x /= np.where(norm > 0, norm, 1)[:, None]
    return x @ x.T


def _copies(recording: Recording, live: np.ndarray) -> Iterator[Finding]:
    channels = np.flatnonzero(live)
    r = _correlation(recording, channels, common_average=False)
    for i, j in zip(*np.nonzero(np.triu(np.abs(r) > COPY_CORRELATION, 1))):
        a, b = int(channels[i]), int(channels[j])
        if np.array_equal(recording.signal[a], recording.signal[b]):
            yield Finding(
                "error",
                _where(recording, [a, b]),
                "both hold the same samples",
                "the file or its reader repeats a channel: correct it, or leave one out",
            )
        else:
            yield Finding(
                "warning",
                _where(recording, [a, b]),
                f"correlation {r[i, j]:+.3f}",
                "the electrodes are bridged by gel or sweat, or a channel is a copy: leave one out",
            )


def _misplaced(recording: Recording, live: np.ndarray) -> Iterator[Finding]:
    """Find electrodes that are more similar to those at another place of the grid than to their neighbours, which means
    that channels may be swapped.
    """
    layout = recording.layout
    if layout is None or min(layout.shape) < 3:
        return
    channels = np.flatnonzero(live & (np.array(layout.row) >= 0))
    if len(channels) < 9:
        return
    r = _correlation(recording, channels, common_average=True)
    np.fill_diagonal(r, 0)
    row, column = np.array(layout.row)[channels], np.array(layout.column)[channels]
    across = np.abs(column[:, None] - column)
    if layout.wraps:
        across = np.minimum(across, layout.shape[1] - across)
    distance = np.maximum(np.abs(row[:, None] - row), across)
    beside = (distance == 1).astype(float)
    # likeness[i, p]: correlation of channel i with the neighbours of the place of channel p, without i itself.
    count = beside.sum(axis=1) - beside
    likeness = (r @ beside) / np.maximum(count, 1)
    own = np.diag(likeness)
    far = np.where((distance > 2) & (count > 0), likeness, -np.inf)
    best = far.argmax(axis=1)
    best_likeness = far.max(axis=1)
    # A channel between two misplaced ones still has most of its neighbours; the misplaced ones have lost all of them.
    wrong = (best_likeness > 0.2) & (own < 0.4 * best_likeness)
    for i in np.flatnonzero(wrong):
        j = best[i]
        if wrong[j] and best[j] == i and j < i:
            continue
        swapped = wrong[j] and best[j] == i
        yield Finding(
            "warning",
            _where(recording, channels[[i, j]] if swapped else channels[[i]]),
            "the two seem to be swapped: each is similar to the other's neighbours"
            if swapped
            else f"similar to the neighbours of channel {channels[j]} ({best_likeness[i]:.2f}), not its own ({own[i]:.2f})",
            "check the layout and the order of channels in the reader",
        )


def mains_share(recording: Recording, live: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the mains frequency, 50 or 60 Hz, and the fraction of each channel's power in its lines, (channel,).

    live : (channel,) whether a channel is examined; the result of other channels is 0.

    >>> hum = 5 * np.sin(2 * np.pi * 50 * np.arange(4000) / 1000) + np.random.default_rng(0).normal(size=(1, 4000))
    >>> frequency, share = mains_share(Recording(hum, 1000.0, None, "anna"), live=np.array([True]))
    >>> frequency, bool(share[0] > 0.8)
    (50.0, True)
    """
    rate = recording.rate_hz
    per = round(2 * rate)  # lines half a hertz wide
    share = {hz: np.zeros(recording.n_channels) for hz in (50.0, 60.0) if hz + 8 <= rate / 2}
    if not share or recording.n_samples < 2 * per:
        return 50.0, np.zeros(recording.n_channels)
    frequency = np.fft.rfftfreq(per, 1 / rate)
    for channel in np.flatnonzero(live):
        density = _median_spectrum(recording.signal[channel], per)
        power = max(density[frequency >= 10].sum(), np.finfo(float).tiny)
        for mains_hz in share:
            share[mains_hz][channel] = _lines(frequency, density, mains_hz, rate) / power
    mains_hz = max(share, key=lambda f: share[f].max())
    return mains_hz, share[mains_hz]


def _median_spectrum(x: np.ndarray, per: int) -> np.ndarray:
    """Return the (frequency,) median power over half-overlapping segments of `per` samples.

    This is Welch's method with a Hann window, after linear detrending of each segment; at most MOST_SEGMENTS segments,
    evenly spaced, are used.
    """
    starts = np.arange(0, len(x) - per + 1, per // 2)
    if len(starts) > MOST_SEGMENTS:
        starts = starts[np.linspace(0, len(starts) - 1, MOST_SEGMENTS).astype(int)]
    segments = np.lib.stride_tricks.sliding_window_view(x, per)[starts].astype(np.float32)
    segments -= segments.mean(axis=1, keepdims=True)
    line = np.arange(per, dtype=np.float32) - np.float32((per - 1) / 2)
    line /= np.sqrt(line @ line)
    segments -= (segments @ line)[:, None] * line
    segments *= np.hanning(per + 1)[:-1].astype(np.float32)
    return np.median(np.abs(np.fft.rfft(segments, axis=1)) ** 2, axis=0)


def _mains(recording: Recording, mains_hz: float, share: np.ndarray) -> Iterator[Finding]:
    loud = np.flatnonzero(share > MAINS_SHARE)
    if len(loud):
        yield Finding(
            "warning",
            _where(recording, loud),
            f"{mains_hz:g} Hz mains and harmonics make up to {share.max():.0%} of the power",
            f"filter with MainsComb({mains_hz:g}) or Notch({mains_hz:g}), and check the reference electrode",
        )


def _lines(frequency: np.ndarray, density: np.ndarray, mains_hz: float, rate_hz: float) -> float:
    """Return the power of the mains line and its harmonics above the density beside them; 0 if there is no line at the
    mains frequency.
    """
    lines = 0.0
    for k in range(1, int((rate_hz / 2 - 8) // mains_hz) + 1):
        away = np.abs(frequency - k * mains_hz)
        floor = np.median(density[(away > 3) & (away < 8)])
        line = density[away <= 1.5]
        if line.max() > 10 * floor:
            lines += (line - floor).sum()
        elif k == 1:
            break
    return lines


def _offset(recording: Recording, mean: np.ndarray, spread: np.ndarray, live: np.ndarray) -> Iterator[Finding]:
    if all(recording.signal[c].min() >= 0 for c in np.flatnonzero(live)) and (mean < 3 * spread)[live].any():
        yield Finding(
            "note",
            _where(recording, np.flatnonzero(live)),
            "never below zero: the signal is rectified or an envelope",
            "do not use zero crossings, slope sign changes, spectra or a band-pass with it",
        )
        return
    shifted = np.flatnonzero(live & (np.abs(mean) > 3 * spread))
    if len(shifted):
        yield Finding(
            "note" if recording.unit == "adc" else "warning",
            _where(recording, shifted),
            f"a constant offset of up to {np.abs(mean[shifted]).max():.4g} {recording.unit}",
            "filter with HighPass(20.0) or BandPass(): amplitude features would measure the offset",
        )


def _unit(recording: Recording, mean: np.ndarray, live: np.ndarray) -> Iterator[Finding]:
    if recording.unit != "uV":
        return
    peaks = [
        np.percentile(np.abs(recording.signal[c].astype(np.float64) - mean[c]), 99.9) for c in np.flatnonzero(live)
    ]
    peak = float(np.median(peaks))
    low, high = PLAUSIBLE_PEAK_UV
    if low <= peak <= high:
        return
    if peak > high:
        guess = "a unit 1000 times too large (mV given as V)? Or ADC counts? Correct the unit, or declare unit='adc'"
    elif peak < low / 300:
        guess = "volts given as µV? Correct the unit, or multiply by 1e6 in the reader"
    else:
        guess = "millivolts given as µV? Correct the unit, or multiply by 1e3 in the reader"
    yield Finding(
        "warning",
        recording.name,
        f"peaks of {peak:.3g} uV, whereas surface EMG has {low:g} to {high:g} uV",
        guess,
    )
