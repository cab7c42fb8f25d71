"""What the page draws: the least and the greatest sample of each short bin, and each channel's level."""

from __future__ import annotations

import struct

import numpy as np

BINS_PER_S = 250
KEPT_S = 12.0  # what a page that has just been opened can still draw
LEVEL_S = 0.1
HEADER = struct.Struct("<4Idd")  # kind, channels, bins, samples per bin, number of the first bin, bins per second
KIND = 1


class View:
    """A ring of the newest bins.

    A bin holds the least and the greatest of its samples, so that a page at any zoom shows every spike although it gets a
    small part of the samples.

    Attributes
    ----------
    size : samples per bin.
    bins : finished bins since the start.
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
        """(channel,) standard deviation over the last tenth of a second."""
        return self._power.std(axis=1)

    def frame(self, first: int) -> tuple[bytes, int]:
        """Bins from number `first` to the newest as bytes, and the number that comes next.

        The bytes are the header, then float32: least values (bin, channel), greatest values (bin, channel), level (channel,).
        Bins that the ring no longer has are left out.
        """
        first = max(first, self.bins - self.room)
        rows = np.arange(first, self.bins) % self.room
        header = HEADER.pack(KIND, self.n_channels, len(rows), self.size, float(first), self.rate_hz / self.size)
        parts = [self._low[rows], self._high[rows], self.level().astype(np.float32)]
        return header + b"".join(part.tobytes() for part in parts), self.bins
