"""Features of a live signal: the kernels of the offline route, fed chunk by chunk."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from myograph._common.simd import as_signal
from myograph.errors import ShapeError, SignalError, WindowError
from myograph.features._fast.extract import at_once
from myograph.features._fast.plan import Plan, Request
from myograph.features._fast.sums import Grid
from myograph.windows import Windowing


class FeatureStream:
    """Rows of features from chunks of samples; made by `Features.stream`.

    Windows lie on a grid that starts at the stream's first sample. A row comes out with the chunk that completes its
    window, and equals the row of `Features.transform` for the same window of a recording of one label that starts at
    that sample: bit for bit for features that follow from sums (`myograph.features._fast.sums.RECIPES`), and for the others but for
    rounding that follows the size of a batch. The first cost a constant amount of work a sample, whatever the overlap.
    """

    def __init__(self, wanted: Sequence[Request], rate_hz: float, n_channels: int, windowing: Windowing):
        self.length, self.step, _ = windowing.samples(rate_hz)
        self.n_channels, self.rate_hz = n_channels, rate_hz
        try:
            self._plan = Plan(wanted, n_channels, self.length, rate_hz)
        except ShapeError as error:  # the windows are of the caller's windowing here, not of an array
            raise WindowError(str(error)) from None
        self.n_features = self._plan.n_columns
        self._most = at_once(n_channels, self.step)
        self._grid = None
        if self._plan.layout is not None:
            self._grid = Grid(self._plan.layout, n_channels, self.length, self.step, self._most)
        # The samples that windows to come still need, and two before them, which differences reach back to.
        self._held = np.zeros((n_channels, 4 * (self.length + self.step) + 2))
        self.reset()

    def reset(self) -> None:
        """Forget all samples."""
        self._n_held = 0
        self._next = 0  # where in the held samples the next window starts
        self._fresh = True

    def push(self, chunk: np.ndarray) -> np.ndarray:
        """(window, column) features of the windows that these samples complete; no row if they complete none.

        chunk : (channel, time), any number of samples.

        Raises
        ------
        ShapeError : another number of channels. SignalError : not real numbers, NaN or infinite ones; they are not taken.
        """
        chunk = np.asarray(chunk)
        if chunk.ndim != 2 or chunk.shape[0] != self.n_channels:
            raise ShapeError(f"a chunk is (channel, time) with {self.n_channels} channels, got shape {chunk.shape}")
        if chunk.dtype.kind not in "iufb":
            raise SignalError(f"a chunk holds real numbers, got dtype {chunk.dtype}; it was not taken")
        if not np.isfinite(chunk).all():
            raise SignalError("the chunk holds NaN or infinite samples; it was not taken")
        rows = []
        room = self._held.shape[1] // 2
        for first in range(0, max(chunk.shape[1], 1), room):
            self._hold(chunk[:, first : first + room])
            ready = (self._n_held - self._next - self.length) // self.step + 1
            while ready > 0:
                m = min(ready, self._most)
                rows.append(self._rows(m))
                ready -= m
        if len(rows) == 1:
            return rows[0]
        return np.concatenate(rows) if rows else np.empty((0, self.n_features))

    def _hold(self, chunk: np.ndarray) -> None:
        n = chunk.shape[1]
        if self._n_held + n > self._held.shape[1]:
            # Steps longer than windows leave samples that no window needs: those still to come are skipped below.
            drop = min(max(self._next - 2, 0), self._n_held)
            kept = self._n_held - drop
            self._held[:, :kept] = self._held[:, drop : self._n_held].copy()
            self._n_held, self._next = kept, self._next - drop
        self._held[:, self._n_held : self._n_held + n] = chunk
        self._n_held += n

    def _rows(self, m: int) -> np.ndarray:
        out = np.empty((m, self.n_features))
        start = self._next
        if self._grid is not None:
            signal = as_signal(self._held)
            self._plan.put_sums(out, slice(m), self._grid.advance(signal, start, m, self._fresh))
            self._fresh = False
        if self._plan.by_samples:
            begin = start + np.arange(m)[:, None] * self.step + np.arange(self.length)
            samples = np.ascontiguousarray(self._held[:, begin].transpose(1, 0, 2))
            self._plan.put_samples(out, slice(m), samples)
        self._next += m * self.step
        return out
