"""Features of a live signal, computed chunk by chunk with the same kernels as offline."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from myograph._common.simd import as_signal
from myograph.errors import ShapeError, SignalError, WindowError
from myograph.features._fast.extract import at_once
from myograph.features._fast.plan import FeaturePlan, Request
from myograph.features._fast.sums import SlidingSums
from myograph.windows import Windowing


class FeatureStream:
    """Computes rows of features from chunks of samples; created by `Features.stream`.

    Windows lie on a grid that starts at the stream's first sample. The chunk that completes a window returns its row.
    The row equals that of `Features.transform` for the same window, if the recording has one label and starts at that
    sample: bit for bit for features computed from sums (`myograph.features._fast.sums.FORMULAS`); for others up to
    rounding that depends on the size of a batch. Features computed from sums cost a constant amount of work per sample,
    whatever the overlap.

    Examples
    --------
    >>> from myograph.features.transformer import Features
    >>> stream = Features("MAV").stream(rate_hz=1000, n_channels=2, windowing=Windowing(length_ms=4, step_ms=2))
    >>> stream.push(np.ones((2, 3))).shape  # no window is complete yet
    (0, 2)
    >>> stream.push(np.ones((2, 3)))
    array([[1., 1.],
           [1., 1.]])
    >>> stream.reset()
    >>> len(stream.push(np.ones((2, 3))))
    0
    """

    def __init__(self, wanted: Sequence[Request], rate_hz: float, n_channels: int, windowing: Windowing):
        self.length, self.step, _ = windowing.samples(rate_hz)
        self.n_channels, self.rate_hz = n_channels, rate_hz
        try:
            self._plan = FeaturePlan(wanted, n_channels, self.length, rate_hz)
        except ShapeError as error:  # the caller gave a windowing, not an array
            raise WindowError(str(error)) from None
        self.n_features = self._plan.n_columns
        self._most = at_once(n_channels, self.step)
        self._grid = None
        if self._plan.table is not None:
            self._grid = SlidingSums(self._plan.table, n_channels, self.length, self.step, self._most)
        # The samples that later windows need, and the two before them, which the differences need.
        self._held = np.zeros((n_channels, 4 * (self.length + self.step) + 2))
        self._signal = as_signal(self._held)  # shares memory with `_held`
        self.reset()

    def reset(self) -> None:
        """Discard all samples; the next sample starts a new grid."""
        self._n_held = 0
        self._next = 0  # position in the held samples at which the next window starts
        self._fresh = True

    def push(self, chunk: np.ndarray) -> np.ndarray:
        """Return the (window, column) features of the windows that these samples complete; there may be none.

        Parameters
        ----------
        chunk : (channel, time) real numbers, with any number of samples.

        Raises
        ------
        ShapeError : another number of channels.
        SignalError : the samples are not real numbers, or NaN or infinite. The chunk is then ignored.
        """
        chunk = np.asarray(chunk)
        if chunk.ndim != 2 or chunk.shape[0] != self.n_channels:
            raise ShapeError(
                f"a chunk must be (channel, time) with {self.n_channels} channels, got shape {chunk.shape}"
            )
        if chunk.dtype.kind not in "iufb":
            raise SignalError(f"a chunk must hold real numbers, got dtype {chunk.dtype}; it was ignored")
        if not np.isfinite(chunk).all():
            raise SignalError("the chunk holds NaN or infinite samples; it was ignored")
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
            # If the step is longer than the windows, there are samples between windows that none of them needs.
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
            self._plan.put_sums(out, slice(m), self._grid.advance(self._signal, start, m, self._fresh))
            self._fresh = False
        if self._plan.by_samples:
            begin = start + np.arange(m)[:, None] * self.step + np.arange(self.length)
            samples = np.ascontiguousarray(self._held[:, begin].transpose(1, 0, 2))
            self._plan.put_samples(out, slice(m), samples)
        self._next += m * self.step
        return out
