"""Signal quality of each channel, judged once per second from its last seconds, so that a loose electrode is seen."""

from __future__ import annotations

from collections import deque

import numpy as np

from myograph.datasets.quality import MAINS_SHARE, WEAK_RATIO, mains_share
from myograph.recording import Recording

SPAN_S = 8.0
RECENT_S = 4.0  # the last seconds of it, for all faults except mains hum
RAIL_SHARE = 1e-3  # share of the samples at the end of the range, in runs of three or more
HUM_UV = 8.0  # RMS
NOISE_UV = 20.0  # between contractions, where good electrodes have 2 to 10 µV
NOISE_RATIO = 4.0  # where the unit is unknown: over the quietest quarter of the channels
QUIET_PERCENTILE = 10.0
QUIET_JUDGMENTS = 20  # one per second
TITLES = {
    "good": "good",
    "dead": "no signal: the electrode is off or its cable is broken",
    "rail": "clipped: the signal reaches the end of its range; lower the gain",
    "mains": "mains hum: check the reference electrode and nearby power supplies",
    "noise": "noisy at rest: press the electrode on, or clean the skin",
}


class Last:
    """The last samples of each channel, in order, for the lamps."""

    def __init__(self, n_channels: int, rate_hz: float):
        self._samples = np.zeros((n_channels, round(SPAN_S * rate_hz)), np.float32)
        self._taken = 0

    def push(self, samples: np.ndarray) -> None:
        """Take (channel, time) samples."""
        width = self._samples.shape[1]
        samples = samples[:, -width:]
        columns = (self._taken + np.arange(samples.shape[1])) % width
        self._samples[:, columns] = samples
        self._taken += samples.shape[1]

    def samples(self) -> np.ndarray:
        """(channel, time) copy of what is held."""
        width = self._samples.shape[1]
        if self._taken < width:
            return self._samples[:, : self._taken].copy()
        return np.roll(self._samples, -(self._taken % width), axis=1)


class Judge:
    """Judges all channels over time. The noise of a channel is the lowest of its last 20 levels, one per second."""

    def __init__(self, rate_hz: float, unit: str):
        self.rate_hz, self.unit = rate_hz, unit
        self._quiet: deque[np.ndarray] = deque(maxlen=QUIET_JUDGMENTS)

    def judge(self, samples: np.ndarray) -> list[str]:
        """Return the current states; call it once per second with the samples of `Last`."""
        if samples.shape[1] >= self.rate_hz / 2:
            self._quiet.append(_quiet_level(samples[:, -round(self.rate_hz) :], self.rate_hz))
        return lamps(samples, self.rate_hz, self.unit, np.min(self._quiet, axis=0) if self._quiet else None)


def lamps(samples: np.ndarray, rate_hz: float, unit: str, quiet: np.ndarray | None = None) -> list[str]:
    """Return a key of `TITLES` per channel: the first that applies of dead, rail, mains, noise, good.

    samples : (channel, time), a few seconds. quiet : (channel,) level between contractions; None estimates it from the
        samples. The thresholds are those of `myograph.datasets.quality`, or else our own choice.

    >>> noise = np.random.default_rng(0).normal(size=(2, 4000)) * 5
    >>> lamps(np.vstack([noise, np.zeros(4000)]), 1000.0, "uV")
    ['good', 'good', 'dead']
    """
    if samples.shape[1] < rate_hz / 2:
        return ["good"] * len(samples)
    whole, samples = samples, samples[:, -round(RECENT_S * rate_hz) :]
    spread = samples.std(axis=1, dtype=np.float64)
    live = spread > 1e-9 * np.maximum(np.abs(samples.mean(axis=1, dtype=np.float64)), 1e-30)
    dead = ~live
    if live.sum() >= 4:
        dead |= spread < WEAK_RATIO * np.median(spread[live])
    hum = _has_hum(whole, rate_hz, live, unit)
    quiet = _quiet_level(samples, rate_hz) if quiet is None else quiet
    limit = NOISE_UV if unit == "uV" else NOISE_RATIO * float(np.percentile(quiet[live], 25)) if live.any() else np.inf
    found = []
    for c, channel in enumerate(samples):
        if dead[c]:
            found.append("dead")
        elif _rail_share(channel) > RAIL_SHARE:
            found.append("rail")
        elif hum[c]:
            found.append("mains")
        else:
            found.append("noise" if quiet[c] > limit else "good")
    return found


def _has_hum(samples: np.ndarray, rate_hz: float, live: np.ndarray, unit: str) -> np.ndarray:
    """Return (channel,) whether both halves contain mains hum; spectral lines of muscles do not last that long.

    Hum that is small compared with muscle activity does not matter, even if it dominates a quiet signal.
    """
    half = round(RECENT_S * rate_hz)
    found = np.full(len(samples), samples.shape[1] >= 2 * half)
    for part in (samples[:, :half], samples[:, half:]) if found.any() else ():
        share = mains_share(Recording(part, rate_hz, np.full(part.shape[1], -1), "1"), live)[1]
        loud = np.sqrt(share) * part.std(axis=1, dtype=np.float64) > HUM_UV if unit == "uV" else True
        found &= (share > MAINS_SHARE) & loud
    return found


def _quiet_level(samples: np.ndarray, rate_hz: float) -> np.ndarray:
    """Return (channel,) the standard deviation in the quietest tenths of a second."""
    width = max(2, round(rate_hz / 10))
    n = samples.shape[1] // width
    blocks = samples[:, : n * width].reshape(len(samples), n, width)
    return np.percentile(blocks.std(axis=2, dtype=np.float64), QUIET_PERCENTILE, axis=1)


def _rail_share(x: np.ndarray) -> float:
    """Return the share of samples in runs of three or more at the minimum or the maximum."""
    share = 0.0
    for rail in (x.min(), x.max()):
        at = x == rail
        runs = at[2:] & at[1:-1] & at[:-2]
        share = max(share, float(runs.mean()))
    return share
