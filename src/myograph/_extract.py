"""How a list of features is computed over windows: which route takes which feature, in batches of bounded size."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from myograph._shared import SPECTRAL, WAVELET, spectral, wavelet
from myograph._simd import as_signal
from myograph._sums import Layout, Recipe, Sums, recipe_of, scattered, segments, walk
from myograph.errors import ConfigError, ShapeError, SignalError, unknown_name
from myograph.features import FEATURES, Feature, resolve
from myograph.features._base import check_level
from myograph.windows import Windows, distinct

BATCH_BYTES = 1 << 21  # of gathered samples in float64, so that what is computed from them stays in the caches
PIECE = 128  # windows that are worth a task of their own
MANY = 32  # grids a recording; with more than these, of few windows each, windows are summed one by one


@dataclass(frozen=True)
class Request:
    """One feature with the parameters that it is to be computed with (`rate_hz` apart, which the windows bring)."""

    feature: Feature
    parameters: Mapping[str, Any]

    def at(self, rate_hz: float | None) -> dict[str, Any]:
        """The parameters at a sampling rate."""
        if not self.feature.needs_rate or "rate_hz" in self.parameters:
            return dict(self.parameters)
        if rate_hz is None:
            raise ConfigError(
                f"feature {self.feature.name} needs the sampling rate, which an array does not bring: "
                "Features(..., rate_hz=...)"
            )
        return {**self.parameters, "rate_hz": rate_hz}

    def n_outputs(self, n_channels: int, rate_hz: float | None) -> int:
        """Columns of each channel, or of all channels together where the feature mixes them."""
        return self.feature.n_outputs(n_channels, **self.at(rate_hz))

    def width(self, n_channels: int, rate_hz: float | None) -> int:
        """Columns in all."""
        return self.n_outputs(n_channels, rate_hz) * (n_channels if self.feature.axes == "time" else 1)

    def columns(self, n_channels: int, rate_hz: float | None) -> list[str]:
        """Names of the columns: `MAV_ch0`, `AR.1_ch0` for the second output, `COV.1` where channels are mixed."""
        k = self.n_outputs(n_channels, rate_hz)
        outputs = [f"{self.feature.name}.{i}" for i in range(k)] if self.feature.vector else [self.feature.name]
        if self.feature.axes == "channel":
            return outputs
        return [f"{output}_ch{c}" for output in outputs for c in range(n_channels)]


def requests(names: Any, options: Mapping[str, Mapping[str, Any]] | None, threshold: float | None) -> list[Request]:
    """What `Features(names, options, threshold)` asks for; raises UnknownNameError for names that do not exist."""
    features = resolve(names)
    if not features:
        raise ConfigError("Features has no names: give at least one feature or group")
    options = {_owner(name).name: dict(given) for name, given in (options or {}).items()}
    chosen = {f.name for f in features}
    for name in options:
        if name not in chosen:
            raise unknown_name("feature among the chosen ones (options)", name, chosen)
    made = []
    for feature in features:
        parameters = {"threshold": threshold} if threshold is not None and "threshold" in feature.parameters else {}
        parameters.update(options.get(feature.name, {}))
        for given in parameters:
            if given not in feature.parameters:
                raise unknown_name(f"parameter of feature {feature.name}", given, feature.parameters)
        made.append(Request(feature, parameters))
    return made


def _owner(name: str) -> Feature:
    return FEATURES[name]


@dataclass(frozen=True)
class Stretch:
    """Windows of one length over one array of samples.

    signal : (channel, time); window i is `signal[:, start[i] : start[i] + length]` and row `row[i]` of the result.
    channel : (window,) the one channel that a row is, or None where rows hold all channels.
    """

    signal: np.ndarray
    start: np.ndarray
    length: int
    row: np.ndarray
    channel: np.ndarray | None
    rate_hz: float | None

    @property
    def n_channels(self) -> int:
        """Channels of a row."""
        return 1 if self.channel is not None else self.signal.shape[0]

    def __getitem__(self, part: slice) -> Stretch:
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
        """Pieces whose gathered samples stay within BATCH_BYTES."""
        size = max(1, BATCH_BYTES // (8 * self.n_channels * self.length))
        for first in range(0, len(self.start), size):
            yield self[first : first + size]


@dataclass(frozen=True)
class Batch:
    """Windows that come as a (window, channel, time) array; the same face as `Stretch`."""

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
    """The windows of X grouped by recording and by length."""
    if not isinstance(X, Windows):
        return [Batch(X, np.arange(len(X)), rate_hz)]
    table = X.table
    stop, channel = table["stop"].to_numpy(), table["channel"].to_numpy()
    found: list[Stretch | Batch] = []
    for recording, where, start in X.by_recording():
        lengths = stop[where] - start
        one_channel = (channel[where] >= 0).any()
        for length in distinct(lengths):
            mine = lengths == length
            of = channel[where[mine]] if one_channel else None
            found.append(Stretch(recording.signal, start[mine], int(length), where[mine], of, recording.rate_hz))
    return found


def all_finite(x: np.ndarray) -> bool:
    """Whether numbers hold no NaN and no infinity; one sum says so unless it overflows."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(x.dtype.kind != "f" or np.isfinite(x.sum(dtype=np.float64)) or np.isfinite(x).all())


