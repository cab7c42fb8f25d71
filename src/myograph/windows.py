"""`Windowing` says how recordings are cut; `Windows` is the result: a table of rows and references, never copies."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view

from myograph.errors import ShapeError, WindowError
from myograph.recording import Recording, run_starts

COLUMNS = ("recording", "start", "stop", "label", "subject", "session", "repetition", "position", "channel")


class Cutter(Protocol):
    """Anything that says which sample intervals of a recording are windows: `Windowing`, `Bursts`, or your own."""

    def intervals(self, recording: Recording) -> dict[str, np.ndarray]:
        """Columns `start`, `stop` (samples), `label` (index), `repetition` and `position`, one entry a window; and
        `channel` where a window is one channel alone."""
        ...


@dataclass(frozen=True)
class Windowing:
    """Fixed-length windows at a fixed step.

    Parameters
    ----------
    length_ms, step_ms : duration of a window, and from one window's start to the next; rounded to samples.
    label_rule : "pure" starts a new row of windows in each stretch of one label and one repetition, so no window
        straddles a boundary; "majority" runs one row of windows over the whole recording and gives each the label
        and the repetition that most of its samples have (ties go to the later one).
    future_ms : the label is that of the sample this long after the window's end. It stays within the window's
        contiguous stretch of one repetition: windows too close to its end are left out.
    """

    length_ms: float = 200.0
    step_ms: float = 50.0
    label_rule: Literal["pure", "majority"] = "pure"
    future_ms: float = 0.0

    def __post_init__(self) -> None:
        for name in ("length_ms", "step_ms"):
            if not getattr(self, name) > 0:
                raise WindowError(f"{name} is a positive duration in milliseconds, got {getattr(self, name)}")
        if self.future_ms < 0:
            raise WindowError(f"future_ms is zero or more, got {self.future_ms}")
        if self.label_rule not in ("pure", "majority"):
            raise WindowError(f"label_rule is 'pure' or 'majority', got {self.label_rule!r}")

    def samples(self, rate_hz: float) -> tuple[int, int, int]:
        """(length, step, future) in samples at a rate."""
        length, step, future = (round(ms * rate_hz / 1000) for ms in (self.length_ms, self.step_ms, self.future_ms))
        if length < 1 or step < 1:
            raise WindowError(
                f"{self.length_ms:g} ms windows every {self.step_ms:g} ms at {rate_hz:g} Hz are {length} samples every "
                f"{step}; both must be at least one sample ({1000 / rate_hz:g} ms)"
            )
        return length, step, future

    def intervals(self, recording: Recording) -> dict[str, np.ndarray]:
        length, step, future = self.samples(recording.rate_hz)
        n, label, repetition = recording.n_samples, recording.label, recording.repetition
        if n < length:
            raise WindowError(
                f"{recording.name} has {n} samples ({n / recording.rate_hz:.3g} s), shorter than one window of {length} "
                f"({self.length_ms:g} ms); shorten length_ms or leave the recording out"
            )
        if self.label_rule == "pure":
            runs = run_starts(label, repetition)
            runs_stop = np.append(runs[1:], n)
            counts = np.maximum((runs_stop - runs - length) // step + 1, 0)
            of_run = np.repeat(np.arange(len(runs)), counts)
            first = np.concatenate([[0], np.cumsum(counts)[:-1]])
            start = runs[of_run] + (np.arange(counts.sum()) - first[of_run]) * step
            label_of, repetition_of = label[start], repetition[start]
        else:
            start = np.arange(0, n - length + 1, step)
            label_of = _majority(label, start, length)
            repetition_of = _majority(repetition, start, length)
        keep = label_of >= 0
        if future:
            # The contiguous stretch of one repetition holds both the window's last sample and its target.
            stretch = np.zeros(n, np.int32)
            stretch[run_starts(repetition)[1:]] = 1
            stretch = np.cumsum(stretch, dtype=np.int32)
            target = start + length - 1 + future
            inside = target < n
            target = np.minimum(target, n - 1)
            same = inside & (stretch[target] == stretch[start]) & (stretch[start + length - 1] == stretch[start])
            label_of = label[target]
            keep = same & (label_of >= 0)
        start, label_of, repetition_of = start[keep], label_of[keep], repetition_of[keep]
        return {
            "start": start,
            "stop": start + length,
            "label": label_of,
            "repetition": repetition_of,
            "position": _count_within_runs(label_of, repetition_of),
        }


@dataclass(frozen=True)
class EachChannel:
    """A windowing whose windows are cut into their channels: each channel of each window of `windowing` is a row of
    shape (1, time). Rows of one window share its samples' interval, so no honest protocol parts them.

    every : takes each so-manyth channel.
    """

    windowing: Cutter
    every: int = 1

    def __post_init__(self) -> None:
        if self.every < 1:
            raise WindowError(f"every is 1 (all channels) or more, got {self.every}")

    def intervals(self, recording: Recording) -> dict[str, np.ndarray]:
        channels = np.arange(0, recording.n_channels, self.every)
        found = self.windowing.intervals(recording)
        n = len(found["start"])
        return {k: np.repeat(v, len(channels)) for k, v in found.items()} | {"channel": np.tile(channels, n)}


def _majority(track: np.ndarray, start: np.ndarray, length: int) -> np.ndarray:
    """The value most samples of each window hold; only windows that straddle a change are counted one by one."""
    value = track[start].copy()
    changes = np.concatenate([[0], np.cumsum(track[1:] != track[:-1])])
    for i in np.flatnonzero(changes[start + length - 1] != changes[start]):
        window = track[start[i] : start[i] + length][::-1]
        values, first, counts = np.unique(window, return_index=True, return_counts=True)
        best = counts == counts.max()
        value[i] = values[best][np.argmin(first[best])]
    return value


def _count_within_runs(*tracks: np.ndarray) -> np.ndarray:
    """0, 1, 2, … within each run over which every track stays constant."""
    n = len(tracks[0])
    starts = run_starts(*tracks)
    return (np.arange(n) - np.repeat(starts, np.diff(np.append(starts, n)))).astype(np.int32)


@dataclass(frozen=True)
class _Names:
    """A column of names by their index; it becomes a `pandas.Categorical`, which takes a hundred times as long to make,
    when somebody asks for the table."""

    codes: np.ndarray
    names: list[str]

    def __getitem__(self, rows: Any) -> _Names:
        return _Names(self.codes[rows], self.names)

    def categorical(self) -> pd.Categorical:
        return pd.Categorical.from_codes(self.codes, self.names)


_Columns = dict[str, Any]  # arrays of numbers, and _Names for label, subject and session
_HANDING_OUT = threading.Lock()


class Windows:
    """The lazy X: a table with one row a window, and the recordings its rows point into.

    Indexing never copies samples: `w[rows]` is another Windows, `w[3]` one window as a (channel, time) view,
    `w.batch(rows)` gathers a (window, channel, time) array, `numpy.asarray(w)` all of it.
    scikit-learn takes it as X: `cross_validate(estimator, windows, windows.y, cv=protocol)`.

    Attributes
    ----------
    recordings : tuple of `Recording`.
    table : pandas DataFrame with columns recording (index into `recordings`), start and stop (samples), label,
        subject and session (categories in order of appearance), repetition, position (count within its run of one
        label and repetition) and channel (-1, or the one channel that the row is, see `split_channels`). What is
        changed in it in place holds for these windows.
    """

    def __init__(self, recordings: Sequence[Recording], table: pd.DataFrame | _Columns):
        missing = [c for c in COLUMNS if c not in table]
        if missing:
            raise ShapeError(f"the table of Windows lacks the columns {missing}; make Windows with Windows.cut(...)")
        self.recordings = tuple(recordings)
        # One of the two is None; whoever reads them takes `_columns` first, and once, for `table` sets it last.
        self._columns, self._table = (table, None) if isinstance(table, dict) else (None, table)

    def __getstate__(self) -> dict[str, Any]:
        # The same bytes whether somebody asked for the table or not, and however rows were taken: caches go by them.
        table = self._frame()
        copied = pd.DataFrame({name: table[name].array.copy() for name in table}, index=table.index, copy=True)
        return {"recordings": self.recordings, "table": copied}

    def __setstate__(self, state: dict[str, Any]) -> None:
        Windows.__init__(self, **state)

    @property
    def table(self) -> pd.DataFrame:
        # Whoever holds the table may change it in place, so from here on it alone is what the windows are.
        if self._columns is not None:
            with _HANDING_OUT:
                if self._columns is not None:
                    self._table = self._frame()
                    self._columns = None
        assert self._table is not None
        return self._table

    @table.setter
    def table(self, table: pd.DataFrame) -> None:
        Windows.__init__(self, self.recordings, table)

    def _frame(self) -> pd.DataFrame:
        """The table for our own reading, which leaves the columns what the windows are."""
        columns = self._columns
        if columns is None:
            assert self._table is not None
            return self._table
        return pd.DataFrame({k: v.categorical() if isinstance(v, _Names) else v for k, v in columns.items()}, copy=True)

    def _series(self, name: str) -> pd.Series:
        """One column of the table, for our own reading."""
        columns = self._columns
        if columns is None:
            return self._frame()[name]
        values = columns[name]
        return pd.Series(values.categorical() if isinstance(values, _Names) else values)

    def _column(self, name: str) -> np.ndarray:
        """A column of numbers, not to be written to."""
        columns = self._columns
        return self._frame()[name].to_numpy() if columns is None else columns[name]

    @classmethod
    def cut(cls, recordings: Recording | Iterable[Recording], windowing: Cutter | None = None) -> Windows:
        """Cut recordings into windows.

        Parameters
        ----------
        recordings : one Recording or several, of any subjects, sessions and rates.
        windowing : `Windowing` (the default one if None), `Bursts`, or anything with `intervals(recording)`.

        Raises
        ------
        WindowError : no recording, a recording shorter than a window, not one labelled window in all of them, or a
            windowing whose columns differ in length or name samples or channels that are not there.
        """
        recordings = (recordings,) if isinstance(recordings, Recording) else tuple(recordings)
        windowing = Windowing() if windowing is None else windowing
        if not recordings:
            raise WindowError("there are no recordings to cut; does the selection of subjects leave any?")
        if not hasattr(windowing, "intervals"):
            raise WindowError(f"windowing is Windowing(length_ms=..., step_ms=...), Bursts or alike, got {windowing!r}")
        parts = [_within(r, windowing.intervals(r), windowing) for r in recordings]
        counts = [len(p["start"]) for p in parts]
        if not sum(counts):
            raise WindowError(
                f"{windowing} finds no window in {len(recordings)} recordings: every labelled stretch is shorter "
                "than a window, or nothing is labelled"
            )
        names = list(dict.fromkeys(n for r in recordings for n in r.label_names))
        code_of = {name: code for code, name in enumerate(names)}
        labels = [np.array([code_of[n] for n in r.label_names])[p["label"]] for r, p in zip(recordings, parts)]
        column = lambda key, dtype: np.concatenate([p[key] for p in parts]).astype(dtype, copy=False)  # noqa: E731
        channel = [p.get("channel", np.full(n, -1)) for p, n in zip(parts, counts)]
        columns: _Columns = {
            "recording": np.repeat(np.arange(len(recordings), dtype=np.int32), counts),
            "start": column("start", np.int64),
            "stop": column("stop", np.int64),
            "label": _Names(np.concatenate(labels), names),
            "subject": _spread([r.subject for r in recordings], counts),
            "session": _spread([r.session for r in recordings], counts),
            "repetition": column("repetition", np.int32),
            "position": column("position", np.int32),
            "channel": np.concatenate(channel).astype(np.int16),
        }
        return cls(recordings, columns)

    @classmethod
    def concatenate(cls, parts: Sequence[Windows]) -> Windows:
        """Rows of several Windows one after another; a recording that several share is kept once."""
        if not parts:
            raise WindowError("there are no Windows to concatenate")
        index: dict[int, int] = {}
        recordings: list[Recording] = []
        tables = []
        for part in parts:
            place = np.empty(len(part.recordings), np.int32)
            for i, recording in enumerate(part.recordings):
                if id(recording) not in index:
                    index[id(recording)] = len(recordings)
                    recordings.append(recording)
                place[i] = index[id(recording)]
            tables.append(part._frame().assign(recording=place[part._column("recording")]))
        table = pd.concat([t.drop(columns=["label", "subject", "session"]) for t in tables], ignore_index=True)
        for column in ("label", "subject", "session"):
            table[column] = pd.api.types.union_categoricals([t[column] for t in tables])
        return cls(recordings, table[list(tables[0].columns)])

    def __len__(self) -> int:
        columns = self._columns
        return len(self._frame() if columns is None else columns["start"])

    @property
    def n_samples(self) -> int:
        """Samples in a window; raises ShapeError where windows of several lengths (rates) are mixed."""
        self._need_rows()
        lengths = np.unique(self._column("stop") - self._column("start"))
        if len(lengths) != 1:
            raise ShapeError(
                f"these windows have {len(lengths)} different lengths ({', '.join(map(str, lengths[:5]))} samples), "
                "so they do not form one array; select one rate, or resample the recordings to one rate"
            )
        return int(lengths[0])

    @property
    def n_channels(self) -> int:
        self._need_rows()
        alone = self._column("channel") >= 0
        counts = {self.recordings[i].n_channels for i in distinct(self._column("recording")[~alone])}
        counts |= {1} if alone.any() else set()
        if len(counts) != 1:
            raise ShapeError(
                f"these windows have different channel counts ({sorted(counts)}); select the same channels of each"
            )
        return counts.pop()

    @property
    def rate_hz(self) -> float:
        self._need_rows()
        rates = {self.recordings[i].rate_hz for i in distinct(self._column("recording"))}
        if len(rates) != 1:
            raise ShapeError(
                f"these windows have different rates ({sorted(rates)} Hz); resample the recordings to one rate"
            )
        return rates.pop()

    def _need_rows(self) -> None:
        if not len(self):
            raise ShapeError(
                "there are no windows here, so they have no shape and no rate; does the split or the selection leave any?"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """(window, channel, time)."""
        return len(self), self.n_channels, self.n_samples

    @property
    def ndim(self) -> int:
        return 3

    @property
    def dtype(self) -> np.dtype:
        return np.result_type(*{r.signal.dtype for r in self.recordings})

    @property
    def y(self) -> np.ndarray:
        """(window,) label names."""
        return self._names("label")

    @property
    def groups(self) -> np.ndarray:
        """(window,) subject names, for scikit-learn's group splitters."""
        return self._names("subject")

    def _names(self, column: str) -> np.ndarray:
        columns = self._columns
        if columns is not None:
            return np.asarray(columns[column].names, dtype=str)[columns[column].codes]
        categories = self._series(column).cat
        return np.asarray(categories.categories, dtype=str)[categories.codes.to_numpy()]

    def __getitem__(self, rows: Any) -> Any:
        if isinstance(rows, tuple):
            if len(rows) != 2 or rows[1] is not Ellipsis:
                raise IndexError("Windows are indexed by rows alone; take channels or samples from batch(rows)")
            rows = rows[0]
        if isinstance(rows, (int, np.integer)):
            names = ("recording", "start", "stop", "channel")
            recording, start, stop, channel = (self._column(name)[int(rows)] for name in names)
            signal = self.recordings[recording].signal[:, start:stop]
            return signal if channel < 0 else signal[channel : channel + 1]
        if not isinstance(rows, slice):
            rows = np.atleast_1d(np.asarray(rows))
            if rows.dtype.kind not in "iub" and rows.size:
                raise IndexError(
                    f"Windows are indexed by row positions or a mask, got {rows.dtype}; a column is w.table[...], "
                    "a selection by value w.where(...)"
                )
            if rows.dtype == bool and len(rows) != len(self):
                raise IndexError(f"a mask over {len(self)} windows has {len(self)} entries, got {len(rows)}")
            if rows.ndim != 1:
                raise IndexError(f"Windows are indexed by one row of positions or a mask, got an array of {rows.shape}")
            if rows.size == 0:
                rows = rows.astype(np.intp)
        columns = self._columns
        if columns is None:
            return Windows(self.recordings, self._frame().iloc[rows].reset_index(drop=True))
        return Windows(self.recordings, {name: values[rows] for name, values in columns.items()})

    def where(self, **columns: Any) -> Windows:
        """Rows whose columns hold the given value or one of the given values: `w.where(subject="3", repetition=(1, 2))`."""
        mine = self._columns
        keep, known = np.ones(len(self), bool), list(self._frame() if mine is None else mine)
        for column, values in columns.items():
            if column not in known:
                raise WindowError(f"Windows have no column {column!r}; there are {', '.join(known)}")
            values, found = [values] if np.isscalar(values) else list(values), self._series(column)
            if isinstance(found.dtype, pd.CategoricalDtype):
                values = [str(v) for v in values]
            keep &= found.isin(values).to_numpy()
        return self[keep]

    def without_labels(self) -> Windows:
        """The same windows with nothing known of their labels, for methods that adapt; their recordings have none either."""
        unknown = pd.Categorical.from_codes(np.zeros(len(self), np.int8), ["unknown"])
        recordings = []
        for recording in self.recordings:
            bare = copy.copy(recording)  # what it holds was checked when it was made
            object.__setattr__(bare, "label", np.broadcast_to(np.int32(-1), recording.label.shape))
            recordings.append(bare)
        return Windows(recordings, self._frame().assign(label=unknown))

    def split_channels(self) -> Windows:
        """One row for every channel of every window, each of shape (1, time); rows of one window stay together. Rows that
        are one channel already stay as they are."""
        if len(self) and (self._column("channel") >= 0).all():
            return self
        n, table = self.n_channels, self._frame()
        table = table.loc[table.index.repeat(n)].reset_index(drop=True)
        table["channel"] = np.tile(np.arange(n, dtype=np.int16), len(self))
        return Windows(self.recordings, table)

    def batch(self, rows: Any = None, out: np.ndarray | None = None) -> np.ndarray:
        """Samples of the given rows (all if None): a (window, channel, time) array of its own."""
        whole = self if rows is None else self[rows]
        shape = whole.shape if len(whole) else (0, self.n_channels, self.n_samples)
        out = np.empty(shape, self.dtype) if out is None else out
        for recording, where, start in whole.by_recording():
            view = sliding_window_view(recording.signal, shape[2], axis=1)
            channel = whole._column("channel")[where]
            if (channel >= 0).any():
                out[where, 0] = view[channel, start]
            else:
                out[where] = view.transpose(1, 0, 2)[start]
        return out

    def batches(self, size: int = 1024) -> Iterator[np.ndarray]:
        """All windows in order, as arrays of at most `size` windows."""
        for first in range(0, len(self), size):
            yield self.batch(slice(first, first + size))

    def by_recording(self) -> Iterator[tuple[Recording, np.ndarray, np.ndarray]]:
        """For each recording with rows here: it, the positions of its rows, and their start samples.

        Raises WindowError where a table that somebody gave or changed names samples or channels that are not there.
        """
        unchecked = self._columns is None
        of, start, stop, channel = (self._column(name) for name in ("recording", "start", "stop", "channel"))
        present = distinct(of)
        for i in present:
            where = np.flatnonzero(of == i) if len(present) > 1 else np.arange(len(of))
            if unchecked:
                _check_inside("the windows' table", self.recordings[i], start[where], stop[where], channel[where])
            yield self.recordings[i], where, start[where]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("windows overlap, so an array of them is always a copy")
        array = self.batch()
        return array if dtype is None else array.astype(dtype, copy=False)

    def __repr__(self) -> str:
        subjects, labels = self._series("subject").nunique(), self._series("label").nunique()
        return f"<Windows: {len(self)} of {len(self.recordings)} recordings, {subjects} subjects, {labels} labels>"


