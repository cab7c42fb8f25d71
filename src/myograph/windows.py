"""`Windowing` defines how recordings are cut into windows; `Windows` holds the result, one row per window, without
copying samples.
"""

from __future__ import annotations

import copy
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, cast, overload

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view

from myograph._common.columns import (
    COLUMNS,
    NAMES,
    check_rows,
    cut,
    distinct,
    frozen,
    joined,
    names,
    numbers,
    row_positions,
)
from myograph._common.runs import count_within_runs, majority, run_numbers, starts_within_runs, stretch_numbers
from myograph.errors import ShapeError, WindowError
from myograph.recording import Recording


class Cutter(typing.Protocol):
    """Interface of all windowings: `Windowing`, `EachChannel`, `Bursts`, or your own class.

    >>> class Halves:
    ...     def intervals(self, recording):
    ...         n = recording.n_samples // 2
    ...         start, one = np.array([0, n]), np.ones(2, int)
    ...         return {"start": start, "stop": start + n, "label": 0 * one, "repetition": one, "position": 0 * one}
    >>> Windows.cut(Recording(np.zeros((4, 600)), 1000, np.zeros(600, int), subject="1"), Halves()).shape
    (2, 4, 300)
    """

    def intervals(self, recording: Recording) -> dict[str, np.ndarray]:
        """Return the columns `start`, `stop` (samples), `label` (index into `recording.label_names`), `repetition` and
        `position`, with one entry per window; and `channel` if each window is a single channel.
        """
        ...


@dataclass(frozen=True)
class Windowing:
    """Windows of fixed length at a fixed step.

    Parameters
    ----------
    length_ms, step_ms : duration of a window, and time between the starts of consecutive windows, in ms; both are
        rounded to whole samples.
    label_rule : "pure" restarts the windows at each change of label or repetition, so that no window crosses a
        boundary. "majority" covers the whole recording and gives each window the label and the repetition of most of
        its samples; on a tie, it takes the later one.
    future_ms : take the label from the sample this many ms after the window's last sample. Windows are left out if that
        sample is outside their contiguous stretch of one repetition.

    Raises
    ------
    WindowError : a duration that is not positive, or an unknown label rule.

    Examples
    --------
    >>> Windowing(length_ms=200, step_ms=50).samples(rate_hz=1000)
    (200, 50, 0)
    >>> recording = Recording(np.zeros((1, 600)), 1000, np.repeat([0, 1], 300), subject="1")
    >>> Windowing(length_ms=200, step_ms=100).intervals(recording)["start"]
    array([  0, 100, 300, 400])
    """

    length_ms: float = 200.0
    step_ms: float = 50.0
    label_rule: Literal["pure", "majority"] = "pure"
    future_ms: float = 0.0

    def __post_init__(self) -> None:
        for name in ("length_ms", "step_ms"):
            if not getattr(self, name) > 0:
                raise WindowError(f"{name} must be a positive duration in milliseconds, got {getattr(self, name)}")
        if not self.future_ms >= 0:
            raise WindowError(f"future_ms must be 0 (the window's own label) or more, got {self.future_ms}")
        if self.label_rule not in ("pure", "majority"):
            raise WindowError(f"label_rule must be 'pure' or 'majority', got {self.label_rule!r}")

    def samples(self, rate_hz: float) -> tuple[int, int, int]:
        """Return (length, step, future) in samples at a sampling rate; WindowError if length or step is below one
        sample.
        """
        length, step, future = (round(ms * rate_hz / 1000) for ms in (self.length_ms, self.step_ms, self.future_ms))
        if length < 1 or step < 1:
            raise WindowError(
                f"{self.length_ms:g} ms windows every {self.step_ms:g} ms at {rate_hz:g} Hz are {length} samples every "
                f"{step}; both must be at least one sample ({1000 / rate_hz:g} ms)"
            )
        return length, step, future

    def intervals(self, recording: Recording) -> dict[str, np.ndarray]:
        """Return the windows of one recording, as columns with one entry per window.

        Raises
        ------
        WindowError : the recording is shorter than one window.
        """
        length, step, future = self.samples(recording.rate_hz)
        n, label, repetition = recording.n_samples, recording.label, recording.repetition
        if n < length:
            raise WindowError(
                f"{recording.name} has {n} samples ({n / recording.rate_hz:.3g} s), shorter than one window of {length} "
                f"({self.length_ms:g} ms); shorten length_ms or leave the recording out"
            )
        stretch = stretch_numbers(recording.breaks, n)
        if self.label_rule == "pure":
            start = starts_within_runs(length, step, label, repetition, stretch)
            label_of, repetition_of = label[start], repetition[start]
        else:
            start = starts_within_runs(length, step, stretch)
            label_of, repetition_of = (majority(track, start, length) for track in (label, repetition))
        keep = np.ones(len(start), bool)
        if future:
            # First sample, last sample and target must lie in one contiguous stretch of one repetition.
            stretch, last = run_numbers(repetition) + stretch, start + length - 1
            target = np.minimum(last + future, n - 1)
            keep = (last + future < n) & (stretch[target] == stretch[start]) & (stretch[last] == stretch[start])
            label_of = label[target]
        if recording.label_names:  # a recording without labels is cut completely, for prediction
            keep &= label_of >= 0
        start, label_of, repetition_of = start[keep], label_of[keep], repetition_of[keep]
        return {
            "start": start,
            "stop": start + length,
            "label": label_of,
            "repetition": repetition_of,
            "position": count_within_runs(label_of, repetition_of),
        }


