"""Data that the page draws: minimum and maximum of the samples in each short bin, and the level of each channel."""

from __future__ import annotations

import struct

import numpy as np

BINS_PER_S = 250
KEPT_S = 12.0  # history that a newly opened page can draw
LEVEL_S = 0.1
HEADER = struct.Struct("<4Idd")  # kind, channels, bins, samples per bin, number of the first bin, bins per second
KIND = 1


class View:
    """A ring of the newest bins.

    A bin holds the minimum and the maximum of its samples, so that a page shows every spike at any zoom, although it
    receives far fewer values than samples.

    Attributes
    ----------
    size : samples per bin.
    bins : number of finished bins since the start.
    """

    def __init__(self, n_channels: int, rate_hz: float):
        self.n_channels, self.rate_hz = n_channels, rate_hz
        self.size = max(1, round(rate_hz / BINS_PER_S))
        self.room = round(KEPT_S * rate_hz / self.size)
        self.bins = 0
        self._low = np.zeros((self.room, n_channels), np.float32)
        self._high = np.zeros((self.room, n_channels), np.float32)
        self._rest = np.zeros((n_channels, 0), np.float32)
        self._power = np.zeros((n_channels, max(1, round(LEVEL_S * rate_hz))), np.float32)
        self._at = 0

    def push(self, samples: np.ndarray) -> None:
        """Take (channel, time) samples."""
        samples = np.asarray(samples, np.float32)
        self._keep_power(samples)
        joined = np.concatenate([self._rest, samples], axis=1)
        n = joined.shape[1] // self.size
        blocks = joined[:, : n * self.size].reshape(self.n_channels, n, self.size)
        self._rest = joined[:, n * self.size :]
        rows = (self.bins + np.arange(n))[-self.room :] % self.room
        self._low[rows] = blocks.min(axis=2).T[-self.room :]
        self._high[rows] = blocks.max(axis=2).T[-self.room :]
        self.bins += n

    def _keep_power(self, samples: np.ndarray) -> None:
        width = self._power.shape[1]
        samples = samples[:, -width:]
        columns = (self._at + np.arange(samples.shape[1])) % width
        self._power[:, columns] = samples
        self._at = int(self._at + samples.shape[1]) % width

    def level(self) -> np.ndarray:
        """Return (channel,) the standard deviation over the last tenth of a second."""
        return self._power.std(axis=1)

    def frame(self, first: int) -> tuple[bytes, int]:
        """Return the bins from number `first` to the newest as bytes, and the number of the next bin.

        The bytes are the header, then float32: minima (bin, channel), maxima (bin, channel), levels (channel,). Bins that
        the ring no longer holds are left out.
        """
        first = max(first, self.bins - self.room)
        rows = np.arange(first, self.bins) % self.room
        header = HEADER.pack(KIND, self.n_channels, len(rows), self.size, float(first), self.rate_hz / self.size)
        parts = [self._low[rows], self._high[rows], self.level().astype(np.float32)]
        return header + b"".join(part.tobytes() for part in parts), self.bins