def check_input(X: Any) -> Windows | np.ndarray:
    """X as Windows or a finite (window, channel, time) array of numbers.

    Raises
    ------
    ShapeError : other axes.
    SignalError : not numbers, or NaN or infinite samples (a Recording has checked its own).
    """
    if isinstance(X, Windows):
        return X
    X = np.asarray(X)
    if X.ndim != 3:
        raise ShapeError(
            f"Features takes Windows or a (window, channel, time) array, got shape {X.shape}; "
            "use x[None] for one window, x[:, None] for windows of one channel"
        )
    if X.shape[1] == 0:
        raise ShapeError(f"windows are (window, channel, time), got no channels in shape {X.shape}")
    if X.dtype.kind not in "fiub":
        raise SignalError(f"samples are real numbers, got an array of {X.dtype}")
    if not all_finite(X):
        bad = int(np.argwhere(~np.isfinite(X))[0, 0])
        raise SignalError(f"X holds NaN or infinite samples, the first in window {bad}; repair or leave it out")
    return X


def extract(
    X: Windows | np.ndarray, n_channels: int, wanted: Sequence[Request], rate_hz: float | None, n_jobs: int = 1
) -> np.ndarray:
    """(window, column) float64 of the wanted features, features first, then outputs, then channels."""
    parts = sources(X, rate_hz)
    widths = {tuple(r.width(n_channels, p.rate_hz) for r in wanted) for p in parts}
    if len(widths) > 1:
        rates = sorted({p.rate_hz for p in parts})
        raise ConfigError(f"at the rates {rates} Hz these features have different numbers of columns; resample first")
    width = widths.pop() if widths else tuple(r.width(n_channels, rate_hz) for r in wanted)
    place = np.concatenate([[0], np.cumsum(width)])
    out = np.empty((len(X), place[-1]))
    for part in parts:
        for r in wanted:
            least = r.feature.shortest_window(n_channels, **r.at(part.rate_hz))
            if part.length < least:
                raise ShapeError(
                    f"{r.feature.name} needs windows of at least {least} samples, these have {part.length}; "
                    "lengthen the windows, or leave the feature out"
                )

    tasks: list[Callable[[], None]] = []
    for part in parts:
        fast, slow = routes(wanted, part)
        columns = [slice(place[i], place[i + 1]) for i in range(len(wanted))]
        if fast:
            layout, recipes = layout_of([wanted[i] for i in fast], part.rate_hz)
            put = partial(_put, out, layout, recipes, [columns[i] for i in fast])
            tasks.extend(partial(_sum, piece, layout, put) for piece in _pieces(part, n_jobs))
        if slow:
            put = partial(_gathered, out, [wanted[i] for i in slow], [columns[i] for i in slow])
            tasks.extend(partial(put, batch) for batch in part.batches())
    _run(tasks, _threads(n_jobs))
    return out