class Windows:
    """The X of every method: one row per window, which points into a recording. Windows are immutable; `with_columns`
    returns new ones with other columns.

    Indexing never copies samples: `w[rows]` is another Windows, `w[3]` one window as a (channel, time) view.
    `w.batch(rows)` copies rows into a (window, channel, time) array, and `numpy.asarray(w)` copies all. scikit-learn
    accepts Windows as X: `cross_validate(estimator, windows, windows.y, cv=protocol)`.

    Parameters
    ----------
    recordings : the recordings that the rows point into.
    table : pandas DataFrame (or mapping of columns) with one row per window and the columns recording (index into
        `recordings`), start and stop (samples), label, subject and session (names), repetition, position (count within
        its run of one label and repetition) and channel (the single channel that the row is, or -1 for all, see
        `split_channels`). It is copied; further columns are ignored.

    Attributes
    ----------
    recordings : tuple of `Recording`.
    table : the columns as a new DataFrame on each access. Label, subject and session are categories in order of
        appearance.

    Raises
    ------
    ShapeError : a column is missing, or columns differ in length.
    WindowError : a row names a recording, samples or a channel that do not exist, or a column holds other values.

    Examples
    --------
    >>> signal, label = np.arange(8000.0).reshape(4, 2000), np.repeat([0, 1], 1000)
    >>> recording = Recording(signal, rate_hz=1000, label=label, subject="1", label_names=("rest", "fist"))
    >>> windows = Windows.cut(recording, Windowing(length_ms=200, step_ms=100))
    >>> windows
    <Windows: 18 of 1 recordings, 1 subjects, 2 labels>
    >>> windows.where(label="fist").batch([0, 1]).shape
    (2, 4, 200)
    >>> windows.table[["start", "stop", "label"]].head(2)
       start  stop label
    0      0   200  rest
    1    100   300  rest
    >>> windows.n_channels, windows.n_samples, windows.rate_hz, windows.shape, windows.ndim, windows.dtype
    (4, 200, 1000.0, (18, 4, 200), 3, dtype('float64'))
    >>> windows.y[[0, -1]], windows.groups[:1], windows.column("start")[:3]
    (array(['rest', 'fist'], dtype='<U4'), array(['1'], dtype='<U1'), array([  0, 100, 200]))
    >>> windows.split_channels().shape, set(windows.without_labels().column("label").tolist())
    ((72, 1, 200), {'unknown'})
    >>> [batch.shape for batch in windows.batches(size=10)]
    [(10, 4, 200), (8, 4, 200)]
    >>> Windows.concatenate([windows[:3], windows[9:]])
    <Windows: 12 of 1 recordings, 1 subjects, 2 labels>
    >>> [(found.name, len(rows), len(start)) for found, rows, start in windows.by_recording()]
    [('subject 1, session 1', 18, 18)]
    """

    __slots__ = ("_columns", "_names", "recordings")
    recordings: tuple[Recording, ...]
    _columns: dict[str, np.ndarray]  # label, subject and session as codes
    _names: dict[str, tuple[str, ...]]  # the name of each code

    def __init__(self, recordings: Sequence[Recording], table: pd.DataFrame | Mapping[str, Any]):
        missing = [c for c in COLUMNS if c not in table]
        if missing:
            raise ShapeError(f"the table of Windows lacks the columns {missing}; make Windows with Windows.cut(...)")
        columns, known = {}, {}
        for name in COLUMNS:
            if name in NAMES:
                columns[name], known[name] = names(name, table[name])
            else:
                columns[name] = numbers(name, table[name])
        check_rows(columns, recordings)
        self._set(tuple(recordings), columns, known)

    def _set(
        self, recordings: tuple[Recording, ...], columns: dict[str, np.ndarray], known: dict[str, tuple[str, ...]]
    ) -> None:
        for name, value in (("recordings", recordings), ("_columns", columns), ("_names", known)):
            object.__setattr__(self, name, value)

    def _with(
        self,
        columns: dict[str, np.ndarray],
        recordings: tuple[Recording, ...] | None = None,
        known: dict[str, tuple[str, ...]] | None = None,
    ) -> Windows:
        """Return these windows with columns that need no check."""
        made = object.__new__(Windows)
        made._set(recordings or self.recordings, {**self._columns, **columns}, known or self._names)
        return made

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError(f"Windows are immutable, so {name} cannot be set; use windows.with_columns({name}=...)")

    def __getstate__(self) -> dict[str, Any]:
        # Contiguous copies, so that equal windows have equal bytes however their rows were selected, as caches require.
        columns = {name: column.copy() for name, column in self._columns.items()}
        return {"recordings": self.recordings, "columns": columns, "known": self._names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._set(**{**state, "columns": {name: frozen(column) for name, column in state["columns"].items()}})

    def _given(self, name: str) -> Any:
        column = self._columns[name]
        return pd.Categorical.from_codes(cast(Any, column), list(self._names[name])) if name in NAMES else column

    @property
    def table(self) -> pd.DataFrame:
        return pd.DataFrame({name: self._given(name) for name in COLUMNS}, copy=True)

    def column(self, name: str) -> np.ndarray:
        """Return one column of the table, (window,), as a read-only array; label, subject and session as names.

        Raises
        ------
        WindowError : the column does not exist.
        """
        if name not in COLUMNS:
            raise WindowError(f"Windows have no column {name!r}; choose from {', '.join(COLUMNS)}")
        column = self._columns[name]
        return np.asarray(self._names[name], dtype=str)[column] if name in NAMES else column

    def with_columns(self, **columns: Any) -> Windows:
        """Return the same windows with other columns. Each argument is one value per row, or one value for all rows.

        Raises
        ------
        ShapeError, WindowError : as for `Windows` itself, or no column has that name.

        >>> recording = Recording(np.zeros((2, 620)), rate_hz=1000, label=np.zeros(620, int), subject="1")
        >>> windows = Windows.cut(recording)
        >>> windows.with_columns(session="2").column("session")[:2]
        array(['2', '2'], dtype='<U1')
        """
        unknown = [name for name in columns if name not in COLUMNS]
        if unknown:
            raise WindowError(f"Windows have no column {unknown[0]!r}; choose from {', '.join(COLUMNS)}")
        spread = {name: np.repeat(value, len(self)) if np.isscalar(value) else value for name, value in columns.items()}
        return Windows(self.recordings, {name: spread.get(name, self._given(name)) for name in COLUMNS})

    @classmethod
    def cut(cls, recordings: Recording | Iterable[Recording], windowing: Cutter | None = None) -> Windows:
        """Cut recordings into windows.

        Parameters
        ----------
        recordings : one Recording or several, of any subjects, sessions and rates.
        windowing : `Windowing` (the default one if None), `Bursts`, or anything with `intervals(recording)`.

        Raises
        ------
        WindowError : there is no recording, a recording is shorter than a window, no labelled window is found in any
            of them, or the windowing's columns differ in length or name samples or channels that do not exist.
        """
        recordings = (recordings,) if isinstance(recordings, Recording) else tuple(recordings)
        windowing = Windowing() if windowing is None else windowing
        if not recordings:
            raise WindowError("there are no recordings to cut; check that the selection of subjects leaves any")
        if not hasattr(windowing, "intervals"):
            raise WindowError(
                f"windowing must be Windowing(length_ms=..., step_ms=...), Bursts or an object with "
                f"intervals(recording), got {windowing!r}"
            )
        return cls(recordings, cut(recordings, windowing))

    @classmethod
    def concatenate(cls, parts: Sequence[Windows]) -> Windows:
        """Join the rows of several Windows in order; a recording that they share is kept once.

        Raises WindowError if there are no parts.
        """
        if not parts:
            raise WindowError("there are no Windows to concatenate; give at least one")
        recordings = list({id(r): r for part in parts for r in part.recordings}.values())
        place_of = {id(r): i for i, r in enumerate(recordings)}
        places = [np.array([place_of[id(r)] for r in part.recordings], np.int32) for part in parts]
        columns = {name: frozen(np.concatenate([part._columns[name] for part in parts])) for name in COLUMNS}
        columns["recording"] = frozen(np.concatenate([at[p._columns["recording"]] for at, p in zip(places, parts)]))
        known = {}
        for name in NAMES:
            columns[name], known[name] = joined([(part._columns[name], part._names[name]) for part in parts])
        made = object.__new__(cls)
        made._set(tuple(recordings), columns, known)
        return made

    def __len__(self) -> int:
        return len(self._columns["start"])

    @property
    def n_samples(self) -> int:
        """Samples per window; ShapeError if the windows differ in length (because rates differ)."""
        self._need_rows()
        lengths = distinct(self.column("stop") - self.column("start"))
        if len(lengths) != 1:
            raise ShapeError(
                f"these windows have {len(lengths)} different lengths ({', '.join(map(str, lengths[:5]))} samples), "
                "so they do not form one array; select one rate, or resample the recordings to one rate"
            )
        return int(lengths[0])

    @property
    def n_channels(self) -> int:
        """Channels per window; ShapeError if the windows have several channel counts."""
        self._need_rows()
        alone = self.column("channel") >= 0
        counts = {self.recordings[i].n_channels for i in distinct(self.column("recording")[~alone])}
        counts |= {1} if alone.any() else set()
        if len(counts) != 1:
            raise ShapeError(
                f"these windows have different channel counts ({sorted(counts)}); select the same channels of each"
            )
        return counts.pop()

    @property
    def rate_hz(self) -> float:
        """Samples per second; ShapeError if the windows have several rates."""
        self._need_rows()
        rates = {self.recordings[i].rate_hz for i in distinct(self.column("recording"))}
        if len(rates) != 1:
            raise ShapeError(
                f"these windows have different rates ({sorted(rates)} Hz); resample the recordings to one rate"
            )
        return rates.pop()

    def _need_rows(self) -> None:
        if not len(self):
            raise ShapeError(
                "there are no windows here, so they have no shape and no rate; check that the split or the selection "
                "leaves any"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """(window, channel, time)."""
        return len(self), self.n_channels, self.n_samples

    @property
    def ndim(self) -> int:
        """Always 3."""
        return 3

    @property
    def dtype(self) -> np.dtype:
        """The dtype of `batch`."""
        return np.result_type(*{r.signal.dtype for r in self.recordings})

    @property
    def y(self) -> np.ndarray:
        """(window,) label names; WindowError if the recordings have no labels."""
        labels = self.column("label")
        if (labels == "").any():
            raise WindowError("these windows have no labels: they can be predicted, but not trained on or scored")
        return labels

    @property
    def groups(self) -> np.ndarray:
        """(window,) subject names, for scikit-learn's group splitters."""
        return self.column("subject")

    @overload
    def __getitem__(self, rows: int | np.integer) -> np.ndarray: ...
    @overload
    def __getitem__(self, rows: slice | Sequence[Any] | np.ndarray) -> Windows: ...
    def __getitem__(self, rows: Any) -> np.ndarray | Windows:
        rows = row_positions(rows, len(self))
        if isinstance(rows, (int, np.integer)):
            recording, start, stop, channel = (
                self._columns[name][int(rows)] for name in ("recording", "start", "stop", "channel")
            )
            signal = self.recordings[recording].signal[:, start:stop]
            return signal if channel < 0 else signal[channel : channel + 1]
        return self._with({name: frozen(column[rows]) for name, column in self._columns.items()})

    def where(self, **columns: Any) -> Windows:
        """Return the rows whose columns have the given value or one of the given values.

        Labels, subjects and sessions may be given as numbers: `w.where(subject=3, repetition=(1, 2))`.

        Raises
        ------
        WindowError : an unknown column, or values that are not numbers for a column of numbers.
        """
        keep = np.ones(len(self), bool)
        for name, values in columns.items():
            found = self.column(name)
            wanted = np.asarray([values] if np.isscalar(values) else list(values))
            if name in NAMES:
                wanted = wanted.astype(str)
            elif wanted.dtype.kind not in "iufb":
                raise WindowError(f"the column {name} holds numbers, so {values!r} selects nothing; give numbers")
            keep &= np.isin(found, wanted)
        return self[keep]

    def without_labels(self) -> Windows:
        """Return the same windows and recordings with all labels unknown, for methods that adapt without labels."""
        recordings = []
        for recording in self.recordings:
            bare = copy.copy(recording)  # its contents were checked when it was created
            object.__setattr__(bare, "label", np.broadcast_to(np.int32(-1), recording.label.shape))
            recordings.append(bare)
        unknown = {"label": frozen(np.zeros(len(self), np.intp))}
        return self._with(unknown, tuple(recordings), {**self._names, "label": ("unknown",)})

    def split_channels(self) -> Windows:
        """Return one row per channel of each window, each of shape (1, time); the rows of one window stay together.

        Rows that are already a single channel are not changed.
        """
        if len(self) and (self.column("channel") >= 0).all():
            return self
        n = self.n_channels
        apart = self[np.repeat(np.arange(len(self)), n)]
        return apart._with({"channel": frozen(np.tile(np.arange(n, dtype=np.int16), len(self)))})

    def batch(self, rows: Any = None, out: np.ndarray | None = None) -> np.ndarray:
        """Copy the samples of the given rows (all if None) into a (window, channel, time) array, `out` if given.

        Raises
        ------
        ShapeError : the windows differ in length, rate or channel count, so that they do not form one array.
        """
        whole = self if rows is None else self[rows]
        shape = whole.shape if len(whole) else (0, self.n_channels, self.n_samples)
        out = np.empty(shape, self.dtype) if out is None else out
        for recording, where, start in whole.by_recording():
            view = sliding_window_view(recording.signal, shape[2], axis=1)
            channel = whole.column("channel")[where]
            if (channel >= 0).any():
                out[where, 0] = view[channel, start]
            else:
                out[where] = view.transpose(1, 0, 2)[start]
        return out

    def batches(self, size: int = 1024) -> Iterator[np.ndarray]:
        """Yield all windows in order, as (window, channel, time) arrays of at most `size` windows."""
        for first in range(0, len(self), size):
            yield self.batch(slice(first, first + size))

    def by_recording(self) -> Iterator[tuple[Recording, np.ndarray, np.ndarray]]:
        """Yield, for each recording with rows here: the recording, its rows' positions and start samples."""
        of, start = self.column("recording"), self.column("start")
        present = distinct(of)
        for i in present:
            where = np.flatnonzero(of == i) if len(present) > 1 else np.arange(len(of))
            yield self.recordings[i], where, start[where]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("windows overlap, so an array of them is always a copy; pass copy=None or copy=True")
        array = self.batch()
        return array if dtype is None else array.astype(dtype, copy=False)

    def __repr__(self) -> str:
        subjects, labels = (len(distinct(self._columns[name])) for name in ("subject", "label"))
        return f"<Windows: {len(self)} of {len(self.recordings)} recordings, {subjects} subjects, {labels} labels>"
