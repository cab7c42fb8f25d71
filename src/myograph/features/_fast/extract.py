"""Features over many windows: by recording, in pieces for threads and in batches of bounded size."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from myograph._common.simd import as_signal
from myograph.errors import ConfigError
from myograph.features._fast.plan import FeaturePlan, Request, plan_of
from myograph.features._fast.sums import SumTable, scattered, segments, walk
from myograph.windows import Windows, distinct

BATCH_BYTES = 1 << 21  # of gathered float64 samples, so that intermediate results fit in the caches
PIECE = 100  # smallest number of windows for which a thread pays off
MANY = 32  # grids per recording; above this number, windows are summed separately if each grid has few


@dataclass(frozen=True)
class Stretch:
    """Windows of one length over one array of samples.

    signal : (channel, time); window i is `signal[:, start[i] : start[i] + length]` and row `row[i]` of the result.
    channel : (window,) the single channel of each row, or None if rows hold all channels.
    """

    signal: np.ndarray
    start: np.ndarray
    length: int
    row: np.ndarray
    channel: np.ndarray | None
    rate_hz: float | None

    @property
    def n_channels(self) -> int:
        """Number of channels per row."""
        return 1 if self.channel is not None else self.signal.shape[0]

    def __getitem__(self, part: slice | np.ndarray) -> Stretch:
        channel = None if self.channel is None else self.channel[part]
        return Stretch(self.signal, self.start[part], self.length, self.row[part], channel, self.rate_hz)

    def gather(self) -> np.ndarray:
        """(window, channel, time) float64 samples."""
        view = sliding_window_view(self.signal, self.length, axis=1)
        if self.channel is not None:
            picked = view[self.channel, self.start][:, None]
        else:
            picked = view.transpose(1, 0, 2)[self.start]
        return picked.astype(np.float64, copy=False)

    def batches(self) -> Iterator[Stretch]:
        """Yield pieces whose gathered samples fit in BATCH_BYTES."""
        size = max(1, BATCH_BYTES // (8 * self.n_channels * self.length))
        for first in range(0, len(self.start), size):
            yield self[first : first + size]


@dataclass(frozen=True)
class Batch:
    """Windows given as a (window, channel, time) array; the same interface as `Stretch`."""

    samples: np.ndarray
    row: np.ndarray
    rate_hz: float | None

    @property
    def length(self) -> int:
        return self.samples.shape[2]

    @property
    def n_channels(self) -> int:
        return self.samples.shape[1]

    def gather(self) -> np.ndarray:
        return self.samples.astype(np.float64, copy=False)

    def batches(self) -> Iterator[Batch]:
        size = max(1, BATCH_BYTES // (8 * self.n_channels * self.length))
        for first in range(0, len(self.row), size):
            part = slice(first, first + size)
            yield Batch(self.samples[part], self.row[part], self.rate_hz)


def sources(X: Windows | np.ndarray, rate_hz: float | None) -> list[Stretch | Batch]:
    """Return the windows of X grouped by recording and by length.

    Raises
    ------
    ShapeError : there are no windows, or they differ in their numbers of channels.
    """
    if not isinstance(X, Windows):
        return [Batch(X, np.arange(len(X)), rate_hz)]
    stop, channel = X.column("stop"), X.column("channel")
    apart = bool((channel >= 0).any())
    found: list[Stretch | Batch] = []
    for recording, where, start in X.by_recording():
        lengths = stop[where] - start
        of = channel[where].astype(np.int64, casting="same_kind") if apart else None
        if of is not None and (of < 0).any():
            if (of >= 0).any():
                _ = X.n_channels  # raises unless the recording has a single channel
            of = None
        present = distinct(lengths)
        for length in present:
            mine = lengths == length if len(present) > 1 else slice(None)
            channels = None if of is None else of[mine]
            found.append(Stretch(recording.signal, start[mine], int(length), where[mine], channels, recording.rate_hz))
    if len({part.n_channels for part in found}) != 1:
        _ = X.n_channels  # raises
    return found


def extract(parts: Sequence[Stretch | Batch], wanted: Sequence[Request], n_windows: int, n_jobs: int = 1) -> np.ndarray:
    """Return (window, column) float64 of the requested features: features first, then outputs, then channels."""
    plans: dict[Any, FeaturePlan] = {}
    kinds = [(p.length, p.rate_hz, isinstance(p, Stretch) and p.channel is not None) for p in parts]
    for part, kind in zip(parts, kinds):
        if kind not in plans:
            length, rate_hz, one_channel = kind
            plans[kind] = plan_of(wanted, part.n_channels, length, rate_hz, one_channel)
    first, *others = plans.values()
    if any(plan.places != first.places for plan in others):
        rates = sorted({part.rate_hz for part in parts if part.rate_hz is not None})
        raise ConfigError(f"at the rates {rates} Hz these features have different numbers of columns; resample first")
    out = np.empty((n_windows, first.n_columns))
    tasks: list[Callable[[], None]] = []
    for part, kind in zip(parts, kinds):
        plan = plans[kind]
        if plan.table is not None:
            tasks.extend(_sums_of(part, plan, plan.table, out, _threads(n_jobs)))
        if plan.by_samples:
            tasks.extend(partial(_gathered, batch, plan, out) for batch in part.batches())
    _run(tasks, _threads(n_jobs))
    return out


def _threads(n_jobs: int) -> int:
    return n_jobs if n_jobs > 0 else os.cpu_count() or 1


def _run(tasks: list[Callable[[], None]], threads: int) -> None:
    """Run the tasks in `threads` threads, including the calling one; raises the first error of any task."""
    waiting, errors = iter(tasks), []  # a list's iterator can be shared by threads, a generator cannot

    def work() -> None:
        try:
            for task in waiting:
                task()
        except BaseException as error:
            errors.append(error)
            for _ in waiting:  # so that no thread starts another task
                pass

    helpers = [_pool().submit(work) for _ in range(min(threads, len(tasks)) - 1)]
    work()
    wait([helper for helper in helpers if not helper.cancel()])  # a running task still writes to the caller's array
    if errors:
        raise errors[0]


@lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    """Threads kept between calls. Starting a thread and first using its memory takes a sixth of the time needed for
    the features of a two-minute recording."""
    return ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="myograph-features")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a forked child inherits the executor but no threads


def at_once(n_channels: int, step: int) -> int:
    """Return the number of windows per call: few enough that their sums fit in a core's cache, and enough that the
    overhead of a call is small."""
    return min(640, max(64, 12_288 // n_channels), max(200, 40_000 // step))


def _sums_of(
    part: Stretch | Batch, plan: FeaturePlan, table: SumTable, out: np.ndarray, threads: int
) -> Iterator[Callable[[], None]]:
    """Return the tasks that write the features computed from sums, split into pieces if several threads pay off."""
    if isinstance(part, Batch):
        return (partial(_sum_batch, batch, plan, table, out) for batch in part.batches())
    grid = _Starts(part, plan, table, out)
    return (partial(grid.sum, first, end) for first, end in pairwise(_edges(len(grid.start), threads)))


def _edges(n: int, threads: int) -> list[int]:
    """Return the boundaries of the pieces of n windows.

    A few windows are split into one piece per thread. Many windows are split into one large piece per thread and then
    into ever smaller ones, so that faster cores do more and all threads end together. Starting a piece costs about as
    much time as 20 windows.
    """
    if threads > 1 and n >= 5 * threads * PIECE:
        sizes = [8] * threads + [size for size in (4, 3, 2, 1) for _ in range(threads // 2)]
    else:
        sizes = [1] * max(1, min(threads, n // PIECE))
    return [n * end // sum(sizes) for end in accumulate(sizes, initial=0)]


def _sum_batch(batch: Batch, plan: FeaturePlan, table: SumTable, out: np.ndarray) -> None:
    # Separate windows are treated as one long window with many channels.
    n, c, length = batch.samples.shape
    signal = as_signal(batch.samples).reshape(n * c, length)
    for _, sums in walk(table, signal, np.array([0]), length, length, 1):
        plan.put_sums(out, batch.row, sums.reshape(-1, n, c))


class _Starts:
    """The windows of a stretch in order of their start, either on common grids or each separately.

    start : distinct starts; `back` maps each row to its start, since rows can share a window.
    """

    def __init__(self, part: Stretch, plan: FeaturePlan, table: SumTable, out: np.ndarray):
        self.plan, self.table, self.out, self.length = plan, table, out, part.length
        gaps = np.diff(part.start)
        if (gaps < 0).any():
            part = part[np.argsort(part.start, kind="stable")]
            gaps = np.diff(part.start)
        self.signal, self.channel = as_signal(part.signal), part.channel
        if self.channel is not None and (self.channel == self.channel[0]).all():
            self.signal, self.channel = self.signal[self.channel[0] : self.channel[0] + 1], None
        self.start, self.row, self.back = part.start, part.row, None
        if self.channel is not None or not gaps.all():
            self.start, self.back = np.unique(part.start, return_inverse=True)
        self.in_order = bool((np.diff(self.row) == 1).all())
        self.step, self.segments = segments(self.start, self.length)
        self.apart = len(self.segments) > MANY and len(self.start) < 4 * len(self.segments)

    def sum(self, first: int, end: int) -> None:
        """Write the rows of the windows at the distinct starts first .. end - 1."""
        if self.apart:
            most = at_once(len(self.signal), self.length)
            for here, sums in scattered(self.table, self.signal, self.start[first:end], self.length, most):
                self._put(first + here.start, first + here.stop, sums)
            return
        most = at_once(len(self.signal), self.step)
        for segment in self.segments:
            begin, stop = max(segment.start, first), min(segment.stop, end)
            if begin < stop:
                for here, sums in walk(self.table, self.signal, self.start[begin:stop], self.length, self.step, most):
                    self._put(begin + here.start, begin + here.stop, sums)

    def _put(self, first: int, end: int, sums: np.ndarray) -> None:
        window = channel = None
        if self.back is not None:
            which = slice(*np.searchsorted(self.back, (first, end)))  # rows are in order of their start
            window = self.back[which] - first
            channel = None if self.channel is None else self.channel[which]
            first, end = which.start, which.stop
        rows = slice(self.row[first], self.row[first] + end - first) if self.in_order else self.row[first:end]
        self.plan.put_sums(self.out, rows, sums, window, channel)


def _gathered(batch: Stretch | Batch, plan: FeaturePlan, out: np.ndarray) -> None:
    plan.put_samples(out, batch.row, batch.gather())