def _threads(n_jobs: int) -> int:
    return n_jobs if n_jobs > 0 else os.cpu_count() or 1


def _run(tasks: list[Callable[[], None]], threads: int) -> None:
    """Do the tasks in so many threads, of which the caller's is one; raises the first error of any."""
    waiting = iter(tasks)

    def work() -> None:
        for task in waiting:
            task()

    others = [_pool().submit(work) for _ in range(min(threads, len(tasks)) - 1)]
    try:
        work()
    finally:  # whoever has begun writes to the caller's array; the others are not needed any more
        errors = [other.exception() for other in others if not other.cancel()]
    for error in filter(None, errors):
        raise error


@cache
def _pool() -> ThreadPoolExecutor:
    """Kept: to start a thread, and to touch its memory anew, took a sixth of two minutes of recording."""
    return ThreadPoolExecutor(os.cpu_count() or 1, "myograph-features")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a child has the pool and none of its threads


def routes(wanted: Sequence[Request], part: Stretch | Batch) -> tuple[list[int], list[int]]:
    """Which of the requests follow from sums, and which need the windows' samples."""
    one_channel = isinstance(part, Stretch) and part.channel is not None
    fast = [
        i
        for i, r in enumerate(wanted)
        if recipe_of(r.feature.name, r.feature.filled(r.at(part.rate_hz)))
        and not (one_channel and r.feature.axes == "channel")
    ]
    return fast, [i for i in range(len(wanted)) if i not in fast]


def layout_of(wanted: Sequence[Request], rate_hz: float | None) -> tuple[Layout, list[Recipe]]:
    """The kernels' layout for requests that have recipes, and these recipes."""
    levels = [0.0] * 4
    recipes = []
    for r in wanted:
        filled = r.feature.filled(r.at(rate_hz))
        recipe = recipe_of(r.feature.name, filled)
        assert recipe is not None
        recipes.append(recipe)
        if recipe.level is not None:
            levels[recipe.level] = check_level(r.feature.name, "threshold", filled["threshold"])
    return Layout(recipes, levels), recipes