def distinct(numbers: np.ndarray) -> np.ndarray:
    """Sorted distinct whole numbers, none negative or very large (recordings, lengths): a tenth of np.unique's time."""
    return np.flatnonzero(np.bincount(numbers))


def _within(recording: Recording, found: dict[str, np.ndarray], windowing: Cutter) -> dict[str, np.ndarray]:
    columns = {name: np.asarray(values) for name, values in found.items()}
    start, stop = columns["start"], columns["stop"]
    if start.ndim != 1 or any(values.shape != start.shape for values in columns.values()):
        shapes = ", ".join(f"{name} {values.shape}" for name, values in columns.items())
        raise WindowError(
            f"{windowing} gives columns that do not have one entry a window for {recording.name}: {shapes}"
        )
    _check_inside(windowing, recording, start, stop, columns.get("channel", np.array([-1])))
    return columns


def _check_inside(
    giver: object, recording: Recording, start: np.ndarray, stop: np.ndarray, channel: np.ndarray
) -> None:
    """Raises WindowError for samples or a channel that the recording does not have: compiled loops do not look."""
    if ((start < 0) | (stop <= start) | (stop > recording.n_samples)).any():
        raise WindowError(
            f"{giver} gives windows outside {recording.name}'s {recording.n_samples} samples, or of none: starts run "
            f"from {start.min()} to {start.max()}, stops from {stop.min()} to {stop.max()}"
        )
    if (channel >= recording.n_channels).any():
        raise WindowError(
            f"{giver} gives windows of channel {channel.max()} of {recording.name}, which has {recording.n_channels} "
            "channels, counted from 0"
        )


def _spread(names: list[str], counts: list[int]) -> _Names:
    distinct_names = list(dict.fromkeys(names))
    return _Names(np.repeat([distinct_names.index(n) for n in names], counts), distinct_names)