def _pieces(part: Stretch | Batch, n_jobs: int) -> Iterator[Stretch | Batch]:
    """The windows in order of their start; for several threads in pieces, two a thread if they are worth it. Later
    pieces are smaller, so that a faster processor does more and all end together."""
    if isinstance(part, Batch):
        yield from part.batches()
        return
    ordered = part if (np.diff(part.start) >= 0).all() else part[np.argsort(part.start, kind="stable")]
    n, threads = len(ordered.start), _threads(n_jobs)
    count = 1 if threads == 1 else max(1, min(2 * threads, n // PIECE))
    ends = np.cumsum(np.linspace(2.5, 1.0, count))
    edges = [0, *np.rint(n * ends / ends[-1]).astype(int).tolist()]
    for first, end in pairwise(edges):
        yield ordered[first:end]


def at_once(n_channels: int, step: int) -> int:
    """Windows that are summed at once: their sums stay in a processor's own cache, and reading their samples takes
    longer than the call."""
    return min(640, max(64, 12_288 // n_channels), max(200, 40_000 // step))


def _sum(piece: Stretch | Batch, layout: Layout, put: Callable[..., None]) -> None:
    if isinstance(piece, Batch):
        # Windows that come one by one are one long window of many channels.
        n, c, length = piece.samples.shape
        signal = as_signal(piece.samples).reshape(n * c, length)
        for _, sums in walk(layout, signal, np.array([0]), length, length, 1):
            put(piece.row, None, sums.reshape(-1, n, c), length)
        return
    signal, channel = as_signal(piece.signal), piece.channel
    if channel is not None and (channel == channel[0]).all():
        signal, channel = signal[channel[0] : channel[0] + 1], None
    plain = bool((np.diff(piece.start) > 0).all())  # no two rows share a window
    start, back = (piece.start, np.arange(len(piece.start))) if plain else np.unique(piece.start, return_inverse=True)
    step, found = segments(start, piece.length)

    def put_here(here: slice, sums: np.ndarray) -> None:
        if plain and channel is None:
            put(piece.row[here], None, sums, piece.length)
            return
        mine = slice(*np.searchsorted(back, (here.start, here.stop)))  # rows are in order of their start
        which = back[mine] - here.start
        put(piece.row[mine], None if channel is None else channel[mine], sums[:, which], piece.length)

    if len(found) > MANY and len(start) < 4 * len(found):
        for here, sums in scattered(layout, signal, start, piece.length, at_once(len(signal), piece.length)):
            put_here(here, sums)
        return
    for segment in found:
        for here, sums in walk(layout, signal, start[segment], piece.length, step, at_once(len(signal), step)):
            put_here(slice(segment.start + here.start, segment.start + here.stop), sums)


def _put(
    out: np.ndarray, layout: Layout, recipes: list[Recipe], columns: list[slice],
    row: np.ndarray, channel: np.ndarray | None, values: np.ndarray, length: int,
) -> None:  # fmt: skip
    """Write the features of some windows; values are their sums, (kept row, window, channel)."""
    sums = Sums(values, layout, length)
    rows = slice(row[0], row[-1] + 1) if (np.diff(row) == 1).all() else row
    for recipe, column in zip(recipes, columns):
        found = recipe.value(sums)
        out[rows, column] = found if channel is None else found[np.arange(len(row)), channel][:, None]


def _gathered(out: np.ndarray, wanted: list[Request], columns: list[slice], batch: Stretch | Batch) -> None:
    samples = batch.gather()
    for indices, compute in together(wanted, batch.rate_hz):
        for i, values in zip(indices, compute(samples)):
            out[batch.row, columns[i]] = values


def together(wanted: Sequence[Request], rate_hz: float | None) -> list[tuple[list[int], Callable]]:
    """Requests that are computed from one transform: their indices, and samples -> (window, column) of each."""
    groups: dict[Any, list[int]] = {}
    for i, request in enumerate(wanted):
        name, filled = request.feature.name, request.feature.filled(request.at(rate_hz))
        key: Any = i
        if name in SPECTRAL:
            key = "spectral"
        elif name in WAVELET:
            key = ("wavelet", *(repr(filled[p]) for p in ("rate_hz", "wavelet", "level")))
        groups.setdefault(key, []).append(i)
    return [(indices, partial(_compute, [wanted[i] for i in indices], rate_hz)) for indices in groups.values()]


def _compute(wanted: Sequence[Request], rate_hz: float | None, samples: np.ndarray) -> list[np.ndarray]:
    names = [r.feature.name for r in wanted]
    filled = [r.feature.filled(r.at(rate_hz)) for r in wanted]
    if names[0] in SPECTRAL and len(names) > 1:
        return spectral(samples, names, filled)
    if names[0] in WAVELET and len(names) > 1:
        return [np.moveaxis(v, -1, 1).reshape(len(samples), -1) for v in wavelet(samples, names, filled[0])]
    return [pure(r, samples, rate_hz) for r in wanted]


def pure(request: Request, samples: np.ndarray, rate_hz: float | None) -> np.ndarray:
    """(window, column) of one feature by its pure function; samples are (window, channel, time)."""
    values = request.feature(samples, **request.at(rate_hz))
    if request.feature.axes == "time" and request.feature.vector:
        values = np.moveaxis(values, -1, 1)
    return values.reshape(len(samples), -1)
